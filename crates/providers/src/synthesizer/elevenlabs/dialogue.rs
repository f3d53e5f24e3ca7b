//! ElevenLabs' dialogue socket, which alone speaks the v3 models: one context an utterance, a flush a
//! piece. Source: wire-providers.md §4.3.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{BASE_URL, ORIGIN, faults};
use crate::{
    Error, SynthesizerSpec,
    error::Origin,
    socket::{self, Refusal},
    synthesizer::{
        pieces::{Part, Words},
        streamed::{News, Stop, Wire, decoded},
    },
};

/// The wire of one call.
pub(crate) struct Dialogue {
    spec: SynthesizerSpec,
    format: String,
    open: Option<Context>,
    contexts: u32,
}

/// The vendor's context in which the open utterance is spoken.
struct Context {
    id: String,
    utterance: u32,
    /// Parts whose end was not told.
    parts: VecDeque<u32>,
    /// Audio of the part at hand, bytes.
    sounded: usize,
    /// A word whose end was not yet seen, in ms from the part's start.
    word: Option<(String, u64, u64)>,
    ended: bool,
}

/// What comes in, all kinds in one.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Incoming {
    #[serde(alias = "contextId")]
    context_id: Option<String>,
    audio: Option<String>,
    alignment: Option<Alignment>,
    is_final_audio_for_turn: Option<bool>,
    is_final: Option<bool>,
    error: Option<String>,
    message: Option<String>,
    code: Option<Value>,
}

/// Times of each character, ms from the start of this message's audio.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Alignment {
    chars: Vec<String>,
    char_start_times_ms: Vec<f64>,
    char_durations_ms: Vec<f64>,
}

impl Wire for Dialogue {
    type Heard = Incoming;

    const ORIGIN: Origin = ORIGIN;
    const BASE_URL: &'static str = BASE_URL;
    const KEYS: &'static [&'static str] = &["ELEVENLABS"];
    const AHEAD: usize = 64;
    /// The vendor closes after 20 s.
    const KEEP_ALIVE: Duration = Duration::from_secs(8);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        Ok(Self {
            format: super::output_format(spec.format)?,
            spec: spec.clone(),
            open: None,
            contexts: 0,
        })
    }

    fn made(&self) -> Format {
        self.spec.format
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        let path = ["v1", "text-to-dialogue", "multi-stream-input"];
        let mut url = socket::address(ORIGIN, base, &path)?;
        let mut query = url.query_pairs_mut();
        query
            .append_pair("model_id", &self.spec.model)
            .append_pair("output_format", &self.format)
            .append_pair("sync_alignment", "true");
        if let Some(language) = super::language(&self.spec) {
            query.append_pair("language_code", language);
        }
        drop(query);
        Ok(url)
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("xi-api-key", key.to_owned())]
    }

    fn refused(refusal: &Refusal) -> Error {
        faults::refused(refusal)
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let mut messages = Vec::new();
        let same = |open: &Context| open.utterance == part.context && !open.ended;
        let is_new = !self.open.as_ref().is_some_and(same);
        if is_new {
            messages.extend(self.close());
            self.contexts += 1;
            let id = format!("c{}", self.contexts);
            messages.push(text(json!({
                "context_id": id,
                "voices": [self.spec.voice_id],
                "voice_settings": {"stability": super::wire::stability(&self.spec)},
            })));
            self.open = Some(Context {
                id,
                utterance: part.context,
                parts: VecDeque::new(),
                sounded: 0,
                word: None,
                ended: false,
            });
        }
        let Some(open) = &mut self.open else {
            return messages;
        };
        open.parts.push_back(part.id);
        let input = json!({"text": format!("{} ", part.text), "voice_id": self.spec.voice_id, "new_turn": is_new});
        messages.push(text(json!({"context_id": open.id, "inputs": [input]})));
        messages.push(text(json!({"context_id": open.id, "flush": true})));
        messages
    }

    fn end(&mut self, context: u32) -> Vec<Message> {
        match self
            .open
            .as_ref()
            .is_some_and(|open| open.utterance == context)
        {
            true => self.close().into_iter().collect(),
            false => Vec::new(),
        }
    }

    fn stop(&mut self, context: u32, _in_flight: bool) -> Stop {
        let messages = self.end(context);
        self.open.take_if(|open| open.utterance == context);
        Stop::Send(messages)
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        if heard.error.is_some() || (heard.message.is_some() && heard.code.is_some()) {
            let code = heard.code.as_ref().and_then(Value::as_u64);
            let words = [heard.error, heard.message];
            let words: Vec<String> = words.into_iter().flatten().collect();
            let code = code.and_then(|code| code.try_into().ok());
            return Err(faults::failed(code, &words.join(": ")));
        }
        let id = heard.context_id.as_deref();
        let Some(open) = self.open.as_mut().filter(|open| id == Some(&open.id)) else {
            return Ok(Vec::new());
        };
        let mut news = Vec::new();
        let of = open.parts.front().copied();
        if let Some(alignment) = heard.alignment {
            let words = open.words(&alignment, self.spec.format.ms(open.sounded));
            news.push(News::Words { of, words });
        }
        if let Some(audio) = heard.audio.as_deref().and_then(decoded) {
            open.sounded += audio.len();
            news.push(News::Audio { of, audio });
        }
        if heard.is_final_audio_for_turn == Some(true) {
            let words = open.word.take().into_iter().collect();
            news.push(News::Words { of, words });
            open.sounded = 0;
            let done = open.parts.pop_front();
            news.extend(done.map(|id| News::Done { of: Some(id) }));
        }
        if heard.is_final == Some(true) {
            let done = open.parts.back().copied();
            news.extend(done.map(|id| News::Done { of: Some(id) }));
            self.open = None;
        }
        Ok(news)
    }

    fn keep_alive(&self) -> Message {
        text(json!({"keep_alive": true}))
    }

    fn bye(&self) -> Option<Message> {
        Some(text(json!({"close_socket": true})))
    }

    fn closed(code: u16, words: &str) -> Error {
        faults::failed(Some(code), words)
    }
}

impl Dialogue {
    /// No text follows in the open context.
    fn close(&mut self) -> Option<Message> {
        let open = self.open.as_mut().filter(|open| !open.ended)?;
        open.ended = true;
        Some(text(json!({"context_id": open.id, "close_context": true})))
    }
}

impl Context {
    /// Words that end in a message whose audio begins `at` ms after the part's.
    fn words(&mut self, alignment: &Alignment, at: u64) -> Words {
        let times = (alignment.char_start_times_ms.iter()).zip(&alignment.char_durations_ms);
        let mut words = Words::new();
        for (text, (start, duration)) in alignment.chars.iter().zip(times) {
            if text.trim().is_empty() {
                words.extend(self.word.take());
                continue;
            }
            let ends = at + (start + duration).max(0.0) as u64;
            match &mut self.word {
                Some((word, _, end)) => {
                    word.push_str(text);
                    *end = ends;
                }
                None => self.word = Some((text.clone(), at + start.max(0.0) as u64, ends)),
            }
        }
        words
    }
}

fn text(message: Value) -> Message {
    Message::text(message.to_string())
}
