//! Text to speech: the trait, and a module a vendor.

pub mod elevenlabs;

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
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

/// A vendor that turns text into speech.
#[async_trait]
pub trait Synthesizer: Send + Sync {
    /// `elevenlabs`, `local`, …
    fn name(&self) -> &'static str;

    /// Connects; returns when the connection is usable.
    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error>;
}
