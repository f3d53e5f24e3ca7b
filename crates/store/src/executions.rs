//! Executions: made, read, listed, changed. The row is the truth of a call.

use bolo_execution::{AccountId, AgentId, Change, Cost, Direction, ExecutionId, Hangup, Record, Status, Usage};
use serde_json::{Map, Value};

use crate::{Error, Store};

/// A call to be.
#[derive(Debug, Clone)]
pub struct NewExecution {
    /// Whose.
    pub account: AccountId,
    /// Which agent, in which version.
    pub agent: AgentId,
    /// See `agent`.
    pub agent_version: i64,
    /// Who calls whom.
    pub direction: Direction,
    /// `twilio`, …
    pub provider: String,
    /// Called number.
    pub to: String,
    /// Calling number; may be filled at dial time.
    pub from: String,
    /// Outbound: `Queued` or `Scheduled`. Inbound: `Initiated`, or `Canceled` when turned away.
    pub status: Status,
    /// When to dial, epoch ms.
    pub due_at: i64,
    /// Dynamic variables.
    pub user_data: Map<String, Value>,
    /// `agent_data.voice_id`.
    pub voice_id: Option<String>,
    /// As submitted.
    pub retry_config: Option<Value>,
    /// As submitted.
    pub bypass_guardrails: bool,
    /// Inbound: the carrier's id; unique per provider, so a doubled webhook finds the same row.
    pub carrier_call_id: Option<String>,
    /// Where its status changes are told.
    pub webhook: Option<WebhookTarget>,
    /// Why it was turned away.
    pub error_message: Option<String>,
}

/// Where status changes are told.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookTarget {
    /// `webhook_url`.
    pub url: String,
    /// Which statuses; `None` = all.
    pub statuses: Option<Vec<Status>>,
}

/// Facts written together with a change, or alone with [`Store::note`]. `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// First value wins.
    pub hangup: Option<Hangup>,
    /// First value wins.
    pub error_message: Option<String>,
    /// Last value wins.
    pub transcript: Option<String>,
    /// Last value wins.
    pub usage: Option<Usage>,
    /// Last value wins.
    pub cost: Option<Cost>,
    /// Last value wins.
    pub latency: Option<Value>,
    /// Last value wins.
    pub has_recording: Option<bool>,
    /// First value wins: binds the carrier's call to the execution.
    pub carrier_call_id: Option<String>,
    /// Last value wins.
    pub from: Option<String>,
    /// Last value wins.
    pub due_at: Option<i64>,
    /// Last value wins.
    pub answered_by_voice_mail: Option<bool>,
    /// When it happened, if not now; goes to `ringing_at`, `answered_at`, `ended_at` by the change.
    pub happened_at: Option<i64>,
}

/// Which executions to list (api.md §8 Queries).
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub agent: Option<AgentId>,
    pub status: Option<Status>,
    pub direction: Option<Direction>,
    pub provider: Option<String>,
    pub voicemail: Option<bool>,
    pub batch: Option<String>,
    /// Epoch ms, inclusive.
    pub from: Option<i64>,
    /// Epoch ms, inclusive.
    pub to: Option<i64>,
}

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// Rows of this page.
    pub rows: Vec<Record>,
    /// Rows of all pages.
    pub total: i64,
}

impl Store {
    /// Makes a call's row, and its first webhook. For an inbound call whose carrier id is known already
    /// the existing record is returned (`false`).
    pub async fn create_execution(&self, new: NewExecution, now: i64) -> Result<(Record, bool), Error> {
        let _ = (new, now);
        unreachable!()
    }
    /// One record. Not of a deleted agent.
    pub async fn execution(&self, account: AccountId, id: ExecutionId) -> Result<Record, Error> {
        let _ = (account, id);
        unreachable!()
    }
    /// One record by id alone: for carrier callbacks, whose path carries our mac, and for the worker.
    pub async fn execution_unscoped(&self, id: ExecutionId) -> Result<Record, Error> {
        let _ = id;
        unreachable!()
    }
    /// One record by the carrier's id.
    pub async fn execution_by_call(&self, provider: &str, carrier_call_id: &str) -> Result<Record, Error> {
        let _ = (provider, carrier_call_id);
        unreachable!()
    }
    /// A page, newest first (created_at, id). `page` counts from 1.
    pub async fn executions(&self, account: AccountId, filter: &Filter, page: i64, size: i64) -> Result<Page, Error> {
        let _ = (account, filter, page, size);
        unreachable!()
    }
    /// The one place where a status changes: `Status::after`, compare-and-set, facts and the webhook of
    /// the new status in one transaction. `Illegal` when the change is not possible from where it stands.
    pub async fn change(&self, id: ExecutionId, change: Change, facts: Facts, now: i64) -> Result<Record, Error> {
        let _ = (id, change, facts, now);
        unreachable!()
    }
    /// Facts without a change of status.
    pub async fn note(&self, id: ExecutionId, facts: Facts, now: i64) -> Result<Record, Error> {
        let _ = (id, facts, now);
        unreachable!()
    }
    /// Remembers a carrier callback; `false` when this one (call id, event, sequence) came before.
    pub async fn first_callback(&self, provider: &str, call_id: &str, event: &str, sequence: u64, now: i64) -> Result<bool, Error> {
        let _ = (provider, call_id, event, sequence, now);
        unreachable!()
    }
}
