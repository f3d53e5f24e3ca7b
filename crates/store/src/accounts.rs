//! Accounts and their API keys.

use bolo_execution::AccountId;
use secrecy::SecretString;
use uuid::Uuid;

use crate::{Error, Store};

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Unique name.
    pub name: String,
    /// Where its owner can be reached.
    pub email: String,
    /// Outbound calls at once.
    pub concurrency: i64,
    /// Cents.
    pub wallet: f64,
    /// Epoch ms.
    pub created_at: i64,
}

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

impl Store {
    /// A new account. `Conflict` when the name is taken.
    pub async fn create_account(&self, name: &str, email: &str, now: i64) -> Result<Account, Error> {
        let _ = (name, email, now);
        unreachable!()
    }
    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        unreachable!()
    }
    /// One account.
    pub async fn account(&self, id: AccountId) -> Result<Account, Error> {
        let _ = id;
        unreachable!()
    }
    /// One account by name.
    pub async fn account_named(&self, name: &str) -> Result<Account, Error> {
        let _ = name;
        unreachable!()
    }
    /// Changes an account's limits; `None` leaves as is.
    pub async fn set_account(&self, name: &str, concurrency: Option<i64>, wallet: Option<f64>) -> Result<Account, Error> {
        let _ = (name, concurrency, wallet);
        unreachable!()
    }
    /// Outbound calls of the account that are at the carrier or live.
    pub async fn live_calls(&self, account: AccountId) -> Result<i64, Error> {
        let _ = account;
        unreachable!()
    }
    /// A new key, `bn-` and 64 hex digits; it is never shown again.
    pub async fn create_key(&self, account: AccountId, label: &str, now: i64) -> Result<(ApiKey, SecretString), Error> {
        let _ = (account, label, now);
        unreachable!()
    }
    /// All keys of all accounts, newest first.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        unreachable!()
    }
    /// Revokes a key. Idempotent.
    pub async fn revoke_key(&self, id: Uuid, now: i64) -> Result<(), Error> {
        let _ = (id, now);
        unreachable!()
    }
    /// Whose key this is.
    pub async fn authenticate(&self, key: &str) -> Result<Option<AccountId>, Error> {
        let _ = key;
        unreachable!()
    }
}
