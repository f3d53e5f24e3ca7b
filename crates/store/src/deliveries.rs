//! The log of webhooks: what was told and what was not, telling it again, receivers that are switched off,
//! and the secrets that sign. Source: api.md §21.

use bolo_execution::{AccountId, ExecutionId};
use rand::seq::IndexedRandom;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Store, Work,
    change::OVERTAKES_MS,
    db::{Tx, on},
    rows::uuid,
    total::{Bind, Listed, bound},
};

/// Name of the signing secrets among an account's keys: the newest first, comma-separated.
const SECRET: &str = "WEBHOOK_SECRET";
/// A receiver that fails for this long is switched off, ms.
pub(crate) const GIVEN_UP_MS: i64 = 5 * 24 * 3_600_000;

/// A webhook as the log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// `event_id`.
    pub id: Uuid,
    /// The call.
    pub execution: ExecutionId,
    /// The status that it tells; `extraction` for what a webhook task sends.
    pub status: String,
    /// Its place among the call's webhooks; below 0 for those of tasks.
    pub sequence: i64,
    /// Where to.
    pub url: String,
    /// `waiting`, `delivered` or `exhausted`.
    pub state: String,
    /// Tries so far.
    pub tries: i64,
    /// What went wrong at the last one.
    pub error: Option<String>,
    /// When the status changed, epoch ms.
    pub created_at: i64,
    /// When it is tried next, or was settled, epoch ms.
    pub due_at: i64,
    /// When it was delivered or given up, epoch ms.
    pub settled_at: Option<i64>,
    /// As it is sent.
    pub body: String,
}

/// Which webhooks; what is `None` excludes nothing.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct ToldFilter {
    pub id: Option<Uuid>,
    pub execution: Option<ExecutionId>,
    /// A status, or `extraction`.
    pub event: Option<&'static str>,
    /// `waiting`, `delivered` or `exhausted`.
    pub state: Option<&'static str>,
    /// Made at or after, epoch ms.
    pub from: Option<i64>,
    /// Made at or before, epoch ms.
    pub to: Option<i64>,
}

/// A receiver that has failed since it last took something.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Endpoint {
    /// Its address.
    pub url: String,
    /// Since when it fails, epoch ms.
    pub failing_since: Option<i64>,
    /// Since when nothing is sent to it, epoch ms.
    pub disabled_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    execution_id: String,
    status: String,
    sequence: i64,
    url: String,
    state: String,
    tries: i64,
    error: Option<String>,
    created_at: i64,
    due_at: i64,
    settled_at: Option<i64>,
    body: String,
}

impl TryFrom<Row> for Told {
    type Error = Error;
    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: uuid(&row.id)?,
            execution: ExecutionId(uuid(&row.execution_id)?),
            status: row.status,
            sequence: row.sequence,
            url: row.url,
            state: row.state,
            tries: row.tries,
            error: row.error,
            created_at: row.created_at,
            due_at: row.due_at,
            settled_at: row.settled_at,
            body: row.body,
        })
    }
}

/// A filter as a condition on `webhooks`. Only what is asked for is in the text, so that an index fits.
pub(crate) struct Chosen(pub(crate) Listed);

impl Chosen {
    pub(crate) fn new(account: AccountId, filter: &ToldFilter) -> Self {
        let mut chosen = Listed {
            table: "webhooks",
            time: "created_at",
            condition: "account_id = $1".to_owned(),
            values: vec![Bind::Text(account.to_string())],
        };
        let text = |value: &dyn ToString| Bind::Text(value.to_string());
        let conditions = [
            ("id =", filter.id.as_ref().map(|id| text(id))),
            (
                "execution_id =",
                filter.execution.as_ref().map(|id| text(id)),
            ),
            ("status =", filter.event.as_ref().map(|event| text(event))),
            ("state =", filter.state.as_ref().map(|state| text(state))),
            ("created_at >=", filter.from.map(Bind::Int)),
            ("created_at <=", filter.to.map(Bind::Int)),
        ];
        for (condition, value) in conditions {
            if let Some(value) = value {
                chosen.values.push(value);
                let number = chosen.values.len();
                let condition = format!(" AND {condition} ${number}");
                chosen.condition.push_str(&condition);
            }
        }
        Self(chosen)
    }

    pub(crate) fn list_sql(&self, size: i64, offset: i64) -> String {
        format!(
            "SELECT id, execution_id, status, sequence, url, state, tries, error, created_at, due_at, settled_at, body
             FROM webhooks WHERE {} ORDER BY created_at DESC, id DESC LIMIT {size} OFFSET {offset}",
            self.0.condition
        )
    }
}

impl Store {
    /// A page of the log, newest first, and how many there are. `page` counts from 1.
    pub async fn told(
        &self,
        account: AccountId,
        filter: &ToldFilter,
        page: i64,
        size: i64,
    ) -> Result<(Vec<Told>, i64), Error> {
        let chosen = Chosen::new(account, filter);
        let offset = (page.max(1) - 1).saturating_mul(size);
        let list = AssertSqlSafe(chosen.list_sql(size, offset));
        let rows: Vec<Row> = on!(self.db().read(), |pool| {
            bound!(sqlx::query_as(list), &chosen.0.values)
                .fetch_all(pool)
                .await
        })?;
        let total = self.total(&chosen.0).await?;
        let rows = rows.into_iter().map(TryInto::try_into);
        Ok((rows.collect::<Result<_, _>>()?, total))
    }

    /// Tells again what these webhooks told, whether or not it was delivered; how many there were. Those
    /// that wait to be told go on waiting. Of one call they go out in their order.
    pub async fn tell_again(
        &self,
        account: AccountId,
        filter: &ToldFilter,
        now: i64,
    ) -> Result<u64, Error> {
        let chosen = Chosen::new(account, filter);
        let later = now + OVERTAKES_MS;
        let again = AssertSqlSafe(format!(
            "UPDATE webhooks SET state = 'waiting', tries = 0, due_at = {later}, error = NULL, settled_at = NULL
             WHERE {} AND state <> 'waiting'",
            chosen.0.condition
        ));
        let mut tx = self.db().begin().await?;
        let count = on!(&mut tx, |tx| {
            let count = bound!(sqlx::query(again), &chosen.0.values)
                .execute(&mut **tx)
                .await?
                .rows_affected();
            sqlx::query(HASTEN_FIRST)
                .bind(account.to_string())
                .bind(later)
                .bind(now)
                .execute(&mut **tx)
                .await?;
            count
        });
        tx.commit().await?;
        if count > 0 {
            self.signals().wake_worker(Work::Webhooks);
        }
        Ok(count)
    }

    /// Receivers of an account that fail or are switched off.
    pub async fn endpoints(&self, account: AccountId) -> Result<Vec<Endpoint>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT url, failing_since, disabled_at FROM webhook_endpoints
                 WHERE account_id = $1 AND failing_since IS NOT NULL ORDER BY url",
            )
            .bind(account.to_string())
            .fetch_all(pool)
            .await
        })?)
    }

    /// Switches a receiver on again. `NotFound` when it is not off.
    pub async fn enable_endpoint(&self, account: AccountId, url: &str) -> Result<(), Error> {
        let done = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE webhook_endpoints SET failing_since = NULL, disabled_at = NULL
                 WHERE account_id = $1 AND url_hash = $2 AND disabled_at IS NOT NULL",
            )
            .bind(account.to_string())
            .bind(hash(url))
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

    /// Whether nothing is sent to this receiver.
    pub async fn is_endpoint_off(&self, account: AccountId, url: &str) -> Result<bool, Error> {
        let off: Option<i64> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT disabled_at FROM webhook_endpoints
                 WHERE account_id = $1 AND url_hash = $2 AND disabled_at IS NOT NULL",
            )
            .bind(account.to_string())
            .bind(hash(url))
            .fetch_optional(pool)
            .await
        })?;
        Ok(off.is_some())
    }

    /// Makes a new signing secret, to be shown once. The one before it signs too, until the next is made or
    /// [`Store::drop_old_webhook_secrets`].
    pub async fn new_webhook_secret(
        &self,
        account: AccountId,
        now: i64,
    ) -> Result<SecretString, Error> {
        let secret = random_secret();
        let newest = self.newest_webhook_secret(account).await?;
        let value = match newest {
            Some(newest) => format!("{secret},{newest}"),
            None => secret.clone(),
        };
        self.set_provider_key(account, SECRET, &value.into(), now)
            .await?;
        Ok(secret.into())
    }

    /// Only the newest signing secret signs from now on. `NotFound` when there is none.
    pub async fn drop_old_webhook_secrets(
        &self,
        account: AccountId,
        now: i64,
    ) -> Result<(), Error> {
        let newest = self.newest_webhook_secret(account).await?;
        let newest = newest.ok_or(Error::NotFound)?;
        self.set_provider_key(account, SECRET, &newest.into(), now)
            .await
            .map(drop)
    }

    async fn newest_webhook_secret(&self, account: AccountId) -> Result<Option<String>, Error> {
        let secrets = self.secrets(account).await?;
        let newest = secrets.get(SECRET).and_then(|all| {
            let mut all = all.expose_secret().split(',').map(str::trim);
            all.find(|secret| !secret.is_empty()).map(str::to_owned)
        });
        Ok(newest)
    }
}

/// Of each call's webhooks that fall due at `$2` the first one is due at `$3`.
pub(crate) const HASTEN_FIRST: &str = "UPDATE webhooks SET due_at = $3
    WHERE account_id = $1 AND state = 'waiting' AND due_at = $2 AND (sequence < 0 OR sequence = (
        SELECT MIN(w.sequence) FROM webhooks w
        WHERE w.execution_id = webhooks.execution_id AND w.state = 'waiting' AND w.sequence > 0))";

/// Notes how a receiver took a webhook; `true` when it is switched off with this failure.
pub(crate) async fn note_endpoint(
    tx: &mut Tx,
    account: &str,
    url: &str,
    took_it: bool,
    now: i64,
) -> Result<bool, Error> {
    let hash = hash(url);
    let off = on!(tx, |tx| {
        if took_it {
            sqlx::query(
                "UPDATE webhook_endpoints SET failing_since = NULL
                 WHERE account_id = $1 AND url_hash = $2 AND failing_since IS NOT NULL AND disabled_at IS NULL",
            )
            .bind(account)
            .bind(hash)
            .execute(&mut **tx)
            .await?;
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO webhook_endpoints (account_id, url_hash, url, failing_since) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account_id, url_hash) DO UPDATE
                SET failing_since = COALESCE(webhook_endpoints.failing_since, excluded.failing_since)",
        )
        .bind(account)
        .bind(&hash)
        .bind(url)
        .bind(now)
        .execute(&mut **tx)
        .await?;
        sqlx::query(
            "UPDATE webhook_endpoints SET disabled_at = $3
             WHERE account_id = $1 AND url_hash = $2 AND disabled_at IS NULL AND failing_since <= $4",
        )
        .bind(account)
        .bind(&hash)
        .bind(now)
        .bind(now - GIVEN_UP_MS)
        .execute(&mut **tx)
        .await?
        .rows_affected()
    });
    Ok(off == 1)
}

/// Addresses may be longer than an index takes.
fn hash(url: &str) -> String {
    let digest = Sha256::digest(url.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `whsec_` and 24 random bytes in base64, as Standard Webhooks has it.
fn random_secret() -> String {
    const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = rand::rng();
    let text = (0..32).filter_map(|_| BASE64.choose(&mut random));
    format!(
        "whsec_{}",
        text.map(|byte| char::from(*byte)).collect::<String>()
    )
}
