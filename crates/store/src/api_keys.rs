//! API keys: only the hash of a key is stored.

use std::time::Duration;

use bolo_execution::AccountId;
use moka::sync::Cache;
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Error, Store,
    db::{clean, on},
    rows::uuid,
    secrets::hex,
};

/// An API key, without the key: only its hash is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account: AccountId,
    /// What it is for.
    pub label: String,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms; a revoked key opens nothing.
    pub revoked_at: Option<i64>,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    account_id: String,
    label: String,
    created_at: i64,
    revoked_at: Option<i64>,
}

/// How long a key that was good is taken as good without asking: a key revoked by another process
/// opens nothing after this.
const FRESH: Duration = Duration::from_secs(1);
const REMEMBERED_KEYS: u64 = 10_000;

/// Keys that were good a moment ago, by hash. Bad keys are not remembered, so nobody can fill it.
pub(crate) struct KnownKeys(Cache<String, (AccountId, Instant)>);

impl KnownKeys {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(REMEMBERED_KEYS)
                .time_to_live(FRESH)
                .build(),
        )
    }

    fn get(&self, hash: &str) -> Option<AccountId> {
        let (account, since) = self.0.get(hash)?;
        (since.elapsed() < FRESH).then_some(account)
    }
}

fn hash(key: &str) -> String {
    hex(&Sha256::digest(key))
}

impl Store {
    /// A new key, `bn-` and 64 hex digits; it is never shown again. `NotFound` without such an account.
    pub async fn create_key(
        &self,
        account: AccountId,
        label: &str,
        now: i64,
    ) -> Result<(ApiKey, SecretString), Error> {
        let key = format!("bn-{}", hex(&rand::random::<[u8; 32]>()));
        let stored = ApiKey {
            id: Uuid::now_v7(),
            account,
            label: clean(label),
            created_at: now,
            revoked_at: None,
        };
        let made = on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO api_keys (id, account_id, label, hash, created_at)
                 SELECT $1, id, $3, $4, $5 FROM accounts WHERE id = $2",
            )
            .bind(stored.id.to_string())
            .bind(account.to_string())
            .bind(&stored.label)
            .bind(hash(&key))
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if made == 0 {
            Err(Error::NotFound)
        } else {
            Ok((stored, key.into()))
        }
    }

    /// All keys of all accounts, newest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows: Vec<KeyRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT id, account_id, label, created_at, revoked_at FROM api_keys
                 ORDER BY created_at DESC, id DESC",
            )
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(ApiKey {
                    id: uuid(&row.id)?,
                    account: AccountId(uuid(&row.account_id)?),
                    label: row.label,
                    created_at: row.created_at,
                    revoked_at: row.revoked_at,
                })
            })
            .collect()
    }

    /// Revokes a key. Idempotent. `NotFound` when there never was such a key.
    pub async fn revoke_key(&self, id: Uuid, now: i64) -> Result<(), Error> {
        let hash: String = on!(self.db().write(), |pool| {
            sqlx::query_scalar(
                "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE id = $1 RETURNING hash",
            )
            .bind(id.to_string())
            .bind(now)
            .fetch_one(pool)
            .await
        })?;
        self.inner.known_keys.0.invalidate(&hash);
        Ok(())
    }

    /// Whose key this is. A key revoked by another process is refused within a second.
    pub async fn authenticate(&self, key: &str) -> Result<Option<AccountId>, Error> {
        let hash = hash(key);
        if let Some(account) = self.inner.known_keys.get(&hash) {
            return Ok(Some(account));
        }
        let asked = Instant::now();
        let account: Option<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT account_id FROM api_keys WHERE hash = $1 AND revoked_at IS NULL",
            )
            .bind(&hash)
            .fetch_optional(pool)
            .await
        })?;
        let Some(account) = account else {
            return Ok(None);
        };
        let account = AccountId(uuid(&account)?);
        self.inner.known_keys.0.insert(hash, (account, asked));
        Ok(Some(account))
    }
}
