//! Text to speech: the trait, and a module a vendor.

pub(crate) mod azure;
pub(crate) mod cartesia;
pub(crate) mod deepgram;
pub mod elevenlabs;
pub(crate) mod openai;
mod pieces;
pub(crate) mod polly;
pub(crate) mod requested;
pub(crate) mod rime;
pub(crate) mod sarvam;
pub(crate) mod smallest;
mod ssml;
pub(crate) mod streamed;

use std::time::Duration;

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Map, Value};

use crate::{Error, Session};

/// Which voice, and what to make.
#[derive(Debug, Clone, PartialEq)]
pub struct SynthesizerSpec {
    /// The vendor's model.
    pub model: String,
    /// The vendor's voice id.
    pub voice_id: String,
    /// ISO 639-1 or the vendor's own.
    pub language: String,
    /// 1.0 = as recorded.
    pub speed: f32,
    /// Vendor options, verbatim from the agent.
    pub options: Map<String, Value>,
    /// What is wanted; a vendor that can't make it converts.
    pub format: Format,
}

/// What goes into a synthesizer. `context` separates utterances on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Speak {
    /// One piece of an utterance's text.
    Text {
        /// Which utterance.
        context: u32,
        /// Which piece of it, from 0.
        piece: u32,
        /// What to say; may be empty when only `last` is to be told.
        text: String,
        /// No piece follows in this context.
        last: bool,
    },
    /// Drop this utterance; nothing of it may come any more.
    Cancel {
        /// Which utterance.
        context: u32,
    },
}

/// What a synthesizer tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Spoken {
    /// Audio in the spec's format, any length; in order within a context.
    Audio {
        /// Which utterance.
        context: u32,
        /// Which piece; vendors that can't tell give the oldest piece still open.
        piece: u32,
        /// The bytes.
        audio: Bytes,
        /// Words in it with their times from this audio's start: (word, start ms, end ms).
        words: Vec<(String, u64, u64)>,
    },
    /// All audio of this piece has come.
    PieceDone {
        /// Which utterance.
        context: u32,
        /// Which piece.
        piece: u32,
    },
    /// All audio of this utterance has come.
    Done {
        /// Which utterance.
        context: u32,
    },
}

/// Time limits of a session (wire-providers.md §10.4).
#[derive(Debug, Clone, Copy)]
pub struct SynthesizerLimits {
    /// DNS, TCP, TLS and upgrade together.
    pub connect: Duration,
    /// One message to the vendor.
    pub write: Duration,
    /// Between text and its audio, and between messages of audio.
    pub audio: Duration,
    /// For the vendor to close the socket.
    pub close: Duration,
}

impl Default for SynthesizerLimits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            write: Duration::from_secs(2),
            audio: Duration::from_secs(3),
            close: Duration::from_secs(1),
        }
    }
}

/// A vendor that turns text into speech.
#[async_trait]
pub trait Synthesizer: Send + Sync {
    /// `elevenlabs`, `local`, …
    fn name(&self) -> &'static str;

    /// Connects; returns when the connection is usable.
    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error>;

    /// Opens the connection that a first text will go through, where a session by itself opens none.
    fn warm(&self, _: &SynthesizerSpec) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }

    /// Why it refused this key in the last calls of this process, the last of them within a minute (R196).
    fn refused(&self) -> Option<Error> {
        None
    }
}
