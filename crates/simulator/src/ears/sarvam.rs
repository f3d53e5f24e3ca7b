//! Sarvam: `/speech-to-text/ws` of wire-providers.md §B.2.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{
        Query, State,
        ws::{Message, WebSocketUpgrade},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Desk, Fault, Listener, Sound, get as said, listen, refuse, says, unless_endless};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire, next_fault},
};

/// Silence that ends speech, ms.
const SILENCE_MS: u64 = 300;

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/speech-to-text/ws", get(open))
}

async fn open(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    match super::status(fault.as_ref()) {
        Some(400) => {
            let data = json!({"message": "refused", "code": 422, "request_id": request_id()});
            return refuse(&desk, upgrade, json!({"type": "error", "data": data}), 1003);
        }
        Some(402) => return error(429, "insufficient_quota_error"),
        Some(429) => return error(429, "rate_limit_exceeded_error"),
        Some(status) => return error(status, "internal_server_error"),
        None => {}
    }
    if !says(&headers, "api-subscription-key", &desk.options.api_key) {
        return error(403, "invalid_api_key_error");
    }
    match Sarvam::new(&query, fault.as_ref()) {
        Some(wire) => listen(&desk, upgrade, fault, wire),
        None => error(400, "invalid_request_error"),
    }
}

fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn error(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({"message": "refused", "code": code, "request_id": request_id()});
    (status, Json(json!({"error": error}))).into_response()
}

struct Sarvam {
    language: String,
    rate: u64,
    events: bool,
    flushes: bool,
    listener: Listener,
}

impl Sarvam {
    /// `None` where the query is at fault.
    fn new(query: &[(String, String)], fault: Option<&Fault>) -> Option<Self> {
        let language = said(query, "language-code").unwrap_or("unknown");
        let known_language = language == "unknown" || language.ends_with("-IN");
        let model = said(query, "model").unwrap_or("saaras:v4");
        let known_model = ["saarika:v2.5", "saaras:v3", "saaras:v4"].contains(&model);
        let terms_fit = said(query, "keyterms").is_none() || model == "saaras:v4";
        let mode_fits = said(query, "mode").is_none() || model != "saarika:v2.5";
        let rate = said(query, "sample_rate").map_or(Some(16_000), |rate| rate.parse().ok())?;
        if !(known_language
            && known_model
            && terms_fit
            && mode_fits
            && [8000, 16_000].contains(&rate))
        {
            return None;
        }
        let yes = |name: &str| said(query, name) == Some("true");
        let manners = Manners {
            endpointing_ms: unless_endless(fault, SILENCE_MS),
            vad_events: true,
            ..Manners::default()
        };
        Some(Self {
            language: language.to_owned(),
            rate,
            events: yes("vad_signals"),
            flushes: yes("flush_signal"),
            listener: Listener::new(Sound::pcm(rate)?, manners),
        })
    }

    fn event(&self, signal: &str, out: &mut Out) {
        if self.events {
            let data = json!({"event_type": null, "timestamp": null, "signal_type": signal,
                "occured_at": 1_790_000_000.5});
            out.say(json!({"type": "events", "data": data}));
        }
    }

    fn data(&self, text: String, seconds: f64, out: &mut Out) {
        if text.is_empty() {
            return;
        }
        let data = json!({"request_id": request_id(), "transcript": text, "timestamps": null,
            "diarized_transcript": null, "language_code": self.language, "language_probability": null,
            "metrics": {"audio_duration": seconds, "processing_latency": 0.1}});
        out.tell(json!({"type": "data", "data": data}), text, true, false);
    }

    /// The samples of a WAV file, or the bytes as they are.
    fn samples<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        if !file.starts_with(b"RIFF") {
            return Some(file);
        }
        let rate = u32::from_le_bytes(file.get(24..28)?.try_into().ok()?);
        let is_pcm16 = file.get(20..24)? == [1, 0, 1, 0] && file.get(34..36)? == [16, 0];
        (is_pcm16 && u64::from(rate) == self.rate).then(|| file.get(44..))?
    }
}

impl Wire for Sarvam {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(60), 1000, "idle");

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let message: Value = match message {
            Message::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            _ => Value::Null,
        };
        if message["type"] == "flush" && self.flushes {
            let text = self.listener.finish();
            self.data(text, 1.0, out);
            return Then::Listen;
        }
        let file = message["audio"]["data"].as_str().unwrap_or_default();
        let file = BASE64_STANDARD.decode(file).unwrap_or_default();
        let is_wav = message["audio"]["encoding"] == "audio/wav";
        let samples = self
            .samples(&file)
            .filter(|audio| is_wav && !audio.is_empty());
        let Some(samples) = samples else {
            let data = json!({"message": "no audio in the message", "code": 422,
                "request_id": request_id()});
            out.say(json!({"type": "error", "data": data}));
            return Then::Close(1003, String::new());
        };
        for finding in self.listener.hear(samples) {
            match finding {
                Finding::SpeechStarted(_) => self.event("START_SPEECH", out),
                Finding::Result { text, duration, .. } => {
                    self.event("END_SPEECH", out);
                    self.data(text, duration, out);
                }
                Finding::UtteranceEnd(_) => {}
            }
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let data = json!({"message": "internal error", "code": "internal_server_error",
            "request_id": request_id()});
        (json!({"type": "error", "data": data}), 1011, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.ms()
    }
}
