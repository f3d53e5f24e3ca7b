//! The record of one call: ids, phone numbers, status and what changes it, hang-ups, usage, cost.
//!
//! **Invariant:** knows no database, no carrier and no clock; a `Status` is never assigned, only
//! derived with [`Status::after`].

mod hangup;
mod id;
mod log;
mod number;
mod record;
mod retry;
mod status;
mod totals;
mod transfer;
mod usage;
mod view;

pub use hangup::{EndReason, Hangup, HangupBy};
pub use id::{AccountId, AgentId, BatchId, ExecutionId, KnowledgebaseId};
pub use log::{Component, Entry, EntryKind};
pub use number::{E164, NotE164};
pub use record::Record;
pub use retry::{FIRST_WAIT, PastAttempt, comes_back};
pub use status::{Change, Illegal, Status, UnknownStatus};
pub use totals::{SpeechTotals, Totals};
pub use transfer::{Offer, Transfer};
pub use usage::{Cost, LlmUsage, SpeechTotal, Usage};
pub use view::view;

/// Who called whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// They called us.
    Inbound,
    /// We called them.
    Outbound,
}
