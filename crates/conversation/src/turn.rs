//! One turn of the caller while it is being heard: finals, then the running interim (R24-R27).

use crate::words::normal;
use crate::{At, TurnId};

/// Characters a turn may hold (R204).
const LIMIT: usize = 4000;
/// Less than the audio that a new connection hears again, for its vendor was behind, ms.
const REPLAYED_MS: u64 = 4000;

/// The open turn.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Turn {
    /// Given when the turn was committed before and taken up again (R32, R38).
    pub(crate) id: Option<TurnId>,
    /// Asks already made for it (R42).
    pub(crate) asks: u32,
    /// Text from before it was taken up again.
    carried: String,
    fixed: Vec<String>,
    tail: String,
    /// Running text of a connection that was lost, of which the next one hears the end only (R193).
    torn: String,
    /// When its first text came.
    pub(crate) started_at: Option<At>,
    /// When its text last changed.
    pub(crate) last_text_at: Option<At>,
    /// When another connection began to hear it again: its text is on the way (R193).
    pub(crate) replayed_at: Option<At>,
    /// The transcriber was told to end it (R29).
    pub(crate) is_overdue: bool,
    /// The transcriber has ended it, but it was spoken over the agent (R53).
    pub(crate) ended: bool,
}

impl Turn {
    /// A committed turn that goes on with its text (R38).
    pub(crate) fn reopened(id: TurnId, text: String, asks: u32, started_at: At) -> Self {
        Self {
            id: Some(id),
            asks,
            carried: text,
            started_at: Some(started_at),
            ..Self::default()
        }
    }

    /// Takes a committed turn's text in front of what was said since.
    pub(crate) fn carry(&mut self, committed: Turn) {
        self.id = committed.id;
        self.asks = committed.asks;
        self.carried = committed.carried;
        self.started_at = committed.started_at;
    }

    /// Replaces the running text. Says whether it is new (R25).
    pub(crate) fn interim(&mut self, at: At, text: &str) -> bool {
        let text = &self.mended(text);
        if normal(text) == normal(&self.tail) {
            return false;
        }
        self.tail = self.fitting(text);
        self.touch(at);
        true
    }

    /// The connection that told the running text is lost. What is older than the audio that the next one
    /// hears again (R193) will not be told again.
    pub(crate) fn tear(&mut self, now: At) {
        let is_old = self
            .started_at
            .is_some_and(|at| now.since(at) > REPLAYED_MS);
        if is_old && self.torn.is_empty() {
            self.torn = self.tail.clone();
        }
    }

    /// A text of the next connection behind what it could not hear.
    fn mended(&self, text: &str) -> String {
        if self.torn.is_empty() {
            return text.to_owned();
        }
        let known: Vec<&str> = self.torn.split_whitespace().collect();
        let told: Vec<&str> = text.split_whitespace().collect();
        let same = |(a, b): (&&str, &&str)| normal(a) == normal(b);
        // The audio may begin within a word, of which a part is told.
        let is_part = |from: usize| match (from.checked_sub(1), told.first()) {
            (Some(before), Some(part)) => normal(known[before]).contains(&normal(part)),
            _ => false,
        };
        for skipped in 0..=1.min(told.len()) {
            let told = &told[skipped..];
            let from = (0..known.len()).find(|from| {
                !told.is_empty()
                    && (skipped == 0 || is_part(*from))
                    && known[*from..].iter().zip(told).all(same)
            });
            if let Some(from) = from {
                let end = told.len().max(known.len() - from);
                let words = known[..from].iter().chain(told);
                let rest = known.iter().skip(from + told.len());
                let all: Vec<&str> = words.chain(rest).copied().collect();
                return all[..(from + end).min(all.len())].join(" ");
            }
        }
        join([self.torn.as_str(), text].into_iter())
    }

    /// Adds a segment that won't change. Says whether its text is new (R26).
    pub(crate) fn settle(&mut self, at: At, text: &str) -> bool {
        let text = &self.mended(text);
        self.torn.clear();
        let new = normal(text) != normal(&self.tail);
        self.tail.clear();
        let text = self.fitting(text);
        if !text.is_empty() {
            self.fixed.push(text);
        }
        if new {
            self.touch(at);
        }
        new
    }

    /// Since when its next words are waited for.
    pub(crate) fn waits_since(&self) -> Option<At> {
        let words = self.last_text_at.or(self.started_at);
        words.max(self.replayed_at)
    }

    fn touch(&mut self, at: At) {
        self.started_at.get_or_insert(at);
        self.last_text_at = Some(at);
        self.replayed_at = None;
        self.ended = false;
        self.is_overdue = false;
    }

    fn fitting(&self, text: &str) -> String {
        let held = self.text().chars().count();
        text.trim()
            .chars()
            .take(LIMIT.saturating_sub(held))
            .collect()
    }

    /// The whole text: finals joined by a blank, then the running text (R24).
    pub(crate) fn text(&self) -> String {
        join(std::iter::once(self.carried.as_str()).chain(self.fresh_parts()))
    }

    /// What was said since the turn was opened or taken up again.
    pub(crate) fn fresh(&self) -> String {
        join(self.fresh_parts())
    }

    fn fresh_parts(&self) -> impl Iterator<Item = &str> {
        self.fixed
            .iter()
            .map(String::as_str)
            .chain(std::iter::once(self.tail.as_str()))
    }

    /// The last words, which the transcriber may still change.
    pub(crate) fn tail(&self) -> &str {
        &self.tail
    }

    /// No text at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.carried.is_empty() && !self.has_fresh()
    }

    /// Something was said since the turn was opened or taken up again.
    pub(crate) fn has_fresh(&self) -> bool {
        self.fresh_parts().any(|part| !part.is_empty())
    }

    /// The transcriber may still change the last words.
    pub(crate) fn is_running(&self) -> bool {
        !self.tail.is_empty()
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a str>) -> String {
    parts
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R193
    fn what_a_lost_connection_told_stands_before_what_the_next_one_hears() {
        let torn = |next: &str| {
            let mut turn = Turn::default();
            turn.interim(At(0), "please book");
            turn.interim(At(6000), "please book a table for two on Monday at");
            turn.tear(At(6200));
            turn.interim(At(6500), next);
            turn.text()
        };
        for next in ["on Monday", "on Monday at", "nday at", "a"] {
            assert_eq!(
                torn(next),
                "please book a table for two on Monday at",
                "{next}"
            );
        }
        let whole = "please book a table for two on Monday at eight";
        assert_eq!(torn("two on Monday at eight"), whole);
        assert_eq!(torn("tabl for two on Monday at eight"), whole);
        assert_eq!(torn(whole), whole);
        assert_eq!(
            torn("in the evening"),
            "please book a table for two on Monday at in the evening"
        );
        // A word that is no part of what was known is a new one.
        assert_eq!(
            torn("what at nine"),
            "please book a table for two on Monday at what at nine"
        );
        // What the next connection hears from its beginning is told anew.
        let mut turn = Turn::default();
        turn.interim(At(0), "please book");
        turn.tear(At(1000));
        turn.interim(At(1500), "lease");
        assert_eq!(turn.text(), "lease");
    }

    #[test] // R24, R25, R26
    fn finals_gather_and_the_interim_is_replaced() {
        let mut turn = Turn::default();
        assert!(turn.interim(At(1), "my"));
        assert!(!turn.interim(At(2), "My"));
        assert_eq!(turn.last_text_at, Some(At(1)));
        assert!(turn.interim(At(3), "my number"));
        assert!(!turn.settle(At(4), "My number."));
        assert_eq!(turn.last_text_at, Some(At(3)));
        assert!(turn.interim(At(5), "is nine"));
        assert_eq!(turn.text(), "My number. is nine");
        assert!(turn.is_running());
    }

    #[test] // R38
    fn a_reopened_turn_keeps_its_text_in_front() {
        let mut turn = Turn::reopened(TurnId(3), "my number is".into(), 1, At(7));
        assert!(!turn.is_empty() && !turn.has_fresh());
        turn.settle(At(9), "nine eight");
        assert_eq!(turn.text(), "my number is nine eight");
        assert_eq!(turn.fresh(), "nine eight");
    }

    #[test] // R204
    fn a_turn_is_bounded() {
        let mut turn = Turn::default();
        for at in 0..100 {
            turn.settle(At(at), &"word ".repeat(20));
        }
        assert!(turn.text().chars().count() <= LIMIT + 100);
    }
}
