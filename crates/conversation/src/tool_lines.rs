//! What the agent says while tools run: the tool's line, then "one moment" (R97, R102, R112).

use crate::history::Said;
use crate::utterance::{Asking, Utterance};
use crate::{AnswerId, At, Clip, Conversation, Kind};

/// A wait of the caller's, and what it was filled with (R97, R102, R112).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wait {
    /// Since the last sound.
    pub(crate) from: At,
    pub(crate) lines: u32,
}

impl Conversation {
    /// An answer begins to call a tool: its line need not wait for the arguments (R102).
    pub(crate) fn tool_named(&mut self, answer: AnswerId, name: &str) {
        let now = self.now;
        let Some(utterance) = self.asked(answer) else {
            return self.stale();
        };
        utterance.first_token_at.get_or_insert(now);
        utterance.last_token_at = now;
        let turn = utterance.turn;
        self.say_before_calls(answer);
        let is_answering = self.pending.as_ref().map(|pending| pending.turn) == turn;
        if self.is_live() && is_answering && !self.tools.is_open() && !self.rounds_are_spent() {
            self.tools.caller = Some(answer);
            let line = self.script.tool(name).map(|tool| tool.line.clone());
            self.say_line_of_call(answer, line);
        }
    }

    /// The line of a call, where nothing was said for it yet.
    pub(crate) fn say_line_of_call(&mut self, answer: AnswerId, line: Option<String>) {
        let turn = self.pending.as_ref().map(|pending| pending.turn);
        let is_line =
            |utterance: &Utterance| utterance.kind == Kind::PreCall && utterance.turn == turn;
        let has_said = self
            .utterance(answer)
            .is_some_and(|utterance| utterance.has_said());
        if has_said || self.live.iter().any(is_line) {
            self.line_was_said();
        } else if let Some(line) = line.filter(|line| !line.is_empty()) {
            self.say_tool_line(Clip::PreCall, &line);
        }
    }

    fn say_tool_line(&mut self, clip: Clip, line: &str) {
        let turn = self.pending.as_ref().map(|pending| pending.turn);
        if let Some(id) = self.say_clip(Kind::PreCall, clip, line)
            && let Some(utterance) = self.utterance(id)
        {
            utterance.turn = turn;
        }
        self.line_was_said();
    }

    fn line_was_said(&mut self) {
        if let Some(wait) = &mut self.tools.wait {
            wait.lines = wait.lines.max(1);
        }
    }

    /// Notes a line that was said for calls in front of them, so that results stay behind their calls.
    pub(crate) fn remember_line(&mut self, said: Said) {
        match self.tools.caller.filter(|answer| self.history.has(*answer)) {
            Some(answer) => self.history.push_before(answer, said),
            None => self.remember(said),
        }
    }

    /// When the wait for results gets a line: soon where nothing was said, later "one moment", twice
    /// (R97, R102).
    pub(crate) fn next_tool_line(&self) -> Option<At> {
        let wait = self
            .tools
            .wait
            .filter(|_| self.pending.is_some() && self.is_live())?;
        let sounds =
            |utterance: &Utterance| utterance.asking == Asking::Never || utterance.has_audio();
        if self.is_transferring() || self.media.lost_at.is_some() || self.live.iter().any(sounds) {
            return None;
        }
        let rules = &self.script.rules;
        let after_ms = match wait.lines {
            0 if self.tools.round.is_some() => rules.tool_line_ms,
            0 | 1 => rules.filler_sure_ms,
            2 => rules.filler_repeat_ms.saturating_sub(rules.filler_sure_ms),
            _ => return None,
        };
        Some(wait.from.plus(after_ms).max(self.now))
    }

    pub(crate) fn tool_line(&mut self) {
        let is_first =
            self.tools.wait.is_some_and(|wait| wait.lines == 0) && self.tools.round.is_some();
        if let Some(wait) = &mut self.tools.wait {
            wait.lines = if is_first { 1 } else { wait.lines.max(1) + 1 };
        }
        if self.voice.is_on {
            return; // not into the caller's words
        }
        let lines = self.script.lines().one_moment;
        let index = self.draw(lines.len());
        let Some(line) = lines.get(index) else { return };
        if is_first {
            self.say_tool_line(Clip::OneMoment, line);
        } else {
            self.say_clip(Kind::Filler, Clip::OneMoment, line);
        }
    }

    /// A sound of the agent's ended: the wait counts from there.
    pub(crate) fn wait_goes_on(&mut self, end: At) {
        if let Some(wait) = &mut self.tools.wait {
            wait.from = wait.from.max(end);
        }
    }

    /// The answer is heard.
    pub(crate) fn wait_is_over(&mut self) {
        if !self.tools.is_open() {
            self.tools.wait = None;
        }
    }
}
