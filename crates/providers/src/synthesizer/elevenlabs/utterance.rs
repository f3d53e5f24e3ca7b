//! One utterance: which piece audio belongs to, and where its words lie, told from the vendor's
//! character times. Source: wire-providers.md §4.1, §4.2.
//!
//! Blanks are not counted: vendors add and drop them.

use std::{collections::VecDeque, time::Duration};

use bolo_audio::Format;
use bytes::Bytes;

use super::{Limits, wire::Alignment};
use crate::{Spoken, synthesizer::pieces::WholeSamples};

/// Times are whole ms, and audio may be cut in the middle of a sample.
const SLACK_MS: u64 = 10;

pub(super) struct Utterance {
    context: u32,
    format: Format,
    pieces: VecDeque<Piece>,
    /// Where audio goes when no piece is open.
    latest: u32,
    /// A word whose end was not yet seen, and its start in the current audio.
    word: Option<(String, u64, u64)>,
    /// Sound of the last character that is still to come, ms; its piece is not over before.
    owed: u64,
    whole: WholeSamples,
    /// The vendor tells character times.
    aligned: bool,
    /// Some audio has come.
    sounded: bool,
}

struct Piece {
    index: u32,
    /// Characters not yet heard.
    left: usize,
}

/// Words with start and end, ms from the start of their audio.
type Words = Vec<(String, u64, u64)>;

impl Utterance {
    pub(super) fn new(context: u32, format: Format) -> Self {
        Self {
            context,
            format,
            pieces: VecDeque::new(),
            latest: 0,
            word: None,
            owed: 0,
            whole: WholeSamples::default(),
            aligned: false,
            sounded: false,
        }
    }

    /// A piece was sent to the vendor.
    pub(super) fn add(&mut self, piece: u32, text: &str) -> Vec<Spoken> {
        let left = text
            .chars()
            .filter(|character| !character.is_whitespace())
            .count();
        self.latest = piece;
        self.pieces.push_back(Piece { index: piece, left });
        let mut out = Vec::new();
        if self.owed <= SLACK_MS {
            self.settle(&mut out);
        }
        out
    }

    /// All text that was given has been heard, as far as the vendor tells.
    pub(super) fn is_covered(&self) -> bool {
        self.pieces.iter().all(|piece| piece.left == 0)
    }

    /// How long it may stand still before it is at its end, or without audio for too long; `None`: as long
    /// as it likes. `closed`: no text follows.
    pub(super) fn patience(&self, closed: bool, limits: &Limits) -> Option<Duration> {
        match (self.is_covered(), closed) {
            (true, true) => Some(limits.final_after_all),
            (true, false) => None,
            // Without times nobody can tell a pause of ours from one of the vendor's.
            (false, closed) if self.sounded && !self.aligned => {
                closed.then_some(limits.final_after_some)
            }
            (false, _) => Some(limits.audio),
        }
    }

    /// Sound is missing, as far as that can be told.
    pub(super) fn lacks_audio(&self) -> bool {
        !self.is_covered() && (self.aligned || !self.sounded)
    }

    /// Audio from the vendor with its character times.
    pub(super) fn audio(&mut self, audio: Bytes, alignment: Option<&Alignment>) -> Vec<Spoken> {
        let mut out = Vec::new();
        let mut rest = self.whole.join(audio, self.format);
        let length = self.format.ms(rest.len());
        self.sounded = true;
        let Some(alignment) = alignment.filter(|alignment| !alignment.is_empty()) else {
            self.owed = self.owed.saturating_sub(length);
            self.emit(rest, Vec::new(), &mut out);
            if self.owed <= SLACK_MS {
                self.settle(&mut out);
            }
            return out;
        };
        self.aligned = true;
        self.owed = 0;
        let mut words = Words::new();
        let mut began = 0;
        for (text, start, end) in alignment.characters() {
            if text.trim().is_empty() {
                self.end_word(began, &mut words);
                continue;
            }
            // A piece is over when the next one's first character comes, with what sounds until then.
            if self.pieces.front().is_some_and(|piece| piece.left == 0) {
                let upto = self.bytes(start.saturating_sub(began)).min(rest.len());
                self.emit(rest.split_to(upto), std::mem::take(&mut words), &mut out);
                began = start;
                self.owed = 0;
                self.settle(&mut out);
            }
            match &mut self.word {
                Some((word, _, word_end)) => {
                    word.push_str(text);
                    *word_end = end;
                }
                None => self.word = Some((text.to_owned(), start, end)),
            }
            if let Some(piece) = self.pieces.front_mut() {
                piece.left = piece.left.saturating_sub(text.chars().count());
                if piece.left == 0 {
                    self.owed = end.saturating_sub(length);
                    self.end_word(began, &mut words);
                }
            }
        }
        self.emit(rest, words, &mut out);
        if self.owed <= SLACK_MS {
            self.settle(&mut out);
        }
        // A word goes on in the next message, whose times begin at 0.
        if let Some((_, start, end)) = &mut self.word {
            (*start, *end) = (0, 0);
        }
        out
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self) -> Vec<Spoken> {
        let context = self.context;
        let mut out: Vec<_> = self
            .pieces
            .drain(..)
            .map(|Piece { index: piece, .. }| Spoken::PieceDone { context, piece })
            .collect();
        out.push(Spoken::Done { context });
        out
    }

    /// Tells the pieces that are over.
    fn settle(&mut self, out: &mut Vec<Spoken>) {
        while let Some(piece) = self.pieces.pop_front_if(|piece| piece.left == 0) {
            out.push(Spoken::PieceDone {
                context: self.context,
                piece: piece.index,
            });
        }
    }

    fn emit(&self, audio: Bytes, words: Words, out: &mut Vec<Spoken>) {
        if audio.is_empty() {
            return;
        }
        out.push(Spoken::Audio {
            context: self.context,
            piece: self.pieces.front().map_or(self.latest, |piece| piece.index),
            audio,
            words,
        });
    }

    fn end_word(&mut self, began: u64, words: &mut Words) {
        if let Some((word, start, end)) = self.word.take() {
            words.push((word, start.saturating_sub(began), end.saturating_sub(began)));
        }
    }

    /// Bytes of so many ms, at a sample's border.
    fn bytes(&self, ms: u64) -> usize {
        let bytes = (ms * self.format.bytes_per_second() as u64 / 1000) as usize;
        match self.format {
            Format::Mulaw8k => bytes,
            Format::Pcm16 { .. } => bytes & !1,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    /// 50 ms a character.
    fn aligned(text: &str) -> (Bytes, Alignment) {
        let count = text.chars().count();
        let json = serde_json::json!({
            "chars": text.chars().map(String::from).collect::<Vec<_>>(),
            "charStartTimesMs": (0..count).map(|index| index * 50).collect::<Vec<_>>(),
            "charDurationsMs": vec![50; count],
        });
        (
            Bytes::from(vec![1; count * 400]),
            serde_json::from_value(json).unwrap(),
        )
    }

    fn hear(utterance: &mut Utterance, text: &str) -> Vec<Spoken> {
        let (audio, alignment) = aligned(text);
        utterance.audio(audio, Some(&alignment))
    }

    fn audio(piece: u32, bytes: usize, words: &[(&str, u64, u64)]) -> Spoken {
        Spoken::Audio {
            context: 7,
            piece,
            audio: Bytes::from(vec![1; bytes]),
            words: words
                .iter()
                .map(|(word, start, end)| ((*word).to_owned(), *start, *end))
                .collect(),
        }
    }

    fn done(piece: u32) -> Spoken {
        Spoken::PieceDone { context: 7, piece }
    }

    #[test]
    fn audio_is_told_by_piece_with_its_words() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        assert!(utterance.add(0, "Hi there. ").is_empty());
        assert!(utterance.add(1, "Bye. ").is_empty());
        assert_eq!(
            hear(&mut utterance, "Hi there. "),
            [
                audio(0, 4000, &[("Hi", 0, 100), ("there.", 150, 450)]),
                done(0)
            ]
        );
        assert_eq!(
            hear(&mut utterance, "Bye. "),
            [audio(1, 2000, &[("Bye.", 0, 200)]), done(1)]
        );
        assert!(utterance.is_covered());
        assert_eq!(utterance.finish(), [Spoken::Done { context: 7 }]);
    }

    #[test]
    fn audio_over_a_border_is_cut_there() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        utterance.add(0, "Hi. ");
        utterance.add(1, "Bye. ");
        assert_eq!(
            hear(&mut utterance, "Hi. Bye."),
            [
                audio(0, 1600, &[("Hi.", 0, 150)]),
                done(0),
                audio(1, 1600, &[("Bye.", 0, 200)]),
                done(1)
            ]
        );
    }

    #[test]
    fn a_piece_is_over_when_its_last_character_has_sounded() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        utterance.add(0, "Hi. ");
        let (whole, alignment) = aligned("Hi.");
        // The last character begins in this message and ends in the next.
        assert_eq!(
            utterance.audio(whole.slice(..900), Some(&alignment)),
            [audio(0, 900, &[("Hi.", 0, 150)])]
        );
        assert!(utterance.is_covered());
        assert!(utterance.add(1, "").is_empty());
        assert_eq!(
            utterance.audio(whole.slice(900..), None),
            [audio(0, 300, &[]), done(0), done(1)]
        );
    }

    #[test]
    fn a_word_over_two_messages_is_one_word() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        utterance.add(0, "hello you");
        assert_eq!(hear(&mut utterance, "hel"), [audio(0, 1200, &[])]);
        assert_eq!(
            hear(&mut utterance, "lo you"),
            [
                audio(0, 2400, &[("hello", 0, 100), ("you", 150, 300)]),
                done(0)
            ]
        );
    }

    #[test]
    fn without_times_the_oldest_open_piece_has_the_audio() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        utterance.add(0, "Hi. ");
        utterance.add(1, "Bye. ");
        let plain = |utterance: &mut Utterance| utterance.audio(Bytes::from(vec![1; 5]), None);
        assert_eq!(plain(&mut utterance), [audio(0, 5, &[])]);
        assert_eq!(
            utterance.finish(),
            [done(0), done(1), Spoken::Done { context: 7 }]
        );
        assert_eq!(plain(&mut utterance), [audio(1, 5, &[])]);
    }

    #[test]
    fn a_piece_without_text_is_done_in_its_turn() {
        let mut utterance = Utterance::new(7, Format::Mulaw8k);
        assert_eq!(utterance.add(0, "  "), [done(0)]);
        utterance.add(1, "Hi.");
        assert!(utterance.add(2, "").is_empty());
        assert_eq!(
            hear(&mut utterance, "Hi."),
            [audio(1, 1200, &[("Hi.", 0, 150)]), done(1), done(2)]
        );
    }

    #[test]
    fn a_sample_is_never_cut() {
        let mut utterance = Utterance::new(7, Format::Pcm16 { rate: 8000 });
        utterance.add(0, "Hi.");
        let lengths: Vec<_> = [3, 3, 1, 1]
            .into_iter()
            .flat_map(|count| utterance.audio(Bytes::from(vec![1; count]), None))
            .map(|spoken| match spoken {
                Spoken::Audio { audio, .. } => audio.len(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(lengths, [2, 4, 2]);
    }
}
