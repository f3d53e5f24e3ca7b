//! Soniox: `/transcribe-websocket` of wire-providers.md §B.10.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        State,
        ws::{Message, WebSocketUpgrade},
    },
    response::Response,
    routing::get,
};
use serde_json::{Value, json};

use super::{Desk, Fault, Listener, Sound, listen, tokens, unless_endless};
use crate::{
    ear::{Finding, Manners},
    hearing::{Out, Then, Wire},
    vendor,
};

/// Speech between two messages, ms.
const STEP_MS: u64 = 200;

pub(super) fn routes() -> Router<Arc<Desk>> {
    Router::new().route("/transcribe-websocket", get(open))
}

async fn open(State(desk): State<Arc<Desk>>, upgrade: WebSocketUpgrade) -> Response {
    let fault = desk.next_fault();
    let wire = Soniox {
        api_key: desk.options.api_key.clone(),
        fault: fault.clone(),
        listener: None,
        settled: 0,
        begun_ms: 0,
        noticed_ms: Vec::new(),
    };
    listen(&desk, upgrade, fault, wire)
}

struct Soniox {
    api_key: String,
    fault: Option<Fault>,
    /// Once the first message was good.
    listener: Option<Listener>,
    /// Words of the open turn that were told as final.
    settled: usize,
    /// When the open turn began, and when each of its words was noticed: its end.
    begun_ms: u64,
    noticed_ms: Vec<u64>,
}

impl Soniox {
    /// The error is a code and its words.
    fn configure(&mut self, config: &Value) -> Result<(), (u16, &'static str)> {
        if let Some(Fault::Status(status)) = self.fault {
            return Err((status, "refused"));
        }
        let key = config["api_key"].as_str().unwrap_or_default();
        if let Some(status) = vendor::refusal_of(key) {
            return Err((status, "refused"));
        }
        if key != self.api_key {
            return Err((401, "Incorrect API key provided."));
        }
        let model = config["model"].as_str().unwrap_or_default();
        if !model.starts_with("stt-rt-") {
            return Err((400, "Unknown model."));
        }
        let rate = config["sample_rate"].as_u64();
        let sound = match (config["audio_format"].as_str(), rate) {
            (Some("mulaw"), Some(8000)) => Some(Sound::Mulaw),
            (Some("pcm_s16le"), Some(rate)) => Sound::pcm(rate),
            _ => None,
        };
        let sound = sound.ok_or((400, "Unsupported audio format."))?;
        let delay = config["max_endpoint_delay_ms"].as_u64().unwrap_or(2000);
        if !(500..=3000).contains(&delay) {
            return Err((400, "max_endpoint_delay_ms must be between 500 and 3000."));
        }
        let detects = config["enable_endpoint_detection"] == true;
        let manners = Manners {
            interim_ms: Some(STEP_MS),
            endpointing_ms: unless_endless(self.fault.as_ref(), delay).filter(|_| detects),
            ..Manners::default()
        };
        self.listener = Some(Listener::new(sound, manners));
        Ok(())
    }

    /// The words up to `settled` as final ones, the others as they stand; `mark` ends the turn.
    fn tell(&mut self, text: &str, settled: usize, mark: Option<&str>, out: &mut Out) {
        let words = tokens(text);
        let ms = self.heard_ms();
        let known = words.len().max(self.noticed_ms.len());
        self.noticed_ms.resize(known, ms);
        let token = |text: &str, (start, end): (u64, u64), is_final: bool| {
            json!({"text": text, "start_ms": start, "end_ms": end, "confidence": 0.98,
                "is_final": is_final, "language": "en"})
        };
        let span = |n: usize| {
            let before = n
                .checked_sub(1)
                .map_or(self.begun_ms, |n| self.noticed_ms[n]);
            (before, self.noticed_ms[n])
        };
        let mut list: Vec<Value> = words
            .iter()
            .enumerate()
            .skip(self.settled)
            .map(|(n, word)| token(word, span(n), n < settled))
            .collect();
        list.extend(mark.map(|mark| token(mark, (ms, ms), true)));
        self.settled = settled;
        if mark.is_some() {
            (self.settled, self.begun_ms) = (0, ms);
            self.noticed_ms.clear();
        }
        let message = json!({"tokens": list, "final_audio_proc_ms": ms, "total_audio_proc_ms": ms});
        let is_final = settled == words.len();
        out.tell(message, text.to_owned(), is_final, mark.is_some());
    }

    fn found(&mut self, found: Vec<Finding>, out: &mut Out) {
        for finding in found {
            let Finding::Result { text, is_final, .. } = finding else {
                continue;
            };
            let words = text.split_whitespace().count();
            match is_final {
                true if words > 0 => self.tell(&text, words, Some("<end>"), out),
                true => {}
                // All but the last word stand.
                false => self.tell(&text, words - 1, None, out),
            }
        }
    }
}

fn error(code: u16, words: &str, out: &mut Out) -> Then {
    out.say(json!({"tokens": [], "error_code": code, "error_message": words}));
    Then::Close(1000, String::new())
}

impl Wire for Soniox {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(20), 1000, "");

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let Some(listener) = &mut self.listener else {
            let config = match message {
                Message::Text(text) => serde_json::from_str(text).unwrap_or_default(),
                _ => Value::Null,
            };
            return match self.configure(&config) {
                Ok(()) => Then::Listen,
                Err((code, words)) => error(code, words, out),
            };
        };
        let text = match message {
            Message::Binary(audio) => {
                let found = listener.hear(audio);
                self.found(found, out);
                return Then::Listen;
            }
            Message::Text(text) => text.as_str(),
            _ => return Then::Listen,
        };
        let asked: Value = serde_json::from_str(text).unwrap_or_default();
        match asked["type"].as_str() {
            Some("keepalive") => {}
            Some("finalize") => {
                let words = listener.finish();
                let count = words.split_whitespace().count();
                self.tell(&words, count, Some("<fin>"), out);
            }
            None if text.is_empty() => {
                let words = listener.finish();
                let count = words.split_whitespace().count();
                if count > 0 {
                    self.tell(&words, count, None, out);
                }
                let ms = self.heard_ms();
                out.say(json!({"tokens": [], "final_audio_proc_ms": ms,
                    "total_audio_proc_ms": ms, "finished": true}));
                return Then::Close(1000, String::new());
            }
            _ => return error(400, "Unknown request.", out),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"tokens": [], "error_code": 503, "error_message": "Cannot continue."});
        (words, 1000, "")
    }

    fn heard_ms(&self) -> u64 {
        self.listener.as_ref().map_or(0, Listener::ms)
    }
}
