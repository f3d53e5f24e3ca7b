//! Soniox over `/transcribe-websocket`: tokens that settle one by one, and a token for the end of a turn.
//! Source: wire-providers.md §B.10.

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    dialect::{self, Access, Dialect, Next, Ready},
    endpointing::Ends,
};
use crate::{
    Error, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin, socket,
};

/// Where Soniox listens.
pub const BASE_URL: &str = "wss://stt-rt.soniox.com";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "soniox",
    role: "transcriber",
    variable: "SONIOX_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 350;

/// What is expected where any language may come.
const ANY: [&str; 11] = [
    "en", "hi", "ta", "te", "kn", "ml", "mr", "bn", "gu", "pa", "ur",
];

/// Soniox with a key.
pub struct Soniox(Access);

impl Soniox {
    /// `base_url` with its scheme and without `/transcribe-websocket`.
    pub fn new(access: Access) -> Self {
        Self(access)
    }
}

#[async_trait]
impl Transcriber for Soniox {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let url = socket::address(ORIGIN, &self.0.base_url, &["transcribe-websocket"])?;
        let (tls, limits) = (&self.0.tls, self.0.socket_limits());
        let refused = |refusal: socket::Refusal| refusal.error(ORIGIN);
        let socket = socket::connect(ORIGIN, &url, &[], tls, limits, refused).await?;
        let wire = Protocol {
            config: config(spec, &self.0.key),
            ..Protocol::default()
        };
        let format = spec.format;
        dialect::start(socket, wire, spec, format, Ends::Vendor, self.0.limits).await
    }
}

/// The first message; the key rides in it.
fn config(spec: &TranscriberSpec, key: &SecretString) -> Value {
    let audio_format = match spec.format {
        Format::Mulaw8k => "mulaw",
        Format::Pcm16 { .. } => "pcm_s16le",
    };
    let hints = match spec.expected_language() {
        Some(language) => vec![language],
        None => ANY.to_vec(),
    };
    let mut config = json!({
        "api_key": key.expose_secret(),
        "model": spec.model,
        "audio_format": audio_format,
        "sample_rate": spec.format.rate(),
        "num_channels": 1,
        "language_hints": hints,
        "enable_language_identification": hints.len() > 1,
        "enable_endpoint_detection": true,
        "max_endpoint_delay_ms": spec.endpointing_ms.clamp(500, 3000),
    });
    let terms: Vec<_> = spec.keywords().collect();
    if !terms.is_empty() {
        config["context"] = json!({"terms": terms});
    }
    config
}

#[derive(Default)]
struct Protocol {
    config: Value,
    /// Settled text of the open turn.
    settled: String,
    /// The tokens that settled last, with their times.
    last: Vec<Token>,
    /// As the vendor counts at the end, ms.
    processed_ms: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    tokens: Option<Vec<Token>>,
    total_audio_proc_ms: Option<f64>,
    finished: Option<bool>,
    error_code: Value,
    error_message: Option<String>,
}

#[derive(Debug, Default, Clone, PartialEq, Deserialize)]
#[serde(default)]
struct Token {
    text: Option<String>,
    is_final: Option<bool>,
    start_ms: Option<f64>,
    end_ms: Option<f64>,
}

impl Token {
    /// The end of a turn.
    fn is_mark(&self) -> bool {
        matches!(self.text.as_deref(), Some("<end>" | "<fin>"))
    }
}

impl Protocol {
    /// The tokens without those that settled before: each does once, but for a fault of the vendor.
    fn fresh(&mut self, mut tokens: Vec<Token>) -> Vec<Token> {
        let settles = |token: &Token| token.is_final == Some(true) && !token.is_mark();
        let settling: Vec<Token> = tokens
            .iter()
            .filter(|token| settles(token))
            .cloned()
            .collect();
        if settling.is_empty() {
            return tokens;
        }
        // Without times, words may well be said again.
        let is_timed = settling.iter().all(|token| token.end_ms > Some(0.0));
        if is_timed && settling == self.last {
            tokens.retain(|token| !settles(token));
        }
        self.last = settling;
        tokens
    }

    fn take_settled(&mut self) -> String {
        std::mem::take(&mut self.settled).trim().to_owned()
    }
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Unrefused;
    const BATCH_MS: usize = 20;

    fn hello(&mut self) -> Option<Message> {
        Some(Message::text(self.config.take().to_string()))
    }

    fn audio(&mut self, audio: Bytes) -> Message {
        Message::binary(audio)
    }

    fn keep_alive(&self) -> Message {
        Message::text(r#"{"type":"keepalive"}"#)
    }

    fn flush(&mut self, _heard: &mut Vec<Heard>) -> Option<Message> {
        Some(Message::text(r#"{"type":"finalize"}"#))
    }

    fn finish(&mut self) -> Vec<Message> {
        vec![Message::text("")]
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        let mut open = String::new();
        let mut news = false;
        for token in self.fresh(message.tokens.unwrap_or_default()) {
            match token.text.as_deref().unwrap_or_default() {
                _ if token.is_mark() => {
                    let (text, why) = (self.take_settled(), HeardEnd::EndOfTurn);
                    heard.push(Heard::TurnEnd { text, why });
                    news = false;
                }
                text => {
                    news = true;
                    match token.is_final {
                        Some(true) => self.settled.push_str(text),
                        _ => open.push_str(text),
                    }
                }
            }
        }
        if news {
            let text = format!("{}{open}", self.settled);
            heard.push(Heard::Interim(text.trim().to_owned()));
        }
        let words = message.error_message.unwrap_or_default();
        match &message.error_code {
            Value::Null => {}
            code => {
                return Err(
                    match code.as_u64().or_else(|| code.as_str()?.parse().ok()) {
                        // No audio for too long: a new connection may go on.
                        Some(408) => ORIGIN.dropped(),
                        Some(code) => {
                            ORIGIN.status(u16::try_from(code).unwrap_or(500), &words, None)
                        }
                        None => ORIGIN.server(code),
                    },
                );
            }
        }
        if message.finished == Some(true) {
            self.processed_ms = message.total_audio_proc_ms;
            let rest = self.take_settled();
            if !rest.is_empty() {
                heard.push(Heard::Final(rest));
            }
            return Ok(Next::Done);
        }
        Ok(Next::Listen)
    }

    fn billed_s(&self) -> Option<f64> {
        self.processed_ms.map(|ms| ms / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ErrorKind, testing::transcriber_spec};

    fn read(wire: &mut Protocol, message: Value) -> (Result<Next, Error>, Vec<Heard>) {
        let mut heard = Vec::new();
        let next = wire.read(serde_json::from_value(message).unwrap(), &mut heard);
        (next, heard)
    }

    fn tokens(tokens: &[(&str, bool)]) -> Value {
        let token = |(text, is_final): &(&str, bool)| json!({"text": text, "is_final": is_final});
        json!({"tokens": tokens.iter().map(token).collect::<Vec<_>>()})
    }

    #[test]
    fn the_first_message_follows_the_agent() {
        let key = SecretString::from("sesame");
        let spec = TranscriberSpec {
            model: "stt-rt-v5".into(),
            language: "en-IN".into(),
            keywords: vec!["Bolo".into()],
            ..transcriber_spec()
        };
        assert_eq!(
            config(&spec, &key),
            json!({"api_key": "sesame", "model": "stt-rt-v5", "audio_format": "mulaw",
                "sample_rate": 8000, "num_channels": 1, "language_hints": ["en"],
                "enable_language_identification": false, "enable_endpoint_detection": true,
                "max_endpoint_delay_ms": 500, "context": {"terms": ["Bolo"]}})
        );
        let spec = TranscriberSpec {
            language: "multi".into(),
            format: Format::Pcm16 { rate: 16_000 },
            ..spec
        };
        let config = config(&spec, &key);
        assert_eq!(
            config["language_hints"].as_array().unwrap().len(),
            ANY.len()
        );
        assert_eq!(
            (&config["audio_format"], &config["sample_rate"]),
            (&json!("pcm_s16le"), &json!(16_000))
        );
    }

    #[test]
    fn tokens_settle_until_the_turn_ends() {
        let mut wire = Protocol::default();
        let interim = |text: &str| vec![Heard::Interim(text.into())];
        assert_eq!(read(&mut wire, tokens(&[("Hel", false)])).1, interim("Hel"));
        let heard = read(&mut wire, tokens(&[("Hello", true), (" the", false)])).1;
        assert_eq!(heard, interim("Hello the"));
        let heard = read(&mut wire, tokens(&[(" there", true), ("<end>", true)])).1;
        let why = HeardEnd::EndOfTurn;
        let text = "Hello there".to_owned();
        assert_eq!(heard, [Heard::TurnEnd { text, why }]);
        let (next, heard) = read(
            &mut wire,
            json!({"tokens": [{"text": "Bye", "is_final": true}], "finished": true,
                "total_audio_proc_ms": 1480}),
        );
        assert_eq!(next.unwrap(), Next::Done);
        assert_eq!(heard.last(), Some(&Heard::Final("Bye".into())));
        assert_eq!(wire.billed_s(), Some(1.48));
    }

    #[test]
    fn tokens_settle_once() {
        let mut wire = Protocol::default();
        let mut turns = |end_ms: u32| {
            let yes = json!({"text": "Yes", "is_final": true, "start_ms": 0, "end_ms": end_ms});
            let end = json!({"text": "<end>", "is_final": true});
            let heard = read(&mut wire, json!({"tokens": [yes, end]})).1;
            let is_end =
                |heard: &&Heard| matches!(heard, Heard::TurnEnd { text, .. } if text == "Yes");
            heard.iter().filter(is_end).count()
        };
        assert_eq!([400, 400, 900].map(&mut turns), [1, 0, 1]);
        // Times tell, not words.
        assert_eq!([0, 0].map(&mut turns), [1, 1]);
    }

    #[test]
    fn the_next_turn_may_begin_in_the_message_that_ends_one() {
        let mut wire = Protocol::default();
        let heard = read(
            &mut wire,
            tokens(&[("Yes", true), ("<end>", true), ("And", false)]),
        )
        .1;
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[1], Heard::Interim("And".into()));
    }

    #[test]
    fn failures_are_told_apart() {
        for (code, expected) in [
            (json!(400), ErrorKind::BadRequest),
            (json!("401"), ErrorKind::Auth),
            (json!(402), ErrorKind::Quota),
            (json!(408), ErrorKind::Dropped),
            (json!(429), ErrorKind::RateLimited),
            (json!(503), ErrorKind::Server),
            (json!("odd"), ErrorKind::Server),
        ] {
            let message = json!({"tokens": [], "error_code": code, "error_message": "words"});
            let (next, _) = read(&mut Protocol::default(), message);
            assert_eq!(next.unwrap_err().kind, expected, "{code}");
        }
    }
}
