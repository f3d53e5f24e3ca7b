//! What is done to all calls of a batch, a chunk at a time: a million rows are never locked at once, and
//! whoever comes after a crash goes on where it stopped.

use bolo_execution::{AccountId, AgentId, BatchId, Change, ExecutionId, Status};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Store,
    db::{Tx, on},
    rows::{ExecutionRow, execution_columns, to_json, uuid},
};

/// Calls that change in one transaction.
const CHUNK: i64 = 500;
/// An upload that has not grown for this long is dead, ms.
pub(crate) const DEAD_UPLOAD_MS: i64 = 600_000;

pub(crate) const AT_WORK: &str =
    "SELECT id FROM batches WHERE work IS NOT NULL ORDER BY id LIMIT 100";

pub(crate) const DEAD_UPLOADS: &str = "UPDATE batches SET work = 'discard' WHERE ready_at IS NULL AND updated_at < $1 AND work IS NULL";

/// The next calls of a batch behind `$5`: all have its account `$1`, agent `$2` and time `$3`.
pub(crate) const CHUNK_OF: &str =
    "SELECT id FROM executions WHERE account_id = $1 AND agent_id = $2
    AND created_at = $3 AND batch = $4 AND id > $5 ORDER BY id LIMIT $6";

/// An agent's calls behind `$3` that wait to be dialled.
pub(crate) const WAITING_OF_AGENT: &str = "SELECT id FROM executions WHERE account_id = $1 AND agent_id = $2
    AND id > $3 AND status IN ('prepared', 'scheduled', 'queued', 'rescheduled') AND status <> 'prepared'
    ORDER BY id LIMIT $4";

/// What waits to be done.
#[derive(sqlx::FromRow)]
struct Work {
    account_id: String,
    agent_id: String,
    created_at: i64,
    work: String,
    work_done_to: String,
}

impl Store {
    /// Does the next chunk of what waits to be done to the calls of a batch; `false` when nothing is left.
    pub async fn work_on_batch(&self, id: BatchId, now: i64) -> Result<bool, Error> {
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(format!(
            "SELECT account_id, agent_id, created_at, work, work_done_to FROM batches
             WHERE id = $1 AND work IS NOT NULL {}",
            tx.lock("FOR NO KEY UPDATE")
        ));
        let work: Option<Work> = on!(&mut tx, |tx| {
            sqlx::query_as(sql)
                .bind(id.to_string())
                .fetch_optional(&mut **tx)
                .await
        })?;
        let Some(work) = work else {
            return Ok(false);
        };
        let calls: Vec<String> = on!(&mut tx, |tx| {
            sqlx::query_scalar(CHUNK_OF)
                .bind(&work.account_id)
                .bind(&work.agent_id)
                .bind(work.created_at)
                .bind(id.to_string())
                .bind(&work.work_done_to)
                .bind(CHUNK)
                .fetch_all(&mut **tx)
                .await
        })?;
        let Some(last) = calls.last().cloned() else {
            finish(&mut tx, id, &work.work).await?;
            tx.commit().await?;
            return Ok(false);
        };
        match work.work.as_str() {
            "schedule" => self.schedule_calls(&mut tx, id, &calls, now).await?,
            "stop" => self.stop_calls(&mut tx, &calls, now).await.map(drop)?,
            _ => delete_calls(&mut tx, &calls).await?,
        }
        on!(&mut tx, |tx| {
            sqlx::query("UPDATE batches SET work_done_to = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(last)
                .execute(&mut **tx)
                .await
                .map(|_| ())
        })?;
        tx.commit().await?;
        self.signals().wake_worker(crate::Work::Webhooks);
        self.signals().wake_worker(crate::Work::Dials);
        Ok(true)
    }

    /// Batches that have something left to do; uploads that died are among them.
    pub async fn batches_at_work(&self, now: i64) -> Result<Vec<BatchId>, Error> {
        on!(self.db().write(), |pool| sqlx::query(DEAD_UPLOADS)
            .bind(now - DEAD_UPLOAD_MS)
            .execute(pool)
            .await
            .map(|_| ()))?;
        let ids: Vec<String> = on!(self.db().read(), |pool| sqlx::query_scalar(AT_WORK)
            .fetch_all(pool)
            .await)?;
        ids.iter().map(|id| Ok(BatchId(uuid(id)?))).collect()
    }

    pub(super) async fn discard_upload(&self, id: BatchId, now: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE batches SET work = 'discard', updated_at = $2 WHERE id = $1 AND ready_at IS NULL",
            )
            .bind(id.to_string())
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        Ok(())
    }

    /// Prepared calls become `scheduled`; those that wait already get their new time.
    async fn schedule_calls(
        &self,
        tx: &mut Tx,
        batch: BatchId,
        calls: &[String],
        now: i64,
    ) -> Result<(), Error> {
        let again = AssertSqlSafe(format!(
            "{} UPDATE executions SET due_at = b.scheduled_at, bypass_guardrails = b.bypass_guardrails,
                agent_version = b.agent_version, provider = b.provider, updated_at = $2
             FROM batches b WHERE b.id = $1 AND executions.id IN (SELECT id FROM mine)
                AND executions.status = 'scheduled' AND executions.attempt = 0",
            mine(3, calls.len(), tx)
        ));
        on!(&mut *tx, |tx| {
            let mut query = sqlx::query(again).bind(batch.to_string()).bind(now);
            for call in calls {
                query = query.bind(call);
            }
            query.execute(&mut **tx).await.map(|_| ())
        })?;
        let to = Status::Prepared.after(Change::Scheduled)?;
        let first = AssertSqlSafe(format!(
            "{} UPDATE executions SET status = $3, due_at = b.scheduled_at,
                bypass_guardrails = b.bypass_guardrails, agent_version = b.agent_version,
                provider = b.provider, webhook_url = b.webhook_url, webhook_statuses = b.webhook_statuses,
                sequence = sequence + {}, updated_at = $2
             FROM batches b WHERE b.id = $1 AND executions.id IN (SELECT id FROM mine)
                AND executions.status = 'prepared' RETURNING {}",
            mine(5, calls.len(), tx),
            tells("b", 4),
            columns()
        ));
        let rows: Vec<ExecutionRow> = on!(&mut *tx, |tx| {
            let mut query = sqlx::query_as(first)
                .bind(batch.to_string())
                .bind(now)
                .bind(to.as_str())
                .bind(like(to)?);
            for call in calls {
                query = query.bind(call);
            }
            query.fetch_all(&mut **tx).await
        })?;
        self.tell_all(tx, rows, now).await
    }

    /// Stops those of these calls that wait; their ids. The ids must be in order.
    async fn stop_calls(
        &self,
        tx: &mut Tx,
        calls: &[String],
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        let to = Status::Queued.after(Change::StopAsked)?;
        let sql = AssertSqlSafe(format!(
            "{} UPDATE executions SET status = $2, claimed_by = NULL, lease_until = NULL,
                sequence = sequence + {}, updated_at = CASE WHEN updated_at > $1 THEN updated_at ELSE $1 END
             WHERE id IN (SELECT id FROM mine) AND status IN ('prepared', 'scheduled', 'queued', 'rescheduled')
             RETURNING {}",
            mine(4, calls.len(), tx),
            tells("executions", 3),
            columns()
        ));
        let rows: Vec<ExecutionRow> = on!(&mut *tx, |tx| {
            let mut query = sqlx::query_as(sql)
                .bind(now)
                .bind(to.as_str())
                .bind(like(to)?);
            for call in calls {
                query = query.bind(call);
            }
            query.fetch_all(&mut **tx).await
        })?;
        let mut stopped = rows
            .iter()
            .map(|row| row.id().map(ExecutionId))
            .collect::<Result<Vec<_>, _>>()?;
        stopped.sort();
        self.tell_all(tx, rows, now).await?;
        Ok(stopped)
    }

    async fn tell_all(&self, tx: &mut Tx, rows: Vec<ExecutionRow>, now: i64) -> Result<(), Error> {
        for row in rows {
            if row.webhook_for(row.status()?)?.is_some() {
                self.tell_in(tx, row, now).await?;
            }
        }
        Ok(())
    }

    /// Stops every call of an agent that is scheduled, queued or rescheduled, a chunk at a time; their ids.
    pub(crate) async fn stop_waiting_of(
        &self,
        account: AccountId,
        agent: AgentId,
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        let mut stopped = Vec::new();
        let mut last = String::new();
        loop {
            let mut tx = self.db().begin().await?;
            let calls: Vec<String> = on!(&mut tx, |tx| {
                sqlx::query_scalar(WAITING_OF_AGENT)
                    .bind(account.to_string())
                    .bind(agent.to_string())
                    .bind(&last)
                    .bind(CHUNK)
                    .fetch_all(&mut **tx)
                    .await
            })?;
            let Some(end) = calls.last().cloned() else {
                return Ok(stopped);
            };
            stopped.extend(self.stop_calls(&mut tx, &calls, now).await?);
            tx.commit().await?;
            last = end;
        }
    }
}

/// The rows of these ids, locked in their order, so that two of these can't wait for each other.
fn mine(first: usize, count: usize, tx: &Tx) -> String {
    let ids: Vec<String> = (first..first + count).map(|n| format!("${n}")).collect();
    format!(
        "WITH mine AS (SELECT id FROM executions WHERE id IN ({}) ORDER BY id {})",
        ids.join(", "),
        tx.lock("FOR NO KEY UPDATE")
    )
}

/// 1 where the webhook of `table` wants the status whose [`like`] is bound as `$bind`.
fn tells(table: &str, bind: usize) -> String {
    format!(
        "CASE WHEN {table}.webhook_url IS NOT NULL
            AND ({table}.webhook_statuses IS NULL OR {table}.webhook_statuses LIKE ${bind}) THEN 1 ELSE 0 END"
    )
}

/// Finds a status in a JSON list of statuses.
fn like(status: Status) -> Result<String, Error> {
    Ok(format!("%{}%", to_json("status", &status)?))
}

/// With the table's name, where another table has columns of the same names.
fn columns() -> String {
    execution_columns!()
        .split(", ")
        .map(|column| format!("executions.{column} AS {column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

async fn delete_calls(tx: &mut Tx, calls: &[String]) -> Result<(), Error> {
    let ids: Vec<String> = (1..=calls.len()).map(|n| format!("${n}")).collect();
    let sql = AssertSqlSafe(format!(
        "DELETE FROM executions WHERE id IN ({})",
        ids.join(", ")
    ));
    on!(tx, |tx| {
        let mut query = sqlx::query(sql);
        for call in calls {
            query = query.bind(call);
        }
        query.execute(&mut **tx).await.map(|_| ())
    })?;
    Ok(())
}

/// Nothing is left to do.
async fn finish(tx: &mut Tx, id: BatchId, work: &str) -> Result<(), Error> {
    let steps: &[&'static str] = match work {
        "discard" => &[
            "DELETE FROM batch_rejects WHERE batch = $1",
            "DELETE FROM batches WHERE id = $1",
        ],
        _ => &["UPDATE batches SET work = NULL WHERE id = $1"],
    };
    for step in steps {
        on!(&mut *tx, |tx| {
            sqlx::query(*step)
                .bind(id.to_string())
                .execute(&mut **tx)
                .await
                .map(|_| ())
        })?;
    }
    Ok(())
}
