//! Eager end of turn: the transcriber expects the turn to be over, so the model is asked ahead. What it
//! answers is kept back until the turn's true end; without that, nothing of it ever was (R41, R42).

use bolo_execution::Component;

use crate::state::Phase;
use crate::utterance::{Asking, Utterance};
use crate::words::normal;
use crate::{AnswerId, Conversation, Input, Kind, Metric, Output, TurnId};

/// News of the model kept back (R204): with more the guess is dropped.
const KEPT: usize = 2000;

/// A question to the model about a turn that may go on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Guess {
    /// Not live yet: nobody can hear it, no deadline of an answer counts for it.
    pub(crate) utterance: Utterance,
    /// The turn as it was asked.
    pub(crate) text: String,
    /// What the model said so far, in order.
    kept: Vec<Input>,
}

impl Conversation {
    /// The transcriber expects that the turn is over.
    pub(crate) fn eager(&mut self, text: &str, confidence: f32) {
        self.interim(text);
        let least = self.script.eager_threshold;
        if least.is_some_and(|least| confidence >= least) && self.may_guess() {
            self.guess();
        }
    }

    /// The caller speaks on.
    pub(crate) fn resumed(&mut self) {
        self.drop_guess();
    }

    /// One ask of a turn is left for its true end (R42).
    fn may_guess(&self) -> bool {
        let (turn, rules) = (&self.turn, &self.script.rules);
        let lasted = turn.started_at.map_or(0, |at| self.now.since(at));
        self.script.speculate
            && self.is_live()
            && self.is_welcome_over()
            && !self.discarding
            && self.media.lost_at.is_none()
            && self.live.is_empty()
            && self.pending.is_none()
            && self.guess.is_none()
            && turn.has_fresh()
            && !turn.ended
            && turn.asks + 1 < rules.max_asks
            && lasted <= rules.spec_max_s * 1000
    }

    fn guess(&mut self) {
        self.turn.asks += 1;
        let answer = self.next_answer_id();
        let mut utterance = self.new_utterance(answer, Kind::Answer, None);
        utterance.asking = Asking::Running;
        self.guess = Some(Guess {
            utterance,
            text: self.turn.text(),
            kept: Vec::new(),
        });
        self.send_ask(answer, true);
    }

    /// Keeps news of the guessed answer back. Says whether `input` was such.
    pub(crate) fn keep_back(&mut self, input: &Input) -> bool {
        let Some(guess) = self
            .guess
            .as_mut()
            .filter(|guess| answer_of(input) == Some(guess.utterance.id))
        else {
            return false;
        };
        if let Input::AnswerFailed { fault, .. } = input {
            guess.utterance.asking = Asking::Over;
            self.log_fault(Component::Llm, fault);
            self.drop_guess();
        } else if guess.kept.len() == KEPT {
            self.drop_guess();
        } else {
            if let Input::AnswerDone { .. } = input {
                guess.utterance.asking = Asking::Over;
            }
            guess.kept.push(input.clone());
        }
        true
    }

    /// The guess that a turn with this text confirms; any other is dropped.
    pub(crate) fn take_guess(&mut self, text: &str) -> Option<Guess> {
        if self
            .guess
            .as_ref()
            .is_some_and(|guess| normal(&guess.text) != normal(text))
        {
            self.drop_guess();
        }
        self.guess.take()
    }

    /// The turn ended as guessed: its answer is one like any other from here on, and what the model has
    /// said of it happens now.
    pub(crate) fn confirm(&mut self, guess: Guess, turn: TurnId) {
        let mut utterance = guess.utterance;
        let answer = utterance.id;
        utterance.turn = Some(turn);
        utterance.asking = Asking::Running;
        self.live.push(utterance);
        self.emit(Output::Metric(Metric::EagerConfirmed { answer }));
        for input in guess.kept {
            self.apply(input);
        }
    }

    /// Nothing of the guess is used.
    pub(crate) fn drop_guess(&mut self) {
        if let Some(Guess { utterance, .. }) = self.guess.take() {
            if utterance.asking == Asking::Running {
                self.emit(Output::CancelAsk {
                    answer: utterance.id,
                });
            }
            self.emit(Output::Metric(Metric::EagerDropped));
        }
    }

    /// A guess stands as long as its turn does, word for word.
    pub(crate) fn drop_vain_guess(&mut self) {
        let stands = |guess: &Guess| {
            self.phase == Phase::Live && normal(&self.turn.text()) == normal(&guess.text)
        };
        if self.guess.as_ref().is_some_and(|guess| !stands(guess)) {
            self.drop_guess();
        }
    }
}

/// Whose answer the model tells of.
fn answer_of(input: &Input) -> Option<AnswerId> {
    match input {
        Input::Token { answer, .. }
        | Input::Thinking { answer }
        | Input::ToolNamed { answer, .. }
        | Input::ToolCalls { answer, .. }
        | Input::AnswerDone { answer, .. }
        | Input::AnswerFailed { answer, .. } => Some(*answer),
        _ => None,
    }
}
