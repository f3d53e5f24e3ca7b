//! Limits of how many calls an account, an agent, a calling number or a carrier holds at once, and of how
//! many are placed a second. They hold for all nodes together, because they are read and written in the
//! transaction that claims, under the lock of the account.

use bolo_execution::AccountId;

use crate::{
    Error, Store, Work,
    claiming::Lane,
    db::{Tx, clean, on},
};

/// What a limit is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitOf {
    /// All calls of the account.
    Account,
    /// Those of an agent, by its id.
    Agent(String),
    /// Those from a number; empty: those that name none.
    Number(String),
    /// Those through a carrier, by its name.
    Carrier(String),
}

impl LimitOf {
    fn key(&self) -> (&'static str, &str) {
        match self {
            Self::Account => ("account", ""),
            Self::Agent(id) => ("agent", id),
            Self::Number(number) => ("number", number),
            Self::Carrier(name) => ("carrier", name),
        }
    }

    fn read(kind: &str, subject: String) -> Result<Self, Error> {
        Ok(match kind {
            "account" => Self::Account,
            "agent" => Self::Agent(subject),
            "number" => Self::Number(subject),
            "carrier" => Self::Carrier(subject),
            other => return Err(Error::Corrupt(format!("limit of {other:?}"))),
        })
    }

    fn holds_for(&self, lane: &Lane) -> bool {
        match self {
            Self::Account => true,
            Self::Agent(id) => *id == lane.agent,
            Self::Number(number) => *number == lane.number,
            Self::Carrier(name) => *name == lane.provider,
        }
    }
}

/// A limit of outbound calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Of what.
    pub of: LimitOf,
    /// Calls at once; `None` = as many as the account may have.
    pub calls: Option<i64>,
    /// Calls placed a second; `None` = as many as the node places.
    pub per_second: Option<f64>,
}

/// An account whose calls are not to be claimed now, for a reason that only who dials knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The account's id.
    pub account: String,
    /// Through which carrier, by its name.
    pub carrier: String,
    /// But for so many.
    pub calls: i64,
}

#[derive(sqlx::FromRow)]
struct Row {
    kind: String,
    subject: String,
    calls: Option<i64>,
    per_second: Option<f64>,
    next_at: i64,
}

/// Outbound calls of account `$1` that hold a line, with what limits are of.
pub(crate) const LIVE_LANES: &str = "SELECT agent_id, provider, from_number FROM executions
        WHERE account_id = $1 AND direction = 'outbound' AND status IN ('initiated', 'ringing', 'in-progress')
    UNION ALL SELECT agent_id, provider, from_number FROM executions
        WHERE account_id = $1 AND status = 'queued' AND claimed_by IS NOT NULL";

/// A limit while an account's calls are claimed.
#[derive(Debug)]
struct Standing {
    limit: Limit,
    /// When the next call may be placed by `per_second`, ms; fractions are kept while it is held here.
    next_at: f64,
    live: i64,
    is_changed: bool,
}

impl Standing {
    /// What was not used is not saved up, but for a tenth of a second.
    fn earliest(&self, per_second: f64, now: f64) -> f64 {
        let burst = (per_second / 10.0).floor().max(1.0);
        self.next_at.max(now - (burst - 1.0) * 1000.0 / per_second)
    }

    fn room(&self, now: f64) -> i64 {
        let lines = self.limit.calls.map_or(i64::MAX, |calls| calls - self.live);
        let paced = self.limit.per_second.map_or(i64::MAX, |per_second| {
            let earliest = self.earliest(per_second, now);
            // A hair less than a whole call is one: times are kept in whole milliseconds.
            ((now - earliest) * per_second / 1000.0 + 1.0 + 1e-6).floor() as i64
        });
        lines.min(paced).max(0)
    }

    fn take(&mut self, count: i64, now: f64) {
        self.live += count;
        if let Some(per_second) = self.limit.per_second {
            self.next_at = self.earliest(per_second, now) + count as f64 * 1000.0 / per_second;
            self.is_changed = true;
        }
    }
}

/// The limits of an account, while its calls are claimed.
#[derive(Debug)]
pub(crate) struct Limits {
    account: String,
    standing: Vec<Standing>,
    now: f64,
}

impl Limits {
    /// The account is locked.
    pub(crate) async fn read(tx: &mut Tx, account: &str, now: i64) -> Result<Self, Error> {
        let rows: Vec<Row> = on!(&mut *tx, |tx| {
            sqlx::query_as(
                "SELECT kind, subject, calls, per_second, next_at FROM dial_limits WHERE account_id = $1",
            )
            .bind(account)
            .fetch_all(&mut **tx)
            .await
        })?;
        let mut limits = Self {
            account: account.to_owned(),
            standing: Vec::with_capacity(rows.len()),
            now: now as f64,
        };
        for row in rows {
            limits.standing.push(Standing {
                limit: Limit {
                    of: LimitOf::read(&row.kind, row.subject)?,
                    calls: row.calls,
                    per_second: row.per_second,
                },
                next_at: row.next_at as f64,
                live: 0,
                is_changed: false,
            });
        }
        if limits.standing.iter().any(|one| one.limit.calls.is_some()) {
            limits.count(tx).await?;
        }
        Ok(limits)
    }

    async fn count(&mut self, tx: &mut Tx) -> Result<(), Error> {
        let live: Vec<(String, String, String)> = on!(tx, |tx| sqlx::query_as(LIVE_LANES)
            .bind(&self.account)
            .fetch_all(&mut **tx)
            .await)?;
        for (agent, provider, number) in live {
            let lane = Lane::of(agent, provider, number);
            for one in &mut self.standing {
                one.live += i64::from(one.limit.of.holds_for(&lane));
            }
        }
        Ok(())
    }

    /// No more than so many calls through these carriers now, whatever else holds.
    pub(crate) fn hold(&mut self, held: &[Held]) {
        for held in held.iter().filter(|held| held.account == self.account) {
            self.standing.push(Standing {
                limit: Limit {
                    of: LimitOf::Carrier(held.carrier.clone()),
                    calls: Some(held.calls),
                    per_second: None,
                },
                next_at: 0.0,
                live: 0,
                is_changed: false,
            });
        }
    }

    /// How many of `wanted` calls of this lane may be placed now.
    pub(crate) fn allow(&self, lane: &Lane, wanted: i64) -> i64 {
        let holding = self
            .standing
            .iter()
            .filter(|one| one.limit.of.holds_for(lane));
        holding.fold(wanted, |allowed, one| allowed.min(one.room(self.now)))
    }

    /// So many calls of the lane are placed.
    pub(crate) fn taken(&mut self, lane: &Lane, count: i64) {
        let now = self.now;
        self.standing
            .iter_mut()
            .filter(|one| one.limit.of.holds_for(lane))
            .for_each(|one| one.take(count, now));
    }

    pub(crate) async fn write(&self, tx: &mut Tx) -> Result<(), Error> {
        for one in self.standing.iter().filter(|one| one.is_changed) {
            let (kind, subject) = one.limit.of.key();
            on!(&mut *tx, |tx| {
                sqlx::query(
                    "UPDATE dial_limits SET next_at = $4
                     WHERE account_id = $1 AND kind = $2 AND subject = $3",
                )
                .bind(&self.account)
                .bind(kind)
                .bind(subject)
                .bind(one.next_at.ceil() as i64)
                .execute(&mut **tx)
                .await
                .map(|_| ())
            })?;
        }
        Ok(())
    }
}

impl Store {
    /// Sets a limit; without `calls` and `per_second` there is none any more. `NotFound` without such an
    /// account.
    pub async fn set_limit(&self, account: AccountId, limit: &Limit) -> Result<(), Error> {
        self.account(account).await?;
        let (kind, subject) = limit.of.key();
        on!(self.db().write(), |pool| {
            if limit.calls.is_none() && limit.per_second.is_none() {
                sqlx::query(
                    "DELETE FROM dial_limits WHERE account_id = $1 AND kind = $2 AND subject = $3",
                )
                .bind(account.to_string())
                .bind(kind)
                .bind(clean(subject))
                .execute(pool)
                .await
                .map(|_| ())
            } else {
                sqlx::query(
                    "INSERT INTO dial_limits (account_id, kind, subject, calls, per_second) VALUES ($1, $2, $3, $4, $5)
                     ON CONFLICT (account_id, kind, subject)
                     DO UPDATE SET calls = excluded.calls, per_second = excluded.per_second",
                )
                .bind(account.to_string())
                .bind(kind)
                .bind(clean(subject))
                .bind(limit.calls)
                .bind(limit.per_second)
                .execute(pool)
                .await
                .map(|_| ())
            }
        })?;
        self.signals().wake_worker(Work::Dials);
        Ok(())
    }

    /// The limits of an account, by kind and subject.
    pub async fn limits(&self, account: AccountId) -> Result<Vec<Limit>, Error> {
        let rows: Vec<Row> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT kind, subject, calls, per_second, next_at FROM dial_limits
                 WHERE account_id = $1 ORDER BY kind, subject",
            )
            .bind(account.to_string())
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(Limit {
                    of: LimitOf::read(&row.kind, row.subject)?,
                    calls: row.calls,
                    per_second: row.per_second,
                })
            })
            .collect()
    }
}
