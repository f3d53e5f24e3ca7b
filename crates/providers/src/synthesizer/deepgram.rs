//! Deepgram Aura over its socket, which knows no utterances: pieces follow one another, and a clear is
//! through when the vendor says so. Source: wire-providers.md §2.1.
//!
//! A flush ends an answer. Pieces before the last are flushed too as long as the vendor's limit is far:
//! only then is known where a piece ends, and one that ends in a comma is spoken at once.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    pieces::Part,
    streamed::{News, Stop, Wire},
};
use crate::{Error, SynthesizerSpec, error::Origin, socket};

/// The vendor takes 20 flushes in this time, and ignores more.
const FLUSH_WINDOW: Duration = Duration::from_secs(60);
/// The rest is for the ends of answers.
const EARLY_FLUSHES: usize = 14;

/// The wire of one call.
pub(crate) struct Aura {
    spec: SynthesizerSpec,
    made: Format,
    /// Parts that were flushed, in order; the vendor tells when each is through.
    flushed: VecDeque<u32>,
    /// The latest part, if the vendor may still wait for more text of it.
    unflushed: Option<u32>,
    /// Clears that are not yet through.
    clears: u32,
    flushed_at: VecDeque<Instant>,
}

/// What comes in as text, all kinds in one.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(rename = "type", default)]
    kind: String,
    code: Option<String>,
    #[serde(alias = "err_msg")]
    description: Option<String>,
}

impl Wire for Aura {
    type Heard = Incoming;

    const ORIGIN: Origin = Origin {
        vendor: "deepgram",
        role: "synthesizer",
        variable: "DEEPGRAM_API_KEY",
    };
    const BASE_URL: &'static str = "wss://api.deepgram.com";
    const KEYS: &'static [&'static str] = &["DEEPGRAM", "DEEPGRAM_AUTH_TOKEN"];
    const AHEAD: usize = 64;
    const KEEP_ALIVE: Duration = Duration::from_secs(20);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        let made = match spec.format {
            Format::Pcm16 {
                rate: 8000 | 16_000 | 24_000 | 32_000 | 48_000,
            }
            | Format::Mulaw8k => spec.format,
            Format::Pcm16 { .. } => Format::Pcm16 { rate: 24_000 },
        };
        Ok(Self {
            spec: spec.clone(),
            made,
            flushed: VecDeque::new(),
            unflushed: None,
            clears: 0,
            flushed_at: VecDeque::new(),
        })
    }

    fn made(&self) -> Format {
        self.made
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        let mut url = socket::address(Self::ORIGIN, base, &["v1", "speak"])?;
        let encoding = match self.made {
            Format::Mulaw8k => "mulaw",
            Format::Pcm16 { .. } => "linear16",
        };
        let mut query = url.query_pairs_mut();
        query
            .append_pair("model", &voice(&self.spec))
            .append_pair("encoding", encoding)
            .append_pair("sample_rate", &self.made.rate().to_string());
        if self.spec.speed != 1.0 {
            query.append_pair("speed", &self.spec.speed.to_string());
        }
        if self.spec.options.get("mip_opt_out") == Some(&true.into()) {
            query.append_pair("mip_opt_out", "true");
        }
        drop(query);
        Ok(url)
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Token {key}"))]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        // The vendor joins texts as they are.
        let speak = json!({"type": "Speak", "text": format!("{} ", part.text)});
        let mut messages = vec![Message::text(speak.to_string())];
        self.unflushed = Some(part.id);
        let now = Instant::now();
        while (self.flushed_at.front()).is_some_and(|at| now.duration_since(*at) > FLUSH_WINDOW) {
            self.flushed_at.pop_front();
        }
        if self.flushed_at.len() < EARLY_FLUSHES {
            messages.extend(self.flush());
        }
        messages
    }

    fn end(&mut self, _context: u32) -> Vec<Message> {
        self.flush().into_iter().collect()
    }

    fn stop(&mut self, _context: u32, in_flight: bool) -> Stop {
        if !in_flight {
            return Stop::Send(Vec::new());
        }
        self.unflushed = None;
        self.flushed.clear();
        self.clears += 1;
        Stop::Send(vec![Message::text(r#"{"type":"Clear"}"#)])
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        match heard.kind.as_str() {
            "Cleared" => self.clears = self.clears.saturating_sub(1),
            "Flushed" if self.clears == 0 => {
                let flushed = self.flushed.pop_front();
                return Ok(flushed
                    .map(|id| News::Done { of: Some(id) })
                    .into_iter()
                    .collect());
            }
            "Warning" => {
                let (code, words) = (heard.code, heard.description);
                tracing::warn!(?code, ?words, "deepgram warns");
            }
            "Error" => {
                let code = heard.code.unwrap_or_default();
                let words = format!("{code}: {}", heard.description.unwrap_or_default());
                tracing::warn!(words, "deepgram reports a failure");
                let ours = ["DATA-", "MESSAGE-", "BIG-"];
                return Err(match ours.iter().any(|kind| code.starts_with(kind)) {
                    true => Self::ORIGIN.rejected(&words),
                    false => Self::ORIGIN.worded(&words),
                });
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn read_audio(&mut self, audio: Bytes) -> Vec<News> {
        match self.clears {
            0 => vec![News::Audio { of: None, audio }],
            // Of the past.
            _ => Vec::new(),
        }
    }

    fn bye(&self) -> Option<Message> {
        Some(Message::text(r#"{"type":"Close"}"#))
    }
}

impl Aura {
    fn flush(&mut self) -> Option<Message> {
        self.flushed.push_back(self.unflushed.take()?);
        self.flushed_at.push_back(Instant::now());
        Some(Message::text(r#"{"type":"Flush"}"#))
    }
}

/// Aura's voices are models, such as `aura-2-thalia-en`: a model of two parts lacks the voice.
fn voice(spec: &SynthesizerSpec) -> String {
    let SynthesizerSpec {
        model, voice_id, ..
    } = spec;
    if model.split('-').count() != 2 || voice_id.is_empty() {
        return model.clone();
    }
    let voice_id = voice_id.to_lowercase();
    let language = spec.language.split(['-', '_']).next().unwrap_or_default();
    match voice_id.contains('-') || language.is_empty() {
        true => format!("{model}-{voice_id}"),
        false => format!("{model}-{voice_id}-{language}"),
    }
}
