//! The events of an answer.

use serde_json::{Value, value::RawValue};

use super::super::super::{
    failure,
    gathered::{Gathered, Piece, Usage},
    server::Reader,
};
use crate::{Error, ErrorKind, error::Origin};

/// Reads the events of one answer.
pub(in super::super) struct Events {
    pub(in super::super) origin: Origin,
}

impl Reader for Events {
    fn event(&mut self, event: &RawValue, gathered: &mut Gathered) -> Result<bool, Error> {
        let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let index = || event["output_index"].as_u64().unwrap_or_default();
        match event["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => gathered.text(text(&event["delta"])),
            "response.reasoning_text.delta" | "response.reasoning_summary_text.delta" => {
                gathered.thought(text(&event["delta"]));
            }
            "response.output_item.added" if event["item"]["type"] == "function_call" => {
                gathered.call(Piece {
                    index: index(),
                    id: text(&event["item"]["call_id"]),
                    name: text(&event["item"]["name"]),
                    arguments: String::new(),
                });
            }
            "response.function_call_arguments.delta" => gathered.call(Piece {
                index: index(),
                arguments: text(&event["delta"]),
                ..Piece::default()
            }),
            "response.refusal.delta" => {
                return Err(self
                    .origin
                    .fault(ErrorKind::Content, "the model refused to answer"));
            }
            "response.completed" => {
                bill(&event["response"]["usage"], gathered);
                gathered.finish("stop");
                return Ok(false);
            }
            "response.incomplete" => {
                let response = &event["response"];
                bill(&response["usage"], gathered);
                let reason = response["incomplete_details"]["reason"].as_str();
                gathered.finish(match reason {
                    Some("content_filter") => "content_filter",
                    _ => "length",
                });
                return Ok(false);
            }
            "response.failed" => {
                let error = &event["response"]["error"];
                return Err(failure::in_stream(self.origin, error));
            }
            "error" => {
                // Its own type says nothing of the failure.
                let mut error = event["error"].clone();
                if error.is_null() {
                    error = serde_json::json!({"code": event["code"], "message": event["message"]});
                }
                return Err(failure::in_stream(self.origin, &error));
            }
            _ if event["error"].is_object() => {
                return Err(failure::in_stream(self.origin, &event["error"]));
            }
            _ => {}
        }
        Ok(true)
    }
}

fn bill(usage: &Value, gathered: &mut Gathered) {
    let count = |value: &Value| value.as_u64();
    if let Some(input) = count(&usage["input_tokens"]) {
        gathered.usage(Usage {
            input,
            output: count(&usage["output_tokens"]).unwrap_or_default(),
            cached: count(&usage["input_tokens_details"]["cached_tokens"]).unwrap_or_default(),
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use serde_json::{json, value::to_raw_value};

    use super::{super::super::super::dialect::dialect, *};
    use crate::{Called, Delta};

    fn read(events: &[Value]) -> Result<Vec<Delta>, Error> {
        let origin = dialect("openai").unwrap().origin();
        let (mut reader, mut gathered) = (Events { origin }, Gathered::default());
        for event in events {
            if !reader.event(&to_raw_value(event).unwrap(), &mut gathered)? {
                gathered.end();
            }
        }
        Ok(std::iter::from_fn(|| gathered.next()).collect())
    }

    fn done(finish: &'static str) -> Delta {
        Delta::Done {
            finish,
            input: 36,
            output: 8,
            cached: 30,
            estimated: false,
        }
    }

    fn usage() -> Value {
        json!({"input_tokens": 36, "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 4}, "total_tokens": 44})
    }

    #[test]
    fn thoughts_text_a_call_and_the_bill() {
        let deltas = read(&[
            json!({"type": "response.created", "response": {"id": "resp_1", "status": "in_progress", "error": null}}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_1"}}),
            json!({"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"}),
            json!({"type": "response.output_item.added", "output_index": 1, "item": {"type": "message", "id": "msg_1", "content": []}}),
            json!({"type": "response.output_text.delta", "output_index": 1, "item_id": "msg_1", "delta": "One moment."}),
            json!({"type": "response.output_text.done", "output_index": 1, "text": "One moment."}),
            json!({"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": "{\"a\":"}),
            json!({"type": "response.function_call_arguments.delta", "output_index": 2, "item_id": "fc_1", "delta": "1}"}),
            json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"a\":1}"}),
            json!({"type": "response.of_tomorrow"}),
            json!({"type": "response.completed", "response": {"id": "resp_1", "usage": usage()}}),
        ]);
        let called = Called {
            id: "call_1".into(),
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
                done("tool_calls"),
            ]
        );
    }

    #[test]
    fn an_answer_may_stay_incomplete() {
        for (reason, finish) in [
            ("max_output_tokens", "length"),
            ("content_filter", "content_filter"),
        ] {
            let response = json!({"incomplete_details": {"reason": reason}, "usage": usage()});
            let event = json!({"type": "response.incomplete", "response": response});
            assert_eq!(read(&[event]).unwrap(), [done(finish)]);
        }
    }

    #[test]
    fn failures_in_mid_stream() {
        let kind = |event: Value| read(&[event]).unwrap_err().kind;
        let failed = |code: &str| json!({"type": "response.failed", "response": {"error": {"code": code, "message": "x"}}});
        assert_eq!(kind(failed("server_error")), ErrorKind::Server);
        assert_eq!(kind(failed("rate_limit_exceeded")), ErrorKind::RateLimited);
        let error = json!({"type": "error", "code": "insufficient_quota", "message": "x"});
        assert_eq!(kind(error), ErrorKind::Quota);
        let refusal = json!({"type": "response.refusal.delta", "delta": "I can't"});
        assert_eq!(kind(refusal), ErrorKind::Content);
    }
}
