//! The answer on the wire: server-sent events, or one object.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};

use super::{Fault, Reply, Shared};

static COUNT: AtomicU64 = AtomicU64::new(1);

/// One step of a streamed answer.
enum Step {
    Wait(Duration),
    Send(String),
    /// Nothing more, for ever.
    Stall,
    /// The connection breaks.
    Break,
}

/// Streams `reply` as `request` asks for it.
pub(super) fn streamed(
    shared: Arc<Shared>,
    request: &Value,
    reply: Reply,
    fault: Option<Fault>,
) -> Response {
    let steps = plan(&shared, request, &reply, fault.as_ref());
    let state = Playing {
        shared,
        steps,
        done: false,
    };
    let body = stream::unfold(state, |mut playing| async move {
        loop {
            match playing.steps.pop_front() {
                None => return None,
                Some(Step::Wait(time)) if time.is_zero() => {}
                Some(Step::Wait(time)) => tokio::time::sleep(time).await,
                Some(Step::Send(text)) => return Some((Ok(Bytes::from(text)), playing)),
                Some(Step::Stall) => {
                    playing.shared.stop.cancelled().await;
                    return None;
                }
                Some(Step::Break) => {
                    playing.done = true;
                    return Some((
                        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
                        playing,
                    ));
                }
            }
        }
    });
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(body),
    )
        .into_response()
}

/// Counts how the answer ended: dropped before its end = the client left.
struct Playing {
    shared: Arc<Shared>,
    steps: VecDeque<Step>,
    done: bool,
}

impl Drop for Playing {
    fn drop(&mut self) {
        let counter = if self.done || self.steps.is_empty() {
            &self.shared.answered
        } else {
            &self.shared.aborted
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

fn plan(shared: &Shared, request: &Value, reply: &Reply, fault: Option<&Fault>) -> VecDeque<Step> {
    let id = format!("chatcmpl-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let with_usage = request["stream_options"]["include_usage"] == true;
    let chunk = |delta: Value, finish: Option<&str>| {
        let mut chunk = json!({"id": id, "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": request["model"], "service_tier": "default", "system_fingerprint": "fp_1",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]});
        if with_usage {
            chunk["usage"] = Value::Null;
        }
        event(&chunk)
    };
    let options = &shared.options;
    let mut steps = VecDeque::new();
    match fault {
        Some(Fault::Silence {}) => return VecDeque::from([Step::Stall]),
        Some(Fault::ResetBeforeFirst {}) => return VecDeque::from([Step::Break]),
        _ => {}
    }
    steps.push_back(Step::Wait(options.first_token));
    steps.push_back(Step::Send(chunk(
        json!({"role": "assistant", "content": "", "refusal": null}),
        None,
    )));
    for (n, token) in reply.tokens().into_iter().enumerate() {
        match fault {
            Some(Fault::StallAfter { tokens }) if n >= *tokens => {
                steps.push_back(Step::Stall);
                return steps;
            }
            Some(Fault::ResetAfter { tokens }) if n >= *tokens => {
                // What was sent must have left before the connection breaks.
                steps.push_back(Step::Wait(Duration::from_millis(5)));
                steps.push_back(Step::Break);
                return steps;
            }
            Some(Fault::CutShort { tokens }) if n >= *tokens => return steps,
            Some(Fault::ErrorChunkAfter { tokens }) if n >= *tokens => {
                let error = json!({"error": {"message": "The server had an error.", "type": "server_error", "code": 500}});
                steps.push_back(Step::Send(event(&error)));
                return steps;
            }
            Some(Fault::Garbage {}) => {
                steps.push_back(Step::Send("data: {\"choices\":\n\n".to_owned()))
            }
            _ => {}
        }
        if n > 0 {
            steps.push_back(Step::Wait(options.per_token));
        }
        steps.push_back(Step::Send(chunk(json!({"content": token}), None)));
    }
    for (index, call) in reply.calls.iter().enumerate() {
        let first = json!({"tool_calls": [{"index": index, "id": call.id, "type": "function",
            "function": {"name": call.name, "arguments": ""}}]});
        steps.push_back(Step::Send(chunk(first, None)));
        // Arguments come in pieces.
        let characters: Vec<char> = call.arguments.chars().collect();
        for piece in characters.chunks(5) {
            let piece: String = piece.iter().collect();
            let delta = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            steps.push_back(Step::Send(chunk(delta, None)));
        }
    }
    steps.push_back(Step::Send(chunk(json!({}), Some(reply.finish_reason()))));
    if with_usage && fault != Some(&Fault::NoUsage {}) {
        let usage = json!({"id": id, "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": request["model"], "choices": [], "usage": usage(request, reply)});
        steps.push_back(Step::Send(event(&usage)));
    }
    if fault != Some(&Fault::NoDone {}) {
        steps.push_back(Step::Send("data: [DONE]\n\n".to_owned()));
    }
    steps
}

/// The answer to a request that does not stream.
pub(super) fn whole(request: &Value, reply: &Reply) -> Value {
    let id = format!("chatcmpl-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let mut message = json!({"role": "assistant", "content": reply.text, "refusal": null});
    if !reply.calls.is_empty() {
        message["tool_calls"] = reply.calls_json().into();
    }
    json!({"id": id, "object": "chat.completion", "created": 1_700_000_000, "model": request["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reply.finish_reason()}],
        "usage": usage(request, reply)})
}

fn usage(request: &Value, reply: &Reply) -> Value {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let words = |message: &Value| {
        message["content"]
            .as_str()
            .map_or(0, |text| text.split_whitespace().count())
    };
    let input: usize = messages.iter().map(words).sum();
    let output = reply.tokens().len() + reply.calls.len();
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0}})
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}
