//! What a vendor's fault does to a call: the caller never hears dead air (R192-R195).

use bolo_execution::{Component, EndReason};

use crate::listen::REPLAY_MS;
use crate::state::{Cause, Farewell, Phase, Welcome};
use crate::timers::Timer;
use crate::utterance::Asking;
use crate::{AnswerId, Clip, Conversation, Fault, FaultKind, Finish, Kind, Output, pieces};

/// Pauses before the model is asked again (R194).
const RETRY_MS: [u64; 2] = [250, 750];
/// A vendor's own wish is followed up to this.
const RETRY_AFTER_MAX_MS: u64 = 1000;
/// After his own last sound the caller is told that he was not heard, ms.
const UNHEARD_MS: u64 = 1800;
/// What is longer ago is not replayed to it (R193), ms.
const REPLAYED_MS: u64 = 5000;
/// So often in a row he is asked to say it again.
const MOST_DEAF: u32 = 2;

impl Conversation {
    pub(crate) fn answer_failed(&mut self, answer: AnswerId, fault: &Fault) {
        let Some(utterance) = self
            .utterance(answer)
            .filter(|utterance| utterance.asking == Asking::Running)
        else {
            return self.stale();
        };
        utterance.asking = Asking::Over;
        let whole = pieces::last_sentence_end(utterance.raw()).filter(|end| *end > 0);
        let has_said = utterance.has_said();
        self.timers.stop(Timer::FirstPiece);
        self.log_fault(Component::Llm, fault);
        self.moved();
        if self.is_ending_with(answer) {
            return self.goodbye_failed(answer);
        }
        if self.tools.are_of(answer) {
            return self.finish_text(answer, Finish::Stop); // its calls were complete
        }
        match whole {
            // A sentence or more was said: that is the answer. With half a one behind it the caller is asked
            // to speak again.
            Some(end) if has_said => {
                let mut is_torn = false;
                if let Some(utterance) = self.utterance(answer) {
                    utterance.cut_raw(end);
                    let said = &utterance.raw()[..utterance.said_until()];
                    is_torn = said.trim_end().len() > end;
                }
                self.finish_text(answer, Finish::Stop);
                if is_torn && self.is_live() {
                    let line = self.script.lines().recovery;
                    self.say_clip(Kind::Recovery, Clip::Recovery, &line);
                }
            }
            _ => {
                let begun = has_said;
                self.drop_utterance(answer);
                if fault.kind == FaultKind::BadRequest && !begun && self.bare_ask() {
                    return;
                }
                let retries = self.pending.as_ref().map(|pending| pending.retries);
                match retries
                    .and_then(|tried| RETRY_MS.get(tried as usize))
                    .filter(|_| !begun && may_retry(fault))
                {
                    Some(wait) => self.retry(
                        fault
                            .retry_after_ms
                            .filter(|ms| *ms <= RETRY_AFTER_MAX_MS)
                            .unwrap_or(*wait),
                    ),
                    None if fault.kind == FaultKind::Content => self.refused(),
                    None => self.turn_failed(fault, EndReason::LlmError),
                }
            }
        }
    }

    fn retry(&mut self, wait_ms: u64) {
        if let Some(pending) = &mut self.pending {
            pending.retries += 1;
            self.timers.set(Timer::AskRetry, self.now.plus(wait_ms));
        }
    }

    /// A request that the vendor refused is asked once more, with a history that can't be at fault.
    fn bare_ask(&mut self) -> bool {
        match &mut self.pending {
            Some(pending) if !pending.is_bare => pending.is_bare = true,
            _ => return false,
        }
        self.ask();
        true
    }

    /// The model refused: a fixed line answers (R194).
    pub(crate) fn refused(&mut self) {
        self.pending = None;
        self.stop_answer_timers();
        let line = self.script.lines().refused;
        self.say_clip(Kind::Recovery, Clip::Recovery, &line);
    }

    /// The pending turn can't be answered: one line for it; the second such turn in a row ends the call
    /// (R192).
    pub(crate) fn turn_failed(&mut self, fault: &Fault, reason: EndReason) {
        if !self.is_live() {
            return;
        }
        self.pending = None;
        self.stop_answer_timers();
        self.faults.in_a_row += 1;
        if self.faults.in_a_row > 1 {
            self.emit(Output::Fault {
                message: fault.message.clone(),
            });
            return self.begin_end(reason, Cause::Fault, Farewell::Apology);
        }
        let line = self.script.lines().recovery;
        self.say_clip(Kind::Recovery, Clip::Recovery, &line);
    }

    /// The goodbye that the model was asked for does not come: the agent's own line, if there is one.
    fn goodbye_failed(&mut self, answer: AnswerId) {
        self.drop_utterance(answer);
        if let Phase::Closing(closing) = &mut self.phase
            && !closing.started
        {
            closing.goodbye = None;
            closing.farewell = Farewell::Goodbye;
        }
    }

    pub(crate) fn speech_failed(&mut self, answer: AnswerId, fault: &Fault) {
        if self.utterance(answer).is_none() {
            return self.stale();
        }
        self.log_fault(Component::Synthesizer, fault);
        self.voice_failed(answer, fault);
    }

    /// The synthesizer says it is done and has made nothing: that is a fault too.
    pub(crate) fn no_sound(&mut self, answer: AnswerId) {
        let message = format!("{}: no audio", self.script.names.synthesizer);
        let fault = Fault {
            kind: FaultKind::Server,
            message,
            retry_after_ms: None,
        };
        self.log_fault(Component::Synthesizer, &fault);
        self.voice_failed(answer, &fault);
    }

    fn voice_failed(&mut self, answer: AnswerId, fault: &Fault) {
        let Some(kind) = self.utterance(answer).map(|utterance| utterance.kind) else {
            return;
        };
        self.moved();
        self.drop_utterance(answer);
        if self.is_closing() {
            return; // what was played of it ends, then `advance_end` goes on
        }
        match kind {
            Kind::PreCall | Kind::Filler | Kind::OnlineCheck => {}
            Kind::Welcome => {
                self.faults.in_a_row += 1;
                let is_unheard = !self.live.iter().any(|utterance| utterance.id == answer);
                if is_unheard && self.welcome != Welcome::Done {
                    self.welcome_over();
                }
                let line = self.script.lines().line_back;
                self.say_clip(Kind::Recovery, Clip::Recovery, &line);
            }
            // The line that needs no vendor failed as well: nothing can be said any more.
            Kind::Recovery => {
                self.emit(Output::Fault {
                    message: fault.message.clone(),
                });
                self.begin_end(EndReason::SynthesizerError, Cause::Fault, Farewell::None);
            }
            Kind::Answer | Kind::Route | Kind::Goodbye => {
                self.turn_failed(fault, EndReason::SynthesizerError)
            }
        }
    }

    // ---- the transcriber ----

    pub(crate) fn transcriber_down(&mut self, fault: &Fault) {
        self.log_fault(Component::Transcriber, fault);
        self.faults.transcriber_down = true;
        self.turn.tear(self.now);
        if self.voice.is_on {
            self.timers.set(
                Timer::DeafVoice,
                self.now.plus(self.script.rules.deaf_voice_ms),
            );
        } else if self.waits_for_words() {
            self.expect_words();
        }
    }

    /// The caller has just said something, as far as his voice tells, and what it was is not known, or not all
    /// of it.
    fn waits_for_words(&self) -> bool {
        let is_unheard = !self.voice.has_text
            && self.voice.lasted_ms >= self.script.rules.deaf_voice_ms
            && self.now.since(self.voice.since) <= REPLAYED_MS;
        let is_half_heard = self.voice.lasted_ms > 0 && self.turn.has_fresh() && !self.turn.ended;
        !self.voice.is_told && is_unheard || is_half_heard
    }

    /// His words come soon, or he is told that they did not: nobody else would say anything.
    pub(crate) fn expect_words(&mut self) {
        let words = self.turn.waits_since().unwrap_or_default();
        let due = self.voice.since.max(words).plus(UNHEARD_MS);
        self.timers
            .set(Timer::DeafVoice, due.max(self.now.plus(REPLAY_MS)));
    }

    pub(crate) fn transcriber_up(&mut self) {
        if std::mem::take(&mut self.faults.transcriber_down) {
            self.log_event("transcriber_back", &[]);
            // The replayed audio brings the text of the open turn.
            if self.turn.has_fresh() {
                self.turn.replayed_at = Some(self.now);
            }
            if !self.voice.is_on && self.timers.is_set(Timer::DeafVoice) {
                self.expect_words();
            } else {
                self.timers.stop(Timer::DeafVoice);
            }
        }
    }

    /// The caller spoke and nobody listened: he is told so (R193). A transcriber that never hears him is
    /// given up (R192).
    pub(crate) fn deaf_voice(&mut self) {
        if !self.is_live() || !self.live.is_empty() || self.pending.is_some() {
            return;
        }
        self.turn = Default::default(); // he will say it again
        self.voice.is_told = true;
        self.faults.deaf += 1;
        if self.faults.deaf > MOST_DEAF {
            let message = format!("{}: hears nothing", self.script.names.transcriber);
            self.emit(Output::Fault { message });
            return self.begin_end(EndReason::TranscriberError, Cause::Fault, Farewell::Apology);
        }
        let line = self.script.lines().not_heard;
        self.say_clip(Kind::Recovery, Clip::Recovery, &line);
    }

    pub(crate) fn transcriber_lost(&mut self, fault: &Fault) {
        self.log_fault(Component::Transcriber, fault);
        if !self.is_live() {
            return;
        }
        self.emit(Output::Fault {
            message: fault.message.clone(),
        });
        let reason = match fault.kind {
            FaultKind::Connect | FaultKind::Timeout | FaultKind::Dropped | FaultKind::Server => {
                EndReason::TranscriberConnectionError
            }
            _ => EndReason::TranscriberError,
        };
        self.begin_end(reason, Cause::Fault, Farewell::Apology);
    }
}

fn may_retry(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        FaultKind::RateLimited
            | FaultKind::Connect
            | FaultKind::Timeout
            | FaultKind::Dropped
            | FaultKind::Server
    )
}
