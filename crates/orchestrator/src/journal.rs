//! A call's two logs: the event log, from which it replays, and the raw log, which people read.

use std::fmt::Write as _;

use bolo_conversation::{At, Output, Script};
use bolo_execution::Entry;
use serde::Serialize;

/// Where a call's lines go. Never waits.
pub(crate) trait Journal: Send + Sync + 'static {
    /// A line of the event log. `Err`: the call must end.
    fn event(&self, line: String) -> Result<(), Unwritten>;
    /// A line of the raw log.
    fn entry(&self, entry: Entry) -> Result<(), Unwritten>;
    /// What was written is not to be lost with the process.
    fn hurry(&self);
}

/// Why a line is not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unwritten {
    /// Another node writes this log.
    #[error("another node has taken the call over")]
    TakenOver,
    /// The log can't take it.
    #[error("{0}")]
    Failed(String),
}

impl From<bolo_store::Error> for Unwritten {
    fn from(error: bolo_store::Error) -> Self {
        match error {
            bolo_store::Error::TakenOver => Self::TakenOver,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl Journal for bolo_store::CallLog {
    fn event(&self, line: String) -> Result<(), Unwritten> {
        Ok(bolo_store::CallLog::event(self, line)?)
    }

    fn entry(&self, entry: Entry) -> Result<(), Unwritten> {
        Ok(bolo_store::CallLog::entry(self, entry, crate::now())?)
    }

    fn hurry(&self) {
        bolo_store::CallLog::hurry(self);
    }
}

/// The first line: what the call follows.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(crate) struct Head {
    /// Shape of the lines; 1.
    pub(crate) version: u32,
    /// Epoch ms of `At(0)`.
    pub(crate) started_at: i64,
    /// Agent, facts, rules.
    pub(crate) script: Script,
}

/// A line `{"at":…,"input":…,"outputs":[…]}`: what happened and what was decided.
pub(crate) fn line(at: At, input: &str, outputs: &[Output]) -> String {
    let mut line = String::with_capacity(64 + input.len() + outputs.len() * 64);
    let _ = write!(line, "{{\"at\":{},\"input\":{input},\"outputs\":", at.0);
    decisions(outputs, &mut line);
    line.push('}');
    line
}

/// Decisions as JSON. The messages of an `Ask` repeat the whole conversation each time: of them only
/// count and digest are kept, which is enough to compare, and replaying makes them again.
pub(crate) fn decisions(outputs: &[Output], line: &mut String) {
    line.push('[');
    for (index, output) in outputs.iter().enumerate() {
        if index > 0 {
            line.push(',');
        }
        match output {
            Output::Ask {
                answer,
                messages,
                tools,
                tool_choice,
                temperature,
            } => {
                let digest = digest(&text(messages));
                let tools = digest_or_none(tools);
                let _ = write!(
                    line,
                    "{{\"ask\":{{\"answer\":{},\"messages\":\"{} {digest:016x}\",\"tools\":{tools},\"tool_choice\":{},\"temperature\":{}}}}}",
                    answer.0,
                    messages.len(),
                    text(tool_choice),
                    text(temperature),
                );
            }
            Output::AskJudge { id, kind, messages } => {
                let digest = digest(&text(messages));
                let _ = write!(
                    line,
                    "{{\"ask_judge\":{{\"id\":{id},\"kind\":{},\"messages\":\"{} {digest:016x}\"}}}}",
                    text(kind),
                    messages.len(),
                );
            }
            other => line.push_str(&text(other)),
        }
    }
    line.push(']');
}

fn digest_or_none(tools: &[bolo_conversation::Tool]) -> String {
    if tools.is_empty() {
        "null".into()
    } else {
        format!("\"{} {:016x}\"", tools.len(), digest(&text(&tools)))
    }
}

/// JSON text. These types hold no map with keys other than text, so it can't fail.
pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"unwritable\":\"{error}\"}}"))
}

/// FNV-1a: the same on every machine and in every build.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    })
}
