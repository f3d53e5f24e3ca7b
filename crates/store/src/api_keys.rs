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

/// Who comes with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Whose key it is.
    pub account: AccountId,
    /// Whose sub-account that is.
    pub parent: Option<AccountId>,
    /// The key's id.
    pub key: Uuid,
}

/// How long a key that was good is taken as good without asking: a key revoked by another process
/// opens nothing after this.
const FRESH: Duration = Duration::from_secs(1);
const REMEMBERED_KEYS: u64 = 10_000;

/// Keys that were good a moment ago, by hash. Bad keys are not remembered, so nobody can fill it.
pub(crate) struct KnownKeys(Cache<String, (Holder, Instant)>);

impl KnownKeys {
    pub(crate) fn new() -> Self {
        Self(
            Cache::builder()
                .max_capacity(REMEMBERED_KEYS)
                .time_to_live(FRESH)
                .build(),
        )
    }

    fn get(&self, hash: &str) -> Option<Holder> {
        let (holder, since) = self.0.get(hash)?;
        (since.elapsed() < FRESH).then_some(holder)
    }

    /// Of keys that were revoked here.
    pub(crate) fn forget(&self, hash: &str) {
        self.0.invalidate(hash);
    }
}

pub(crate) fn hash(key: &str) -> String {
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
        self.inner.known_keys.forget(&hash);
        Ok(())
    }

    /// Who comes with this key. A key revoked by another process is refused within a second.
    pub async fn authenticate(&self, key: &str) -> Result<Option<Holder>, Error> {
        let hash = hash(key);
        if let Some(holder) = self.inner.known_keys.get(&hash) {
            return Ok(Some(holder));
        }
        let asked = Instant::now();
        let found: Option<(String, Option<String>, String)> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT a.id, a.parent_id, k.id FROM api_keys k JOIN accounts a ON a.id = k.account_id
                 WHERE k.hash = $1 AND k.revoked_at IS NULL AND a.deleted_at IS NULL",
            )
            .bind(&hash)
            .fetch_optional(pool)
            .await
        })?;
        let Some((account, parent, key)) = found else {
            return Ok(None);
        };
        let holder = Holder {
            account: AccountId(uuid(&account)?),
            parent: parent.map(|id| uuid(&id).map(AccountId)).transpose()?,
            key: uuid(&key)?,
        };
        self.inner.known_keys.0.insert(hash, (holder, asked));
        Ok(Some(holder))
    }
}
