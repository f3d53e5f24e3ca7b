//! Small documents of an account, by kind: templates of extractions, dispositions, models, SIP trunks,
//! violations. What they mean is known to those who write them.

use bolo_execution::AccountId;
use secrecy::SecretString;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Error, Store,
    db::{Tx, clean, on, or_conflict},
    rows::{json, to_json, uuid},
    secrets::Sealed,
};

/// What a document is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A template of what to extract from transcripts.
    Extraction,
    /// A question about each call.
    Disposition,
    /// A model behind an address of the account's own.
    Model,
    /// A telephone system of the account's own.
    SipTrunk,
    /// A call that broke a rule.
    Violation,
    /// A list of callers, CSV.
    ContactList,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Extraction => "extraction",
            Self::Disposition => "disposition",
            Self::Model => "model",
            Self::SipTrunk => "sip-trunk",
            Self::Violation => "violation",
            Self::ContactList => "contact-list",
        }
    }
}

/// A document as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account: AccountId,
    /// What it says.
    pub body: Value,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
}

/// A document to be, or what replaces one.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Unique among those of its kind in the account; `None` = needs not be.
    pub key: Option<String>,
    /// What it says.
    pub body: Value,
}

#[derive(sqlx::FromRow)]
pub(crate) struct DocumentRow {
    id: String,
    account_id: String,
    body: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<DocumentRow> for Document {
    type Error = Error;
    fn try_from(row: DocumentRow) -> Result<Self, Error> {
        Ok(Self {
            id: uuid(&row.id)?,
            account: AccountId(uuid(&row.account_id)?),
            body: json("documents.body", &row.body)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(crate) const DOCUMENTS: &str =
    "SELECT id, account_id, body, created_at, updated_at FROM documents
    WHERE account_id = $1 AND kind = $2 ORDER BY created_at DESC, id DESC";

const TAKEN: &str = "one of this name exists";

/// What a document's secret is tied to.
fn place(id: Uuid) -> String {
    format!("document {id}")
}

impl Store {
    /// Keeps a document. `Conflict` when its key is taken, `NotFound` without such an account.
    pub async fn create_document(
        &self,
        account: AccountId,
        kind: Kind,
        draft: Draft,
        now: i64,
    ) -> Result<Document, Error> {
        let mut tx = self.db().begin().await?;
        let made = insert(&mut tx, account, kind, draft, now).await?;
        tx.commit().await?;
        Ok(made)
    }

    /// Keeps a document in place of the one with the same key, if there is one.
    pub async fn put_document(
        &self,
        account: AccountId,
        kind: Kind,
        key: &str,
        body: &Value,
        now: i64,
    ) -> Result<(), Error> {
        let written = on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO documents (id, account_id, kind, key, body, created_at, updated_at)
                 SELECT $1, a.id, $3, $4, $5, $6, $6 FROM accounts a WHERE a.id = $2
                 ON CONFLICT (account_id, kind, key)
                 DO UPDATE SET body = excluded.body, updated_at = excluded.updated_at",
            )
            .bind(Uuid::now_v7().to_string())
            .bind(account.to_string())
            .bind(kind.as_str())
            .bind(clean(key))
            .bind(clean(&to_json("documents.body", body)?))
            .bind(now)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        match written {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// All documents of a kind, newest first.
    pub async fn documents(&self, account: AccountId, kind: Kind) -> Result<Vec<Document>, Error> {
        let rows: Vec<DocumentRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(DOCUMENTS)
                .bind(account.to_string())
                .bind(kind.as_str())
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// One of them.
    pub async fn document(
        &self,
        account: AccountId,
        kind: Kind,
        id: Uuid,
    ) -> Result<Document, Error> {
        let row: DocumentRow = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT id, account_id, body, created_at, updated_at FROM documents
                 WHERE account_id = $1 AND kind = $2 AND id = $3",
            )
            .bind(account.to_string())
            .bind(kind.as_str())
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// One of them by its key.
    pub async fn document_named(
        &self,
        account: AccountId,
        kind: Kind,
        key: &str,
    ) -> Result<Document, Error> {
        let row: DocumentRow = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT id, account_id, body, created_at, updated_at FROM documents
                 WHERE account_id = $1 AND kind = $2 AND key = $3",
            )
            .bind(account.to_string())
            .bind(kind.as_str())
            .bind(clean(key))
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// Where the account's own model of this name is asked, if it has one.
    pub async fn custom_model(
        &self,
        account: AccountId,
        name: &str,
    ) -> Result<Option<url::Url>, Error> {
        match self.document_named(account, Kind::Model, name).await {
            Ok(model) => {
                let url = model.body["custom_model_url"].as_str().unwrap_or_default();
                let url = url
                    .parse()
                    .map_err(|error| Error::Corrupt(format!("custom_model_url: {error}")))?;
                Ok(Some(url))
            }
            Err(Error::NotFound) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Changes a document: `change` makes the new one of the old. `Conflict` when its key is taken.
    pub async fn change_document<E: From<Error>>(
        &self,
        account: AccountId,
        kind: Kind,
        id: Uuid,
        now: i64,
        change: impl FnOnce(Value) -> Result<Draft, E>,
    ) -> Result<Document, E> {
        let mut tx = self.db().begin().await?;
        let document = change_in(&mut tx, account, kind, id, now, change).await?;
        tx.commit().await?;
        Ok(document)
    }

    /// Removes a document.
    pub async fn remove_document(
        &self,
        account: AccountId,
        kind: Kind,
        id: Uuid,
    ) -> Result<(), Error> {
        let removed = on!(self.db().write(), |pool| {
            sqlx::query("DELETE FROM documents WHERE account_id = $1 AND kind = $2 AND id = $3")
                .bind(account.to_string())
                .bind(kind.as_str())
                .bind(id.to_string())
                .execute(pool)
                .await
                .map(|done| done.rows_affected())
        })?;
        match removed {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// Keeps a secret with a document, in place of an older one.
    pub async fn set_document_secret(
        &self,
        account: AccountId,
        id: Uuid,
        secret: &SecretString,
    ) -> Result<(), Error> {
        let sealed = self.inner.vault.seal(secret, &place(id))?;
        let written = on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE documents SET key_id = $3, nonce = $4, sealed = $5 WHERE account_id = $1 AND id = $2",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(&sealed.key_id)
            .bind(&sealed.nonce)
            .bind(&sealed.text)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        match written {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }

    /// The secret kept with a document.
    pub async fn document_secret(
        &self,
        account: AccountId,
        id: Uuid,
    ) -> Result<Option<SecretString>, Error> {
        type Columns = (Option<String>, Option<String>, Option<String>);
        let row: Columns = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT key_id, nonce, sealed FROM documents WHERE account_id = $1 AND id = $2",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        let (Some(key_id), Some(nonce), Some(text)) = row else {
            return Ok(None);
        };
        let sealed = Sealed {
            key_id,
            nonce,
            text,
        };
        self.inner.vault.open(&sealed, &place(id)).map(Some)
    }

    /// Encrypts the secrets of documents anew, under the first master key; how many there were.
    pub(crate) async fn reseal_documents(&self, tx: &mut Tx, newest: &str) -> Result<u64, Error> {
        let rows: Vec<(String, String, String, String)> = on!(&mut *tx, |tx| {
            sqlx::query_as("SELECT id, key_id, nonce, sealed FROM documents WHERE key_id <> $1")
                .bind(newest)
                .fetch_all(&mut **tx)
                .await
        })?;
        let mut resealed = 0;
        for (id, key_id, nonce, text) in rows {
            let place = place(uuid(&id)?);
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
                sqlx::query(
                    "UPDATE documents SET key_id = $2, nonce = $3, sealed = $4 WHERE id = $1",
                )
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

pub(crate) async fn insert(
    tx: &mut Tx,
    account: AccountId,
    kind: Kind,
    draft: Draft,
    now: i64,
) -> Result<Document, Error> {
    let id = Uuid::now_v7();
    let body = clean(&to_json("documents.body", &draft.body)?);
    let key = draft.key.map_or_else(|| id.to_string(), |key| clean(&key));
    let made = on!(tx, |tx| {
        sqlx::query(
            "INSERT INTO documents (id, account_id, kind, key, body, created_at, updated_at)
             SELECT $1, a.id, $3, $4, $5, $6, $6 FROM accounts a WHERE a.id = $2",
        )
        .bind(id.to_string())
        .bind(account.to_string())
        .bind(kind.as_str())
        .bind(&key)
        .bind(&body)
        .bind(now)
        .execute(&mut **tx)
        .await
        .map(|done| done.rows_affected())
    })
    .map_err(|error| or_conflict(error, TAKEN))?;
    if made == 0 {
        return Err(Error::NotFound);
    }
    Ok(Document {
        id,
        account,
        body: draft.body,
        created_at: now,
        updated_at: now,
    })
}

pub(crate) async fn change_in<E: From<Error>>(
    tx: &mut Tx,
    account: AccountId,
    kind: Kind,
    id: Uuid,
    now: i64,
    change: impl FnOnce(Value) -> Result<Draft, E>,
) -> Result<Document, E> {
    let document = locked(tx, account, kind, id).await?;
    let draft = change(document.body)?;
    let body = clean(&to_json("documents.body", &draft.body)?);
    let key = draft.key.map_or_else(|| id.to_string(), |key| clean(&key));
    on!(tx, |tx| {
        sqlx::query("UPDATE documents SET key = $2, body = $3, updated_at = $4 WHERE id = $1")
            .bind(id.to_string())
            .bind(&key)
            .bind(&body)
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
    })
    .map_err(|error| or_conflict(error, TAKEN))?;
    Ok(Document {
        body: draft.body,
        updated_at: now,
        ..document
    })
}

/// The document, kept from other writers until the transaction ends.
pub(crate) async fn locked(
    tx: &mut Tx,
    account: AccountId,
    kind: Kind,
    id: Uuid,
) -> Result<Document, Error> {
    let sql = sqlx::AssertSqlSafe(format!(
        "SELECT id, account_id, body, created_at, updated_at FROM documents
         WHERE account_id = $1 AND kind = $2 AND id = $3 {}",
        tx.lock("FOR UPDATE")
    ));
    let row: DocumentRow = on!(tx, |tx| {
        sqlx::query_as(sql)
            .bind(account.to_string())
            .bind(kind.as_str())
            .bind(id.to_string())
            .fetch_one(&mut **tx)
            .await
    })?;
    row.try_into()
}
