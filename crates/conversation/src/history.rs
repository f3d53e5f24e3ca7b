//! What was said in a call: the model's messages and the transcript, of the same entries
//! (R33, R56, R57, R84, R85, R182).

use std::borrow::Cow;

use crate::{AnswerId, Kind, Message, Role, ToolCall, TurnId};

/// Entries kept (R204); older ones live on in the transcript only.
const LIMIT: usize = 200;

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    /// By the caller.
    User { turn: TurnId, text: String },
    /// By the agent. `text` is final once the utterance is over; until then it is asked for.
    Agent {
        answer: AnswerId,
        kind: Kind,
        text: Option<String>,
        calls: Vec<ToolCall>,
    },
    /// By a tool.
    Tool { call_id: String, text: String },
}

/// The entries of a call, oldest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct History {
    said: Vec<Said>,
    /// Transcript of entries that were let go.
    before: Vec<(bool, String)>,
}

impl History {
    /// Adds an entry. Says whether an old one was let go for it.
    pub(crate) fn push(&mut self, said: Said) -> bool {
        self.said.push(said);
        self.keep_within_bounds()
    }

    /// Adds an entry in front of an answer's.
    pub(crate) fn push_before(&mut self, answer: AnswerId, said: Said) {
        let at = self.place_of(answer).unwrap_or(self.said.len());
        self.said.insert(at, said);
        self.keep_within_bounds();
    }

    fn keep_within_bounds(&mut self) -> bool {
        if self.said.len() <= LIMIT {
            return false;
        }
        let gone = self.said.remove(0);
        self.before.extend(line(&gone, |_| String::new()));
        // A result without its call would be an orphan.
        while matches!(self.said.first(), Some(Said::Tool { .. })) {
            self.said.remove(0);
        }
        true
    }

    /// Takes a turn of the caller out again (R32, R38).
    pub(crate) fn take_turn(&mut self, turn: TurnId) -> Option<String> {
        let index = self
            .said
            .iter()
            .rposition(|said| matches!(said, Said::User { turn: of, .. } if *of == turn))?;
        match self.said.remove(index) {
            Said::User { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Corrects a turn of the caller (R31).
    pub(crate) fn correct_turn(&mut self, turn: TurnId, new: &str) {
        for said in &mut self.said {
            if let Said::User { turn: of, text } = said
                && *of == turn
            {
                new.clone_into(text);
            }
        }
    }

    fn place_of(&self, answer: AnswerId) -> Option<usize> {
        self.said
            .iter()
            .position(|said| matches!(said, Said::Agent { answer: of, .. } if *of == answer))
    }

    fn calls_of(&mut self, answer: AnswerId) -> Option<&mut Vec<ToolCall>> {
        let at = self.place_of(answer)?;
        match &mut self.said[at] {
            Said::Agent { calls, .. } => Some(calls),
            _ => None,
        }
    }

    /// The answer called these tools.
    pub(crate) fn called(&mut self, answer: AnswerId, made: &[ToolCall]) {
        if let Some(calls) = self.calls_of(answer) {
            *calls = made.to_vec();
        }
    }

    /// A call that did not happen (R56, R60).
    pub(crate) fn uncall(&mut self, answer: AnswerId, call: &str) {
        if let Some(calls) = self.calls_of(answer) {
            calls.retain(|made| made.id != call);
        }
        self.said.retain(|said| {
            !matches!(said, Said::Agent { answer: of, text: Some(text), calls, .. }
                if *of == answer && text.is_empty() && calls.is_empty())
        });
    }

    /// The result of a call: behind it and the results before it, whatever was said since.
    pub(crate) fn result(&mut self, answer: AnswerId, call: &str, text: &str) {
        let Some(at) = self.place_of(answer) else {
            return; // let go with its call
        };
        let results = self.said[at + 1..].iter();
        let results = results
            .take_while(|said| matches!(said, Said::Tool { .. }))
            .count();
        let result = Said::Tool {
            call_id: call.to_owned(),
            text: text.to_owned(),
        };
        self.said.insert(at + 1 + results, result);
        self.keep_within_bounds();
    }

    /// A result that turned out otherwise (R114).
    pub(crate) fn replace_result(&mut self, answer: AnswerId, call: &str, new: &str) {
        let Some(at) = self.place_of(answer) else {
            return;
        };
        for said in &mut self.said[at + 1..] {
            match said {
                Said::Tool { call_id, text } if call_id == call => {
                    new.clone_into(text);
                    return;
                }
                Said::Tool { .. } => {}
                _ => return,
            }
        }
    }

    /// The utterance is over: this much of it was heard. Nothing heard takes its message out; calls
    /// that ran stay (R56).
    pub(crate) fn fix(&mut self, answer: AnswerId, heard: &str) {
        self.said.retain_mut(|said| match said {
            Said::Agent {
                answer: of,
                text,
                calls,
                ..
            } if *of == answer => {
                *text = Some(heard.to_owned());
                !heard.is_empty() || !calls.is_empty()
            }
            _ => true,
        });
    }

    /// Whether the utterance has an entry.
    pub(crate) fn has(&self, answer: AnswerId) -> bool {
        self.said
            .iter()
            .any(|said| matches!(said, Said::Agent { answer: of, .. } if *of == answer))
    }

    /// Whether the agent said something after this turn.
    pub(crate) fn agent_spoke_after(&self, turn: TurnId) -> bool {
        let at = self
            .said
            .iter()
            .rposition(|said| matches!(said, Said::User { turn: of, .. } if *of == turn));
        at.is_some_and(|at| {
            self.said[at..].iter().any(|said| {
                matches!(said, Said::Agent { calls, text, .. }
                    if calls.is_empty() || text.as_ref().is_some_and(|text| !text.is_empty()))
            })
        })
    }

    /// Whether the agent's last two answers are the same (R93).
    pub(crate) fn repeats_itself(&self) -> bool {
        let mut answers = self.said.iter().rev().filter_map(|said| match said {
            Said::Agent {
                kind: Kind::Answer,
                text: Some(text),
                ..
            } => Some(crate::words::normal(text)),
            _ => None,
        });
        matches!((answers.next(), answers.next()), (Some(last), Some(before)) if last == before && !last.is_empty())
    }

    /// Messages for the model: the system's, then the last `limit` of the history; `ahead` is what the
    /// caller says now, not in the history yet (R41); `live` gives the text of utterances that are not
    /// over yet.
    pub(crate) fn messages(
        &self,
        system: &str,
        limit: usize,
        ahead: Option<&str>,
        live: impl Fn(AnswerId) -> String,
    ) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        for said in &self.said {
            match said {
                Said::User { text, .. } => push_user(&mut messages, text),
                Said::Agent {
                    kind: Kind::OnlineCheck | Kind::Goodbye | Kind::Filler,
                    calls,
                    ..
                } if calls.is_empty() => {}
                Said::Agent {
                    answer,
                    text,
                    calls,
                    ..
                } => {
                    let text = text.clone().unwrap_or_else(|| live(*answer));
                    if let Some(Message {
                        role: Role::Assistant,
                        tool_calls,
                        ..
                    }) = messages.last_mut()
                        && text.is_empty()
                        && tool_calls.is_empty()
                    {
                        // The line that was said for the calls is their message's text.
                        *tool_calls = calls.clone();
                    } else if !text.is_empty() || !calls.is_empty() {
                        let mut said = message(Role::Assistant, (!text.is_empty()).then_some(text));
                        said.tool_calls = calls.clone();
                        messages.push(said);
                    }
                }
                Said::Tool { call_id, text } => {
                    let mut result = message(Role::Tool, Some(text.clone()));
                    result.tool_call_id = Some(call_id.clone());
                    messages.push(result);
                }
            }
        }
        if let Some(text) = ahead {
            push_user(&mut messages, text);
        }
        repair(&mut messages);
        let mut from = messages.len().saturating_sub(limit);
        while messages
            .get(from)
            .is_some_and(|message| message.role == Role::Tool)
        {
            from += 1;
        }
        messages.drain(..from);
        messages.insert(0, message(Role::System, Some(system.to_owned())));
        messages
    }

    /// The transcript (R182): a line for each entry that was heard.
    pub(crate) fn transcript(&self, live: impl Fn(AnswerId) -> String) -> String {
        let before = (self.before.iter()).map(|(user, text)| (*user, Cow::from(text)));
        let said = self.said.iter().filter_map(|said| line(said, &live));
        let said = said.map(|(user, text)| (user, Cow::from(text)));
        let mut lines = before.chain(said).peekable();
        let mut out = String::new();
        while let Some((user, text)) = lines.next() {
            let next = lines.peek().filter(|(next_user, _)| user && *next_user);
            if next.is_some_and(|(_, next)| next.starts_with(&*text)) {
                continue;
            }
            if !out.is_empty() {
                out.push('\n');
            }
            out.push_str(if user { "user: " } else { "assistant: " });
            out.push_str(&text);
        }
        out
    }
}

/// What the caller said in a row is one message.
fn push_user(messages: &mut Vec<Message>, text: &str) {
    match messages.last_mut() {
        Some(Message {
            role: Role::User,
            content: Some(before),
            ..
        }) => {
            before.push('\n');
            before.push_str(text);
        }
        _ => messages.push(message(Role::User, Some(text.to_owned()))),
    }
}

/// An entry as a line: whether the caller said it, and what.
fn line(said: &Said, live: impl Fn(AnswerId) -> String) -> Option<(bool, String)> {
    let (user, text) = match said {
        Said::User { text, .. } => (true, Cow::from(text)),
        Said::Agent { answer, text, .. } => {
            let heard = || Cow::from(live(*answer));
            (false, text.as_ref().map_or_else(heard, Cow::from))
        }
        Said::Tool { .. } => return None,
    };
    let mut plain = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !plain.is_empty() {
            plain.push(' ');
        }
        plain.push_str(word);
    }
    (!plain.is_empty()).then_some((user, plain))
}

pub(crate) fn message(role: Role, content: Option<String>) -> Message {
    Message {
        role,
        content,
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}

/// The newer half of a history, without tools' calls and results: what is left when a vendor refuses the
/// whole of it, as too long or for a form that we don't know (R194).
pub(crate) fn bare(messages: Vec<Message>) -> Vec<Message> {
    let mut messages = messages.into_iter();
    let head = messages.next();
    let mut rest: Vec<Message> = messages
        .filter(|message| message.role != Role::Tool && message.content.is_some())
        .collect();
    rest.drain(..rest.len() / 2);
    for message in &mut rest {
        message.tool_calls.clear();
    }
    head.into_iter().chain(rest).collect()
}

/// Every call has its result right behind it, every result its call (R84).
fn repair(messages: &mut Vec<Message>) {
    let mut open: Vec<String> = Vec::new();
    let mut index = 0;
    while index < messages.len() {
        if messages[index].role == Role::Tool {
            let id = messages[index].tool_call_id.clone().unwrap_or_default();
            match open.iter().position(|call| *call == id) {
                Some(at) => drop(open.remove(at)),
                None => {
                    messages.remove(index);
                    continue;
                }
            }
        } else {
            let results = messages[index + 1..]
                .iter()
                .take_while(|message| message.role == Role::Tool);
            let answered: Vec<String> = results
                .filter_map(|result| result.tool_call_id.clone())
                .collect();
            messages[index]
                .tool_calls
                .retain(|call| answered.contains(&call.id));
            if messages[index].content.is_none() && messages[index].tool_calls.is_empty() {
                messages.remove(index);
                continue;
            }
            open = messages[index]
                .tool_calls
                .iter()
                .map(|call| call.id.clone())
                .collect();
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests;
