//! The call machine, without I/O: facts in ([`Input`]), decisions out ([`Output`]), told the time
//! ([`At`]), never reading it. Turn-taking, barge-in, what was heard, silence and hang-up live here
//! and nowhere else. Rules are those of runtime.md; tests cite their numbers.
//!
//! **Invariant:** no tokio, no clock, no socket, no randomness, no `HashMap` iteration; audio bytes
//! never enter. The same script and inputs give the same outputs, byte for byte.

mod input;
mod output;
mod script;

pub use input::{AnswerId, At, Fault, FaultKind, Finish, Input, ToolCall, TokenUse, TurnEndWhy, TurnId, Word};
pub use output::{Clip, JudgeKind, Kind, Message, Metric, Output, Role, Tool, ToolChoice};
pub use script::{CallFacts, Rules, Script};

/// One call. Built from a [`Script`], driven by [`Conversation::handle`].
#[derive(Debug)]
pub struct Conversation {
    script: Script,
}

impl Conversation {
    /// A call that has not begun; the first input is [`Input::MediaStart`].
    pub fn new(script: Script) -> Self {
        Self { script }
    }

    /// Fires every deadline due at `at`, then applies `input`. Never fails, never waits. `at` never
    /// goes back: an earlier one counts as the last one seen.
    pub fn handle(&mut self, at: At, input: Input) -> Vec<Output> {
        let _ = (at, input, &self.script);
        Vec::new()
    }

    /// When `handle` must be called at the latest, news or not.
    pub fn deadline(&self) -> Option<At> {
        None
    }

    /// Whether the call is over: nothing will be decided any more.
    pub fn is_over(&self) -> bool {
        false
    }

    /// The transcript so far, R182: a line a turn, `assistant: ` or `user: ` before it, heard text only.
    pub fn transcript(&self) -> String {
        String::new()
    }
}
