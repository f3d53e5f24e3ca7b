//! The call's recording: frames gathered to blocks on the call's own clock, then laid on a reel (R166). A
//! disk that fails costs the recording, not the call.

use bolo_audio::Format;
use bytes::Bytes;
use tokio::time::Instant;

use crate::scribes::{Reel, TooSlow};

/// Caller frames are handed on in blocks of this length, ms: fewer, larger steps.
const BLOCK_MS: u64 = 500;

/// See the module. The recording is completed when this is dropped.
pub(crate) struct Tape {
    reel: Option<Reel>,
    format: Format,
    started: Instant,
    block: Vec<u8>,
    block_at: u64,
    /// Where the caller's channel ends, ms.
    caller_end: u64,
}

impl Tape {
    /// Records onto `reel`, whose time 0 is `started`.
    pub(crate) fn new(reel: Reel, format: Format, started: Instant) -> Self {
        Self {
            reel: Some(reel),
            format,
            started,
            block: Vec::new(),
            block_at: 0,
            caller_end: 0,
        }
    }

    fn at(&self, when: Instant) -> u64 {
        when.saturating_duration_since(self.started).as_millis() as u64
    }

    /// A frame of the caller, behind `gap_ms` of silence, received at `now`. Frames follow each other;
    /// only a long pause of the stream (a lost socket) moves them along the axis.
    pub(crate) fn caller(&mut self, frame: &[u8], gap_ms: u64, now: Instant) {
        let length = self.format.ms(frame.len());
        let begins = self.at(now).saturating_sub(length);
        let follows = self.caller_end + gap_ms;
        let place = if begins > follows + 1000 {
            begins
        } else {
            follows
        };
        if place != self.caller_end || self.block.is_empty() {
            self.flush();
            self.block_at = place;
            let whole = self.format.bytes_per_second() as u64 * BLOCK_MS / 1000;
            self.block.reserve_exact(whole as usize);
        }
        self.block.extend_from_slice(frame);
        self.caller_end = place + length;
        if self.format.ms(self.block.len()) >= BLOCK_MS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if !self.block.is_empty() {
            let (at, block) = (self.block_at, std::mem::take(&mut self.block));
            self.lay(|reel| reel.caller(at, block));
        }
    }

    /// A slice of the agent that begins to play at `when`.
    pub(crate) fn agent(&mut self, audio: Bytes, when: Instant) {
        let at = self.at(when);
        self.lay(|reel| reel.agent(at, audio));
    }

    /// What was to play after `now` is not played.
    pub(crate) fn cleared(&mut self, now: Instant) {
        let at = self.at(now);
        self.lay(|reel| reel.cleared(at));
    }

    fn lay(&mut self, piece: impl FnOnce(&Reel) -> Result<(), TooSlow>) {
        if let Some(Err(error)) = self.reel.as_ref().map(piece) {
            tracing::error!(%error, "the call goes on without a recording");
            self.reel = None;
        }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        self.flush();
    }
}
