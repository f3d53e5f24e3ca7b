//! One utterance of the agent: its text as it is written, cut into pieces, made into chunks, and how
//! much of it was heard (R55, R74).

use std::collections::BTreeMap;

use crate::clean::{Cleaner, Thoughts};
use crate::{AnswerId, At, Clip, Kind, TurnId, Word};

/// Speaking rate assumed while nothing is known, ms a character.
pub(crate) const MS_PER_CHAR: u64 = 65;

/// What the model does for this utterance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asking {
    /// It was never asked: a canned line.
    Never,
    /// It is at work.
    Running,
    /// It is done, failed, or was told to stop.
    Over,
}

/// A piece of text at the synthesizer.
#[derive(Debug, Clone, PartialEq)]
struct Piece {
    /// Where it ends in the raw text, bytes.
    raw_end: usize,
    /// As spoken.
    text: String,
    /// Audio made of it so far.
    ms: u64,
    /// All of it was made.
    is_done: bool,
}

/// A chunk of audio at the driver.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Chunk {
    pub(crate) number: u32,
    pub(crate) ms: u64,
    piece: usize,
    words: Vec<Word>,
}

/// An utterance from its first request to its last sound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Utterance {
    pub(crate) id: AnswerId,
    pub(crate) kind: Kind,
    /// The caller's turn that it answers.
    pub(crate) turn: Option<TurnId>,
    pub(crate) clip: Option<Clip>,
    pub(crate) asking: Asking,
    pub(crate) asked_at: At,
    pub(crate) first_token_at: Option<At>,
    /// Of what is said or thought.
    pub(crate) last_token_at: At,
    pub(crate) has_thought: bool,
    pub(crate) done_at: Option<At>,
    pub(crate) said_at: Option<At>,
    pub(crate) first_audio_at: Option<At>,
    pub(crate) played_at: Option<At>,
    pub(crate) thoughts: Thoughts,
    pub(crate) cleaner: Cleaner,
    raw: String,
    pieces: Vec<Piece>,
    /// The last piece was said.
    pub(crate) is_said: bool,
    chunks: Vec<Chunk>,
    played: usize,
    /// All audio has come.
    pub(crate) is_made: bool,
    /// The driver knows that no chunk follows.
    pub(crate) is_closed: bool,
}

impl Utterance {
    pub(crate) fn new(id: AnswerId, kind: Kind, turn: Option<TurnId>, now: At) -> Self {
        Self {
            id,
            kind,
            turn,
            clip: None,
            asking: Asking::Never,
            asked_at: now,
            first_token_at: None,
            last_token_at: now,
            has_thought: false,
            done_at: None,
            said_at: None,
            first_audio_at: None,
            played_at: None,
            thoughts: Thoughts::default(),
            cleaner: Cleaner::default(),
            raw: String::new(),
            pieces: Vec::new(),
            is_said: false,
            chunks: Vec::new(),
            played: 0,
            is_made: false,
            is_closed: false,
        }
    }

    /// A line that is known from the start.
    pub(crate) fn line(id: AnswerId, kind: Kind, clip: Clip, text: &str, now: At) -> Self {
        let mut line = Self::new(id, kind, None, now);
        line.clip = Some(clip);
        line.raw = text.to_owned();
        line.push_piece(text.len(), text.to_owned());
        line.is_said = true;
        line.said_at = Some(now);
        line
    }

    /// The text as the model wrote it.
    pub(crate) fn raw(&self) -> &str {
        &self.raw
    }

    /// Adds text of the model.
    pub(crate) fn write(&mut self, text: &str) {
        self.raw.push_str(text);
    }

    /// Cuts the text off at a byte index that was not said yet.
    pub(crate) fn cut_raw(&mut self, end: usize) {
        self.raw.truncate(end.max(self.said_until()));
    }

    /// How far the text was given to the synthesizer, bytes of the raw text.
    pub(crate) fn said_until(&self) -> usize {
        self.pieces.last().map_or(0, |piece| piece.raw_end)
    }

    /// Text that was not said yet.
    pub(crate) fn unsaid(&self) -> &str {
        self.raw.get(self.said_until()..).unwrap_or_default()
    }

    /// Whether something was given to the synthesizer.
    pub(crate) fn has_said(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Notes the piece that ends at `raw_end`; returns its number.
    pub(crate) fn push_piece(&mut self, raw_end: usize, text: String) -> u32 {
        self.pieces.push(Piece {
            raw_end,
            text,
            ms: 0,
            is_done: false,
        });
        self.pieces.len() as u32 - 1
    }

    /// Text without sound joins the piece before it, so that it counts as heard with that.
    pub(crate) fn swallow(&mut self, raw_end: usize) {
        if let Some(piece) = self.pieces.last_mut() {
            piece.raw_end = raw_end;
        }
    }

    /// The number of the next piece.
    pub(crate) fn next_piece(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// A chunk lies at the driver. Out of order or of an unknown piece: not taken.
    pub(crate) fn add_chunk(&mut self, number: u32, piece: u32, ms: u64, words: Vec<Word>) -> bool {
        let fits = self.chunks.last().is_none_or(|last| last.number < number);
        let index = piece as usize;
        if !fits || self.is_made || index >= self.pieces.len() {
            return false;
        }
        self.pieces[index].ms += ms;
        self.chunks.push(Chunk {
            number,
            ms,
            piece: index,
            words,
        });
        true
    }

    /// All audio of a piece has come.
    pub(crate) fn finish_piece(&mut self, piece: u32) {
        if let Some(piece) = self.pieces.get_mut(piece as usize) {
            piece.is_done = true;
        }
    }

    /// No audio follows.
    pub(crate) fn finish_speech(&mut self) {
        self.is_made = true;
        for piece in &mut self.pieces {
            piece.is_done = true;
        }
    }

    /// Whether any audio has come.
    pub(crate) fn has_audio(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Whether any of it was given to the carrier.
    pub(crate) fn is_played(&self) -> bool {
        self.played > 0
    }

    /// Whether audio waits to be played.
    pub(crate) fn has_ready(&self) -> bool {
        self.played < self.chunks.len()
    }

    /// All audio of what was written so far is with the carrier, and it ends within a sentence.
    pub(crate) fn is_torn(&self) -> bool {
        let is_given = self.is_played() && !self.has_ready();
        let end = self.said_until();
        let sentences = crate::pieces::last_sentence_end(self.raw.get(..end).unwrap_or_default());
        is_given
            && self.pieces.iter().all(|piece| piece.is_done)
            && self.raw[..end].trim_end().len() > sentences.unwrap_or(0)
    }

    /// The next chunk to play.
    pub(crate) fn take_ready(&mut self) -> Option<Chunk> {
        let chunk = self.chunks.get(self.played)?.clone();
        self.played += 1;
        Some(chunk)
    }

    /// Nothing follows what was played so far.
    pub(crate) fn cut_speech(&mut self) {
        self.chunks.truncate(self.played);
        self.is_made = true;
        self.is_said = true;
    }

    /// The word of `chunk` that sounds at `ms` begins here; `ms` itself where no times are known.
    pub(crate) fn word_start(&self, chunk: u32, ms: u64) -> u64 {
        let words = self
            .chunks
            .iter()
            .find(|c| c.number == chunk)
            .map(|c| c.words.as_slice())
            .unwrap_or_default();
        words
            .iter()
            .find(|word| word.start_ms <= ms && ms < word.end_ms)
            .map_or(ms, |word| word.start_ms)
    }

    /// From `heard` of its chunks: ms until the word that sounds now ends, where times are known.
    pub(crate) fn to_word_end(&self, heard: &BTreeMap<u32, u64>) -> Option<u64> {
        let (number, ms) = heard.iter().next_back()?;
        let chunk = self.chunks.iter().find(|chunk| chunk.number == *number)?;
        chunk
            .words
            .iter()
            .find(|word| word.end_ms >= *ms)
            .map(|word| word.end_ms - ms)
    }

    /// Its own speaking rate, ms a character, once a piece is complete.
    pub(crate) fn rate(&self) -> Option<u64> {
        let (mut ms, mut chars) = (0, 0);
        for piece in self
            .pieces
            .iter()
            .filter(|piece| piece.is_done && piece.ms > 0)
        {
            ms += piece.ms;
            chars += piece.text.chars().count() as u64;
        }
        (chars >= 10).then(|| (ms / chars).max(1))
    }

    /// The raw text that the caller has heard, given how much of each chunk was (R55): whole pieces,
    /// then whole words of the one in progress.
    pub(crate) fn heard(&self, heard: &BTreeMap<u32, u64>, rate: u64) -> &str {
        let mut end = 0;
        let mut begin = 0;
        for (index, piece) in self.pieces.iter().enumerate() {
            let chunks = || self.chunks.iter().filter(|chunk| chunk.piece == index);
            let of = |chunk: &Chunk| heard.get(&chunk.number).copied().unwrap_or(0).min(chunk.ms);
            let ms: u64 = chunks().map(of).sum();
            let is_whole = piece.is_done && ms >= piece.ms;
            if is_whole {
                // A piece without sound counts once the next one is heard.
                if piece.ms > 0 {
                    end = piece.raw_end;
                }
            } else {
                if ms > 0 {
                    let words = if chunks().any(|chunk| !chunk.words.is_empty()) {
                        let spoken = chunks().flat_map(|chunk| {
                            let until = of(chunk);
                            chunk.words.iter().filter(move |word| word.end_ms <= until)
                        });
                        spoken
                            .map(|word| word.text.as_str())
                            .collect::<Vec<_>>()
                            .join(" ")
                    } else {
                        let chars = piece.text.chars().count() as u64;
                        let total = if piece.is_done {
                            piece.ms
                        } else {
                            piece.ms.max(chars * rate)
                        };
                        whole_words(&piece.text, (chars * ms / total.max(1)) as usize).to_owned()
                    };
                    let inner = aligned(&self.raw[begin..piece.raw_end], &words);
                    if inner > 0 {
                        end = begin + inner;
                    }
                }
                break;
            }
            begin = piece.raw_end;
        }
        self.raw[..end].trim()
    }
}

/// The first `chars` characters of `text`, cut back to whole words.
fn whole_words(text: &str, chars: usize) -> &str {
    let end = text
        .char_indices()
        .nth(chars)
        .map_or(text.len(), |(index, _)| index);
    let head = &text[..end];
    let torn =
        text[end..].starts_with(char::is_alphanumeric) && head.ends_with(char::is_alphanumeric);
    if !torn {
        return head;
    }
    match head.rfind(char::is_whitespace) {
        Some(blank) => &head[..blank],
        // A script without blanks has no word to cut back to.
        None if text.contains(char::is_whitespace) || head.is_ascii() => "",
        None => head,
    }
}

/// How far into `raw` the spoken words `heard` reach: letters and digits compared in order, what was
/// cleaned away skipped, the longest match that there is.
fn aligned(raw: &str, heard: &str) -> usize {
    let mut end = 0;
    let mut from = 0;
    for c in heard.chars().filter(|c| c.is_alphanumeric()) {
        let Some(at) = raw[from..].find(|r: char| r == c || r.to_lowercase().eq(c.to_lowercase()))
        else {
            break;
        };
        from += at + raw[from + at..].chars().next().map_or(0, char::len_utf8);
        end = from;
    }
    // Marks that belong to the last letter (vowel signs) and the mark that was heard behind it.
    let tail: usize = raw[end..]
        .chars()
        .take_while(|c| !c.is_ascii() && !c.is_alphanumeric() && !c.is_whitespace())
        .map(char::len_utf8)
        .sum();
    let end = if end > 0 { end + tail } else { end };
    match heard.chars().next_back() {
        Some(last) if !last.is_alphanumeric() && raw[end..].starts_with(last) => {
            end + last.len_utf8()
        }
        _ => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(pieces: &[(&str, &str)]) -> Utterance {
        let mut answer = Utterance::new(AnswerId(5), Kind::Answer, None, At(0));
        for (raw, text) in pieces {
            answer.write(raw);
            answer.push_piece(answer.raw().len(), (*text).to_owned());
        }
        answer
    }
    fn heard(answer: &Utterance, chunks: &[(u32, u64)]) -> String {
        answer
            .heard(&chunks.iter().copied().collect(), MS_PER_CHAR)
            .to_owned()
    }

    #[test] // R55
    fn a_cut_piece_keeps_its_whole_words_in_proportion() {
        let mut answer = answer(&[(
            "Your order will arrive on Monday",
            "Your order will arrive on Monday",
        )]);
        assert!(answer.add_chunk(1, 0, 2000, vec![]));
        answer.finish_speech();
        assert_eq!(heard(&answer, &[(1, 900)]), "Your order");
        assert_eq!(heard(&answer, &[(1, 100)]), "");
        assert_eq!(
            heard(&answer, &[(1, 2000)]),
            "Your order will arrive on Monday"
        );
        assert_eq!(heard(&answer, &[]), "");
    }

    #[test] // R55
    fn word_times_beat_proportion() {
        let word = |text: &str, start_ms, end_ms| Word {
            text: text.into(),
            start_ms,
            end_ms,
        };
        let mut answer = answer(&[("**Slow** words here.", "Slow words here.")]);
        answer.add_chunk(
            1,
            0,
            1000,
            vec![word("Slow", 0, 900), word("words", 900, 1000)],
        );
        answer.add_chunk(2, 0, 1000, vec![word("here.", 0, 1000)]);
        assert_eq!(heard(&answer, &[(1, 900)]), "**Slow");
        assert_eq!(heard(&answer, &[(1, 1000), (2, 500)]), "**Slow** words");
    }

    #[test] // R55
    fn an_unfinished_piece_is_measured_by_the_speaking_rate() {
        let mut answer = answer(&[
            ("First. ", "First."),
            ("0123456789 0123456789", "0123456789 0123456789"),
        ]);
        answer.add_chunk(1, 0, 500, vec![]);
        answer.finish_piece(0);
        answer.add_chunk(2, 1, 700, vec![]);
        assert_eq!(heard(&answer, &[(1, 500), (2, 600)]), "First.");
        answer.add_chunk(3, 1, 200, vec![]);
        assert_eq!(
            heard(&answer, &[(1, 500), (2, 700), (3, 200)]),
            "First. 0123456789"
        );
    }

    #[test] // R55
    fn cleaned_text_maps_back_to_what_was_written() {
        let mut answer = answer(&[(
            "See [our page](https://e.org) soon, friend",
            "See our page soon, friend",
        )]);
        answer.add_chunk(1, 0, 2500, vec![]);
        answer.finish_speech();
        assert_eq!(heard(&answer, &[(1, 1200)]), "See [our page");
        assert_eq!(
            heard(&answer, &[(1, 1800)]),
            "See [our page](https://e.org) soon,"
        );
    }

    #[test]
    fn scripts_keep_their_vowel_signs() {
        let mut answer = answer(&[("आपका ऑर्डर सोमवार को आएगा", "आपका ऑर्डर सोमवार को आएगा")]);
        answer.add_chunk(1, 0, 2000, vec![]);
        answer.finish_speech();
        assert_eq!(heard(&answer, &[(1, 1000)]), "आपका ऑर्डर");
    }

    #[test] // R87
    fn repeated_and_unknown_chunks_are_not_taken() {
        let mut answer = answer(&[("Hi.", "Hi.")]);
        assert!(answer.add_chunk(1, 0, 100, vec![]));
        assert!(!answer.add_chunk(1, 0, 100, vec![]));
        assert!(!answer.add_chunk(2, 7, 100, vec![]));
    }
}
