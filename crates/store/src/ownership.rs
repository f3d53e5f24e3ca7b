//! Which node runs a live call. Source: wire-telephony.md §6.2.
//!
//! The owner is an instance, not a node's name: a node that crashed and came back under its name does
//! not keep its former life's calls alive by its heartbeat.

use std::sync::atomic::Ordering;

use bolo_execution::{ExecutionId, Record};

use crate::{
    Error, Store,
    db::on,
    rows::{ExecutionRow, execution_columns},
};

/// A call that runs somewhere.
#[derive(Debug, Clone)]
pub struct Live {
    /// The row.
    pub record: Record,
    /// Owning node, if any took it.
    pub node: Option<String>,
    /// Last heartbeat of the owner, epoch ms.
    pub seen_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct LiveRow {
    #[sqlx(flatten)]
    execution: ExecutionRow,
    owner_node: Option<String>,
    owner_since: Option<i64>,
    instance_seen_at: Option<i64>,
}

pub(crate) const OPEN_CALLS: &str = concat!(
    "SELECT owner_node, owner_since, (SELECT i.seen_at FROM instances i
        WHERE i.instance = executions.owner_instance) AS instance_seen_at, ",
    execution_columns!(),
    " FROM executions WHERE status IN ('initiated', 'ringing', 'in-progress', 'call-disconnected')
     ORDER BY created_at, id"
);

/// Instances that were not seen for this long are forgotten, ms.
const FORGET_MS: i64 = 24 * 3_600_000;

impl Store {
    /// Makes this node the owner of a live call; the next epoch. Older epochs lose.
    pub async fn own_call(&self, id: ExecutionId, now: i64) -> Result<i64, Error> {
        Ok(on!(self.db().write(), |pool| {
            sqlx::query_scalar(
                "UPDATE executions SET owner_node = $2, owner_instance = $3, owner_epoch = owner_epoch + 1,
                    owner_since = $4 WHERE id = $1 RETURNING owner_epoch",
            )
            .bind(id.to_string())
            .bind(self.node())
            .bind(&self.inner.instance)
            .bind(now)
            .fetch_one(pool)
            .await
        })?)
    }

    /// Heartbeat of all calls this process owns: one row, however many calls.
    pub async fn heartbeat(&self, now: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO instances (instance, node, seen_at) VALUES ($1, $2, $3)
                 ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at",
            )
            .bind(&self.inner.instance)
            .bind(self.node())
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        if !self.inner.was_seen.swap(true, Ordering::Relaxed) {
            self.forget_instances(now).await?;
        }
        Ok(())
    }

    /// Forgets the former lives of nodes.
    async fn forget_instances(&self, now: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM instances WHERE seen_at < $1")
                .bind(now - FORGET_MS)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }

    /// Gives up ownership of this epoch; nothing happens when another has taken the call.
    pub async fn disown_call(&self, id: ExecutionId, epoch: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE executions SET owner_node = NULL, owner_instance = NULL, owner_since = NULL
                 WHERE id = $1 AND owner_epoch = $2",
            )
            .bind(id.to_string())
            .bind(epoch)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        Ok(())
    }

    /// Whether this epoch still owns the call.
    pub async fn owns_call(&self, id: ExecutionId, epoch: i64) -> Result<bool, Error> {
        let found: Option<i64> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT owner_epoch FROM executions WHERE id = $1 AND owner_epoch = $2 AND owner_instance IS NOT NULL",
            )
            .bind(id.to_string())
            .bind(epoch)
            .fetch_optional(pool)
            .await
        })?;
        Ok(found.is_some())
    }

    /// Calls that are initiated, ringing, in progress or disconnected-but-not-completed, oldest first.
    pub async fn open_calls(&self) -> Result<Vec<Live>, Error> {
        let rows: Vec<LiveRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(OPEN_CALLS).fetch_all(pool).await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(Live {
                    record: row.execution.try_into()?,
                    node: row.owner_node,
                    seen_at: row.owner_since.max(row.instance_seen_at),
                })
            })
            .collect()
    }
}
