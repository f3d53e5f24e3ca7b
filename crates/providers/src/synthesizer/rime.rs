//! Rime over its JSON socket: a piece at a time, each under a label of its own, flushed and answered by
//! `done`. A clear empties the vendor's buffer; what it still sends carries the old label.
//! Source: wire-providers.md §B.7.

use std::time::Duration;

use bolo_audio::Format;
use serde::Deserialize;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    pieces::{Part, Words},
    streamed::{News, Stop, Wire, decoded},
};
use crate::{Error, SynthesizerSpec, error::Origin, socket};

/// The wire of one call.
pub(crate) struct Rime {
    spec: SynthesizerSpec,
    made: Format,
    /// The part whose words come, and where its next sentence begins, seconds: times restart with each.
    words_of: (Option<u32>, f64),
}

/// What comes in, all kinds in one.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(rename = "contextId")]
    context_id: Option<String>,
    data: Option<String>,
    #[serde(default)]
    word_timestamps: WordTimestamps,
    message: Option<String>,
}

/// Seconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WordTimestamps {
    words: Vec<String>,
    start: Vec<f64>,
    end: Vec<f64>,
}

impl Wire for Rime {
    type Heard = Incoming;

    const ORIGIN: Origin = Origin {
        vendor: "rime",
        role: "synthesizer",
        variable: "RIME_API_KEY",
    };
    const BASE_URL: &'static str = "wss://users-ws.rime.ai";
    const KEYS: &'static [&'static str] = &["RIME"];
    const AHEAD: usize = 1;
    const LONGEST: usize = 500;
    const KEEP_ALIVE: Duration = Duration::from_secs(20);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        Ok(Self {
            spec: spec.clone(),
            made: spec.format,
            words_of: (None, 0.0),
        })
    }

    fn made(&self) -> Format {
        self.made
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        let mut url = socket::address(Self::ORIGIN, base, &["ws3"])?;
        let format = match self.made {
            Format::Mulaw8k => "mulaw",
            Format::Pcm16 { .. } => "pcm",
        };
        let mut query = url.query_pairs_mut();
        query
            .append_pair("speaker", &self.spec.voice_id)
            .append_pair("modelId", &self.spec.model)
            .append_pair("audioFormat", format)
            .append_pair("samplingRate", &self.made.rate().to_string())
            .append_pair("lang", language(&self.spec.language))
            .append_pair("segment", "bySentence");
        if self.spec.speed != 1.0 {
            // Both stretch time: more is slower.
            let name = match self.spec.model.starts_with("mist") {
                true => "speedAlpha",
                false => "timeScaleFactor",
            };
            query.append_pair(name, &(1.0 / self.spec.speed).to_string());
        }
        drop(query);
        Ok(url)
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("authorization", format!("Bearer {key}"))]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let text = json!({"text": format!("{} ", part.text), "contextId": label(part.id)});
        vec![
            Message::text(text.to_string()),
            Message::text(r#"{"operation":"flush"}"#),
        ]
    }

    fn stop(&mut self, _context: u32, in_flight: bool) -> Stop {
        Stop::Send(match in_flight {
            true => vec![Message::text(r#"{"operation":"clear"}"#)],
            false => Vec::new(),
        })
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        if heard.kind == "error" {
            let words = heard.message.unwrap_or_default();
            tracing::warn!(words, "rime reports a failure");
            return Err(Self::ORIGIN.worded(&words));
        }
        let Some(id) = heard.context_id.as_deref().and_then(part_of) else {
            return Ok(Vec::new());
        };
        let of = Some(id);
        let news = match heard.kind.as_str() {
            "chunk" => {
                (heard.data.as_deref().and_then(decoded)).map(|audio| News::Audio { of, audio })
            }
            "timestamps" => {
                let words = self.words(id, heard.word_timestamps);
                Some(News::Words { of, words })
            }
            "done" => Some(News::Done { of }),
            _ => None,
        };
        Ok(news.into_iter().collect())
    }

    fn bye(&self) -> Option<Message> {
        Some(Message::text(r#"{"operation":"eos"}"#))
    }
}

impl Rime {
    /// Times from the part's start, ms.
    fn words(&mut self, id: u32, told: WordTimestamps) -> Words {
        if self.words_of.0 != Some(id) {
            self.words_of = (Some(id), 0.0);
        }
        let base = self.words_of.1;
        self.words_of.1 += told.end.last().copied().unwrap_or_default();
        let ms = |at: f64| ((at + base).max(0.0) * 1000.0) as u64;
        let times = told.start.into_iter().zip(told.end);
        (told.words.into_iter().zip(times))
            .map(|(word, (start, end))| (word, ms(start), ms(end)))
            .collect()
    }
}

fn label(id: u32) -> String {
    format!("p{id}")
}

fn part_of(label: &str) -> Option<u32> {
    label.strip_prefix('p')?.parse().ok()
}

/// ISO 639-2 as the vendor spells it.
fn language(language: &str) -> &str {
    match language.split(['-', '_']).next().unwrap_or_default() {
        "en" => "eng",
        "es" => "spa",
        "fr" => "fra",
        "de" => "ger",
        "hi" => "hin",
        other => other,
    }
}
