//! Sub-accounts: accounts with a parent. Everything else of them is any account's: agents, calls, keys of
//! vendors. Source: api.md §14.

use bolo_execution::{AccountId, Record};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    Account, Error, Store, Work,
    accounts::{AccountRow, columns},
    api_keys::hash,
    db::{Tx, clean, on},
    rows::{ExecutionRow, execution_columns, json, records, to_json, uuid},
    secrets::{Sealed, hex},
};

/// A sub-account to be.
#[derive(Debug, Clone)]
pub struct NewSubAccount {
    /// What it is called.
    pub title: String,
    /// Its own calls at once; `None` = as many as its parent.
    pub concurrency: Option<i64>,
    /// Lines kept free for it.
    pub min_concurrency: i64,
    /// `None` = elastic.
    pub max_concurrency: Option<i64>,
    /// Kept and shown: description, metadata.
    pub details: Map<String, Value>,
}

/// A sub-account with its key.
#[derive(Debug, Clone)]
pub struct SubAccount {
    /// The account it is.
    pub account: Account,
    /// Kept and shown.
    pub details: Map<String, Value>,
    /// `sa-` and 32 hex digits.
    pub key: SecretString,
    /// Epoch ms.
    pub updated_at: i64,
}

/// What to change of a sub-account; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct SubAccountPatch {
    /// What it is called.
    pub title: Option<String>,
    /// Its own calls at once.
    pub concurrency: Option<i64>,
    /// Lines kept free for it.
    pub min_concurrency: Option<i64>,
    /// `Some(None)` = elastic.
    pub max_concurrency: Option<Option<i64>>,
    /// Added to what is kept.
    pub details: Map<String, Value>,
}

#[derive(sqlx::FromRow)]
struct SubAccountRow {
    #[sqlx(flatten)]
    account: AccountRow,
    details: String,
    key_id: String,
    nonce: String,
    sealed: String,
    updated_at: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            ", details, key_id, nonce, sealed, updated_at
             FROM accounts JOIN sub_accounts ON sub_accounts.account_id = accounts.id
             WHERE parent_id = $1 AND deleted_at IS NULL ",
            $rest
        )
    };
}

pub(crate) const SUB_ACCOUNTS: &str = select!("ORDER BY created_at DESC, id DESC");

pub(crate) const LIVE_OF: &str = concat!(
    "SELECT ",
    execution_columns!(),
    " FROM executions WHERE account_id = $1 AND status IN ('initiated', 'ringing', 'in-progress')"
);

/// What the key is tied to.
fn place(account: AccountId) -> String {
    format!("sub-account {account}")
}

impl Store {
    /// A new sub-account with its key. `NotFound` without such a parent, or when that is a sub-account
    /// itself; `Conflict` when the parent has too few lines for what is asked.
    pub async fn create_sub_account(
        &self,
        parent: AccountId,
        new: NewSubAccount,
        now: i64,
    ) -> Result<SubAccount, Error> {
        let id = AccountId::new();
        let key = SecretString::from(format!("sa-{}", hex(&rand::random::<[u8; 16]>())));
        let sealed = self.inner.vault.seal(&key, &place(id))?;
        let mut tx = self.db().begin().await?;
        let owner = parent_in(&mut tx, parent).await?;
        let account = Account {
            id,
            name: id.to_string(),
            title: Some(clean(&new.title)),
            parent: Some(parent),
            email: owner.email,
            concurrency: new.concurrency.unwrap_or(owner.concurrency),
            min_concurrency: new.min_concurrency,
            max_concurrency: new.max_concurrency,
            wallet: 0.0,
            created_at: now,
        };
        fits(&mut tx, &account, owner.concurrency).await?;
        let details = clean(&to_json("details", &new.details)?);
        on!(&mut tx, |tx| {
            sqlx::query(
                "INSERT INTO accounts (id, name, email, concurrency, wallet, created_at, title, parent_id,
                    min_concurrency, max_concurrency) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(id.to_string())
            .bind(&account.name)
            .bind(&account.email)
            .bind(account.concurrency)
            .bind(account.wallet)
            .bind(now)
            .bind(&account.title)
            .bind(parent.to_string())
            .bind(account.min_concurrency)
            .bind(account.max_concurrency)
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "INSERT INTO sub_accounts (account_id, details, key_id, nonce, sealed, updated_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(id.to_string())
            .bind(&details)
            .bind(&sealed.key_id)
            .bind(&sealed.nonce)
            .bind(&sealed.text)
            .bind(now)
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "INSERT INTO api_keys (id, account_id, label, hash, created_at)
                 VALUES ($1, $2, 'sub-account', $3, $4)",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(id.to_string())
            .bind(hash(key.expose_secret()))
            .bind(now)
            .execute(&mut **tx)
            .await?;
        });
        tx.commit().await?;
        Ok(SubAccount {
            account,
            details: new.details,
            key,
            updated_at: now,
        })
    }

    /// All sub-accounts of an account, newest first.
    pub async fn sub_accounts(&self, parent: AccountId) -> Result<Vec<SubAccount>, Error> {
        let rows: Vec<SubAccountRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(SUB_ACCOUNTS)
                .bind(parent.to_string())
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(|row| self.opened(row)).collect()
    }

    /// One of them.
    pub async fn sub_account(&self, parent: AccountId, id: AccountId) -> Result<SubAccount, Error> {
        let row: SubAccountRow = on!(self.db().read(), |pool| {
            sqlx::query_as(select!("AND id = $2"))
                .bind(parent.to_string())
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        self.opened(row)
    }

    fn opened(&self, row: SubAccountRow) -> Result<SubAccount, Error> {
        let account: Account = row.account.try_into()?;
        let sealed = Sealed {
            key_id: row.key_id,
            nonce: row.nonce,
            text: row.sealed,
        };
        Ok(SubAccount {
            details: json("sub_accounts.details", &row.details)?,
            key: self.inner.vault.open(&sealed, &place(account.id))?,
            updated_at: row.updated_at,
            account,
        })
    }

    /// Changes a sub-account. `Conflict` when the parent has too few lines for what is asked.
    pub async fn change_sub_account(
        &self,
        parent: AccountId,
        id: AccountId,
        patch: SubAccountPatch,
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        let owner = parent_in(&mut tx, parent).await?;
        let row: SubAccountRow = on!(&mut tx, |tx| {
            sqlx::query_as(select!("AND id = $2"))
                .bind(parent.to_string())
                .bind(id.to_string())
                .fetch_one(&mut **tx)
                .await
        })?;
        let mut details: Map<String, Value> = json("sub_accounts.details", &row.details)?;
        details.extend(patch.details);
        let mut account: Account = row.account.try_into()?;
        account.title = patch.title.map(|title| clean(&title)).or(account.title);
        account.concurrency = patch.concurrency.unwrap_or(account.concurrency);
        account.min_concurrency = patch.min_concurrency.unwrap_or(account.min_concurrency);
        account.max_concurrency = patch.max_concurrency.unwrap_or(account.max_concurrency);
        fits(&mut tx, &account, owner.concurrency).await?;
        let details = clean(&to_json("details", &details)?);
        on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE accounts SET title = $2, concurrency = $3, min_concurrency = $4, max_concurrency = $5
                 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(&account.title)
            .bind(account.concurrency)
            .bind(account.min_concurrency)
            .bind(account.max_concurrency)
            .execute(&mut **tx)
            .await?;
            sqlx::query(
                "UPDATE sub_accounts SET details = $2, updated_at = $3 WHERE account_id = $1",
            )
            .bind(id.to_string())
            .bind(&details)
            .bind(now)
            .execute(&mut **tx)
            .await?;
        });
        tx.commit().await?;
        self.signals().wake_worker(Work::Dials);
        Ok(())
    }

    /// Deletes a sub-account: its keys open nothing any more, its waiting calls are stopped. The calls that
    /// are live are returned, to be ended; its rows go with [`Store::purge_deleted`].
    pub async fn delete_sub_account(
        &self,
        parent: AccountId,
        id: AccountId,
        now: i64,
    ) -> Result<Vec<Record>, Error> {
        let account = id.to_string();
        let mut tx = self.db().begin().await?;
        let deleted = on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE accounts SET deleted_at = $3 WHERE id = $1 AND parent_id = $2 AND deleted_at IS NULL",
            )
            .bind(&account)
            .bind(parent.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if deleted == 0 {
            return Err(Error::NotFound);
        }
        let (hashes, agents): (Vec<String>, Vec<String>) = on!(&mut tx, |tx| {
            let hashes = sqlx::query_scalar(
                "UPDATE api_keys SET revoked_at = COALESCE(revoked_at, $2) WHERE account_id = $1 RETURNING hash",
            )
            .bind(&account)
            .bind(now)
            .fetch_all(&mut **tx)
            .await?;
            let agents = sqlx::query_scalar(
                "UPDATE agents SET deleted_at = COALESCE(deleted_at, $2) WHERE account_id = $1 RETURNING id",
            )
            .bind(&account)
            .bind(now)
            .fetch_all(&mut **tx)
            .await?;
            (hashes, agents)
        });
        for agent in agents {
            let agent = bolo_execution::AgentId(uuid(&agent)?);
            self.stop_waiting_in(&mut tx, id, agent, now).await?;
        }
        tx.commit().await?;
        for hash in hashes {
            self.inner.known_keys.forget(&hash);
        }
        self.signals().wake_worker(Work::Webhooks);
        self.signals().wake_worker(Work::Dials);
        let live: Vec<ExecutionRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(LIVE_OF).bind(&account).fetch_all(pool).await
        })?;
        records(live)
    }

    /// Encrypts the keys of sub-accounts anew, under the first master key; how many there were.
    pub(crate) async fn reseal_sub_accounts(
        &self,
        tx: &mut Tx,
        newest: &str,
    ) -> Result<u64, Error> {
        let rows: Vec<(String, String, String, String)> = on!(&mut *tx, |tx| {
            sqlx::query_as(
                "SELECT account_id, key_id, nonce, sealed FROM sub_accounts WHERE key_id <> $1",
            )
            .bind(newest)
            .fetch_all(&mut **tx)
            .await
        })?;
        let mut resealed = 0;
        for (id, key_id, nonce, text) in rows {
            let place = place(AccountId(uuid(&id)?));
            let old = Sealed {
                key_id,
                nonce,
                text,
            };
            let new = self
                .inner
                .vault
                .seal(&self.inner.vault.open(&old, &place)?, &place)?;
            resealed += on!(&mut *tx, |tx| {
                sqlx::query("UPDATE sub_accounts SET key_id = $2, nonce = $3, sealed = $4 WHERE account_id = $1")
                    .bind(&id)
                    .bind(&new.key_id)
                    .bind(&new.nonce)
                    .bind(&new.text)
                    .execute(&mut **tx)
                    .await
                    .map(|done| done.rows_affected())
            })?;
        }
        Ok(resealed)
    }
}

/// The parent's row, locked, so that two sub-accounts can't both take its last lines.
async fn parent_in(tx: &mut Tx, parent: AccountId) -> Result<Account, Error> {
    let sql = sqlx::AssertSqlSafe(format!(
        concat!(
            "SELECT ",
            columns!(),
            " FROM accounts WHERE id = $1 AND parent_id IS NULL {}"
        ),
        tx.lock("FOR NO KEY UPDATE")
    ));
    let row: AccountRow = on!(tx, |tx| {
        sqlx::query_as(sql)
            .bind(parent.to_string())
            .fetch_one(&mut **tx)
            .await
    })?;
    row.try_into()
}

/// Whether the parent's lines allow it: no cap above them, and not more kept than there are.
async fn fits(tx: &mut Tx, account: &Account, lines: i64) -> Result<(), Error> {
    if account.concurrency > lines || account.max_concurrency.is_some_and(|max| max > lines) {
        return Err(Error::Conflict("more calls at once than the parent has"));
    }
    // A paused one keeps its lines for later.
    let cap = account.max_concurrency.filter(|max| *max > 0);
    if account.min_concurrency > account.concurrency.min(cap.unwrap_or(i64::MAX)) {
        return Err(Error::Conflict("more lines kept than it may use"));
    }
    let kept: i64 = on!(tx, |tx| {
        sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(min_concurrency), 0) AS BIGINT) FROM accounts
             WHERE parent_id = $1 AND id <> $2 AND deleted_at IS NULL",
        )
        .bind(account.parent.unwrap_or_default().to_string())
        .bind(account.id.to_string())
        .fetch_one(&mut **tx)
        .await
    })?;
    if kept + account.min_concurrency > lines {
        return Err(Error::Conflict("more lines kept than the parent has"));
    }
    Ok(())
}
