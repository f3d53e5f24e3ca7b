//! Gladia: `POST /v2/live` and the socket that it names, of wire-providers.md §B.9.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        Query, State,
        ws::{Message, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Desk, Fault, Listener, Sound, get as said, listen, says, unless_endless};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire, next_fault},
    vendor,
};

/// Audio between two partial texts, ms.
const PARTIAL_MS: u64 = 200;

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/v2/live", post(ask).get(open))
}

/// What the address of a session carries from the request to the socket.
#[derive(Serialize, Deserialize)]
struct Pass {
    config: Value,
    fault: Option<Fault>,
}

async fn ask(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(config): Json<Value>,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if let Some(status) = super::status(fault.as_ref()) {
        return refused(status, "refused");
    }
    if !says(&headers, "x-gladia-key", &desk.options.api_key) {
        return refused(401, "gladia key not found");
    }
    if let Err(words) = Gladia::new(&config, None) {
        return refused(400, words);
    }
    let Ok(pass) = serde_json::to_vec(&Pass { config, fault }) else {
        return refused(500, "no session");
    };
    let host = headers.get("host").and_then(|host| host.to_str().ok());
    let token = BASE64_URL_SAFE_NO_PAD.encode(pass);
    let url = format!("ws://{}/v2/live?token={token}", host.unwrap_or_default());
    let id = uuid::Uuid::new_v4().to_string();
    let created = "2026-11-24T10:00:00.000Z";
    let session = json!({"id": id, "created_at": created, "url": url});
    (StatusCode::CREATED, Json(session)).into_response()
}

fn refused(status: u16, words: &str) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"timestamp": "2026-11-24T10:00:00.000Z", "path": "/v2/live",
        "request_id": "G-1", "statusCode": status, "message": words});
    (code, Json(body)).into_response()
}

async fn open(
    State(desk): State<Arc<Desk>>,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let token = said(&query, "token").unwrap_or_default();
    let pass = BASE64_URL_SAFE_NO_PAD.decode(token).unwrap_or_default();
    let pass: Option<Pass> = serde_json::from_slice(&pass).ok();
    let wire = pass.and_then(|pass| {
        let wire = Gladia::new(&pass.config, pass.fault.as_ref()).ok()?;
        Some((wire, pass.fault))
    });
    match wire {
        Some((wire, fault)) => listen(&desk, upgrade, fault, wire),
        None => desk.upgrade(upgrade, |mut socket| async move {
            vendor::close(&mut socket, 4401, "invalid token").await;
        }),
    }
}

struct Gladia {
    session: String,
    partials: bool,
    speech_events: bool,
    listener: Listener,
    /// Utterances so far.
    count: u32,
}

impl Gladia {
    /// The error is the vendor's.
    fn new(config: &Value, fault: Option<&Fault>) -> Result<Self, &'static str> {
        let rate = config["sample_rate"].as_u64().unwrap_or(16_000);
        let depth = config["bit_depth"].as_u64().unwrap_or(16);
        let sound = match (
            config["encoding"].as_str().unwrap_or("wav/pcm"),
            depth,
            rate,
        ) {
            ("wav/ulaw", 8, 8000) => Some(Sound::Mulaw),
            ("wav/pcm", 16, rate) => Sound::pcm(rate),
            _ => None,
        };
        let sound = sound.ok_or("encoding is not supported")?;
        // In seconds.
        let endpointing = config["endpointing"].as_f64().unwrap_or(0.05);
        if !(0.01..=10.0).contains(&endpointing) {
            return Err("endpointing must be between 0.01 and 10");
        }
        let longest = config["maximum_duration_without_endpointing"].as_f64();
        if !(5.0..=60.0).contains(&longest.unwrap_or(5.0)) {
            return Err("maximum_duration_without_endpointing must be between 5 and 60");
        }
        let wants = |name: &str| config["messages_config"][name] == true;
        let endpointing_ms = (endpointing * 1000.0) as u64;
        let manners = Manners {
            interim_ms: wants("receive_partial_transcripts").then_some(PARTIAL_MS),
            endpointing_ms: unless_endless(fault, endpointing_ms),
            vad_events: true,
            ..Manners::default()
        };
        Ok(Self {
            session: uuid::Uuid::new_v4().to_string(),
            partials: wants("receive_partial_transcripts"),
            speech_events: wants("receive_speech_events"),
            listener: Listener::new(sound, manners),
            count: 0,
        })
    }

    fn event(&self, kind: &str, out: &mut Out) {
        if self.speech_events {
            let time = self.heard_ms() as f64 / 1000.0;
            out.say(json!({"type": kind, "session_id": self.session,
                "created_at": "2026-11-24T10:00:00.000Z", "data": {"time": time, "channel": 0}}));
        }
    }

    fn transcript(&mut self, text: String, is_final: bool, out: &mut Out) {
        if text.is_empty() || !is_final && !self.partials {
            return;
        }
        let id = format!("00_{:08}", self.count);
        let end = self.heard_ms() as f64 / 1000.0;
        let utterance = json!({"text": text, "start": 0.0, "end": end, "language": "en",
            "confidence": 0.98, "channel": 0, "words": []});
        let message = json!({"type": "transcript", "session_id": self.session,
            "created_at": "2026-11-24T10:00:00.000Z",
            "data": {"id": id, "is_final": is_final, "utterance": utterance}});
        out.tell(message, text, is_final, is_final);
        self.count += u32::from(is_final);
    }

    fn hear(&mut self, audio: &[u8], out: &mut Out) {
        for finding in self.listener.hear(audio) {
            match finding {
                Finding::SpeechStarted(_) => self.event("speech_start", out),
                Finding::Result { text, is_final, .. } => {
                    if is_final {
                        self.event("speech_end", out);
                    }
                    self.transcript(text, is_final, out);
                }
                Finding::UtteranceEnd(_) => {}
            }
        }
    }
}

impl Wire for Gladia {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(60), 4408, "idle");

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let text = match message {
            Message::Binary(audio) => {
                self.hear(audio, out);
                return Then::Listen;
            }
            Message::Text(text) => text.as_str(),
            _ => return Then::Listen,
        };
        let action: Value = serde_json::from_str(text).unwrap_or_default();
        let chunk = action["data"]["chunk"].as_str().unwrap_or_default();
        match (action["type"].as_str(), BASE64_STANDARD.decode(chunk)) {
            (Some("audio_chunk"), Ok(audio)) => self.hear(&audio, out),
            (Some("stop_recording"), _) => {
                let text = self.listener.finish();
                self.transcript(text, true, out);
                return Then::Close(1000, String::new());
            }
            _ => out.say(json!({"type": "error", "session_id": self.session,
                "data": {"message": "unknown action"}})),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"type": "error", "session_id": self.session,
            "data": {"message": "internal error"}});
        (words, 1011, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.ms()
    }
}
