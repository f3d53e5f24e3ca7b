//! Keys of vendors and carriers, encrypted at rest.

use std::collections::HashMap;

use bolo_execution::AccountId;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Error, Store,
    db::{Tx, clean, on, or_conflict},
    rows::uuid,
    secrets::Sealed,
};

/// A stored key without its value.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderKey {
    /// Its id.
    pub id: Uuid,
    /// As submitted: `OPENAI` or `OPENAI_API_KEY`.
    pub name: String,
    /// Last two characters of the value, for showing.
    pub tail: String,
    /// Epoch ms.
    pub created_at: i64,
}

#[derive(sqlx::FromRow)]
struct KeyRow {
    id: String,
    name: String,
    tail: String,
    created_at: i64,
}

#[derive(sqlx::FromRow)]
struct SecretRow {
    id: String,
    account_id: String,
    canonical: String,
    key_id: String,
    nonce: String,
    sealed: String,
}

impl SecretRow {
    fn sealed(&self) -> Sealed {
        Sealed {
            key_id: self.key_id.clone(),
            nonce: self.nonce.clone(),
            text: self.sealed.clone(),
        }
    }
}

/// All values of an account by canonical name.
pub(crate) type Secrets = HashMap<String, SecretString>;

/// Both spellings of a name are one key.
fn canonical(name: &str) -> &str {
    name.strip_suffix("_API_KEY").unwrap_or(name)
}

/// What a value is tied to: its row and its account.
fn place(id: &str, account: &str) -> String {
    format!("{id}/{account}")
}

impl Store {
    /// Stores or overwrites; the canonical name strips `_API_KEY`. `NotFound` without such an account.
    pub async fn set_provider_key(
        &self,
        account: AccountId,
        name: &str,
        value: &SecretString,
        now: i64,
    ) -> Result<ProviderKey, Error> {
        let name = clean(name);
        let plain = value.expose_secret();
        let tail: String = plain
            .chars()
            .skip(plain.chars().count().saturating_sub(2))
            .collect();
        let (tail, owner) = (clean(&tail), account.to_string());
        let mut tx = self.db().begin().await?;
        let known: Option<String> = on!(&mut tx, |tx| {
            sqlx::query_scalar(
                "SELECT id FROM provider_keys WHERE account_id = $1 AND canonical = $2",
            )
            .bind(&owner)
            .bind(canonical(&name))
            .fetch_optional(&mut **tx)
            .await
        })?;
        let id = known.unwrap_or_else(|| Uuid::now_v7().to_string());
        let sealed = self.inner.vault.seal(value, &place(&id, &owner))?;
        let written = on!(&mut tx, |tx| {
            sqlx::query(
                "INSERT INTO provider_keys (id, account_id, name, canonical, tail, key_id, nonce, sealed, created_at)
                 SELECT $1, a.id, $3, $4, $5, $6, $7, $8, $9 FROM accounts a WHERE a.id = $2
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, tail = excluded.tail,
                    key_id = excluded.key_id, nonce = excluded.nonce, sealed = excluded.sealed,
                    created_at = excluded.created_at",
            )
            .bind(&id)
            .bind(&owner)
            .bind(&name)
            .bind(canonical(&name))
            .bind(&tail)
            .bind(&sealed.key_id)
            .bind(&sealed.nonce)
            .bind(&sealed.text)
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })
        .map_err(|error| or_conflict(error, "the key was stored by someone else just now"))?;
        if written == 0 {
            return Err(Error::NotFound);
        }
        tx.commit().await?;
        self.inner.known_secrets.forget(account);
        Ok(ProviderKey {
            id: uuid(&id)?,
            name,
            tail,
            created_at: now,
        })
    }

    /// All, newest first.
    pub async fn provider_keys(&self, account: AccountId) -> Result<Vec<ProviderKey>, Error> {
        let rows: Vec<KeyRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT id, name, tail, created_at FROM provider_keys WHERE account_id = $1
                 ORDER BY created_at DESC, id DESC",
            )
            .bind(account.to_string())
            .fetch_all(pool)
            .await
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(ProviderKey {
                    id: uuid(&row.id)?,
                    name: row.name,
                    tail: row.tail,
                    created_at: row.created_at,
                })
            })
            .collect()
    }

    /// Removes by id or by either spelling of the name.
    pub async fn remove_provider_key(
        &self,
        account: AccountId,
        id_or_name: &str,
    ) -> Result<(), Error> {
        let id = Uuid::try_parse(id_or_name)
            .map(|id| id.to_string())
            .unwrap_or_default();
        let name = clean(id_or_name);
        let removed = on!(self.db().write(), |pool| {
            sqlx::query(
                "DELETE FROM provider_keys WHERE account_id = $1 AND (id = $2 OR canonical = $3)",
            )
            .bind(account.to_string())
            .bind(&id)
            .bind(canonical(&name))
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        self.inner.known_secrets.forget(account);
        if removed == 0 {
            Err(Error::NotFound)
        } else {
            Ok(())
        }
    }

    /// All values by canonical name, decrypted, for use in a call. What another process has changed comes a second later.
    pub async fn secrets(
        &self,
        account: AccountId,
    ) -> Result<HashMap<String, SecretString>, Error> {
        if let Some(secrets) = self.inner.known_secrets.get(account) {
            return Ok(secrets);
        }
        let asked = Instant::now();
        let rows: Vec<SecretRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT id, account_id, canonical, key_id, nonce, sealed FROM provider_keys WHERE account_id = $1",
            )
            .bind(account.to_string())
            .fetch_all(pool)
            .await
        })?;
        let open = |row: SecretRow| {
            let place = place(&row.id, &row.account_id);
            let value = self.inner.vault.open(&row.sealed(), &place)?;
            Ok((row.canonical, value))
        };
        let secrets = rows.into_iter().map(open).collect::<Result<_, Error>>()?;
        self.inner.known_secrets.keep(account, &secrets, asked);
        Ok(secrets)
    }

    /// Encrypts anew, under the first master key, what stands under an older one; how many there were.
    /// After it the older keys can go.
    pub async fn reseal_secrets(&self) -> Result<u64, Error> {
        let Some(newest) = self.inner.vault.newest() else {
            return Ok(0);
        };
        let mut tx = self.db().begin().await?;
        let rows: Vec<SecretRow> = on!(&mut tx, |tx| {
            sqlx::query_as(
                "SELECT id, account_id, canonical, key_id, nonce, sealed FROM provider_keys WHERE key_id <> $1",
            )
            .bind(newest)
            .fetch_all(&mut **tx)
            .await
        })?;
        let mut resealed = 0;
        for row in rows {
            resealed += self.reseal(&mut tx, &row).await?;
        }
        resealed += self.reseal_sub_accounts(&mut tx, newest).await?;
        resealed += self.reseal_documents(&mut tx, newest).await?;
        tx.commit().await?;
        Ok(resealed)
    }

    /// Leaves a row alone that someone overwrote meanwhile.
    async fn reseal(&self, tx: &mut Tx, row: &SecretRow) -> Result<u64, Error> {
        let place = place(&row.id, &row.account_id);
        let sealed = self
            .inner
            .vault
            .seal(&self.inner.vault.open(&row.sealed(), &place)?, &place)?;
        Ok(on!(tx, |tx| {
            sqlx::query("UPDATE provider_keys SET key_id = $3, nonce = $4, sealed = $5 WHERE id = $1 AND nonce = $2")
                .bind(&row.id)
                .bind(&row.nonce)
                .bind(&sealed.key_id)
                .bind(&sealed.nonce)
                .bind(&sealed.text)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        })?)
    }
}
