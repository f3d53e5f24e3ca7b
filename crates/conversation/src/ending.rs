//! How a call ends: causes, last words, the judge, the `end_call` tool, hanging up
//! (R5, R8, R9, R11, R63, R117, R155-R157, R201).

use bolo_execution::EndReason;
use serde_json::json;

use crate::history::{Said, message};
use crate::state::{Cause, Closing, End, Farewell, Phase};
use crate::timers::Timer;
use crate::utterance::Asking;
use crate::{
    AnswerId, At, Clip, Conversation, Ending, JudgeKind, Kind, Output, Role, Tool, ToolCall,
};

/// The tool by which the model ends a call.
pub(crate) const END_CALL: &str = "end_call";
/// Speech at the cap may last this long (R11).
const CAP_GRACE_MS: u64 = 5000;
/// A goodbye without any audio (R9).
const NO_GOODBYE_MS: u64 = 10_000;
/// No `MediaStop` after a hang-up (R8).
const HANG_UP_AGAIN_MS: u64 = 3000;
/// Hang-ups are repeated this often.
const HANG_UPS: u32 = 2;

impl Conversation {
    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing(_))
    }

    pub(crate) fn closing_reason(&self) -> Option<EndReason> {
        match &self.phase {
            Phase::Closing(closing) => Some(closing.reason),
            _ => None,
        }
    }

    /// The end is decided (R8): nothing new begins; what is being said may end, then the farewell.
    pub(crate) fn begin_end(&mut self, reason: EndReason, cause: Cause, farewell: Farewell) {
        if self.phase != Phase::Live {
            return;
        }
        self.enter_closing(reason, cause, farewell);
        self.drop_unbegun();
        if self.playout.is_paused() {
            self.end_false_alarm();
            self.unpause();
        }
    }

    pub(crate) fn enter_closing(&mut self, reason: EndReason, cause: Cause, farewell: Farewell) {
        let is_firm = !matches!(cause, Cause::Silence | Cause::Judge | Cause::EndCall);
        self.log_event("closing", &[("reason", reason.as_str().into())]);
        self.phase = Phase::Closing(Closing {
            reason,
            cause,
            farewell,
            goodbye: None,
            started: false,
            is_firm,
        });
        self.judge.running = false;
        self.judge.end_after = false;
        self.stop_answer_timers();
        self.end_false_alarm_timers();
        self.turn = Default::default();
        self.moved();
    }

    fn end_false_alarm_timers(&mut self) {
        for timer in [
            Timer::WelcomeDelay,
            Timer::OverlapEnd,
            Timer::Judge,
            Timer::Keypad,
            Timer::DeafVoice,
        ] {
            self.timers.stop(timer);
        }
    }

    /// Drops utterances of which nothing was played, and asks.
    fn drop_unbegun(&mut self) {
        let unbegun: Vec<AnswerId> = self
            .live
            .iter()
            .filter(|u| !u.is_played())
            .map(|u| u.id)
            .collect();
        for answer in unbegun {
            self.drop_utterance(answer);
        }
        if self
            .pending
            .as_ref()
            .is_some_and(|pending| !pending.is_played)
        {
            self.pending = None;
        }
    }

    /// Drops everything, heard text kept, without ending the call.
    pub(crate) fn abandon_all(&mut self) {
        if self.live.iter().any(|utterance| utterance.is_played()) {
            self.emit(Output::ClearPlayback);
        }
        let welcome_lost = self
            .live
            .iter()
            .any(|utterance| utterance.kind == Kind::Welcome);
        self.drop_all_work();
        self.end_false_alarm();
        self.stop_answer_timers();
        if welcome_lost {
            self.welcome_over();
        }
    }

    /// Takes the next step of an end under way. Says whether there was one.
    pub(crate) fn advance_end(&mut self) -> bool {
        let Phase::Closing(closing) = self.phase.clone() else {
            return false;
        };
        match closing.goodbye {
            Some(goodbye) if self.live.iter().any(|utterance| utterance.id == goodbye) => false,
            Some(_) => {
                self.hang_up(closing.reason);
                true
            }
            None if !self.live.is_empty() => false,
            None if closing.farewell == Farewell::Message
                && self.message_due().is_none_or(|due| due > self.now) =>
            {
                false
            }
            None => {
                self.timers.stop(Timer::CapGrace);
                let line = match closing.farewell {
                    Farewell::None | Farewell::Models => String::new(),
                    Farewell::Goodbye => self.script.goodbye.clone(),
                    Farewell::Apology => self.script.lines().apology,
                    Farewell::Message => self
                        .script
                        .voicemail
                        .as_ref()
                        .map(|voicemail| voicemail.message.clone())
                        .unwrap_or_default(),
                };
                let clip = if closing.farewell == Farewell::Apology {
                    Clip::Apology
                } else {
                    Clip::Goodbye
                };
                match self.say_clip(Kind::Goodbye, clip, &line) {
                    Some(id) => self.set_goodbye(id),
                    None => self.hang_up(closing.reason),
                }
                true
            }
        }
    }

    fn set_goodbye(&mut self, id: AnswerId) {
        if let Phase::Closing(closing) = &mut self.phase {
            closing.goodbye = Some(id);
        }
    }

    /// R9: when the goodbye has had its time.
    pub(crate) fn next_goodbye_limit(&self) -> Option<At> {
        let Phase::Closing(Closing {
            goodbye: Some(id), ..
        }) = &self.phase
        else {
            return None;
        };
        let goodbye = self.live.iter().find(|utterance| utterance.id == *id)?;
        if goodbye.asking == Asking::Running {
            return None; // bounded by the model's limits
        }
        let grace = self.script.rules.goodbye_grace_s * 1000;
        Some(match (self.playout.end_of(*id), goodbye.is_closed) {
            (Some(end), true) => end.plus(grace),
            (Some(end), false) => end.max(self.progress_at).plus(NO_GOODBYE_MS),
            (None, _) => goodbye
                .said_at
                .unwrap_or(goodbye.asked_at)
                .plus(NO_GOODBYE_MS),
        })
    }

    pub(crate) fn goodbye_overdue(&mut self) {
        if let Some(reason) = self.closing_reason() {
            self.hang_up(reason);
        }
    }

    /// R63: whether these words take the end back; then the call is live again.
    pub(crate) fn take_back_end(&mut self, fresh: &str) -> bool {
        let Phase::Closing(closing) = self.phase.clone() else {
            return false;
        };
        if closing.is_firm || self.words.is_farewell(fresh) {
            return false;
        }
        let needed = match closing.cause {
            Cause::Silence => 1,
            _ => self.script.words_to_interrupt.max(1),
        };
        let always = self.script.interruptible_goodbye;
        let in_time = match closing.cause {
            Cause::EndCall => always,
            _ => always || !closing.started,
        };
        if !in_time || self.words.counted(fresh, self.script.words_to_interrupt) < needed {
            return false;
        }
        self.log_event(
            "closing_taken_back",
            &[("reason", closing.reason.as_str().into())],
        );
        self.phase = Phase::Live;
        self.quiet.asked = false;
        if self.live.iter().any(|utterance| utterance.is_played()) {
            self.interrupt();
        } else {
            self.abandon_all();
        }
        true
    }

    // ---- causes ----

    /// R11.
    pub(crate) fn cap_reached(&mut self) {
        let reason = if self.media.web {
            EndReason::WebCallMaxDurationReached
        } else {
            EndReason::MaxDurationReached
        };
        match &mut self.phase {
            Phase::Closing(closing) => closing.is_firm = true,
            Phase::Live => {
                self.begin_end(reason, Cause::Cap, Farewell::Goodbye);
                self.timers
                    .set(Timer::CapGrace, self.now.plus(CAP_GRACE_MS));
                if self.media.lost_at.is_some() {
                    self.hang_up(reason);
                }
            }
            _ => {}
        }
    }

    /// Speech at the cap has had its time.
    pub(crate) fn cap_grace_over(&mut self) {
        if matches!(&self.phase, Phase::Closing(closing) if closing.goodbye.is_none()) {
            self.abandon_all();
        }
    }

    /// R157: at once, without a word.
    pub(crate) fn stop_now(&mut self, reason: EndReason) {
        self.log_event("closing", &[("reason", reason.as_str().into())]);
        self.emit(Output::ClearPlayback);
        self.hang_up(reason);
    }

    /// R201: the drain time is over.
    pub(crate) fn node_stopping(&mut self) {
        if self.phase == Phase::Waiting {
            return self.stop_now(EndReason::InternalError);
        }
        if self.is_live() {
            self.emit(Output::Fault {
                message: "bolo: the server was stopped during the call".to_owned(),
            });
        }
        self.begin_end(EndReason::InternalError, Cause::Node, Farewell::Goodbye);
        self.timers
            .set(Timer::CapGrace, self.now.plus(CAP_GRACE_MS));
    }

    // ---- the model's own wish ----

    /// R117: the tool, where the agent wants it.
    pub(crate) fn end_call_tool(&self) -> Option<Tool> {
        let Ending::Tool(criteria) = &self.script.ending else {
            return None;
        };
        Some(Tool {
            name: END_CALL.to_owned(),
            description: format!(
                "Ends the phone call. Call it only when this holds: {criteria} Say goodbye in the same answer."
            ),
            parameters: json!({
                "type": "object",
                "properties": {"reason": {"type": "string", "description": "Why the call is over, in a few words."}},
                "required": []
            }),
        })
    }

    /// The call was accepted: the end is decided at once.
    pub(crate) fn end_call_made(&mut self, answer: AnswerId, call: &ToolCall) {
        if self.phase != Phase::Live {
            return;
        }
        self.enter_closing(EndReason::EndCallTool, Cause::EndCall, Farewell::Models);
        self.set_goodbye(answer);
        let is_begun = self
            .live
            .iter()
            .any(|utterance| utterance.id == answer && utterance.is_played());
        if let Phase::Closing(closing) = &mut self.phase {
            closing.started = is_begun;
        }
        if !self.history.has(answer) {
            self.remember(Said::Agent {
                answer,
                kind: Kind::Answer,
                text: None,
                calls: vec![call.clone()],
            });
            let text = "The call will end now. Say one short goodbye.".to_owned();
            self.remember(Said::Tool {
                call_id: call.id.clone(),
                text,
            });
        }
    }

    /// Whether the model ends the call with this answer.
    pub(crate) fn is_ending_with(&self, answer: AnswerId) -> bool {
        matches!(&self.phase, Phase::Closing(closing) if closing.goodbye == Some(answer))
    }

    /// The answer that ends the call is written: its text is the goodbye; without any the model is asked
    /// for one, once.
    pub(crate) fn end_call_answer_done(&mut self, answer: AnswerId, has_said: bool) {
        if has_said {
            return;
        }
        let kind = self.utterance(answer).map(|utterance| utterance.kind);
        self.live.retain(|utterance| utterance.id != answer);
        self.history.fix(answer, "");
        if kind == Some(Kind::Goodbye) {
            return; // it had nothing to say: `advance_end` hangs up
        }
        let id = self.next_answer_id();
        let mut goodbye = self.new_utterance(id, Kind::Goodbye, None);
        goodbye.asking = Asking::Running;
        self.live.push(goodbye);
        self.set_goodbye(id);
        self.send_ask(id, false);
    }

    // ---- the judge ----

    /// R155: after each answer, where the model has no tool for it.
    pub(crate) fn ask_judge(&mut self, answer: AnswerId) {
        let Ending::Judge(criteria) = self.script.ending.clone() else {
            return;
        };
        if !self.is_live() {
            return;
        }
        let id = self.next_judge_id();
        self.judge.id = id;
        self.judge.running = true;
        // The judge sees the answer as it is going to be heard.
        let whole = self.live.iter().find(|utterance| utterance.id == answer);
        let whole = whole
            .map(|utterance| utterance.raw().trim().to_owned())
            .unwrap_or_default();
        let heard = |id: AnswerId| {
            if id == answer {
                whole.clone()
            } else {
                self.heard_text(id)
            }
        };
        let mut text = self.history.transcript(heard);
        if !self.history.has(answer) {
            text.push_str(&format!("\nassistant: {whole}"));
        }
        let system = format!(
            "You decide whether a phone call is over. It is over only if this holds: {criteria}\n\
             Answer with JSON only: {{\"hangup\": \"Yes\"}} or {{\"hangup\": \"No\"}}."
        );
        let messages = vec![
            message(Role::System, Some(system)),
            message(Role::User, Some(text)),
        ];
        self.timers.set(
            Timer::Judge,
            self.now.plus(self.script.rules.judge_s * 1000),
        );
        self.log_ask(format!("judge-{id}"), Some("hangup"), &messages);
        self.emit(Output::AskJudge {
            id,
            kind: JudgeKind::HangUp,
            messages,
        });
    }

    pub(crate) fn next_judge_id(&mut self) -> u32 {
        self.judge.last_id += 1;
        self.judge.last_id
    }

    pub(crate) fn judged(&mut self, id: u32, yes: bool) {
        if self.voicemail_judged(id, yes) {
            return;
        }
        if id != self.judge.id || !self.judge.running {
            return self.stale();
        }
        self.judge.running = false;
        self.timers.stop(Timer::Judge);
        self.log_verdict(id, "hangup", yes);
        self.judge.end_after = yes;
        if self.live.is_empty() && self.pending.is_none() {
            self.end_after_verdict();
        }
    }

    /// The answer was heard and the judge found the conversation over.
    pub(crate) fn end_after_verdict(&mut self) {
        if std::mem::take(&mut self.judge.end_after) && !self.turn.has_fresh() {
            self.begin_end(
                EndReason::LlmPromptedHangup,
                Cause::Judge,
                Farewell::Goodbye,
            );
        }
    }

    // ---- hanging up ----

    /// The last step: what was heard is noted, the carrier is told.
    pub(crate) fn hang_up(&mut self, reason: EndReason) {
        if matches!(
            self.phase,
            Phase::HungUp { .. } | Phase::Draining | Phase::Over
        ) {
            return;
        }
        self.end.get_or_insert(End::Ours(reason));
        self.drop_all_work();
        self.timers.clear();
        self.phase = Phase::HungUp { reason, tries: 0 };
        self.emit(Output::HangUp { reason });
        self.timers
            .set(Timer::HangUpAgain, self.now.plus(HANG_UP_AGAIN_MS));
    }

    /// R8.
    pub(crate) fn hang_up_again(&mut self) {
        let Phase::HungUp { reason, tries } = &mut self.phase else {
            return;
        };
        if *tries == HANG_UPS {
            return self.finish();
        }
        *tries += 1;
        let reason = *reason;
        self.emit(Output::HangUp { reason });
        self.timers
            .set(Timer::HangUpAgain, self.now.plus(HANG_UP_AGAIN_MS));
    }
}
