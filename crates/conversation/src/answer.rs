//! The model's side of an answer: asks, tokens, pieces for the synthesizer (R42, R84-R93, R99).

use bolo_execution::{Component, Entry, EntryKind};

use crate::clean::{narrated, without_next_speaker};
use crate::ending::END_CALL;
use crate::history::bare;
use crate::state::Phase;
use crate::timers::Timer;
use crate::utterance::{Asking, Utterance};
use crate::{
    AnswerId, At, Conversation, Fault, FaultKind, Finish, Kind, Message, Output, TokenUse,
    ToolCall, ToolChoice, pieces,
};

/// Characters of an answer (R204).
const LIMIT: usize = 4000;
/// An answer that ran out of tokens is cut at a sentence end if this much is left (R86).
const LENGTH_CUT: usize = 40;
/// R93.
const WARMER: f32 = 0.3;
/// The longest silence within a sentence for which nobody is to blame but the model, ms.
const TORN_MS: u64 = 1800;

impl Conversation {
    /// Asks the model to answer the pending turn.
    pub(crate) fn ask(&mut self) {
        let Some(pending) = self.pending.as_mut().filter(|_| self.phase == Phase::Live) else {
            return;
        };
        pending.asks += 1;
        let turn = pending.turn;
        let id = self.next_answer_id();
        let mut utterance = self.new_utterance(id, Kind::Answer, Some(turn));
        utterance.asking = Asking::Running;
        self.live.push(utterance);
        self.send_ask(id, true);
    }

    /// Sends the request for an utterance that was made for it.
    pub(crate) fn send_ask(&mut self, answer: AnswerId, with_tools: bool) {
        let messages = self.messages();
        let (tools, tool_choice) = match with_tools {
            true => self.offered_tools(),
            false => (Vec::new(), ToolChoice::None),
        };
        let warmer = if self.history.repeats_itself() {
            WARMER
        } else {
            0.0
        };
        let temperature = (self.script.temperature + warmer).min(2.0);
        self.moved();
        self.log_ask(crate::journal::leg(answer), None, &messages);
        self.emit(Output::Ask {
            answer,
            messages,
            tools,
            tool_choice,
            temperature,
        });
    }

    fn messages(&self) -> Vec<Message> {
        let limit = self.script.rules.history_messages;
        let ahead = self.guess.as_ref().map(|guess| guess.text.as_str());
        let messages = self
            .history
            .messages(&self.script.prompt, limit, ahead, |answer| {
                self.heard_text(answer)
            });
        match &self.pending {
            Some(pending) if pending.is_bare => bare(messages),
            _ => messages,
        }
    }

    pub(crate) fn token(&mut self, answer: AnswerId, text: &str) {
        let now = self.now;
        let Some(utterance) = self.asked(answer) else {
            return self.stale();
        };
        let is_first = utterance.first_token_at.is_none();
        utterance.first_token_at.get_or_insert(now);
        utterance.last_token_at = now;
        let text = utterance.thoughts.pass(text);
        let room = LIMIT.saturating_sub(utterance.raw().chars().count());
        let fitting: String = text.chars().take(room).collect();
        utterance.write(&fitting);
        let is_full = fitting.len() < text.len();
        self.moved();
        if is_first {
            self.timers.set(
                Timer::FirstPiece,
                now.plus(self.script.rules.first_chunk.wait_ms),
            );
        }
        self.say_pieces(answer);
        if is_full {
            self.emit(Output::CancelAsk { answer });
            self.log(Entry::new(
                Component::System,
                EntryKind::Event,
                "",
                "answer_too_long",
            ));
            self.answer_done(
                answer,
                Finish::Length,
                TokenUse {
                    estimated: true,
                    ..TokenUse::default()
                },
            );
        }
    }

    /// A thought is no word yet, but a sign of life (R194).
    pub(crate) fn thinking(&mut self, answer: AnswerId) {
        let now = self.now;
        let Some(utterance) = self.asked(answer) else {
            return self.stale();
        };
        utterance.has_thought = true;
        utterance.last_token_at = now;
        self.moved();
    }

    /// An utterance that the model is at work on.
    pub(crate) fn asked(&mut self, answer: AnswerId) -> Option<&mut Utterance> {
        self.utterance(answer)
            .filter(|utterance| utterance.asking == Asking::Running)
    }

    /// Gives the synthesizer what is ready for it (R88).
    fn say_pieces(&mut self, answer: AnswerId) {
        let (first, size) = (self.script.rules.first_chunk, self.script.buffer_size);
        while let Some(utterance) = self.utterance(answer) {
            let is_first = !utterance.has_said();
            let waited = utterance
                .first_token_at
                .is_some_and(|at| at.plus(first.wait_ms) <= utterance.last_token_at);
            let cut = pieces::cut(utterance.unsaid(), is_first, first, size);
            let overdue = || pieces::last_blank(utterance.unsaid()).filter(|_| is_first && waited);
            let Some(cut) = cut.or_else(overdue) else {
                return;
            };
            let end = utterance.said_until() + cut;
            if !self.say_piece(answer, end, false) && is_first {
                return;
            }
        }
    }

    /// The first piece has waited long enough (R88).
    pub(crate) fn first_piece_due(&mut self) {
        let waiting = self
            .live
            .iter()
            .find(|utterance| utterance.asking == Asking::Running && !utterance.has_said());
        let Some((answer, cut)) =
            waiting.and_then(|u| Some((u.id, pieces::last_blank(u.unsaid())?)))
        else {
            return;
        };
        self.say_piece(answer, cut, false);
    }

    /// Says the raw text up to `end` as one piece. Says whether any of it is for the ear.
    fn say_piece(&mut self, answer: AnswerId, end: usize, last: bool) -> bool {
        let now = self.now;
        let Some(utterance) = self.utterance(answer) else {
            return false;
        };
        let from = utterance.said_until();
        let raw = utterance
            .raw()
            .get(from..end)
            .unwrap_or_default()
            .to_owned();
        let mut cleaner = utterance.cleaner.clone();
        let text = cleaner.clean(&raw);
        if text.is_empty() && !last {
            // Nothing for the ear yet: it joins what follows, unless it is code or a tag that ends.
            if utterance.has_said() {
                utterance.cleaner = cleaner;
                utterance.swallow(end);
                return true;
            }
            return false;
        }
        utterance.cleaner = cleaner;
        utterance.is_said |= last;
        if text.is_empty() {
            utterance.swallow(end);
            let piece = utterance.next_piece();
            if utterance.has_said() {
                let kind = utterance.kind;
                self.emit(Output::Say {
                    answer,
                    piece,
                    text,
                    last,
                    kind,
                });
                return true;
            }
            return false;
        }
        utterance.said_at.get_or_insert(now);
        let piece = utterance.push_piece(end, text.clone());
        let kind = utterance.kind;
        self.timers.stop(Timer::FirstPiece);
        self.log_say(answer, &text, crate::speak::kind_name(kind));
        self.emit(Output::Say {
            answer,
            piece,
            text,
            last,
            kind,
        });
        true
    }

    /// What was written before a call is spoken at once (R99).
    pub(crate) fn say_before_calls(&mut self, answer: AnswerId) {
        self.moved();
        if let Some(utterance) = self.utterance(answer)
            && !utterance.unsaid().trim().is_empty()
        {
            let end = utterance.raw().len();
            self.say_piece(answer, end, false);
        }
    }

    pub(crate) fn tool_calls(&mut self, answer: AnswerId, calls: Vec<ToolCall>) {
        if self.asked(answer).is_none() {
            return self.stale();
        }
        self.say_before_calls(answer);
        match calls.first() {
            Some(call) if call.name == END_CALL && self.end_call_tool().is_some() => {
                self.end_call_made(answer, call);
            }
            // Words that go with a call of nothing we know are the answer.
            Some(_)
                if calls
                    .iter()
                    .all(|call| self.script.tool(&call.name).is_none())
                    && self
                        .utterance(answer)
                        .is_some_and(|utterance| utterance.has_said()) =>
            {
                self.log_event("calls_ignored", &[]);
            }
            Some(_) => self.begin_round(answer, calls),
            None => {}
        }
    }

    pub(crate) fn answer_done(&mut self, answer: AnswerId, finish: Finish, usage: TokenUse) {
        let now = self.now;
        let Some(utterance) = self.asked(answer) else {
            return self.stale();
        };
        let rest = utterance.thoughts.rest();
        utterance.write(&rest);
        self.rescue_call(answer);
        let Some(utterance) = self.utterance(answer) else {
            return;
        };
        utterance.asking = Asking::Over;
        utterance.done_at = Some(now);
        if finish == Finish::Length
            && let Some(end) = pieces::last_sentence_end(utterance.raw())
            && utterance.raw()[..end].chars().count() >= LENGTH_CUT
        {
            utterance.cut_raw(end);
        }
        let end = without_next_speaker(utterance.raw()).len();
        utterance.cut_raw(end);
        let (text, thought) = (
            utterance.raw().trim().to_owned(),
            utterance.thoughts.thought.trim().to_owned(),
        );
        self.moved();
        self.log_answer(answer, &text, &thought, usage);
        self.finish_text(answer, finish);
    }

    /// A call that the model wrote as text is made, where the tool was offered and its arguments are whole
    /// (R101).
    fn rescue_call(&mut self, answer: AnswerId) {
        if self.tools.is_open() || self.rounds_are_spent() {
            return;
        }
        let Some(utterance) = self.utterance(answer) else {
            return;
        };
        let Some(told) = narrated(utterance.raw()) else {
            return;
        };
        let (start, name) = (told.start, told.name.to_owned());
        let arguments = told.arguments.trim().to_owned();
        let tool = self.script.tool(&name);
        if tool.is_none_or(|tool| tool.arguments(&arguments).is_err()) {
            return;
        }
        if let Some(utterance) = self.utterance(answer) {
            utterance.cut_raw(start);
        }
        self.log_event("call_rescued", &[("tool", name.clone().into())]);
        let call = ToolCall {
            id: format!("told-{}", answer.0),
            name,
            arguments,
        };
        self.tool_calls(answer, vec![call]);
    }

    /// No text follows: the last piece goes out; without any the turn is not answered yet.
    pub(crate) fn finish_text(&mut self, answer: AnswerId, finish: Finish) {
        self.timers.stop(Timer::FirstPiece);
        let Some(utterance) = self.utterance(answer) else {
            return;
        };
        let end = utterance.raw().len();
        self.say_piece(answer, end, true);
        let has_said = self
            .utterance(answer)
            .is_some_and(|utterance| utterance.has_said());
        if self.is_ending_with(answer) {
            return self.end_call_answer_done(answer, has_said);
        }
        if self.tools.are_of(answer) {
            if !has_said {
                self.live.retain(|utterance| utterance.id != answer);
                self.history.fix(answer, "");
            }
            return; // `advance_tools` goes on
        }
        if has_said {
            return self.ask_judge(answer);
        }
        self.live.retain(|utterance| utterance.id != answer);
        if finish == Finish::ContentFilter {
            return self.refused();
        }
        self.empty_answer();
    }

    /// R91: asked once more, then the recovery line.
    fn empty_answer(&mut self) {
        self.log(Entry::new(
            Component::Llm,
            EntryKind::Error,
            &self.script.names.model,
            "empty_answer",
        ));
        let Some(pending) = &mut self.pending else {
            return;
        };
        pending.empties += 1;
        if pending.empties == 1 {
            return self.ask();
        }
        let fault = Fault {
            kind: FaultKind::Server,
            message: format!("{}: empty answer", self.script.names.model),
            retry_after_ms: None,
        };
        self.turn_failed(&fault, bolo_execution::EndReason::LlmError);
    }

    /// When the model has taken too long (R194).
    pub(crate) fn next_ask_limit(&self) -> Option<At> {
        let rules = &self.script.rules;
        let limits = self
            .live
            .iter()
            .filter(|utterance| utterance.asking == Asking::Running)
            .map(|utterance| {
                let has_begun = utterance.first_token_at.is_some() || utterance.has_thought;
                let next = match has_begun {
                    false => utterance.asked_at.plus(rules.llm_first_token_s * 1000),
                    true => utterance.last_token_at.plus(rules.llm_between_s * 1000),
                };
                let next = self.torn_until(utterance).map_or(next, |at| next.min(at));
                next.min(utterance.asked_at.plus(rules.llm_total_s * 1000))
            });
        limits.min()
    }

    /// All that the model gave was heard, and it breaks off within a sentence: how long that may last.
    fn torn_until(&self, utterance: &Utterance) -> Option<At> {
        if !utterance.is_torn() {
            return None;
        }
        let heard = self.playout.end_of(utterance.id)?;
        Some(heard.max(utterance.last_token_at).plus(TORN_MS))
    }

    pub(crate) fn ask_too_slow(&mut self) {
        let late = self.next_ask_limit().filter(|at| *at <= self.now);
        let slow = self
            .live
            .iter()
            .filter(|utterance| utterance.asking == Asking::Running)
            .map(|u| u.id)
            .next();
        if let Some(answer) = slow.filter(|_| late.is_some()) {
            self.emit(Output::CancelAsk { answer });
            let message = format!("{}: timeout", self.script.names.model);
            self.answer_failed(
                answer,
                &Fault {
                    kind: FaultKind::Timeout,
                    message,
                    retry_after_ms: None,
                },
            );
        }
    }
}
