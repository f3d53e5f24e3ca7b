//! What is known of a running call, kept outside its task: when the task hangs or dies, its supervisor
//! still has transcript, usage and cause.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bolo_conversation::TokenUse;
use bolo_execution::{Direction, Hangup, LlmUsage, Usage};

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
    /// Why it is over, as the carrier says.
    pub(crate) carrier_says: Option<Hangup>,
}

impl Books {
    /// Adds tokens of a vendor's model.
    pub(crate) fn used(&mut self, vendor: &str, model: &str, tokens: TokenUse) {
        let models = &mut self.usage.llm_model;
        let is_anothers = |sum: &LlmUsage| !sum.vendor.is_empty() && sum.vendor != vendor;
        let key = match models.get(model).is_some_and(is_anothers) {
            true => format!("{vendor}:{model}"),
            false => model.to_owned(),
        };
        let sum = models.entry(key).or_default();
        sum.vendor = vendor.to_owned();
        sum.input += tokens.input;
        sum.output += tokens.output;
        sum.cached += tokens.cached;
        sum.estimated |= tokens.estimated;
    }

    /// The carrier's call is over.
    pub(crate) fn carrier_ended(&mut self, why: Option<Hangup>) {
        self.hung_up = true;
        self.carrier_says = why.or(self.carrier_says.take());
    }

    /// What the record shows of the end: where all we saw of it is that the far end went, what the carrier says.
    pub(crate) fn hangup(&self, direction: Direction) -> Option<Hangup> {
        let end = self.end.as_ref()?;
        let carriers = self.carrier_says.clone().filter(|_| *end == End::Remote);
        Some(carriers.unwrap_or_else(|| end.hangup(direction)))
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
