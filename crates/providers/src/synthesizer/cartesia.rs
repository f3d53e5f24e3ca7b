//! Cartesia over its socket: one context an utterance, each piece flushed, so that its end is told.
//! Source: wire-providers.md §B.1; flushes as the vendor's SDK 4.2.0 types them.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    pieces::{Part, Words},
    streamed::{News, Stop, Wire, decoded},
};
use crate::{Error, SynthesizerSpec, error::Origin, socket};

const VERSION: &str = "2026-08-14";
/// The vendor forgets a context a second after its last audio; a new one is safer before.
const CONTEXT_LIVES: Duration = Duration::from_millis(500);

/// The wire of one call.
pub(crate) struct Cartesia {
    made: Format,
    /// What each request of a context must say alike.
    common: Value,
    open: Option<Context>,
    contexts: u32,
}

/// The vendor's context in which the open utterance is spoken.
struct Context {
    id: String,
    utterance: u32,
    /// Parts whose end was not told.
    parts: VecDeque<u32>,
    /// Audio that has come, bytes; and as much of it as came before the part at hand.
    sounded: usize,
    before: usize,
    /// Where the words' clock stood when the part at hand began, seconds.
    base: Option<f64>,
    /// No text follows.
    ended: bool,
    moved_at: Instant,
}

/// What comes in, all kinds in one.
#[derive(Deserialize)]
pub(crate) struct Incoming {
    #[serde(rename = "type", default)]
    kind: String,
    context_id: Option<String>,
    data: Option<String>,
    word_timestamps: Option<WordTimestamps>,
    status_code: Option<u16>,
    error: Option<String>,
    title: Option<String>,
    message: Option<String>,
    error_code: Option<String>,
}

/// Seconds.
#[derive(Default, Deserialize)]
#[serde(default)]
struct WordTimestamps {
    words: Vec<String>,
    start: Vec<f64>,
    end: Vec<f64>,
}

impl Wire for Cartesia {
    type Heard = Incoming;

    const ORIGIN: Origin = Origin {
        vendor: "cartesia",
        role: "synthesizer",
        variable: "CARTESIA_API_KEY",
    };
    const BASE_URL: &'static str = "wss://api.cartesia.ai";
    const KEYS: &'static [&'static str] = &["CARTESIA"];
    const AHEAD: usize = 64;
    const KEEP_ALIVE: Duration = Duration::from_secs(60);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        let made = match spec.format {
            Format::Pcm16 {
                rate: 8000 | 16_000 | 22_050 | 24_000 | 44_100 | 48_000,
            }
            | Format::Mulaw8k => spec.format,
            Format::Pcm16 { .. } => Format::Pcm16 { rate: 24_000 },
        };
        let encoding = match made {
            Format::Mulaw8k => "pcm_mulaw",
            Format::Pcm16 { .. } => "pcm_s16le",
        };
        let mut generation = json!({"speed": spec.speed.clamp(0.6, 1.5)});
        for option in ["volume", "emotion"] {
            if let Some(value) = spec.options.get(option) {
                generation[option] = value.clone();
            }
        }
        let language = spec.language.split(['-', '_']).next().unwrap_or_default();
        let common = json!({
            "model_id": spec.model,
            "voice": {"mode": "id", "id": spec.voice_id},
            "language": language,
            "output_format": {"container": "raw", "encoding": encoding, "sample_rate": made.rate()},
            "generation_config": generation,
            "max_buffer_delay_ms": 0,
            "add_timestamps": true,
        });
        Ok(Self {
            made,
            common,
            open: None,
            contexts: 0,
        })
    }

    fn made(&self) -> Format {
        self.made
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        socket::address(Self::ORIGIN, base, &["tts", "websocket"])
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![
            ("authorization", format!("Bearer {key}")),
            ("cartesia-version", VERSION.to_owned()),
        ]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let mut messages = Vec::new();
        let over = self
            .open
            .as_ref()
            .is_some_and(|open| open.utterance != part.context || open.ended || open.is_stale());
        if over {
            messages.extend(self.close());
        }
        if self.open.is_none() {
            self.contexts += 1;
            self.open = Some(Context {
                id: format!("c{}", self.contexts),
                utterance: part.context,
                parts: VecDeque::new(),
                sounded: 0,
                before: 0,
                base: None,
                ended: false,
                moved_at: Instant::now(),
            });
        }
        if let Some(open) = &mut self.open {
            open.parts.push_back(part.id);
        }
        // Transcripts are joined as they are.
        messages.extend(self.request(&format!("{} ", part.text), true, false));
        messages.extend(self.request("", true, true));
        messages
    }

    fn end(&mut self, context: u32) -> Vec<Message> {
        let of_it = |open: &Context| open.utterance == context && !open.ended && !open.is_stale();
        if !self.open.as_ref().is_some_and(of_it) {
            return Vec::new();
        }
        let message = self.request("", false, false);
        if let Some(open) = &mut self.open {
            open.ended = true;
        }
        message.into_iter().collect()
    }

    fn stop(&mut self, context: u32, in_flight: bool) -> Stop {
        let Some(open) = self.open.take_if(|open| open.utterance == context) else {
            return Stop::Send(Vec::new());
        };
        let done = open.ended && !in_flight;
        let cancel = json!({"context_id": open.id, "cancel": true}).to_string();
        Stop::Send(match done {
            true => Vec::new(),
            false => vec![Message::text(cancel)],
        })
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        let of_open = |open: &&mut Context| heard.context_id.as_deref() == Some(open.id.as_str());
        if heard.kind == "error" {
            let of_open = self.open.as_mut().filter(of_open);
            let matters = of_open.is_some_and(|open| !open.parts.is_empty());
            return match heard.context_id.is_none() || matters {
                true => Err(failed(&heard)),
                // A context that was given up, or that the vendor has forgotten, complains.
                false => Ok(Vec::new()),
            };
        }
        let Some(open) = self.open.as_mut().filter(of_open) else {
            return Ok(Vec::new());
        };
        open.moved_at = Instant::now();
        let of = open.parts.front().copied();
        let news = match heard.kind.as_str() {
            "chunk" => (heard.data.as_deref().and_then(decoded)).map(|audio| {
                open.sounded += audio.len();
                News::Audio { of, audio }
            }),
            "timestamps" => {
                let before = self.made.ms(open.before) as f64 / 1000.0;
                let words = open.words(heard.word_timestamps.unwrap_or_default(), before);
                Some(News::Words { of, words })
            }
            "flush_done" => {
                (open.base, open.before) = (None, open.sounded);
                let done = open.parts.pop_front();
                done.map(|id| News::Done { of: Some(id) })
            }
            "done" => {
                let done = open.parts.back().copied();
                self.open = None;
                done.map(|id| News::Done { of: Some(id) })
            }
            _ => None,
        };
        Ok(news.into_iter().collect())
    }
}

impl Cartesia {
    fn request(&self, transcript: &str, go_on: bool, flush: bool) -> Option<Message> {
        let mut request = self.common.clone();
        request["context_id"] = self.open.as_ref()?.id.clone().into();
        request["transcript"] = transcript.into();
        request["continue"] = go_on.into();
        if flush {
            request["flush"] = true.into();
        }
        Some(Message::text(request.to_string()))
    }

    /// Gives up the open context, of which nothing is awaited.
    fn close(&mut self) -> Option<Message> {
        let ended = self.open.as_ref().is_some_and(|open| open.ended);
        let message = if ended {
            None
        } else {
            self.request("", false, false)
        };
        self.open = None;
        message
    }
}

impl Context {
    fn is_stale(&self) -> bool {
        self.parts.is_empty() && self.moved_at.elapsed() > CONTEXT_LIVES
    }

    /// Times from the part's start, ms. The vendor's clock runs on within a context, or begins anew with
    /// each flush: the first word of a part tells which.
    fn words(&mut self, told: WordTimestamps, before: f64) -> Words {
        let first = told.start.first().copied().unwrap_or_default();
        let runs_on = first + 0.05 >= before;
        let base = *(self.base).get_or_insert(if runs_on { before } else { 0.0 });
        let ms = |at: f64| ((at - base).max(0.0) * 1000.0) as u64;
        let times = told.start.into_iter().zip(told.end);
        (told.words.into_iter().zip(times))
            .map(|(word, (start, end))| (word, ms(start), ms(end)))
            .collect()
    }
}

fn failed(heard: &Incoming) -> Error {
    let origin = Cartesia::ORIGIN;
    let words = [
        &heard.error,
        &heard.error_code,
        &heard.title,
        &heard.message,
    ];
    let words: Vec<&str> = words.into_iter().flatten().map(String::as_str).collect();
    let words = words.join(": ");
    tracing::warn!(
        words,
        status = heard.status_code,
        "cartesia reports a failure"
    );
    if words.contains("quota") || words.contains("credit") {
        return origin.quota();
    }
    origin.status(heard.status_code.unwrap_or(500), &words, None)
}
