//! Nova's messages: `/v1/listen` of wire-providers.md §1.1.

use std::time::Duration;

use axum::extract::ws::Message;
use serde_json::{Value, json};

use super::Asked;
use crate::{
    ear::{Ear, Finding, Manners},
    g711,
    hearing::{Frames, Out, Then, Wire},
};

pub(super) struct Nova {
    linear16: bool,
    request_id: String,
    ear: Ear,
    frames: Frames,
    never_ends: bool,
}

impl Nova {
    pub fn new(asked: &Asked, interim_ms: u64, never_ends: bool, request_id: String) -> Self {
        let endpointing_ms = match asked.endpointing.as_deref() {
            None => Some(10),
            Some("false") => None,
            Some(ms) => ms.parse().ok(),
        };
        let manners = Manners {
            interim_ms: asked.interim_results.then_some(interim_ms),
            endpointing_ms,
            utterance_end_ms: asked.utterance_end_ms.filter(|_| asked.interim_results),
            vad_events: asked.vad_events,
        };
        Self {
            linear16: asked.encoding == "linear16",
            request_id,
            ear: Ear::new(manners),
            frames: Frames::default(),
            never_ends,
        }
    }

    fn tell(&self, found: Vec<Finding>, from_finalize: bool, out: &mut Out) {
        for finding in found {
            match finding {
                Finding::SpeechStarted(at) => {
                    out.say(json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": at}));
                }
                Finding::UtteranceEnd(_) if self.never_ends => {}
                Finding::UtteranceEnd(at) => {
                    out.say(
                        json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": at}),
                    );
                }
                Finding::Result {
                    start,
                    duration,
                    text,
                    is_final,
                    speech_final,
                } => {
                    let speech_final = speech_final && !self.never_ends;
                    let mut message = self.result(start, duration, &text);
                    message["is_final"] = is_final.into();
                    message["speech_final"] = speech_final.into();
                    message["from_finalize"] = from_finalize.into();
                    out.tell(message, text, is_final, speech_final);
                }
            }
        }
    }

    fn result(&self, start: f64, duration: f64, text: &str) -> Value {
        let count = text.split_whitespace().count().max(1) as f64;
        let words: Vec<Value> = text
            .split_whitespace()
            .enumerate()
            .map(|(n, word)| {
                let at = start + duration * n as f64 / count;
                let plain: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
                json!({"word": plain.to_lowercase(), "start": at, "end": at + duration / count,
                    "confidence": 0.98, "punctuated_word": word})
            })
            .collect();
        let confidence = if text.is_empty() { 0.0 } else { 0.98 };
        json!({
            "type": "Results", "channel_index": [0, 1], "start": start, "duration": duration,
            "channel": {"alternatives": [{"transcript": text, "confidence": confidence, "words": words}]},
            "metadata": {"request_id": self.request_id,
                "model_info": {"name": "general-nova-3", "version": "2025-01-01.0", "arch": "nova-3"},
                "model_uuid": "1ed36bac-f71c-4f3f-a31f-02fd6525c489"},
        })
    }

    fn finalize(&mut self, asked: bool, out: &mut Out) {
        let mut found = Vec::new();
        self.ear.finish(false, &mut found);
        self.tell(found, asked, out);
    }

    fn close(&mut self, out: &mut Out) -> Then {
        self.finalize(false, out);
        out.say(json!({"type": "Metadata", "transaction_key": "deprecated",
            "request_id": self.request_id, "sha256": "0".repeat(64), "created": "2026-11-24T10:00:00.000Z",
            "duration": self.ear.clock_ms() as f64 / 1000.0, "channels": 1, "models": [], "model_info": {}}));
        Then::Close(1000, String::new())
    }
}

impl Wire for Nova {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(10), 1011, "NET-0001");

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        let text = match message {
            // An empty frame is an old form of CloseStream.
            Message::Binary(audio) if audio.is_empty() => return self.close(out),
            Message::Binary(audio) => {
                let mut found = Vec::new();
                let whole = self.frames.add(audio, self.linear16);
                for frame in whole.chunks_exact(g711::FRAME) {
                    self.ear.frame(frame, &mut found);
                }
                self.tell(found, false, out);
                return Then::Listen;
            }
            Message::Text(text) => text.as_str(),
            _ => return Then::Listen,
        };
        let kind = serde_json::from_str::<Value>(text).ok();
        match kind.as_ref().and_then(|kind| kind["type"].as_str()) {
            Some("KeepAlive") => {}
            Some("Finalize") => self.finalize(true, out),
            Some("CloseStream") => return self.close(out),
            _ => out.say(json!({"type": "Error", "variant": "SchemaError",
                "description": "could not deserialize", "message": text})),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"type": "Error", "description": "Internal server error.",
            "message": "", "variant": "InternalError"});
        (words, 1011, "NET-0000")
    }

    fn heard_ms(&self) -> u64 {
        self.ear.clock_ms()
    }
}
