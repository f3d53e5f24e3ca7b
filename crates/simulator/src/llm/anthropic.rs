//! Anthropic's messages (wire-providers.md §3.4): its refusals, its checks, its events.

use serde_json::{Value, json};

use super::{rules::ToolCall, wire::Words};

pub(super) fn refusal(status: u16, message: &str, no_credit: bool) -> (u16, Value) {
    let (status, kind, message) = match status {
        _ if no_credit => (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API.",
        ),
        401 => (401, "authentication_error", "invalid x-api-key"),
        403 => (403, "permission_error", message),
        404 => (404, "not_found_error", message),
        429 => (429, "rate_limit_error", message),
        // Too much load has a status of its own.
        503 | 529 => (529, "overloaded_error", "Overloaded"),
        400..500 => (status, "invalid_request_error", message),
        _ => (status, "api_error", message),
    };
    let error = json!({"type": kind, "message": message});
    let id = format!("req_{:024x}", rand::random::<u64>());
    (
        status,
        json!({"type": "error", "error": error, "request_id": id}),
    )
}

/// What Anthropic refuses, checked here because a client easily gets it wrong.
pub(super) fn fault_of(body: &Value) -> Option<String> {
    let fault = |text: &str| Some(text.to_owned());
    if !body["model"].is_string() {
        return fault("model: Field required");
    }
    if !body["max_tokens"].is_u64() {
        return fault("max_tokens: Field required");
    }
    let Some(messages) = body["messages"].as_array().filter(|all| !all.is_empty()) else {
        return fault("messages: at least one message is required");
    };
    if messages[0]["role"] != "user" {
        return fault("messages: first message must use the \"user\" role");
    }
    let mut open: Vec<&Value> = Vec::new();
    for message in messages {
        if !(message["role"] == "user" || message["role"] == "assistant") {
            return fault("messages: Unexpected role");
        }
        let blocks = message["content"].as_array().map(Vec::as_slice);
        let blocks = blocks.unwrap_or_default();
        let of_kind = |kind: &str, id: &str| -> Vec<&Value> {
            let found = blocks.iter().filter(|block| block["type"] == kind);
            found.map(|block| &block[id]).collect()
        };
        if of_kind("tool_result", "tool_use_id") != open {
            return fault(
                "messages: each `tool_use` must have its `tool_result` in the next message",
            );
        }
        open = of_kind("tool_use", "id");
        let is_empty = |block: &Value| block["type"] == "text" && block["text"] == "";
        if blocks.iter().any(is_empty) {
            return fault("messages: text content blocks must be non-empty");
        }
        if !open.is_empty() && body.get("tools").is_none() {
            return fault("Requests which have `tool_use` blocks must define tools");
        }
    }
    let tools = body["tools"].as_array().map(Vec::as_slice);
    for tool in tools.unwrap_or_default() {
        if tool["input_schema"]["type"] != "object" {
            return fault("tools.input_schema.type: Field required");
        }
    }
    None
}

pub(super) fn as_chat(body: &Value) -> Value {
    let tools = body["tools"].as_array().cloned().unwrap_or_default();
    let named = |tool: &Value| json!({"function": {"name": tool["name"]}});
    let mut messages = vec![json!({"role": "system", "content": body["system"]})];
    messages.extend(body["messages"].as_array().cloned().unwrap_or_default());
    json!({
        "model": body["model"],
        "messages": messages,
        "tools": tools.iter().map(named).collect::<Vec<_>>(),
        "stream": body["stream"],
        "max_tokens": body["max_tokens"],
        "stop": body["stop_sequences"],
    })
}

/// The events of one answer.
pub(super) struct Events {
    model: Value,
    prompt: usize,
    /// Blocks begun so far; whether the last is text that goes on.
    blocks: usize,
    in_text: bool,
}

impl Events {
    pub fn new(body: &Value) -> Self {
        Self {
            model: body["model"].clone(),
            prompt: super::http::prompt_chars(&as_chat(body)).div_ceil(4),
            blocks: 0,
            in_text: false,
        }
    }

    fn start(&mut self, block: Value) -> String {
        let event =
            json!({"type": "content_block_start", "index": self.blocks, "content_block": block});
        self.blocks += 1;
        framed(&event)
    }

    fn delta(&self, delta: Value) -> String {
        framed(&json!({"type": "content_block_delta", "index": self.blocks - 1, "delta": delta}))
    }

    fn stop(&self) -> String {
        framed(&json!({"type": "content_block_stop", "index": self.blocks - 1}))
    }

    fn stop_text(&mut self) -> String {
        match std::mem::take(&mut self.in_text) {
            true => self.stop(),
            false => String::new(),
        }
    }
}

fn framed(event: &Value) -> String {
    let kind = event["type"].as_str().unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n")
}

impl Words for Events {
    fn begin(&mut self) -> String {
        let usage = json!({
            "input_tokens": self.prompt, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0, "output_tokens": 1, "service_tier": "standard",
        });
        let message = json!({
            "id": format!("msg_{:024x}", rand::random::<u64>()), "type": "message",
            "role": "assistant", "model": self.model, "content": [], "stop_reason": null,
            "stop_sequence": null, "usage": usage,
        });
        let start = framed(&json!({"type": "message_start", "message": message}));
        start + &framed(&json!({"type": "ping"}))
    }

    fn token(&mut self, text: &str) -> String {
        let mut events = String::new();
        if !std::mem::replace(&mut self.in_text, true) {
            events = self.start(json!({"type": "text", "text": ""}));
        }
        events + &self.delta(json!({"type": "text_delta", "text": text}))
    }

    fn call(&mut self, _: usize, call: &ToolCall) -> Vec<String> {
        let id = format!("toolu_{:024x}", rand::random::<u64>());
        let ended = self.stop_text();
        let block = json!({"type": "tool_use", "id": id, "name": call.name, "input": {}});
        let mut events = vec![ended + &self.start(block)];
        let text = &call.arguments;
        let half = text.char_indices().nth(text.chars().count() / 2);
        let (first, second) = text.split_at(half.map_or(0, |(at, _)| at));
        for piece in ["", first, second] {
            events.push(self.delta(json!({"type": "input_json_delta", "partial_json": piece})));
        }
        events.push(self.stop());
        events
    }

    fn finish(&mut self, reason: &str, bill: Option<(usize, usize)>) -> String {
        let ended = self.stop_text();
        let reason = match reason {
            "length" => "max_tokens",
            "tool_calls" => "tool_use",
            _ => "end_turn",
        };
        let mut event = json!({
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": null},
        });
        if let Some((_, answer)) = bill {
            event["usage"] = json!({"output_tokens": answer.max(1)});
        }
        ended + &framed(&event)
    }

    fn end(&mut self) -> Option<String> {
        Some(framed(&json!({"type": "message_stop"})))
    }

    fn failure(&mut self) -> String {
        let error = json!({"type": "overloaded_error", "message": "Overloaded"});
        framed(&json!({"type": "error", "error": error}))
    }

    fn unknown(&mut self) -> String {
        framed(&json!({"type": "of_tomorrow", "content": [1, null]}))
    }
}
