//! One context: text gathers until a generation is triggered, and becomes audio. Pure.

use std::{collections::VecDeque, sync::Arc};

use crate::{g711, tone};

/// Characters that trigger the first, second, … generation without a flush.
const SCHEDULE: [usize; 4] = [50, 80, 120, 150];
/// Lengths of audio messages in samples, in turn; odd on purpose.
const CHUNKS: [usize; 3] = [1001, 2403, 1607];
/// Text without a flush that one context may hold.
const ROOM: usize = 10_000;

/// One audio message to come.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub audio: Vec<u8>,
    /// Characters in it: (character, start ms, duration ms).
    pub characters: Vec<(char, u64, u64)>,
    /// The text of the generation that it begins: the vendor takes a moment before it.
    pub begins: Option<Arc<str>>,
}

#[derive(Debug, Default)]
pub(super) struct Context {
    text: String,
    generations: usize,
    chunks: VecDeque<Chunk>,
    /// `close_context` came: `isFinal` follows the last chunk.
    pub closed: bool,
    /// Chunks that are still sent after a close that dropped the rest.
    pub spoken: u64,
}

impl Context {
    /// Adds text; starts a generation when enough has gathered. Returns characters that begin to be
    /// spoken (and billed).
    pub fn add(&mut self, text: &str) -> usize {
        if self.text.len() < ROOM {
            self.text.push_str(text);
        }
        let wanted = SCHEDULE[self.generations.min(SCHEDULE.len() - 1)];
        // Up to the last blank, as a word may still grow.
        match self.text.rfind(' ') {
            Some(end) if self.text.chars().count() >= wanted => {
                let rest = self.text.split_off(end + 1);
                let spoken = self.generate();
                self.text = rest;
                spoken
            }
            _ => 0,
        }
    }

    /// Speaks all that has gathered.
    pub fn generate(&mut self) -> usize {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        if text.is_empty() {
            return 0;
        }
        self.generations += 1;
        let audio = tone::speak(text);
        let characters: Vec<char> = text.chars().collect();
        let (mut at, mut turn) = (0, 0);
        while at < audio.len() {
            let length = CHUNKS[turn % CHUNKS.len()].min(audio.len() - at);
            let (from, to) = (
                at.div_ceil(tone::CHAR_SAMPLES),
                (at + length).div_ceil(tone::CHAR_SAMPLES),
            );
            let start = g711::ms(at);
            let timed = (from..to.min(characters.len()))
                .map(|n| {
                    (
                        characters[n],
                        (n as u64 * tone::CHAR_MS).saturating_sub(start),
                        tone::CHAR_MS,
                    )
                })
                .collect();
            self.chunks.push_back(Chunk {
                audio: audio[at..at + length].to_vec(),
                characters: timed,
                begins: (at == 0).then(|| text.into()),
            });
            at += length;
            turn += 1;
        }
        characters.len()
    }

    /// The context is closed by the client: what was flushed is finished within two chunks, pending text
    /// is flushed.
    pub fn close(&mut self) -> usize {
        self.closed = true;
        self.generate()
    }

    pub fn next(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.pop_front();
        self.spoken += u64::from(chunk.is_some());
        chunk
    }

    pub fn has_chunks(&self) -> bool {
        !self.chunks.is_empty()
    }

    pub fn starts_generation(&self) -> bool {
        self.chunks
            .front()
            .is_some_and(|chunk| chunk.begins.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_waits_for_a_flush_or_for_enough_of_it() {
        let mut context = Context::default();
        assert_eq!(context.add("Hello there. "), 0);
        assert!(!context.has_chunks());
        assert_eq!(context.generate(), 12);
        let long = "This sentence alone is longer than what the schedule asks for in its first two steps. ";
        assert_eq!(context.add(long), long.trim().chars().count());
    }

    #[test]
    fn chunks_hold_all_audio_and_every_character_once() {
        let mut context = Context::default();
        context.add("Your order ships on Monday.");
        context.generate();
        let (mut audio, mut text) = (Vec::new(), String::new());
        while let Some(chunk) = context.next() {
            audio.extend(chunk.audio);
            text.extend(chunk.characters.iter().map(|(character, ..)| character));
        }
        assert_eq!(text, "Your order ships on Monday.");
        assert_eq!(audio, tone::speak("Your order ships on Monday."));
    }
}
