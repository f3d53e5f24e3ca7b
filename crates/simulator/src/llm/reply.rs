//! What a model answers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

/// A tool call of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// `call_…`.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// JSON text.
    pub arguments: String,
}

/// Text, then tool calls; either may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// What is said.
    pub text: String,
    /// What is called after it.
    pub calls: Vec<ToolCall>,
}

impl Reply {
    /// An answer of text.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            calls: Vec::new(),
        }
    }

    /// The same answer, calling a tool after its text.
    pub fn then_call(mut self, name: &str, arguments: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = format!("call_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.calls.push(ToolCall {
            id,
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        });
        self
    }

    /// Tokens: words with the blank before them.
    pub(super) fn tokens(&self) -> Vec<&str> {
        let mut tokens = Vec::new();
        let mut rest = self.text.as_str();
        while !rest.is_empty() {
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, character)| character.is_whitespace())
                .map_or(rest.len(), |(at, _)| at);
            let (token, after) = rest.split_at(end);
            tokens.push(token);
            rest = after;
        }
        tokens
    }

    pub(super) fn finish_reason(&self) -> &'static str {
        if self.calls.is_empty() {
            "stop"
        } else {
            "tool_calls"
        }
    }

    pub(super) fn calls_json(&self) -> Vec<Value> {
        let call = |call: &ToolCall| {
            json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments}})
        };
        self.calls.iter().map(call).collect()
    }
}
