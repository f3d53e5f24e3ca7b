//! Whether a machine answered the call, and what is done about it (R20, R158-R161).

use bolo_execution::EndReason;
use serde::{Deserialize, Serialize};

use crate::history::message;
use crate::state::{Cause, Farewell, LastTurn};
use crate::{At, Conversation, JudgeKind, Output, Role};

/// A message is left after so much silence (R159).
const SILENCE_MS: u64 = 1500;
/// Or when the greeting has gone on for so long that it will not end.
const PATIENCE_MS: u64 = 30_000;
/// Caller text that the judge is shown; a greeting is shorter.
const MAX_CHARS: usize = 2000;

/// How an agent looks for machines. Times in ms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoicemailScript {
    /// From media start; later nobody looks any more.
    pub window_ms: u64,
    /// Between two looks at text that may still change.
    pub interval_ms: u64,
    /// Words that such a text must have.
    pub min_words: usize,
    /// Nobody looks earlier.
    pub first_ms: u64,
    /// Left on the machine; empty = the call ends without a word.
    pub message: String,
}

/// What the machine of one call knows of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Voicemail {
    stage: Stage,
    /// Text that will not change, then the open segment.
    settled: String,
    open: String,
    /// The judge has not seen all of it; `settled` came since.
    has_settled: bool,
    /// The question that is with the judge, and since when.
    asked: Option<(u32, At)>,
    last_look: Option<At>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Stage {
    #[default]
    Looking,
    /// A person, or nobody cares any more.
    Over,
    /// A machine; a message waits for its silence since then.
    Found { at: At },
}

impl Conversation {
    /// The caller's words, whoever else makes use of them (R20).
    pub(crate) fn look_for_voicemail(&mut self, text: &str, is_settled: bool) {
        if self.script.voicemail.is_none() || self.voicemail.stage != Stage::Looking {
            return;
        }
        if self.is_talk() {
            self.voicemail.stage = Stage::Over;
            return;
        }
        let seen = &mut self.voicemail;
        if is_settled {
            seen.open.clear();
            if text.is_empty() {
                return;
            }
            if seen.settled.len() < MAX_CHARS {
                seen.settled.push_str(text);
                seen.settled.push(' ');
            }
            seen.has_settled = true;
        } else {
            seen.open = text.to_owned();
        }
        self.voicemail_due();
    }

    /// Asks the judge if there is anything new to judge and it is time.
    pub(crate) fn voicemail_due(&mut self) {
        if self.next_voicemail_look().is_none_or(|at| at > self.now) {
            return;
        }
        let text = format!("{}{}", self.voicemail.settled, self.voicemail.open);
        let id = self.next_judge_id();
        self.voicemail.asked = Some((id, self.now));
        self.voicemail.last_look = Some(self.now);
        self.voicemail.has_settled = false;
        let system = "A phone call was answered. From what was said at the other end decide whether that \
             is an answering machine, a voicemail greeting or an automatic announcement rather than a person.\n\
             Answer with JSON only: {\"is_voicemail\": \"Yes\"} or {\"is_voicemail\": \"No\"}.";
        let messages = vec![
            message(Role::System, Some(system.to_owned())),
            message(Role::User, Some(text.trim().to_owned())),
        ];
        self.log_ask(format!("judge-{id}"), Some("voicemail"), &messages);
        self.emit(Output::AskJudge {
            id,
            kind: JudgeKind::Voicemail,
            messages,
        });
    }

    /// When there is something to ask, at the earliest; `None` while there is not.
    fn next_voicemail_look(&self) -> Option<At> {
        let rules = self.script.voicemail.as_ref()?;
        let seen = &self.voicemail;
        if seen.stage != Stage::Looking || !self.is_live() {
            return None;
        }
        // One question at a time; one that is not answered in its time counts as no.
        let free = seen.asked.map_or(At(0), |(_, since)| {
            since.plus(self.script.rules.judge_s * 1000)
        });
        let due = if seen.has_settled {
            At(0)
        } else if seen.open.split_whitespace().count() >= rules.min_words.max(1) {
            seen.last_look
                .map_or(At(0), |last| last.plus(rules.interval_ms))
        } else {
            return None;
        };
        let at = due.max(free).max(At(rules.first_ms));
        (at <= At(rules.window_ms) && self.now <= At(rules.window_ms)).then_some(at)
    }

    /// The next moment at which time alone decides something here.
    pub(crate) fn next_voicemail(&self) -> Option<At> {
        match self.voicemail.stage {
            Stage::Looking => self.next_voicemail_look().map(|at| at.max(self.now)),
            Stage::Found { .. } if self.is_closing() => {
                self.message_due().filter(|at| *at > self.now)
            }
            Stage::Found { .. } | Stage::Over => None,
        }
    }

    /// Whether this verdict is about a machine; takes it if so.
    pub(crate) fn voicemail_judged(&mut self, id: u32, yes: bool) -> bool {
        if self.voicemail.asked.is_none_or(|(asked, _)| asked != id) {
            return false;
        }
        self.voicemail.asked = None;
        self.log_verdict(id, "voicemail", yes);
        if yes && self.voicemail.stage == Stage::Looking {
            self.machine_answered();
        }
        true
    }

    /// The carrier has listened as well (R161).
    pub(crate) fn answered_by(&mut self, is_machine: bool) {
        if self.voicemail.stage != Stage::Looking || self.script.voicemail.is_none() {
            return;
        }
        if is_machine {
            self.machine_answered();
        } else {
            self.voicemail.stage = Stage::Over;
        }
    }

    /// Two turns were answered and a third begins: a person (R160).
    fn is_talk(&self) -> bool {
        let answered = |last: &LastTurn| self.history.agent_spoke_after(last.turn);
        self.stats.user_turns >= 2 && self.last_turn.as_ref().is_some_and(answered)
    }

    /// R159.
    fn machine_answered(&mut self) {
        self.voicemail.stage = Stage::Found { at: self.now };
        self.log_event("voicemail", &[]);
        self.emit(Output::AnsweredByMachine);
        if !self.is_live() {
            return;
        }
        let has_message = (self.script.voicemail.as_ref()).is_some_and(|v| !v.message.is_empty());
        if !has_message {
            return self.stop_now(EndReason::VoicemailDetected);
        }
        self.enter_closing(
            EndReason::VoicemailDetected,
            Cause::Machine,
            Farewell::Message,
        );
        self.abandon_all();
    }

    /// When the message may be left: the greeting is silent for a while, or never will be.
    pub(crate) fn message_due(&self) -> Option<At> {
        let Stage::Found { at } = self.voicemail.stage else {
            return None;
        };
        let never = at.plus(PATIENCE_MS);
        let silent = (!self.voice.is_on).then(|| self.voice.since.max(At(0)).plus(SILENCE_MS));
        Some(silent.map_or(never, |silent| silent.max(at).min(never)))
    }
}
