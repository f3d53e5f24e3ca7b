//! The whole record of one call.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    AccountId, AgentId, BatchId, Cost, Direction, ExecutionId, Hangup, PastAttempt, Status,
    Transfer, Usage,
};

/// One call, as it stands in the store. Times are epoch milliseconds (UTC).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The call.
    pub id: ExecutionId,
    /// Whose it is.
    pub account: AccountId,
    /// Its agent.
    pub agent: AgentId,
    /// The version of the agent that the call runs.
    pub agent_version: i64,
    /// The batch it came from.
    pub batch: Option<BatchId>,
    /// Where it stands.
    pub status: Status,
    /// Who called whom.
    pub direction: Direction,
    /// `twilio`, `websocket`, …
    pub provider: String,
    /// The called number.
    pub to: String,
    /// The calling number.
    pub from: String,
    /// `user_data`: the dynamic variables given with the call.
    pub user_data: Map<String, Value>,
    /// `agent_data.voice_id`.
    pub voice_id: Option<String>,
    /// `retry_config` as submitted.
    pub retry_config: Option<Value>,
    /// `bypass_call_guardrails`.
    pub bypass_guardrails: bool,
    /// When it was asked for.
    pub created_at: i64,
    /// Last change.
    pub updated_at: i64,
    /// When it is to be dialled; equal to `created_at` for a call at once.
    pub due_at: i64,
    /// The number of the current attempt: grows with each dial and each planned retry.
    pub attempt: i64,
    /// The carrier's id of the current attempt's call.
    pub carrier_call_id: Option<String>,
    /// The carrier accepted the dial, or the inbound call reached us.
    pub initiated_at: Option<i64>,
    /// It rang.
    pub ringing_at: Option<i64>,
    /// It was answered.
    pub answered_at: Option<i64>,
    /// The call leg ended.
    pub ended_at: Option<i64>,
    /// How it ended.
    pub hangup: Option<Hangup>,
    /// Why it could not be done; names vendor or field.
    pub error_message: Option<String>,
    /// R182; grows while the call runs.
    pub transcript: Option<String>,
    /// A machine answered.
    pub answered_by_voice_mail: bool,
    /// What the current attempt used.
    pub usage: Option<Usage>,
    /// What that cost.
    pub cost: Option<Cost>,
    /// R188, as clients read it.
    pub latency: Option<Value>,
    /// A recording is stored.
    pub has_recording: bool,
    /// The last transfer that was begun.
    pub transfer: Option<Transfer>,
    /// The task after the call that is next, while some are left.
    pub post_call_step: Option<i64>,
    /// Whether the receiver of what was extracted took it.
    pub extraction_webhook_status: Option<bool>,
    /// The attempts before this one.
    pub history: Vec<PastAttempt>,
    /// Of post-call tasks.
    pub summary: Option<String>,
    /// Of post-call tasks.
    pub extracted: Option<Value>,
}

impl Record {
    /// Seconds between answer and end; `None` before the end or without an answer.
    pub fn conversation_seconds(&self) -> Option<f64> {
        let (from, to) = (self.answered_at?, self.ended_at?);
        Some((to - from).max(0) as f64 / 1000.0)
    }

    /// The far end of the call.
    pub fn user_number(&self) -> &str {
        match self.direction {
            Direction::Outbound => &self.to,
            Direction::Inbound => &self.from,
        }
    }

    /// Our end of the call.
    pub fn agent_number(&self) -> &str {
        match self.direction {
            Direction::Outbound => &self.from,
            Direction::Inbound => &self.to,
        }
    }
}
