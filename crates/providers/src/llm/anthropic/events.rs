//! Events of an answer of Anthropic's. Source: wire-providers.md §3.4.

use serde_json::{Value, value::RawValue};

use super::super::{
    failure,
    gathered::{Gathered, Piece, Usage},
    server::Reader,
};
use crate::{Error, ErrorKind, error::Origin};

/// Reads the events of one answer.
pub(super) struct Events {
    origin: Origin,
    prompt: Usage,
}

impl Reader for Events {
    fn event(&mut self, event: &RawValue, gathered: &mut Gathered) -> Result<bool, Error> {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => self.prompt(&event["message"]["usage"]),
            "content_block_start" => {
                let block = &event["content_block"];
                match block["type"].as_str() {
                    Some("text") => gathered.text(text(&block["text"])),
                    Some("tool_use") => gathered.call(Piece {
                        index: event["index"].as_u64().unwrap_or_default(),
                        id: text(&block["id"]),
                        name: text(&block["name"]),
                        arguments: String::new(),
                    }),
                    _ => {}
                }
            }
            "content_block_delta" => {
                let delta = &event["delta"];
                match delta["type"].as_str() {
                    Some("text_delta") => gathered.text(text(&delta["text"])),
                    Some("thinking_delta") => gathered.thought(text(&delta["thinking"])),
                    Some("input_json_delta") => gathered.call(Piece {
                        index: event["index"].as_u64().unwrap_or_default(),
                        arguments: text(&delta["partial_json"]),
                        ..Piece::default()
                    }),
                    _ => {}
                }
            }
            "message_delta" => {
                self.prompt(&event["usage"]);
                if let Some(output) = event["usage"]["output_tokens"].as_u64() {
                    gathered.usage(Usage {
                        output,
                        ..self.prompt
                    });
                }
                match event["delta"]["stop_reason"].as_str() {
                    None => {}
                    Some("refusal") => {
                        return Err(self
                            .origin
                            .fault(ErrorKind::Content, "the model refused to answer"));
                    }
                    Some("max_tokens" | "model_context_window_exceeded") => {
                        gathered.finish("length");
                    }
                    Some("tool_use") => gathered.finish("tool_calls"),
                    Some("end_turn" | "stop_sequence" | "pause_turn") => gathered.finish("stop"),
                    Some(reason) => {
                        tracing::info!(
                            vendor = self.origin.vendor,
                            reason,
                            "unknown finish reason"
                        );
                        gathered.finish("stop");
                    }
                }
            }
            "message_stop" => return Ok(false),
            "error" => return Err(failure::in_stream(self.origin, &event["error"])),
            _ => {}
        }
        Ok(true)
    }
}

impl Events {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            prompt: Usage::default(),
        }
    }

    /// Tokens of the prompt come first, and may come again, as totals.
    fn prompt(&mut self, usage: &Value) {
        let count = |name: &str| usage[name].as_u64();
        if let Some(fresh) = count("input_tokens") {
            let read = count("cache_read_input_tokens").unwrap_or_default();
            let written = count("cache_creation_input_tokens").unwrap_or_default();
            self.prompt.input = fresh + read + written;
            self.prompt.cached = read;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{json, value::to_raw_value};

    use super::*;
    use crate::{Called, Delta};

    fn read(events: &[Value]) -> Result<Vec<Delta>, Error> {
        let origin = super::super::super::dialect::dialect("anthropic")
            .unwrap()
            .origin();
        let (mut reader, mut gathered) = (Events::new(origin), Gathered::default());
        for event in events {
            if !reader.event(&to_raw_value(event).unwrap(), &mut gathered)? {
                gathered.end();
            }
        }
        Ok(std::iter::from_fn(|| gathered.next()).collect())
    }

    #[test]
    fn thoughts_text_a_call_and_the_bill() {
        let deltas = read(&[
            json!({"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 20, "cache_read_input_tokens": 900, "cache_creation_input_tokens": 80, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "One moment."}}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":"}}),
            json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "1}"}}),
            json!({"type": "content_block_stop", "index": 2}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 40}}),
            json!({"type": "of_tomorrow"}),
            json!({"type": "message_stop"}),
        ]);
        let called = Called {
            id: "toolu_1".into(),
            name: "f".into(),
            arguments: "{\"a\":1}".into(),
        };
        assert_eq!(
            deltas.unwrap(),
            [
                Delta::Reasoning("hm".into()),
                Delta::Text("One moment.".into()),
                Delta::Calling("f".into()),
                Delta::Calls(vec![called]),
                Delta::Done {
                    finish: "tool_calls",
                    input: 1000,
                    output: 40,
                    cached: 900,
                    estimated: false
                },
            ]
        );
    }

    #[test]
    fn refusals_and_failures() {
        let refusal = json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 1}});
        assert_eq!(read(&[refusal]).unwrap_err().kind, ErrorKind::Content);
        let busy = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
        assert_eq!(read(&[busy]).unwrap_err().kind, ErrorKind::Server);
    }
}
