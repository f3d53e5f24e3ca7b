//! The dial queue is the executions table: claiming, dialling at most once, giving back.
//! Source: wire-telephony.md §6.1.

use bolo_execution::{AccountId, Change, ExecutionId, Record};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Facts, Instance, Store, Work,
    claiming::scheduled,
    db::{Tx, clean, on, or_conflict},
    rows::{ExecutionRow, execution_columns, uuid},
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

/// Single calls whose time has come, by `$1`, at most `$2`.
pub(crate) const SCHEDULED: &str = concat!(
    "SELECT id FROM executions WHERE ",
    scheduled!(),
    " ORDER BY due_at, id LIMIT $2"
);

/// Calls that become queued in one transaction.
const QUEUED_AT_ONCE: i64 = 200;

pub(crate) const FREE_EXPIRED: &str = "UPDATE executions SET claimed_by = NULL, lease_until = NULL
    WHERE status = 'queued' AND claimed_by IS NOT NULL AND lease_until <= $1 AND dialing_since IS NULL";

/// What instance `$1` has claimed and not begun to dial, if it was not seen again since `$2`.
pub(crate) const FREE_LOST: &str = "UPDATE executions SET claimed_by = NULL, lease_until = NULL
    WHERE status = 'queued' AND claimed_by IS NOT NULL AND claimed_by = $1 AND dialing_since IS NULL
        AND EXISTS (SELECT 1 FROM instances i WHERE i.instance = $1 AND i.seen_at = $2)";

/// What instance `$1` has claimed and not begun to dial.
pub(crate) const FREE_OWN: &str = "UPDATE executions SET claimed_by = NULL, lease_until = NULL
    WHERE status = 'queued' AND claimed_by IS NOT NULL AND claimed_by = $1 AND dialing_since IS NULL";

/// What others than instance `$1` have claimed and not begun to dial.
pub(crate) const FREE_FORMER: &str = "UPDATE executions SET claimed_by = NULL, lease_until = NULL
    WHERE status = 'queued' AND claimed_by IS NOT NULL AND claimed_by <> $1 AND dialing_since IS NULL";

pub(crate) const BOUND: &str = "SELECT carrier_call_id FROM executions
    WHERE account_id = $1 AND to_number = $2 AND from_number = $3 AND updated_at >= $4
        AND carrier_call_id IS NOT NULL";

pub(crate) const UNSETTLED: &str = concat!(
    "SELECT dialing_since, ",
    execution_columns!(),
    " FROM executions WHERE dialing_since IS NOT NULL AND dialing_since < $1 ORDER BY dialing_since"
);

#[derive(sqlx::FromRow)]
struct IntentRow {
    #[sqlx(flatten)]
    execution: ExecutionRow,
    dialing_since: i64,
}

impl Store {
    /// Due `scheduled` and `rescheduled` single calls become `queued`, with their webhooks, whether or not
    /// there is a line for them. Those of batches wait as they are until they are claimed.
    pub(crate) async fn queue_scheduled(&self, now: i64) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(format!(
            "{SCHEDULED} {}",
            tx.lock("FOR NO KEY UPDATE SKIP LOCKED")
        ));
        let ids: Vec<String> = on!(&mut tx, |tx| sqlx::query_scalar(sql)
            .bind(now)
            .bind(QUEUED_AT_ONCE)
            .fetch_all(&mut **tx)
            .await)?;
        let mut told = false;
        for id in ids {
            let changed = self
                .change_in(
                    &mut tx,
                    None,
                    ExecutionId(uuid(&id)?),
                    Change::Due,
                    &Facts::default(),
                    now,
                )
                .await?;
            told |= changed.told;
        }
        tx.commit().await?;
        if told {
            self.signals().wake_worker(Work::Webhooks);
        }
        Ok(())
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
        self.given_back(id, done).await
    }

    async fn given_back(&self, id: ExecutionId, rows: u64) -> Result<(), Error> {
        if rows == 0 {
            self.execution_unscoped(id).await?;
            return Err(Error::Conflict("the call is no longer ours to dial"));
        }
        self.signals().wake_worker(Work::Dials);
        Ok(())
    }

    /// Writes the intent to dial: the next attempt's number. `Conflict` when the row is no longer ours
    /// or no longer queued (it or its batch was stopped), or another dial of the same pair of numbers is unknown.
    pub async fn intend_dial(&self, id: ExecutionId, from: &str, now: i64) -> Result<i64, Error> {
        let attempt: Option<i64> = on!(self.db().write(), |pool| {
            sqlx::query_scalar(
                "UPDATE executions SET dialing_since = $4, from_number = $3, attempt = attempt + 1,
                    updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END
                 WHERE id = $1 AND claimed_by = $2 AND status = 'queued' AND dialing_since IS NULL
                    AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = executions.batch
                        AND (b.stopped_at IS NOT NULL OR b.deleted_at IS NOT NULL))
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

    /// Takes back the intent of `since`, of which nobody knows whether it was written, and gives the row back: nothing
    /// was sent. `Conflict` when the row is no longer ours or no longer queued, or another intent stands there.
    pub async fn withdraw_dial(
        &self,
        id: ExecutionId,
        since: i64,
        due_at: i64,
        now: i64,
    ) -> Result<(), Error> {
        let done = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET dialing_since = NULL, claimed_by = NULL, lease_until = NULL, due_at = $4,
                    updated_at = CASE WHEN updated_at > $5 THEN updated_at ELSE $5 END
                 WHERE id = $1 AND claimed_by = $2 AND status = 'queued'
                    AND (dialing_since IS NULL OR dialing_since = $3)",
            )
            .bind(id.to_string())
            .bind(&self.inner.instance)
            .bind(since)
            .bind(due_at)
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        self.given_back(id, done).await
    }

    /// The outcome of this attempt's dial is known: accepted, refused or looked up. To be called after the
    /// outcome is written: a settled row that is still `queued` is dialled again when its claim runs out.
    pub async fn settle_dial(&self, id: ExecutionId, attempt: i64, now: i64) -> Result<(), Error> {
        let done = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET dialing_since = NULL,
                    updated_at = CASE WHEN updated_at > $3 OR dialing_since IS NULL THEN updated_at ELSE $3 END
                 WHERE id = $1 AND attempt = $2",
            )
            .bind(id.to_string())
            .bind(attempt)
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if done == 0 {
            self.execution_unscoped(id).await?;
            return Err(Error::Superseded);
        }
        Ok(())
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
        Ok(self.to_be_dialled(freed))
    }

    /// Claims of an instance that was last seen as given and not since: freed for others. One that lives all
    /// the same finds its claims gone before it dials.
    pub async fn free_lost_claims(&self, instance: &Instance) -> Result<u64, Error> {
        let freed = on!(self.db().write(), |pool| {
            sqlx::query(FREE_LOST)
                .bind(&instance.name)
                .bind(instance.seen_at)
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(self.to_be_dialled(freed))
    }

    /// Claims of a node's former lives, for one that is alone: freed, so that their calls need not wait until
    /// these run out. One that lives all the same finds its claims gone before it dials.
    pub async fn free_former_claims(&self) -> Result<u64, Error> {
        self.free_by_instance(FREE_FORMER).await
    }

    /// All claims of this process, for when it is about to dial none of them: it was not told that it has them, or could
    /// not give them back.
    pub async fn free_own_claims(&self) -> Result<u64, Error> {
        self.free_by_instance(FREE_OWN).await
    }

    async fn free_by_instance(&self, sql: &'static str) -> Result<u64, Error> {
        let freed = on!(self.db().write(), |pool| {
            sqlx::query(sql)
                .bind(self.instance())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(self.to_be_dialled(freed))
    }

    /// Whoever dials looks for the freed calls now.
    fn to_be_dialled(&self, freed: u64) -> u64 {
        if freed > 0 {
            self.signals().wake_worker(Work::Dials);
        }
        freed
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
}

impl Store {
    /// Stops an agent's waiting calls of no batch within a transaction; their ids. In one order of ids, so that two
    /// of these can't wait for each other.
    pub(crate) async fn stop_waiting_in(
        &self,
        tx: &mut Tx,
        account: AccountId,
        agent: bolo_execution::AgentId,
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        let sql = AssertSqlSafe(format!(
            "SELECT id FROM executions WHERE account_id = $1 AND agent_id = $2 AND batch IS NULL
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
            self.change_in(tx, None, id, Change::StopAsked, &Facts::default(), now)
                .await?;
            stopped.push(id);
        }
        Ok(stopped)
    }
}
