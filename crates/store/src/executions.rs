//! Executions: made, read, listed, changed. The row is the truth of a call.

mod found;

use std::time::Duration;

use bolo_execution::{
    AccountId, AgentId, BatchId, Change, Cost, Direction, ExecutionId, Hangup, Record, Status,
    Transfer, Usage, comes_back,
};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use found::End;
pub(crate) use found::{Found, Part};

use crate::{
    Error, Once, Store, Work,
    change::Changed,
    db::{Tx, clean, on, or_conflict},
    once,
    rows::{ExecutionRow, direction, execution_columns, maybe_to_json, records, to_json},
    total::bound,
};

/// Whether a batch of the account is being uploaded.
pub(crate) const UPLOADING: &str =
    "SELECT EXISTS (SELECT 1 FROM batches WHERE account_id = $1 AND ready_at IS NULL)";

/// A call to be.
#[derive(Debug, Clone)]
pub struct NewExecution {
    /// Whose.
    pub account: AccountId,
    /// Which agent, in which version.
    pub agent: AgentId,
    /// See `agent`.
    pub agent_version: i64,
    /// Who calls whom.
    pub direction: Direction,
    /// `twilio`, …
    pub provider: String,
    /// Called number.
    pub to: String,
    /// Calling number; may be filled at dial time.
    pub from: String,
    /// Outbound: `Queued` or `Scheduled`. Inbound: `Initiated`, or `Canceled` when turned away.
    pub status: Status,
    /// When to dial, epoch ms.
    pub due_at: i64,
    /// Dynamic variables.
    pub user_data: Map<String, Value>,
    /// `agent_data.voice_id`.
    pub voice_id: Option<String>,
    /// As submitted.
    pub retry_config: Option<Value>,
    /// As submitted.
    pub bypass_guardrails: bool,
    /// Inbound: the carrier's id; unique per provider, so a doubled webhook finds the same row.
    pub carrier_call_id: Option<String>,
    /// Where its status changes are told.
    pub webhook: Option<WebhookTarget>,
    /// Why it was turned away.
    pub error_message: Option<String>,
}

/// Where status changes are told.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookTarget {
    /// `webhook_url`.
    pub url: String,
    /// Which statuses; `None` = all.
    pub statuses: Option<Vec<Status>>,
}

/// Facts written together with a change, or alone with [`Store::note`]. `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// First value wins.
    pub hangup: Option<Hangup>,
    /// First value wins.
    pub error_message: Option<String>,
    /// Last value wins.
    pub transcript: Option<String>,
    /// Last value wins.
    pub usage: Option<Usage>,
    /// Last value wins.
    pub cost: Option<Cost>,
    /// Last value wins.
    pub latency: Option<Value>,
    /// Last value wins.
    pub has_recording: Option<bool>,
    /// First value wins: binds the carrier's call to the execution.
    pub carrier_call_id: Option<String>,
    /// Last value wins.
    pub from: Option<String>,
    /// Last value wins.
    pub due_at: Option<i64>,
    /// Last value wins.
    pub answered_by_voice_mail: Option<bool>,
    /// Last value wins.
    pub transfer: Option<Transfer>,
    /// The attempt they are of: nothing is written once another has begun. `None` = whichever there is.
    pub of_attempt: Option<i64>,
    /// How the call stood when it was last looked at: if it stands so still, a change need not look first.
    pub standing: Option<Status>,
    /// When it happened, if not now; goes to `ringing_at`, `answered_at`, `ended_at` by the change.
    pub happened_at: Option<i64>,
}

impl Facts {
    /// What follows from the carrier's word that it had no room for a call that it took: it is dialled again, the first
    /// time after `first`, until the carrier was asked often enough (wire-telephony.md §5.1, code 5030).
    pub fn postponed(
        record: &Record,
        hangup: Option<Hangup>,
        first: Duration,
        now: i64,
    ) -> (Change, Self) {
        // Each of these left a number out, see `change`.
        let dials = (record.dials() + 1) / 2;
        let Some(wait) = comes_back(dials, first) else {
            let provider = &record.provider;
            let facts = Self {
                hangup,
                error_message: Some(format!(
                    "{provider}: the call was not taken in {dials} attempts"
                )),
                ..Self::default()
            };
            return (Change::CarrierFailed, facts);
        };
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        let facts = Self {
            due_at: Some(now.saturating_add(wait)),
            ..Self::default()
        };
        (Change::Postponed, facts)
    }
}

/// Which executions to list (api.md §8 Queries).
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Filter {
    pub agent: Option<AgentId>,
    pub status: Option<Status>,
    pub direction: Option<Direction>,
    pub provider: Option<String>,
    pub voicemail: Option<bool>,
    pub batch: Option<BatchId>,
    /// Only what is listed behind this row: its `created_at` and id.
    pub behind: Option<(i64, ExecutionId)>,
    /// Calling number.
    pub from_number: Option<String>,
    /// Epoch ms, inclusive.
    pub from: Option<i64>,
    /// Epoch ms, inclusive.
    pub to: Option<i64>,
}

/// A page of a list, newest first.
#[derive(Debug, Clone)]
pub struct Page {
    /// Rows of this page.
    pub rows: Vec<Record>,
    /// Rows of all pages.
    pub total: i64,
}

/// Largest page that is given out.
const PAGE: i64 = 1000;

/// What a request is answered that made this record.
type Answer = fn(&Record) -> Value;

impl Store {
    /// Makes a call's row, and its first webhook. For an inbound call whose carrier id is known already
    /// the existing record is returned (`false`). `NotFound` without such an agent, or when it is deleted.
    pub async fn create_execution(
        &self,
        new: NewExecution,
        now: i64,
    ) -> Result<(Record, bool), Error> {
        self.create_execution_as(ExecutionId::new(), new, now).await
    }

    /// The same under an id that was told to somebody before. `Conflict` when there is such a call.
    pub async fn create_execution_as(
        &self,
        id: ExecutionId,
        new: NewExecution,
        now: i64,
    ) -> Result<(Record, bool), Error> {
        self.create(id, new, None, now).await
    }

    /// The same for a request that has effect once; `answer` is what it is answered, now and when it is
    /// repeated. `Conflict` when a request with this key was quicker.
    pub async fn create_execution_once(
        &self,
        new: NewExecution,
        once: &Once,
        answer: Answer,
        now: i64,
    ) -> Result<(Record, bool), Error> {
        let id = ExecutionId::new();
        self.create(id, new, Some((once, answer)), now).await
    }

    async fn create(
        &self,
        id: ExecutionId,
        new: NewExecution,
        once: Option<(&Once, Answer)>,
        now: i64,
    ) -> Result<(Record, bool), Error> {
        let fits = match new.direction {
            Direction::Outbound => matches!(
                new.status,
                Status::Prepared | Status::Scheduled | Status::Queued
            ),
            Direction::Inbound => matches!(new.status, Status::Initiated | Status::Canceled),
        };
        if !fits {
            return Err(Error::Conflict("a call can't begin with this status"));
        }
        let mut tx = self.db().begin().await?;
        lock_agent(&mut tx, new.account, new.agent, new.agent_version).await?;
        let Some(row) = insert(&mut tx, id, &new, now).await? else {
            drop(tx);
            let known = new.carrier_call_id.as_deref().unwrap_or_default();
            let record = self.execution_by_call(&new.provider, known).await?;
            if record.account != new.account {
                return Err(Error::Conflict(
                    "another account has this call of the carrier",
                ));
            }
            return Ok((record, false));
        };
        let Changed { record, told } = self.tell_in(&mut tx, row, now).await?;
        if let Some((once, answer)) = once {
            once::keep(&mut tx, once, &answer(&record), now).await?;
        }
        tx.commit().await?;
        if told {
            self.signals().wake_worker(Work::Webhooks);
        }
        if new.direction == Direction::Outbound {
            self.signals().wake_worker(Work::Dials);
        }
        Ok((record, true))
    }

    /// One record. Not of a deleted agent, nor of a batch that is being uploaded.
    pub async fn execution(&self, account: AccountId, id: ExecutionId) -> Result<Record, Error> {
        let row: ExecutionRow = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                execution_columns!(),
                " FROM executions WHERE account_id = $1 AND id = $2 AND EXISTS (
                    SELECT 1 FROM agents a WHERE a.id = executions.agent_id AND a.deleted_at IS NULL)
                 AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.id = executions.batch AND b.ready_at IS NULL)"
            ))
            .bind(account.to_string())
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// One record by id alone: for carrier callbacks, whose path carries our mac, and for the worker.
    /// Also of a deleted agent.
    pub async fn execution_unscoped(&self, id: ExecutionId) -> Result<Record, Error> {
        let row: ExecutionRow = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                execution_columns!(),
                " FROM executions WHERE id = $1"
            ))
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        let is_plain = row.batch.is_none() && row.webhook_url.is_none();
        let record: Record = row.try_into()?;
        self.inner.constants.keep(&record, is_plain);
        Ok(record)
    }

    /// One record by the carrier's id. Also of a deleted agent.
    pub async fn execution_by_call(
        &self,
        provider: &str,
        carrier_call_id: &str,
    ) -> Result<Record, Error> {
        let row: ExecutionRow = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                execution_columns!(),
                " FROM executions WHERE provider = $1 AND carrier_call_id = $2"
            ))
            .bind(clean(provider))
            .bind(clean(carrier_call_id))
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// A page, newest first (created_at, id), and how many rows there are in all: behind the newest 10,000,
    /// as it was some seconds ago. `page` counts from 1; `size` is at most 1000.
    pub async fn executions(
        &self,
        account: AccountId,
        filter: &Filter,
        page: i64,
        size: i64,
    ) -> Result<Page, Error> {
        let found = Found::new(account, filter, self.is_uploading(account).await?);
        let (size, offset) = window(page, size);
        let mut total = self.total(&found.0).await?;
        let mut rows = self
            .part_of(&found, Part::nearest(size, offset, total))
            .await?;
        let promised = (total - offset).clamp(0, size);
        if rows.len() as i64 != promised && self.forget_total(&found.0).await {
            total = self.total(&found.0).await?;
            rows = self
                .part_of(&found, Part::nearest(size, offset, total))
                .await?;
        }
        Ok(Page { rows, total })
    }

    /// The same page without the number of all rows.
    pub async fn list_executions(
        &self,
        account: AccountId,
        filter: &Filter,
        page: i64,
        size: i64,
    ) -> Result<Vec<Record>, Error> {
        let found = Found::new(account, filter, self.is_uploading(account).await?);
        let (size, offset) = window(page, size);
        self.part_of(&found, Part::newest(size, offset)).await
    }

    /// Newest first.
    async fn part_of(&self, found: &Found, part: Part) -> Result<Vec<Record>, Error> {
        let sql = AssertSqlSafe(found.list_sql(&part));
        let mut rows: Vec<ExecutionRow> = on!(self.db().read(), |pool| {
            bound!(sqlx::query_as(sql), &found.0.values)
                .fetch_all(pool)
                .await
        })?;
        if part.from == End::Oldest {
            rows.reverse();
        }
        records(rows)
    }

    async fn is_uploading(&self, account: AccountId) -> Result<bool, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(UPLOADING)
                .bind(account.to_string())
                .fetch_one(pool)
                .await
        })?)
    }

    /// Remembers a carrier callback; `false` when this one (call id, event, sequence) came before.
    pub async fn first_callback(
        &self,
        provider: &str,
        call_id: &str,
        event: &str,
        sequence: u64,
        now: i64,
    ) -> Result<bool, Error> {
        let made = on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO callbacks (provider, call_id, event, sequence, created_at)
                 VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
            )
            .bind(clean(provider))
            .bind(clean(call_id))
            .bind(clean(event))
            .bind(i64::try_from(sequence).unwrap_or(i64::MAX))
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        Ok(made == 1)
    }
}

/// How many rows, behind how many.
fn window(page: i64, size: i64) -> (i64, i64) {
    let size = size.clamp(1, PAGE);
    (size, (page.max(1) - 1).saturating_mul(size))
}

/// The agent must be the account's. It is locked, so that it can't be deleted, and its waiting calls
/// stopped, while this call comes into being.
pub(crate) async fn lock_agent(
    tx: &mut Tx,
    account: AccountId,
    agent: AgentId,
    version: i64,
) -> Result<(), Error> {
    let sql = AssertSqlSafe(format!(
        "SELECT v.version FROM agents a JOIN agent_versions v ON v.agent_id = a.id
         WHERE a.account_id = $1 AND a.id = $2 AND v.version = $3 AND a.deleted_at IS NULL {}",
        tx.lock("FOR SHARE OF a")
    ));
    let _: i64 = on!(tx, |tx| {
        sqlx::query_scalar(sql)
            .bind(account.to_string())
            .bind(agent.to_string())
            .bind(version)
            .fetch_one(&mut **tx)
            .await
    })?;
    Ok(())
}

/// `None` when the carrier's call has its row already.
async fn insert(
    tx: &mut Tx,
    id: ExecutionId,
    new: &NewExecution,
    now: i64,
) -> Result<Option<ExecutionRow>, Error> {
    // An inbound call is at the carrier already; one that is turned away is over too.
    let initiated_at = (new.direction == Direction::Inbound).then_some(now);
    let ended_at = (new.status == Status::Canceled).then_some(now);
    let user_data = to_json("user_data", &new.user_data)?;
    let retry_config = maybe_to_json("retry_config", new.retry_config.as_ref())?;
    let webhook = new.webhook.as_ref();
    let statuses = maybe_to_json(
        "webhook_statuses",
        webhook.and_then(|hook| hook.statuses.as_ref()),
    )?;
    let tells = webhook.is_some_and(|hook| match &hook.statuses {
        Some(wanted) => wanted.contains(&new.status),
        None => true,
    });
    on!(tx, |tx| {
        sqlx::query_as(concat!(
            "INSERT INTO executions (id, account_id, agent_id, agent_version, status, direction, provider,
                to_number, from_number, user_data, voice_id, retry_config, bypass_guardrails, created_at,
                updated_at, due_at, carrier_call_id, initiated_at, ended_at, error_message, webhook_url,
                webhook_statuses, sequence)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15, $16, $17, $18, $19,
                $20, $21, $22)
             ON CONFLICT (provider, carrier_call_id) WHERE carrier_call_id IS NOT NULL DO NOTHING RETURNING ",
            execution_columns!()
        ))
        .bind(id.to_string())
        .bind(new.account.to_string())
        .bind(new.agent.to_string())
        .bind(new.agent_version)
        .bind(new.status.as_str())
        .bind(direction(new.direction))
        .bind(clean(&new.provider))
        .bind(clean(&new.to))
        .bind(clean(&new.from))
        .bind(user_data)
        .bind(new.voice_id.as_deref().map(clean))
        .bind(retry_config)
        .bind(new.bypass_guardrails)
        .bind(now)
        .bind(new.due_at)
        .bind(new.carrier_call_id.as_deref().map(clean))
        .bind(initiated_at)
        .bind(ended_at)
        .bind(new.error_message.as_deref().map(clean))
        .bind(webhook.map(|hook| clean(&hook.url)))
        .bind(statuses)
        .bind(i64::from(tells))
        .fetch_optional(&mut **tx)
        .await
    })
    .map_err(|error| or_conflict(error, "the call exists"))
}
