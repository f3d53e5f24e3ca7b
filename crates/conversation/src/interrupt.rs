//! Barge-in: cut, pause, resume, and the answer that is withdrawn before it was heard
//! (R38, R44-R61).

use crate::state::{Pause, Speaking};
use crate::timers::Timer;
use crate::turn::Turn;
use crate::utterance::Asking;
use crate::{AnswerId, Conversation, Kind, Metric, Output};

/// After the longest pause the same utterance is not paused again for this long (R51).
const NO_PAUSE_MS: u64 = 3000;
/// A pause is for callers whose second word would cut (R49).
const PAUSE_WORDS: u32 = 2;

impl Conversation {
    /// The caller speaks while the agent is heard (R45-R49).
    pub(crate) fn words_over(&mut self, answer: AnswerId, fresh: &str) {
        self.timers.set(
            Timer::OverlapEnd,
            self.now.plus(self.script.rules.overlap_ms),
        );
        let needed = self.script.words_to_interrupt;
        if needed == 0 || !self.is_cuttable(answer) {
            return;
        }
        let counted = self.words.counted(fresh, needed);
        if counted >= needed || self.words.is_phrase(fresh) {
            self.interrupt();
        } else if counted >= 1 {
            self.pause_agent();
            self.arm_resume();
        }
    }

    fn is_cuttable(&self, answer: AnswerId) -> bool {
        let kind = self
            .live
            .iter()
            .find(|utterance| utterance.id == answer)
            .map(|utterance| utterance.kind);
        kind.is_some_and(|kind| !matches!(kind, Kind::Welcome | Kind::Goodbye))
            && self.is_live()
            && !self.is_transferring()
    }

    /// R50: the agent stops, what was heard stays, the rest is gone.
    pub(crate) fn interrupt(&mut self) {
        self.emit(Output::ClearPlayback);
        let was_heard = self.cut_all();
        self.timers.stop(Timer::OverlapEnd);
        self.stop_answer_timers();
        self.backoff_until = self.now.plus(self.script.backoff_ms);
        self.recovering = true;
        self.judge.end_after = false;
        self.judge.running = false;
        self.stats.user_interrupted_agent_count += 1;
        if !self.cut_tools()
            && let Some(pending) = self.pending.take()
            && !was_heard
            && !pending.is_fixed()
        {
            // Nobody heard an answer: the turn goes on (R38).
            self.reopen(pending.turn, pending.text, pending.asks, pending.started_at);
        }
        self.log_event("interrupted", &[]);
        self.emit(Output::Metric(Metric::UserInterruptedAgent));
    }

    /// Ends every utterance now. Says whether anything of the pending turn's answer was heard.
    fn cut_all(&mut self) -> bool {
        let turn = self.pending.as_ref().map(|pending| pending.turn);
        let mut was_heard = false;
        let heard: Vec<String> = self
            .live
            .iter()
            .map(|utterance| self.heard_text(utterance.id))
            .collect();
        for (utterance, heard) in std::mem::take(&mut self.live).into_iter().zip(heard) {
            self.emit(Output::CancelSay {
                answer: utterance.id,
            });
            if utterance.asking == Asking::Running {
                self.emit(Output::CancelAsk {
                    answer: utterance.id,
                });
            }
            was_heard |= utterance.turn.is_some() && utterance.turn == turn && !heard.is_empty();
            self.count_speech(utterance.id, self.now);
            self.history.fix(utterance.id, &heard);
            if !heard.is_empty() {
                self.echo.text = heard;
                self.echo.ended_at = self.now;
            }
        }
        self.playout.clear();
        self.end_false_alarm();
        was_heard
    }

    /// R38: the caller spoke on before anything of the answer was heard. The answer is withdrawn and
    /// the turn goes on.
    pub(crate) fn withdraw(&mut self) {
        self.stats.agent_interrupted_user_count += 1;
        self.withdraw_silently();
        self.emit(Output::Metric(Metric::AgentInterruptedUser));
    }

    pub(crate) fn withdraw_silently(&mut self) {
        let Some(pending) = self.pending.take() else {
            return;
        };
        if self.live.iter().any(|utterance| utterance.is_played()) {
            self.emit(Output::ClearPlayback);
        }
        for utterance in std::mem::take(&mut self.live) {
            if utterance.asking == Asking::Running {
                self.emit(Output::CancelAsk {
                    answer: utterance.id,
                });
            }
            self.emit(Output::CancelSay {
                answer: utterance.id,
            });
            self.history.fix(utterance.id, "");
        }
        self.playout.clear();
        self.end_false_alarm();
        self.stop_answer_timers();
        self.cut_tools();
        if !pending.is_fixed() {
            self.reopen(pending.turn, pending.text, pending.asks, pending.started_at);
        }
    }

    /// Lines that were asked for and not begun when the caller spoke: he is there, they are not needed.
    pub(crate) fn drop_unheard_lines(&mut self) {
        let unheard = self
            .live
            .iter()
            .filter(|utterance| utterance.kind != Kind::Welcome)
            .map(|utterance| utterance.id);
        let unheard: Vec<AnswerId> = unheard.collect();
        if unheard.is_empty() {
            return;
        }
        if self.live.iter().any(|utterance| utterance.is_played()) {
            self.emit(Output::ClearPlayback);
            self.playout.clear();
        }
        for answer in unheard {
            self.history.fix(answer, "");
            self.live.retain(|utterance| utterance.id != answer);
            self.emit(Output::CancelSay { answer });
        }
    }

    /// The turn is taken out of the history and goes on with what was said since.
    fn reopen(&mut self, turn: crate::TurnId, text: String, asks: u32, started_at: crate::At) {
        let text = self.history.take_turn(turn).unwrap_or(text);
        self.turn
            .carry(Turn::reopened(turn, text, asks, started_at));
    }

    // ---- pause and resume ----

    /// Whether a sound may pause the agent now (R49).
    pub(crate) fn may_pause(&self) -> bool {
        let needed = self.script.words_to_interrupt;
        let Speaking::Audible(answer) = self.speaking() else {
            return false;
        };
        let spent = if self.pause.answer == answer {
            self.pause.spent_ms
        } else {
            0
        };
        (1..=PAUSE_WORDS).contains(&needed)
            && self.script.rules.resume_false_interruption
            && self.is_cuttable(answer)
            && self.media.lost_at.is_none()
            && !self.playout.is_paused()
            && (self.pause.answer != answer || self.now >= self.pause.blocked_until)
            && spent < self.script.rules.pause_max_ms
    }

    /// Stage 1: the agent waits whether this is an interruption.
    pub(crate) fn pause_agent(&mut self) {
        let Speaking::Audible(answer) = self.speaking() else {
            return;
        };
        if !self.may_pause() {
            return;
        }
        if self.pause.answer != answer {
            self.pause = Pause {
                answer,
                ..Pause::default()
            };
        }
        self.pause.since = Some(self.now);
        self.playout.pause(self.now);
        self.emit(Output::PausePlayback);
        let left = self.script.rules.pause_max_ms - self.pause.spent_ms;
        self.timers.set(Timer::PauseMax, self.now.plus(left));
        self.arm_resume();
    }

    /// R51: when the pause turns out to be for nothing.
    pub(crate) fn arm_resume(&mut self) {
        let at = self.pause.since.filter(|_| !self.voice.is_on).map(|_| {
            let quiet = self
                .voice
                .since
                .max(self.turn.last_text_at.unwrap_or_default());
            quiet
                .plus(self.script.rules.false_interruption_ms)
                .max(self.now)
        });
        self.timers.put(Timer::Resume, at);
    }

    /// No interruption came of it: go on (R51). `spent` = the longest pause is over.
    pub(crate) fn resume_agent(&mut self, spent: bool) {
        let Some(since) = self.pause.since else {
            return;
        };
        self.pause.spent_ms += self.now.since(since);
        if spent {
            self.pause.blocked_until = self.now.plus(NO_PAUSE_MS);
            self.pause.spent_ms = 0;
        }
        self.stats.false_interruption_count += 1;
        self.log_event("false_interruption", &[]);
        self.emit(Output::Metric(Metric::FalseInterruption));
        self.end_false_alarm();
        self.unpause();
    }

    /// The pause is over, whatever ended it.
    pub(crate) fn end_false_alarm(&mut self) {
        self.pause.since = None;
        for timer in [Timer::PauseOnVoice, Timer::Resume, Timer::PauseMax] {
            self.timers.stop(timer);
        }
    }

    /// Feeds the carrier again, from the beginning of the word at which it stopped.
    pub(crate) fn unpause(&mut self) {
        if !self.playout.is_paused() {
            return;
        }
        let place = self.playout.paused_at();
        let from_ms = place.map_or(0, |place| {
            let utterance = self
                .live
                .iter()
                .find(|utterance| utterance.id == place.answer);
            utterance.map_or(place.ms, |utterance| {
                utterance.word_start(place.chunk, place.ms)
            })
        });
        self.playout.resume(self.now, from_ms);
        if let Some(place) = place {
            self.log_event("resumed", &[]);
            self.emit(Output::ResumePlayback {
                answer: place.answer,
                chunk: place.chunk,
                from_ms,
            });
        }
    }
}
