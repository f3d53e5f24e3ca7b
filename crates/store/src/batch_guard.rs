//! Batches that are paused, by hand or because they went wrong: too few answers, or enough money spent. Off
//! until somebody asks for it. Source: lessons.md §1, "cost caps that act during a call and a campaign".
//!
//! Answers and costs are counted where they are written, in the same transaction, so that looking whether a
//! batch may go on reads one row however many calls it has.

use bolo_execution::{AccountId, Change};

use crate::{
    Error, Store, Work,
    db::{Tx, on},
    rows::ExecutionRow,
};

/// What stops a batch by itself.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct GuardRules {
    /// Least part of the dialled calls that must be answered, 0 to 1; `None` = any.
    pub min_answer_rate: Option<f64>,
    /// Over how many calls that is looked at; before there are so many it stops nothing.
    pub over_calls: i64,
    /// Most that the batch may cost, cents; `None` = any.
    pub max_cost: Option<f64>,
}

/// How a batch stands.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchGuard {
    /// Since when none of its calls is dialled, epoch ms.
    pub paused_at: Option<i64>,
    /// `request`, `answer-rate` or `cost`.
    pub paused_for: Option<String>,
    /// What stops it by itself.
    pub rules: GuardRules,
    /// Calls that were dialled since it was last resumed, and how that went.
    pub dialled: i64,
    /// The part of the last `over_calls` of them that was answered; `None` while there is none.
    pub answer_rate: Option<f64>,
    /// What its calls have cost, cents.
    pub cost: f64,
}

#[derive(sqlx::FromRow)]
struct Row {
    paused_at: Option<i64>,
    paused_for: Option<String>,
    min_answer_rate: Option<f64>,
    over_calls: i64,
    max_cost: Option<f64>,
    dialled: i64,
    answer_rate: f64,
    cost: f64,
}

/// Calls that the answer rate is looked at over, where nobody says.
const OVER_CALLS: i64 = 50;

/// Batches of account `$1` that are not to be dialled now.
pub(crate) const PAUSED: &str =
    "SELECT batch FROM batch_guards WHERE account_id = $1 AND paused_at IS NOT NULL";

/// Batch `$2` was dialled once more, answered (`$3` = 1) or not (0), at `$4`. The rate is the mean of the
/// first calls, then leans to the last ones.
pub(crate) const COUNT: &str = "UPDATE batch_guards SET
        dialled = dialled + 1,
        answer_rate = answer_rate + ($3 - answer_rate)
            / CASE WHEN dialled + 1 < over_calls THEN dialled + 1 ELSE over_calls END,
        paused_for = CASE WHEN paused_at IS NULL AND dialled + 1 >= over_calls
            AND answer_rate + ($3 - answer_rate) / over_calls < min_answer_rate
            THEN 'answer-rate' ELSE paused_for END,
        paused_at = CASE WHEN paused_at IS NULL AND dialled + 1 >= over_calls
            AND answer_rate + ($3 - answer_rate) / over_calls < min_answer_rate
            THEN $4 ELSE paused_at END
    WHERE account_id = $1 AND batch = $2";

impl Store {
    /// Whether the account has a call of this batch.
    async fn has_batch(&self, account: AccountId, batch: &str) -> Result<(), Error> {
        let found: Option<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT id FROM executions WHERE batch = $2 AND account_id = $1 LIMIT 1",
            )
            .bind(account.to_string())
            .bind(batch)
            .fetch_optional(pool)
            .await
        })?;
        found.map(drop).ok_or(Error::NotFound)
    }

    /// How a batch stands. `NotFound` without a call of it in this account.
    pub async fn batch_guard(&self, account: AccountId, batch: &str) -> Result<BatchGuard, Error> {
        self.has_batch(account, batch).await?;
        let row: Option<Row> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT paused_at, paused_for, min_answer_rate, over_calls, max_cost, dialled, answer_rate, cost
                 FROM batch_guards WHERE account_id = $1 AND batch = $2",
            )
            .bind(account.to_string())
            .bind(batch)
            .fetch_optional(pool)
            .await
        })?;
        let row = row.unwrap_or(Row {
            paused_at: None,
            paused_for: None,
            min_answer_rate: None,
            over_calls: OVER_CALLS,
            max_cost: None,
            dialled: 0,
            answer_rate: 0.0,
            cost: 0.0,
        });
        Ok(BatchGuard {
            paused_at: row.paused_at,
            paused_for: row.paused_for,
            rules: GuardRules {
                min_answer_rate: row.min_answer_rate,
                over_calls: row.over_calls,
                max_cost: row.max_cost,
            },
            dialled: row.dialled,
            answer_rate: (row.dialled > 0).then_some(row.answer_rate),
            cost: row.cost,
        })
    }

    /// Sets what stops a batch by itself.
    pub async fn guard_batch(
        &self,
        account: AccountId,
        batch: &str,
        rules: GuardRules,
    ) -> Result<BatchGuard, Error> {
        self.begin_guard(account, batch).await?;
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE batch_guards SET min_answer_rate = $3, over_calls = $4, max_cost = $5
                 WHERE account_id = $1 AND batch = $2",
            )
            .bind(account.to_string())
            .bind(batch)
            .bind(rules.min_answer_rate)
            .bind(rules.over_calls)
            .bind(rules.max_cost)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        self.batch_guard(account, batch).await
    }

    /// None of the batch's calls is dialled until it is resumed; live ones go on.
    pub async fn pause_batch(
        &self,
        account: AccountId,
        batch: &str,
        now: i64,
    ) -> Result<BatchGuard, Error> {
        self.begin_guard(account, batch).await?;
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE batch_guards SET paused_at = $3, paused_for = 'request'
                 WHERE account_id = $1 AND batch = $2 AND paused_at IS NULL",
            )
            .bind(account.to_string())
            .bind(batch)
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        self.batch_guard(account, batch).await
    }

    /// The batch goes on; its answers are counted anew. One that has cost what it may stays paused until
    /// its rules are changed.
    pub async fn resume_batch(&self, account: AccountId, batch: &str) -> Result<BatchGuard, Error> {
        self.has_batch(account, batch).await?;
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE batch_guards SET paused_at = NULL, paused_for = NULL, dialled = 0, answer_rate = 0
                 WHERE account_id = $1 AND batch = $2 AND (max_cost IS NULL OR cost < max_cost)",
            )
            .bind(account.to_string())
            .bind(batch)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        self.signals().wake_worker(Work::Dials);
        self.batch_guard(account, batch).await
    }

    /// From now on the batch is counted; what its calls have cost so far is added up once.
    async fn begin_guard(&self, account: AccountId, batch: &str) -> Result<(), Error> {
        self.has_batch(account, batch).await?;
        on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO batch_guards (batch, account_id, over_calls, cost)
                 SELECT $2, $1, $3, COALESCE(SUM(e.total_cost), 0) FROM executions e
                    WHERE e.batch = $2 AND e.account_id = $1
                 ON CONFLICT (batch) DO NOTHING",
            )
            .bind(account.to_string())
            .bind(batch)
            .bind(OVER_CALLS)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        Ok(())
    }
}

/// Counts how the dial of a batch's call went.
pub(crate) async fn count(
    tx: &mut Tx,
    row: &ExecutionRow,
    change: Change,
    now: i64,
) -> Result<(), Error> {
    let answered = match change {
        Change::Answered => 1.0,
        Change::Busy | Change::NoAnswer | Change::CarrierFailed => 0.0,
        _ => return Ok(()),
    };
    let Some(batch) = &row.batch else {
        return Ok(());
    };
    on!(tx, |tx| {
        sqlx::query(COUNT)
            .bind(&row.account_id)
            .bind(batch)
            .bind(answered)
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
    })?;
    Ok(())
}

/// Adds to what a batch has cost.
pub(crate) async fn spend(
    tx: &mut Tx,
    row: &ExecutionRow,
    cents: f64,
    now: i64,
) -> Result<(), Error> {
    let Some(batch) = &row.batch else {
        return Ok(());
    };
    on!(tx, |tx| {
        sqlx::query(
            "UPDATE batch_guards SET cost = cost + $3,
                paused_for = CASE WHEN paused_at IS NULL AND cost + $3 >= max_cost THEN 'cost' ELSE paused_for END,
                paused_at = CASE WHEN paused_at IS NULL AND cost + $3 >= max_cost THEN $4 ELSE paused_at END
             WHERE account_id = $1 AND batch = $2",
        )
        .bind(&row.account_id)
        .bind(batch)
        .bind(cents)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map(|_| ())
    })?;
    Ok(())
}
