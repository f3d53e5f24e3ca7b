//! ElevenLabs over its multi-context socket: one socket a call, one context an utterance. The v3 models
//! have a socket of their own, [`dialogue`]; the one without contexts, [`stream`], is for who asks for it.
//! Source: wire-providers.md §4.2.
//!
//! Each piece is flushed, since it is a whole sentence that the caller waits for. `isFinal` comes only
//! after a context was closed, so a piece is known to be done by the character times.

pub(crate) mod dialogue;
mod faults;
mod session;
pub(crate) mod stream;
mod utterance;
mod wire;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bolo_audio::Format;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::{
    Error, ErrorKind, Session, Speak, Spoken, Synthesizer, SynthesizerLimits, SynthesizerSpec,
    error::Origin, socket,
};

/// Where ElevenLabs speaks.
pub const BASE_URL: &str = "wss://api.elevenlabs.io";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "elevenlabs",
    role: "synthesizer",
    variable: "ELEVENLABS_API_KEY",
};

/// The socket with contexts.
const MULTI_STREAM_INPUT: &str = "multi-stream-input";
/// The one without.
const STREAM_INPUT: &str = "stream-input";

/// Pieces of text that may wait.
const INPUT_PIECES: usize = 64;
/// Messages of audio that may wait; a slow consumer holds the vendor back.
const OUTPUT_FACTS: usize = 64;

/// Time limits of a session (wire-providers.md §4.2, §10.4).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// DNS, TCP, TLS and upgrade together.
    pub connect: Duration,
    /// One message to the vendor.
    pub write: Duration,
    /// Without a message for this long, say that we are still here.
    pub keep_alive: Duration,
    /// Between text and its audio, and between messages of audio while text is still unheard.
    pub audio: Duration,
    /// After a context was closed and its audio, for the vendor to say that it is final: where it tells
    /// character times and all of them came.
    pub final_after_all: Duration,
    /// The same, where it tells no times.
    pub final_after_some: Duration,
    /// For the vendor to close the socket.
    pub close: Duration,
}

impl Limits {
    /// What all synthesizers have, and this vendor's own.
    pub fn within(limits: SynthesizerLimits) -> Self {
        let SynthesizerLimits {
            connect,
            write,
            audio,
            close,
        } = limits;
        Self {
            connect,
            write,
            keep_alive: Duration::from_secs(10),
            audio,
            final_after_all: Duration::from_millis(300),
            final_after_some: Duration::from_millis(1500),
            close,
        }
    }
}

/// ElevenLabs with a key.
pub struct Elevenlabs {
    base_url: String,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
    limits: Limits,
}

impl Elevenlabs {
    /// `base_url` with its scheme and without a path.
    pub fn new(
        base_url: &str,
        key: SecretString,
        tls: Arc<rustls::ClientConfig>,
        limits: Limits,
    ) -> Self {
        Self {
            base_url: base_url.to_owned(),
            key,
            tls,
            limits,
        }
    }
}

#[async_trait]
impl Synthesizer for Elevenlabs {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        let url = speech_url(&self.base_url, spec, MULTI_STREAM_INPUT)?;
        let key = ("xi-api-key", self.key.expose_secret());
        let limits = (self.limits.connect, self.limits.write);
        let refused = |refusal| faults::refused(&refusal);
        let socket = socket::connect(ORIGIN, &url, &[key], &self.tls, limits, refused).await?;
        let (input, pieces) = mpsc::channel(INPUT_PIECES);
        let (facts, output) = mpsc::channel(OUTPUT_FACTS);
        let speaking = session::Speaking::new(socket, pieces, facts, spec, self.limits);
        let task = AbortOnDropHandle::new(tokio::spawn(speaking.run()));
        Ok(Session {
            input,
            output,
            task,
        })
    }
}

/// Whether the agent asks for the socket without contexts.
pub(crate) fn is_stream_input(spec: &SynthesizerSpec) -> bool {
    let endpoint = spec.options.get("endpoint");
    endpoint.and_then(serde_json::Value::as_str) == Some(STREAM_INPUT)
}

/// The vendor's name of a format.
fn output_format(format: Format) -> Result<String, Error> {
    match format {
        Format::Mulaw8k => Ok("ulaw_8000".to_owned()),
        Format::Pcm16 {
            rate: rate @ (8000 | 16_000 | 22_050 | 24_000 | 32_000 | 44_100 | 48_000),
        } => Ok(format!("pcm_{rate}")),
        Format::Pcm16 { rate } => Err(ORIGIN.fault(
            ErrorKind::BadRequest,
            format!("makes no audio of {rate} Hz"),
        )),
    }
}

/// The language to name; `None` where the model refuses one.
fn language(spec: &SynthesizerSpec) -> Option<&str> {
    let takes_one = spec.model.contains("v2_5") || spec.model.starts_with("eleven_v3");
    let is_one = !spec.language.is_empty() && !spec.language.starts_with("multi");
    let primary = spec.language.split(['-', '_']).next();
    primary.filter(|_| takes_one && is_one)
}

/// The address of a voice's socket of this name, with the agent's wishes as its query.
fn speech_url(base: &str, spec: &SynthesizerSpec, endpoint: &str) -> Result<Url, Error> {
    let format = output_format(spec.format)?;
    let path = ["v1", "text-to-speech", &spec.voice_id, endpoint];
    let mut url = socket::address(ORIGIN, base, &path)?;
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model_id", &spec.model)
        .append_pair("output_format", &format)
        .append_pair("inactivity_timeout", "180")
        .append_pair("sync_alignment", "true");
    if let Some(language) = language(spec) {
        query.append_pair("language_code", language);
    }
    for option in [
        "enable_logging",
        "apply_text_normalization",
        "optimize_streaming_latency",
        "seed",
    ] {
        match spec.options.get(option) {
            Some(serde_json::Value::String(text)) => query.append_pair(option, text),
            Some(value @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => {
                query.append_pair(option, &value.to_string())
            }
            _ => continue,
        };
    }
    drop(query);
    Ok(url)
}

#[cfg(test)]
mod tests;
