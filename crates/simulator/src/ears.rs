//! Fakes of the vendors that turn speech into text, but for Deepgram: one server for all, each at its own
//! path. All understand tones ([`crate::tone`]), so that lost audio shows as lost words.
//! Source: wire-providers.md §4.5, §5.1, §B.2, §B.3, §B.9, §B.10, §8.
//!
//! A module a vendor spells its wire; what they have in common is here and in [`crate::hearing`].

mod gladia;
mod openai;
mod sarvam;
mod scribe;
mod smallest;
mod soniox;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocketUpgrade},
    http::HeaderMap,
    response::Response,
};
use serde_json::Value;

pub use crate::hearing::Fault;
use crate::{
    Error, FakeVendor, Jitter,
    ear::{Ear, Finding, Manners},
    g711,
    hearing::{self, Frames, Pace, Wire},
    server, vendor,
};

/// How the fakes are set up; the defaults suit tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in.
    pub api_key: String,
    /// How long a result takes after the audio that caused it. Default 0.
    pub result_delay: Duration,
    /// How that scatters. Default: not at all.
    pub jitter: Jitter,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: "ear-test-key".into(),
            result_delay: Duration::ZERO,
            jitter: Jitter::default(),
        }
    }
}

/// The fakes and their sessions.
type Desk = vendor::Desk<Options, Fault>;

/// The running fakes. They stop with their sessions when dropped.
pub type FakeEars = FakeVendor<Options, Fault>;

impl FakeEars {
    /// Starts them. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        Self::serve(options.addr, options, |desk| {
            Router::new()
                .merge(scribe::routes())
                .merge(sarvam::routes())
                .merge(openai::routes())
                .merge(soniox::routes())
                .merge(gladia::routes())
                .merge(smallest::routes())
                .with_state(desk)
        })
        .await
    }

    /// `http://127.0.0.1:<port>`: stands in for the vendor's host, for sockets too.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The key that is let in.
    pub fn api_key(&self) -> &str {
        &self.options().api_key
    }

    /// Audio heard in all sessions, ms: what the vendor would bill.
    pub fn billed_ms(&self) -> u64 {
        self.billed()
    }
}

/// Lets a client in, to talk to `wire`.
fn listen<W: Wire + 'static>(
    desk: &Arc<Desk>,
    upgrade: WebSocketUpgrade,
    fault: Option<Fault>,
    wire: W,
) -> Response {
    let (of_session, pace) = (desk.clone(), pace(desk));
    desk.upgrade(upgrade, move |socket| {
        hearing::run(of_session, wire, fault, pace, socket)
    })
}

/// Lets a client in, tells it why not, and closes.
fn refuse(desk: &Arc<Desk>, upgrade: WebSocketUpgrade, why: Value, code: u16) -> Response {
    desk.upgrade(upgrade, move |mut socket| async move {
        let message = Message::text(why.to_string());
        if socket.send(message).await.is_ok() {
            vendor::close(&mut socket, code, "").await;
        }
    })
}

fn pace(desk: &Desk) -> Pace {
    Pace {
        delay: desk.options.result_delay,
        dice: desk.dice(desk.options.jitter),
        observer: None,
    }
}

/// The status that a fault refuses with.
fn status(fault: Option<&Fault>) -> Option<u16> {
    match fault {
        Some(Fault::Status(status)) => Some(*status),
        _ => None,
    }
}

/// `endpointing_ms`, unless turns never end.
fn unless_endless(fault: Option<&Fault>, endpointing_ms: u64) -> Option<u64> {
    (fault != Some(&Fault::NeverEnds)).then_some(endpointing_ms)
}

/// Whether this header says this.
fn says(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value == Some(wanted)
}

/// Whether the key comes as a bearer token.
fn bears(headers: &HeaderMap, desk: &Desk) -> bool {
    let wanted = format!("Bearer {}", desk.options.api_key);
    says(headers, "authorization", &wanted)
}

/// What a query says under a name.
fn get<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    let found = query.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// The encodings that the fakes understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sound {
    Mulaw,
    /// 16-bit samples at this multiple of 8 kHz.
    Pcm(usize),
}

impl Sound {
    fn pcm(rate: u64) -> Option<Self> {
        let fits = rate > 0 && rate.is_multiple_of(g711::RATE);
        fits.then_some(Self::Pcm((rate / g711::RATE) as usize))
    }
}

/// An ear for any of the encodings.
#[derive(Debug)]
struct Listener {
    ear: Ear,
    sound: Sound,
    frames: Frames,
    /// Samples to leave out before the next that counts.
    skip: usize,
}

impl Listener {
    fn new(sound: Sound, manners: Manners) -> Self {
        Self {
            ear: Ear::new(manners),
            sound,
            frames: Frames::default(),
            skip: 0,
        }
    }

    fn hear(&mut self, audio: &[u8]) -> Vec<Finding> {
        let frames = match self.sound {
            Sound::Mulaw => self.frames.add(audio, false),
            Sound::Pcm(step) => {
                let mut kept = Vec::with_capacity(audio.len() / step);
                for sample in audio.chunks_exact(2) {
                    if self.skip == 0 {
                        kept.extend_from_slice(sample);
                        self.skip = step;
                    }
                    self.skip -= 1;
                }
                self.frames.add(&kept, true)
            }
        };
        let mut found = Vec::new();
        for frame in frames.chunks_exact(g711::FRAME) {
            self.ear.frame(frame, &mut found);
        }
        found
    }

    /// Freezes what was heard; its text, perhaps none.
    fn finish(&mut self) -> String {
        let mut found = Vec::new();
        self.ear.finish(false, &mut found);
        match found.pop() {
            Some(Finding::Result { text, .. }) => text,
            _ => String::new(),
        }
    }

    fn ms(&self) -> u64 {
        self.ear.clock_ms()
    }
}

/// The words of a text with the space before each but the first.
fn tokens(text: &str) -> Vec<String> {
    let words = text.split_whitespace().enumerate();
    words
        .map(|(n, word)| match n {
            0 => word.to_owned(),
            _ => format!(" {word}"),
        })
        .collect()
}

#[cfg(test)]
mod tests;
