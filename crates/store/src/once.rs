//! Requests that have effect once: `Idempotency-Key` (api.md §7). The answer is kept in the transaction of
//! what the request made, so that a crash between the two can't let a repetition make it again.

use bolo_execution::AccountId;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Error, Store,
    db::{Tx, clean, on},
    rows::to_json,
    secrets::hex,
};

/// How long a key is remembered.
pub const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

/// A request under its key.
#[derive(Debug, Clone)]
pub struct Once {
    /// Whose.
    pub account: AccountId,
    /// What it asks for: keys of different operations are different.
    pub operation: &'static str,
    /// As the client chose it.
    pub key: String,
    fingerprint: String,
}

/// What is known of a request's key.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// Nothing: go on.
    New,
    /// This request was answered so.
    Answer(Value),
    /// The key came with another request.
    Other,
}

impl Once {
    /// `body` is what must be the same when the request is repeated.
    pub fn new(account: AccountId, operation: &'static str, key: &str, body: &[u8]) -> Self {
        Self {
            account,
            operation,
            key: clean(key),
            fingerprint: hex(&Sha256::digest(body)),
        }
    }
}

impl Store {
    /// What is known of this request's key. A key older than a day is forgotten.
    pub async fn recall(&self, once: &Once, now: i64) -> Result<Recalled, Error> {
        let row: Option<(String, String)> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT fingerprint, answer FROM idempotency_keys
                 WHERE account_id = $1 AND operation = $2 AND key = $3 AND created_at > $4",
            )
            .bind(once.account.to_string())
            .bind(once.operation)
            .bind(&once.key)
            .bind(now - REMEMBERED_MS)
            .fetch_optional(pool)
            .await
        })?;
        Ok(match row {
            None => Recalled::New,
            Some((fingerprint, _)) if fingerprint != once.fingerprint => Recalled::Other,
            Some((_, answer)) => Recalled::Answer(
                serde_json::from_str(&answer)
                    .map_err(|error| Error::Corrupt(format!("idempotency_keys: {error}")))?,
            ),
        })
    }

    /// Forgets keys that are older than a day.
    pub async fn forget_keys(&self, now: i64) -> Result<(), Error> {
        on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM idempotency_keys WHERE created_at <= $1")
                .bind(now - REMEMBERED_MS)
                .execute(pool)
                .await
                .map(|_| ())
        })?;
        Ok(())
    }
}

/// Keeps the answer. `Conflict` when a request with this key was quicker: roll back and recall. On
/// PostgreSQL one that is under way is waited for.
pub(crate) async fn keep(tx: &mut Tx, once: &Once, answer: &Value, now: i64) -> Result<(), Error> {
    let answer = to_json("answer", answer)?;
    let kept = on!(tx, |tx| {
        sqlx::query(
            "INSERT INTO idempotency_keys (account_id, operation, key, fingerprint, answer, created_at)
             VALUES ($1, $2, $3, $4, $5, $6)
             ON CONFLICT (account_id, operation, key) DO UPDATE
                SET fingerprint = excluded.fingerprint, answer = excluded.answer, created_at = excluded.created_at
                WHERE idempotency_keys.created_at <= $7",
        )
        .bind(once.account.to_string())
        .bind(once.operation)
        .bind(&once.key)
        .bind(&once.fingerprint)
        .bind(answer)
        .bind(now)
        .bind(now - REMEMBERED_MS)
        .execute(&mut **tx)
        .await
        .map(|done| done.rows_affected())
    })?;
    if kept == 0 {
        Err(Error::Conflict("a request with this key was quicker"))
    } else {
        Ok(())
    }
}
