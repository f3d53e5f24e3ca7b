//! What the far end hears: a FIFO of audio and marks played at 1x, exact to the sample. Pure: the
//! caller tells the time, in samples (125 µs) since the stream's start (wire-telephony.md §7).

use std::collections::VecDeque;

use bytes::Bytes;

use crate::g711;

#[derive(Debug)]
enum Item {
    Audio(Bytes),
    Mark(String),
}

/// The queue of one stream.
#[derive(Debug)]
pub struct Playout {
    /// Audio beyond this is dropped, as the carrier does.
    limit: u64,
    queue: VecDeque<Item>,
    queued: u64,
    /// Everything before this sample has been played.
    now: u64,
    /// Played but not yet taken.
    played: Vec<u8>,
    underruns: u64,
    dropped: u64,
    /// When the audio last ran out, unless it was cleared.
    dry_at: Option<u64>,
}

impl Playout {
    /// An empty queue for so many samples.
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            queue: VecDeque::new(),
            queued: 0,
            now: 0,
            played: Vec::new(),
            underruns: 0,
            dropped: 0,
            dry_at: None,
        }
    }

    /// Samples that wait to be played.
    pub fn queued(&self) -> u64 {
        self.queued
    }

    /// How often the audio ran dry while more came within a second: gaps a caller hears.
    pub fn underruns(&self) -> u64 {
        self.underruns
    }

    /// Samples dropped because the buffer was full.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Plays up to sample `to` and returns the names of the marks that were reached on the way, in
    /// order. Time never goes back: an earlier `to` changes nothing.
    pub fn advance(&mut self, to: u64) -> Vec<String> {
        let mut reached = Vec::new();
        while let Some(item) = self.queue.front_mut() {
            match item {
                Item::Mark(name) => {
                    reached.push(std::mem::take(name));
                    self.queue.pop_front();
                }
                Item::Audio(_) if self.now >= to => break,
                Item::Audio(bytes) => {
                    let count = (to - self.now).min(bytes.len() as u64) as usize;
                    self.played.extend_from_slice(&bytes.split_to(count));
                    self.now += count as u64;
                    self.queued -= count as u64;
                    if bytes.is_empty() {
                        self.queue.pop_front();
                    }
                    if self.queued == 0 {
                        self.dry_at = Some(self.now);
                    }
                }
            }
        }
        if self.now < to {
            let silence = (to - self.now) as usize;
            self.played
                .resize(self.played.len() + silence, g711::SILENCE);
            self.now = to;
        }
        reached
    }

    /// Audio that arrived at sample `at`; false when it has no room. Play it up to there first
    /// ([`Self::advance`]).
    pub fn push_audio(&mut self, at: u64, bytes: Bytes) -> bool {
        if bytes.is_empty() {
            return true;
        }
        if self.queued + bytes.len() as u64 > self.limit {
            self.dropped += bytes.len() as u64;
            return false;
        }
        if let Some(dry) = self.dry_at.take() {
            let gap = at.saturating_sub(dry);
            // 20 ms to 1 s of nothing between two pieces: a hole inside an answer, most likely.
            if gap > g711::FRAME as u64 && gap < g711::RATE {
                self.underruns += 1;
            }
        }
        self.queued += bytes.len() as u64;
        self.queue.push_back(Item::Audio(bytes));
        true
    }

    /// A mark that arrived now. It is reached by the next [`Self::advance`] if nothing is before it.
    pub fn push_mark(&mut self, name: String) {
        self.queue.push_back(Item::Mark(name));
    }

    /// Empties the queue. Returns the names of all pending marks, and how many samples will never be
    /// heard.
    pub fn clear(&mut self) -> (Vec<String>, u64) {
        let marks = self
            .queue
            .drain(..)
            .filter_map(|item| match item {
                Item::Mark(name) => Some(name),
                Item::Audio(_) => None,
            })
            .collect();
        self.dry_at = None;
        (marks, std::mem::take(&mut self.queued))
    }

    /// Sample at which the next waiting mark will be reached, `None` without marks.
    pub fn next_mark(&self) -> Option<u64> {
        let mut at = self.now;
        for item in &self.queue {
            match item {
                Item::Audio(bytes) => at += bytes.len() as u64,
                Item::Mark(_) => return Some(at),
            }
        }
        None
    }

    /// Takes the next 20 ms that were played; false while fewer are there. Frame n holds the samples
    /// from 160 n on.
    pub fn take_frame(&mut self, into: &mut [u8; g711::FRAME]) -> bool {
        if self.played.len() < g711::FRAME {
            return false;
        }
        into.copy_from_slice(&self.played[..g711::FRAME]);
        self.played.drain(..g711::FRAME);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 600 * g711::RATE;

    fn audio(byte: u8, samples: usize) -> Bytes {
        Bytes::from(vec![byte; samples])
    }

    fn frames(playout: &mut Playout) -> Vec<u8> {
        let mut all = Vec::new();
        let mut frame = [0; g711::FRAME];
        while playout.take_frame(&mut frame) {
            all.extend_from_slice(&frame);
        }
        all
    }

    #[test]
    fn audio_plays_from_the_sample_it_arrived_at() {
        let mut playout = Playout::new(LIMIT);
        assert!(playout.advance(100).is_empty());
        playout.push_audio(100, audio(1, 200));
        playout.push_mark("m".into());
        assert_eq!(playout.next_mark(), Some(300));
        assert!(playout.advance(299).is_empty());
        assert_eq!(playout.advance(300), ["m"]);
        playout.advance(320);
        let heard = frames(&mut playout);
        assert_eq!(heard[..100], [g711::SILENCE; 100]);
        assert_eq!(heard[100..300], [1; 200]);
        assert_eq!(heard[300..], [g711::SILENCE; 20]);
    }

    #[test]
    fn a_mark_behind_nothing_is_echoed_at_once() {
        let mut playout = Playout::new(LIMIT);
        playout.push_mark("a".into());
        playout.push_mark("b".into());
        assert_eq!(playout.advance(0), ["a", "b"]);
    }

    #[test]
    fn marks_come_in_order_however_late_time_is_told() {
        let mut playout = Playout::new(LIMIT);
        for name in ["a", "b", "c"] {
            playout.push_audio(0, audio(2, 50));
            playout.push_mark(name.into());
        }
        assert_eq!(playout.advance(8000), ["a", "b", "c"]);
    }

    #[test]
    fn clear_drops_the_audio_and_tells_every_pending_mark() {
        let mut playout = Playout::new(LIMIT);
        playout.push_audio(0, audio(3, 8000));
        playout.push_mark("a".into());
        playout.push_audio(0, audio(4, 8000));
        playout.push_mark("b".into());
        playout.advance(4000);
        assert_eq!(
            playout.clear(),
            (vec!["a".to_owned(), "b".to_owned()], 12_000)
        );
        playout.advance(4800);
        let heard = frames(&mut playout);
        assert_eq!(heard[..4000], [3; 4000]);
        assert_eq!(heard[4000..], [g711::SILENCE; 800]);
        playout.push_audio(4800, audio(5, 160));
        assert_eq!(playout.underruns(), 0, "a gap after a clear is no underrun");
    }

    #[test]
    fn a_hole_inside_an_answer_is_counted() {
        let mut playout = Playout::new(LIMIT);
        playout.push_audio(0, audio(6, 160));
        playout.advance(400);
        playout.push_audio(400, audio(6, 160));
        playout.advance(560);
        playout.push_audio(560, audio(6, 160));
        assert_eq!(playout.underruns(), 1);
        playout.advance(20_000);
        playout.push_audio(20_000, audio(6, 160));
        assert_eq!(playout.underruns(), 1, "a new answer is no underrun");
    }

    #[test]
    fn beyond_the_limit_audio_is_dropped() {
        let mut playout = Playout::new(LIMIT);
        playout.push_audio(0, audio(7, LIMIT as usize));
        playout.push_audio(0, audio(7, 160));
        assert_eq!((playout.queued(), playout.dropped()), (LIMIT, 160));
    }
}
