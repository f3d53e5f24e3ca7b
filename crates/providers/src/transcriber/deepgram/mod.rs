//! Deepgram: nova over `/v1/listen`, and Flux ([`flux`]) over `/v2/listen`. Source: wire-providers.md §1.

mod flux;
mod messages;

use std::sync::Arc;

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use self::messages::{Reading, Turns};
pub use super::live::Limits;
use super::live::{self, Wire};
use crate::{Error, Hear, Heard, Session, Transcriber, TranscriberSpec, error::Origin, socket};

/// Where Deepgram listens.
pub const BASE_URL: &str = "wss://api.deepgram.com";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "deepgram",
    role: "transcriber",
    variable: "DEEPGRAM_API_KEY",
};

/// The longest that Flux takes over its own time limit, ms; below, it is not ended over its head (R29).
const FLUX_PAUSE_MS: u64 = 3000;

/// Deepgram with a key.
pub struct Deepgram {
    base_url: String,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
    limits: Limits,
    flux: Option<bolo_agent::Flux>,
    opted_out: bool,
}

impl Deepgram {
    /// `base_url` with its scheme and without `/v1/listen`. `flux`: for a model of that family.
    pub fn new(
        base_url: &str,
        key: SecretString,
        tls: Arc<rustls::ClientConfig>,
        limits: Limits,
        flux: Option<bolo_agent::Flux>,
    ) -> Self {
        Self {
            base_url: base_url.to_owned(),
            key,
            tls,
            limits,
            flux,
            opted_out: false,
        }
    }

    /// Whether what it hears is not to improve its models.
    pub fn opted_out(self, opted_out: bool) -> Self {
        Self { opted_out, ..self }
    }

    /// What either family of models takes.
    fn add_common(&self, url: &mut Url, spec: &TranscriberSpec) {
        let mut query = url.query_pairs_mut();
        if self.opted_out {
            query.append_pair("mip_opt_out", "true");
        }
        if !spec.execution.is_empty() {
            query.append_pair("tag", &spec.execution);
        }
    }
}

#[async_trait]
impl Transcriber for Deepgram {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    /// Nova ends a turn by silence alone; Flux by its judgement, at the latest by its time limit.
    fn longest_pause_ms(&self, _spec: &TranscriberSpec) -> u64 {
        let limit = |flux: &bolo_agent::Flux| FLUX_PAUSE_MS.max(u64::from(flux.eot_timeout_ms) * 4);
        self.flux.as_ref().map_or(0, limit)
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let key = format!("Token {}", self.key.expose_secret());
        let (limits, format) = (self.limits, spec.format);
        match &self.flux {
            Some(settings) => {
                let mut url = flux::listen_url(&self.base_url, spec, settings)?;
                self.add_common(&mut url, spec);
                live::open(
                    flux::Flux::new(format),
                    &url,
                    &key,
                    &self.tls,
                    limits,
                    format,
                )
                .await
            }
            None => {
                let mut url = listen_url(&self.base_url, spec)?;
                self.add_common(&mut url, spec);
                live::open(Nova::default(), &url, &key, &self.tls, limits, format).await
            }
        }
    }
}

/// The address with the agent's wishes as its query.
fn listen_url(base: &str, spec: &TranscriberSpec) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["v1", "listen"])?;
    let language = match spec.language.split_once('-') {
        Some(("multi", _)) => "multi",
        _ => &spec.language,
    };
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model", &spec.model)
        .append_pair("language", language)
        .append_pair("encoding", encoding(spec.format))
        .append_pair("sample_rate", &spec.format.rate().to_string())
        .append_pair("channels", "1")
        .append_pair("interim_results", "true")
        .append_pair("endpointing", &spec.endpointing_ms.to_string())
        .append_pair(
            "utterance_end_ms",
            &spec.endpointing_ms.max(1000).to_string(),
        )
        .append_pair("vad_events", "true")
        .append_pair("smart_format", "true");
    if language == "en" || language.starts_with("en-") {
        query.append_pair("filler_words", "true");
    }
    // Either name is refused by the other family of models.
    let term = if spec.model.starts_with("nova-3") {
        "keyterm"
    } else {
        "keywords"
    };
    for word in spec
        .keywords
        .iter()
        .map(|word| word.trim())
        .filter(|word| !word.is_empty())
    {
        query.append_pair(term, word);
    }
    if !spec.execution.is_empty() {
        query.append_pair("extra", &format!("run_id:{}", spec.execution));
    }
    drop(query);
    Ok(url)
}

/// As Deepgram calls it.
fn encoding(format: Format) -> &'static str {
    match format {
        Format::Mulaw8k => "mulaw",
        Format::Pcm16 { .. } => "linear16",
    }
}

fn close_stream() -> Message {
    Message::text(r#"{"type":"CloseStream"}"#)
}

/// Nova's protocol.
#[derive(Debug, Default)]
struct Nova {
    turns: Turns,
    /// As the vendor counts, seconds.
    billed: Option<f64>,
}

impl Wire for Nova {
    const ORIGIN: Origin = ORIGIN;
    const GREETS: bool = false;

    fn audio(&mut self, audio: Bytes) -> Option<Message> {
        // An empty frame would close the stream.
        (!audio.is_empty()).then(|| Message::binary(audio))
    }

    fn keep_alive(&self) -> Message {
        Message::text(r#"{"type":"KeepAlive"}"#)
    }

    fn end_turn(&mut self) -> Vec<Message> {
        vec![Message::text(r#"{"type":"Finalize"}"#)]
    }

    fn finish(&mut self) -> Vec<Message> {
        vec![close_stream()]
    }

    fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error> {
        match self.turns.read(text) {
            Reading::Heard(told) => heard.push(told),
            Reading::Duration(seconds) => self.billed = Some(seconds),
            Reading::Failure(words) => {
                tracing::warn!(words, "deepgram reports a failure");
                return Err(ORIGIN.server("in the stream"));
            }
            Reading::Nothing => {}
        }
        Ok(())
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        closed(code, words)
    }

    fn billed(&self, sent: f64, _session: f64) -> f64 {
        self.billed.unwrap_or(sent)
    }
}

/// What a close that we did not ask for means.
fn closed(code: u16, words: &str) -> Error {
    match code {
        1002 | 1003 | 1007 | 1008 => ORIGIN.rejected(words),
        1013 => ORIGIN.rate_limited(None),
        _ => ORIGIN.dropped(),
    }
}

#[cfg(test)]
mod tests;
