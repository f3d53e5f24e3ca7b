//! ElevenLabs Scribe realtime: `/v1/speech-to-text/realtime` of wire-providers.md §4.5.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        Query, State,
        ws::{Message, WebSocketUpgrade},
    },
    http::HeaderMap,
    response::Response,
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{Desk, Fault, Listener, Sound, get as said, listen, refuse, says, unless_endless};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire, next_fault},
};

/// Audio between two partial texts, ms.
const PARTIAL_MS: u64 = 1000;
/// A commit of less audio closes the session, ms.
const SHORTEST_COMMIT_MS: u64 = 300;

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/v1/speech-to-text/realtime", get(open))
}

async fn open(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    let kind = match super::status(fault.as_ref()) {
        Some(400) => Some("invalid_request"),
        Some(402) => Some("quota_exceeded"),
        Some(429) => Some("rate_limited"),
        Some(_) => Some("transcriber_error"),
        None if !says(&headers, "xi-api-key", &desk.options.api_key) => Some("auth_error"),
        None => None,
    };
    if let Some(kind) = kind {
        let why = json!({"message_type": kind, "error": "refused"});
        return refuse(&desk, upgrade, why, 1008);
    }
    match Scribe::new(&query, fault.as_ref()) {
        Ok(wire) => listen(&desk, upgrade, fault, wire),
        Err(error) => {
            let why = json!({"message_type": "invalid_request", "error": error});
            refuse(&desk, upgrade, why, 1008)
        }
    }
}

struct Scribe {
    config: Value,
    rate: u64,
    listener: Listener,
    /// Audio heard at the last commit, ms.
    committed_ms: u64,
}

impl Scribe {
    /// The error is the vendor's.
    fn new(query: &[(String, String)], fault: Option<&Fault>) -> Result<Self, String> {
        if said(query, "model_id") != Some("scribe_v2_realtime") {
            return Err("unknown model_id".into());
        }
        let format = said(query, "audio_format").unwrap_or("pcm_16000");
        let (sound, rate) = match format.split_once('_') {
            Some(("ulaw", "8000")) => (Some(Sound::Mulaw), 8000),
            Some(("pcm", rate)) => {
                let rate = rate.parse().unwrap_or_default();
                (Sound::pcm(rate), rate)
            }
            _ => (None, 0),
        };
        let sound = sound.ok_or(format!("audio_format {format} is not supported"))?;
        let seconds: f64 = match said(query, "vad_silence_threshold_secs").map(str::parse) {
            None => 1.5,
            Some(Ok(seconds)) if (0.3..=3.0).contains(&seconds) => seconds,
            Some(_) => return Err("vad_silence_threshold_secs must be between 0.3 and 3".into()),
        };
        let vad = match said(query, "commit_strategy") {
            Some("vad") => true,
            None | Some("manual") => false,
            Some(other) => return Err(format!("commit_strategy {other} is not supported")),
        };
        if said(query, "language_code").is_some_and(|code| code.contains('-')) {
            return Err("language_code must be ISO 639".into());
        }
        let mut terms = query.iter().filter(|(key, _)| key == "keyterms");
        if terms.any(|(_, term)| term.chars().count() > 20) {
            return Err("a keyterm has more than 20 characters".into());
        }
        let silence_ms = (seconds * 1000.0) as u64;
        let manners = Manners {
            interim_ms: Some(PARTIAL_MS),
            endpointing_ms: unless_endless(fault, silence_ms).filter(|_| vad),
            ..Manners::default()
        };
        Ok(Self {
            config: json!({"sample_rate": rate, "audio_format": format,
                "vad_commit_strategy": vad, "vad_silence_threshold_secs": seconds}),
            rate,
            listener: Listener::new(sound, manners),
            committed_ms: 0,
        })
    }

    fn tell(&mut self, found: Vec<Finding>, out: &mut Out) {
        for finding in found {
            match finding {
                Finding::Result {
                    text,
                    is_final: false,
                    ..
                } => {
                    let message = json!({"message_type": "partial_transcript", "text": text});
                    out.tell(message, text, false, false);
                }
                Finding::Result { text, .. } if !text.is_empty() => self.commit(text, out),
                _ => {}
            }
        }
    }

    fn commit(&mut self, text: String, out: &mut Out) {
        self.committed_ms = self.listener.ms();
        let message = json!({"message_type": "committed_transcript", "text": text});
        out.tell(message, text, true, true);
    }
}

impl Wire for Scribe {
    const IDLE: (Duration, u16, &'static str) =
        (Duration::from_secs(20), 1008, "insufficient_audio_activity");

    fn greet(&mut self, out: &mut Out) {
        out.say(json!({"message_type": "session_started",
            "session_id": uuid::Uuid::new_v4().to_string(), "config": self.config}));
    }

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let input_error = |out: &mut Out, words: &str| {
            out.say(json!({"message_type": "input_error", "error": words}));
            Then::Listen
        };
        let chunk: Value = match message {
            Message::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            _ => return input_error(out, "audio goes as base64 in JSON"),
        };
        let audio = chunk["audio_base_64"].as_str().unwrap_or_default();
        let Ok(audio) = BASE64_STANDARD.decode(audio) else {
            return input_error(out, "audio_base_64 is no base64");
        };
        if chunk["message_type"] != "input_audio_chunk" {
            return input_error(out, "unknown message_type");
        }
        if chunk["sample_rate"]
            .as_u64()
            .is_some_and(|rate| rate != self.rate)
        {
            return input_error(out, "sample_rate is not that of the session");
        }
        let found = self.listener.hear(&audio);
        self.tell(found, out);
        if chunk["commit"] == true {
            if self.listener.ms() - self.committed_ms < SHORTEST_COMMIT_MS {
                out.say(json!({"message_type": "invalid_request",
                    "error": "a commit needs 0.3 seconds of audio"}));
                return Then::Close(1008, String::new());
            }
            let text = self.listener.finish();
            self.commit(text, out);
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"message_type": "transcriber_error", "error": "internal error"});
        (words, 1011, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.ms()
    }
}
