//! A history as turns of two speakers, for vendors that know no `system` and no `tool` messages:
//! neighbouring messages of one speaker join, and the caller's side begins and ends it.
//! Sources: wire-providers.md §3.4 (anthropic, google); runtime.md R84.

use serde_json::{Map, Value};

use crate::AskMessage;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speaker {
    User,
    Model,
}

/// Something said, called or answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Call {
        id: &'a str,
        name: &'a str,
        arguments: Map<String, Value>,
    },
    Result {
        id: &'a str,
        /// Of the tool that was called.
        name: &'a str,
        text: &'a str,
    },
}

/// What one speaker says before the other does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Turn<'a> {
    pub(super) speaker: Speaker,
    pub(super) parts: Vec<Part<'a>>,
}

/// Stands for a caller who has not spoken: these vendors' histories begin and end with the user.
const SILENT: &str = "(The caller says nothing.)";

/// The head of the history, and its turns. Later system messages are notes: they join the caller's side,
/// so that the head stays the same through the call.
pub(super) fn turns(messages: &[AskMessage]) -> (String, Vec<Turn<'_>>) {
    let head = messages
        .iter()
        .take_while(|message| message.role == "system")
        .count();
    let (head, rest) = messages.split_at(head);
    let texts: Vec<&str> = head
        .iter()
        .filter_map(|message| message.content.as_deref())
        .collect();
    let mut turns: Vec<Turn<'_>> = Vec::new();
    for message in rest {
        let (speaker, parts) = parts(message, rest);
        match turns.last_mut() {
            _ if parts.is_empty() => {}
            Some(last) if last.speaker == speaker => last.parts.extend(parts),
            _ => turns.push(Turn { speaker, parts }),
        }
    }
    let silent = || Turn {
        speaker: Speaker::User,
        parts: vec![Part::Text(SILENT)],
    };
    if turns
        .first()
        .is_none_or(|first| first.speaker == Speaker::Model)
    {
        turns.insert(0, silent());
    }
    if turns
        .last()
        .is_some_and(|last| last.speaker == Speaker::Model)
    {
        turns.push(silent());
    }
    (texts.join("\n\n"), turns)
}

fn parts<'a>(message: &'a AskMessage, all: &'a [AskMessage]) -> (Speaker, Vec<Part<'a>>) {
    let text = message.content.as_deref().unwrap_or_default().trim_end();
    if let Some(id) = &message.tool_call_id {
        let made = all.iter().flat_map(|message| &message.tool_calls);
        let name = made
            .into_iter()
            .find(|(made, ..)| made == id)
            .map_or("", |(_, name, _)| name);
        return (Speaker::User, vec![Part::Result { id, name, text }]);
    }
    let mut parts = Vec::new();
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    let calls = message.tool_calls.iter();
    parts.extend(calls.map(|(id, name, arguments)| Part::Call {
        id,
        name,
        // What the model wrote may be broken JSON; its result in the history says so.
        arguments: serde_json::from_str(arguments).unwrap_or_default(),
    }));
    let speaker = if message.role == "assistant" {
        Speaker::Model
    } else {
        Speaker::User
    };
    (speaker, parts)
}

/// Names of the tools that the turns speak of, each once.
pub(super) fn called<'a>(turns: &[Turn<'a>]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for part in turns.iter().flat_map(|turn| &turn.parts) {
        if let Part::Call { name, .. } = part
            && !names.contains(name)
        {
            names.push(*name);
        }
    }
    names
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::testing::said;

    /// A welcome, a question, a call with text before it, its result, another question.
    pub(in super::super) fn history() -> Vec<AskMessage> {
        vec![
            said("system", "Be brief."),
            said("assistant", "Hello!"),
            said("user", "Weather?"),
            AskMessage {
                tool_calls: vec![(
                    "call_1".into(),
                    "weather".into(),
                    "{\"city\":\"Pune\"}".into(),
                )],
                ..said("assistant", "Let me see. ")
            },
            AskMessage {
                tool_call_id: Some("call_1".into()),
                ..said("tool", "sunny")
            },
            said("system", "The caller is in a hurry."),
        ]
    }

    #[test]
    fn a_history_in_turns() {
        let messages = history();
        let (head, turns) = turns(&messages);
        assert_eq!(head, "Be brief.");
        let speakers: Vec<_> = turns.iter().map(|turn| turn.speaker).collect();
        use Speaker::{Model, User};
        assert_eq!(speakers, [User, Model, User, Model, User]);
        assert_eq!(turns[0].parts, [Part::Text(SILENT)]);
        assert_eq!(turns[3].parts[0], Part::Text("Let me see."));
        let result = Part::Result {
            id: "call_1",
            name: "weather",
            text: "sunny",
        };
        assert_eq!(
            turns[4].parts,
            [result, Part::Text("The caller is in a hurry.")]
        );
        assert_eq!(called(&turns), ["weather"]);
    }

    #[test]
    fn an_agent_that_speaks_last_waits_for_a_silent_caller() {
        let messages = [said("user", "Hi"), said("assistant", "Hello?")];
        let (_, turns) = turns(&messages);
        assert_eq!(turns.last().unwrap().parts, [Part::Text(SILENT)]);
    }
}
