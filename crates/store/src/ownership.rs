//! Which node runs a live call. Source: wire-telephony.md §6.2.
//!
//! The owner is an instance, not a node's name: a node that crashed and came back under its name does
//! not keep its former life's calls alive by its heartbeat.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use bolo_execution::{Change, ExecutionId, Illegal, Record, Status, Transfer};

use crate::{
    Command, Error, SILENT, Store,
    db::on,
    rows::{ExecutionRow, execution_columns, uuid},
};

/// A call that runs somewhere, or should.
#[derive(Debug, Clone)]
pub struct Live {
    /// The row.
    pub record: Record,
    /// The process that owns it, if any took it.
    pub owner: Option<String>,
    /// How often it was taken.
    pub epoch: i64,
}

/// A process that owns calls, or owned some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name: unlike a node's the name of one life.
    pub name: String,
    /// Its last heartbeat by its own clock, epoch ms: to be compared with itself only.
    pub seen_at: i64,
    /// Calls it may still take.
    pub room: i64,
}

/// A call in progress whose owner may be gone.
#[derive(Debug, Clone)]
pub struct Lost {
    /// The row.
    pub record: Record,
    /// Its owner's.
    pub epoch: i64,
}

/// A call of this process, as its row has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owned {
    /// Since when this process owns it.
    pub epoch: i64,
    /// How it stands.
    pub status: Status,
}

/// When this process last told that it lives.
#[derive(Debug, Default)]
pub(crate) struct LastBeat(Mutex<Option<Instant>>);

impl LastBeat {
    fn was(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(at);
    }

    /// Within a third of what makes a process count as dead.
    fn is_recent(&self) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|last| last.elapsed() < SILENT / 3)
    }
}

#[derive(sqlx::FromRow)]
struct LiveRow {
    #[sqlx(flatten)]
    execution: ExecutionRow,
    owner_instance: Option<String>,
    owner_epoch: i64,
}

impl TryFrom<LiveRow> for Live {
    type Error = Error;

    fn try_from(row: LiveRow) -> Result<Self, Error> {
        Ok(Self {
            record: row.execution.try_into()?,
            owner: row.owner_instance,
            epoch: row.owner_epoch,
        })
    }
}

#[derive(sqlx::FromRow)]
struct LostRow {
    #[sqlx(flatten)]
    execution: ExecutionRow,
    owner_epoch: i64,
}

/// Those of which nothing was heard since `$1`, and all whose end is under way.
pub(crate) const OPEN_CALLS: &str = concat!(
    "SELECT owner_instance, owner_epoch, ",
    execution_columns!(),
    " FROM executions WHERE status IN ('initiated', 'ringing', 'in-progress', 'call-disconnected')
        AND (updated_at <= $1 OR status = 'call-disconnected')
     ORDER BY created_at, id"
);

/// Calls in progress of instance `$1`, if it was not seen again since `$2`.
pub(crate) const LOST_CALLS: &str = concat!(
    "SELECT owner_epoch, ",
    execution_columns!(),
    " FROM executions WHERE owner_instance = $1 AND status = 'in-progress' AND EXISTS (
        SELECT 1 FROM instances i WHERE i.instance = $1 AND i.seen_at = $2)"
);

/// One row of all: each row that the driver reads is a message from thread to thread.
pub(crate) const OWNED_CALLS: &str =
    "SELECT string_agg(id || ' ' || owner_epoch || ' ' || status, ',')
    FROM executions WHERE owner_instance = $1";

pub(crate) const TRANSFERS: &str = "SELECT id, transfer FROM executions
    WHERE owner_instance = $1 AND transfer IS NOT NULL";

/// Nodes, each with the number of calls of ours that have no media yet.
pub(crate) const AND_RINGING: &str =
    "SELECT instance, seen_at, room, (SELECT COUNT(*) FROM executions
        WHERE status IN ('initiated', 'ringing', 'in-progress', 'call-disconnected')
            AND status IN ('initiated', 'ringing'))
    FROM instances";

const BEAT: &str = "INSERT INTO instances (instance, node, seen_at, room) VALUES ($1, $2, $3, $4)
    ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at,
        room = COALESCE(excluded.room, instances.room)";

fn instance((name, seen_at, room): (String, i64, Option<i64>)) -> Instance {
    Instance {
        name,
        seen_at,
        room: room.unwrap_or(i64::MAX),
    }
}

impl Store {
    /// Makes this node the owner of a live call; the next epoch. Older epochs lose, and are told so. Who owns a call
    /// was seen within the last second: an owner is never one that was not seen for long. `Illegal` when the call is
    /// over.
    pub async fn own_call(&self, id: ExecutionId, now: i64) -> Result<Live, Error> {
        if !self.inner.beat.is_recent() {
            self.beat(now, None).await?;
        }
        // An owner is one as long as its process lives.
        let row: Option<LiveRow> = on!(self.db().write_unsynced(), |pool| {
            sqlx::query_as(concat!(
                "UPDATE executions SET owner_node = $2, owner_instance = $3, owner_epoch = owner_epoch + 1,
                    owner_since = $4
                 WHERE id = $1 AND status NOT IN ('completed', 'busy', 'no-answer', 'balance-low', 'canceled',
                    'failed', 'stopped', 'error', 'call-disconnected')
                 RETURNING owner_instance, owner_epoch, ",
                execution_columns!()
            ))
            .bind(id.to_string())
            .bind(self.node())
            .bind(&self.inner.instance)
            .bind(now)
            .fetch_optional(pool)
            .await
        })?;
        let Some(row) = row else {
            let from = self.execution_unscoped(id).await?.status;
            let change = Change::Answered;
            return Err(Error::Illegal(Illegal { from, change }));
        };
        let live: Live = row.try_into()?;
        let epoch = live.epoch;
        self.signals()
            .tell_others(id, Command::TakenOver { epoch })
            .await;
        Ok(live)
    }

    /// Heartbeat of all calls this process owns: one row, however many calls. `room`: how many more it may
    /// take.
    pub async fn heartbeat(&self, now: i64, room: i64) -> Result<(), Error> {
        self.beat(now, Some(room)).await
    }

    async fn beat(&self, now: i64, room: Option<i64>) -> Result<(), Error> {
        let begun = Instant::now();
        on!(self.db().write(), |pool| {
            sqlx::query(BEAT)
                .bind(&self.inner.instance)
                .bind(self.node())
                .bind(now)
                .bind(room)
                .execute(pool)
                .await
                .map(drop)
        })?;
        self.inner.beat.was(begun);
        Ok(())
    }

    /// This process owns nothing any more.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM instances WHERE instance = $1")
                .bind(&self.inner.instance)
                .execute(pool)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Name of this life of the node.
    pub fn instance(&self) -> &str {
        &self.inner.instance
    }

    /// All processes that tell of themselves or left something behind, this one too.
    pub async fn instances(&self) -> Result<Vec<Instance>, Error> {
        let rows: Vec<(String, i64, Option<i64>)> = on!(self.db().read(), |pool| {
            sqlx::query_as("SELECT instance, seen_at, room FROM instances")
                .fetch_all(pool)
                .await
        })?;
        Ok(rows.into_iter().map(instance).collect())
    }

    /// The same, and how many calls may want one of them soon: dialled or coming in, and not yet answered.
    pub async fn instances_and_ringing(&self) -> Result<(Vec<Instance>, i64), Error> {
        type Row = (String, i64, Option<i64>, i64);
        let rows: Vec<Row> = on!(self.db().read(), |pool| {
            sqlx::query_as(AND_RINGING).fetch_all(pool).await
        })?;
        let ringing = rows.first().map_or(0, |row| row.3);
        let all = rows.into_iter();
        let all = all.map(|(name, seen_at, room, _)| instance((name, seen_at, room)));
        Ok((all.collect(), ringing))
    }

    /// Calls in progress of a process that was last seen at `seen_at` and not since.
    pub async fn lost_calls(&self, instance: &Instance) -> Result<Vec<Lost>, Error> {
        let rows: Vec<LostRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(LOST_CALLS)
                .bind(&instance.name)
                .bind(instance.seen_at)
                .fetch_all(pool)
                .await
        })?;
        let lost = |row: LostRow| {
            Ok(Lost {
                record: row.execution.try_into()?,
                epoch: row.owner_epoch,
            })
        };
        rows.into_iter().map(lost).collect()
    }

    /// The calls that this process owns.
    pub async fn owned_calls(&self) -> Result<HashMap<ExecutionId, Owned>, Error> {
        let all: Option<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(OWNED_CALLS)
                .bind(&self.inner.instance)
                .fetch_one(pool)
                .await
        })?;
        let owned = |call: &str| {
            let unreadable = || Error::Corrupt(format!("owned call: {call}"));
            let mut words = call.split(' ');
            let mut word = || words.next().ok_or_else(unreadable);
            let id = ExecutionId(uuid(word()?)?);
            let epoch = word()?.parse().map_err(|_| unreadable())?;
            let status = crate::rows::status(word()?)?;
            Ok((id, Owned { epoch, status }))
        };
        let all = all.unwrap_or_default();
        let calls = all.split(',').filter(|call| !call.is_empty());
        calls.map(owned).collect()
    }

    /// Calls of this process whose callers talk with whom they were transferred to.
    pub async fn taken_callers(&self) -> Result<Vec<ExecutionId>, Error> {
        let rows: Vec<(String, String)> = on!(self.db().read(), |pool| {
            sqlx::query_as(TRANSFERS)
                .bind(&self.inner.instance)
                .fetch_all(pool)
                .await
        })?;
        let mut taken = Vec::new();
        for (id, transfer) in rows {
            let transfer: Transfer = serde_json::from_str(&transfer)
                .map_err(|error| Error::Corrupt(format!("transfer: {error}")))?;
            if transfer.is_answered() {
                taken.push(ExecutionId(uuid(&id)?));
            }
        }
        Ok(taken)
    }

    /// Forgets an instance that was last seen as given and not since. One that lives all the same comes back
    /// with its next heartbeat.
    pub async fn forget_instance(&self, instance: &Instance) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM instances WHERE instance = $1 AND seen_at = $2")
                .bind(&instance.name)
                .bind(instance.seen_at)
                .execute(pool)
                .await
                .map(drop)
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

    /// Whether some process has taken this attempt's call, living or dead: its media came.
    pub async fn is_taken(&self, id: ExecutionId) -> Result<bool, Error> {
        let owner: Option<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT owner_instance FROM executions WHERE id = $1")
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        Ok(owner.is_some())
    }

    /// How often the call was taken.
    pub async fn owner_epoch(&self, id: ExecutionId) -> Result<i64, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT owner_epoch FROM executions WHERE id = $1")
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?)
    }

    /// Calls that are initiated, ringing or in progress and of which nothing was heard since `quiet_since`, or
    /// disconnected but not completed, oldest first.
    pub async fn open_calls(&self, quiet_since: i64) -> Result<Vec<Live>, Error> {
        let rows: Vec<LiveRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(OPEN_CALLS)
                .bind(quiet_since)
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(TryInto::try_into).collect()
    }
}
