//! ElevenLabs Scribe v2 over `/v1/speech-to-text/realtime`; its own voice detector ends turns.
//! Source: wire-providers.md §4.5.

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    dialect::{self, Access, Dialect, Next, Ready},
    endpointing::Ends,
};
use crate::{
    Error, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec, error::Origin, socket,
};

/// Where ElevenLabs listens.
pub const BASE_URL: &str = "wss://api.elevenlabs.io";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "elevenlabs",
    role: "transcriber",
    variable: "ELEVENLABS_API_KEY",
};

/// From the end of speech to its text, but for one in a hundred, ms (wire-providers.md §9.1).
const SLOWEST_MS: u64 = 410;

/// Rates of 16-bit audio that are taken as they are.
const RATES: [u32; 6] = [8000, 16_000, 22_050, 24_000, 44_100, 48_000];
/// A commit with less audio than this since the last one closes the session.
const SHORTEST_COMMIT: Duration = Duration::from_millis(300);

/// Scribe with a key.
pub struct Scribe(Access);

impl Scribe {
    /// `base_url` with its scheme and without `/v1`.
    pub fn new(access: Access) -> Self {
        Self(access)
    }
}

#[async_trait]
impl Transcriber for Scribe {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    fn longest_pause_ms(&self, spec: &TranscriberSpec) -> u64 {
        u64::from(spec.endpointing_ms) + SLOWEST_MS
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let format = taken(spec.format);
        let socket = socket::connect(
            ORIGIN,
            &url(&self.0.base_url, spec, format)?,
            &[("xi-api-key", self.0.key.expose_secret())],
            &self.0.tls,
            self.0.socket_limits(),
            |refusal| refusal.error(ORIGIN),
        )
        .await?;
        let wire = Protocol::new(format);
        dialect::start(socket, wire, spec, format, Ends::Vendor, self.0.limits).await
    }
}

fn taken(format: Format) -> Format {
    match format {
        Format::Pcm16 { rate } if !RATES.contains(&rate) => Format::Pcm16 { rate: 16_000 },
        taken => taken,
    }
}

fn url(base: &str, spec: &TranscriberSpec, format: Format) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["v1", "speech-to-text", "realtime"])?;
    let audio_format = match format {
        Format::Mulaw8k => "ulaw_8000".to_owned(),
        Format::Pcm16 { rate } => format!("pcm_{rate}"),
    };
    let silence = (f64::from(spec.endpointing_ms) / 1000.0).clamp(0.3, 3.0);
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model_id", &spec.model)
        .append_pair("audio_format", &audio_format)
        .append_pair("commit_strategy", "vad")
        .append_pair("vad_silence_threshold_secs", &silence.to_string())
        .append_pair("vad_threshold", "0.5")
        .append_pair("min_speech_duration_ms", "150");
    // With a region the session is refused.
    if let Some(language) = spec.expected_language() {
        query.append_pair("language_code", language);
    }
    for word in spec.keywords() {
        query.append_pair("keyterms", word);
    }
    drop(query);
    Ok(url)
}

/// Where the open segment stands.
struct Protocol {
    format: Format,
    /// Bytes sent since the last commit.
    uncommitted: usize,
    finishing: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Incoming {
    message_type: Option<String>,
    text: Option<String>,
    error: Option<String>,
}

impl Protocol {
    fn new(format: Format) -> Self {
        Self {
            format,
            uncommitted: 0,
            finishing: false,
        }
    }

    fn chunk(&self, audio: &[u8], commit: bool) -> Message {
        let chunk = json!({"message_type": "input_audio_chunk",
            "audio_base_64": BASE64_STANDARD.encode(audio),
            "sample_rate": self.format.rate(), "commit": commit});
        Message::text(chunk.to_string())
    }

    /// Ends the segment, with silence where there is too little of it.
    fn commit(&self) -> Message {
        let enough = self.format.bytes_per_second() * SHORTEST_COMMIT.as_millis() as usize / 1000;
        let missing = enough.saturating_sub(self.uncommitted);
        self.chunk(&vec![self.format.silence(); missing], true)
    }

    fn failure(&self, kind: &str, words: &str) -> Result<Next, Error> {
        Err(match kind {
            "commit_throttled" | "input_error" => {
                tracing::warn!(kind, words, "elevenlabs did not take a message");
                return Ok(match self.finishing {
                    true => Next::Done,
                    false => Next::Listen,
                });
            }
            "auth_error" => ORIGIN.bad_key(),
            "quota_exceeded" => ORIGIN.quota(),
            "rate_limited" | "queue_overflow" | "resource_exhausted" => ORIGIN.rate_limited(None),
            "invalid_request" | "chunk_size_exceeded" | "unaccepted_terms" => {
                ORIGIN.rejected(&format!("{kind}: {words}"))
            }
            // A new session may go on.
            "session_time_limit_exceeded" | "insufficient_audio_activity" => ORIGIN.dropped(),
            "error" | "transcriber_error" => {
                tracing::warn!(kind, words, "elevenlabs reports a failure");
                ORIGIN.server("in the stream")
            }
            _ => return Ok(Next::Listen),
        })
    }
}

impl Dialect for Protocol {
    type Incoming = Incoming;
    const ORIGIN: Origin = ORIGIN;
    const READY: Ready = Ready::Told;
    const BATCH_MS: usize = 60;

    fn audio(&mut self, audio: Bytes) -> Message {
        self.uncommitted += audio.len();
        self.chunk(&audio, false)
    }

    /// Pings don't count with this vendor.
    fn keep_alive(&self) -> Message {
        self.chunk(&[], false)
    }

    fn flush(&mut self, _heard: &mut Vec<Heard>) -> Option<Message> {
        Some(self.commit())
    }

    fn finish(&mut self) -> Vec<Message> {
        self.finishing = true;
        match self.uncommitted {
            0 => Vec::new(),
            _ => vec![self.commit()],
        }
    }

    fn read(&mut self, message: Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error> {
        let text = message.text.unwrap_or_default().trim().to_owned();
        match message.message_type.as_deref().unwrap_or_default() {
            "session_started" => return Ok(Next::Ready),
            "partial_transcript" => heard.push(Heard::Interim(text)),
            "committed_transcript" => {
                self.uncommitted = 0;
                // One with words may be the vendor's own, on its way when ours was sent.
                let is_last = self.finishing && text.is_empty();
                let why = HeardEnd::SpeechFinal;
                heard.push(Heard::TurnEnd { text, why });
                if is_last {
                    return Ok(Next::Done);
                }
            }
            kind => return self.failure(kind, &message.error.unwrap_or_default()),
        }
        Ok(Next::Listen)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ErrorKind, testing::transcriber_spec};

    fn protocol() -> Protocol {
        Protocol::new(Format::Mulaw8k)
    }

    fn sent(message: Option<Message>) -> serde_json::Value {
        serde_json::from_str(message.unwrap().to_text().unwrap()).unwrap()
    }

    #[test]
    fn the_query_follows_the_agent() {
        let spec = TranscriberSpec {
            model: "scribe_v2_realtime".into(),
            language: "hi-IN".into(),
            endpointing_ms: 100,
            keywords: vec!["Bolo".into(), "Plivo one".into()],
            ..transcriber_spec()
        };
        let query = |spec: &TranscriberSpec| {
            let url = url(BASE_URL, spec, taken(spec.format)).unwrap();
            assert_eq!(url.path(), "/v1/speech-to-text/realtime");
            url.query().unwrap().to_owned()
        };
        assert_eq!(
            query(&spec),
            "model_id=scribe_v2_realtime&audio_format=ulaw_8000&commit_strategy=vad\
             &vad_silence_threshold_secs=0.3&vad_threshold=0.5&min_speech_duration_ms=150\
             &language_code=hi&keyterms=Bolo&keyterms=Plivo+one"
        );
        let spec = TranscriberSpec {
            language: "multi-hi".into(),
            format: Format::Pcm16 { rate: 32_000 },
            ..spec
        };
        let query = query(&spec);
        assert!(query.contains("audio_format=pcm_16000"), "{query}");
        assert!(!query.contains("language_code"), "{query}");
    }

    #[test] // Less than 300 ms would close the session.
    fn a_commit_brings_enough_audio() {
        let mut wire = protocol();
        assert_eq!(wire.finish(), []);
        wire.audio(Bytes::from_static(&[0xFF; 160]));
        let commit = sent(wire.flush(&mut Vec::new()));
        assert_eq!(commit["commit"], true);
        let silence = BASE64_STANDARD.decode(commit["audio_base_64"].as_str().unwrap());
        assert_eq!(silence.unwrap(), vec![0xFF; 2400 - 160]);
        for _ in 0..20 {
            wire.audio(Bytes::from_static(&[0xFF; 160]));
        }
        assert_eq!(sent(wire.flush(&mut Vec::new()))["audio_base_64"], "");
    }

    #[test]
    fn failures_are_told_apart() {
        let fail = |kind: &str| {
            let message = json!({"message_type": kind, "error": "words"});
            let message = serde_json::from_value(message).unwrap();
            protocol().read(message, &mut Vec::new())
        };
        for (kind, expected) in [
            ("auth_error", ErrorKind::Auth),
            ("quota_exceeded", ErrorKind::Quota),
            ("rate_limited", ErrorKind::RateLimited),
            ("queue_overflow", ErrorKind::RateLimited),
            ("resource_exhausted", ErrorKind::RateLimited),
            ("invalid_request", ErrorKind::BadRequest),
            ("unaccepted_terms", ErrorKind::BadRequest),
            ("chunk_size_exceeded", ErrorKind::BadRequest),
            ("session_time_limit_exceeded", ErrorKind::Dropped),
            ("insufficient_audio_activity", ErrorKind::Dropped),
            ("transcriber_error", ErrorKind::Server),
            ("error", ErrorKind::Server),
        ] {
            assert_eq!(fail(kind).unwrap_err().kind, expected, "{kind}");
        }
        for kind in ["commit_throttled", "input_error", "novelty"] {
            assert_eq!(fail(kind).unwrap(), Next::Listen, "{kind}");
        }
    }
}
