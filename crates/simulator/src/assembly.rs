//! A fake AssemblyAI: `/v3/ws` of wire-providers.md §B.8. Lets everybody in and only then says who may not
//! stay, as the vendor does; a session's length is that of its audio.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State, WebSocketUpgrade, ws::Message},
    http::HeaderMap,
    response::Response,
    routing::get,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Error, FakeVendor, Jitter, g711,
    hearing::{self, Fault, Frames, Out, Pace, Then, Wire},
    server, tone, vendor,
};

/// Mean level from which a frame counts as speech.
const SPEECH: u32 = 220;
/// Audio between two looks at an open turn, ms.
const LOOK_MS: u64 = 200;

/// How a fake AssemblyAI is set up; the defaults suit tests.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in.
    pub api_key: String,
    /// How long a result takes after the audio that caused it. Default 0.
    pub result_delay: Duration,
    /// How that scatters. Default: not at all.
    pub jitter: Jitter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: "assembly-test-key".into(),
            result_delay: Duration::ZERO,
            jitter: Jitter::default(),
        }
    }
}

type Desk = vendor::Desk<Options, Fault>;

/// A running fake. Stops with its sessions when dropped.
pub type FakeAssembly = FakeVendor<Options, Fault>;

impl FakeAssembly {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        Self::serve(options.addr, options, |desk| {
            Router::new().route("/v3/ws", get(listen)).with_state(desk)
        })
        .await
    }

    /// `ws://127.0.0.1:<port>`: stands in for `wss://streaming.assemblyai.com`.
    pub fn base_url(&self) -> String {
        format!("ws://{}", self.addr())
    }

    /// The key that is let in.
    pub fn api_key(&self) -> &str {
        &self.options().api_key
    }

    /// Length of all sessions, ms: what the vendor would bill.
    pub fn billed_ms(&self) -> u64 {
        self.billed()
    }
}

#[derive(Debug, Clone, Deserialize)]
struct Asked {
    encoding: String,
    sample_rate: u32,
    #[serde(default)]
    speech_model: String,
    #[serde(default)]
    min_turn_silence: Option<u64>,
}

async fn listen(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = hearing::next_fault(&desk, &headers);
    let given = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let known = matches!(
        (asked.encoding.as_str(), asked.sample_rate),
        ("pcm_mulaw" | "pcm_s16le", 8000)
    ) && asked.speech_model.starts_with("universal-");
    let refusal = match &fault {
        Some(Fault::Status(402)) => Some((1008, "Insufficient account balance")),
        Some(Fault::Status(429)) => Some((1008, "Too many concurrent sessions")),
        Some(Fault::Status(500..)) => Some((3005, "Server error")),
        Some(Fault::Status(_)) => Some((3006, "Invalid parameters")),
        _ if given != Some(desk.options.api_key.as_str()) => Some((1008, "Not authorized")),
        _ if !known => Some((3006, "Invalid parameters")),
        _ => None,
    };
    let mut dice = desk.dice(desk.options.jitter);
    let wire = Turns {
        id: dice.id(),
        refusal,
        linear16: asked.encoding == "pcm_s16le",
        silence_ms: asked.min_turn_silence.unwrap_or(400),
        never_ends: fault == Some(Fault::NeverEnds),
        frames: Frames::default(),
        decoder: tone::Decoder::default(),
        transcript: tone::Transcript::default(),
        clock_ms: 0,
        turn: 0,
        speaking: false,
        last_speech_ms: 0,
        last_look_ms: 0,
    };
    let pace = Pace {
        delay: desk.options.result_delay,
        dice,
        observer: None,
    };
    let of_session = desk.clone();
    desk.upgrade(upgrade, move |socket| {
        hearing::run(of_session, wire, fault, pace, socket)
    })
}

struct Turns {
    id: String,
    refusal: Option<(u16, &'static str)>,
    linear16: bool,
    silence_ms: u64,
    never_ends: bool,
    frames: Frames,
    decoder: tone::Decoder,
    transcript: tone::Transcript,
    clock_ms: u64,
    turn: u64,
    speaking: bool,
    last_speech_ms: u64,
    last_look_ms: u64,
}

impl Turns {
    fn tell(&mut self, is_end: bool, out: &mut Out) {
        let text = self.transcript.text();
        let spoken = self.transcript.words();
        // The last word is not settled before the turn is over.
        let settled = spoken.len() - usize::from(!is_end).min(spoken.len());
        let words: Vec<Value> = spoken
            .iter()
            .enumerate()
            .map(|(n, word)| {
                json!({"text": word, "start": 0, "end": self.clock_ms, "confidence": 0.98,
                    "word_is_final": n < settled})
            })
            .collect();
        let message = json!({"type": "Turn", "turn_order": self.turn, "turn_is_formatted": false,
            "end_of_turn": is_end, "transcript": spoken[..settled].join(" "), "utterance": "",
            "end_of_turn_confidence": if is_end { 0.9 } else { 0.1 }, "words": words});
        out.tell(message, text, is_end, is_end);
        if is_end {
            self.turn += 1;
            self.transcript.clear();
        }
    }

    fn frame(&mut self, frame: &[u8], out: &mut Out) {
        self.clock_ms += 20;
        if g711::level(frame) >= SPEECH {
            self.last_speech_ms = self.clock_ms;
            if !std::mem::replace(&mut self.speaking, true) {
                out.say(
                    json!({"type": "SpeechStarted", "timestamp": self.clock_ms, "confidence": 0.9}),
                );
            }
            if let Some(note) = self.decoder.frame(frame) {
                self.transcript.add(&note);
            }
            if self.clock_ms - self.last_look_ms >= LOOK_MS && !self.transcript.words().is_empty() {
                self.last_look_ms = self.clock_ms;
                self.tell(false, out);
            }
        } else if self.speaking && self.clock_ms - self.last_speech_ms >= self.silence_ms {
            self.speaking = false;
            if !self.never_ends && !self.transcript.words().is_empty() {
                self.tell(true, out);
            }
        }
    }

    fn refuse(&self, code: u16, why: &str, out: &mut Out) -> Then {
        out.say(json!({"type": "Error", "error_code": code, "error": why}));
        Then::Close(code, why.to_owned())
    }
}

impl Wire for Turns {
    const IDLE: (Duration, u16, &'static str) =
        (Duration::from_secs(3 * 3600), 3008, "Session expired");

    fn greet(&mut self, out: &mut Out) {
        out.say(match self.refusal {
            Some((code, why)) => json!({"type": "Error", "error_code": code, "error": why}),
            None => json!({"type": "Begin", "id": self.id,
                "expires_at": 1_795_000_000}),
        });
    }

    fn take(&mut self, message: &Message, out: &mut Out) -> Then {
        if let Some((code, why)) = self.refusal {
            return Then::Close(code, why.to_owned());
        }
        let text = match message {
            Message::Binary(audio) => {
                let ms = g711::ms(audio.len()) / if self.linear16 { 2 } else { 1 };
                if !(50..=1000).contains(&ms) {
                    return self.refuse(3007, "Input duration violation", out);
                }
                let whole = self.frames.add(audio, self.linear16);
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
            Some("ForceEndpoint") if !self.transcript.words().is_empty() => self.tell(true, out),
            Some("ForceEndpoint" | "UpdateConfiguration" | "KeepAlive") => {}
            Some("Terminate") => {
                let seconds = self.clock_ms as f64 / 1000.0;
                out.say(
                    json!({"type": "Termination", "audio_duration_seconds": seconds,
                    "session_duration_seconds": seconds}),
                );
                return Then::Close(1000, String::new());
            }
            _ => return self.refuse(3006, "Invalid message", out),
        }
        Then::Listen
    }

    fn failure(&self) -> (Value, u16, &'static str) {
        let words = json!({"type": "Error", "error_code": 3005, "error": "Server error"});
        (words, 3005, "Server error")
    }

    fn heard_ms(&self) -> u64 {
        self.clock_ms
    }
}
