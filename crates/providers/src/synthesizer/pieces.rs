//! The pieces of answers on their way through a vendor: in which order they are sent, what the audio that
//! comes back belongs to, and what is told of it. Pure; shared by all vendors that tell no character times.

use std::collections::{BTreeSet, VecDeque};

use bolo_audio::{Converter, Format};
use bytes::{Bytes, BytesMut};

use crate::Spoken;

/// Cancelled utterances whose late text is dropped.
const REMEMBERED: usize = 16;

/// How long a character sounds, about: where pieces were joined, nobody tells the border between them.
const CHAR_MS: u64 = 65;

/// Words with start and end, ms from the start of their part's audio.
pub(crate) type Words = Vec<(String, u64, u64)>;

/// What a vendor is asked for in one go: a piece, part of a long one, or a few short ones.
#[derive(Debug)]
pub(crate) struct Part {
    /// Counts parts, so that a later part has the greater one.
    pub(super) id: u32,
    pub(super) context: u32,
    /// Empty when only pieces or the utterance end here.
    pub(super) text: String,
    /// No part follows in this context.
    pub(super) last: bool,
    /// Whose audio comes.
    piece: u32,
    /// Pieces that are over with this part.
    ends: VecDeque<u32>,
    /// Where the audio of later ones of them may begin, by their characters, ms.
    borders: VecDeque<(u32, u64)>,
    sent: bool,
    /// Audio told, bytes.
    told: usize,
    words: Words,
}

#[derive(Debug)]
pub(super) struct Pieces {
    /// In order; sent ones first, and those are all of one context.
    queue: VecDeque<Part>,
    /// Utterances whose last piece has not come.
    open: BTreeSet<u32>,
    cancelled: VecDeque<u32>,
    next_id: u32,
    longest: usize,
    wanted: Format,
    converter: Converter,
    whole: WholeSamples,
}

impl Pieces {
    /// Parts hold at most `longest` characters; audio comes as `made` and is told as `wanted`.
    pub(super) fn new(
        longest: usize,
        made: Format,
        wanted: Format,
    ) -> Result<Self, bolo_audio::Error> {
        Ok(Self {
            queue: VecDeque::new(),
            open: BTreeSet::new(),
            cancelled: VecDeque::new(),
            next_id: 0,
            longest,
            wanted,
            converter: Converter::new(made, wanted)?,
            whole: WholeSamples::default(),
        })
    }

    /// Nothing is unsaid and nothing awaited.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// A piece of an utterance's text. With `join`, a sentence that is not yet sent grows by it.
    pub(super) fn add(
        &mut self,
        context: u32,
        piece: u32,
        text: &str,
        last: bool,
        join: bool,
    ) -> Vec<Spoken> {
        if self.cancelled.contains(&context) {
            return Vec::new();
        }
        if self.queue.iter().any(|part| part.context == context) && !self.open.contains(&context) {
            tracing::warn!(
                context,
                piece,
                "text after the last piece of an utterance is dropped"
            );
            return Vec::new();
        }
        match last {
            true => self.open.remove(&context),
            false => self.open.insert(context),
        };
        let text = text.trim();
        let tail = self
            .queue
            .back_mut()
            .filter(|tail| tail.context == context && !tail.sent && !tail.text.is_empty());
        if let Some(tail) = tail
            && (text.is_empty() || (join && !tail.is_sentence()))
            && tail.text.chars().count() + text.chars().count() < self.longest
        {
            if !text.is_empty() {
                let border = tail.text.chars().count() as u64 * CHAR_MS;
                tail.borders.push_back((piece, border));
                tail.text.push(' ');
                tail.text.push_str(text);
            }
            tail.ends.push_back(piece);
            tail.last = last;
            return Vec::new();
        }
        let mut parts = cut(text, self.longest);
        let end = parts.pop().unwrap_or_default();
        for part in parts {
            self.push(context, piece, part, None, false);
        }
        self.push(context, piece, end, Some(piece), last);
        self.settle()
    }

    fn push(&mut self, context: u32, piece: u32, text: &str, ends: Option<u32>, last: bool) {
        self.queue.push_back(Part {
            id: self.next_id,
            context,
            text: text.to_owned(),
            last,
            piece,
            ends: ends.into_iter().collect(),
            borders: VecDeque::new(),
            sent: false,
            told: 0,
            words: Words::new(),
        });
        self.next_id += 1;
    }

    /// No more input: utterances end with what they have. Gives those that had been waiting for more.
    pub(super) fn close(&mut self) -> (Vec<u32>, Vec<Spoken>) {
        let open: Vec<u32> = std::mem::take(&mut self.open).into_iter().collect();
        for context in &open {
            let part = self.queue.iter_mut().rfind(|part| part.context == *context);
            match part {
                Some(part) => part.last = true,
                None => self.push(*context, 0, "", None, true),
            }
        }
        (open, self.settle())
    }

    /// Drops an utterance. Whether the vendor is at work on it.
    pub(super) fn cancel(&mut self, context: u32) -> bool {
        if self.cancelled.len() == REMEMBERED {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(context);
        self.open.remove(&context);
        let in_flight = self.front_sent().is_some_and(|id| {
            let front = self.queue.front();
            front.is_some_and(|part| part.id == id && part.context == context)
        });
        self.queue.retain(|part| part.context != context);
        if in_flight {
            self.converter.reset();
            self.whole = WholeSamples::default();
        }
        in_flight
    }

    /// The part at which the vendor is at work.
    pub(super) fn front_sent(&self) -> Option<u32> {
        let front = self.queue.front()?;
        (front.sent && !front.text.is_empty()).then_some(front.id)
    }

    /// The next part to send, with at most `ahead` on the way, all of one utterance.
    pub(super) fn next(&self, ahead: usize) -> Option<&Part> {
        let sent = self.queue.iter().filter(|part| part.sent).count();
        let part = self.queue.get(sent)?;
        let same = self
            .queue
            .front()
            .is_some_and(|front| front.context == part.context);
        (sent < ahead && same).then_some(part)
    }

    /// The part that [`Self::next`] gave was sent.
    pub(super) fn sent(&mut self, id: u32) {
        if let Some(part) = self.queue.iter_mut().find(|part| part.id == id) {
            part.sent = true;
        }
    }

    /// The vendor has all text there is of an utterance.
    pub(super) fn is_all_sent(&self, context: u32) -> bool {
        let waits = |part: &Part| part.context == context && !part.sent && !part.text.is_empty();
        !self.queue.iter().any(waits)
    }

    /// Audio of a part, or of the one at which the vendor is at work.
    pub(super) fn audio(&mut self, of: Option<u32>, audio: Bytes) -> Vec<Spoken> {
        let Some(id) = self.known(of) else {
            return Vec::new();
        };
        let mut out = self.done_before(id);
        let audio = self.whole.join(self.converter.convert(audio), self.wanted);
        self.tell(audio, &mut out);
        out
    }

    /// Words of a part, ms from the start of its audio.
    pub(super) fn words(&mut self, of: Option<u32>, words: Words) {
        if let Some(id) = self.known(of)
            && let Some(part) = self.queue.iter_mut().find(|part| part.id == id)
        {
            part.words.extend(words);
        }
    }

    /// All audio of a part, and so of those before it, has come.
    pub(super) fn done(&mut self, of: Option<u32>) -> Vec<Spoken> {
        let Some(id) = self.known(of) else {
            return Vec::new();
        };
        let mut out = self.done_before(id);
        self.finish_front(&mut out);
        out
    }

    fn known(&self, of: Option<u32>) -> Option<u32> {
        match of {
            Some(id) => (self.queue.iter().any(|part| part.id == id && part.sent)).then_some(id),
            None => self.front_sent(),
        }
    }

    /// The vendor has moved on to part `id`.
    fn done_before(&mut self, id: u32) -> Vec<Spoken> {
        let mut out = Vec::new();
        while self.queue.front().is_some_and(|part| part.id < id) {
            self.finish_front(&mut out);
        }
        out
    }

    fn finish_front(&mut self, out: &mut Vec<Spoken>) {
        let rest = self.converter.flush();
        self.whole = WholeSamples::default();
        self.tell(rest, out);
        if let Some(part) = self.queue.front_mut() {
            // Words that the vendor told too late for their audio.
            let words = std::mem::take(&mut part.words);
            if !words.is_empty() {
                out.push(Spoken::Audio {
                    context: part.context,
                    piece: part.piece,
                    audio: Bytes::new(),
                    words: since(words, self.wanted.ms(part.told)),
                });
            }
            part.text.clear();
        }
        out.extend(self.settle());
    }

    /// Audio in the wanted format, of the front part.
    fn tell(&mut self, mut audio: Bytes, out: &mut Vec<Spoken>) {
        let Some(part) = self.queue.front_mut() else {
            return;
        };
        while !audio.is_empty() {
            let border = part.borders.front().copied();
            let room = border.map(|(_, ms)| bytes(self.wanted, ms).saturating_sub(part.told));
            let now = audio.split_to(room.unwrap_or(audio.len()).min(audio.len()));
            if !now.is_empty() {
                out.push(part.tell(now, self.wanted));
            }
            if let Some((next, _)) = border.filter(|_| !audio.is_empty()) {
                let (context, piece) = (part.context, part.piece);
                out.push(Spoken::PieceDone { context, piece });
                part.ends.retain(|end| *end != piece);
                part.borders.pop_front();
                part.piece = next;
            }
        }
    }

    /// Tells what ends at the front.
    fn settle(&mut self) -> Vec<Spoken> {
        let mut out = Vec::new();
        while let Some(part) = self.queue.pop_front_if(|part| part.text.is_empty()) {
            let context = part.context;
            let ends = part.ends.into_iter();
            out.extend(ends.map(|piece| Spoken::PieceDone { context, piece }));
            if part.last {
                out.push(Spoken::Done { context });
            }
        }
        out
    }
}

impl Part {
    /// Audio of the piece at hand, with the words that end in it.
    fn tell(&mut self, audio: Bytes, format: Format) -> Spoken {
        let start = format.ms(self.told);
        self.told += audio.len();
        let until = format.ms(self.told);
        let words = std::mem::take(&mut self.words).into_iter();
        let (now, later) = words.partition(|(_, _, ends)| *ends <= until);
        self.words = later;
        Spoken::Audio {
            context: self.context,
            piece: self.piece,
            audio,
            words: since(now, start),
        }
    }

    /// Fit to be spoken by itself (R89).
    pub(super) fn is_sentence(&self) -> bool {
        let closing = |c: char| matches!(c, '"' | '”' | ')' | '\'' | '’');
        let mark = |c: char| matches!(c, '.' | '?' | '!' | '…' | '।' | '॥' | '。' | '！' | '？');
        self.last || self.text.trim_end_matches(closing).ends_with(mark)
    }
}

/// Times from `start` on instead of from 0.
fn since(words: Words, start: u64) -> Words {
    let from = |at: u64| at.saturating_sub(start);
    (words
        .into_iter()
        .map(|(word, begins, ends)| (word, from(begins), from(ends))))
    .collect()
}

/// Bytes of so many ms, at a sample's border.
fn bytes(format: Format, ms: u64) -> usize {
    (ms * format.bytes_per_second() as u64 / 1000) as usize & !1
}

/// Cuts text behind a sentence, else behind a word, so that no part has more than `longest` characters.
fn cut(text: &str, longest: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((limit, _)) = rest.char_indices().nth(longest) {
        let head = &rest[..limit];
        let at = head
            .rfind(['.', '?', '!', '।', '。'])
            .map(|at| at + head[at..].chars().next().map_or(1, char::len_utf8))
            .or_else(|| head.rfind(char::is_whitespace).filter(|at| *at > 0))
            .unwrap_or(limit);
        parts.push(rest[..at].trim());
        rest = rest[at..].trim_start();
    }
    parts.push(rest);
    parts
}

/// Vendors cut audio anywhere; a 16-bit sample stays whole.
#[derive(Debug, Default)]
pub(super) struct WholeSamples {
    /// Half a sample that waits for its other half.
    half: Option<u8>,
}

impl WholeSamples {
    pub(super) fn join(&mut self, audio: Bytes, format: Format) -> Bytes {
        if format == Format::Mulaw8k {
            return audio;
        }
        let mut audio = match self.half.take() {
            Some(half) => {
                let mut whole = BytesMut::with_capacity(audio.len() + 1);
                whole.extend_from_slice(&[half]);
                whole.extend_from_slice(&audio);
                whole.freeze()
            }
            None => audio,
        };
        if audio.len() % 2 == 1 {
            self.half = audio.split_off(audio.len() - 1).first().copied();
        }
        audio
    }
}

#[cfg(test)]
mod tests;
