//! An answer at the synthesizer: what of it is not made yet, and whether the caller hears a hole in it.

use std::collections::BTreeMap;

use bolo_audio::Format;
use tokio::time::Instant;

use crate::{clips::ClipKey, cutter::Cutter};

/// A text that was said.
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) last: bool,
    pub(super) done: bool,
}

/// See the module.
pub(super) struct Utterance {
    pub(super) cutter: Cutter,
    pub(super) pieces: BTreeMap<u32, Piece>,
    /// Where the rendered line is kept when it is whole.
    pub(super) keep: Option<(ClipKey, Vec<u8>)>,
    has_begun: bool,
    dry_since: Option<Instant>,
}

impl Utterance {
    pub(super) fn new(format: Format, keep: Option<ClipKey>) -> Self {
        Self {
            cutter: Cutter::new(format),
            pieces: BTreeMap::new(),
            keep: keep.map(|key| (key, Vec::new())),
            has_begun: false,
            dry_since: None,
        }
    }

    pub(super) fn add(&mut self, number: u32, text: String, last: bool) {
        if !self.owes() {
            self.dry_since = None;
        }
        let done = false;
        self.pieces.insert(number, Piece { text, last, done });
    }

    /// Whether the synthesizer has something of it to make.
    pub(super) fn owes(&self) -> bool {
        let mut pieces = self.pieces.values();
        pieces.any(|piece| !piece.done && !piece.text.trim().is_empty())
    }

    /// Since when the caller hears nothing although it has begun and is not done.
    pub(super) fn hole_since(&self) -> Option<Instant> {
        self.dry_since.filter(|_| self.owes())
    }

    /// There is audio to be played.
    pub(super) fn sounds(&mut self) {
        self.has_begun = true;
        self.dry_since = None;
    }

    /// There is none.
    pub(super) fn ran_dry(&mut self, now: Instant) {
        if self.has_begun && self.owes() {
            self.dry_since.get_or_insert(now);
        }
    }
}
