//! Which of the calls that are due is dialled next. Every account gets its turn; within an account single
//! calls go before those of batches, and agents, batches and calling numbers take turns: a batch of a million
//! calls holds up nobody.
//!
//! Nothing here reads a finished call, nor a waiting one that is not taken: each question is answered from
//! the end of an index.

use std::sync::atomic::Ordering;

use bolo_execution::{Change, Status};
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::{
    Error, Store, Work,
    batch_guard::PAUSED,
    db::{Tx, on},
    limits::Limits,
    lines::free_lines,
    queue::Claimed,
    rows::{ExecutionRow, execution_columns, records},
};

/// Calls that wait to be dialled. Spelled as in the indexes, or these are of no use.
macro_rules! waiting {
    () => {
        "status IN ('queued', 'scheduled', 'rescheduled') AND claimed_by IS NULL"
    };
}

/// What takes turns within an account. No part of it holds a space.
macro_rules! lane {
    () => {
        "(COALESCE(batch, '') || ' ' || agent_id || ' ' || provider || ' ' || from_number)"
    };
}

/// Accounts with a call that is due at `$1` and, as far as a look at 500 of its lines tells, a free line of their
/// own (who may have more of them is not looked at): how many are free is counted once the account is locked.
/// Walks from account to account, not from call to call.
pub(crate) const ACCOUNTS_DUE: &str = concat!(
    "WITH RECURSIVE waiting(id) AS (
        SELECT (SELECT account_id FROM executions WHERE ",
    waiting!(),
    " ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.account_id FROM executions e WHERE ",
    waiting!(),
    " AND e.account_id > waiting.id ORDER BY e.account_id LIMIT 1)
        FROM waiting WHERE waiting.id IS NOT NULL)
     SELECT a.id FROM waiting w JOIN accounts a ON a.id = w.id
     WHERE (SELECT MIN(due_at) FROM executions WHERE account_id = a.id AND ",
    waiting!(),
    ") <= $1 AND (a.concurrency > 500 OR a.concurrency > (SELECT COUNT(*) FROM (
            SELECT 1 FROM executions e WHERE e.account_id = a.id
                AND e.direction = 'outbound' AND e.status IN ('initiated', 'ringing', 'in-progress')
            UNION ALL
            SELECT 1 FROM executions e WHERE e.account_id = a.id
                AND e.status = 'queued' AND e.claimed_by IS NOT NULL
            LIMIT 500) AS lines))
     ORDER BY a.id"
);

/// Lanes of account `$1` with a call that is due at `$2`. Walks from lane to lane.
pub(crate) const LANES_DUE: &str = concat!(
    "WITH RECURSIVE lanes(lane) AS (
        SELECT (SELECT ",
    lane!(),
    " FROM executions WHERE account_id = $1 AND ",
    waiting!(),
    " ORDER BY ",
    lane!(),
    " LIMIT 1)
        UNION ALL
        SELECT (SELECT ",
    lane!(),
    " FROM executions WHERE account_id = $1 AND ",
    waiting!(),
    " AND ",
    lane!(),
    " > lanes.lane ORDER BY ",
    lane!(),
    " LIMIT 1)
        FROM lanes WHERE lanes.lane IS NOT NULL)
     SELECT lane FROM lanes WHERE lane IS NOT NULL
        AND (SELECT MIN(due_at) FROM executions WHERE account_id = $1 AND ",
    waiting!(),
    " AND ",
    lane!(),
    " = lanes.lane) <= $2"
);

/// When the first call that is not due at `$1` falls due.
pub(crate) const NEXT_DUE: &str = concat!(
    "WITH RECURSIVE waiting(id) AS (
        SELECT (SELECT account_id FROM executions WHERE ",
    waiting!(),
    " ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.account_id FROM executions e WHERE ",
    waiting!(),
    " AND e.account_id > waiting.id ORDER BY e.account_id LIMIT 1)
        FROM waiting WHERE waiting.id IS NOT NULL)
     SELECT MIN((SELECT MIN(due_at) FROM executions WHERE account_id = waiting.id AND due_at > $1 AND ",
    waiting!(),
    ")) FROM waiting WHERE waiting.id IS NOT NULL"
);

/// Claims at most `$4` calls of lane `$2` of account `$1` that are due at `$3`. The rows are chosen in a CTE
/// that locks them: as a plain subquery it might run again and choose more.
pub(crate) fn claim_sql(lock: &str) -> String {
    format!(
        "WITH due AS (
             SELECT id FROM executions WHERE account_id = $1 AND {waiting} AND {lane} = $2
                AND due_at <= $3 ORDER BY due_at, id LIMIT $4 {lock})
         UPDATE executions SET claimed_by = $5, lease_until = $6
         WHERE id IN (SELECT id FROM due) RETURNING {columns}",
        waiting = waiting!(),
        lane = lane!(),
        columns = execution_columns!()
    )
}

/// The calls `ids`, which this transaction has claimed, become `$2` at `$3`; whether that is told is in the row.
pub(crate) fn queue_claimed_sql(ids: &str) -> String {
    format!(
        "UPDATE executions SET status = $2,
            updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END,
            sequence = sequence + CASE WHEN webhook_url IS NOT NULL
                AND (webhook_statuses IS NULL OR webhook_statuses LIKE '%\"queued\"%') THEN 1 ELSE 0 END
         WHERE id IN {ids} RETURNING {columns}",
        columns = execution_columns!()
    )
}

/// Calls of one batch (or of none), one agent, one carrier and one calling number.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    key: String,
    pub batch: Option<String>,
    pub agent: String,
    pub provider: String,
    /// Empty = the account's number.
    pub number: String,
}

impl Lane {
    /// As far as limits go.
    pub(crate) fn of(agent: String, provider: String, number: String) -> Self {
        Self {
            key: String::new(),
            batch: None,
            agent,
            provider,
            number,
        }
    }

    fn read(key: String) -> Result<Self, Error> {
        let parts: Vec<&str> = key.splitn(4, ' ').collect();
        let [batch, agent, provider, number] = parts[..] else {
            return Err(Error::Corrupt(format!("lane {key:?}")));
        };
        Ok(Self {
            batch: Some(batch.to_owned()).filter(|batch| !batch.is_empty()),
            agent: agent.to_owned(),
            provider: provider.to_owned(),
            number: number.to_owned(),
            key,
        })
    }
}

impl Store {
    /// Claims up to `limit` calls that are due for this node, as far as their accounts have free lines and
    /// their limits allow. A claimed call is `queued`, and was told so. Committed before anyone dials: after
    /// a crash the row is an attempt to look into, not a job to repeat.
    pub async fn claim_due(
        &self,
        now: i64,
        lease_ms: i64,
        limit: i64,
    ) -> Result<Vec<Claimed>, Error> {
        if limit <= 0 {
            return Ok(Vec::new());
        }
        self.queue_scheduled(now).await?;
        let accounts: Vec<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(ACCOUNTS_DUE)
                .bind(now)
                .fetch_all(pool)
                .await
        })?;
        // Who is first changes each time, so that whoever is left over today is first tomorrow.
        let turn = self.inner.turns.fetch_add(1, Ordering::Relaxed);
        let inner_turn = turn / accounts.len().max(1);
        let mut left = limit;
        let mut claimed = Vec::new();
        let mut accounts = in_turn(accounts, turn);
        while left > 0 && !accounts.is_empty() {
            let mut more = Vec::new();
            let count = accounts.len();
            for (n, account) in accounts.into_iter().enumerate() {
                let share = share(left, count - n);
                let rows = self
                    .claim_of(&account, inner_turn, share, now, now + lease_ms)
                    .await?;
                let taken = rows.len() as i64;
                claimed.extend(records(rows)?);
                left -= taken;
                if taken == share {
                    more.push(account);
                }
                if left == 0 {
                    break;
                }
            }
            accounts = more;
        }
        claimed.sort_by_key(|record| (record.due_at, record.id));
        Ok(claimed
            .into_iter()
            .map(|record| Claimed { record })
            .collect())
    }

    /// Claims calls of one account in a transaction of its own.
    async fn claim_of(
        &self,
        account: &str,
        turn: usize,
        limit: i64,
        now: i64,
        lease_until: i64,
    ) -> Result<Vec<ExecutionRow>, Error> {
        let mut tx = self.db().begin().await?;
        let mut left = free_lines(&mut tx, account).await?.min(limit);
        if left <= 0 {
            return Ok(Vec::new());
        }
        let mut limits = Limits::read(&mut tx, account, now).await?;
        let paused: Vec<String> = on!(&mut tx, |tx| {
            sqlx::query_scalar(PAUSED)
                .bind(account)
                .fetch_all(&mut **tx)
                .await
        })?;
        let is_paused = |lane: &Lane| lane.batch.as_ref().is_some_and(|id| paused.contains(id));
        let (single, batch): (Vec<Lane>, Vec<Lane>) = lanes(&mut tx, account, now)
            .await?
            .into_iter()
            .filter(|lane| !is_paused(lane))
            .partition(|lane| lane.batch.is_none());
        let mut claimed = Vec::new();
        for lanes in [single, batch] {
            let mut lanes = in_turn(lanes, turn);
            while left > 0 && !lanes.is_empty() {
                let mut more = Vec::new();
                let count = lanes.len();
                for (n, lane) in lanes.into_iter().enumerate() {
                    let share = share(left, count - n);
                    let allowed = limits.allow(&lane, share);
                    if allowed <= 0 {
                        continue;
                    }
                    let rows = self
                        .claim(&mut tx, account, &lane, now, lease_until, allowed)
                        .await?;
                    let taken = rows.len() as i64;
                    limits.taken(&lane, taken);
                    claimed.extend(rows);
                    left -= taken;
                    if taken == share {
                        more.push(lane);
                    }
                    if left == 0 {
                        break;
                    }
                }
                lanes = more;
            }
        }
        if claimed.is_empty() {
            return Ok(claimed);
        }
        limits.write(&mut tx).await?;
        let told = self.queue_claimed(&mut tx, &mut claimed, now).await?;
        tx.commit().await?;
        if told {
            self.signals().wake_worker(Work::Webhooks);
        }
        Ok(claimed)
    }

    /// Claims the oldest due calls of one lane, whose account is locked.
    async fn claim(
        &self,
        tx: &mut Tx,
        account: &str,
        lane: &Lane,
        now: i64,
        lease_until: i64,
        limit: i64,
    ) -> Result<Vec<ExecutionRow>, Error> {
        // A row that someone just changes is skipped, never waited for.
        let sql = AssertSqlSafe(claim_sql(tx.lock("FOR NO KEY UPDATE SKIP LOCKED")));
        Ok(on!(tx, |tx| {
            sqlx::query_as(sql)
                .bind(account)
                .bind(&lane.key)
                .bind(now)
                .bind(limit)
                .bind(&self.inner.instance)
                .bind(lease_until)
                .fetch_all(&mut **tx)
                .await
        })?)
    }

    /// Of these calls those that were only scheduled become `queued`; whether webhooks tell of it.
    async fn queue_claimed(
        &self,
        tx: &mut Tx,
        claimed: &mut Vec<ExecutionRow>,
        now: i64,
    ) -> Result<bool, Error> {
        let mut told = false;
        let mut queued = Vec::with_capacity(claimed.len());
        let mut others = Vec::new();
        for row in claimed.drain(..) {
            if row.status()? == Status::Queued {
                queued.push(row);
            } else {
                others.push(Value::String(row.id));
            }
        }
        if !others.is_empty() {
            let to = Status::Scheduled.after(Change::Due)?;
            let sql = AssertSqlSafe(queue_claimed_sql(&tx.texts_of("$1")));
            let rows: Vec<ExecutionRow> = on!(&mut *tx, |tx| {
                sqlx::query_as(sql)
                    .bind(Value::Array(others).to_string())
                    .bind(to.as_str())
                    .bind(now)
                    .fetch_all(&mut **tx)
                    .await
            })?;
            for row in &rows {
                told |= row.webhook_for(to)?.is_some();
                self.tell_in(tx, row.clone(), now).await?;
            }
            queued.extend(rows);
        }
        *claimed = queued;
        Ok(told)
    }

    /// When the next call falls due, or a limit lets another one through, after `now`. What is due already
    /// waits for a call to end, and every change wakes the worker.
    pub async fn next_due(&self, now: i64) -> Result<Option<i64>, Error> {
        let (due, allowed): (Option<i64>, Option<i64>) = on!(self.db().read(), |pool| (
            sqlx::query_scalar(NEXT_DUE)
                .bind(now)
                .fetch_one(pool)
                .await?,
            sqlx::query_scalar(crate::limits::NEXT_ALLOWED)
                .bind(now)
                .fetch_one(pool)
                .await?
        ));
        Ok(due.into_iter().chain(allowed).min())
    }
}

/// The part of `left` that the first of so many gets.
fn share(left: i64, among: usize) -> i64 {
    (left / among.max(1) as i64).max(1)
}

fn in_turn<T>(mut items: Vec<T>, turn: usize) -> Vec<T> {
    if !items.is_empty() {
        let first = turn % items.len();
        items.rotate_left(first);
    }
    items
}

/// Lanes of the account with a call that is due.
async fn lanes(tx: &mut Tx, account: &str, now: i64) -> Result<Vec<Lane>, Error> {
    let keys: Vec<String> = on!(tx, |tx| sqlx::query_scalar(LANES_DUE)
        .bind(account)
        .bind(now)
        .fetch_all(&mut **tx)
        .await)?;
    keys.into_iter().map(Lane::read).collect()
}
