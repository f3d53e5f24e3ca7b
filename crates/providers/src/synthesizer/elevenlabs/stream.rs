//! ElevenLabs' socket without contexts: one utterance a socket, a flush a piece. It knows no cancel but its
//! close, so a barge-in takes another socket, as the next utterance does. Source: wire-providers.md §4.1.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use tokio_tungstenite::tungstenite::Message;
use url::Url;

use super::{
    BASE_URL, Limits, ORIGIN, STREAM_INPUT, faults,
    utterance::Utterance,
    wire::{Incoming, Outgoing, VoiceSettings},
};
use crate::{
    Error, Spoken, SynthesizerLimits, SynthesizerSpec,
    error::Origin,
    socket::Refusal,
    synthesizer::{
        pieces::Part,
        streamed::{News, Stop, Wire},
    },
};

/// The wire of one call.
pub(crate) struct Stream {
    spec: SynthesizerSpec,
    settings: VoiceSettings,
    /// The utterance that the socket speaks.
    open: Option<Open>,
}

struct Open {
    context: u32,
    utterance: Utterance,
    /// Parts whose end was not told.
    parts: VecDeque<u32>,
    /// The part that sounds, and bytes of its audio so far.
    sounding: (u32, usize),
    /// No text follows.
    ended: bool,
    /// Nor does audio.
    over: bool,
}

impl Wire for Stream {
    type Heard = Incoming;

    const ORIGIN: Origin = ORIGIN;
    const BASE_URL: &'static str = BASE_URL;
    const KEYS: &'static [&'static str] = &["ELEVENLABS"];
    const AHEAD: usize = 64;
    const KEEP_ALIVE: Duration = Duration::from_secs(10);

    fn new(spec: &SynthesizerSpec) -> Result<Self, Error> {
        Ok(Self {
            settings: VoiceSettings::new(spec),
            spec: spec.clone(),
            open: None,
        })
    }

    fn made(&self) -> Format {
        self.spec.format
    }

    fn address(&self, base: &str) -> Result<Url, Error> {
        super::speech_url(base, &self.spec, STREAM_INPUT)
    }

    fn headers(key: &str) -> Vec<(&'static str, String)> {
        vec![("xi-api-key", key.to_owned())]
    }

    fn refused(refusal: &Refusal) -> Error {
        faults::refused(refusal)
    }

    fn greet(&mut self) -> Vec<Message> {
        self.open = None;
        vec![message(&Outgoing {
            text: Some(" "),
            voice_settings: Some(&self.settings),
            ..Outgoing::default()
        })]
    }

    fn say(&mut self, part: &Part) -> Vec<Message> {
        let format = self.spec.format;
        let open = match &mut self.open {
            Some(open) if open.context == part.context => open,
            open => open.insert(Open {
                context: part.context,
                utterance: Utterance::new(part.context, format),
                parts: VecDeque::new(),
                sounding: (part.id, 0),
                ended: false,
                over: false,
            }),
        };
        open.parts.push_back(part.id);
        // Of a part with text nothing is over yet.
        open.utterance.add(part.id, &part.text);
        // The vendor takes a text's end for a word's end only after a blank.
        vec![message(&Outgoing {
            text: Some(&format!("{} ", part.text)),
            flush: true,
            ..Outgoing::default()
        })]
    }

    fn end(&mut self, context: u32) -> Vec<Message> {
        match &mut self.open {
            Some(open) if open.context == context && !open.ended => {
                open.ended = true;
                vec![message(&Outgoing {
                    text: Some(""),
                    ..Outgoing::default()
                })]
            }
            _ => Vec::new(),
        }
    }

    fn stop(&mut self, context: u32, _in_flight: bool) -> Stop {
        match &self.open {
            Some(open) if open.context == context => Stop::Redial,
            _ => Stop::Send(Vec::new()),
        }
    }

    fn read(&mut self, heard: Incoming) -> Result<Vec<News>, Error> {
        if let Some(error) = heard.failure() {
            return Err(error);
        }
        let Some(open) = &mut self.open else {
            return Ok(Vec::new());
        };
        let mut news = Vec::new();
        if let Some(audio) = heard.audio() {
            let told = open.utterance.audio(audio, heard.alignment.as_ref());
            news = open.news(told, self.spec.format);
        }
        if heard.is_final() {
            news.extend(open.finish());
        }
        Ok(news)
    }

    /// A blank; behind its end the stream takes no more text.
    fn keep_alive(&self) -> Message {
        match &self.open {
            Some(open) if open.ended => Message::Ping(Default::default()),
            _ => message(&Outgoing {
                text: Some(" "),
                ..Outgoing::default()
            }),
        }
    }

    fn is_spent(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| open.over || open.ended && open.parts.is_empty())
    }

    fn patience(&self, limit: Duration) -> Option<Duration> {
        let limits = Limits::within(SynthesizerLimits {
            audio: limit,
            ..SynthesizerLimits::default()
        });
        match &self.open {
            Some(open) => open.utterance.patience(open.ended, &limits),
            None => Some(limit),
        }
    }

    fn presume(&mut self) -> Option<Vec<News>> {
        let open = self.open.as_mut()?;
        let is_over = open.ended && !open.utterance.lacks_audio();
        is_over.then(|| open.finish().into_iter().collect())
    }

    fn closed(code: u16, words: &str) -> Error {
        faults::failed(Some(code), words)
    }
}

impl Open {
    /// What is told of the utterance, as of parts. The last one's end waits for the stream's: some sound
    /// may follow the last character.
    fn news(&mut self, told: Vec<Spoken>, format: Format) -> Vec<News> {
        let mut news = Vec::new();
        for spoken in told {
            match spoken {
                Spoken::Audio {
                    piece: part,
                    audio,
                    words,
                    ..
                } => {
                    if self.sounding.0 != part {
                        self.sounding = (part, 0);
                    }
                    let began = format.ms(self.sounding.1);
                    self.sounding.1 += audio.len();
                    let of = Some(part);
                    let words = words.into_iter();
                    let words = words
                        .map(|(word, start, end)| (word, began + start, began + end))
                        .collect();
                    news.extend([News::Words { of, words }, News::Audio { of, audio }]);
                }
                Spoken::PieceDone { piece: part, .. } if !self.ended || self.parts.len() > 1 => {
                    self.parts.retain(|open| *open != part);
                    news.push(News::Done { of: Some(part) });
                }
                Spoken::PieceDone { .. } | Spoken::Done { .. } => {}
            }
        }
        news
    }

    /// Nothing more comes.
    fn finish(&mut self) -> Option<News> {
        self.over = true;
        let last = self.parts.drain(..).next_back();
        last.map(|last| News::Done { of: Some(last) })
    }
}

fn message(outgoing: &Outgoing<'_>) -> Message {
    Message::text(outgoing.to_json())
}
