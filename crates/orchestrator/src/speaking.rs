//! The agent's voice: text pieces to the synthesizer, chunks of audio back, held until they are played.
//! A broken or silent connection is replaced and told again what was not yet made (R195).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bolo_conversation::{AnswerId, Fault, FaultKind, Input};
use bolo_providers::{Speak, Spoken, SynthesizerSpec};
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    clips::{ClipKey, Clips},
    cutter::{Cut, Cutter},
    fallback::Fallen,
    line::{Line, LineNews},
};

/// Waits before each try to reach the synthesizer, ms; three in a row and the speech has failed (R195).
pub(crate) const WAITS: &[u64] = &[0, 250, 500];
const FAILURES: u32 = 3;
/// A connection that owes audio and is silent this long counts as lost (R195).
const SILENT: Duration = Duration::from_secs(3);
/// Audio made but not yet played; beyond it the synthesizer waits.
const HELD_MS: u64 = 30_000;
/// Chunks of answers this far back were forgotten by everyone.
const OLD: u32 = 4;

/// A chunk that waits to be played.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) piece: u32,
    /// Nothing of its piece follows.
    pub(crate) last: bool,
    pub(crate) audio: Bytes,
    ms: u64,
}

/// How to tell one of our voices from another.
#[derive(Debug, Clone)]
pub(crate) struct Voice {
    pub(crate) vendor: &'static str,
    pub(crate) spec: Arc<SynthesizerSpec>,
    /// Clips are kept (`caching`).
    pub(crate) caching: bool,
    pub(crate) fallen: Fallen, // while another voice speaks nothing is kept as this one
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

struct Piece {
    text: String,
    last: bool,
    done: bool,
}

struct Utterance {
    cutter: Cutter,
    pieces: BTreeMap<u32, Piece>,
    /// Where the rendered line is kept when it is whole.
    keep: Option<(ClipKey, Vec<u8>)>,
}

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
    characters: u64,
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
            characters: 0,
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
        let utterance = self
            .utterances
            .entry(answer.0)
            .or_insert_with(|| Utterance {
                cutter: Cutter::new(format),
                pieces: BTreeMap::new(),
                keep: key
                    .filter(|_| keep && !self.voice.fallen.is())
                    .map(|key| (key, Vec::new())),
            });
        utterance.pieces.insert(
            piece,
            Piece {
                text: text.clone(),
                last,
                done: false,
            },
        );
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
    pub(crate) fn take(&mut self, answer: AnswerId, chunk: u32) -> Option<Held> {
        self.take_held((answer.0, chunk))
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
        self.utterances
            .values()
            .flat_map(|utterance| utterance.pieces.values())
            .any(|piece| !piece.done && !piece.text.trim().is_empty())
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
            self.characters += billed;
        }
    }

    /// When [`Mouth::due`] has something to do at the latest.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let cutters = self
            .utterances
            .values()
            .filter_map(|utterance| utterance.cutter.wake_at())
            .min();
        let silent = (self.line.is_open() && !self.is_full() && self.owes())
            .then(|| self.progress_at + SILENT);
        // The synthesizer's channel was full: try again soon.
        let flush = (self.line.is_open() && !self.waiting.is_empty())
            .then(|| Instant::now() + Duration::from_millis(20));
        [cutters, silent, flush].into_iter().flatten().min()
    }

    fn is_full(&self) -> bool {
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
        if self.line.is_open() && !self.is_full() && self.owes() && now >= self.progress_at + SILENT
        {
            let fault = Fault {
                kind: FaultKind::Timeout,
                message: format!(
                    "{} synthesizer: no answer within {} ms",
                    self.voice.vendor,
                    SILENT.as_millis()
                ),
                retry_after_ms: None,
            };
            self.line.reopen();
            self.broke(fault, now, facts);
        }
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
                    .filter(|_| !self.voice.fallen.is())
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

    /// Characters sent to the vendor (R186).
    pub(crate) fn characters(&self) -> u64 {
        self.characters
    }

    /// How long the first connection took.
    pub(crate) fn connect(&self) -> Option<Duration> {
        self.line.connect
    }
}

#[cfg(test)]
mod tests;
