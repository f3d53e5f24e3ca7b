//! What is still to be done for a call that has ended: its tasks, a step at a time. A step's outcome and the
//! number of the next are written together, so that whoever comes after a crash goes on where it stopped,
//! and of two who work at once one writes. Source: runtime.md R181.

use bolo_execution::{Cost, ExecutionId, Record, Usage};
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Store, Work,
    change::{charge, lock_execution},
    db::{Tx, clean, on},
    rows::{ExecutionRow, execution_columns, maybe_to_json, records},
};

/// What a step came to; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct StepDone {
    /// `extracted_data`.
    pub extracted: Option<Value>,
    /// `summary`.
    pub summary: Option<String>,
    /// `extraction_webhook_status`.
    pub webhook_told: Option<bool>,
    /// What the attempt used, this step included.
    pub usage: Option<Usage>,
    /// What that cost.
    pub cost: Option<Cost>,
}

/// Calls with a step to be done are claimed at most `$3` at a time, until `$2`.
pub(crate) fn claim_sql(lock: &str) -> String {
    format!(
        "WITH due AS (
             SELECT id FROM executions WHERE post_call_step IS NOT NULL AND post_call_due <= $1
                ORDER BY post_call_due LIMIT $3 {lock})
         UPDATE executions SET post_call_due = $2 WHERE id IN (SELECT id FROM due) RETURNING {}",
        execution_columns!()
    )
}

impl Store {
    /// From now on the tasks of an ended call wait to be done. Nothing happens where they are under way.
    pub async fn begin_post_call(&self, id: ExecutionId, now: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET post_call_step = 0, post_call_due = $2
                 WHERE id = $1 AND status = 'call-disconnected' AND post_call_step IS NULL",
            )
            .bind(id.to_string())
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        self.signals().wake_worker(Work::PostCalls);
        Ok(())
    }

    /// Claims calls with a step to be done, for so long.
    pub async fn claim_post_calls(
        &self,
        now: i64,
        lease_ms: i64,
        limit: i64,
    ) -> Result<Vec<Record>, Error> {
        if limit <= 0 {
            return Ok(Vec::new());
        }
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(claim_sql(tx.lock("FOR NO KEY UPDATE SKIP LOCKED")));
        let rows: Vec<ExecutionRow> = on!(&mut tx, |tx| {
            sqlx::query_as(sql)
                .bind(now)
                .bind(now + lease_ms)
                .bind(limit)
                .fetch_all(&mut **tx)
                .await
        })?;
        tx.commit().await?;
        records(rows)
    }

    /// Writes what a step came to; the next one is the next. `Conflict` when somebody else has done it.
    pub async fn finish_step(
        &self,
        id: ExecutionId,
        step: i64,
        done: StepDone,
        now: i64,
    ) -> Result<Record, Error> {
        let extracted = maybe_to_json("extracted", done.extracted.as_ref())?;
        let usage = maybe_to_json("usage", done.usage.as_ref())?;
        let cost = maybe_to_json("cost", done.cost.as_ref())?;
        let mut tx = self.db().begin().await?;
        let row: Option<ExecutionRow> = on!(&mut tx, |tx| {
            sqlx::query_as(concat!(
                "UPDATE executions SET post_call_step = post_call_step + 1,
                    extracted = COALESCE($3, extracted), summary = COALESCE($4, summary),
                    extraction_webhook_status = COALESCE($5, extraction_webhook_status),
                    usage = COALESCE($6, usage), cost = COALESCE($7, cost),
                    updated_at = CASE WHEN updated_at > $8 THEN updated_at ELSE $8 END
                 WHERE id = $1 AND post_call_step = $2 AND status = 'call-disconnected' RETURNING ",
                execution_columns!()
            ))
            .bind(id.to_string())
            .bind(step)
            .bind(extracted.map(|text| clean(&text)))
            .bind(done.summary.map(|text| clean(&text)))
            .bind(done.webhook_told)
            .bind(usage)
            .bind(cost)
            .bind(now)
            .fetch_optional(&mut **tx)
            .await
        })?;
        let row = row.ok_or(Error::Conflict("the step is done already"))?;
        if done.cost.is_some() {
            charge(&mut tx, &row, now).await?;
        }
        tx.commit().await?;
        row.try_into()
    }

    /// Has `body` delivered to the receiver of the webhook task that is step `nth`, once, and tells whether it
    /// took it. `None` = not known yet: the call falls due again when it is, or after `patience_ms`, when the
    /// answer is no.
    pub async fn tell_extracted(
        &self,
        record: &Record,
        nth: i64,
        url: &url::Url,
        body: &str,
        patience_ms: i64,
        now: i64,
    ) -> Result<Option<bool>, Error> {
        let (id, number) = (record.id.to_string(), task_number(record.attempt, nth));
        let mut tx = self.db().begin().await?;
        // Whoever settles it at this moment is waited for.
        lock_execution(&mut tx, &id).await?;
        let (made, state, since): (u64, String, i64) = on!(&mut tx, |tx| {
            let made = sqlx::query(
                "INSERT INTO webhooks (id, execution_id, account_id, sequence, status, url, body, state, created_at, due_at)
                 VALUES ($1, $2, $3, $4, 'extraction', $5, $6, 'waiting', $7, $7)
                 ON CONFLICT (execution_id, sequence) DO NOTHING",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(&id)
            .bind(record.account.to_string())
            .bind(number)
            .bind(url.as_str())
            .bind(clean(body))
            .bind(now)
            .execute(&mut **tx)
            .await?
            .rows_affected();
            let (state, since) = sqlx::query_as(
                "SELECT state, created_at FROM webhooks WHERE execution_id = $1 AND sequence = $2",
            )
            .bind(&id)
            .bind(number)
            .fetch_one(&mut **tx)
            .await?;
            (made, state, since)
        });
        let told = match state.as_str() {
            "waiting" if now < since + patience_ms => None,
            state => Some(state == "delivered"),
        };
        if told.is_none() {
            on!(&mut tx, |tx| {
                sqlx::query(
                    "UPDATE executions SET post_call_due = $3 WHERE id = $1 AND post_call_step = $2",
                )
                .bind(&id)
                .bind(nth)
                .bind(since + patience_ms)
                .execute(&mut **tx)
                .await
                .map(|_| ())
            })?;
        }
        tx.commit().await?;
        if made > 0 {
            self.signals().wake_worker(Work::Webhooks);
        }
        Ok(told)
    }

    /// When the next step may be claimed, if any waits.
    pub async fn next_post_call(&self) -> Result<Option<i64>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(NEXT_POST_CALL).fetch_one(pool).await
        })?)
    }
}

/// What the receiver of a webhook task did is written down; the call that waits to hear it falls due.
pub(crate) async fn note_extracted(
    tx: &mut Tx,
    execution: &str,
    (attempt, nth): (i64, i64),
    took_it: bool,
    now: i64,
) -> Result<(), Error> {
    Ok(on!(tx, |tx| {
        sqlx::query(
            "UPDATE executions SET extraction_webhook_status = $2,
                updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END,
                post_call_due = CASE WHEN post_call_step = $5 THEN $3 ELSE post_call_due END
             WHERE id = $1 AND attempt = $4",
        )
        .bind(execution)
        .bind(took_it)
        .bind(now)
        .bind(attempt)
        .bind(nth)
        .execute(&mut **tx)
        .await
        .map(|_| ())
    })?)
}

/// Steps of an attempt at most.
const STEPS: i64 = 1 << 20;

/// The place of a webhook task among its call's webhooks: those that tell a status count upwards from 1, and
/// those of tasks downwards.
fn task_number(attempt: i64, nth: i64) -> i64 {
    -(attempt * STEPS + nth) - 1
}

/// Attempt and step of the webhook task in this place, if it is one.
pub(crate) fn task_in(place: i64) -> Option<(i64, i64)> {
    let number = -(place + 1);
    (number >= 0).then_some((number / STEPS, number % STEPS))
}

pub(crate) const NEXT_POST_CALL: &str =
    "SELECT MIN(post_call_due) FROM executions WHERE post_call_step IS NOT NULL";
