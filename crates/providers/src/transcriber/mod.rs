//! Speech to text: the trait, and a module a vendor.

pub mod assembly;
pub mod deepgram;
mod dialect;
mod endpointing;
pub mod gladia;
mod live;
pub mod openai;
pub mod sarvam;
pub mod scribe;
pub mod smallest;
pub mod soniox;

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;

pub use self::{dialect::Access, live::Limits};
use crate::{Error, Session};

/// What to listen for.
#[derive(Debug, Clone, PartialEq)]
pub struct TranscriberSpec {
    /// The vendor's model.
    pub model: String,
    /// ISO 639-1 or the vendor's own.
    pub language: String,
    /// Silence that ends a turn, ms.
    pub endpointing_ms: u32,
    /// Words to expect.
    pub keywords: Vec<String>,
    /// What will be sent.
    pub format: Format,
    /// The call, for the vendor's own records; empty = not told.
    pub execution: String,
}

impl TranscriberSpec {
    /// The one language to expect, without its region; `None` where any may come (`multi`, `multi-hi`).
    fn expected_language(&self) -> Option<&str> {
        let language = self.language.split(['-', '_']).next()?;
        Some(language).filter(|language| !["", "multi", "auto", "unknown"].contains(language))
    }

    /// Words to expect, without blank ones.
    fn keywords(&self) -> impl Iterator<Item = &str> {
        let words = self.keywords.iter().map(|word| word.trim());
        words.filter(|word| !word.is_empty())
    }
}

/// What goes into a transcriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hear {
    /// Caller audio in the spec's format, 20 ms a frame.
    Audio(Bytes),
    /// The turn is over although the vendor has not ended it: end it now, with what there is (R29).
    EndTurn,
    /// The call is over: give what is there as final.
    Finish,
}

/// What a transcriber tells, in the core's vocabulary (runtime.md §0 `Stt`).
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Speech was noticed, before any text.
    SpeechStarted,
    /// The open segment so far. Per segment.
    Interim(String),
    /// A segment that will not change; the turn goes on.
    Final(String),
    /// The turn is over.
    TurnEnd {
        /// Text of the last segment not yet told as `Final`; may be empty.
        text: String,
        /// Which rule.
        why: HeardEnd,
    },
    /// The turn is expected to be over (R41): its end with the same text follows, or `Resumed`.
    Eager {
        /// The open segment so far, as of `Interim`.
        text: String,
        /// How sure the vendor is, 0..=1.
        confidence: f32,
    },
    /// The turn that was expected to be over goes on.
    Resumed,
    /// Speech ended with nothing to add.
    SpeechEnded,
    /// Seconds of audio billed, at the end of a session.
    Billed(f64),
}

/// Which rule ended a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum HeardEnd {
    SpeechFinal,
    UtteranceEnd,
    EndOfTurn,
    /// [`Hear::EndTurn`].
    Forced,
}

/// A vendor that turns speech into text. Live and continuous: nothing may assume whole utterances.
#[async_trait]
pub trait Transcriber: Send + Sync {
    /// `deepgram`, `local`, …
    fn name(&self) -> &'static str;

    /// The longest that it may, by its own judgement, keep a turn open after the last text, ms. A turn is
    /// not ended over its head before that (runtime.md R29). 0: no longer than the runtime's own limit.
    fn longest_pause_ms(&self, _spec: &TranscriberSpec) -> u64 {
        0
    }

    /// Whether words come while the caller speaks. From a vendor that gives them at the end only, silence
    /// during a long sentence is no sign that it is dead.
    fn gives_interims(&self, _spec: &TranscriberSpec) -> bool {
        true
    }

    /// Whether a connection is paid for by the time that it is open, not by what is heard.
    fn bills_open_time(&self) -> bool {
        false
    }

    /// Connects; returns when the connection is usable (wire-providers.md §7.2).
    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error>;

    /// Why it refused this key in the last calls of this process, the last of them within a minute (R196).
    fn refused(&self) -> Option<Error> {
        None
    }
}
