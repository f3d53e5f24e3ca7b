//! The one place where a call's status changes, and where its webhooks are written.

mod update;

use bolo_execution::{Change, ExecutionId, Hangup, Record, Status, Transfer};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Facts, Store, Work, batch_guard,
    db::{Tx, on},
    rows::{ExecutionRow, execution_columns, to_json},
};
use update::Update;

/// A webhook waits at most this long for the one before it, ms (api.md §21).
pub(crate) const OVERTAKES_MS: i64 = 60_000;

/// What a change came to, before it is committed.
pub(crate) struct Changed {
    pub(crate) record: Record,
    /// A webhook was written.
    pub(crate) told: bool,
}

impl Store {
    /// The one place where a status changes: `Status::after`, compare-and-set, facts and the webhook of
    /// the new status in one transaction. `Illegal` when the change is not possible from where it stands.
    /// `Conflict` when the carrier's call id belongs to another execution. `Superseded` when the facts are of
    /// an attempt that another has followed.
    ///
    /// What the carrier reports also settles a dial of unknown outcome; leaving `queued` ends the claim. A
    /// call whose `retry_config` wants it to be tried again is `scheduled` in the same transaction: nothing
    /// sees it over.
    pub async fn change(
        &self,
        id: ExecutionId,
        change: Change,
        facts: Facts,
        now: i64,
    ) -> Result<Record, Error> {
        self.change_by(None, id, change, &facts, now).await
    }

    /// Facts without a change of status. A `carrier_call_id` settles a dial of unknown outcome. `Superseded`
    /// as with [`Store::change`].
    pub async fn note(&self, id: ExecutionId, facts: Facts, now: i64) -> Result<Record, Error> {
        self.note_by(None, id, &facts, now).await
    }

    /// The carrier's word for the end of a call, written over a `hangup` that only says that the far end went: the media
    /// stream ends before the carrier tells why. Any other stands.
    pub async fn name_end(&self, record: &Record, told: &Hangup, now: i64) -> Result<(), Error> {
        let Some(seen) = record.hangup.as_ref().filter(|seen| seen.is_far_end()) else {
            return Ok(());
        };
        let (seen, told) = (to_json("hangup", seen)?, to_json("hangup", told)?);
        let sql = "UPDATE executions
            SET hangup = $4, updated_at = CASE WHEN updated_at > $5 THEN updated_at ELSE $5 END
            WHERE id = $1 AND attempt = $2 AND hangup = $3";
        on!(self.db().write(), |pool| sqlx::query(sql)
            .bind(record.id.to_string())
            .bind(record.attempt)
            .bind(seen)
            .bind(told)
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// [`Store::change`] by the call's owner of this epoch: `TakenOver` when another node has it. A call that is over
    /// after it is nobody's.
    pub async fn change_as(
        &self,
        epoch: i64,
        id: ExecutionId,
        change: Change,
        facts: Facts,
        now: i64,
    ) -> Result<Record, Error> {
        self.change_by(Some(epoch), id, change, &facts, now).await
    }

    /// [`Store::note`] by the call's owner of this epoch: `TakenOver` when another node has it.
    pub async fn note_as(
        &self,
        epoch: i64,
        id: ExecutionId,
        facts: Facts,
        now: i64,
    ) -> Result<Record, Error> {
        self.note_by(Some(epoch), id, &facts, now).await
    }

    async fn change_by(
        &self,
        owner: Option<i64>,
        id: ExecutionId,
        change: Change,
        facts: &Facts,
        now: i64,
    ) -> Result<Record, Error> {
        // After a power cut the carrier is asked how far the call came.
        let is_synced = !matches!(change, Change::Ringing | Change::Answered);
        if let Some(update) = self.plain_step(owner, id, change, facts, now) {
            let row = update
                .run_alone(self.db(), is_synced, id, facts, now)
                .await?;
            if let Some(row) = row {
                let (record, told) = (row.try_into()?, false);
                return Ok(self.wake_for(Changed { record, told }));
            }
        }
        let mut tx = match is_synced {
            false => self.db().begin_unsynced().await?,
            true => self.db().begin().await?,
        };
        // Boxed: whoever awaits a change would keep room for all that may come of it.
        let changed = Box::pin(self.change_in(&mut tx, owner, id, change, facts, now)).await?;
        tx.commit().await?;
        Ok(self.wake_for(changed))
    }

    /// The change as one statement, if nothing else is to be written with it: the call goes on, costs nothing yet, is of no
    /// batch, and nobody is told.
    fn plain_step(
        &self,
        owner: Option<i64>,
        id: ExecutionId,
        change: Change,
        facts: &Facts,
        now: i64,
    ) -> Option<Update> {
        let from = facts.standing?;
        let to = from.after(change).ok()?;
        let goes_on = !to.is_terminal() && change != Change::Postponed;
        let is_plain = goes_on && facts.cost.is_none() && self.is_plain(id);
        is_plain.then(|| Update::new(owner, from, to, change, facts, now))
    }

    async fn note_by(
        &self,
        owner: Option<i64>,
        id: ExecutionId,
        facts: &Facts,
        now: i64,
    ) -> Result<Record, Error> {
        let mut tx = self.db().begin().await?;
        let record = note_in(&mut tx, owner, id, facts, now).await?;
        tx.commit().await?;
        Ok(record)
    }

    /// Wakes the worker for what a committed change left to do.
    fn wake_for(&self, changed: Changed) -> Record {
        let Changed { record, told } = changed;
        if told {
            self.signals().wake_worker(Work::Webhooks);
        }
        let is_under_way = matches!(
            record.status,
            Status::Initiated | Status::Ringing | Status::InProgress | Status::Completed
        );
        if !is_under_way {
            // It gave its line back, or waits for one.
            self.signals().wake_worker(Work::Dials);
        }
        record
    }

    /// A call that stands as `facts.standing` says is changed by one statement; any other is read first, and stays as it
    /// is until this transaction ends.
    pub(crate) async fn change_in(
        &self,
        tx: &mut Tx,
        owner: Option<i64>,
        id: ExecutionId,
        change: Change,
        facts: &Facts,
        now: i64,
    ) -> Result<Changed, Error> {
        let mut row = None;
        if let Some((from, to)) =
            (facts.standing).and_then(|from| Some((from, from.after(change).ok()?)))
        {
            let update = Update::new(owner, from, to, change, facts, now);
            row = update.run(tx, id, facts, now).await?;
        }
        let row = match row {
            Some(row) => row,
            None => {
                let from = standing(tx, owner, id, facts).await?;
                let update = Update::new(owner, from, from.after(change)?, change, facts, now);
                let row = update.run(tx, id, facts, now).await?;
                row.ok_or(Error::Conflict("the call changes while it is locked"))?
            }
        };
        let row = match change {
            Change::Postponed => undialled(tx, &row.id).await?,
            _ => row,
        };
        if facts.cost.is_some() {
            charge(tx, &row, now).await?;
        }
        batch_guard::count(tx, &row, change, now).await?;
        let changed = self.tell_in(tx, row, now).await?;
        let Some(wait) = changed.record.retry_after() else {
            return Ok(changed);
        };
        if !batch_goes_on(tx, &changed.record).await? {
            return Ok(changed);
        }
        let again = self
            .try_again_in(tx, &changed.record, now + wait, now)
            .await?;
        Ok(Changed {
            told: changed.told || again.told,
            ..again
        })
    }

    /// The call that has just come to an end is scheduled anew; what belonged to its last attempt goes into
    /// the history. The attempt's number moves on, so that late news of the last one find it past.
    async fn try_again_in(
        &self,
        tx: &mut Tx,
        ended: &Record,
        due_at: i64,
        now: i64,
    ) -> Result<Changed, Error> {
        let to = ended.status.after(Change::RetryPlanned)?;
        let mut history = ended.history.clone();
        history.push(ended.past_attempt(now));
        let history = to_json("history", &history)?;
        on!(&mut *tx, |tx| {
            sqlx::query(
                "UPDATE executions SET carrier_call_id = NULL, initiated_at = NULL, ringing_at = NULL,
                    answered_at = NULL, ended_at = NULL, hangup = NULL, error_message = NULL, transcript = NULL,
                    usage = NULL, cost = NULL, latency = NULL, has_recording = FALSE, summary = NULL,
                    extraction_webhook_status = NULL, extracted = NULL, transfer = NULL, answered_by_voice_mail = FALSE, dialing_since = NULL,
                    owner_node = NULL, owner_instance = NULL, owner_since = NULL, attempt = attempt + 1,
                    history = $2, events_after =
                        (SELECT COALESCE(MAX(l.id), 0) FROM call_logs l WHERE l.execution_id = $1)
                 WHERE id = $1",
            )
            .bind(ended.id.to_string())
            .bind(history)
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?;
        let facts = Facts {
            due_at: Some(due_at),
            ..Facts::default()
        };
        let update = Update {
            from: Some(ended.status),
            to: Some(to),
            ..Update::default()
        };
        let row = update.run(tx, ended.id, &facts, now).await?;
        self.tell_in(tx, row.ok_or(Error::NotFound)?, now).await
    }

    /// Writes the webhook of the status that the row has just taken, if one is wanted. The row counts it
    /// already.
    pub(crate) async fn tell_in(
        &self,
        tx: &mut Tx,
        row: ExecutionRow,
        now: i64,
    ) -> Result<Changed, Error> {
        let status = row.status()?;
        let Some(url) = row.webhook_for(status)?.map(str::to_owned) else {
            let record = row.try_into()?;
            return Ok(Changed {
                record,
                told: false,
            });
        };
        let (id, sequence) = (Uuid::now_v7(), row.sequence);
        let record: Record = row.try_into()?;
        let body = self.webhook_body(&record, id, sequence)?;
        on!(tx, |tx| {
            sqlx::query(
                "INSERT INTO webhooks (id, execution_id, account_id, sequence, status, url, body, state, created_at, due_at)
                 SELECT $1, $2, $3, $4, $5, $6, $7, 'waiting', $8, CASE WHEN EXISTS (
                     SELECT 1 FROM webhooks w
                     WHERE w.execution_id = $2 AND w.state = 'waiting' AND w.sequence > 0) THEN $9 ELSE $8 END",
            )
            .bind(id.to_string())
            .bind(record.id.to_string())
            .bind(record.account.to_string())
            .bind(sequence)
            .bind(status.as_str())
            .bind(url)
            .bind(body)
            .bind(now)
            .bind(now + OVERTAKES_MS)
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?;
        Ok(Changed { record, told: true })
    }

    /// The execution as it is now, with what tells deliveries apart: `event_id`, `event`, `sequence`.
    fn webhook_body(&self, record: &Record, id: Uuid, sequence: i64) -> Result<String, Error> {
        let mut body =
            match bolo_execution::view(record, &self.inner.settings.recordings_public_url) {
                Value::Object(fields) => fields,
                _ => Map::new(),
            };
        body.insert("event_id".into(), id.to_string().into());
        body.insert("event".into(), record.status.as_str().into());
        body.insert("sequence".into(), sequence.into());
        to_json("webhook body", &body)
    }
}

/// As if the call had not been dialled, but for the number of the attempt: late news of that find it past.
async fn undialled(tx: &mut Tx, id: &str) -> Result<ExecutionRow, Error> {
    Ok(on!(tx, |tx| {
        sqlx::query_as(concat!(
            "UPDATE executions SET carrier_call_id = NULL, initiated_at = NULL, ringing_at = NULL,
                claimed_by = NULL, lease_until = NULL, attempt = attempt + 1
             WHERE id = $1 RETURNING ",
            execution_columns!()
        ))
        .bind(id)
        .fetch_one(&mut **tx)
        .await
    })?)
}

async fn note_in(
    tx: &mut Tx,
    owner: Option<i64>,
    id: ExecutionId,
    facts: &Facts,
    now: i64,
) -> Result<Record, Error> {
    let merged = with_known_leg(tx, id, facts).await?;
    let facts = merged.as_ref().unwrap_or(facts);
    let update = Update {
        owner,
        dial_known: facts.carrier_call_id.is_some(),
        ..Update::default()
    };
    let Some(row) = update.run(tx, id, facts, now).await? else {
        standing(tx, owner, id, facts).await?;
        return Err(Error::Superseded);
    };
    if facts.cost.is_some() {
        charge(tx, &row, now).await?;
    }
    row.try_into()
}

/// Facts of a transfer with what is known of its leg already: news of its end come by two ways at once, and
/// neither knows all.
async fn with_known_leg(
    tx: &mut Tx,
    id: ExecutionId,
    facts: &Facts,
) -> Result<Option<Facts>, Error> {
    let Some(news) = &facts.transfer else {
        return Ok(None);
    };
    let sql = AssertSqlSafe(format!(
        "SELECT transfer FROM executions WHERE id = $1 {}",
        tx.lock("FOR NO KEY UPDATE")
    ));
    let known: Option<String> = on!(tx, |tx| sqlx::query_scalar(sql)
        .bind(id.to_string())
        .fetch_one(&mut **tx)
        .await)?;
    let known = known.map(|text| serde_json::from_str::<Transfer>(&text));
    let known = known
        .transpose()
        .map_err(|error| Error::Corrupt(format!("transfer: {error}")))?;
    Ok(known.map(|known| Facts {
        transfer: Some(news.clone().knowing(&known)),
        ..facts.clone()
    }))
}

/// How the call stands, until this transaction ends. `TakenOver`, `Superseded`: as these facts may not change it.
async fn standing(
    tx: &mut Tx,
    owner: Option<i64>,
    id: ExecutionId,
    facts: &Facts,
) -> Result<Status, Error> {
    let sql = AssertSqlSafe(format!(
        "SELECT status, attempt, owner_epoch FROM executions WHERE id = $1 {}",
        tx.lock("FOR NO KEY UPDATE")
    ));
    let (status, attempt, epoch): (String, i64, i64) = on!(tx, |tx| sqlx::query_as(sql)
        .bind(id.to_string())
        .fetch_one(&mut **tx)
        .await)?;
    if owner.is_some_and(|owner| owner != epoch) {
        return Err(Error::TakenOver);
    }
    if facts.of_attempt.is_some_and(|wanted| wanted != attempt) {
        return Err(Error::Superseded);
    }
    crate::rows::status(&status)
}

/// Takes from the wallet (of a sub-account its parent's) what the call's attempts cost beyond what was taken
/// before. The row is locked.
pub(crate) async fn charge(tx: &mut Tx, row: &ExecutionRow, now: i64) -> Result<(), Error> {
    let total = row.total_cost()?;
    if row.batch.is_some() {
        let paid: f64 = on!(&mut *tx, |tx| {
            sqlx::query_scalar("SELECT total_cost FROM executions WHERE id = $1")
                .bind(&row.id)
                .fetch_one(&mut **tx)
                .await
        })?;
        batch_guard::spend(tx, row, total - paid, now).await?;
    }
    on!(tx, |tx| {
        sqlx::query(
            "UPDATE accounts SET wallet = wallet + (SELECT e.total_cost FROM executions e WHERE e.id = $3) - $2
             WHERE id = (SELECT COALESCE(a.parent_id, a.id) FROM accounts a WHERE a.id = $1)",
        )
        .bind(&row.account_id)
        .bind(total)
        .bind(&row.id)
        .execute(&mut **tx)
        .await?;
        sqlx::query("UPDATE executions SET total_cost = $2 WHERE id = $1")
            .bind(&row.id)
            .bind(total)
            .execute(&mut **tx)
            .await
            .map(|_| ())
    })?;
    Ok(())
}

/// Locks an execution, so that its webhooks are written and settled one at a time.
pub(crate) async fn lock_execution(tx: &mut Tx, id: &str) -> Result<(), Error> {
    let sql = AssertSqlSafe(format!(
        "SELECT sequence FROM executions WHERE id = $1 {}",
        tx.lock("FOR NO KEY UPDATE")
    ));
    let _: i64 = on!(tx, |tx| sqlx::query_scalar(sql)
        .bind(id)
        .fetch_one(&mut **tx)
        .await)?;
    Ok(())
}

/// Whether the calls of its batch, if it is of one, may be tried again. The batch is locked, so that who stops
/// it finds the call that waits.
async fn batch_goes_on(tx: &mut Tx, record: &Record) -> Result<bool, Error> {
    let Some(batch) = record.batch else {
        return Ok(true);
    };
    let sql = AssertSqlSafe(format!(
        "SELECT id FROM batches WHERE id = $1 AND stopped_at IS NULL AND deleted_at IS NULL {}",
        tx.lock("FOR SHARE")
    ));
    let found: Option<String> = on!(tx, |tx| sqlx::query_scalar(sql)
        .bind(batch.to_string())
        .fetch_optional(&mut **tx)
        .await)?;
    Ok(found.is_some())
}
