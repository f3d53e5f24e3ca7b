//! The dial queue is the executions table: claiming, dialling at most once, giving back.
//! Source: wire-telephony.md §6.1.

use bolo_execution::{AccountId, Change, ExecutionId, Record};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Facts, Store,
    db::{Tx, clean, on, or_conflict},
    rows::{ExecutionRow, execution_columns, records, uuid},
};

/// A call that this node may dial now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The row, still `queued`.
    pub record: Record,
}

/// A dial whose request may have left: written before the request (wire-telephony.md §6.1).
#[derive(Debug, Clone)]
pub struct Intent {
    /// The row.
    pub record: Record,
    /// When the intent was written.
    pub since: i64,
}

/// Outbound calls of account `$1` that hold one of its lines: claimed for dialling or at the carrier.
pub(crate) const LIVE_CALLS: &str = "SELECT
    (SELECT COUNT(*) FROM executions WHERE account_id = $1
        AND direction = 'outbound' AND status IN ('initiated', 'ringing', 'in-progress'))
  + (SELECT COUNT(*) FROM executions WHERE account_id = $1
        AND status = 'queued' AND claimed_by IS NOT NULL)";

/// Calls whose time has come, by `$1`, at most `$2`.
pub(crate) const SCHEDULED: &str = "SELECT id FROM executions
    WHERE status IN ('scheduled', 'rescheduled') AND due_at <= $1 ORDER BY due_at, id LIMIT $2";

pub(crate) const NEXT_DUE: &str = "SELECT MIN(due_at) FROM (
    SELECT MIN(due_at) AS due_at FROM executions WHERE status IN ('scheduled', 'rescheduled')
    UNION ALL
    SELECT (SELECT MIN(e.due_at) FROM executions e
            WHERE e.account_id = a.id AND e.status = 'queued' AND e.claimed_by IS NULL) AS due_at
    FROM accounts a WHERE a.concurrency >
        (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
            AND e.direction = 'outbound' AND e.status IN ('initiated', 'ringing', 'in-progress'))
      + (SELECT COUNT(*) FROM executions e WHERE e.account_id = a.id
            AND e.status = 'queued' AND e.claimed_by IS NOT NULL)) AS next";

pub(crate) const FREE_EXPIRED: &str = "UPDATE executions SET claimed_by = NULL, lease_until = NULL
    WHERE status = 'queued' AND claimed_by IS NOT NULL AND lease_until <= $1 AND dialing_since IS NULL";

pub(crate) const BOUND: &str = "SELECT carrier_call_id FROM executions
    WHERE account_id = $1 AND to_number = $2 AND from_number = $3 AND updated_at >= $4
        AND carrier_call_id IS NOT NULL";

pub(crate) const UNSETTLED: &str = concat!(
    "SELECT dialing_since, ",
    execution_columns!(),
    " FROM executions WHERE dialing_since IS NOT NULL AND dialing_since < $1 ORDER BY dialing_since"
);

/// Claims at most `$3` calls of account `$1` that are due at `$2`. The rows are chosen in a CTE that
/// locks them: as a plain subquery it might run again and choose more.
pub(crate) fn claim_sql(lock: &str) -> String {
    format!(
        "WITH due AS (
             SELECT id FROM executions WHERE account_id = $1 AND status = 'queued' AND claimed_by IS NULL
                AND due_at <= $2 ORDER BY due_at, id LIMIT $3 {lock})
         UPDATE executions SET claimed_by = $4, lease_until = $5
         WHERE id IN (SELECT id FROM due) RETURNING {}",
        execution_columns!()
    )
}

pub(crate) fn waiting_sql(lock: &str) -> String {
    format!(
        "SELECT a.id, a.concurrency, (SELECT MIN(e.due_at) FROM executions e
            WHERE e.account_id = a.id AND e.status = 'queued' AND e.claimed_by IS NULL) AS oldest
         FROM accounts a WHERE EXISTS (SELECT 1 FROM executions e
            WHERE e.account_id = a.id AND e.status = 'queued' AND e.claimed_by IS NULL AND e.due_at <= $1)
         ORDER BY a.id {lock}"
    )
}

/// An account with calls that are due.
#[derive(sqlx::FromRow)]
struct Waiting {
    id: String,
    concurrency: i64,
    oldest: i64,
}

#[derive(sqlx::FromRow)]
struct IntentRow {
    #[sqlx(flatten)]
    execution: ExecutionRow,
    dialing_since: i64,
}

impl Store {
    /// Claims up to `limit` due calls for this node, at most as many per account as its concurrency
    /// leaves free, oldest first. Also turns due `scheduled` and `rescheduled` rows into `queued`.
    /// Committed before anyone dials: after a crash the row is an attempt to look into, not a job to
    /// repeat.
    pub async fn claim_due(
        &self,
        now: i64,
        lease_ms: i64,
        limit: i64,
    ) -> Result<Vec<Claimed>, Error> {
        if limit <= 0 {
            return Ok(Vec::new());
        }
        self.queue_scheduled(now, limit).await?;
        let mut tx = self.db().begin().await?;
        let mut claimed = Vec::new();
        for account in waiting(&mut tx, now).await? {
            let left = limit - i64::try_from(claimed.len()).unwrap_or(i64::MAX);
            if left <= 0 {
                break;
            }
            let live: i64 = on!(&mut tx, |tx| {
                sqlx::query_scalar(LIVE_CALLS)
                    .bind(&account.id)
                    .fetch_one(&mut **tx)
                    .await
            })?;
            let free = account.concurrency - live;
            if free > 0 {
                claimed.extend(
                    self.claim(&mut tx, &account.id, now, now + lease_ms, free.min(left))
                        .await?,
                );
            }
        }
        tx.commit().await?;
        let mut claimed = records(claimed)?;
        claimed.sort_by_key(|record| (record.due_at, record.id));
        Ok(claimed
            .into_iter()
            .map(|record| Claimed { record })
            .collect())
    }

    /// Due `scheduled` and `rescheduled` calls become `queued`, with their webhooks.
    async fn queue_scheduled(&self, now: i64, limit: i64) -> Result<(), Error> {
        // Looked at without the write lock: mostly there is none.
        let ids: Vec<String> = on!(self.db().read(), |pool| sqlx::query_scalar(SCHEDULED)
            .bind(now)
            .bind(limit)
            .fetch_all(pool)
            .await)?;
        if ids.is_empty() {
            return Ok(());
        }
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(format!(
            "{SCHEDULED} {}",
            tx.lock("FOR NO KEY UPDATE SKIP LOCKED")
        ));
        let ids: Vec<String> = on!(&mut tx, |tx| sqlx::query_scalar(sql)
            .bind(now)
            .bind(limit)
            .fetch_all(&mut **tx)
            .await)?;
        for id in ids {
            self.change_in(
                &mut tx,
                ExecutionId(uuid(&id)?),
                Change::Due,
                &Facts::default(),
                now,
            )
            .await?;
        }
        tx.commit().await
    }

    /// Claims the oldest due calls of one account, whose row is locked.
    async fn claim(
        &self,
        tx: &mut Tx,
        account: &str,
        now: i64,
        lease_until: i64,
        limit: i64,
    ) -> Result<Vec<ExecutionRow>, Error> {
        // A row that someone just changes is skipped, never waited for.
        let sql = AssertSqlSafe(claim_sql(tx.lock("FOR NO KEY UPDATE SKIP LOCKED")));
        Ok(on!(tx, |tx| {
            sqlx::query_as(sql)
                .bind(account)
                .bind(now)
                .bind(limit)
                .bind(&self.inner.instance)
                .bind(lease_until)
                .fetch_all(&mut **tx)
                .await
        })?)
    }

    /// Gives a claimed row back, to be claimed again at `due_at`: nothing was sent. `Conflict` when the
    /// row is no longer ours or no longer queued, or a dial of it is of unknown outcome.
    pub async fn release(&self, id: ExecutionId, due_at: i64, now: i64) -> Result<(), Error> {
        let done = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET claimed_by = NULL, lease_until = NULL, due_at = $3,
                    updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END
                 WHERE id = $1 AND claimed_by = $2 AND status = 'queued' AND dialing_since IS NULL",
            )
            .bind(id.to_string())
            .bind(&self.inner.instance)
            .bind(due_at)
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if done == 0 {
            self.execution_unscoped(id).await?;
            return Err(Error::Conflict("the call is no longer ours to dial"));
        }
        self.signals().wake_worker();
        Ok(())
    }

    /// Writes the intent to dial: the next attempt's number. `Conflict` when the row is no longer ours
    /// or no longer queued (stopped meanwhile), or another dial of the same pair of numbers is unknown.
    pub async fn intend_dial(&self, id: ExecutionId, from: &str, now: i64) -> Result<i64, Error> {
        let attempt: Option<i64> = on!(self.db().write(), |pool| {
            sqlx::query_scalar(
                "UPDATE executions SET dialing_since = $4, from_number = $3, attempt = attempt + 1,
                    updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END
                 WHERE id = $1 AND claimed_by = $2 AND status = 'queued' AND dialing_since IS NULL
                 RETURNING attempt",
            )
            .bind(id.to_string())
            .bind(&self.inner.instance)
            .bind(clean(from))
            .bind(now)
            .fetch_optional(pool)
            .await
        })
        .map_err(|error| {
            or_conflict(error, "another dial of these numbers is of unknown outcome")
        })?;
        match attempt {
            Some(attempt) => Ok(attempt),
            None => {
                self.execution_unscoped(id).await?;
                Err(Error::Conflict("the call is no longer ours to dial"))
            }
        }
    }

    /// The dial's outcome is known: accepted, refused or looked up. To be called after the outcome is
    /// written: a settled row that is still `queued` is dialled again when its claim runs out.
    pub async fn settle_dial(&self, id: ExecutionId, now: i64) -> Result<(), Error> {
        let done = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET dialing_since = NULL,
                    updated_at = CASE WHEN updated_at > $2 OR dialing_since IS NULL THEN updated_at ELSE $2 END
                 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if done == 0 {
            Err(Error::NotFound)
        } else {
            Ok(())
        }
    }

    /// Dials whose intent is older than `before` and not settled: by this node unknown, or its node died.
    /// In any status: a call stopped meanwhile may ring all the same. Oldest first.
    pub async fn unsettled_dials(&self, before: i64) -> Result<Vec<Intent>, Error> {
        let rows: Vec<IntentRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(UNSETTLED).bind(before).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(Intent {
                    record: row.execution.try_into()?,
                    since: row.dialing_since,
                })
            })
            .collect()
    }

    /// Claimed rows whose lease ran out with no intent written: freed for others.
    pub async fn free_expired_claims(&self, now: i64) -> Result<u64, Error> {
        let freed = on!(self.db().write(), |pool| {
            sqlx::query(FREE_EXPIRED)
                .bind(now)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        if freed > 0 {
            self.signals().wake_worker();
        }
        Ok(freed)
    }

    /// Carrier ids bound to executions for this pair of numbers since a time (those of any execution
    /// that changed since then).
    pub async fn bound_calls(
        &self,
        account: AccountId,
        to: &str,
        from: &str,
        since: i64,
    ) -> Result<Vec<String>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(BOUND)
                .bind(account.to_string())
                .bind(clean(to))
                .bind(clean(from))
                .bind(since)
                .fetch_all(pool)
                .await
        })?)
    }

    /// When the next call falls due, if any waits. Calls of accounts without a free line don't count:
    /// they wait for a call to end, and every change wakes the worker.
    pub async fn next_due(&self) -> Result<Option<i64>, Error> {
        Ok(on!(self.db().read(), |pool| sqlx::query_scalar(NEXT_DUE)
            .fetch_one(pool)
            .await)?)
    }
}

/// Accounts with queued calls that are due, the one that waits longest first. Locked, so that two nodes
/// can't both take an account's last line; without blocking the creation of calls.
async fn waiting(tx: &mut Tx, now: i64) -> Result<Vec<Waiting>, Error> {
    let sql = AssertSqlSafe(waiting_sql(tx.lock("FOR NO KEY UPDATE OF a")));
    let mut accounts: Vec<Waiting> = on!(tx, |tx| sqlx::query_as(sql)
        .bind(now)
        .fetch_all(&mut **tx)
        .await)?;
    accounts.sort_by_key(|account| account.oldest);
    Ok(accounts)
}

impl Store {
    /// Stops an agent's waiting calls within a transaction; their ids. In one order of ids, so that two
    /// of these can't wait for each other.
    pub(crate) async fn stop_waiting_in(
        &self,
        tx: &mut Tx,
        account: AccountId,
        agent: bolo_execution::AgentId,
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        let sql = AssertSqlSafe(format!(
            "SELECT id FROM executions WHERE account_id = $1 AND agent_id = $2
                AND status IN ('prepared', 'scheduled', 'queued', 'rescheduled') ORDER BY id {}",
            tx.lock("FOR NO KEY UPDATE")
        ));
        let ids: Vec<String> = on!(&mut *tx, |tx| {
            sqlx::query_scalar(sql)
                .bind(account.to_string())
                .bind(agent.to_string())
                .fetch_all(&mut **tx)
                .await
        })?;
        let mut stopped = Vec::with_capacity(ids.len());
        for id in ids {
            let id = ExecutionId(uuid(&id)?);
            self.change_in(tx, id, Change::StopAsked, &Facts::default(), now)
                .await?;
            stopped.push(id);
        }
        Ok(stopped)
    }
}
