//! The raw log of a call, as `GET /executions/{id}/log` shows it. Source: runtime.md R189, R190.

use serde::{Deserialize, Serialize};

/// Which part of the call speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Component {
    System,
    Transcriber,
    Llm,
    Synthesizer,
    Tool,
    Routing,
}

/// What the entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum EntryKind {
    Request,
    Response,
    Event,
    Error,
}

/// One line of the raw log. Its time is given by whoever stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Which part of the call.
    pub component: Component,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: EntryKind,
    /// Model or vendor, for example `gpt-4.1-mini`, `deepgram`, `semantic_route`; empty for `system`.
    #[serde(default)]
    pub provider: String,
    /// Text; JSON payloads as JSON text.
    pub data: String,
    /// What a reasoning model thought aloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The tool that was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_name: Option<String>,
    /// Joins a request and its response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leg_id: Option<String>,
    /// The rest: tokens, cached, ignored, purpose, scores, ms.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

impl Entry {
    /// An entry with nothing but its text.
    pub fn new(
        component: Component,
        kind: EntryKind,
        provider: &str,
        data: impl Into<String>,
    ) -> Self {
        Self {
            component,
            kind,
            provider: provider.to_owned(),
            data: data.into(),
            reasoning_content: None,
            tool_name: None,
            leg_id: None,
            metadata: serde_json::Map::new(),
        }
    }

    /// Adds a metadata field.
    pub fn with(mut self, key: &str, value: impl Into<serde_json::Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Joins it to its counterpart.
    pub fn leg(mut self, id: impl Into<String>) -> Self {
        self.leg_id = Some(id.into());
        self
    }
}
