//! Calls of tools: taken from an answer, sent out one by one, their results given to the model
//! (R56, R59, R60, R98-R112).

use std::collections::VecDeque;

use serde_json::{Map, Value};

use crate::ending::END_CALL;
use crate::history::Said;
use crate::timers::Timer;
use crate::tool_lines::Wait;
use crate::transfer::Handover;
use crate::utterance::{Asking, Utterance};
use crate::{
    AnswerId, At, Conversation, Kind, Output, Tool, ToolCall, ToolChoice, ToolOutcome, TurnId,
};

/// Calls of one answer that are taken.
const CALLS: usize = 8;
/// The driver bounds a request; a result that is later than this was lost.
const LOST_MS: u64 = 2000;
/// A caller who is still speaking when the results are in is waited for (R59).
const TURN_MS: u64 = 1500;

/// What the model's calls have come to.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Tools {
    /// Calls of one answer, until all have their results.
    pub(crate) round: Option<Round>,
    /// The answer that made calls last.
    pub(crate) caller: Option<AnswerId>,
    /// Numbers what was sent out.
    last_run: u32,
    /// The turn that rounds and results are counted for (R110).
    turn: Option<TurnId>,
    rounds: u32,
    done: Vec<Done>,
    /// The results are in, the caller's words are not (R59).
    held: bool,
    /// No answer follows on the results: the turn ends with what was said for the calls (R111).
    is_silent: bool,
    /// The caller waits for what calls come to.
    pub(crate) wait: Option<Wait>,
    /// What results told, for later calls (R109).
    context: Map<String, Value>,
    pub(crate) handover: Option<Handover>,
    /// The socket that was given up for a transfer is on its way back.
    pub(crate) returning: bool,
}

/// Calls of one answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Round {
    answer: AnswerId,
    waiting: VecDeque<ToolCall>,
    running: Option<Running>,
    /// A result is one to ask the model about (R111).
    speaks: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Running {
    run: u32,
    call: String,
    tool: String,
    arguments: Map<String, Value>,
    speaks: bool,
    until: At,
}

/// A call that has its result.
#[derive(Debug, Clone, PartialEq)]
struct Done {
    tool: String,
    arguments: Map<String, Value>,
    text: String,
}

impl Tools {
    /// Calls are not over yet: the turn goes on, and the caller's words wait (R59).
    pub(crate) fn is_open(&self) -> bool {
        self.round.is_some() || self.held || self.handover.is_some()
    }

    /// The calls are those of this answer.
    pub(crate) fn are_of(&self, answer: AnswerId) -> bool {
        self.round
            .as_ref()
            .is_some_and(|round| round.answer == answer)
    }
}

impl Conversation {
    /// What the model may call now, and whether it may (R98, R110).
    pub(crate) fn offered_tools(&self) -> (Vec<Tool>, ToolChoice) {
        let mut tools: Vec<Tool> = self
            .script
            .tools
            .iter()
            .map(|tool| tool.offered())
            .collect();
        tools.extend(self.end_call_tool());
        let choice = match tools.is_empty() || self.rounds_are_spent() {
            true => ToolChoice::None,
            false => ToolChoice::Auto,
        };
        (tools, choice)
    }

    pub(crate) fn rounds_are_spent(&self) -> bool {
        let turn = self.pending.as_ref().map(|pending| pending.turn);
        self.tools.turn == turn && self.tools.rounds >= self.script.rules.max_tool_rounds
    }

    /// An answer calls tools; their arguments are complete (R99, R100, R102).
    pub(crate) fn begin_round(&mut self, answer: AnswerId, calls: Vec<ToolCall>) {
        let turn = self.utterance(answer).and_then(|utterance| utterance.turn);
        let Some(turn) = turn.filter(|_| self.is_live() && !self.tools.is_open()) else {
            return self.log_event("calls_ignored", &[]);
        };
        if self.tools.turn != Some(turn) {
            (self.tools.turn, self.tools.rounds) = (Some(turn), 0);
            self.tools.done.clear();
        }
        if self.rounds_are_spent() {
            return self.log_event("calls_ignored", &[("rounds", self.tools.rounds.into())]);
        }
        self.tools.rounds += 1;
        self.tools.is_silent = false;
        let calls: Vec<ToolCall> = calls.into_iter().take(CALLS).collect();
        if !self.history.has(answer) {
            self.remember(Said::Agent {
                answer,
                kind: Kind::Answer,
                text: None,
                calls: Vec::new(),
            });
        }
        self.history.called(answer, &calls);
        let line = calls.iter().find_map(|call| {
            let tool = self.script.tool(&call.name)?;
            (!tool.line.is_empty()).then(|| tool.line.clone())
        });
        self.tools.caller = Some(answer);
        self.tools.round = Some(Round {
            answer,
            waiting: calls.into(),
            running: None,
            speaks: false,
        });
        self.tools.wait = Some(Wait {
            from: self.now,
            lines: 0,
        });
        self.say_line_of_call(answer, line);
    }

    /// Takes the next step of calls or of a transfer. Says whether there was one.
    pub(crate) fn advance_tools(&mut self) -> bool {
        if !self.is_live() {
            return self.drop_calls();
        }
        let route_due = self.route_due();
        let Some(round) = &mut self.tools.round else {
            return self.advance_transfer();
        };
        let answer = round.answer;
        // A route may answer instead (R122).
        let is_held = !round.waiting.is_empty() && route_due.is_some_and(|due| due > self.now);
        if round.running.is_some() || is_held {
            return false;
        }
        match round.waiting.pop_front() {
            Some(call) => {
                self.route_missed();
                self.take_call(answer, call);
            }
            None if self.is_being_written(answer) => return false,
            None => self.round_over(),
        }
        true
    }

    fn is_being_written(&self, answer: AnswerId) -> bool {
        let mut live = self.live.iter();
        live.any(|utterance| utterance.id == answer && utterance.asking == Asking::Running)
    }

    fn take_call(&mut self, answer: AnswerId, call: ToolCall) {
        let Some(tool) = self.script.tool(&call.name).cloned() else {
            let why = match call.name.as_str() {
                END_CALL if self.end_call_tool().is_some() => {
                    "the call was not ended: end it in an answer that calls nothing else".to_owned()
                }
                name => format!("there is no tool {name}"),
            };
            return self.call_answered(answer, &call.id, &error(&why), true);
        };
        let arguments = match tool.arguments(&call.arguments) {
            Ok(arguments) => arguments,
            Err(why) => return self.call_answered(answer, &call.id, &error(&why), true),
        };
        if self.tools.handover.is_some() {
            let text = error("a transfer is already in progress");
            return self.call_answered(answer, &call.id, &text, true);
        }
        if tool.is_transfer {
            return self.begin_transfer(answer, call.id, tool.name, arguments);
        }
        let mut done = self.tools.done.iter();
        if let Some(done) = done.find(|done| done.tool == tool.name && done.arguments == arguments)
        {
            let text = done.text.clone();
            return self.call_answered(answer, &call.id, &text, tool.speak_result);
        }
        self.tools.last_run += 1;
        let run = self.tools.last_run;
        if let Some(pending) = &mut self.pending {
            pending.acted = true;
        }
        if let Some(round) = &mut self.tools.round {
            round.running = Some(Running {
                run,
                call: call.id,
                tool: tool.name.clone(),
                arguments: arguments.clone(),
                speaks: tool.speak_result,
                until: self.now.plus(tool.limit_ms + LOST_MS),
            });
        }
        self.moved();
        let context = self.tools.context.clone();
        self.emit(Output::RunTool {
            run,
            tool: tool.name,
            arguments,
            context,
        });
    }

    /// The result of a call, as the model will read it.
    pub(crate) fn call_answered(&mut self, answer: AnswerId, call: &str, text: &str, speaks: bool) {
        self.history.result(answer, call, text);
        if let Some(round) = &mut self.tools.round {
            round.speaks |= speaks;
        }
        self.moved();
    }

    /// News of what was sent out (R106, R109).
    pub(crate) fn tool_returned(&mut self, run: u32, outcome: ToolOutcome) {
        let round = self.tools.round.as_mut();
        let running = round.and_then(|round| {
            let running = round.running.take_if(|running| running.run == run)?;
            Some((round.answer, running))
        });
        let Some((answer, running)) = running else {
            return self.stale();
        };
        let text = match outcome {
            ToolOutcome::Answered { body } => {
                self.learn(&running.tool, &body);
                body
            }
            ToolOutcome::Failed { why } => error(&why),
        };
        self.call_answered(answer, &running.call, &text, running.speaks);
        self.tools.done.push(Done {
            tool: running.tool,
            arguments: running.arguments,
            text,
        });
    }

    /// What an object tells is known to later calls as `tool.<name>.<key>` (R109).
    fn learn(&mut self, tool: &str, body: &str) {
        if let Ok(object @ Value::Object(_)) = serde_json::from_str(body) {
            let known = self
                .tools
                .context
                .entry("tool")
                .or_insert_with(|| Map::new().into());
            known[tool] = object;
        }
    }

    /// What an event tells is known to later requests to the model and to later calls (R144, R147).
    pub(crate) fn happened(&mut self, name: &str, properties: Map<String, Value>) {
        self.tools.context.extend(properties.clone());
        self.script.learn(name, properties);
    }

    /// When a result counts as lost.
    pub(crate) fn next_lost_result(&self) -> Option<At> {
        let running = self.tools.round.as_ref()?.running.as_ref()?;
        Some(running.until)
    }

    pub(crate) fn result_lost(&mut self, why: &str) {
        let running = self
            .tools
            .round
            .as_ref()
            .and_then(|round| round.running.as_ref());
        if let Some(run) = running.map(|running| running.run) {
            let why = why.to_owned();
            self.tool_returned(run, ToolOutcome::Failed { why });
        }
    }

    /// All calls have their results: the model is asked again, with what the caller said meanwhile (R59).
    fn round_over(&mut self) {
        let speaks = self.tools.round.take().is_some_and(|round| round.speaks);
        if self.tools.handover.is_some() {
            return;
        }
        if let Some(text) = self.kept_typed.take() {
            self.pending = None;
            self.tools.wait = None;
            return self.typed(&text);
        }
        if self.words.is_backchannel(&self.turn.fresh()) {
            self.turn = Default::default();
        }
        if self.turn.has_fresh() && self.turn.ended {
            self.take_up_words();
        } else if self.turn.has_fresh() {
            self.tools.held = true;
            self.timers.set(Timer::ToolTurn, self.now.plus(TURN_MS));
        } else if speaks {
            self.ask();
        } else {
            self.tools.wait = None;
            self.tools.is_silent = true;
            let turn = self.pending.as_ref().map(|pending| pending.turn);
            if !self.live.iter().any(|utterance| utterance.turn == turn) {
                self.pending = None;
            }
        }
    }

    /// Whether the turn is answered with the end of this utterance. What was said for calls is no answer,
    /// unless none follows.
    pub(crate) fn answers_turn(&self, utterance: &Utterance) -> bool {
        let turn = self.pending.as_ref().map(|pending| pending.turn);
        let is_for_calls =
            utterance.kind == Kind::PreCall || self.tools.caller == Some(utterance.id);
        let goes_on = || self.live.iter().any(|other| other.turn == turn);
        utterance.turn.is_some()
            && utterance.turn == turn
            && (!is_for_calls || self.tools.is_silent && !goes_on())
    }

    /// What the caller said while tools ran is his next turn, answered with their results.
    pub(crate) fn take_up_words(&mut self) {
        self.drop_held();
        self.tools.wait = None;
        if !self.turn.has_fresh() {
            return self.ask();
        }
        self.pending = None;
        let spoken_at = self.turn.last_text_at.unwrap_or(self.now);
        self.commit_unrouted(spoken_at);
    }

    /// Whether the end of the caller's turn is what the results wait for.
    pub(crate) fn is_turn_awaited(&self) -> bool {
        self.tools.held
    }

    fn drop_held(&mut self) {
        self.tools.held = false;
        self.timers.stop(Timer::ToolTurn);
    }

    /// The caller cut the agent: what was not sent is dropped (R60); what runs goes on, and so does the
    /// turn that it runs for (R59). Says whether something runs.
    pub(crate) fn cut_tools(&mut self) -> bool {
        self.drop_held();
        self.drop_calls();
        match &mut self.tools.wait {
            Some(wait) if self.tools.round.is_some() => wait.from = self.now,
            wait => *wait = None,
        }
        self.tools.round.is_some()
    }

    /// Calls that were not sent did not happen (R56, R60). Says whether there were any.
    pub(crate) fn drop_calls(&mut self) -> bool {
        let Some(round) = &mut self.tools.round else {
            return false;
        };
        let answer = round.answer;
        let dropped: Vec<ToolCall> = round.waiting.drain(..).collect();
        let is_over = round.running.is_none();
        if is_over {
            self.tools.round = None;
        }
        for call in &dropped {
            self.history.uncall(answer, &call.id);
        }
        is_over || !dropped.is_empty()
    }
}

/// A failure as the model reads it.
pub(crate) fn error(why: &str) -> String {
    format!("Error: {why}")
}
