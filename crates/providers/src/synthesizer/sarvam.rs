//! Sarvam over its socket, which has no utterances and no cancel: a piece at a time, each flushed and
//! answered by `final`; a barge-in takes another socket. Source: wire-providers.md §B.2.

use std::time::Duration;

use bolo_audio::Format;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    pieces::Part,
    streamed::{News, Stop, Wire, decoded},
};
use crate::{
    Error, SynthesizerSpec,
    error::Origin,
    socket::{self, Refusal},
};

/// The wire of one call.
pub(crate) struct Sarvam {
    model: String,
    made: Format,
    /// `data` of the first message.
    config: Value,
}

/// What comes in, all kinds in one.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    data: Data,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    audio: Option<String>,
    event_type: Option<String>,
    message: Option<String>,
    code: Option<Value>,
}

impl Wire for Sarvam {
    type Heard = Incoming;

    const ORIGIN: Origin = Origin {
        vendor: "sarvam",
        role: "synthesizer",
        variable: "SARVAM_API_KEY",
    };
    const BASE_URL: &'static str = "wss://api.sarvam.ai";
    const KEYS: &'static [&'static str] = &["SARVAM"];
    const AHEAD: usize = 1;
    /// The vendor advises less than 500.
    const LONGEST: usize = 490;
    /// The vendor closes after 60 s.
    const KEEP_ALIVE: Duration = Duration::from_secs(30);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        let made = match spec.format {
            Format::Pcm16 {
                rate: 8000 | 16_000 | 22_050 | 24_000,
            }
            | Format::Mulaw8k => spec.format,
            Format::Pcm16 { .. } => Format::Pcm16 { rate: 24_000 },
        };
        let codec = match made {
            Format::Mulaw8k => "mulaw",
            Format::Pcm16 { .. } => "linear16",
        };
        let is_v2 = spec.model == "bulbul:v2";
        let pace = match is_v2 {
            true => spec.speed.clamp(0.3, 3.0),
            false => spec.speed.clamp(0.5, 2.0),
        };
        let language = match spec.language.contains('-') {
            true => spec.language.clone(),
            false => format!("{}-IN", spec.language),
        };
        let mut config = json!({
            "target_language_code": language,
            "speaker": spec.voice_id.to_lowercase(),
            "pace": pace,
            "speech_sample_rate": made.rate(),
            "output_audio_codec": codec,
        });
        let options: &[&str] = match is_v2 {
            true => &["pitch", "loudness", "enable_preprocessing"],
            false => &["temperature", "dict_id"],
        };
        for option in options {
            if let Some(value) = spec.options.get(*option) {
                config[*option] = value.clone();
            }
        }
        Ok(Self {
            model: spec.model.clone(),
            made,
            config,
        })
    }

    fn made(&self) -> Format {
        self.made
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        let mut url = socket::address(Self::ORIGIN, base, &["text-to-speech", "ws"])?;
        url.query_pairs_mut()
            .append_pair("model", &self.model)
            .append_pair("send_completion_event", "true");
        Ok(url)
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("api-subscription-key", key.to_owned())]
    }

    fn refused(refusal: &Refusal) -> Error {
        match refusal.words.contains("quota") {
            true => Self::ORIGIN.quota(),
            false => refusal.error(Self::ORIGIN),
        }
    }

    fn greet(&mut self) -> Vec<Message> {
        let message = json!({"type": "config", "data": self.config});
        vec![Message::text(message.to_string())]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let text = json!({"type": "text", "data": {"text": part.text}});
        vec![
            Message::text(text.to_string()),
            Message::text(r#"{"type":"flush"}"#),
        ]
    }

    fn stop(&mut self, _context: u32, in_flight: bool) -> Stop {
        match in_flight {
            true => Stop::Redial,
            false => Stop::Send(Vec::new()),
        }
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        let data = heard.data;
        let news = match (heard.kind.as_str(), data.event_type.as_deref()) {
            ("audio", _) => (data.audio.as_deref().and_then(decoded)).map(|audio| News::Audio {
                of: None,
                audio: without_header(audio),
            }),
            ("event", Some("final")) => Some(News::Done { of: None }),
            ("error", _) => return Err(failed(&data)),
            _ => None,
        };
        Ok(news.into_iter().collect())
    }

    fn keep_alive(&self) -> Message {
        Message::text(r#"{"type":"ping"}"#)
    }
}

fn failed(data: &Data) -> Error {
    let origin = Sarvam::ORIGIN;
    let words = data.message.as_deref().unwrap_or_default();
    tracing::warn!(words, code = ?data.code, "sarvam reports a failure");
    let code = match &data.code {
        Some(Value::String(code)) => code.as_str(),
        _ => "",
    };
    match data.code.as_ref().and_then(Value::as_u64) {
        Some(status) if !words.contains("quota") && !words.contains("credit") => {
            origin.status(status as u16, words, None)
        }
        _ => origin.worded(&format!("{code} {words}")),
    }
}

/// Some deployments put a WAV header before raw audio.
fn without_header(audio: Bytes) -> Bytes {
    if !audio.starts_with(b"RIFF") {
        return audio;
    }
    match audio.windows(4).position(|name| name == b"data") {
        Some(at) if at + 8 <= audio.len() => audio.slice(at + 8..),
        _ => Bytes::new(),
    }
}
