//! Smallest's Pulse: `/waves/v1/stt/live` of wire-providers.md §B.3.

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
use serde_json::{Value, json};

use super::{Desk, Fault, Listener, Sound, bears, get as said, listen, unless_endless};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire, next_fault},
};

/// Speech between two interim texts, ms.
const INTERIM_MS: u64 = 200;

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/waves/v1/stt/live", get(open))
}

async fn open(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if let Some(status) = super::status(fault.as_ref()) {
        return refused(status, "refused");
    }
    if !bears(&headers, &desk) {
        return refused(401, "Invalid API key");
    }
    match Pulse::new(&query, fault.as_ref()) {
        Some(wire) => listen(&desk, upgrade, fault, wire),
        None => refused(400, "Invalid query parameters"),
    }
}

fn refused(status: u16, words: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, Json(json!({"error": words}))).into_response()
}

struct Pulse {
    session: String,
    language: String,
    events: bool,
    timed: bool,
    listener: Listener,
    /// Audio heard at the last final, ms.
    told_ms: u64,
    /// Finals so far, joined.
    full: String,
}

/// Which rule made a text final.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Final {
    No,
    Silence,
    Asked,
    Last,
}

impl Pulse {
    /// `None` where the query is at fault.
    fn new(query: &[(String, String)], fault: Option<&Fault>) -> Option<Self> {
        let rate = said(query, "sample_rate").map_or(Some(16_000), |rate| rate.parse().ok())?;
        let sound = match (said(query, "encoding").unwrap_or("linear16"), rate) {
            ("mulaw", 8000) => Some(Sound::Mulaw),
            ("linear16", rate) => Sound::pcm(rate),
            _ => None,
        }?;
        if said(query, "model") != Some("pulse") {
            return None;
        }
        let silence = said(query, "endpointing_timeout").map_or(Some(600), |ms| ms.parse().ok())?;
        let yes = |name: &str| said(query, name) == Some("true");
        let manners = Manners {
            interim_ms: Some(INTERIM_MS),
            endpointing_ms: unless_endless(fault, silence).filter(|_| yes("endpointing")),
            vad_events: true,
            ..Manners::default()
        };
        Some(Self {
            session: uuid::Uuid::new_v4().to_string(),
            language: said(query, "language").unwrap_or("en").to_owned(),
            events: yes("vad_events"),
            timed: yes("word_timestamps"),
            told_ms: 0,
            listener: Listener::new(sound, manners),
            full: String::new(),
        })
    }

    fn tell(&mut self, text: String, rule: Final, out: &mut Out) {
        if rule != Final::No && !text.is_empty() {
            self.full = format!("{} {text}", self.full).trim().to_owned();
        }
        let words = self.words(&text);
        if rule != Final::No {
            self.told_ms = self.listener.ms();
        }
        let message = json!({"session_id": self.session, "type": "transcription",
            "transcript": text, "transcription": text, "full_transcript": self.full,
            "is_final": rule != Final::No, "is_last": rule == Final::Last,
            "from_finalize": rule == Final::Asked, "speech_final": rule == Final::Silence,
            "language": self.language, "words": words});
        out.tell(message, text, rule != Final::No, rule == Final::Silence);
    }

    /// The words of a text, spread over the audio since the last final.
    fn words(&self, text: &str) -> Vec<Value> {
        let words: Vec<&str> = text.split_whitespace().filter(|_| self.timed).collect();
        let (begun, length) = (self.told_ms, self.listener.ms() - self.told_ms);
        let seconds = |n: usize| (begun + length * n as u64 / words.len() as u64) as f64 / 1000.0;
        (words.iter().enumerate())
            .map(|(n, word)| {
                json!({"word": word, "start": seconds(n), "end": seconds(n + 1), "confidence": 0.98})
            })
            .collect()
    }

    fn event(&self, kind: &str, out: &mut Out) {
        if self.events {
            out.say(json!({"session_id": self.session, "type": kind}));
        }
    }
}

impl Wire for Pulse {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(20), 1000, "idle");

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let text = match message {
            Message::Binary(audio) => {
                for finding in self.listener.hear(audio) {
                    match finding {
                        Finding::SpeechStarted(_) => self.event("speech_started", out),
                        Finding::Result {
                            text,
                            is_final: false,
                            ..
                        } => self.tell(text, Final::No, out),
                        Finding::Result { text, .. } => {
                            if !text.is_empty() {
                                self.tell(text, Final::Silence, out);
                            }
                            self.event("speech_ended", out);
                        }
                        Finding::UtteranceEnd(_) => {}
                    }
                }
                return Then::Listen;
            }
            Message::Text(text) => text.as_str(),
            _ => return Then::Listen,
        };
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        match asked["type"].as_str() {
            Some("keepalive") => out.say(json!({"type": "pong"})),
            Some("finalize") => {
                let text = self.listener.finish();
                self.tell(text, Final::Asked, out);
            }
            Some("close_stream") => {
                let text = self.listener.finish();
                self.tell(text, Final::Last, out);
                return Then::Close(1000, String::new());
            }
            _ => out.say(json!({"type": "error", "status": 400, "message": "unknown message"})),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"type": "error", "status": 500, "message": "internal error"});
        (words, 1011, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.ms()
    }
}
