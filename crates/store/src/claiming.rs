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
    limits::{Held, Limits},
    lines::Lines,
    queue::Claimed,
    rows::{ExecutionRow, execution_columns, records},
};

/// Calls that wait to be dialled. Spelled as in the indexes, or these are of no use.
macro_rules! waiting {
    () => {
        "status IN ('queued', 'scheduled', 'rescheduled') AND claimed_by IS NULL"
    };
}

/// Single calls whose time has come, by `$1`.
macro_rules! scheduled {
    () => {
        "status IN ('scheduled', 'rescheduled') AND batch IS NULL AND due_at <= $1"
    };
}
pub(crate) use scheduled;

/// What takes turns within an account. No part of it holds a space.
macro_rules! lane {
    () => {
        "(COALESCE(batch, '') || ' ' || agent_id || ' ' || provider || ' ' || from_number)"
    };
}

/// Accounts with calls that wait. Walks from account to account, not from call to call.
macro_rules! waiting_accounts {
    () => {
        concat!(
            "WITH RECURSIVE waiting(id) AS (
        SELECT (SELECT account_id FROM executions WHERE ",
            waiting!(),
            " ORDER BY account_id LIMIT 1)
        UNION ALL
        SELECT (SELECT e.account_id FROM executions e WHERE ",
            waiting!(),
            " AND e.account_id > waiting.id ORDER BY e.account_id LIMIT 1)
        FROM waiting WHERE waiting.id IS NOT NULL)"
        )
    };
}

/// When the first call that is not due at `$1` falls due, and when the first limit lets another one through after that.
macro_rules! next_due {
    () => {
        concat!(
            "(SELECT MIN((SELECT MIN(due_at) FROM executions WHERE account_id = waiting.id AND due_at > $1 AND ",
            waiting!(),
            ")) FROM waiting WHERE waiting.id IS NOT NULL),
        (SELECT MIN(next_at) FROM dial_limits WHERE next_at > $1)"
        )
    };
}

/// A look at the queue, in one row: each row, and each question, is two changes of threads on SQLite. Whether the time of a
/// single scheduled call has come at `$1`; accounts with a call that is due then and, as far as a look at 500 of its
/// lines tells, a free line of their own (who may have more of them is not looked at): how many are free is counted
/// once the account is locked; what falls due next.
pub(crate) const LOOK: &str = concat!(
    waiting_accounts!(),
    " SELECT EXISTS (SELECT 1 FROM executions WHERE ",
    scheduled!(),
    "),
        (SELECT string_agg(a.id, ' ') FROM waiting w JOIN accounts a ON a.id = w.id
     WHERE (SELECT MIN(due_at) FROM executions WHERE account_id = a.id AND ",
    waiting!(),
    ") <= $1 AND (a.concurrency > 500 OR a.concurrency > (SELECT COUNT(*) FROM (
            SELECT 1 FROM executions e WHERE e.account_id = a.id
                AND e.direction = 'outbound' AND e.status IN ('initiated', 'ringing', 'in-progress')
            UNION ALL
            SELECT 1 FROM executions e WHERE e.account_id = a.id
                AND e.status = 'queued' AND e.claimed_by IS NOT NULL
            LIMIT 500) AS lines))), ",
    next_due!()
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

/// What falls due next, alone.
pub(crate) const NEXT_DUE: &str = concat!(waiting_accounts!(), " SELECT ", next_due!());

/// The oldest `$4` calls of lane `$2` of account `$1` that are due at `$3`. They stay as they are while this
/// transaction lasts; a row that someone just changes is skipped, never waited for.
pub(crate) fn due_sql(lock: &str) -> String {
    format!(
        "SELECT id, status FROM executions WHERE account_id = $1 AND {waiting} AND {lane} = $2 AND due_at <= $3
         ORDER BY due_at, id LIMIT $4 {lock}",
        waiting = waiting!(),
        lane = lane!(),
    )
}

/// The calls `ids`, which nobody else changes, are claimed by `$2` until `$3`. Those that were only scheduled become
/// `$4` at `$5`; whether that is told is in the row.
pub(crate) fn claim_sql(ids: &str) -> String {
    format!(
        "UPDATE executions SET claimed_by = $2, lease_until = $3, status = $4,
            updated_at = CASE WHEN status = $4 OR updated_at > $5 THEN updated_at ELSE $5 END,
            sequence = sequence + CASE WHEN status <> $4 AND webhook_url IS NOT NULL
                AND (webhook_statuses IS NULL OR webhook_statuses LIKE '%\"queued\"%') THEN 1 ELSE 0 END
         WHERE id IN {ids} RETURNING {columns}",
        columns = execution_columns!()
    )
}

/// What a look at the queue has found.
#[derive(Debug)]
pub struct Due {
    /// That a claim is to look at.
    accounts: Vec<String>,
    /// When the next call falls due, or a limit lets another one through, after the look.
    pub next: Option<i64>,
}

impl Due {
    /// Whether nobody has a call to dial.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty()
    }
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
    /// How many of its calls are chosen already.
    chosen: i64,
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
            chosen: 0,
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
            chosen: 0,
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
        let due = self.due(now).await?;
        self.claim_from(due, &[], now, lease_ms, limit).await
    }

    /// Accounts with a call that is due and, as far as a short look tells, a free line. Calls whose time has come are
    /// `queued`.
    pub async fn due(&self, now: i64) -> Result<Due, Error> {
        type Row = (bool, Option<String>, Option<i64>, Option<i64>);
        let (is_time, accounts, due, allowed): Row = on!(self.db().read(), |pool| {
            sqlx::query_as(LOOK).bind(now).fetch_one(pool).await
        })?;
        if is_time {
            self.queue_scheduled(now).await?;
        }
        let accounts = accounts.unwrap_or_default();
        let mut accounts: Vec<_> = accounts.split_whitespace().map(str::to_owned).collect();
        accounts.sort();
        let next = due.into_iter().chain(allowed).min();
        Ok(Due { accounts, next })
    }

    /// [`Store::claim_due`] of these accounts, but for what is held.
    pub async fn claim_from(
        &self,
        Due { accounts, .. }: Due,
        held: &[Held],
        now: i64,
        lease_ms: i64,
        limit: i64,
    ) -> Result<Vec<Claimed>, Error> {
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
                    .claim_of(&account, held, inner_turn, share, now, now + lease_ms)
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
        held: &[Held],
        turn: usize,
        limit: i64,
        now: i64,
        lease_until: i64,
    ) -> Result<Vec<ExecutionRow>, Error> {
        // A claim is nothing without the process that has it.
        let mut tx = self.db().begin_unsynced().await?;
        let lines = Lines::of(&mut tx, account, limit, now).await?;
        let mut left = lines.free.min(limit);
        if left <= 0 {
            return Ok(Vec::new());
        }
        let mut limits = Limits::read(&mut tx, account, now).await?;
        limits.hold(held);
        let lanes = lanes(&mut tx, account, now).await?;
        let paused: Vec<String> = match lanes.iter().any(|lane| lane.batch.is_some()) {
            true => on!(&mut tx, |tx| {
                sqlx::query_scalar(PAUSED)
                    .bind(account)
                    .fetch_all(&mut **tx)
                    .await
            })?,
            false => Vec::new(),
        };
        let is_paused = |lane: &Lane| lane.batch.as_ref().is_some_and(|id| paused.contains(id));
        let (single, batch): (Vec<Lane>, Vec<Lane>) = lanes
            .into_iter()
            .filter(|lane| !is_paused(lane))
            .partition(|lane| lane.batch.is_none());
        let mut chosen = Vec::new();
        for lanes in [single, batch] {
            let mut lanes = in_turn(lanes, turn);
            while left > 0 && !lanes.is_empty() {
                let mut more = Vec::new();
                let count = lanes.len();
                for (n, mut lane) in lanes.into_iter().enumerate() {
                    let share = share(left, count - n);
                    let allowed = limits.allow(&lane, share);
                    if allowed <= 0 {
                        continue;
                    }
                    let due = due(&mut tx, account, &lane, now, lane.chosen + allowed).await?;
                    // Those that were chosen come once more.
                    let others = due.into_iter().filter(|one| !chosen.contains(one));
                    let due: Vec<_> = others.take(allowed as usize).collect();
                    let taken = due.len() as i64;
                    chosen.extend(due);
                    limits.taken(&lane, taken);
                    lane.chosen += taken;
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
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        limits.write(&mut tx).await?;
        lines.take(&mut tx, chosen.len()).await?;
        let (claimed, told) = self.claim(&mut tx, chosen, now, lease_until).await?;
        tx.commit().await?;
        if told {
            self.signals().wake_worker(Work::Webhooks);
        }
        Ok(claimed)
    }

    /// Claims the calls that were chosen, each with its status; also tells whether webhooks tell of it.
    async fn claim(
        &self,
        tx: &mut Tx,
        chosen: Vec<(String, String)>,
        now: i64,
        lease_until: i64,
    ) -> Result<(Vec<ExecutionRow>, bool), Error> {
        let queued = Status::Scheduled.after(Change::Due)?;
        let is_scheduled = |(_, status): &&(String, String)| status != queued.as_str();
        let scheduled: Vec<String> = chosen
            .iter()
            .filter(is_scheduled)
            .map(|(id, _)| id.clone())
            .collect();
        let ids = chosen
            .into_iter()
            .map(|(id, _)| Value::String(id))
            .collect();
        let sql = AssertSqlSafe(claim_sql(&tx.texts_of("$1")));
        let claimed: Vec<ExecutionRow> = on!(&mut *tx, |tx| {
            sqlx::query_as(sql)
                .bind(Value::Array(ids).to_string())
                .bind(&self.inner.instance)
                .bind(lease_until)
                .bind(queued.as_str())
                .bind(now)
                .fetch_all(&mut **tx)
                .await
        })?;
        let mut told = false;
        for row in claimed.iter().filter(|row| scheduled.contains(&row.id)) {
            told |= row.webhook_for(queued)?.is_some();
            self.tell_in(tx, row.clone(), now).await?;
        }
        Ok((claimed, told))
    }

    /// When the next call falls due, or a limit lets another one through, after `now`. What is due already
    /// waits for a call to end, and every change wakes the worker.
    pub async fn next_due(&self, now: i64) -> Result<Option<i64>, Error> {
        let (due, allowed): (Option<i64>, Option<i64>) = on!(self.db().read(), |pool| {
            sqlx::query_as(NEXT_DUE).bind(now).fetch_one(pool).await
        })?;
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

/// The oldest due calls of one lane, whose account is locked: their ids and statuses.
async fn due(
    tx: &mut Tx,
    account: &str,
    lane: &Lane,
    now: i64,
    limit: i64,
) -> Result<Vec<(String, String)>, Error> {
    let sql = AssertSqlSafe(due_sql(tx.lock("FOR NO KEY UPDATE SKIP LOCKED")));
    Ok(on!(tx, |tx| {
        sqlx::query_as(sql)
            .bind(account)
            .bind(&lane.key)
            .bind(now)
            .bind(limit)
            .fetch_all(&mut **tx)
            .await
    })?)
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
