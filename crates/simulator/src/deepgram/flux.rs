//! Flux's messages: `/v2/listen` of wire-providers.md §1.2. How sure it is that a turn is over grows with
//! the silence behind it.

use std::time::Duration;

use axum::extract::ws::Message;
use serde_json::{Value, json};

use crate::{
    ear::SPEECH,
    g711,
    hearing::{Frames, Out, Then, Wire},
    tone,
};

/// Audio between two updates, ms.
const UPDATE_MS: u64 = 240;
/// Silence after which it is as sure as it gets, ms.
const SURE_MS: f64 = 400.0;
/// How sure it gets.
const SUREST: f64 = 0.95;
/// With [`Fault::Hasty`](crate::hearing::Fault::Hasty): words after which a turn's end is expected.
const HASTY_WORDS: usize = 2;

const KEYS: [&str; 13] = [
    "model",
    "encoding",
    "sample_rate",
    "eot_threshold",
    "eager_eot_threshold",
    "eot_timeout_ms",
    "keyterm",
    "language_hint",
    "profanity_filter",
    "numerals",
    "redact",
    "tag",
    "mip_opt_out",
];

/// When a turn is over.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Thresholds {
    eot: f64,
    eager: Option<f64>,
    timeout_ms: u64,
}

impl Thresholds {
    /// What is wrong with them.
    fn fault(&self) -> Option<&'static str> {
        let (eot, eager) = (self.eot, self.eager);
        if !(0.5..=1.0).contains(&eot) {
            return Some("eot_threshold must be between 0.5 and 1.0");
        }
        if eager.is_some_and(|eager| !(0.3..=0.9).contains(&eager) || eager > eot) {
            return Some(
                "eager_eot_threshold must be between 0.3 and 0.9 and at most eot_threshold",
            );
        }
        let timeout = (500..=60_000).contains(&self.timeout_ms);
        (!timeout).then_some("eot_timeout_ms must be between 500 and 60000")
    }
}

/// What the client asked for.
#[derive(Debug)]
pub(super) struct Wishes {
    multi: bool,
    linear16: bool,
    thresholds: Thresholds,
    hints: Vec<String>,
    keyterms: Vec<String>,
}

impl Wishes {
    /// Reads a query; the error is the vendor's, for a 400.
    pub fn read(query: &[(String, String)]) -> Result<Self, String> {
        if let Some((key, _)) = query.iter().find(|(key, _)| !KEYS.contains(&key.as_str())) {
            return Err(format!("unknown query parameter {key:?}"));
        }
        let get = |name: &str| {
            let found = query.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        let all = |name: &str| -> Vec<String> {
            let found = query.iter().filter(|(key, _)| key == name);
            found.map(|(_, value)| value.clone()).collect()
        };
        let number = |name: &str| -> Result<Option<f64>, String> {
            let value = get(name).map(str::parse).transpose();
            value.map_err(|_| format!("{name} is no number"))
        };
        let multi = match get("model") {
            Some("flux-general-en") => false,
            Some("flux-general-multi") => true,
            other => return Err(format!("no such model: {other:?}")),
        };
        let linear16 = match (get("encoding"), get("sample_rate")) {
            (Some("mulaw"), Some("8000")) => false,
            (Some("linear16"), Some("8000")) => true,
            _ => return Err("unsupported audio".into()),
        };
        let hints = all("language_hint");
        if !hints.is_empty() && (!multi || hints.iter().any(String::is_empty)) {
            return Err("language_hint is for flux-general-multi and must not be empty".into());
        }
        let thresholds = Thresholds {
            eot: number("eot_threshold")?.unwrap_or(0.7),
            eager: number("eager_eot_threshold")?,
            timeout_ms: number("eot_timeout_ms")?.unwrap_or(5000.0) as u64,
        };
        match thresholds.fault() {
            Some(fault) => Err(fault.to_owned()),
            None => Ok(Self {
                multi,
                linear16,
                thresholds,
                hints,
                keyterms: all("keyterm"),
            }),
        }
    }
}

pub(super) struct Flux {
    wishes: Wishes,
    request_id: String,
    never_ends: bool,
    hasty: bool,
    frames: Frames,
    decoder: tone::Decoder,
    transcript: tone::Transcript,
    sequence: u64,
    turn: u64,
    /// The turn has begun.
    open: bool,
    /// Its end is expected: told as eager, with this many words.
    eager: Option<usize>,
    clock_ms: u64,
    window_ms: u64,
    last_speech_ms: u64,
    last_update_ms: u64,
}

impl Flux {
    pub fn new(wishes: Wishes, never_ends: bool, hasty: bool, request_id: String) -> Self {
        Self {
            wishes,
            request_id,
            never_ends,
            hasty,
            frames: Frames::default(),
            decoder: tone::Decoder::default(),
            transcript: tone::Transcript::default(),
            sequence: 0,
            turn: 0,
            open: false,
            eager: None,
            clock_ms: 0,
            window_ms: 0,
            last_speech_ms: 0,
            last_update_ms: 0,
        }
    }

    /// Stamps a message with request and sequence.
    fn stamped(&mut self, mut message: Value) -> Value {
        message["request_id"] = self.request_id.as_str().into();
        message["sequence_id"] = self.sequence.into();
        self.sequence += 1;
        message
    }

    fn event(&mut self, event: &str, sureness: f64, trigger: Option<&str>, out: &mut Out) {
        let words: Vec<Value> = self
            .transcript
            .words()
            .iter()
            .map(|word| json!({"word": word, "confidence": 0.98}))
            .collect();
        let text = self.transcript.text();
        let mut message = self.stamped(json!({
            "type": "TurnInfo", "event": event, "turn_index": self.turn,
            "audio_window_start": self.window_ms as f64 / 1000.0,
            "audio_window_end": self.clock_ms as f64 / 1000.0,
            "transcript": text, "words": words, "end_of_turn_confidence": sureness,
        }));
        if let Some(trigger) = trigger {
            message["trigger"] = trigger.into();
        }
        if self.wishes.multi {
            message["languages"] = json!(["en"]);
            if !self.wishes.hints.is_empty() {
                message["languages_hinted"] = json!(self.wishes.hints);
            }
        }
        let is_end = event == "EndOfTurn";
        out.tell(message, text, is_end, is_end);
    }

    fn end(&mut self, sureness: f64, trigger: &str, out: &mut Out) {
        self.event("EndOfTurn", sureness, Some(trigger), out);
        self.turn += 1;
        self.open = false;
        self.eager = None;
        self.transcript.clear();
        self.window_ms = self.clock_ms;
        self.last_update_ms = self.clock_ms;
    }

    fn frame(&mut self, frame: &[u8], out: &mut Out) {
        self.clock_ms += 20;
        if g711::level(frame) >= SPEECH {
            self.speech(frame, out);
        } else if self.open {
            self.silence(out);
        }
        if self.clock_ms - self.last_update_ms >= UPDATE_MS {
            self.last_update_ms = self.clock_ms;
            self.event("Update", 0.1, None, out);
        }
    }

    fn speech(&mut self, frame: &[u8], out: &mut Out) {
        self.last_speech_ms = self.clock_ms;
        if let Some(note) = self.decoder.frame(frame) {
            self.transcript.add(&note);
        }
        let words = self.transcript.words().len();
        if !self.open && words > 0 {
            self.open = true;
            self.event("StartOfTurn", 0.05, None, out);
        }
        match self.eager {
            Some(told) if !self.hasty || words > told => {
                self.eager = None;
                self.event("TurnResumed", 0.05, None, out);
            }
            None if self.hasty
                && words == HASTY_WORDS
                && self.wishes.thresholds.eager.is_some() =>
            {
                self.eager = Some(words);
                self.event("EagerEndOfTurn", SUREST, None, out);
            }
            _ => {}
        }
    }

    fn silence(&mut self, out: &mut Out) {
        let silence_ms = self.clock_ms - self.last_speech_ms;
        let sureness = (silence_ms as f64 / SURE_MS).min(SUREST);
        let Thresholds {
            eot,
            eager,
            timeout_ms,
        } = self.wishes.thresholds;
        if self.eager.is_none() && eager.is_some_and(|eager| sureness >= eager) {
            self.eager = Some(self.transcript.words().len());
            self.event("EagerEndOfTurn", sureness, None, out);
        }
        if self.never_ends {
            return;
        }
        if sureness >= eot {
            self.end(sureness, "model", out);
        } else if silence_ms >= timeout_ms {
            self.end(sureness, "timeout", out);
        }
    }

    fn configure(&mut self, message: &Value, out: &mut Out) {
        let mut wished = self.wishes.thresholds;
        let given = &message["thresholds"];
        let number = |name: &str| given[name].as_f64();
        wished.eot = number("eot_threshold").unwrap_or(wished.eot);
        wished.eager = number("eager_eot_threshold").or(wished.eager);
        wished.timeout_ms = number("eot_timeout_ms").map_or(wished.timeout_ms, |ms| ms as u64);
        if wished.fault().is_some() {
            let failure = self.stamped(json!({"type": "ConfigureFailure"}));
            return out.say(failure);
        }
        self.wishes.thresholds = wished;
        let list = |name: &str| -> Option<Vec<String>> {
            serde_json::from_value(message[name].clone()).ok()
        };
        if let Some(keyterms) = list("keyterms") {
            self.wishes.keyterms = keyterms;
        }
        if let Some(hints) = list("language_hints") {
            self.wishes.hints = hints;
        }
        // Numbers come back as text.
        let text = |number: f64| Value::from(number.to_string());
        let success = json!({"type": "ConfigureSuccess", "thresholds": {
                "eot_threshold": text(wished.eot), "eager_eot_threshold": wished.eager.map(text),
                "eot_timeout_ms": text(wished.timeout_ms as f64)},
            "keyterms": self.wishes.keyterms, "language_hints": self.wishes.hints});
        let success = self.stamped(success);
        out.say(success);
    }
}

impl Wire for Flux {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(10), 1011, "NET-0001");

    fn greet(&mut self, out: &mut Out) {
        let connected = self.stamped(json!({"type": "Connected"}));
        out.say(connected);
    }

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let text = match message {
            Message::Binary(audio) => {
                let whole = self.frames.add(audio, self.wishes.linear16);
                for frame in whole.chunks_exact(g711::FRAME) {
                    self.frame(frame, out);
                }
                return Then::Listen;
            }
            Message::Text(text) => text.as_str(),
            _ => return Then::Listen,
        };
        let message: Value = serde_json::from_str(text).unwrap_or_default();
        match message["type"].as_str() {
            Some("ForceEndTurn") if self.open => self.end(0.5, "manual", out),
            Some("ForceEndTurn") => {}
            Some("Configure") => self.configure(&message, out),
            Some("CloseStream") => return Then::Close(1000, String::new()),
            _ => {
                let error = self.stamped(json!({"type": "Error",
                    "code": "UNPARSABLE_CLIENT_MESSAGE", "description": "could not parse"}));
                out.say(error);
                return Then::Close(1011, "UNPARSABLE_CLIENT_MESSAGE".into());
            }
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"type": "Error", "code": "INTERNAL_SERVER_ERROR",
            "description": "Internal server error.", "request_id": self.request_id,
            "sequence_id": self.sequence});
        (words, 1011, "INTERNAL_SERVER_ERROR")
    }

    fn heard_ms(&self) -> u64 {
        self.clock_ms
    }
}
