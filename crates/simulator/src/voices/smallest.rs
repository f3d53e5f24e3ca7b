//! Smallest (Waves): `/waves/v1/tts/live` of wire-providers.md §B.3.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Desk, FakeVoice, Fault, Options, bears, next_fault,
    outbox::Outbox,
    session::{Session, Why, Wire},
    sound::Encoding,
};
use crate::Error;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/waves/v1/tts/live", get(speak))
            .with_state(desk)
    })
    .await
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if fault == Some(Fault::HalfOpen) {
        desk.session(std::future::pending()).await;
    }
    let status = match &fault {
        Some(Fault::Status(status)) => Some(*status),
        _ if !bears(&headers, &desk) => Some(401),
        _ => None,
    };
    if let Some(status) = status {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return (status, Json(json!({"error": "refused"}))).into_response();
    }
    let session = Session::new(desk.clone(), fault, Smallest::default());
    desk.upgrade(upgrade, |socket| session.run(socket))
}

#[derive(Default)]
struct Smallest {
    /// Text of a request that goes on.
    buffer: String,
}

impl Wire for Smallest {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(60), 1000, "idle");

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        let id = said["request_id"].as_str().unwrap_or("r").to_owned();
        if said["cancel_request"] == true {
            out.cancel(Some(&id));
            return Ok(());
        }
        let named = |name: &str| said[name].as_str().is_some_and(|text| !text.is_empty());
        let Some(text) = said["text"]
            .as_str()
            .filter(|_| named("voice_id") && named("model"))
        else {
            out.tell(
                &id,
                json!({"status": "error", "request_id": id, "message": "invalid request"}),
            );
            return Ok(());
        };
        self.buffer.push_str(text);
        if said["continue"] == true && said["flush"] != true {
            return Ok(());
        }
        let rate = said["sample_rate"].as_u64().unwrap_or(24_000) as u32;
        let timed = said["word_timestamps"] == true;
        let text = std::mem::take(&mut self.buffer);
        out.speak(&id, text.trim(), Encoding::Pcm(rate), |chunk| {
            let mut messages = Vec::new();
            for (word, start, end) in chunk.words.iter().filter(|_| timed) {
                let seconds = |ms: u64| ms as f64 / 1000.0;
                messages.push(json!({"status": "word_timestamp", "request_id": id,
                    "data": {"word": word, "start": seconds(*start), "end": seconds(*end)}}));
            }
            messages.push(json!({"status": "chunk", "request_id": id,
                "data": {"audio": BASE64_STANDARD.encode(&chunk.audio)}}));
            let texts = messages.into_iter().map(|message| message.to_string());
            texts.map(Message::text).collect()
        });
        out.tell(&id, json!({"status": "complete", "request_id": id}));
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let words = match why {
            Why::Key => "Invalid API key",
            Why::Quota => "Insufficient credits",
            Why::Failure => "Internal error",
        };
        json!({"status": "error", "message": words})
    }
}
