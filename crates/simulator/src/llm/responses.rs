//! OpenAI's Responses API (wire-providers.md §3.5): its checks, its events.

use serde_json::{Value, json};

use super::{rules::ToolCall, wire::Words};

/// What OpenAI refuses, checked here because a client easily gets it wrong: the field and why.
pub(super) fn fault_of(body: &Value) -> Option<(&'static str, String)> {
    let fault = |field, text: &str| Some((field, text.to_owned()));
    if !body["model"].is_string() {
        return fault("model", "Missing required parameter: 'model'.");
    }
    let Some(input) = body["input"].as_array().filter(|items| !items.is_empty()) else {
        return fault("input", "Missing required parameter: 'input'.");
    };
    for name in [
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stop",
        "response_format",
        "reasoning_effort",
        "verbosity",
        "presence_penalty",
        "frequency_penalty",
    ] {
        if body.get(name).is_some() {
            return fault("", &format!("Unknown parameter: '{name}'."));
        }
    }
    if body["max_output_tokens"]
        .as_u64()
        .is_some_and(|most| most < 16)
    {
        return fault("max_output_tokens", "Expected a value >= 16.");
    }
    let called = |id: &Value| {
        let mut calls = input.iter().filter(|item| item["type"] == "function_call");
        calls.any(|call| call["call_id"] == *id)
    };
    let is_lost =
        |item: &&Value| item["type"] == "function_call_output" && !called(&item["call_id"]);
    if input.iter().any(|item| is_lost(&item)) {
        return fault("input", "No tool call found for function call output.");
    }
    let tools = body["tools"].as_array().map(Vec::as_slice);
    for tool in tools.unwrap_or_default() {
        // On unless switched off, and then every property must be required.
        if tool["strict"] != false && tool["parameters"]["additionalProperties"] != false {
            return fault("tools[0].parameters", "Invalid schema for function.");
        }
    }
    None
}

pub(super) fn as_chat(body: &Value) -> Value {
    let items = body["input"].as_array().map(Vec::as_slice);
    let message = |item: &Value| match item["type"].as_str() {
        Some("function_call") => {
            let function = json!({"name": item["name"], "arguments": item["arguments"]});
            let call = json!({"id": item["call_id"], "type": "function", "function": function});
            json!({"role": "assistant", "content": null, "tool_calls": [call]})
        }
        Some("function_call_output") => {
            json!({"role": "tool", "tool_call_id": item["call_id"], "content": item["output"]})
        }
        _ => item.clone(),
    };
    let tools = body["tools"].as_array().map(Vec::as_slice);
    let named = |tool: &Value| json!({"function": {"name": tool["name"]}});
    json!({
        "model": body["model"],
        "messages": items.unwrap_or_default().iter().map(message).collect::<Vec<_>>(),
        "tools": tools.unwrap_or_default().iter().map(named).collect::<Vec<_>>(),
        "stream": body["stream"],
        "max_completion_tokens": body["max_output_tokens"],
        "response_format": body["text"]["format"],
    })
}

/// The events of one answer.
pub(super) struct Events {
    model: Value,
    id: String,
    /// Events so far, and items of the answer.
    sequence: u64,
    items: u64,
    /// The message that goes on.
    message: Option<(u64, String)>,
}

impl Events {
    pub fn new(body: &Value) -> Self {
        Self {
            model: body["model"].clone(),
            id: format!("resp_{:032x}", rand::random::<u128>()),
            sequence: 0,
            items: 0,
            message: None,
        }
    }

    fn framed(&mut self, mut event: Value) -> String {
        event["sequence_number"] = self.sequence.into();
        self.sequence += 1;
        let kind = event["type"].as_str().unwrap_or_default();
        format!("event: {kind}\ndata: {event}\n\n")
    }

    fn response(&self, status: &str) -> Value {
        json!({
            "id": self.id, "object": "response", "created_at": 1_700_000_000, "model": self.model,
            "status": status, "error": null, "incomplete_details": null, "output": [], "usage": null,
        })
    }

    fn next_item(&mut self) -> u64 {
        self.items += 1;
        self.items - 1
    }

    fn end_message(&mut self) -> String {
        let Some((index, text)) = self.message.take() else {
            return String::new();
        };
        let part = json!({"type": "output_text", "text": text, "annotations": []});
        let done = json!({"type": "response.output_text.done", "output_index": index, "content_index": 0, "text": text});
        let item = json!({"type": "message", "role": "assistant", "status": "completed", "content": [part]});
        let item =
            json!({"type": "response.output_item.done", "output_index": index, "item": item});
        self.framed(done) + &self.framed(item)
    }
}

impl Words for Events {
    fn begin(&mut self) -> String {
        let response = self.response("in_progress");
        let created = json!({"type": "response.created", "response": response});
        let begun = json!({"type": "response.in_progress", "response": response});
        self.framed(created) + &self.framed(begun)
    }

    fn token(&mut self, text: &str) -> String {
        let mut events = String::new();
        if self.message.is_none() {
            let index = self.next_item();
            self.message = Some((index, String::new()));
            let item = json!({"type": "message", "role": "assistant", "status": "in_progress", "content": []});
            let added =
                json!({"type": "response.output_item.added", "output_index": index, "item": item});
            let part = json!({"type": "output_text", "text": "", "annotations": []});
            let part = json!({"type": "response.content_part.added", "output_index": index, "content_index": 0, "part": part});
            events = self.framed(added) + &self.framed(part);
        }
        let mut index = 0;
        if let Some((at, said)) = &mut self.message {
            said.push_str(text);
            index = *at;
        }
        let delta = json!({"type": "response.output_text.delta", "output_index": index, "content_index": 0, "delta": text});
        events + &self.framed(delta)
    }

    fn call(&mut self, _: usize, call: &ToolCall) -> Vec<String> {
        let ended = self.end_message();
        let index = self.next_item();
        let id = format!("call_{:024x}", rand::random::<u64>());
        let item = |status: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "name": call.name, "arguments": arguments, "status": status});
        let added = json!({"type": "response.output_item.added", "output_index": index, "item": item("in_progress", "")});
        let mut events = vec![ended + &self.framed(added)];
        let text = &call.arguments;
        let half = text.char_indices().nth(text.chars().count() / 2);
        let (first, second) = text.split_at(half.map_or(0, |(at, _)| at));
        for piece in [first, second] {
            let delta = json!({"type": "response.function_call_arguments.delta", "output_index": index, "delta": piece});
            events.push(self.framed(delta));
        }
        let done = json!({"type": "response.function_call_arguments.done", "output_index": index, "arguments": text});
        events.push(self.framed(done));
        let done = json!({"type": "response.output_item.done", "output_index": index, "item": item("completed", text)});
        events.push(self.framed(done));
        events
    }

    fn finish(&mut self, reason: &str, bill: Option<(usize, usize)>) -> String {
        let ended = self.end_message();
        let (status, kind) = match reason {
            "length" => ("incomplete", "response.incomplete"),
            _ => ("completed", "response.completed"),
        };
        let mut response = self.response(status);
        if status == "incomplete" {
            response["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        if let Some((prompt, answer)) = bill {
            response["usage"] = json!({
                "input_tokens": prompt, "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": answer, "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt + answer,
            });
        }
        ended + &self.framed(json!({"type": kind, "response": response}))
    }

    fn end(&mut self) -> Option<String> {
        None
    }

    fn failure(&mut self) -> String {
        let mut response = self.response("failed");
        response["error"] = json!({"code": "server_error", "message": "The server had an error."});
        self.framed(json!({"type": "response.failed", "response": response}))
    }

    fn unknown(&mut self) -> String {
        self.framed(json!({"type": "response.of_tomorrow", "content": [1, null]}))
    }
}
