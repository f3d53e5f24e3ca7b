//! A call's event log, run through the machine again: to show that it decides the same
//! (`bolo replay`), and to rebuild a call whose node died (R202).

use bolo_conversation::{At, Conversation, Input, Output};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    journal::{self, Head},
    ledger::Books,
};

/// A log that replayed to the same decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Inputs in the log.
    pub inputs: usize,
    /// Decisions that were compared.
    pub decisions: usize,
    /// Time of the last input.
    pub last: At,
    /// Whether the call came to its end.
    pub over: bool,
    /// Its transcript (R182).
    pub transcript: String,
}

/// Why a log did not replay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// No line at all, or the first one is no script.
    #[error("this is no event log of a call: {0}")]
    NoLog(String),
    /// A line can't be read.
    #[error("line {line} is unreadable: {message}")]
    Unreadable {
        /// Counted from 1.
        line: usize,
        /// Why.
        message: String,
    },
    /// The first decision that is not the recorded one.
    #[error("line {line}, at {} ms, after {input}:\n  recorded {recorded}\n  now      {now}", at.0)]
    Decision {
        /// Counted from 1.
        line: usize,
        /// When.
        at: At,
        /// The input, as JSON.
        input: String,
        /// The first recorded decision that differs, as JSON; empty when there was none.
        recorded: String,
        /// What is decided now, likewise.
        now: String,
    },
}

#[derive(Deserialize)]
struct Line<'a> {
    at: At,
    #[serde(borrow)]
    input: &'a RawValue,
    #[serde(borrow)]
    outputs: Vec<&'a RawValue>,
}

/// Replays the lines of an event log, oldest first; stops at the first decision that differs.
pub fn replay(lines: &[String]) -> Result<Replayed, Difference> {
    let (mut machine, _) = begin(lines)?;
    let (mut last, mut decisions) = (At(0), 0);
    for (index, text) in lines.iter().enumerate().skip(1) {
        let (at, input, recorded) = read(index + 1, text)?;
        let shown = journal::text(&input);
        let outputs = machine.handle(at, input);
        let now = each(&outputs);
        if let Some((recorded, now)) = first_difference(&recorded, &now) {
            return Err(Difference::Decision {
                line: index + 1,
                at,
                input: shown,
                recorded,
                now,
            });
        }
        decisions += now.len();
        last = at;
    }
    Ok(Replayed {
        inputs: lines.len() - 1,
        decisions,
        last,
        over: machine.is_over(),
        transcript: machine.transcript(),
    })
}

fn begin(lines: &[String]) -> Result<(Conversation, Head), Difference> {
    let first = lines
        .first()
        .ok_or_else(|| Difference::NoLog("it is empty".into()))?;
    let head: Head =
        serde_json::from_str(first).map_err(|error| Difference::NoLog(error.to_string()))?;
    Ok((Conversation::new(head.script.clone()), head))
}

fn read(line: usize, text: &str) -> Result<(At, Input, Vec<String>), Difference> {
    let unreadable = |error: serde_json::Error| Difference::Unreadable {
        line,
        message: error.to_string(),
    };
    let read: Line<'_> = serde_json::from_str(text).map_err(unreadable)?;
    let input = serde_json::from_str(read.input.get()).map_err(unreadable)?;
    Ok((
        read.at,
        input,
        read.outputs
            .iter()
            .map(|output| output.get().to_owned())
            .collect(),
    ))
}

fn each(outputs: &[Output]) -> Vec<String> {
    let one = |output: &Output| {
        let mut text = String::new();
        journal::decisions(std::slice::from_ref(output), &mut text);
        text.get(1..text.len() - 1).unwrap_or_default().to_owned()
    };
    outputs.iter().map(one).collect()
}

fn first_difference(recorded: &[String], now: &[String]) -> Option<(String, String)> {
    let longest = recorded.len().max(now.len());
    (0..longest).find_map(|index| {
        let (recorded, now) = (recorded.get(index), now.get(index));
        (recorded != now).then(|| {
            (
                recorded.cloned().unwrap_or_default(),
                now.cloned().unwrap_or_default(),
            )
        })
    })
}

/// A machine brought back to where its log ends.
pub(crate) struct Rebuilt {
    pub(crate) machine: Conversation,
    /// What it is told next, for it to ask and speak again what was under way.
    pub(crate) first: Vec<Input>,
    /// Time of the last input.
    pub(crate) last: At,
    /// Epoch ms of `At(0)`.
    pub(crate) started_at: i64,
}

/// Rebuilds a call (R202). Decisions are not carried out; what they cost is entered into the books. A
/// machine that decides otherwise than the one that crashed (an upgrade) goes on with its own view.
pub(crate) fn rebuild(
    lines: &[String],
    (vendor, model): (&str, &str),
    books: &mut Books,
) -> Result<Rebuilt, Difference> {
    let (mut machine, head) = begin(lines)?;
    let mut last = At(0);
    for (index, text) in lines.iter().enumerate().skip(1) {
        let Ok((at, input, _)) = read(index + 1, text) else {
            tracing::warn!(line = index + 1, "a line of the event log was cut off");
            break;
        };
        last = at;
        if let Input::AnswerDone { usage, .. } = &input {
            books.used(vendor, model, *usage);
        }
        for output in machine.handle(at, input) {
            match output {
                Output::Say { text, .. } | Output::SayClip { text, .. } => {
                    books.usage.synthesizer_characters += text.chars().count() as u64;
                }
                Output::Fault { message } => books.fault = Some(message),
                Output::AnsweredByMachine => books.answered_by_machine = true,
                _ => {}
            }
        }
    }
    books.agent_heard = machine.any_agent_audio();
    books.usage.transcriber_duration += last.0 as f64 / 1000.0;
    books.transcript = machine.transcript();
    let first = match machine.has_lost_media() {
        // Lost a second time, with its node.
        true => vec![Input::MediaLost, Input::MediaResumed],
        false => vec![Input::MediaResumed],
    };
    Ok(Rebuilt {
        machine,
        first,
        last,
        started_at: head.started_at,
    })
}

#[cfg(test)]
mod tests;
