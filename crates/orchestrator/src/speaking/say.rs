//! What is to be said, in whose voice, and the audio that was made of it.

use std::sync::Arc;

use bolo_conversation::AnswerId;
use bolo_providers::SynthesizerSpec;
use bytes::Bytes;

use crate::{clips::ClipKey, fallback::AtWork};

/// A chunk that waits to be played.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) piece: u32,
    /// Nothing of its piece follows.
    pub(crate) last: bool,
    pub(crate) audio: Bytes,
    pub(super) ms: u64,
}

/// How to tell one of our voices from another.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) vendor: &'static str,
    pub(crate) spec: Arc<SynthesizerSpec>,
    /// Clips are kept (`caching`).
    pub(crate) caching: bool,
    pub(crate) at_work: AtWork, // while another voice speaks nothing is kept as this one
}

impl Voice {
    /// The key under which this line is kept, if it is.
    pub(crate) fn key(&self, text: &str) -> Option<ClipKey> {
        self.caching
            .then(|| ClipKey::new(self.vendor, &self.spec, text))
            .flatten()
    }
}

/// A piece to be spoken.
#[derive(Debug)]
pub(crate) struct Say {
    pub(crate) answer: AnswerId,
    /// From 0 within the answer.
    pub(crate) piece: u32,
    pub(crate) text: String,
    /// No piece follows.
    pub(crate) last: bool,
    /// Worth keeping as a clip.
    pub(crate) keep: bool,
}
