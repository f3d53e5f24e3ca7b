//! Keys of the phone (R162), and of a page.

use crate::state::Speaking;
use crate::timers::Timer;
use crate::{Conversation, Kind};

/// Keys kept of one string.
const LIMIT: usize = 64;
/// Bytes of what waits, when more is typed.
const MOST_TYPED: usize = 8192;

impl Conversation {
    pub(crate) fn key(&mut self, digit: char) {
        self.log_event("dtmf", &[("digit", digit.to_string().into())]);
        self.sign_of_life();
        self.quiet.asked = false;
        if !self.script.dtmf || !self.is_live() || self.is_transferring() {
            return;
        }
        match digit {
            '#' => self.submit_keys(),
            '*' => {
                self.keys.clear();
                self.timers.stop(Timer::Keypad);
            }
            _ => {
                if self.keys.len() < LIMIT && digit.is_ascii_alphanumeric() {
                    self.keys.push(digit);
                }
                self.timers.set(
                    Timer::Keypad,
                    self.now.plus(self.script.rules.dtmf_s * 1000),
                );
            }
        }
    }

    pub(crate) fn submit_keys(&mut self) {
        self.timers.stop(Timer::Keypad);
        let keys = std::mem::take(&mut self.keys);
        if !keys.is_empty() && self.is_live() {
            self.type_in(format!("dtmf_number: {keys}"));
        }
    }

    pub(crate) fn words_typed(&mut self, text: &str) {
        self.sign_of_life();
        self.quiet.asked = false;
        if !text.is_empty() && self.is_live() && !self.is_transferring() {
            self.type_in(text.to_owned());
        }
    }

    fn type_in(&mut self, text: String) {
        if self.is_welcome_over() && !self.tools.is_open() {
            self.typed(&text);
        } else {
            let earlier = self.kept_typed.take();
            let earlier = earlier.filter(|earlier| earlier.len() < MOST_TYPED);
            self.kept_typed = Some(match earlier {
                Some(earlier) => format!("{earlier}\n{text}"),
                None => text,
            });
        }
    }

    /// What is typed is a turn of its own, answered at once.
    pub(crate) fn typed(&mut self, text: &str) {
        if let Some(pending) = &mut self.pending {
            // Its text stays in the history; only its answer goes.
            pending.typed = true;
        }
        if self.speaking() != Speaking::No {
            self.interrupt();
        } else if self.pending.is_some() {
            self.withdraw_silently();
        } else if self
            .live
            .iter()
            .any(|utterance| utterance.kind != Kind::Welcome)
        {
            self.drop_unheard_lines();
        }
        let spoken = self.turn.text();
        if !spoken.is_empty() {
            self.note_turn(&spoken);
        }
        self.commit_typed(text);
    }
}
