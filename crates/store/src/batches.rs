//! Batches: calls that were uploaded together. Their counts are those of their calls, read when asked for,
//! so that they are always right. Source: api.md §9.

mod upload;
pub(crate) mod work;

use std::collections::{BTreeMap, HashMap};

use bolo_execution::{AccountId, AgentId, BatchId, Status};
use serde_json::Value;
use sqlx::AssertSqlSafe;

pub use upload::{BatchUpload, Contact, NewBatch, Reject};

use crate::{
    Error, Store, WebhookTarget,
    db::{clean, on},
    rows::{json, maybe_json, maybe_to_json, uuid},
};

/// A batch whose upload is complete.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Its id.
    pub id: BatchId,
    /// Who calls.
    pub agent: AgentId,
    /// Name of the uploaded file.
    pub file_name: String,
    /// Calling numbers, taken in turn; empty = the account's.
    pub from_numbers: Vec<String>,
    /// As submitted.
    pub retry_config: Option<Value>,
    /// Lines of the table.
    pub total_contacts: i64,
    /// Lines that made a call.
    pub valid_contacts: i64,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
    /// When dialling begins, epoch ms.
    pub scheduled_at: Option<i64>,
    /// Call outside the agent's calling hours too.
    pub bypass_guardrails: bool,
    /// Somebody stopped it then, epoch ms.
    pub stopped_at: Option<i64>,
    /// Its calls by status; what is zero is left out.
    pub counts: BTreeMap<Status, i64>,
}

/// Where a batch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchState {
    /// Uploaded.
    Created,
    /// Waits for its time.
    Scheduled,
    /// Its time has come; some calls are not over.
    Running,
    /// All calls are over.
    Completed,
    /// Stopped by request; live calls may still go on.
    Stopped,
}

impl Batch {
    /// Where it stands.
    pub fn state(&self, now: i64) -> BatchState {
        let Some(scheduled_at) = self.scheduled_at else {
            return BatchState::Created;
        };
        if self.stopped_at.is_some() {
            BatchState::Stopped
        } else if self.counts.keys().all(|status| status.is_terminal()) {
            BatchState::Completed
        } else if scheduled_at > now {
            BatchState::Scheduled
        } else {
            BatchState::Running
        }
    }
}

/// When and how the calls of a batch are placed.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Epoch ms.
    pub at: i64,
    /// Call outside the agent's calling hours too.
    pub bypass_guardrails: bool,
    /// The version of the agent that the calls run.
    pub agent_version: i64,
    /// The carrier that they go through.
    pub provider: String,
    /// Where they are told of.
    pub webhook: Option<WebhookTarget>,
}

macro_rules! batch_columns {
    () => {
        "b.id, b.agent_id, b.file_name, b.from_numbers, b.retry_config, b.total_contacts, b.valid_contacts, \
         b.created_at, b.updated_at, b.scheduled_at, b.bypass_guardrails, b.stopped_at"
    };
}

/// What every reader and writer of a batch `b` of account `$1` asks of it.
const SHOWN: &str =
    "b.account_id = $1 AND b.ready_at IS NOT NULL AND b.deleted_at IS NULL AND EXISTS (
    SELECT 1 FROM agents a WHERE a.id = b.agent_id AND a.deleted_at IS NULL)";

pub(crate) const OF_AGENT: &str = concat!(
    "SELECT ",
    batch_columns!(),
    " FROM batches b WHERE b.account_id = $1 AND b.agent_id = $2 AND b.ready_at IS NOT NULL
        AND b.deleted_at IS NULL ORDER BY b.created_at DESC, b.id DESC"
);

/// Counts of the batches of agent `$2`.
pub(crate) const COUNTS_OF_AGENT: &str =
    "SELECT e.batch, e.status, COUNT(*) AS calls FROM executions e
    WHERE e.batch IN (SELECT b.id FROM batches b WHERE b.account_id = $1 AND b.agent_id = $2
        AND b.ready_at IS NOT NULL AND b.deleted_at IS NULL) GROUP BY e.batch, e.status";

pub(crate) const COUNTS: &str = "SELECT e.batch, e.status, COUNT(*) AS calls FROM executions e
    WHERE e.batch = $1 GROUP BY e.batch, e.status";

/// Lines of batch `$1` of account `$4` that make no call, behind line `$2`, at most `$3`.
pub(crate) const REJECTS: &str = "SELECT line, contact_number, reason FROM batch_rejects
    WHERE batch = $1 AND line > $2
        AND EXISTS (SELECT 1 FROM batches b WHERE b.id = $1 AND b.account_id = $4)
    ORDER BY line LIMIT $3";

#[derive(sqlx::FromRow)]
struct BatchRow {
    id: String,
    agent_id: String,
    file_name: String,
    from_numbers: String,
    retry_config: Option<String>,
    total_contacts: i64,
    valid_contacts: i64,
    created_at: i64,
    updated_at: i64,
    scheduled_at: Option<i64>,
    bypass_guardrails: bool,
    stopped_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct CountRow {
    batch: String,
    status: String,
    calls: i64,
}

type Counts = HashMap<String, BTreeMap<Status, i64>>;

fn counted(rows: Vec<CountRow>) -> Result<Counts, Error> {
    let mut counts = Counts::new();
    for row in rows {
        let status = crate::rows::status(&row.status)?;
        counts
            .entry(row.batch)
            .or_default()
            .insert(status, row.calls);
    }
    Ok(counts)
}

fn batch(row: BatchRow, counts: &mut Counts) -> Result<Batch, Error> {
    Ok(Batch {
        id: BatchId(uuid(&row.id)?),
        agent: AgentId(uuid(&row.agent_id)?),
        file_name: row.file_name,
        from_numbers: json("from_numbers", &row.from_numbers)?,
        retry_config: maybe_json("retry_config", row.retry_config)?,
        total_contacts: row.total_contacts,
        valid_contacts: row.valid_contacts,
        created_at: row.created_at,
        updated_at: row.updated_at,
        scheduled_at: row.scheduled_at,
        bypass_guardrails: row.bypass_guardrails,
        stopped_at: row.stopped_at,
        counts: counts.remove(&row.id).unwrap_or_default(),
    })
}

impl Store {
    /// A batch with its counts. `NotFound` while it is uploaded, when it is deleted, or its agent is.
    pub async fn batch(&self, account: AccountId, id: BatchId) -> Result<Batch, Error> {
        let sql = AssertSqlSafe(format!(
            "SELECT {} FROM batches b WHERE b.id = $2 AND {SHOWN}",
            batch_columns!()
        ));
        let (row, counts): (BatchRow, Vec<CountRow>) = on!(self.db().read(), |pool| {
            let row = sqlx::query_as(sql)
                .bind(account.to_string())
                .bind(id.to_string());
            let counts = sqlx::query_as(COUNTS).bind(id.to_string());
            (row.fetch_one(pool).await?, counts.fetch_all(pool).await?)
        });
        batch(row, &mut counted(counts)?)
    }

    /// An agent's batches with their counts, newest first. `NotFound` without such an agent.
    pub async fn batches(&self, account: AccountId, agent: AgentId) -> Result<Vec<Batch>, Error> {
        self.agent_exists(account, agent).await?;
        let (rows, counts): (Vec<BatchRow>, Vec<CountRow>) = on!(self.db().read(), |pool| {
            let rows = sqlx::query_as(OF_AGENT)
                .bind(account.to_string())
                .bind(agent.to_string());
            let counts = sqlx::query_as(COUNTS_OF_AGENT)
                .bind(account.to_string())
                .bind(agent.to_string());
            (rows.fetch_all(pool).await?, counts.fetch_all(pool).await?)
        });
        let mut counts = counted(counts)?;
        rows.into_iter()
            .map(|row| batch(row, &mut counts))
            .collect()
    }

    /// Lines that made no call, behind `line`, at most `limit`.
    pub async fn batch_rejects(
        &self,
        account: AccountId,
        id: BatchId,
        line: i64,
        limit: i64,
    ) -> Result<Vec<Reject>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_as(REJECTS)
                .bind(id.to_string())
                .bind(line)
                .bind(limit)
                .bind(account.to_string())
                .fetch_all(pool)
                .await
        })?)
    }

    /// Sets when the calls of a batch are placed; they follow with [`Store::work_on_batch`]. `false` when
    /// its calls have begun, or it was stopped.
    pub async fn schedule_batch(
        &self,
        account: AccountId,
        id: BatchId,
        schedule: Schedule,
        now: i64,
    ) -> Result<bool, Error> {
        let webhook = schedule.webhook.as_ref();
        let statuses = maybe_to_json(
            "webhook_statuses",
            webhook.and_then(|hook| hook.statuses.as_ref()),
        )?;
        let sql = AssertSqlSafe(format!(
            "UPDATE batches AS b SET scheduled_at = $3, bypass_guardrails = $4, agent_version = $5, provider = $6,
                webhook_url = $7, webhook_statuses = $8, work = 'schedule', work_done_to = '', updated_at = $9
             WHERE b.id = $2 AND {SHOWN} AND b.stopped_at IS NULL
                AND (b.scheduled_at IS NULL OR b.scheduled_at > $9)"
        ));
        let done = on!(self.db().write(), |pool| {
            sqlx::query(sql)
                .bind(account.to_string())
                .bind(id.to_string())
                .bind(schedule.at)
                .bind(schedule.bypass_guardrails)
                .bind(schedule.agent_version)
                .bind(clean(&schedule.provider))
                .bind(webhook.map(|hook| clean(&hook.url)))
                .bind(statuses)
                .bind(now)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        if done == 0 {
            self.batch(account, id).await?;
        }
        Ok(done == 1)
    }

    /// Stops a batch: none of its calls is dialled from now on; those that wait are stopped with
    /// [`Store::work_on_batch`], live ones go on. `false` when it is not scheduled or running.
    pub async fn stop_batch(
        &self,
        account: AccountId,
        id: BatchId,
        now: i64,
    ) -> Result<bool, Error> {
        let found = self.batch(account, id).await?;
        if !matches!(
            found.state(now),
            BatchState::Scheduled | BatchState::Running
        ) {
            return Ok(false);
        }
        self.end_batch(account, id, "stopped_at", now).await
    }

    /// Deletes a batch: it is no longer shown, its waiting calls are stopped as by [`Store::stop_batch`],
    /// its executions stay.
    pub async fn delete_batch(
        &self,
        account: AccountId,
        id: BatchId,
        now: i64,
    ) -> Result<(), Error> {
        if self.end_batch(account, id, "deleted_at", now).await? {
            Ok(())
        } else {
            Err(Error::NotFound)
        }
    }

    async fn end_batch(
        &self,
        account: AccountId,
        id: BatchId,
        column: &str,
        now: i64,
    ) -> Result<bool, Error> {
        let sql = AssertSqlSafe(format!(
            "UPDATE batches AS b SET {column} = $3, work = 'stop', work_done_to = '', updated_at = $3
             WHERE b.id = $2 AND {SHOWN} AND b.{column} IS NULL"
        ));
        let done = on!(self.db().write(), |pool| {
            sqlx::query(sql)
                .bind(account.to_string())
                .bind(id.to_string())
                .bind(now)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(done == 1)
    }
}
