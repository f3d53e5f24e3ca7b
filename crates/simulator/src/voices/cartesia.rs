//! Cartesia: `/tts/websocket` of wire-providers.md §B.1, with the flushes of its API reference.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

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
    shows,
    sound::{Encoding, chunks},
};
use crate::Error;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/tts/websocket", get(speak))
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
    if let Some(Fault::Status(status)) = fault {
        return refused(status, "Refused");
    }
    if !bears(&headers, &desk) && !shows(&headers, "x-api-key", &desk.options.api_key) {
        return refused(401, "Invalid API key");
    }
    if !headers.contains_key("cartesia-version") {
        return refused(400, "Missing Cartesia-Version");
    }
    let session = Session::new(desk.clone(), fault, Cartesia::default());
    let mut response = desk.upgrade(upgrade, |socket| session.run(socket));
    if let Ok(id) = uuid::Uuid::new_v4().to_string().parse() {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}

fn refused(status: u16, title: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"title": title, "message": title, "error_code": "test", "request_id": "r"});
    (status, Json(body)).into_response()
}

#[derive(Default)]
struct Cartesia {
    contexts: BTreeMap<String, Context>,
    /// Contexts that are over; none may be used again.
    over: BTreeSet<String>,
}

struct Context {
    /// What every request of it must say alike.
    common: Value,
    flush_id: u32,
    /// End of its audio so far, ms.
    spoken_ms: u64,
}

impl Wire for Cartesia {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(300), 1000, "idle");

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        let Some(id) = said["context_id"].as_str().map(str::to_owned) else {
            fail(out, None, 400, "context_id is missing");
            return Ok(());
        };
        if said["cancel"] == true {
            self.contexts.remove(&id);
            self.over.insert(id.clone());
            out.cancel(Some(&id));
            return Ok(());
        }
        let Some(transcript) = said["transcript"].as_str() else {
            fail(out, Some(&id), 400, "transcript is missing");
            return Ok(());
        };
        let Some(encoding) = encoding(&said["output_format"]) else {
            fail(out, Some(&id), 400, "unsupported output_format");
            return Ok(());
        };
        if self.over.contains(&id) {
            fail(out, Some(&id), 400, "this context is over");
            return Ok(());
        }
        let mut common = said.clone();
        if let Some(common) = common.as_object_mut() {
            common.retain(|name, _| {
                !["transcript", "continue", "flush", "duration"].contains(&name.as_str())
            });
        }
        let context = self.contexts.entry(id.clone()).or_insert_with(|| Context {
            common: common.clone(),
            flush_id: 1,
            spoken_ms: 0,
        });
        if context.common != common {
            fail(out, Some(&id), 400, "fields differ within a context");
            return Ok(());
        }
        if !transcript.trim().is_empty() {
            context.speak(
                &id,
                transcript.trim(),
                encoding,
                said["add_timestamps"] == true,
                out,
            );
        }
        if said["flush"] == true {
            out.tell(
                &id,
                json!({"type": "flush_done", "done": false, "flush_done": true,
                "flush_id": context.flush_id, "status_code": 206, "context_id": id}),
            );
            context.flush_id += 1;
        }
        if said["continue"] != true {
            out.tell(
                &id,
                json!({"type": "done", "done": true, "status_code": 200, "context_id": id}),
            );
            self.contexts.remove(&id);
            self.over.insert(id);
        }
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let (status, title) = match why {
            Why::Key => (401, "Invalid API key"),
            Why::Quota => (402, "Credit limit reached"),
            Why::Failure => (500, "Internal server error"),
        };
        json!({"type": "error", "done": true, "status_code": status, "title": title, "message": title})
    }
}

impl Context {
    fn speak(&mut self, id: &str, text: &str, encoding: Encoding, timed: bool, out: &mut Outbox) {
        let (flush_id, before) = (self.flush_id, self.spoken_ms);
        out.speak(id, text, encoding, |chunk| {
            let mut messages = Vec::new();
            if timed && !chunk.words.is_empty() {
                // The clock of a context runs on.
                let column = |pick: fn(&(String, u64, u64)) -> u64| -> Vec<f64> {
                    let times = chunk.words.iter().map(pick);
                    times.map(|ms| (before + ms) as f64 / 1000.0).collect()
                };
                let words: Vec<&str> = chunk.words.iter().map(|(word, ..)| word.as_str()).collect();
                messages.push(
                    json!({"type": "timestamps", "done": false, "status_code": 206,
                    "context_id": id, "flush_id": flush_id, "word_timestamps": {"words": words,
                    "start": column(|word| word.1), "end": column(|word| word.2)}}),
                );
            }
            messages.push(
                json!({"type": "chunk", "data": BASE64_STANDARD.encode(&chunk.audio),
                "done": false, "status_code": 206, "step_time": 12.3, "context_id": id,
                "flush_id": flush_id}),
            );
            let texts = messages.into_iter().map(|message| message.to_string());
            texts.map(Message::text).collect()
        });
        self.spoken_ms += chunks(text, encoding)
            .iter()
            .map(|chunk| chunk.ms)
            .sum::<u64>();
    }
}

fn encoding(format: &Value) -> Option<Encoding> {
    let rate = format["sample_rate"].as_u64()?;
    if format["container"] != "raw" || !(8000..=48_000).contains(&rate) {
        return None;
    }
    match format["encoding"].as_str()? {
        "pcm_mulaw" if rate == 8000 => Some(Encoding::Mulaw),
        "pcm_s16le" => Some(Encoding::Pcm(rate as u32)),
        _ => None,
    }
}

fn fail(out: &mut Outbox, context: Option<&str>, status: u16, message: &str) {
    out.tell(
        "",
        json!({"type": "error", "done": true, "status_code": status, "title": "Bad request",
        "message": message, "error_code": "bad_request", "context_id": context}),
    );
}
