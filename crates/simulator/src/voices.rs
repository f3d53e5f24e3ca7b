//! Fakes of the vendors that turn text into speech, but for ElevenLabs' usual socket. All speak in tones
//! ([`crate::tone`]), so that whoever listens can tell which words were heard. Source: wire-providers.md
//! §2.1, §4.3, §B.1 to §B.7, §8.
//!
//! A module a vendor spells its wire; what they have in common is here.

pub mod aura;
pub mod azure;
pub mod cartesia;
pub mod dialogue;
mod http;
pub mod openai;
mod outbox;
pub mod polly;
pub mod rime;
pub mod sarvam;
mod session;
pub mod smallest;
mod sound;

use std::{net::SocketAddr, time::Duration};

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::{FakeVendor, Jitter, coming::TooMany, server, vendor};

/// How a fake is set up; the defaults suit tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in.
    pub api_key: String,
    /// From the text that triggers a generation to its first audio. Default 0.
    pub first_byte: Duration,
    /// How that scatters. Default: not at all.
    pub jitter: Jitter,
    /// How much faster than real time audio is sent. Default 20; vendors' is about 3.
    pub speed: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: "voice-test-key".into(),
            first_byte: Duration::ZERO,
            jitter: Jitter::default(),
            speed: 20.0,
        }
    }
}

/// What goes wrong with one connection or request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Refused with this status.
    Status(u16),
    /// The connection is taken, and nothing ever answers.
    HalfOpen,
    /// Let in, and told of a wrong key at the first text. HTTP: the refusal of a wrong key.
    KeyMessage,
    /// Let in, and told that the quota is used up at the first text. HTTP: that refusal.
    QuotaMessage,
    /// Sends nothing more after so many chunks of audio, and stays.
    StallAfter(u32),
    /// The connection is lost after so many chunks of audio.
    LostAfter(u32),
    /// Closed with this code after so many chunks of audio. HTTP: lost.
    CloseAfter(u32, u16),
    /// Reports a failure of its own after so many chunks of audio, and closes. HTTP: lost.
    FailsAfter(u32),
    /// Its first audio comes so much later, ms.
    DelayFirst(u64),
    /// Sends nothing after so many chunks of audio, for so long, ms; then the rest.
    PausesAfter(u32, u64),
    /// Reads nothing after the first text, for so long, ms. HTTP has nothing of it.
    Deaf(u64),
    /// Never tells that audio is through. HTTP has nothing of it.
    NoEnd,
    /// Each chunk is preceded by one that is labelled as of an utterance nobody knows, where the vendor has
    /// such labels.
    WrongContext,
    /// Each chunk is preceded by text that is no JSON. Nothing of it over HTTP.
    Garbage,
    /// Each chunk is preceded by a message nobody has heard of. Nothing of it over HTTP.
    UnknownMessages,
    /// Everything is well, but there is no audio.
    NoAudio,
}

impl TooMany for Fault {
    fn too_many() -> Self {
        Self::Status(429)
    }
}

/// The fake and its sessions.
pub(crate) type Desk = vendor::Desk<Options, Fault>;

/// A running fake. Stops with its sessions when dropped.
pub type FakeVoice = FakeVendor<Options, Fault>;

impl FakeVoice {
    /// `http://127.0.0.1:<port>`: stands in for the vendor's host, for sockets too.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr())
    }

    /// The key that is let in.
    pub fn api_key(&self) -> &str {
        &self.options().api_key
    }

    /// Characters spoken: what the vendor would bill.
    pub fn characters(&self) -> u64 {
        self.billed()
    }
}

/// What goes wrong with the connection or request that has these headers.
fn next_fault(desk: &Desk, headers: &HeaderMap) -> Option<Fault> {
    match vendor::refusal(headers) {
        Some(402) => Some(Fault::QuotaMessage),
        Some(status) => Some(Fault::Status(status)),
        None => desk.next_fault(),
    }
}

/// Whether this header says this.
fn says(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value == Some(wanted)
}

/// Whether a key that is let in comes so: this one, or one that is out of credit.
fn shows(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    says(headers, name, wanted) || vendor::refusal(headers) == Some(402)
}

/// Whether the key comes as a bearer token.
fn bears(headers: &HeaderMap, desk: &Desk) -> bool {
    shows(
        headers,
        "authorization",
        &format!("Bearer {}", desk.options.api_key),
    )
}
