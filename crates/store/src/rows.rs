//! How a row of `executions` becomes a record.

use std::str::FromStr;

use bolo_execution::{
    AccountId, AgentId, BatchId, Cost, Direction, ExecutionId, PastAttempt, Record, Status,
};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::Error;

/// The columns of a record and of its webhook, for SELECT and RETURNING. Named one by one, so that a
/// later migration doesn't change the shape of statements that are prepared already.
macro_rules! execution_columns {
    () => {
        "id, account_id, agent_id, agent_version, batch, status, direction, provider, to_number, from_number, \
         user_data, voice_id, retry_config, bypass_guardrails, created_at, updated_at, due_at, attempt, \
         carrier_call_id, initiated_at, ringing_at, answered_at, ended_at, hangup, error_message, transcript, \
         answered_by_voice_mail, usage, cost, latency, has_recording, post_call_step, \
         extraction_webhook_status, history, summary, extracted, transfer, webhook_url, \
         webhook_statuses, sequence"
    };
}
pub(crate) use execution_columns;

#[derive(Clone, sqlx::FromRow)]
pub(crate) struct ExecutionRow {
    pub(crate) id: String,
    pub(crate) account_id: String,
    agent_id: String,
    agent_version: i64,
    pub(crate) batch: Option<String>,
    status: String,
    direction: String,
    provider: String,
    to_number: String,
    from_number: String,
    user_data: String,
    voice_id: Option<String>,
    retry_config: Option<String>,
    bypass_guardrails: bool,
    created_at: i64,
    updated_at: i64,
    due_at: i64,
    pub(crate) attempt: i64,
    carrier_call_id: Option<String>,
    initiated_at: Option<i64>,
    ringing_at: Option<i64>,
    answered_at: Option<i64>,
    ended_at: Option<i64>,
    hangup: Option<String>,
    error_message: Option<String>,
    transcript: Option<String>,
    answered_by_voice_mail: bool,
    usage: Option<String>,
    cost: Option<String>,
    latency: Option<String>,
    has_recording: bool,
    post_call_step: Option<i64>,
    extraction_webhook_status: Option<bool>,
    history: Option<String>,
    summary: Option<String>,
    extracted: Option<String>,
    transfer: Option<String>,
    pub(crate) webhook_url: Option<String>,
    webhook_statuses: Option<String>,
    pub(crate) sequence: i64,
}

impl ExecutionRow {
    pub(crate) fn id(&self) -> Result<Uuid, Error> {
        uuid(&self.id)
    }

    pub(crate) fn status(&self) -> Result<Status, Error> {
        status(&self.status)
    }

    /// What all attempts cost together, cents.
    pub(crate) fn total_cost(&self) -> Result<f64, Error> {
        let history: Vec<PastAttempt> =
            maybe_json("history", self.history.clone())?.unwrap_or_default();
        let cost: Option<Cost> = maybe_json("cost", self.cost.clone())?;
        let past = history.iter().filter_map(|attempt| attempt.cost);
        Ok(past.chain(cost).map(|cost| cost.total()).sum())
    }

    /// Where this status is to be told, if anywhere.
    pub(crate) fn webhook_for(&self, status: Status) -> Result<Option<&str>, Error> {
        let Some(url) = &self.webhook_url else {
            return Ok(None);
        };
        let wanted = match &self.webhook_statuses {
            None => true,
            Some(text) => json::<Vec<Status>>("webhook_statuses", text)?.contains(&status),
        };
        Ok(wanted.then_some(url.as_str()))
    }
}

impl TryFrom<ExecutionRow> for Record {
    type Error = Error;
    fn try_from(row: ExecutionRow) -> Result<Self, Error> {
        Ok(Self {
            id: ExecutionId(uuid(&row.id)?),
            account: AccountId(uuid(&row.account_id)?),
            agent: AgentId(uuid(&row.agent_id)?),
            agent_version: row.agent_version,
            batch: row.batch.map(|id| uuid(&id).map(BatchId)).transpose()?,
            status: status(&row.status)?,
            direction: match row.direction.as_str() {
                "inbound" => Direction::Inbound,
                "outbound" => Direction::Outbound,
                other => return Err(Error::Corrupt(format!("direction {other:?}"))),
            },
            provider: row.provider,
            to: row.to_number,
            from: row.from_number,
            user_data: json("user_data", &row.user_data)?,
            voice_id: row.voice_id,
            retry_config: maybe_json("retry_config", row.retry_config)?,
            bypass_guardrails: row.bypass_guardrails,
            created_at: row.created_at,
            updated_at: row.updated_at,
            due_at: row.due_at,
            attempt: row.attempt,
            carrier_call_id: row.carrier_call_id,
            initiated_at: row.initiated_at,
            ringing_at: row.ringing_at,
            answered_at: row.answered_at,
            ended_at: row.ended_at,
            hangup: maybe_json("hangup", row.hangup)?,
            error_message: row.error_message,
            transcript: row.transcript,
            answered_by_voice_mail: row.answered_by_voice_mail,
            usage: maybe_json("usage", row.usage)?,
            cost: maybe_json("cost", row.cost)?,
            latency: maybe_json("latency", row.latency)?,
            has_recording: row.has_recording,
            post_call_step: row.post_call_step,
            extraction_webhook_status: row.extraction_webhook_status,
            history: maybe_json("history", row.history)?.unwrap_or_default(),
            summary: row.summary,
            extracted: maybe_json("extracted", row.extracted)?,
            transfer: maybe_json("transfer", row.transfer)?,
        })
    }
}

pub(crate) fn records(rows: Vec<ExecutionRow>) -> Result<Vec<Record>, Error> {
    rows.into_iter().map(TryInto::try_into).collect()
}

pub(crate) fn status(text: &str) -> Result<Status, Error> {
    Status::from_str(text).map_err(|error| Error::Corrupt(error.to_string()))
}

pub(crate) fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    }
}

pub(crate) fn uuid(text: &str) -> Result<Uuid, Error> {
    Uuid::try_parse(text).map_err(|error| Error::Corrupt(format!("id {text:?}: {error}")))
}

pub(crate) fn json<T: DeserializeOwned>(column: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Corrupt(format!("{column}: {error}")))
}

pub(crate) fn maybe_json<T: DeserializeOwned>(
    column: &str,
    text: Option<String>,
) -> Result<Option<T>, Error> {
    text.map(|text| json(column, &text)).transpose()
}

/// A document as it goes into a TEXT column.
pub(crate) fn to_json<T: serde::Serialize>(column: &str, value: &T) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| Error::Corrupt(format!("{column}: {error}")))
}

pub(crate) fn maybe_to_json<T: serde::Serialize>(
    column: &str,
    value: Option<&T>,
) -> Result<Option<String>, Error> {
    value.map(|value| to_json(column, value)).transpose()
}
