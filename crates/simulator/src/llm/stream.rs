//! The event stream of one answer: paced, broken as asked, and aware of a client that goes away.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{
    Fault, Outcome, Reply, Shared,
    chunks::{Chunks, tokens, usage},
    http::{model, prompt_chars},
};

/// What is to be sent, and how.
pub(super) struct Plan {
    pub reply: Reply,
    pub finish: &'static str,
    pub fault: Option<Fault>,
    pub first: Duration,
    pub each: Duration,
    pub usage_asked: bool,
}

enum Piece {
    Wait(Duration),
    Event(Value),
    /// As it is, without framing.
    Raw(String),
    /// So many tokens are out.
    Token,
    Stall,
    Reset,
}

/// Marks a request aborted unless it is finished first: a client that goes away drops it.
pub(super) struct Aborting {
    shared: Arc<Shared>,
    number: usize,
    done: bool,
}

impl Aborting {
    pub fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self {
            shared,
            number,
            done: false,
        }
    }

    pub fn finished(mut self, tokens: usize) {
        self.end(Outcome::Finished, Some(tokens));
    }

    fn end(&mut self, outcome: Outcome, tokens: Option<usize>) {
        self.done = true;
        if let Some(tokens) = tokens {
            self.shared.note_tokens(self.number, tokens);
        }
        self.shared.note_outcome(self.number, outcome);
    }
}

impl Drop for Aborting {
    fn drop(&mut self) {
        if !self.done {
            self.end(Outcome::Aborted, None);
        }
    }
}

fn pieces(body: &Value, plan: &Plan) -> VecDeque<Piece> {
    let chunks = Chunks::new(&model(body), plan.usage_asked);
    let fault = plan.fault.as_ref();
    let odd = fault == Some(&Fault::OddChunks {});
    let mut out = VecDeque::new();
    let late = match fault {
        Some(Fault::DelayFirst { ms }) => Duration::from_millis(*ms),
        _ => Duration::ZERO,
    };
    if let Some(Fault::Silence {}) = fault {
        // A comment, so that the headers leave at once.
        out.push_back(Piece::Raw(": processing\n\n".into()));
        out.push_back(Piece::Stall);
        return out;
    }
    out.push_back(Piece::Wait(plan.first + late));
    if let Some(Fault::ResetBeforeFirst {}) = fault {
        out.push_back(Piece::Reset);
        return out;
    }
    out.push_back(Piece::Event(chunks.role()));
    let text = match fault {
        Some(Fault::OneChunk {}) => vec![plan.reply.text.clone()],
        _ => tokens(&plan.reply.text),
    };
    let count = text.len();
    for (n, token) in text.into_iter().enumerate() {
        if broken_at(fault, n, &mut out) {
            return out;
        }
        if n > 0 && !plan.each.is_zero() {
            out.push_back(Piece::Wait(plan.each));
        }
        let mut chunk = chunks.delta(json!({"content": token}), None);
        if odd {
            chunk["service_tier"] = "on_demand".into();
            chunk["x_extra"] = json!({"nested": [1, null]});
            if let Some(fields) = chunk.as_object_mut() {
                fields.remove("created");
                fields.remove("object");
            }
        }
        out.push_back(Piece::Event(chunk));
        out.push_back(Piece::Token);
    }
    if broken_at(fault, count, &mut out) {
        return out;
    }
    for (n, call) in plan.reply.calls.iter().enumerate() {
        if fault == Some(&Fault::WholeToolCall {}) {
            out.push_back(Piece::Event(chunks.whole_call(call)));
        } else {
            out.extend(chunks.call(n, call).into_iter().map(Piece::Event));
        }
    }
    let finish = if odd { "error" } else { plan.finish };
    out.push_back(Piece::Event(chunks.delta(json!({}), Some(finish))));
    if plan.usage_asked && fault != Some(&Fault::NoUsage {}) {
        out.push_back(Piece::Event(chunks.usage(usage(prompt_chars(body), count))));
    }
    if fault != Some(&Fault::NoDone {}) {
        out.push_back(Piece::Raw("data: [DONE]\n\n".into()));
    }
    out
}

/// Adds what a fault does before token `n`; true if the stream ends there.
fn broken_at(fault: Option<&Fault>, n: usize, out: &mut VecDeque<Piece>) -> bool {
    match fault {
        Some(Fault::StallAfter { tokens }) if *tokens == n => out.push_back(Piece::Stall),
        Some(Fault::ResetAfter { tokens }) if *tokens == n => {
            // Time for what went before to leave the process.
            out.push_back(Piece::Wait(Duration::from_millis(5)));
            out.push_back(Piece::Reset);
        }
        Some(Fault::CutShort { tokens }) if *tokens == n => {}
        Some(Fault::ErrorChunkAfter { tokens }) if *tokens == n => {
            let error = json!({"message": "The server had an error.", "type": "server_error", "param": null, "code": 500});
            out.push_back(Piece::Event(json!({"error": error})));
        }
        Some(Fault::Garbage {}) if n == 0 => {
            out.push_back(Piece::Raw("data: {\"id\":\"chatcmpl-\n\n".into()));
            return false;
        }
        _ => return false,
    }
    true
}

struct Sending {
    pieces: VecDeque<Piece>,
    crumbs: bool,
    /// Bytes cut into crumbs, to be sent one after the other.
    waiting: VecDeque<Bytes>,
    tokens: usize,
    aborting: Aborting,
    stop: CancellationToken,
}

impl Sending {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if let Some(crumb) = self.waiting.pop_front() {
            return Some(Ok(crumb));
        }
        loop {
            let text = match self.pieces.pop_front() {
                None => {
                    let tokens = self.tokens;
                    self.aborting.end(Outcome::Finished, Some(tokens));
                    return None;
                }
                Some(Piece::Wait(time)) => {
                    tokio::time::sleep(time).await;
                    continue;
                }
                Some(Piece::Token) => {
                    self.tokens += 1;
                    let tokens = self.tokens;
                    let Aborting { shared, number, .. } = &self.aborting;
                    shared.note_tokens(*number, tokens);
                    continue;
                }
                Some(Piece::Stall) => std::future::pending().await,
                Some(Piece::Reset) => {
                    self.pieces.clear();
                    self.aborting.end(Outcome::Failed(200), None);
                    return Some(Err(io::Error::other("reset as the test asked")));
                }
                Some(Piece::Event(event)) => format!("data: {event}\n\n"),
                Some(Piece::Raw(text)) => text,
            };
            if !self.crumbs {
                return Some(Ok(text.into()));
            }
            let text = format!(
                ": ping\r\n\r\nevent: keepalive\r\ndata: {{}}\r\n\r\n{}",
                text.replace('\n', "\r\n")
            );
            self.waiting = text
                .as_bytes()
                .chunks(7)
                .map(Bytes::copy_from_slice)
                .collect();
            return self.waiting.pop_front().map(Ok);
        }
    }
}

/// The response of a streamed answer.
pub(super) fn respond(shared: Arc<Shared>, number: usize, body: &Value, plan: Plan) -> Response {
    let sending = Sending {
        pieces: pieces(body, &plan),
        crumbs: plan.fault == Some(Fault::Crumbs {}),
        waiting: VecDeque::new(),
        tokens: 0,
        stop: shared.stop.clone(),
        aborting: Aborting::new(shared, number),
    };
    let events = futures_util::stream::unfold(sending, |mut sending| async move {
        let stop = sending.stop.clone();
        let piece = stop.run_until_cancelled(sending.next()).await.flatten()?;
        Some((piece, sending))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
