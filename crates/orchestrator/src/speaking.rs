//! The agent's voice: text pieces to the synthesizer, chunks of audio back, held until they are played.
//! A broken or silent connection is replaced and told again what was not yet made (R195).

use std::{
    collections::{BTreeMap, VecDeque},
    task::{Context, Poll},
    time::Duration,
};

use bolo_conversation::{AnswerId, Fault, FaultKind, Input};
use bolo_providers::{Speak, Spoken};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    clips::Clips,
    cutter::{Cut, Cutter},
    line::{Line, LineNews},
};

mod say;
mod utterance;

pub(crate) use say::{Held, Say, Voice};
use utterance::Utterance;

/// Waits before each try to reach the synthesizer, ms; three in a row and the speech has failed (R195).
pub(crate) const WAITS: &[u64] = &[0, 250, 500];
const FAILURES: u32 = 3;
/// A connection that owes audio and is silent this long counts as lost (R195).
const SILENT: Duration = Duration::from_secs(3);
/// The same within an answer whose audio has all been played, for the caller hears the hole; and how long that
/// may be.
const DRY: Duration = Duration::from_millis(1200);
const DRY_MOST: Duration = Duration::from_millis(2200);
/// Audio made but not yet played; beyond it the synthesizer waits.
const HELD_MS: u64 = 30_000;
/// Chunks of answers this far back were forgotten by everyone.
const OLD: u32 = 4;

/// See the module.
pub(crate) struct Mouth {
    line: Line<Speak, Spoken>,
    voice: Voice,
    clips: Clips,
    utterances: BTreeMap<u32, Utterance>,
    held: BTreeMap<(u32, u32), Held>,
    held_ms: u64,
    /// Messages the synthesizer did not take yet.
    waiting: VecDeque<Speak>,
    /// Last sign that the connection does its work, while it owes any.
    progress_at: Instant,
    failures: u32,
    /// By the member of the line that they were sent to.
    characters: BTreeMap<usize, u64>,
}

impl Mouth {
    pub(crate) fn new(line: Line<Speak, Spoken>, voice: Voice, clips: Clips, now: Instant) -> Self {
        Self {
            line,
            voice,
            clips,
            utterances: BTreeMap::new(),
            held: BTreeMap::new(),
            held_ms: 0,
            waiting: VecDeque::new(),
            progress_at: now,
            failures: 0,
            characters: BTreeMap::new(),
        }
    }

    /// Whether a line would come from the cache.
    pub(crate) fn cached(&self, text: &str) -> bool {
        self.voice.key(text).is_some_and(|key| self.clips.has(&key))
    }

    /// Speaks a piece. A line that is complete in one piece may come from the cache.
    pub(crate) fn say(&mut self, line: Say, now: Instant, facts: &mut VecDeque<Input>) {
        let Say {
            answer,
            piece,
            text,
            last,
            keep,
        } = line;
        self.forget_before(answer.0.saturating_sub(OLD));
        let mut key = None;
        if piece == 0 && last {
            key = self.voice.key(&text);
            if let Some(clip) = key.as_ref().and_then(|key| self.clips.get(key)) {
                self.play_clip(answer, clip, now, facts);
                return;
            }
        }
        if self.line.is_shut() {
            self.line.revive();
        }
        if !self.owes() {
            self.progress_at = now;
        }
        let format = self.voice.spec.format;
        let utterance = self.utterances.entry(answer.0).or_insert_with(|| {
            let key = key.filter(|_| keep && !self.voice.at_work.is_fallback());
            Utterance::new(format, key)
        });
        utterance.add(piece, text.clone(), last);
        self.look_for_hole(answer, now);
        self.waiting.push_back(Speak::Text {
            context: answer.0,
            piece,
            text,
            last,
        });
        self.flush();
    }

    fn play_clip(
        &mut self,
        answer: AnswerId,
        clip: Bytes,
        now: Instant,
        facts: &mut VecDeque<Input>,
    ) {
        let mut cutter = Cutter::new(self.voice.spec.format);
        let mut cuts = Vec::new();
        cutter.push(0, clip, Vec::new(), now, &mut cuts);
        cutter.flush(now, &mut cuts);
        let count = cuts.len();
        for (index, cut) in cuts.into_iter().enumerate() {
            self.hold(answer, cut, index + 1 == count, facts);
        }
        facts.push_back(Input::PieceDone { answer, piece: 0 });
        facts.push_back(Input::SpeechDone { answer });
    }

    /// Drops what was not yet played of an answer, and what the synthesizer still makes of it.
    pub(crate) fn cancel(&mut self, answer: AnswerId) {
        if self.utterances.remove(&answer.0).is_some() {
            self.waiting.retain(
                |message| !matches!(message, Speak::Text { context, .. } if *context == answer.0),
            );
            if self.line.is_open() {
                self.waiting.push_back(Speak::Cancel { context: answer.0 });
                self.flush();
            }
        }
        let of_answer: Vec<_> = self
            .held
            .range((answer.0, 0)..=(answer.0, u32::MAX))
            .map(|(key, _)| *key)
            .collect();
        for key in of_answer {
            self.take_held(key);
        }
    }

    /// Takes a chunk to play it.
    pub(crate) fn take(&mut self, answer: AnswerId, chunk: u32, now: Instant) -> Option<Held> {
        let held = self.take_held((answer.0, chunk));
        self.look_for_hole(answer, now);
        held
    }

    /// Notes when an answer that sounds has nothing more to be played.
    fn look_for_hole(&mut self, answer: AnswerId, now: Instant) {
        let mut held = self.held.range((answer.0, 0)..=(answer.0, u32::MAX));
        if held.next().is_none()
            && let Some(utterance) = self.utterances.get_mut(&answer.0)
        {
            utterance.ran_dry(now);
        }
    }

    fn take_held(&mut self, key: (u32, u32)) -> Option<Held> {
        let held = self.held.remove(&key)?;
        self.held_ms -= held.ms;
        Some(held)
    }

    fn forget_before(&mut self, answer: u32) {
        while let Some(key) = self
            .held
            .keys()
            .next()
            .copied()
            .filter(|(of, _)| *of < answer)
        {
            self.take_held(key);
        }
    }

    fn hold(&mut self, answer: AnswerId, cut: Cut, last: bool, facts: &mut VecDeque<Input>) {
        let Cut {
            chunk,
            piece,
            ms,
            audio,
            words,
        } = cut;
        self.held_ms += ms;
        if let Some(utterance) = self.utterances.get_mut(&answer.0) {
            utterance.sounds();
        }
        self.held.insert(
            (answer.0, chunk),
            Held {
                piece,
                last,
                audio,
                ms,
            },
        );
        facts.push_back(Input::Audio {
            answer,
            piece,
            chunk,
            ms,
            words,
        });
    }

    /// Whether the connection has work that it has not answered.
    fn owes(&self) -> bool {
        self.utterances.values().any(Utterance::owes)
    }

    /// When a connection that says nothing counts as lost.
    fn silent_at(&self) -> Option<Instant> {
        let is_dry = self.utterances.values().any(|u| u.hole_since().is_some());
        let limit = if is_dry { DRY } else { SILENT };
        (self.line.is_open() && !self.is_full() && self.owes()).then(|| self.progress_at + limit)
    }

    /// When a hole in an answer has lasted long enough.
    fn dry_at(&self) -> Option<Instant> {
        let since = self
            .utterances
            .values()
            .filter_map(Utterance::hole_since)
            .min()?;
        Some(since + DRY_MOST)
    }

    fn flush(&mut self) {
        while let Some(message) = self.waiting.pop_front() {
            // Text is billed when it is sent, whatever becomes of it.
            let billed = match &message {
                Speak::Text { text, .. } => text.chars().count() as u64,
                Speak::Cancel { .. } => 0,
            };
            if let Err(message) = self.line.try_send(message) {
                self.waiting.push_front(message);
                return;
            }
            let place = self.voice.at_work.place();
            *self.characters.entry(place).or_default() += billed;
        }
    }

    /// When [`Mouth::due`] has something to do at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let cutters = self
            .utterances
            .values()
            .filter_map(|utterance| utterance.cutter.wake_at())
            .min();
        // The synthesizer's channel was full: try again soon.
        let flush = (self.line.is_open() && !self.waiting.is_empty())
            .then(|| Instant::now() + Duration::from_millis(20));
        let limits = [self.silent_at(), self.dry_at()];
        [cutters, flush].into_iter().chain(limits).flatten().min()
    }

    /// More is not asked of the synthesizer for now.
    pub(crate) fn is_full(&self) -> bool {
        self.held_ms >= HELD_MS
    }

    /// Does what time asks for.
    pub(crate) fn due(&mut self, now: Instant, facts: &mut VecDeque<Input>) {
        self.flush();
        let mut cuts = Vec::new();
        for (answer, utterance) in &mut self.utterances {
            let mut made = Vec::new();
            utterance.cutter.flush_low(now, &mut made);
            cuts.extend(made.into_iter().map(|cut| (*answer, cut)));
        }
        for (answer, cut) in cuts {
            self.hold(AnswerId(answer), cut, false, facts);
        }
        if self.silent_at().is_some_and(|at| at <= now) {
            let fault = self.no_answer(now - self.progress_at);
            self.line.reopen();
            self.broke(fault, now, facts);
        }
        if self.dry_at().is_some_and(|at| at <= now) {
            self.give_up_dry(now, facts);
        }
    }

    /// Answers with a hole that is too long are not made to their end.
    fn give_up_dry(&mut self, now: Instant, facts: &mut VecDeque<Input>) {
        let is_dry = |utterance: &Utterance| {
            let since = utterance.hole_since();
            since.is_some_and(|since| since + DRY_MOST <= now)
        };
        let dry: Vec<u32> = self
            .utterances
            .iter()
            .filter(|(_, utterance)| is_dry(utterance))
            .map(|(answer, _)| *answer)
            .collect();
        for answer in dry.into_iter().map(AnswerId) {
            self.cancel(answer);
            let fault = self.no_answer(DRY_MOST);
            facts.push_back(Input::SpeechFailed { answer, fault });
        }
    }

    fn no_answer(&self, within: Duration) -> Fault {
        let (vendor, ms) = (self.voice.vendor, within.as_millis());
        Fault {
            kind: FaultKind::Timeout,
            message: format!("{vendor} synthesizer: no answer within {ms} ms"),
            retry_after_ms: None,
        }
    }

    /// Whether there might be a fact though nobody was woken for it.
    pub(crate) fn is_unasked(&self) -> bool {
        self.line.is_unasked()
    }

    /// The synthesizer's next facts; not asked while too much audio waits to be played.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        facts: &mut VecDeque<Input>,
    ) -> Poll<()> {
        if self.is_full() {
            return Poll::Pending;
        }
        let news = match self.line.poll(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(news) => news,
        };
        match news {
            LineNews::Out(spoken) => self.spoken(spoken, now, facts),
            LineNews::Up => self.tell_again(now),
            LineNews::Down(fault) => self.broke(fault, now, facts),
            LineNews::Lost(fault) => self.failed(&fault, facts),
            LineNews::Ended => {}
        }
        Poll::Ready(())
    }

    fn spoken(&mut self, spoken: Spoken, now: Instant, facts: &mut VecDeque<Input>) {
        self.progress_at = now;
        let mut cuts = Vec::new();
        match spoken {
            Spoken::Audio {
                context,
                piece,
                audio,
                words,
            } => {
                let Some(utterance) = self.utterances.get_mut(&context) else {
                    return;
                };
                self.failures = 0;
                if let Some((_, clip)) = &mut utterance.keep {
                    clip.extend_from_slice(&audio);
                }
                utterance.cutter.push(piece, audio, words, now, &mut cuts);
                for cut in cuts {
                    self.hold(AnswerId(context), cut, false, facts);
                }
            }
            Spoken::PieceDone { context, piece } => self.piece_done(context, piece, now, facts),
            Spoken::Done { context } => {
                let Some(utterance) = self.utterances.get(&context) else {
                    return;
                };
                let open: Vec<u32> = utterance
                    .pieces
                    .iter()
                    .filter(|(_, piece)| !piece.done)
                    .map(|(number, _)| *number)
                    .collect();
                for piece in open {
                    self.piece_done(context, piece, now, facts);
                }
                if let Some((key, clip)) = self
                    .utterances
                    .remove(&context)
                    .and_then(|utterance| utterance.keep)
                    .filter(|_| !self.voice.at_work.is_fallback())
                {
                    self.clips.put(key, clip.into());
                }
                facts.push_back(Input::SpeechDone {
                    answer: AnswerId(context),
                });
            }
        }
    }

    fn piece_done(&mut self, context: u32, piece: u32, now: Instant, facts: &mut VecDeque<Input>) {
        let Some(utterance) = self.utterances.get_mut(&context) else {
            return;
        };
        let Some(state) = utterance.pieces.get_mut(&piece) else {
            return;
        };
        state.done = true;
        // The text is needed no more: nothing of this piece is ever told again.
        state.text = String::new();
        let mut cuts = Vec::new();
        utterance.cutter.flush(now, &mut cuts);
        let count = cuts.len();
        for (index, cut) in cuts.into_iter().enumerate() {
            self.hold(AnswerId(context), cut, index + 1 == count, facts);
        }
        let waiting = self
            .held
            .range_mut((context, 0)..=(context, u32::MAX))
            .next_back();
        if let Some((_, held)) = waiting.filter(|(_, held)| held.piece == piece) {
            held.last = true;
        }
        facts.push_back(Input::PieceDone {
            answer: AnswerId(context),
            piece,
        });
    }

    /// The connection is gone; another is on its way.
    fn broke(&mut self, fault: Fault, now: Instant, facts: &mut VecDeque<Input>) {
        self.waiting.clear();
        self.progress_at = now;
        if self.utterances.is_empty() {
            return;
        }
        self.failures += 1;
        if self.failures >= FAILURES {
            self.failed(&fault, facts);
        }
    }

    fn failed(&mut self, fault: &Fault, facts: &mut VecDeque<Input>) {
        self.failures = 0;
        self.waiting.clear();
        for (answer, _) in std::mem::take(&mut self.utterances) {
            facts.push_back(Input::SpeechFailed {
                answer: AnswerId(answer),
                fault: fault.clone(),
            });
        }
    }

    /// A new connection: it gets every piece that is not yet made.
    fn tell_again(&mut self, now: Instant) {
        self.progress_at = now;
        self.waiting.clear();
        for (context, utterance) in &mut self.utterances {
            utterance.cutter.again();
            if let Some((_, clip)) = &mut utterance.keep {
                clip.clear();
            }
            for (number, piece) in &utterance.pieces {
                if !piece.done || (piece.last && piece.text.is_empty()) {
                    self.waiting.push_back(Speak::Text {
                        context: *context,
                        piece: *number,
                        text: piece.text.clone(),
                        last: piece.last,
                    });
                }
            }
        }
        self.flush();
    }

    /// Characters sent to each vendor of the line (R186).
    pub(crate) fn characters(&self) -> &BTreeMap<usize, u64> {
        &self.characters
    }

    /// How long the first connection took.
    pub(crate) fn connect(&self) -> Option<Duration> {
        self.line.connect
    }
}

#[cfg(test)]
mod tests;
