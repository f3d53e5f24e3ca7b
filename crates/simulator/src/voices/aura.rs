//! Deepgram Aura: `/v1/speak` of wire-providers.md §2.1. No contexts; binary audio; a clear is told.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    Desk, FakeVoice, Fault, Options, next_fault,
    outbox::Outbox,
    session::{Session, Why, Wire},
    shows,
    sound::{Encoding, sentences},
};
use crate::Error;

/// Flushes that the vendor takes within [`WINDOW`].
const FLUSHES: usize = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Characters of one text.
const LONGEST: usize = 2000;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/v1/speak", get(speak))
            .with_state(desk)
    })
    .await
}

#[derive(Deserialize)]
struct Asked {
    model: Option<String>,
    encoding: Option<String>,
    sample_rate: Option<u32>,
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if fault == Some(Fault::HalfOpen) {
        desk.session(std::future::pending()).await;
    }
    if let Some(Fault::Status(status)) = fault {
        return refused(status, "TEST", "Refused.");
    }
    if !shows(
        &headers,
        "authorization",
        &format!("Token {}", desk.options.api_key),
    ) {
        return refused(401, "INVALID_AUTH", "Invalid credentials.");
    }
    let rate = asked.sample_rate.unwrap_or(24_000);
    let encoding = match (asked.encoding.as_deref().unwrap_or("linear16"), rate) {
        ("mulaw", 8000) => Encoding::Mulaw,
        ("linear16", 8000 | 16_000 | 24_000 | 32_000 | 48_000) => Encoding::Pcm(rate),
        _ => return refused(400, "Bad Request", "Bad Request: unsupported audio format"),
    };
    let model = asked.model.unwrap_or_else(|| "aura-asteria-en".into());
    if !model.starts_with("aura-") || model.split('-').count() < 3 {
        return refused(400, "Bad Request", "Bad Request: no such model");
    }
    let wire = Aura {
        model,
        encoding,
        buffer: String::new(),
        flushes: VecDeque::new(),
        flushed: 0,
        cleared: 0,
    };
    let session = Session::new(desk.clone(), fault, wire);
    desk.upgrade(upgrade, |socket| session.run(socket))
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = uuid::Uuid::new_v4().to_string();
    let body = json!({"err_code": code, "err_msg": message, "request_id": id});
    let headers = [("dg-error", message.to_owned()), ("dg-request-id", id)];
    (status, headers, Json(body)).into_response()
}

struct Aura {
    model: String,
    encoding: Encoding,
    /// Text that waits for a sentence's end or a flush.
    buffer: String,
    flushes: VecDeque<Instant>,
    flushed: u32,
    cleared: u32,
}

impl Wire for Aura {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(60), 1011, "NET-0001");

    fn greet(&mut self, out: &mut Outbox) {
        let id = uuid::Uuid::new_v4();
        let metadata = json!({"type": "Metadata", "request_id": id, "model_name": self.model,
            "model_version": "2025-01-01.0", "model_uuid": uuid::Uuid::new_v4()});
        out.tell("", metadata);
    }

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        match said["type"].as_str() {
            Some("Speak") => {
                let text = said["text"].as_str().ok_or((1008, "DATA-0000"))?;
                if text.chars().count() > LONGEST {
                    return Err((1009, "BIG-0001"));
                }
                self.buffer.push_str(text);
                for sentence in sentences(&mut self.buffer) {
                    self.speak(&sentence, out);
                }
            }
            Some("Flush") => {
                let now = Instant::now();
                self.flushes.retain(|at| now.duration_since(*at) < WINDOW);
                if self.flushes.len() >= FLUSHES {
                    out.tell(
                        "",
                        json!({"type": "Warning", "code": "EXCESSIVE_FLUSH",
                        "description": "Too many flushes; this one is not processed."}),
                    );
                    return Ok(());
                }
                self.flushes.push_back(now);
                let text = std::mem::take(&mut self.buffer);
                self.speak(&text, out);
                out.tell("", json!({"type": "Flushed", "sequence_id": self.flushed}));
                self.flushed += 1;
            }
            Some("Clear") => {
                self.buffer.clear();
                out.cancel(None);
                out.tell("", json!({"type": "Cleared", "sequence_id": self.cleared}));
                self.cleared += 1;
            }
            Some("Close") => {
                let text = std::mem::take(&mut self.buffer);
                self.speak(&text, out);
                out.close(1000, "");
            }
            _ => return Err((1003, "MESSAGE-0000")),
        }
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let (code, words) = match why {
            Why::Key => ("INVALID_AUTH", "Invalid credentials: unauthorized."),
            Why::Quota => ("ASR_PAYMENT_REQUIRED", "Out of credit."),
            Why::Failure => ("INTERNAL_SERVER_ERROR", "Something went wrong."),
        };
        json!({"type": "Error", "code": code, "description": words})
    }
}

impl Aura {
    fn speak(&self, text: &str, out: &mut Outbox) {
        let text = text.trim();
        if !text.is_empty() {
            out.speak("", text, self.encoding, |chunk| {
                vec![Message::binary(chunk.audio.clone())]
            });
        }
    }
}
