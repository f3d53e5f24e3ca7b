//! The call's recording: frames gathered to blocks on the call's own clock, then handed to the recorder
//! (R166). A disk that fails costs the recording, not the call.

use bolo_audio::{Format, Recorder};
use tokio::time::Instant;

/// Caller frames are handed on in blocks of this length, ms: fewer, larger steps.
const BLOCK_MS: u64 = 200;

/// See the module.
pub(crate) struct Tape {
    recorder: Option<Recorder>,
    format: Format,
    started: Instant,
    block: Vec<u8>,
    block_at: u64,
    /// Where the caller's channel ends, ms.
    caller_end: u64,
}

impl Tape {
    /// Records onto `recorder`, whose time 0 is `started`.
    pub(crate) fn new(recorder: Option<Recorder>, format: Format, started: Instant) -> Self {
        Self {
            recorder,
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
        }
        self.block.extend_from_slice(frame);
        self.caller_end = place + length;
        if self.format.ms(self.block.len()) >= BLOCK_MS {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.block.is_empty() {
            return;
        }
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.caller(self.block_at, &self.block, self.format);
            self.check(written);
        }
        self.block.clear();
    }

    /// A slice of the agent that begins to play at `when`.
    pub(crate) fn agent(&mut self, audio: &[u8], when: Instant) {
        let at = self.at(when);
        if let Some(recorder) = &mut self.recorder {
            let written = recorder.agent(at, audio, self.format);
            self.check(written);
        }
    }

    /// What was to play after `now` is not played.
    pub(crate) fn cleared(&mut self, now: Instant) {
        let at = self.at(now);
        if let Some(recorder) = &mut self.recorder {
            recorder.agent_cleared(at);
        }
    }

    fn check(&mut self, written: Result<(), bolo_audio::Error>) {
        if let Err(error) = written {
            tracing::error!(%error, "the call goes on without a recording");
            self.recorder = None;
        }
    }

    /// Completes the file; whether there is one.
    pub(crate) fn finish(&mut self) -> bool {
        self.flush();
        match self.recorder.take().map(Recorder::finish) {
            Some(Ok(_)) => true,
            Some(Err(error)) => {
                tracing::error!(%error, "the recording could not be completed");
                false
            }
            None => false,
        }
    }
}
