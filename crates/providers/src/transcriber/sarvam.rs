//! Sarvam over `/speech-to-text/ws`: frames wrapped in WAV, final texts only, and no turn ends: those are
//! made here of silence (runtime.md R36). Source: wire-providers.md §B.2.

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
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
use crate::{Error, Hear, Heard, Session, Transcriber, TranscriberSpec, error::Origin, socket};

/// Where Sarvam listens.
pub const BASE_URL: &str = "wss://api.sarvam.ai";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "sarvam",
    role: "transcriber",
    variable: "SARVAM_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 1170;

/// The rate that all of its models take in single messages.
const RATE: u32 = 16_000;
const FORMAT: Format = Format::Pcm16 { rate: RATE };

/// Sarvam with a key.
pub struct Sarvam(Access);

impl Sarvam {
    /// `base_url` with its scheme and without `/speech-to-text`.
    pub fn new(access: Access) -> Self {
        Self(access)
    }
}

#[async_trait]
impl Transcriber for Sarvam {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    fn gives_interims(&self, _spec: &TranscriberSpec) -> bool {
        false
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let socket = socket::connect(
            ORIGIN,
            &url(&self.0.base_url, spec)?,
            &[("api-subscription-key", self.0.key.expose_secret())],
            &self.0.tls,
            self.0.socket_limits(),
            |refusal| match refusal.words.split_once(": ") {
                Some((code, words)) => failure(code, words).unwrap_or(refusal.error(ORIGIN)),
                None => refusal.error(ORIGIN),
            },
        )
        .await?;
        let ends = Ends::Silence(spec.endpointing_ms.into());
        dialect::start(socket, Protocol, spec, FORMAT, ends, self.0.limits).await
    }
}

fn url(base: &str, spec: &TranscriberSpec) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["speech-to-text", "ws"])?;
    let language = match spec.expected_language() {
        Some(language) => format!("{language}-IN"),
        None => "unknown".to_owned(),
    };
    let mut query = url.query_pairs_mut();
    query
        .append_pair("language-code", &language)
        .append_pair("model", &spec.model)
        .append_pair("sample_rate", &RATE.to_string())
        .append_pair("high_vad_sensitivity", "true")
        .append_pair("vad_signals", "true")
        .append_pair("flush_signal", "true");
    // Older models have no modes.
    if spec.model.starts_with("saaras:") {
        query.append_pair("mode", "transcribe");
    }
    let words: Vec<_> = spec.keywords().collect();
    if !words.is_empty() {
        query.append_pair("keyterms", &json!(words).to_string());
    }
    drop(query);
    Ok(url)
}

/// A WAV file of 16-bit mono.
fn wav(samples: &[u8]) -> Vec<u8> {
    let size = samples.len() as u32;
    let mut file = Vec::with_capacity(44 + samples.len());
    file.extend_from_slice(b"RIFF");
    file.extend_from_slice(&(36 + size).to_le_bytes());
    file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    file.extend_from_slice(&RATE.to_le_bytes());
    file.extend_from_slice(&(RATE * 2).to_le_bytes());
    file.extend_from_slice(b"\x02\0\x10\0data");
    file.extend_from_slice(&size.to_le_bytes());
    file.extend_from_slice(samples);
    file
}

/// What a code says by itself; codes are HTTP's or the vendor's own words.
fn failure(code: &str, words: &str) -> Option<Error> {
    if let Ok(status) = code.parse::<u16>() {
        return Some(ORIGIN.status(status, words, None));
    }
    Some(match code {
        "invalid_api_key_error" => ORIGIN.bad_key(),
        "insufficient_quota_error" => ORIGIN.quota(),
        "rate_limit_exceeded_error" => ORIGIN.rate_limited(None),
        "invalid_request_error" | "unprocessable_entity_error" => ORIGIN.rejected(words),
        _ => return None,
    })
}

struct Protocol;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    r#type: Option<String>,
    data: Option<Data>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    transcript: Option<String>,
    signal_type: Option<String>,
    message: Option<String>,
    error: Option<String>,
    code: Value,
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Unrefused;
    const BATCH_MS: usize = 100;

    fn audio(&mut self, audio: Bytes) -> Message {
        let data = BASE64_STANDARD.encode(wav(&audio));
        let audio = json!({"audio": {"data": data, "encoding": "audio/wav", "sample_rate": RATE}});
        Message::text(audio.to_string())
    }

    fn flush(&mut self, _heard: &mut Vec<Heard>) -> Option<Message> {
        Some(Message::text(r#"{"type":"flush"}"#))
    }

    /// Whether a text follows is not told: what comes until the limit counts.
    fn finish(&mut self) -> Vec<Message> {
        vec![Message::text(r#"{"type":"flush"}"#)]
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        let data = message.data.unwrap_or_default();
        match message.r#type.as_deref().unwrap_or_default() {
            "data" => {
                let text = data.transcript.unwrap_or_default().trim().to_owned();
                heard.push(Heard::Final(text));
            }
            // The end of speech is ours to find: the vendor's knows nothing of the agent's endpointing.
            "events" if data.signal_type.as_deref() == Some("START_SPEECH") => {
                heard.push(Heard::SpeechStarted);
            }
            "error" => {
                let words = data.message.or(data.error).unwrap_or_default();
                let code = match data.code {
                    Value::String(code) => code,
                    other => other.to_string(),
                };
                return Err(failure(&code, &words).unwrap_or_else(|| {
                    tracing::warn!(code, words, "sarvam reports a failure");
                    ORIGIN.server("in the stream")
                }));
            }
            _ => {}
        }
        Ok(Next::Listen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ErrorKind, testing::transcriber_spec};

    #[test]
    fn the_query_follows_the_agent() {
        let query = |model: &str, language: &str, keywords: &[&str]| {
            let spec = TranscriberSpec {
                model: model.into(),
                language: language.into(),
                keywords: keywords.iter().map(|word| (*word).to_owned()).collect(),
                ..transcriber_spec()
            };
            let url = url(BASE_URL, &spec).unwrap();
            assert_eq!(url.path(), "/speech-to-text/ws");
            url.query().unwrap().to_owned()
        };
        assert_eq!(
            query("saaras:v3", "hi", &[]),
            "language-code=hi-IN&model=saaras%3Av3&sample_rate=16000&high_vad_sensitivity=true\
             &vad_signals=true&flush_signal=true&mode=transcribe"
        );
        assert!(query("saaras:v4", "en-US", &[]).starts_with("language-code=en-IN"));
        assert!(
            query("saaras:v4", "en", &["New Delhi"]).ends_with("&keyterms=%5B%22New+Delhi%22%5D")
        );
        let old = query("saarika:v2.5", "multi", &[]);
        assert!(
            old.starts_with("language-code=unknown") && !old.contains("mode="),
            "{old}"
        );
    }

    #[test]
    fn frames_are_files() {
        let file = wav(&[1, 2, 3, 4]);
        assert_eq!(file.len(), 48);
        assert_eq!(&file[..4], b"RIFF");
        assert_eq!(u32::from_le_bytes(file[4..8].try_into().unwrap()), 40);
        assert_eq!(&file[8..16], b"WAVEfmt ");
        assert_eq!(u32::from_le_bytes(file[24..28].try_into().unwrap()), 16_000);
        assert_eq!(u32::from_le_bytes(file[28..32].try_into().unwrap()), 32_000);
        assert_eq!(&file[36..], b"data\x04\0\0\0\x01\x02\x03\x04");
    }

    #[test]
    fn failures_are_told_apart() {
        for (code, expected) in [
            (json!(403), ErrorKind::Auth),
            (json!("invalid_api_key_error"), ErrorKind::Auth),
            (json!("insufficient_quota_error"), ErrorKind::Quota),
            (json!(429), ErrorKind::RateLimited),
            (json!(422), ErrorKind::BadRequest),
            (json!(503), ErrorKind::Server),
            (Value::Null, ErrorKind::Server),
        ] {
            let message = json!({"type": "error", "data": {"message": "words", "code": code}});
            let message = serde_json::from_value(message).unwrap();
            let error = Protocol.read(message, &mut Vec::new()).unwrap_err();
            assert_eq!(error.kind, expected, "{code}");
        }
    }
}
