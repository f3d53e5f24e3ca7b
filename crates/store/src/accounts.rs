//! Accounts and what they may do.

use bolo_execution::AccountId;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    Error, Store, Work,
    db::{clean, on, or_conflict},
    rows::{json, uuid},
};

/// A tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Unique name; of a sub-account its id.
    pub name: String,
    /// What a sub-account is called.
    pub title: Option<String>,
    /// Whose sub-account this is.
    pub parent: Option<AccountId>,
    /// Where its owner can be reached.
    pub email: String,
    /// Outbound calls at once.
    pub concurrency: i64,
    /// Lines of the parent that are kept free for it.
    pub min_concurrency: i64,
    /// `None` = up to `concurrency`; 0 = paused.
    pub max_concurrency: Option<i64>,
    /// Cents.
    pub wallet: f64,
    /// Epoch ms.
    pub created_at: i64,
}

/// Outbound calls at once of a new account: what the hosted platform gives a paying one.
const CONCURRENCY: i64 = 10;
/// Cents of a new account. Nothing refills it by itself, so a self-hosted account starts with enough
/// not to be in the way.
const WALLET: f64 = 1_000_000.0;

#[derive(sqlx::FromRow)]
pub(crate) struct AccountRow {
    id: String,
    name: String,
    email: String,
    concurrency: i64,
    wallet: f64,
    created_at: i64,
    title: Option<String>,
    parent_id: Option<String>,
    min_concurrency: i64,
    max_concurrency: Option<i64>,
}

impl TryFrom<AccountRow> for Account {
    type Error = Error;
    fn try_from(row: AccountRow) -> Result<Self, Error> {
        Ok(Self {
            id: AccountId(uuid(&row.id)?),
            name: row.name,
            title: row.title,
            parent: row
                .parent_id
                .map(|parent| uuid(&parent).map(AccountId))
                .transpose()?,
            email: row.email,
            concurrency: row.concurrency,
            min_concurrency: row.min_concurrency,
            max_concurrency: row.max_concurrency,
            wallet: row.wallet,
            created_at: row.created_at,
        })
    }
}

macro_rules! columns {
    () => {
        "id, name, email, concurrency, wallet, created_at, title, parent_id, min_concurrency, max_concurrency"
    };
}
pub(crate) use columns;

impl Store {
    /// A new account. `Conflict` when the name is taken.
    pub async fn create_account(
        &self,
        name: &str,
        email: &str,
        now: i64,
    ) -> Result<Account, Error> {
        let account = Account {
            id: AccountId::new(),
            name: clean(name),
            title: None,
            parent: None,
            email: clean(email),
            concurrency: CONCURRENCY,
            min_concurrency: 0,
            max_concurrency: None,
            wallet: WALLET,
            created_at: now,
        };
        on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO accounts (id, name, email, concurrency, wallet, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(account.id.to_string())
            .bind(&account.name)
            .bind(&account.email)
            .bind(account.concurrency)
            .bind(account.wallet)
            .bind(account.created_at)
            .execute(pool)
            .await
            .map(|_| ())
        })
        .map_err(|error| or_conflict(error, "an account of this name exists"))?;
        Ok(account)
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<Account>, Error> {
        let rows: Vec<AccountRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE deleted_at IS NULL ORDER BY name"
            ))
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// One account.
    pub async fn account(&self, id: AccountId) -> Result<Account, Error> {
        let row: AccountRow = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE id = $1 AND deleted_at IS NULL"
            ))
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// One account by name.
    pub async fn account_named(&self, name: &str) -> Result<Account, Error> {
        let row: AccountRow = on!(self.db().read(), |pool| {
            sqlx::query_as(concat!(
                "SELECT ",
                columns!(),
                " FROM accounts WHERE name = $1 AND deleted_at IS NULL"
            ))
            .bind(clean(name))
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// Changes an account's limits; `None` leaves as is.
    pub async fn set_account(
        &self,
        name: &str,
        concurrency: Option<i64>,
        wallet: Option<f64>,
    ) -> Result<Account, Error> {
        let row: AccountRow = on!(self.db().write(), |pool| {
            sqlx::query_as(concat!(
                "UPDATE accounts SET concurrency = COALESCE($2, concurrency), wallet = COALESCE($3, wallet)
                 WHERE name = $1 AND deleted_at IS NULL RETURNING ",
                columns!()
            ))
            .bind(clean(name))
            .bind(concurrency)
            .bind(wallet)
            .fetch_one(pool)
            .await
        })?;
        self.signals().wake_worker(Work::Dials);
        row.try_into()
    }

    /// Sets the vendors that take over in the account's calls, as their document says it.
    pub async fn set_fallbacks(&self, name: &str, fallbacks: &Value) -> Result<(), Error> {
        let id: String = on!(self.db().write(), |pool| {
            sqlx::query_scalar("UPDATE accounts SET fallbacks = $2 WHERE name = $1 RETURNING id")
                .bind(clean(name))
                .bind(clean(&fallbacks.to_string()))
                .fetch_one(pool)
                .await
        })?;
        self.inner.known_fallbacks.forget(AccountId(uuid(&id)?));
        Ok(())
    }

    /// The vendors that take over in the account's calls; `None` where it has none.
    pub async fn fallbacks(&self, account: AccountId) -> Result<Option<Value>, Error> {
        if let Some(fallbacks) = self.inner.known_fallbacks.get(account) {
            return Ok(fallbacks);
        }
        let asked = Instant::now();
        let text: Option<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT fallbacks FROM accounts WHERE id = $1")
                .bind(account.to_string())
                .fetch_one(pool)
                .await
        })?;
        let fallbacks = text.map(|text| json("accounts.fallbacks", &text));
        let fallbacks = fallbacks.transpose()?;
        (self.inner.known_fallbacks).keep(account, &fallbacks, asked);
        Ok(fallbacks)
    }

    /// What is left in the account's wallet, of a sub-account in its parent's; cents.
    pub async fn wallet(&self, account: AccountId) -> Result<f64, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT p.wallet FROM accounts a JOIN accounts p ON p.id = COALESCE(a.parent_id, a.id)
                 WHERE a.id = $1",
            )
                .bind(account.to_string())
                .fetch_one(pool)
                .await
        })?)
    }

    /// Outbound calls of the account that are claimed for dialling, at the carrier or live.
    pub async fn live_calls(&self, account: AccountId) -> Result<i64, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_scalar(crate::queue::LIVE_CALLS)
                .bind(account.to_string())
                .fetch_one(pool)
                .await
        })?)
    }
}
