//! OpenAI's transcription sessions: `/v1/realtime?intent=transcription` of wire-providers.md §5.1.

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

use super::{
    Desk, Fault, Listener, Sound, bears, get as said, listen, refuse, tokens, unless_endless,
};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire, next_fault},
};

/// Less audio than this is no segment, ms.
const SHORTEST_MS: u64 = 100;
/// Models that detect no turns, and write while the caller speaks.
const LIVE: [&str; 2] = ["gpt-realtime-whisper", "gpt-live-transcribe"];
const OTHERS: [&str; 4] = [
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
];

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/v1/realtime", get(open))
}

async fn open(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    let event = |kind: &str, code: &str| event_error(kind, code, "refused");
    match super::status(fault.as_ref()) {
        Some(400) => {
            let why = event("invalid_request_error", "invalid_value");
            return refuse(&desk, upgrade, why, 4004);
        }
        Some(402) => {
            let why = event("insufficient_quota", "insufficient_quota");
            return refuse(&desk, upgrade, why, 4004);
        }
        Some(429) => return error(429, "rate_limit_error", "rate_limit_exceeded"),
        Some(status) => return error(status, "server_error", "server_error"),
        None => {}
    }
    if !bears(&headers, &desk) {
        return error(401, "invalid_request_error", "invalid_api_key");
    }
    if said(&query, "intent") != Some("transcription") {
        return error(400, "invalid_request_error", "missing_model");
    }
    let endless = fault == Some(Fault::NeverEnds);
    listen(&desk, upgrade, fault, OpenAi::new(endless))
}

fn error(status: u16, kind: &str, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let error = json!({"message": "refused", "type": kind, "param": null, "code": code});
    (status, Json(json!({"error": error}))).into_response()
}

fn id(kind: &str) -> String {
    format!("{kind}_{}", uuid::Uuid::new_v4().simple())
}

fn event_error(kind: &str, code: &str, words: &str) -> Value {
    json!({"type": "error", "event_id": id("event"), "error": {"type": kind, "code": code,
        "message": words, "param": null, "event_id": null}})
}

struct OpenAi {
    endless: bool,
    session: Value,
    is_live: bool,
    listener: Listener,
    /// Audio heard at the last commit, ms.
    committed_ms: u64,
    /// The segment that is open, and the characters of it that were told.
    item: (String, usize),
    last_item: Option<String>,
}

impl OpenAi {
    fn new(endless: bool) -> Self {
        let session = json!({"type": "transcription", "object": "realtime.transcription_session",
            "id": id("sess"), "audio": {"input": {"format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": null, "noise_reduction": null, "turn_detection": null}}});
        Self {
            endless,
            session,
            is_live: false,
            listener: Listener::new(Sound::Pcm(3), Manners::default()),
            committed_ms: 0,
            item: (id("item"), 0),
            last_item: None,
        }
    }

    /// The error is the vendor's words.
    fn update(&mut self, session: &Value) -> Result<(), &'static str> {
        if session["type"] != "transcription" {
            return Err(
                "Passing a realtime session update event to a transcription session is not allowed.",
            );
        }
        let input = &session["audio"]["input"];
        let format = &input["format"];
        let sound = match (format["type"].as_str(), format["rate"].as_u64()) {
            (Some("audio/pcmu"), None) => Sound::Mulaw,
            (Some("audio/pcm"), Some(24_000)) => Sound::Pcm(3),
            _ => return Err("Unsupported session.audio.input.format."),
        };
        let transcription = &input["transcription"];
        let model = transcription["model"].as_str().unwrap_or_default();
        let is_live = LIVE.contains(&model);
        if !is_live && !OTHERS.contains(&model) {
            return Err("Unknown session.audio.input.transcription.model.");
        }
        let takes_hints = ["gpt-transcribe", "gpt-live-transcribe"].contains(&model);
        let hints = [&transcription["keywords"], &transcription["languages"]];
        if !takes_hints && hints.iter().any(|hint| !hint.is_null()) {
            return Err("This model takes neither keywords nor languages.");
        }
        if model == "gpt-realtime-whisper" && !transcription["prompt"].is_null() {
            return Err("This model takes no prompt.");
        }
        let delays = ["minimal", "low", "medium", "high", "xhigh"];
        if let Some(delay) = transcription["delay"].as_str()
            && (model != "gpt-realtime-whisper" || !delays.contains(&delay))
        {
            return Err("Unsupported session.audio.input.transcription.delay.");
        }
        let noise = input["noise_reduction"].get("type");
        if noise.is_some_and(|kind| kind != "near_field" && kind != "far_field") {
            return Err("Unsupported session.audio.input.noise_reduction.");
        }
        let turns = &input["turn_detection"];
        let silence = match turns["type"].as_str() {
            None => None,
            Some(_) if is_live => return Err("This model does not support turn detection."),
            Some("server_vad") => Some(turns["silence_duration_ms"].as_u64().unwrap_or(500)),
            Some(_) => return Err("Unsupported session.audio.input.turn_detection."),
        };
        let fault = self.endless.then_some(Fault::NeverEnds);
        let manners = Manners {
            interim_ms: is_live.then_some(200),
            endpointing_ms: silence.and_then(|silence| unless_endless(fault.as_ref(), silence)),
            vad_events: silence.is_some(),
            ..Manners::default()
        };
        self.is_live = is_live;
        self.listener = Listener::new(sound, manners);
        self.session["audio"]["input"] = input.clone();
        Ok(())
    }

    fn say(&self, kind: &str, mut more: Value, out: &mut Out) {
        more["type"] = kind.into();
        more["event_id"] = id("event").into();
        out.say(more);
    }

    fn delta(&mut self, text: &str, out: &mut Out) {
        for token in tokens(text).iter().skip(self.item.1) {
            let kind = "conversation.item.input_audio_transcription.delta";
            let delta = json!({"type": kind, "event_id": id("event"), "item_id": self.item.0,
                "content_index": 0, "delta": token});
            out.tell(delta, token.clone(), false, false);
            self.item.1 += 1;
        }
    }

    fn commit(&mut self, text: String, out: &mut Out) {
        let seconds = (self.listener.ms() - self.committed_ms) as f64 / 1000.0;
        self.committed_ms = self.listener.ms();
        let item = self.item.0.clone();
        let committed = json!({"item_id": item, "previous_item_id": self.last_item});
        self.say("input_audio_buffer.committed", committed, out);
        self.delta(&text, out);
        let kind = "conversation.item.input_audio_transcription.completed";
        let completed = json!({"type": kind, "event_id": id("event"), "item_id": item,
            "content_index": 0, "transcript": text,
            "usage": {"type": "duration", "seconds": seconds}});
        out.tell(completed, text, true, true);
        self.last_item = Some(std::mem::replace(&mut self.item, (id("item"), 0)).0);
    }

    fn found(&mut self, found: Vec<Finding>, out: &mut Out) {
        for finding in found {
            let item = self.item.0.clone();
            let ms = self.listener.ms();
            match finding {
                Finding::SpeechStarted(at) => {
                    let started = json!({"audio_start_ms": (at * 1000.0) as u64, "item_id": item});
                    self.say("input_audio_buffer.speech_started", started, out);
                }
                Finding::Result {
                    text,
                    is_final: false,
                    ..
                } => self.delta(&text, out),
                Finding::Result { text, .. } => {
                    let stopped = json!({"audio_end_ms": ms, "item_id": item});
                    self.say("input_audio_buffer.speech_stopped", stopped, out);
                    self.commit(text, out);
                }
                Finding::UtteranceEnd(_) => {}
            }
        }
    }
}

impl Wire for OpenAi {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(3600), 1000, "");

    fn greet(&mut self, out: &mut Out) {
        self.say("session.created", json!({"session": self.session}), out);
    }

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let event: Value = match message {
            Message::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            _ => Value::Null,
        };
        let refused = |code: &str, words: &str, out: &mut Out| {
            out.say(event_error("invalid_request_error", code, words));
            Then::Listen
        };
        match event["type"].as_str() {
            Some("session.update") => match self.update(&event["session"]) {
                Ok(()) => self.say("session.updated", json!({"session": self.session}), out),
                Err(words) => return refused("invalid_value", words, out),
            },
            Some("input_audio_buffer.append") => {
                let audio = event["audio"].as_str().unwrap_or_default();
                match BASE64_STANDARD.decode(audio) {
                    Ok(audio) if !audio.is_empty() => {
                        let found = self.listener.hear(&audio);
                        self.found(found, out);
                    }
                    _ => return refused("invalid_value", "audio is no base64", out),
                }
            }
            Some("input_audio_buffer.commit") => {
                if self.listener.ms() - self.committed_ms < SHORTEST_MS {
                    let words = "Error committing input audio buffer: buffer too small.";
                    return refused("input_audio_buffer_commit_empty", words, out);
                }
                let text = self.listener.finish();
                self.commit(text, out);
            }
            Some("input_audio_buffer.clear") => {
                self.listener.finish();
                self.say("input_audio_buffer.cleared", json!({}), out);
            }
            _ => return refused("invalid_event", "unknown event", out),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = event_error("server_error", "server_error", "internal error");
        (words, 1011, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.ms()
    }
}
