//! The JSON of answers, streamed and whole (wire-providers.md §3.2).

use serde_json::{Value, json};

use super::{Fault, rules::ToolCall, wire::Words};

/// Splits text into tokens: words with the space before them; long words into pieces of 8.
pub(super) fn tokens(text: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    for (at, c) in text.char_indices() {
        match tokens.last_mut() {
            Some(token) if at > 0 && !c.is_whitespace() && token.chars().count() < 9 => {
                token.push(c)
            }
            _ => tokens.push(c.to_string()),
        }
    }
    tokens
}

/// Builds the chunks of one answer.
#[derive(Debug)]
pub(super) struct Chunks {
    id: String,
    created: i64,
    model: String,
    usage_asked: bool,
}

impl Chunks {
    pub fn new(model: &str, usage_asked: bool) -> Self {
        Self {
            id: format!("chatcmpl-{:032x}", rand::random::<u128>()),
            created: chrono::Utc::now().timestamp(),
            model: model.to_owned(),
            usage_asked,
        }
    }

    fn chunk(&self, choices: Value, usage: Option<Value>) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
            "choices": choices,
        });
        if self.usage_asked {
            chunk["usage"] = usage.unwrap_or(Value::Null);
        }
        chunk
    }

    /// A delta of choice 0.
    pub fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        let choice =
            json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]);
        self.chunk(choice, None)
    }

    /// The first chunk: the role alone.
    pub fn role(&self) -> Value {
        self.delta(
            json!({"role": "assistant", "content": "", "refusal": null}),
            None,
        )
    }

    /// The deltas of one tool call: its name, then its arguments in at least two pieces.
    pub fn call(&self, index: usize, call: &ToolCall) -> Vec<Value> {
        let (name, text) = (&call.name, &call.arguments);
        let half = text
            .char_indices()
            .nth(text.chars().count() / 2)
            .map_or(0, |(at, _)| at);
        let delta = |fields: Value| self.delta(json!({"tool_calls": [fields]}), None);
        let pieces = [&text[..half], &text[half..]];
        let mut chunks = vec![delta(json!({
            "index": index,
            "id": call_id(),
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }))];
        chunks.extend(
            pieces.map(|piece| delta(json!({"index": index, "function": {"arguments": piece}}))),
        );
        chunks
    }

    /// A tool call in one delta as some dialects send it.
    pub fn whole_call(&self, call: &ToolCall) -> Value {
        let function = json!({"name": call.name, "arguments": call.arguments});
        self.delta(
            json!({"tool_calls": [{"id": "", "function": function}]}),
            None,
        )
    }

    /// The chunk after the last.
    pub fn usage(&self, usage: Value) -> Value {
        self.chunk(json!([]), Some(usage))
    }

    /// The whole answer, not streamed.
    pub fn whole(&self, text: &str, calls: &[ToolCall], finish: &str, usage: Value) -> Value {
        let calls: Vec<Value> = calls
            .iter()
            .map(|call| {
                let function = json!({"name": call.name, "arguments": call.arguments});
                json!({"id": call_id(), "type": "function", "function": function})
            })
            .collect();
        let content = if text.is_empty() && !calls.is_empty() {
            Value::Null
        } else {
            text.into()
        };
        let mut message = json!({"role": "assistant", "content": content, "refusal": null});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        json!({
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish}],
            "usage": usage,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        })
    }
}

/// What a stream of chat completions says.
pub(super) struct ChatWords {
    chunks: Chunks,
    /// Extra and missing fields, an unknown reason.
    is_odd: bool,
    whole_calls: bool,
    no_done: bool,
    is_azure: bool,
}

impl ChatWords {
    pub fn new(body: &Value, fault: Option<&Fault>, is_azure: bool) -> Self {
        let asked = body["stream_options"]["include_usage"] == true;
        Self {
            chunks: Chunks::new(&super::http::model(body), asked),
            is_odd: fault == Some(&Fault::OddChunks {}),
            whole_calls: fault == Some(&Fault::WholeToolCall {}),
            no_done: fault == Some(&Fault::NoDone {}),
            is_azure,
        }
    }
}

fn framed(event: &Value) -> String {
    format!("data: {event}\n\n")
}

impl Words for ChatWords {
    fn begin(&mut self) -> String {
        let role = framed(&self.chunks.role());
        if !self.is_azure {
            return role;
        }
        let filters = json!([{"prompt_index": 0, "content_filter_results": {}}]);
        let first = json!({
            "choices": [], "created": 0, "id": "", "model": "", "object": "",
            "prompt_filter_results": filters,
        });
        framed(&first) + &role
    }

    fn token(&mut self, text: &str) -> String {
        let mut chunk = self.chunks.delta(json!({ "content": text }), None);
        if self.is_odd {
            chunk["service_tier"] = "on_demand".into();
            chunk["x_extra"] = json!({"nested": [1, null]});
            if let Some(fields) = chunk.as_object_mut() {
                fields.remove("created");
                fields.remove("object");
            }
        }
        if self.is_azure {
            let safe = json!({"hate": {"filtered": false, "severity": "safe"}});
            chunk["choices"][0]["content_filter_results"] = safe;
        }
        framed(&chunk)
    }

    fn call(&mut self, number: usize, call: &ToolCall) -> Vec<String> {
        match self.whole_calls {
            true => vec![framed(&self.chunks.whole_call(call))],
            false => self.chunks.call(number, call).iter().map(framed).collect(),
        }
    }

    fn finish(&mut self, reason: &str, bill: Option<(usize, usize)>) -> String {
        let reason = if self.is_odd { "error" } else { reason };
        let last = framed(&self.chunks.delta(json!({}), Some(reason)));
        match bill.filter(|_| self.chunks.usage_asked) {
            Some((prompt, answer)) => last + &framed(&self.chunks.usage(usage(prompt, answer))),
            None => last,
        }
    }

    fn end(&mut self) -> Option<String> {
        (!self.no_done).then(|| "data: [DONE]\n\n".to_owned())
    }

    fn failure(&mut self) -> String {
        let error = json!({
            "message": "The server had an error.", "type": "server_error", "param": null,
            "code": 500,
        });
        framed(&json!({ "error": error }))
    }

    fn unknown(&mut self) -> String {
        format!(
            "event: of_tomorrow\n{}",
            framed(&json!({"x_new": [1, null]}))
        )
    }
}

fn call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
}

/// Token counts.
pub(super) fn usage(prompt: usize, completion: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0, "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_join_to_the_text() {
        for text in [
            "",
            "Hi",
            "Hello there, you.",
            "  two  spaces ",
            "incomprehensibilities",
            "नमस्ते जी",
        ] {
            assert_eq!(tokens(text).concat(), text);
        }
        assert_eq!(tokens("Hello there, you."), ["Hello", " there,", " you."]);
    }
}
