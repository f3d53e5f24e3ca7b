//! Smallest (Waves) over its socket: a request a piece, one at a time; a barge-in takes another socket.
//! Source: wire-providers.md §B.3.

use std::time::Duration;

use bolo_audio::Format;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    pieces::Part,
    streamed::{News, Stop, Wire, decoded},
};
use crate::{Error, SynthesizerSpec, error::Origin, socket};

/// The wire of one call.
pub(crate) struct Smallest {
    made: Format,
    /// What each request says alike.
    common: Value,
}

/// What comes in, all kinds in one.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(default)]
    status: String,
    request_id: Option<String>,
    #[serde(default)]
    data: Data,
    message: Option<String>,
    error: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Data {
    audio: Option<String>,
    word: Option<String>,
    /// Seconds from the request's start.
    start: f64,
    end: f64,
}

impl Wire for Smallest {
    type Heard = Incoming;

    const ORIGIN: Origin = Origin {
        vendor: "smallest",
        role: "synthesizer",
        variable: "SMALLEST_API_KEY",
    };
    const BASE_URL: &'static str = "wss://api.smallest.ai";
    const KEYS: &'static [&'static str] = &["SMALLEST"];
    const AHEAD: usize = 1;
    const LONGEST: usize = 250;
    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        let rate = match spec.format.rate() {
            rate @ (8000 | 16_000 | 24_000) => rate,
            _ => 24_000,
        };
        let language = spec.language.split(['-', '_']).next().unwrap_or_default();
        Ok(Self {
            made: Format::Pcm16 { rate },
            common: json!({
                "voice_id": spec.voice_id,
                "model": spec.model,
                "language": language,
                "sample_rate": rate,
                "speed": spec.speed.clamp(0.5, 2.0),
                "output_format": "pcm",
                "word_timestamps": true,
                "continue": false,
                "flush": true,
            }),
        })
    }

    fn made(&self) -> Format {
        self.made
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        socket::address(Self::ORIGIN, base, &["waves", "v1", "tts", "live"])
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}"))]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let mut request = self.common.clone();
        request["text"] = part.text.as_str().into();
        request["request_id"] = label(part.id).into();
        vec![Message::text(request.to_string())]
    }

    fn stop(&mut self, _context: u32, in_flight: bool) -> Stop {
        match in_flight {
            true => Stop::Redial,
            false => Stop::Send(Vec::new()),
        }
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        let data = heard.data;
        // What bears no label is of the oldest part; what bears a strange one is of nobody here.
        let of = heard.request_id.as_deref().map(part_of);
        if of == Some(None) && heard.status != "error" {
            return Ok(Vec::new());
        }
        let of = of.flatten();
        let news = match heard.status.as_str() {
            "chunk" => {
                (data.audio.as_deref().and_then(decoded)).map(|audio| News::Audio { of, audio })
            }
            "word_timestamp" => data.word.map(|word| {
                let ms = |at: f64| (at.max(0.0) * 1000.0) as u64;
                let words = vec![(word, ms(data.start), ms(data.end))];
                News::Words { of, words }
            }),
            "complete" => Some(News::Done { of }),
            "error" => {
                let error = heard.error.map(|error| match error {
                    Value::String(words) => words,
                    other => other["message"].as_str().unwrap_or_default().to_owned(),
                });
                let words = [heard.message, error];
                let words: Vec<String> = words.into_iter().flatten().collect();
                let words = words.join(": ");
                tracing::warn!(words, "smallest reports a failure");
                return Err(Self::ORIGIN.worded(&words));
            }
            _ => None,
        };
        Ok(news.into_iter().collect())
    }
}

fn label(id: u32) -> String {
    format!("r{id}")
}

fn part_of(label: &str) -> Option<u32> {
    label.strip_prefix('r')?.parse().ok()
}
