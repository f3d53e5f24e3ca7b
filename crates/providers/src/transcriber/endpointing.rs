//! What is told of a turn: whatever order a vendor says things in, a turn has words and one end. Where the
//! vendor ends no turns itself, silence does (runtime.md R36). Pure; the voice edges come from outside.

use bolo_audio::Edge;

use crate::{Heard, HeardEnd};

/// Who ends turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// The vendor, by a message of its own.
    Vendor,
    /// Silence of the caller for so many ms, once there is a final text.
    Silence(u64),
}

/// The turn that is open.
#[derive(Debug)]
pub(crate) struct Turn {
    ends: Ends,
    /// A final text was told.
    finals: bool,
    /// The last interim of the open segment has text.
    interim: bool,
    /// The end was asked for.
    asked: bool,
    /// The caller speaks, as far as we hear.
    speaking: bool,
    /// There was voice after the last final text: its words are still to come.
    owed: bool,
    /// When the present silence will be long enough, ms of audio; `None` once it is.
    quiet_at: Option<u64>,
}

impl Turn {
    pub(crate) fn new(ends: Ends) -> Self {
        Self {
            ends,
            finals: false,
            interim: false,
            asked: false,
            speaking: false,
            owed: false,
            quiet_at: None,
        }
    }

    /// The caller's voice began or ended.
    pub(crate) fn voice(&mut self, edge: Edge, told: &mut Vec<Heard>) {
        match (edge, self.ends) {
            (Edge::Speech { .. }, _) => {
                self.speaking = true;
                self.owed = true;
                self.quiet_at = None;
                told.push(Heard::SpeechStarted);
            }
            (Edge::Silence { since_ms, .. }, Ends::Silence(endpointing_ms)) => {
                self.speaking = false;
                self.quiet_at = Some(since_ms + endpointing_ms);
            }
            (Edge::Silence { .. }, Ends::Vendor) => self.speaking = false,
        }
    }

    /// So much audio was heard, ms. `true`: now the vendor is to give the words that it holds back.
    pub(crate) fn clock(&mut self, now_ms: u64, told: &mut Vec<Heard>) -> bool {
        if self.quiet_at.take_if(|at| *at <= now_ms).is_none() {
            return false;
        }
        if !self.owed {
            self.end_by_silence(told);
        }
        self.owed
    }

    /// The turn is to end now. `true`: the vendor has to be asked for the rest of its words.
    pub(crate) fn end_asked(&mut self, told: &mut Vec<Heard>) -> bool {
        self.asked = true;
        if !self.speaking {
            self.end_by_silence(told);
        }
        self.asked
    }

    /// What the vendor said, as it is to be told.
    pub(crate) fn tell(&mut self, heard: Heard, told: &mut Vec<Heard>) {
        match heard {
            Heard::Interim(text) if text.is_empty() => self.take_back(told),
            Heard::Interim(text) => {
                self.interim = true;
                told.push(Heard::Interim(text));
            }
            Heard::Final(text) => {
                if text.is_empty() {
                    self.take_back(told);
                } else {
                    self.finals = true;
                    self.interim = false;
                    told.push(Heard::Final(text));
                }
                self.owed = self.speaking;
                if self.asked || !self.speaking && self.quiet_at.is_none() {
                    self.end_by_silence(told);
                }
            }
            Heard::TurnEnd { text, why } => self.end(text, why, told),
            other => told.push(other),
        }
    }

    /// The vendor was wrong about its last interim.
    fn take_back(&mut self, told: &mut Vec<Heard>) {
        if std::mem::take(&mut self.interim) {
            told.push(Heard::Interim(String::new()));
        }
    }

    fn end_by_silence(&mut self, told: &mut Vec<Heard>) {
        if matches!(self.ends, Ends::Silence(_)) && self.finals {
            self.end(String::new(), HeardEnd::SpeechFinal, told);
        }
    }

    /// A turn ends only if something was said in it.
    fn end(&mut self, text: String, why: HeardEnd, told: &mut Vec<Heard>) {
        let finals = std::mem::take(&mut self.finals);
        if !finals && text.is_empty() {
            self.take_back(told);
            return told.push(Heard::SpeechEnded);
        }
        self.interim = false;
        let why = match std::mem::take(&mut self.asked) {
            true => HeardEnd::Forced,
            false => why,
        };
        told.push(Heard::TurnEnd { text, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEECH: Edge = Edge::Speech {
        at_ms: 1064,
        since_ms: 1000,
    };
    const SILENCE: Edge = Edge::Silence {
        at_ms: 2200,
        since_ms: 2000,
    };

    fn end(text: &str, why: HeardEnd) -> Heard {
        Heard::TurnEnd {
            text: text.into(),
            why,
        }
    }

    fn words(text: &str) -> Heard {
        Heard::Final(text.into())
    }

    fn told(turn: &mut Turn, heard: impl IntoIterator<Item = Heard>) -> Vec<Heard> {
        let mut told = Vec::new();
        for heard in heard {
            turn.tell(heard, &mut told);
        }
        told
    }

    /// Speech from 1000 to 2000; endpointing of 500.
    fn spoken() -> Turn {
        let mut turn = Turn::new(Ends::Silence(500));
        let mut out = Vec::new();
        turn.voice(SPEECH, &mut out);
        assert_eq!(out, [Heard::SpeechStarted]);
        turn.voice(SILENCE, &mut out);
        assert!(!turn.clock(2499, &mut out));
        assert_eq!(out, [Heard::SpeechStarted]);
        turn
    }

    #[test] // R36
    fn silence_asks_for_the_words_and_ends_the_turn_when_they_came() {
        let mut turn = spoken();
        let mut out = Vec::new();
        assert!(turn.clock(2500, &mut out), "words are owed");
        assert!(!turn.clock(2520, &mut out), "and asked for once");
        assert_eq!(out, []);
        assert_eq!(
            told(&mut turn, [words("yes please")]),
            [words("yes please"), end("", HeardEnd::SpeechFinal)]
        );
    }

    #[test] // R36
    fn words_that_came_before_the_silence_wait_for_it() {
        let mut turn = spoken();
        assert_eq!(
            told(&mut turn, [words("yes please")]),
            [words("yes please")]
        );
        let mut out = Vec::new();
        assert!(!turn.clock(2500, &mut out));
        assert_eq!(out, [end("", HeardEnd::SpeechFinal)]);
        turn.clock(9000, &mut out);
        assert_eq!(out.len(), 1, "a turn has one end");
    }

    #[test] // R36
    fn a_final_in_mid_speech_ends_nothing() {
        let mut turn = Turn::new(Ends::Silence(500));
        let mut out = Vec::new();
        turn.voice(SPEECH, &mut out);
        assert_eq!(told(&mut turn, [words("I want")]), [words("I want")]);
        turn.voice(SILENCE, &mut out);
        assert!(turn.clock(2500, &mut out), "the rest is owed");
        assert_eq!(
            told(&mut turn, [words("to cancel")]),
            [words("to cancel"), end("", HeardEnd::SpeechFinal)]
        );
    }

    #[test] // R36
    fn a_pause_that_is_too_short_ends_nothing() {
        let mut turn = spoken();
        told(&mut turn, [words("I want")]);
        let mut out = Vec::new();
        turn.voice(SPEECH, &mut out);
        assert!(!turn.clock(2500, &mut out));
        assert_eq!(out, [Heard::SpeechStarted]);
    }

    #[test] // R36
    fn silence_without_a_word_ends_nothing() {
        let mut turn = spoken();
        let mut out = Vec::new();
        turn.clock(2500, &mut out);
        assert_eq!(told(&mut turn, [words("")]), []);
        assert_eq!(out, []);
    }

    #[test] // R36
    fn words_of_a_voice_that_we_did_not_notice_are_a_turn() {
        let mut turn = Turn::new(Ends::Silence(500));
        assert_eq!(
            told(&mut turn, [words("psst")]),
            [words("psst"), end("", HeardEnd::SpeechFinal)]
        );
    }

    #[test] // R29
    fn an_end_that_was_asked_for_is_told_as_such() {
        let mut out = Vec::new();
        let mut turn = Turn::new(Ends::Silence(500));
        turn.voice(SPEECH, &mut out);
        assert!(turn.end_asked(&mut out));
        assert_eq!(
            told(&mut turn, [words("hello")]),
            [words("hello"), end("", HeardEnd::Forced)]
        );

        let mut turn = spoken();
        told(&mut turn, [words("hello")]);
        out.clear();
        assert!(!turn.end_asked(&mut out), "there is no more to come");
        assert_eq!(out, [end("", HeardEnd::Forced)]);

        let mut turn = Turn::new(Ends::Vendor);
        assert!(turn.end_asked(&mut out));
        let ended = end("hello", HeardEnd::SpeechFinal);
        assert_eq!(
            told(&mut turn, [ended.clone(), ended]),
            [
                end("hello", HeardEnd::Forced),
                end("hello", HeardEnd::SpeechFinal)
            ]
        );
    }

    #[test]
    fn where_the_vendor_ends_turns_finals_only_gather() {
        let mut turn = Turn::new(Ends::Vendor);
        let heard = [
            Heard::Interim("hel".into()),
            words("hello"),
            end("", HeardEnd::UtteranceEnd),
            end("", HeardEnd::UtteranceEnd),
        ];
        assert_eq!(
            told(&mut turn, heard),
            [
                Heard::Interim("hel".into()),
                words("hello"),
                end("", HeardEnd::UtteranceEnd),
                Heard::SpeechEnded,
            ]
        );
    }

    #[test]
    fn an_interim_that_comes_to_nothing_is_taken_back_once() {
        let mut turn = Turn::new(Ends::Vendor);
        let uh = Heard::Interim("uh".into());
        let nothing = Heard::Interim(String::new());
        assert_eq!(
            told(&mut turn, [uh.clone(), words(""), words("")]),
            [uh.clone(), nothing.clone()]
        );
        assert_eq!(
            told(&mut turn, [uh.clone(), end("", HeardEnd::SpeechFinal)]),
            [uh, nothing, Heard::SpeechEnded]
        );
    }
}
