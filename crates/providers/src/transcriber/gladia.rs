//! Gladia: `POST /v2/live` gives the address of a socket for one session. A final text is the end of a
//! turn. Source: wire-providers.md §B.9.

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    dialect::{self, Access, Dialect, Next, Ready},
    endpointing::Ends,
};
use crate::{
    Error, ErrorKind, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin,
    http::retry_after, socket,
};

/// Where sessions are asked for.
pub const BASE_URL: &str = "https://api.gladia.io";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "gladia",
    role: "transcriber",
    variable: "GLADIA_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 1490;

/// Seconds after which a text is cut although the caller goes on; the most there is.
const LONGEST_S: u32 = 60;

/// Gladia with a key.
pub struct Gladia(Access);

impl Gladia {
    /// `base_url` with its scheme and without `/v2`.
    pub fn new(access: Access) -> Self {
        Self(access)
    }

    /// The address of a new session; a secret.
    async fn session(&self, spec: &TranscriberSpec) -> Result<Url, Error> {
        let url = format!("{}/v2/live", self.0.base_url.trim_end_matches('/'));
        let asked = self
            .0
            .http
            .post(url)
            .header("x-gladia-key", self.0.key.expose_secret())
            .timeout(self.0.limits.connect)
            .json(&session(spec));
        let unreachable = |error: reqwest::Error| match error.is_builder() {
            true => ORIGIN.fault(ErrorKind::BadRequest, "base_url is not an address"),
            false => ORIGIN.unreachable(),
        };
        let answer = asked.send().await.map_err(unreachable)?;
        let status = answer.status();
        let wait = retry_after(answer.headers());
        let body = answer.bytes().await.map_err(unreachable)?;
        if !status.is_success() {
            let words = socket::words(&body).unwrap_or_default();
            return Err(ORIGIN.status(status.as_u16(), &words, wait));
        }
        let opened: Result<Opened, _> = serde_json::from_slice(&body);
        match opened.map(|opened| Url::parse(&opened.url)) {
            Ok(Ok(url)) if matches!(url.scheme(), "ws" | "wss") => Ok(url),
            _ => Err(ORIGIN.server("no address for the session")),
        }
    }
}

#[derive(Deserialize)]
struct Opened {
    url: String,
}

#[async_trait]
impl Transcriber for Gladia {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let url = self.session(spec).await?;
        let (tls, limits) = (&self.0.tls, self.0.socket_limits());
        let refused = |refusal: socket::Refusal| refusal.error(ORIGIN);
        let socket = socket::connect(ORIGIN, &url, &[], tls, limits, refused).await?;
        let (wire, format) = (Protocol::default(), spec.format);
        dialect::start(socket, wire, spec, format, Ends::Vendor, self.0.limits).await
    }
}

fn session(spec: &TranscriberSpec) -> Value {
    let (encoding, bit_depth) = match spec.format {
        Format::Mulaw8k => ("wav/ulaw", 8),
        Format::Pcm16 { .. } => ("wav/pcm", 16),
    };
    let languages: Vec<_> = spec.expected_language().into_iter().collect();
    let mut session = json!({
        "encoding": encoding,
        "bit_depth": bit_depth,
        "sample_rate": spec.format.rate(),
        "channels": 1,
        "model": spec.model,
        // In seconds here.
        "endpointing": (f64::from(spec.endpointing_ms) / 1000.0).clamp(0.05, 10.0),
        "maximum_duration_without_endpointing": LONGEST_S,
        "language_config": {"languages": languages, "code_switching": languages.is_empty()},
        "messages_config": {"receive_partial_transcripts": true, "receive_speech_events": true,
            "receive_acknowledgments": false, "receive_lifecycle_events": false},
    });
    let words: Vec<_> = spec.keywords().collect();
    if !words.is_empty() {
        session["realtime_processing"] =
            json!({"custom_vocabulary": true, "custom_vocabulary_config": {"vocabulary": words}});
    }
    session
}

#[derive(Default)]
struct Protocol {
    /// The utterance whose text is coming, and the text.
    open: (String, String),
    /// The utterance that ended last: nothing more is told of it.
    ended: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    r#type: Option<String>,
    data: Option<Data>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    id: Option<String>,
    is_final: Option<bool>,
    utterance: Option<Utterance>,
    message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Utterance {
    text: Option<String>,
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Open;
    const BATCH_MS: usize = 100;

    fn audio(&mut self, audio: Bytes) -> Message {
        Message::binary(audio)
    }

    /// The vendor can't be asked: the turn ends with what there is, and its final text is ignored.
    fn flush(&mut self, heard: &mut Vec<Heard>) -> Option<Message> {
        let (id, text) = std::mem::take(&mut self.open);
        if !text.is_empty() {
            self.ended = Some(id).filter(|id| !id.is_empty());
        }
        let why = HeardEnd::Forced;
        heard.push(Heard::TurnEnd { text, why });
        None
    }

    fn finish(&mut self) -> Vec<Message> {
        vec![Message::text(r#"{"type":"stop_recording"}"#)]
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        let data = message.data.unwrap_or_default();
        match message.r#type.as_deref().unwrap_or_default() {
            "transcript" => {
                let id = data.id.unwrap_or_default();
                if self.ended.as_ref() == Some(&id) {
                    return Ok(Next::Listen);
                }
                let text = data.utterance.and_then(|utterance| utterance.text);
                let text = text.unwrap_or_default().trim().to_owned();
                if data.is_final == Some(true) {
                    self.open = Default::default();
                    self.ended = Some(id).filter(|id| !id.is_empty());
                    let why = HeardEnd::SpeechFinal;
                    heard.push(Heard::TurnEnd { text, why });
                } else {
                    self.open = (id, text.clone());
                    heard.push(Heard::Interim(text));
                }
            }
            "speech_start" | "speech_begin" => heard.push(Heard::SpeechStarted),
            "error" => {
                let error = message.error.map(|error| error.to_string());
                let words = data.message.or(error).unwrap_or_default();
                tracing::warn!(words, "gladia reports a failure");
                return Err(ORIGIN.server("in the stream"));
            }
            _ => {}
        }
        Ok(Next::Listen)
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        match code {
            1003 | 1007 | 4400 => ORIGIN.rejected(words),
            4401 | 4403 => ORIGIN.bad_key(),
            1013 | 4429 => ORIGIN.rate_limited(None),
            _ => ORIGIN.dropped(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::transcriber_spec;

    fn transcript(id: &str, text: &str, is_final: bool) -> Incoming {
        let message = json!({"type": "transcript", "session_id": "s",
            "data": {"id": id, "is_final": is_final, "utterance": {"text": text}}});
        serde_json::from_value(message).unwrap()
    }

    #[test]
    fn the_session_follows_the_agent() {
        let spec = TranscriberSpec {
            model: "solaria-1".into(),
            language: "en-IN".into(),
            keywords: vec!["Bolo".into()],
            ..transcriber_spec()
        };
        assert_eq!(
            session(&spec),
            json!({"encoding": "wav/ulaw", "bit_depth": 8, "sample_rate": 8000, "channels": 1,
                "model": "solaria-1", "endpointing": 0.25, "maximum_duration_without_endpointing": 60,
                "language_config": {"languages": ["en"], "code_switching": false},
                "messages_config": {"receive_partial_transcripts": true,
                    "receive_speech_events": true, "receive_acknowledgments": false,
                    "receive_lifecycle_events": false},
                "realtime_processing": {"custom_vocabulary": true,
                    "custom_vocabulary_config": {"vocabulary": ["Bolo"]}}})
        );
        let spec = TranscriberSpec {
            language: "multi".into(),
            format: Format::Pcm16 { rate: 16_000 },
            ..spec
        };
        let session = session(&spec);
        let audio = (
            &session["encoding"],
            &session["bit_depth"],
            &session["sample_rate"],
        );
        assert_eq!(audio, (&json!("wav/pcm"), &json!(16), &json!(16_000)));
        let languages = json!({"languages": [], "code_switching": true});
        assert_eq!(session["language_config"], languages);
    }

    #[test]
    fn a_turn_that_was_ended_early_has_no_second_end() {
        let mut wire = Protocol::default();
        let mut heard = Vec::new();
        wire.read(transcript("1", "hello", false), &mut heard)
            .unwrap();
        assert_eq!(wire.flush(&mut heard), None);
        wire.read(transcript("1", "Hello.", true), &mut heard)
            .unwrap();
        wire.read(transcript("2", "Yes.", true), &mut heard)
            .unwrap();
        let end = |text: &str, why| Heard::TurnEnd {
            text: text.into(),
            why,
        };
        assert_eq!(
            heard,
            [
                Heard::Interim("hello".into()),
                end("hello", HeardEnd::Forced),
                end("Yes.", HeardEnd::SpeechFinal)
            ]
        );
    }

    #[test]
    fn an_utterance_ends_once() {
        let (mut wire, mut heard) = (Protocol::default(), Vec::new());
        for id in ["1", "1", "2"] {
            wire.read(transcript(id, "Yes.", true), &mut heard).unwrap();
        }
        assert_eq!(heard.len(), 2, "{heard:?}");
    }

    #[test]
    fn closes_are_told_apart() {
        for (code, expected) in [
            (4400, ErrorKind::BadRequest),
            (4401, ErrorKind::Auth),
            (4429, ErrorKind::RateLimited),
            (1011, ErrorKind::Dropped),
        ] {
            assert_eq!(
                Protocol::default().closed(code, "").kind,
                expected,
                "{code}"
            );
        }
    }
}
