//! The playout clock: what of the agent's audio is audible, what was heard (R67-R73). It runs by
//! itself from each `Play` on; marks only correct it, so nothing can latch.

use std::collections::{BTreeMap, VecDeque};

use crate::{AnswerId, At};

/// Marks that fail in a row before the carrier's marks are no longer trusted (R73).
const MISSING_LIMIT: u32 = 3;
/// The longest latency of a line that is believed (R68).
const LINK_MAX_MS: u64 = 2000;
/// The lead grows by this, up to that (R69).
const LEAD_STEP_MS: u64 = 100;
const LEAD_MAX_MS: u64 = 1000;

/// A stretch of a chunk in the carrier or on its way there.
#[derive(Debug, Clone, PartialEq)]
struct Slot {
    answer: AnswerId,
    chunk: u32,
    /// Where in the chunk it begins, ms.
    from_ms: u64,
    ms: u64,
    /// The end if the line had no latency: it can't be heard earlier.
    bare_end: At,
    sent: At,
    start: At,
    end: At,
    acked: bool,
    /// The mark `<answer>:end` follows it.
    last: bool,
}

/// What a mark told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marked {
    /// Unknown, repeated or cleared: no news (R71, R72).
    Nothing,
    /// The clock was set by it; the lead grew to this if it grew (R69).
    Heard { grown_lead: Option<u64> },
}

/// A place in the agent's audio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) answer: AnswerId,
    pub(crate) chunk: u32,
    pub(crate) ms: u64,
}

/// The clock of one call.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Playout {
    slots: Vec<Slot>,
    /// What a pause holds back; `Some` = paused.
    held: Option<Vec<Slot>>,
    samples: VecDeque<u64>,
    initial_link: u64,
    marks: bool,
    missing: u32,
    mark_timeout: u64,
    lead: u64,
}

impl Playout {
    pub(crate) fn new(link_ms: u64, lead_ms: u64, mark_timeout_ms: u64) -> Self {
        Self {
            slots: Vec::new(),
            held: None,
            samples: VecDeque::new(),
            initial_link: link_ms,
            marks: true,
            missing: 0,
            mark_timeout: mark_timeout_ms,
            lead: lead_ms,
        }
    }

    /// Whether the carrier echoes marks, and how much the driver keeps ahead.
    pub(crate) fn begin(&mut self, marks: bool, lead_ms: u64) {
        self.marks = marks;
        self.lead = lead_ms;
    }

    /// Whether marks are to be waited for.
    pub(crate) fn has_marks(&self) -> bool {
        self.marks
    }

    fn link(&self) -> u64 {
        match self.samples.len() as u64 {
            0 => self.initial_link,
            n => self.samples.iter().sum::<u64>() / n,
        }
    }

    /// A chunk goes to the carrier.
    pub(crate) fn play(&mut self, now: At, answer: AnswerId, chunk: u32, ms: u64) {
        self.push(now, answer, chunk, 0, ms);
    }

    fn push(&mut self, now: At, answer: AnswerId, chunk: u32, from_ms: u64, ms: u64) {
        let (before, bare_before) = self
            .slots
            .last()
            .map_or((At(0), At(0)), |slot| (slot.end, slot.bare_end));
        let start = now.plus(self.link()).max(before);
        self.slots.push(Slot {
            answer,
            chunk,
            from_ms,
            ms,
            bare_end: now.max(bare_before).plus(ms),
            sent: now,
            start,
            end: start.plus(ms),
            acked: false,
            last: false,
        });
    }

    /// The answer has no more chunks: its end mark follows.
    pub(crate) fn close(&mut self, answer: AnswerId) {
        let held = self.held.iter_mut().flatten();
        if let Some(slot) = self
            .slots
            .iter_mut()
            .chain(held)
            .filter(|slot| slot.answer == answer)
            .last()
        {
            slot.last = true;
        }
    }

    /// The answer that sounds at `now`.
    pub(crate) fn sounding(&self, now: At) -> Option<AnswerId> {
        self.slots
            .iter()
            .rev()
            .find(|slot| slot.start <= now && now < slot.end)
            .map(|slot| slot.answer)
    }

    /// When the answer's last chunk so far has been heard; `None` = none was played, or a pause holds
    /// some of it back.
    pub(crate) fn end_of(&self, answer: AnswerId) -> Option<At> {
        if self.holds_back(answer) {
            return None;
        }
        self.slots
            .iter()
            .rev()
            .find(|slot| slot.answer == answer)
            .map(|slot| slot.end)
    }

    /// Whether a pause holds some of this answer back.
    pub(crate) fn holds_back(&self, answer: AnswerId) -> bool {
        self.held.iter().flatten().any(|slot| slot.answer == answer)
    }

    /// When its first chunk begins to sound.
    pub(crate) fn start_of(&self, answer: AnswerId) -> Option<At> {
        self.slots
            .iter()
            .find(|slot| slot.answer == answer)
            .map(|slot| slot.start)
    }

    /// Whether the end mark of this answer came, or can't come any more.
    pub(crate) fn is_acked(&self, answer: AnswerId) -> bool {
        self.slots
            .iter()
            .rev()
            .find(|slot| slot.answer == answer)
            .is_none_or(|slot| slot.acked)
    }

    /// How much of each chunk was heard, by chunk number, ms.
    pub(crate) fn heard(&self, answer: AnswerId, now: At) -> BTreeMap<u32, u64> {
        let mut heard = BTreeMap::new();
        for slot in self.slots.iter().filter(|slot| slot.answer == answer) {
            let ms = if slot.acked {
                slot.ms
            } else {
                now.since(slot.start).min(slot.ms)
            };
            if ms > 0 {
                let until = heard.entry(slot.chunk).or_insert(0);
                *until = (*until).max(slot.from_ms + ms);
            }
        }
        heard
    }

    /// A mark came back: everything of this answer up to `chunk` (`None` = to its end) was played.
    pub(crate) fn mark(&mut self, now: At, answer: AnswerId, chunk: Option<u32>) -> Marked {
        if !self.marks {
            return Marked::Nothing;
        }
        let up_to =
            |slot: &Slot| slot.answer == answer && chunk.is_none_or(|number| slot.chunk <= number);
        let Some(index) = self.slots.iter().rposition(up_to) else {
            return Marked::Nothing;
        };
        if self.slots[index].acked || self.holds_back(answer) && chunk.is_none() {
            return Marked::Nothing;
        }
        let slot = &self.slots[index];
        if slot.last {
            self.missing = 0;
        }
        let late = now.0 as i64 - slot.bare_end.0 as i64;
        if (0..=LINK_MAX_MS as i64).contains(&late) {
            self.samples.push_back(late as u64);
            if self.samples.len() > 10 {
                self.samples.pop_front();
            }
        }
        let earliest = At(slot.bare_end.0.saturating_sub(200));
        let end = now.min(slot.end.plus(LINK_MAX_MS)).max(earliest);
        self.correct(index, end);
        Marked::Heard {
            grown_lead: self.grow_lead(),
        }
    }

    /// Slot `index` ends at `end`; what lies before it was played, what follows moves along.
    fn correct(&mut self, index: usize, end: At) {
        for slot in &mut self.slots[..index] {
            slot.acked = true;
            slot.end = slot.end.min(end);
            slot.start = slot.start.min(slot.end);
        }
        let link = self.link();
        let slot = &mut self.slots[index];
        slot.acked = true;
        slot.end = end;
        slot.start = slot.start.min(end);
        let mut before = end;
        for slot in &mut self.slots[index + 1..] {
            slot.start = slot.sent.plus(link).max(before);
            slot.end = slot.start.plus(slot.ms);
            before = slot.end;
        }
    }

    fn grow_lead(&mut self) -> Option<u64> {
        let (min, max) = (self.samples.iter().min()?, self.samples.iter().max()?);
        (max - min > self.lead / 2 && self.lead < LEAD_MAX_MS).then(|| {
            self.lead = (self.lead + LEAD_STEP_MS).min(LEAD_MAX_MS);
            self.lead
        })
    }

    /// When the next end mark counts as missing (R73).
    pub(crate) fn next_missing(&self) -> Option<At> {
        let due = |slot: &Slot| slot.end.plus(self.mark_timeout);
        self.slots
            .iter()
            .filter(|slot| self.marks && slot.last && !slot.acked)
            .map(due)
            .min()
    }

    /// Counts end marks that are overdue as played; says how many.
    pub(crate) fn take_missing(&mut self, now: At) -> u32 {
        let mut count = 0;
        for slot in &mut self.slots {
            if self.marks && slot.last && !slot.acked && slot.end.plus(self.mark_timeout) <= now {
                slot.acked = true;
                count += 1;
            }
        }
        self.missing += count;
        if self.missing >= MISSING_LIMIT {
            self.marks = false;
        }
        count
    }

    /// Stops feeding; the carrier still plays what it holds (R49).
    pub(crate) fn pause(&mut self, now: At) {
        self.hold_back(now.plus(self.lead));
    }

    /// Stops at once: the carrier is gone (R199). Says whether there was anything to stop.
    pub(crate) fn freeze(&mut self, now: At) -> bool {
        if self.held.is_none() && !self.slots.is_empty() {
            self.hold_back(now);
        }
        self.held.is_some()
    }

    fn hold_back(&mut self, dry: At) {
        let mut held = Vec::new();
        self.slots.retain_mut(|slot| {
            if slot.end <= dry {
                return true;
            }
            let played = dry.since(slot.start).min(slot.ms);
            let mut rest = slot.clone();
            rest.from_ms += played;
            rest.ms -= played;
            held.push(rest);
            slot.ms = played;
            slot.end = slot.start.plus(played);
            slot.last = false;
            played > 0
        });
        self.held = Some(held);
    }

    /// Whether a pause is on.
    pub(crate) fn is_paused(&self) -> bool {
        self.held.is_some()
    }

    /// Where a paused agent goes on.
    pub(crate) fn paused_at(&self) -> Option<Place> {
        let held = self.held.as_ref()?.first();
        held.map(|slot| Place {
            answer: slot.answer,
            chunk: slot.chunk,
            ms: slot.from_ms,
        })
        .or_else(|| {
            let slot = self.slots.last()?;
            Some(Place {
                answer: slot.answer,
                chunk: slot.chunk,
                ms: slot.from_ms + slot.ms,
            })
        })
    }

    /// Feeds again, the first held chunk from `from_ms` on.
    pub(crate) fn resume(&mut self, now: At, from_ms: u64) {
        for (index, slot) in self.held.take().unwrap_or_default().into_iter().enumerate() {
            let back = if index == 0 {
                slot.from_ms.saturating_sub(from_ms)
            } else {
                0
            };
            self.push(
                now,
                slot.answer,
                slot.chunk,
                slot.from_ms - back,
                slot.ms + back,
            );
            if let Some(pushed) = self.slots.last_mut() {
                pushed.last = slot.last;
            }
        }
    }

    /// Drops everything; marks that come back for it are no evidence (R72).
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.held = None;
    }

    /// Forgets what was heard of answers that are over, once their marks are settled.
    pub(crate) fn prune(&mut self, now: At, live: impl Fn(AnswerId) -> bool) {
        let marks = self.marks;
        self.slots.retain(|slot| {
            let waits_for_mark = marks && slot.last && !slot.acked;
            live(slot.answer) || slot.end > now || waits_for_mark
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: AnswerId = AnswerId(1);

    fn clock(link: u64) -> Playout {
        Playout::new(link, 400, 2000)
    }

    #[test] // R67, R68
    fn audible_from_the_line_latency_to_the_last_chunks_end() {
        let mut clock = clock(250);
        clock.play(At(1000), A, 1, 500);
        clock.play(At(1010), A, 2, 300);
        assert_eq!(clock.sounding(At(1249)), None);
        assert_eq!(clock.sounding(At(1250)), Some(A));
        assert_eq!(clock.sounding(At(2049)), Some(A));
        assert_eq!(clock.sounding(At(2050)), None);
        assert_eq!(clock.end_of(A), Some(At(2050)));
        assert_eq!(
            clock.heard(A, At(1850)),
            BTreeMap::from([(1, 500), (2, 100)])
        );
    }

    #[test] // R68, R71
    fn marks_correct_the_clock_and_teach_it_the_latency() {
        let mut clock = clock(250);
        clock.play(At(0), A, 1, 1000);
        clock.play(At(0), A, 2, 1000);
        assert_eq!(
            clock.mark(At(1400), A, Some(1)),
            Marked::Heard { grown_lead: None }
        );
        assert_eq!(clock.end_of(A), Some(At(2400)));
        assert_eq!(clock.mark(At(1500), A, Some(1)), Marked::Nothing);
        clock.play(At(5000), AnswerId(2), 1, 100);
        assert_eq!(clock.start_of(AnswerId(2)), Some(At(5400)));
    }

    #[test] // R71
    fn a_mark_moves_the_end_within_reason_only() {
        let mut clock = clock(0);
        clock.play(At(0), A, 1, 1000);
        clock.mark(At(300), A, None);
        assert_eq!(clock.end_of(A), Some(At(800)));
        clock.play(At(2000), AnswerId(2), 1, 1000);
        clock.mark(At(9000), AnswerId(2), None);
        assert_eq!(clock.end_of(AnswerId(2)), Some(At(5000)));
    }

    #[test] // R72
    fn marks_of_cleared_audio_are_no_evidence() {
        let mut clock = clock(0);
        clock.play(At(0), A, 1, 1000);
        clock.clear();
        assert_eq!(clock.mark(At(10), A, Some(1)), Marked::Nothing);
        assert_eq!(clock.sounding(At(10)), None);
    }

    #[test] // R73
    fn three_missing_marks_in_a_row_end_the_trust_in_them() {
        let mut clock = clock(0);
        for number in 1..=3 {
            let answer = AnswerId(number);
            let at = At(u64::from(number) * 10_000);
            clock.play(at, answer, 1, 1500);
            clock.close(answer);
            assert_eq!(clock.next_missing(), Some(at.plus(3500)));
            assert_eq!(clock.take_missing(at.plus(3499)), 0);
            assert_eq!(clock.take_missing(at.plus(3500)), 1);
        }
        assert!(!clock.has_marks());
    }

    #[test] // R49, R51
    fn a_pause_lets_the_carrier_run_dry_and_a_resume_plays_the_rest() {
        let mut clock = clock(0);
        clock.play(At(0), A, 1, 1000);
        clock.play(At(0), A, 2, 1000);
        clock.close(A);
        clock.pause(At(800));
        assert_eq!(clock.sounding(At(1199)), Some(A));
        assert_eq!(clock.sounding(At(1200)), None);
        assert_eq!(clock.end_of(A), None);
        assert_eq!(
            clock.paused_at(),
            Some(Place {
                answer: A,
                chunk: 2,
                ms: 200
            })
        );
        clock.resume(At(3000), 150);
        assert_eq!(clock.end_of(A), Some(At(3850)));
        assert_eq!(
            clock.heard(A, At(3100)),
            BTreeMap::from([(1, 1000), (2, 250)])
        );
        assert_eq!(clock.next_missing(), Some(At(5850)));
    }

    #[test] // R69
    fn jitter_of_marks_grows_the_lead() {
        let mut clock = clock(0);
        clock.play(At(0), A, 1, 1000);
        clock.play(At(0), A, 2, 1000);
        assert_eq!(
            clock.mark(At(1000), A, Some(1)),
            Marked::Heard { grown_lead: None }
        );
        assert_eq!(
            clock.mark(At(2250), A, Some(2)),
            Marked::Heard {
                grown_lead: Some(500)
            }
        );
    }
}
