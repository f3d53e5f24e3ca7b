//! Webhooks that wait to be delivered: written with the status change, ordered per execution; and what webhook
//! tasks send, which waits for nothing. Source: api.md §21.

use bolo_execution::{AccountId, ExecutionId};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Store, Work,
    change::lock_execution,
    db::{clean, on},
    deliveries::note_endpoint,
    post_call::{note_extracted, task_in},
    rows::uuid,
};

/// One webhook to deliver.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `event_id` of the body and `webhook-id` header: the same on retries.
    pub id: Uuid,
    /// The call.
    pub execution: ExecutionId,
    /// Its account's signing secrets, if set.
    pub account: bolo_execution::AccountId,
    /// Where to.
    pub url: String,
    /// The body, frozen at the change.
    pub body: String,
    /// Tries so far; a try that nobody settled (its node died) counts.
    pub tries: i64,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// 2xx.
    Delivered,
    /// Try again at this time, epoch ms.
    Retry {
        /// When.
        at: i64,
        /// What went wrong.
        error: String,
    },
    /// Given up; kept and shown.
    Exhausted {
        /// What went wrong.
        error: String,
    },
}

#[derive(sqlx::FromRow)]
struct DeliveryRow {
    id: String,
    execution_id: String,
    account_id: String,
    sequence: i64,
    url: String,
    body: String,
    tries: i64,
}

pub(crate) fn claim_sql(lock: &str) -> String {
    format!(
        "WITH due AS (
             SELECT id FROM webhooks WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at, id LIMIT $2 {lock})
         UPDATE webhooks SET due_at = $3, tries = tries + 1
         WHERE id IN (SELECT id FROM due)
         RETURNING id, execution_id, account_id, sequence, url, body, tries"
    )
}

/// The next webhook of execution `$1`, if it has not been tried yet, is due at `$2`.
pub(crate) const HASTEN_NEXT: &str = "UPDATE webhooks SET due_at = $2
    WHERE execution_id = $1 AND state = 'waiting' AND tries = 0 AND due_at > $2 AND sequence = (
        SELECT MIN(w.sequence) FROM webhooks w
        WHERE w.execution_id = $1 AND w.state = 'waiting' AND w.sequence > 0)";

pub(crate) const NEXT_DELIVERY: &str = "SELECT MIN(due_at) FROM webhooks WHERE state = 'waiting'";

impl Store {
    /// Claims due deliveries: per execution only the oldest undelivered one; one that has itself waited
    /// 60 s overtakes. Claimed for `lease_ms`: what is not settled by then may be claimed again.
    pub async fn claim_deliveries(
        &self,
        now: i64,
        lease_ms: i64,
        limit: i64,
    ) -> Result<Vec<Delivery>, Error> {
        let mut tx = self.db().begin().await?;
        // Who waits for another has a later `due_at` (see `tell_in`, `settle_delivery`).
        let sql = AssertSqlSafe(claim_sql(tx.lock("FOR UPDATE SKIP LOCKED")));
        let mut rows: Vec<DeliveryRow> = on!(&mut tx, |tx| {
            sqlx::query_as(sql)
                .bind(now)
                .bind(limit.max(0))
                .bind(now + lease_ms)
                .fetch_all(&mut **tx)
                .await
        })?;
        tx.commit().await?;
        rows.sort_by(|a, b| (&a.execution_id, a.sequence).cmp(&(&b.execution_id, b.sequence)));
        rows.into_iter()
            .map(|row| {
                Ok(Delivery {
                    id: uuid(&row.id)?,
                    execution: ExecutionId(uuid(&row.execution_id)?),
                    account: AccountId(uuid(&row.account_id)?),
                    url: row.url,
                    body: row.body,
                    tries: row.tries - 1,
                })
            })
            .collect()
    }

    /// Writes down a try's outcome; the next webhook of the execution, if it waited for this one, falls
    /// due. A webhook that is settled already stays as it is. `true` when the receiver has failed for so long
    /// that it is switched off.
    pub async fn settle_delivery(
        &self,
        id: Uuid,
        outcome: DeliveryOutcome,
        now: i64,
    ) -> Result<bool, Error> {
        let (state, due_at, error) = match &outcome {
            DeliveryOutcome::Delivered => ("delivered", now, None),
            DeliveryOutcome::Retry { at, error } => ("waiting", *at, Some(error)),
            DeliveryOutcome::Exhausted { error } => ("exhausted", now, Some(error)),
        };
        let over = state != "waiting";
        let mut tx = self.db().begin().await?;
        let (execution, account, url, place): (String, String, String, i64) = on!(&mut tx, |tx| {
            sqlx::query_as(
                "SELECT execution_id, account_id, url, sequence FROM webhooks WHERE id = $1",
            )
            .bind(id.to_string())
            .fetch_one(&mut **tx)
            .await
        })?;
        // Else a status that changes at this moment might not see that nothing is in its way.
        lock_execution(&mut tx, &execution).await?;
        on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE webhooks SET state = $2, due_at = $3, error = $4, settled_at = $5
                 WHERE id = $1 AND state = 'waiting'",
            )
            .bind(id.to_string())
            .bind(state)
            .bind(due_at)
            .bind(error.map(|text| clean(text)))
            .bind(over.then_some(now))
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?;
        if over {
            on!(&mut tx, |tx| {
                sqlx::query(HASTEN_NEXT)
                    .bind(&execution)
                    .bind(now)
                    .execute(&mut **tx)
                    .await
                    .map(|_| ())
            })?;
        }
        let took_it = state == "delivered";
        let task = task_in(place).filter(|_| over);
        if let Some(task) = task {
            note_extracted(&mut tx, &execution, task, took_it, now).await?;
        }
        let is_off = note_endpoint(&mut tx, &account, &url, took_it, now).await?;
        tx.commit().await?;
        if over {
            self.signals().wake_worker(Work::Webhooks);
        }
        if task.is_some() {
            self.signals().wake_worker(Work::PostCalls);
        }
        Ok(is_off)
    }

    /// When the next delivery falls due, if any waits.
    pub async fn next_delivery(&self) -> Result<Option<i64>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(NEXT_DELIVERY).fetch_one(pool).await
        })?)
    }
}
