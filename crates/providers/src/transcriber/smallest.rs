//! Smallest's Pulse over `/waves/v1/stt/live`: finals cut long speech, `speech_final` or the end of speech
//! ends a turn. Source: wire-providers.md §B.3; names of the query as livekit-plugins-smallestai 1.8.9
//! sends them.

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    dialect::{self, Access, Dialect, Next, Ready},
    endpointing::Ends,
};
use crate::{
    Error, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin, socket,
};

/// Where Smallest listens.
pub const BASE_URL: &str = "wss://api.smallest.ai";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "smallest",
    role: "transcriber",
    variable: "SMALLEST_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 1590;

/// Rates of 16-bit audio that are taken as they are.
const RATES: [u32; 6] = [8000, 16_000, 22_050, 24_000, 44_100, 48_000];

/// Pulse with a key.
pub struct Smallest(Access);

impl Smallest {
    /// `base_url` with its scheme and without `/waves`.
    pub fn new(access: Access) -> Self {
        Self(access)
    }
}

#[async_trait]
impl Transcriber for Smallest {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let format = taken(spec.format);
        let key = format!("Bearer {}", self.0.key.expose_secret());
        let socket = socket::connect(
            ORIGIN,
            &url(&self.0.base_url, spec, format)?,
            &[("authorization", &key)],
            &self.0.tls,
            self.0.socket_limits(),
            |refusal| refusal.error(ORIGIN),
        )
        .await?;
        dialect::start(
            socket,
            Protocol::default(),
            spec,
            format,
            Ends::Vendor,
            self.0.limits,
        )
        .await
    }
}

fn taken(format: Format) -> Format {
    match format {
        Format::Pcm16 { rate } if !RATES.contains(&rate) => Format::Pcm16 { rate: 16_000 },
        taken => taken,
    }
}

fn url(base: &str, spec: &TranscriberSpec, format: Format) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["waves", "v1", "stt", "live"])?;
    let encoding = match format {
        Format::Mulaw8k => "mulaw",
        Format::Pcm16 { .. } => "linear16",
    };
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model", &spec.model)
        .append_pair("language", spec.expected_language().unwrap_or("multi"))
        .append_pair("encoding", encoding)
        .append_pair("sample_rate", &format.rate().to_string())
        .append_pair("endpointing", "true")
        .append_pair("endpointing_timeout", &spec.endpointing_ms.to_string())
        .append_pair("vad_events", "true")
        .append_pair("word_timestamps", "true");
    // 1 is mild, 5 is strong.
    let words: Vec<_> = spec.keywords().map(|word| format!("{word}:2")).collect();
    if !words.is_empty() {
        query.append_pair("keywords", &words.join(","));
    }
    drop(query);
    Ok(url)
}

#[derive(Default)]
struct Protocol {
    /// When the words of the last final text began and ended, seconds of audio.
    told: Option<(f64, f64)>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    r#type: Option<String>,
    transcript: Option<String>,
    transcription: Option<String>,
    is_final: Option<bool>,
    is_last: Option<bool>,
    from_finalize: Option<bool>,
    speech_final: Option<bool>,
    words: Option<Vec<Word>>,
    error: Option<Value>,
    status: Value,
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Word {
    start: Option<f64>,
    end: Option<f64>,
}

impl Incoming {
    /// When its words began and ended.
    fn window(&self) -> Option<(f64, f64)> {
        let words = self.words.as_deref()?;
        let (start, end) = (words.first()?.start?, words.last()?.end?);
        (end > start).then_some((start, end))
    }

    /// What was said; punctuation alone is nothing.
    fn text(&self) -> String {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let text = given(&self.transcript).or_else(|| given(&self.transcription));
        let text = text.filter(|text| text.contains(char::is_alphanumeric));
        text.unwrap_or_default().trim().to_owned()
    }

    fn failure(&self) -> Option<Error> {
        let is_text = self.transcript.is_some() || self.transcription.is_some();
        if self.r#type.as_deref() != Some("error") && (self.error.is_none() || is_text) {
            return None;
        }
        let error = self.error.as_ref().map(Value::to_string);
        let words = self.message.clone().or(error).unwrap_or_default();
        let status = match &self.status {
            Value::String(status) => status.parse().ok(),
            status => status
                .as_u64()
                .and_then(|status| u16::try_from(status).ok()),
        };
        Some(match status {
            Some(status) => ORIGIN.status(status, &words, None),
            None => {
                tracing::warn!(words, "smallest reports a failure");
                ORIGIN.server("in the stream")
            }
        })
    }
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Open;
    const BATCH_MS: usize = 60;

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
        vec![Message::text(r#"{"type":"close_stream"}"#)]
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        if let Some(error) = message.failure() {
            return Err(error);
        }
        let mut text = message.text();
        let yes = |flag: Option<bool>| flag == Some(true);
        // Each final text comes once, but for a fault of the vendor.
        if let (true, Some(window)) = (yes(message.is_final), message.window())
            && self.told.replace(window) == Some(window)
        {
            text.clear();
        }
        match message.r#type.as_deref().unwrap_or_default() {
            "speech_started" => heard.push(Heard::SpeechStarted),
            "speech_ended" => heard.push(Heard::TurnEnd {
                text: String::new(),
                why: HeardEnd::UtteranceEnd,
            }),
            _ if yes(message.speech_final) || yes(message.from_finalize) => {
                let why = HeardEnd::SpeechFinal;
                heard.push(Heard::TurnEnd { text, why });
            }
            _ if yes(message.is_final) => heard.push(Heard::Final(text)),
            _ if !text.is_empty() => heard.push(Heard::Interim(text)),
            _ => {}
        }
        Ok(match yes(message.is_last) {
            true => Next::Done,
            false => Next::Listen,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::{ErrorKind, testing::transcriber_spec};

    fn read(message: Value) -> (Result<Next, Error>, Vec<Heard>) {
        let mut heard = Vec::new();
        let message = serde_json::from_value(message).unwrap();
        let next = Protocol::default().read(message, &mut heard);
        (next, heard)
    }

    #[test]
    fn a_final_is_taken_once() {
        let (mut wire, mut heard) = (Protocol::default(), Vec::new());
        for start in [0.0, 0.0, 1.5] {
            let message = json!({"transcript": "yes", "is_final": true, "speech_final": true,
                "words": [{"word": "yes", "start": start, "end": start + 0.4}]});
            let message = serde_json::from_value(message).unwrap();
            wire.read(message, &mut heard).unwrap();
        }
        let end = |text: &str| Heard::TurnEnd {
            text: text.into(),
            why: HeardEnd::SpeechFinal,
        };
        // An end without words is none.
        assert_eq!(heard, [end("yes"), end(""), end("yes")]);
    }

    #[test]
    fn the_query_follows_the_agent() {
        let spec = TranscriberSpec {
            model: "pulse".into(),
            language: "hi".into(),
            keywords: vec!["Bolo".into(), "Plivo".into()],
            ..transcriber_spec()
        };
        let url = url(BASE_URL, &spec, taken(spec.format)).unwrap();
        assert_eq!(url.path(), "/waves/v1/stt/live");
        assert_eq!(
            url.query().unwrap(),
            "model=pulse&language=hi&encoding=mulaw&sample_rate=8000&endpointing=true\
             &endpointing_timeout=250&vad_events=true&word_timestamps=true&keywords=Bolo%3A2%2CPlivo%3A2"
        );
    }

    #[test]
    fn a_final_alone_ends_no_turn() {
        let (_, heard) = read(json!({"transcript": "one two", "is_final": true}));
        assert_eq!(heard, [Heard::Final("one two".into())]);
        let (_, heard) =
            read(json!({"transcript": "three", "is_final": true, "speech_final": true}));
        assert!(matches!(&heard[..], [Heard::TurnEnd { text, .. }] if text == "three"));
        let (_, heard) = read(json!({"transcript": "।", "is_final": false}));
        assert_eq!(heard, []);
        let (next, heard) =
            read(json!({"transcription": "bye", "is_final": true, "is_last": true}));
        assert_eq!(next.unwrap(), Next::Done);
        assert_eq!(heard, [Heard::Final("bye".into())]);
        assert_eq!(read(json!({"type": "pong"})).1, []);
    }

    #[test]
    fn failures_are_told_apart() {
        let error = |message| read(message).0.unwrap_err().kind;
        let told = |status| error(json!({"type": "error", "status": status, "message": "words"}));
        assert_eq!(told(json!(401)), ErrorKind::Auth);
        assert_eq!(told(json!("429")), ErrorKind::RateLimited);
        assert_eq!(told(json!("error")), ErrorKind::Server);
        assert_eq!(error(json!({"error": "words"})), ErrorKind::Server);
    }
}
