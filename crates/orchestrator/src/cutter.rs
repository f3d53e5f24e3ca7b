//! Cuts a synthesizer's audio into the chunks of an answer: 20 to 1000 ms (R70), the first at once, later
//! ones the longer the more audio lies ready, since each chunk is an input of the machine.

use std::time::Duration;

use bolo_audio::Format;
use bolo_conversation::Word;
use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

const LEAST_MS: u64 = 20;
const MOST_MS: u64 = 1000;
/// A chunk is not held back for longer than this much audio.
const HOLD_MS: u64 = 500;
/// What is held back goes out when no more than this is left to play.
const LOW: Duration = Duration::from_millis(150);

/// One chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cut {
    /// From 1 within the answer.
    pub(crate) chunk: u32,
    pub(crate) piece: u32,
    pub(crate) ms: u64,
    pub(crate) audio: Bytes,
    pub(crate) words: Vec<Word>,
}

/// Cuts one answer.
#[derive(Debug)]
pub(crate) struct Cutter {
    format: Format,
    piece: u32,
    /// Chunks made.
    chunks: u32,
    pending: BytesMut,
    words: Vec<Word>,
    /// Audio in chunks, ms.
    emitted_ms: u64,
    /// Bytes of the open piece, in chunks or pending.
    piece_bytes: usize,
    /// Bytes of the open piece still to be skipped: they were heard of before a reconnect (R195).
    skip: usize,
    first_at: Option<Instant>,
}

impl Cutter {
    pub(crate) fn new(format: Format) -> Self {
        Self {
            format,
            piece: 0,
            chunks: 0,
            pending: BytesMut::new(),
            words: Vec::new(),
            emitted_ms: 0,
            piece_bytes: 0,
            skip: 0,
            first_at: None,
        }
    }

    /// When the open piece begins anew on another connection: what is known of it is skipped.
    pub(crate) fn again(&mut self) {
        self.skip = self.piece_bytes;
        self.piece_bytes = 0;
    }

    /// Takes audio of a piece, with word times from this audio's start.
    pub(crate) fn push(
        &mut self,
        piece: u32,
        mut audio: Bytes,
        words: Vec<(String, u64, u64)>,
        now: Instant,
        out: &mut Vec<Cut>,
    ) {
        if piece != self.piece {
            self.flush(now, out);
            self.piece = piece;
            self.piece_bytes = 0;
            self.skip = 0;
        }
        self.piece_bytes += audio.len();
        let skipped = self.skip.min(audio.len());
        self.skip -= skipped;
        if skipped > 0 {
            audio = audio.slice(skipped..);
        }
        let (skipped_ms, base) = (self.format.ms(skipped), self.format.ms(self.pending.len()));
        for (text, start, end) in words
            .into_iter()
            .filter(|(_, start, _)| *start >= skipped_ms)
        {
            self.words.push(Word {
                text,
                start_ms: base + start - skipped_ms,
                end_ms: base + end - skipped_ms,
            });
        }
        if audio.is_empty() {
            return;
        }
        let is_enough = self.format.ms(self.pending.len() + audio.len()) >= self.target(now);
        if !is_enough || !self.pending.is_empty() {
            self.pending.extend_from_slice(&audio);
        }
        if !is_enough {
            return;
        }
        if !self.pending.is_empty() {
            audio = self.pending.split().freeze();
        }
        self.emit(audio, now, out);
    }

    /// All audio of the open piece has come.
    pub(crate) fn flush(&mut self, now: Instant, out: &mut Vec<Cut>) {
        let mut rest = self.pending.split();
        if rest.is_empty() {
            self.words.clear();
            return;
        }
        let least = self.least();
        if rest.len() < least {
            rest.resize(least, self.format.silence());
        }
        self.emit(rest.freeze(), now, out);
        self.words.clear();
    }

    /// When [`Cutter::flush_low`] has something to do at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        if self.pending.len() < self.least() {
            return None;
        }
        (self.first_at? + Duration::from_millis(self.emitted_ms)).checked_sub(LOW)
    }

    /// Hands out what was held back when the audio before it runs out: the vendor stalls.
    pub(crate) fn flush_low(&mut self, now: Instant, out: &mut Vec<Cut>) {
        if self.wake_at().is_some_and(|at| at <= now) {
            let ready = self.pending.split().freeze();
            self.emit(ready, now, out);
        }
    }

    /// Bytes of the shortest chunk.
    fn least(&self) -> usize {
        self.format.bytes_per_second() * LEAST_MS as usize / 1000
    }

    /// How much must be there for the next chunk, ms.
    fn target(&self, now: Instant) -> u64 {
        let Some(first) = self.first_at else {
            return LEAST_MS;
        };
        let ahead = self
            .emitted_ms
            .saturating_sub(now.saturating_duration_since(first).as_millis() as u64);
        (ahead / 2).clamp(LEAST_MS, HOLD_MS)
    }

    fn emit(&mut self, mut audio: Bytes, now: Instant, out: &mut Vec<Cut>) {
        self.first_at.get_or_insert(now);
        let sample = match self.format {
            Format::Mulaw8k => 1,
            Format::Pcm16 { .. } => 2,
        };
        let most = self.format.rate() as usize * MOST_MS as usize / 1000 * sample;
        while !audio.is_empty() {
            // Two halves rather than a whole and a crumb.
            let take = match audio.len() {
                rest if rest <= most => rest,
                rest if rest < 2 * most => rest / 2 / sample * sample,
                _ => most,
            };
            let part = audio.split_to(take);
            let ms = self.format.ms(part.len());
            let (words, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.words)
                .into_iter()
                .partition(|word| word.start_ms < ms || audio.is_empty());
            self.words = later
                .into_iter()
                .map(|word| Word {
                    start_ms: word.start_ms - ms,
                    end_ms: word.end_ms.saturating_sub(ms),
                    ..word
                })
                .collect();
            self.chunks += 1;
            self.emitted_ms += ms;
            out.push(Cut {
                chunk: self.chunks,
                piece: self.piece,
                ms,
                audio: part,
                words,
            });
        }
    }
}

#[cfg(test)]
mod tests;
