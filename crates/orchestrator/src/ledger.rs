//! What is known of a running call, kept outside its task: when the task hangs or dies, its supervisor
//! still has transcript, usage and cause.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bolo_conversation::TokenUse;
use bolo_execution::Usage;

use crate::{ending::End, latency::Latency};

/// The books of one call.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// R182, as of the last turn.
    pub(crate) transcript: String,
    /// The first cause that was recorded.
    pub(crate) end: Option<End>,
    /// Text for `error_message`.
    pub(crate) fault: Option<String>,
    /// A machine answered (R159).
    pub(crate) answered_by_machine: bool,
    /// The caller has heard something of the agent.
    pub(crate) agent_heard: bool,
    /// What was used of the vendors.
    pub(crate) usage: Usage,
    /// How long things took.
    pub(crate) latency: Latency,
    /// The carrier's call needs no hang-up any more.
    pub(crate) hung_up: bool,
}

impl Books {
    /// Adds tokens of a model.
    pub(crate) fn used(&mut self, model: &str, tokens: TokenUse) {
        let sum = self.usage.llm_model.entry(model.to_owned()).or_default();
        sum.input += tokens.input;
        sum.output += tokens.output;
        sum.cached += tokens.cached;
        sum.estimated |= tokens.estimated;
    }

    /// Another node has the call: whatever else came before.
    pub(crate) fn superseded(&mut self) {
        self.end = Some(End::Superseded);
    }

    /// The first cause wins (R5).
    pub(crate) fn ended(&mut self, end: End) {
        self.end.get_or_insert(end);
    }
}

/// Shared by a call's task and its supervisor; locked for moments, never over an await.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

impl Ledger {
    /// The books. A panic of the call's task left at worst one figure behind.
    pub(crate) fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
