//! Knowledgebases: a document's row, its text in chunks with their vectors, and who turns the one into the
//! other at present. Source: api.md §12.

use bolo_execution::{AccountId, KnowledgebaseId};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Error, Store, Work,
    db::{clean, on},
    rows::uuid,
};

/// Where a knowledgebase's text comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// An uploaded PDF.
    Pdf(Vec<u8>),
    /// A page or a PDF at this address.
    Url(String),
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ingest {
    /// Waits or is under way.
    Processing,
    /// Can be searched.
    Processed,
    /// Failed for good, for this reason.
    Error(String),
}

/// A knowledgebase without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Knowledgebase {
    /// `rag_id`.
    pub id: KnowledgebaseId,
    /// What agents name.
    pub vector_id: Uuid,
    /// Of the upload, or the address.
    pub file_name: String,
    /// Its address; `None` for an upload.
    pub url: Option<String>,
    /// How far it is.
    pub ingest: Ingest,
    /// Characters of a chunk.
    pub chunk_size: i64,
    /// Characters that a chunk repeats of the one before.
    pub overlapping: i64,
    /// Passages to find where nobody says how many.
    pub similarity_top_k: i64,
    /// How many chunks there are.
    pub chunks: i64,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
}

/// What a new one is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKnowledgebase {
    /// Shown to people.
    pub file_name: String,
    /// Its text's origin.
    pub source: Source,
    /// Characters of a chunk.
    pub chunk_size: i64,
    /// Less than `chunk_size`.
    pub overlapping: i64,
    /// See [`Knowledgebase`].
    pub similarity_top_k: i64,
}

/// One to process, claimed by whoever holds this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKnowledge {
    /// Its id.
    pub id: KnowledgebaseId,
    /// Proof of the claim.
    pub claim: Uuid,
    /// Times it was begun, this one included: more than once after a crash.
    pub tries: i64,
    /// What to read.
    pub source: Source,
    /// Characters of a chunk.
    pub chunk_size: i64,
    /// Characters repeated.
    pub overlapping: i64,
}

/// A piece of text with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// The text.
    pub text: String,
    /// Its vector.
    pub vector: Vec<f32>,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    vector_id: String,
    file_name: String,
    url: Option<String>,
    status: String,
    reason: Option<String>,
    chunk_size: i64,
    overlapping: i64,
    similarity_top_k: i64,
    chunks: i64,
    created_at: i64,
    updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct ClaimRow {
    id: String,
    url: Option<String>,
    tries: i64,
    chunk_size: i64,
    overlapping: i64,
}

macro_rules! columns {
    () => {
        "id, vector_id, file_name, url, status, reason, chunk_size, overlapping, similarity_top_k, chunks, \
         created_at, updated_at"
    };
}

pub(crate) const KNOWLEDGEBASES: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM knowledgebases WHERE account_id = $1 ORDER BY created_at DESC, id DESC"
);
pub(crate) const KNOWLEDGEBASE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM knowledgebases WHERE (id = $2 OR vector_id = $2) AND account_id = $1"
);
pub(crate) const CHUNKS: &str =
    "SELECT text, vector FROM knowledge_chunks WHERE knowledgebase_id = $1 ORDER BY number";

pub(crate) fn claim_sql(lock: &str) -> String {
    format!(
        "WITH waiting AS (
             SELECT id FROM knowledgebases WHERE status = 'processing' AND lease_until <= $1
             ORDER BY lease_until, id LIMIT 1 {lock})
         UPDATE knowledgebases SET claim = $2, lease_until = $3, tries = tries + 1
         WHERE id IN (SELECT id FROM waiting)
         RETURNING id, url, tries, chunk_size, overlapping"
    )
}

impl TryFrom<Row> for Knowledgebase {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self, Error> {
        Ok(Self {
            id: KnowledgebaseId(uuid(&row.id)?),
            vector_id: uuid(&row.vector_id)?,
            file_name: row.file_name,
            url: row.url,
            ingest: match row.status.as_str() {
                "processing" => Ingest::Processing,
                "processed" => Ingest::Processed,
                "error" => Ingest::Error(row.reason.unwrap_or_default()),
                other => return Err(Error::Corrupt(format!("knowledgebase status {other:?}"))),
            },
            chunk_size: row.chunk_size,
            overlapping: row.overlapping,
            similarity_top_k: row.similarity_top_k,
            chunks: row.chunks,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

impl Store {
    /// Keeps a document to be processed, and wakes the worker. `NotFound` without such an account.
    pub async fn add_knowledgebase(
        &self,
        account: AccountId,
        new: NewKnowledgebase,
        now: i64,
    ) -> Result<Knowledgebase, Error> {
        let (id, vector_id) = (KnowledgebaseId::new(), Uuid::new_v4());
        let (kind, url, content) = match new.source {
            Source::Pdf(content) => ("pdf", None, Some(content)),
            Source::Url(url) => ("url", Some(clean(&url)), None),
        };
        let file_name = clean(&new.file_name);
        let mut tx = self.db().begin().await?;
        let written = on!(&mut tx, |tx| {
            sqlx::query(
                "INSERT INTO knowledgebases (id, account_id, vector_id, file_name, source_type, url, status,
                    chunk_size, overlapping, similarity_top_k, chunks, created_at, updated_at, lease_until, tries)
                 SELECT $1, a.id, $3, $4, $5, $6, 'processing', $7, $8, $9, 0, $10, $10, 0, 0
                 FROM accounts a WHERE a.id = $2",
            )
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(vector_id.to_string())
            .bind(&file_name)
            .bind(kind)
            .bind(&url)
            .bind(new.chunk_size)
            .bind(new.overlapping)
            .bind(new.similarity_top_k)
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if written == 0 {
            return Err(Error::NotFound);
        }
        if let Some(content) = content {
            on!(&mut tx, |tx| {
                sqlx::query(
                    "INSERT INTO knowledge_sources (knowledgebase_id, content) VALUES ($1, $2)",
                )
                .bind(id.to_string())
                .bind(content)
                .execute(&mut **tx)
                .await
                .map(|_| ())
            })?;
        }
        tx.commit().await?;
        self.signals().wake_worker(Work::Documents);
        Ok(Knowledgebase {
            id,
            vector_id,
            file_name,
            url,
            ingest: Ingest::Processing,
            chunk_size: new.chunk_size,
            overlapping: new.overlapping,
            similarity_top_k: new.similarity_top_k,
            chunks: 0,
            created_at: now,
            updated_at: now,
        })
    }

    /// All, newest first.
    pub async fn knowledgebases(&self, account: AccountId) -> Result<Vec<Knowledgebase>, Error> {
        let rows: Vec<Row> = on!(self.db().read(), |pool| {
            sqlx::query_as(KNOWLEDGEBASES)
                .bind(account.to_string())
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(Knowledgebase::try_from).collect()
    }

    /// One, by its id or its vector id.
    pub async fn knowledgebase(
        &self,
        account: AccountId,
        id: Uuid,
    ) -> Result<Knowledgebase, Error> {
        let row: Row = on!(self.db().read(), |pool| {
            sqlx::query_as(KNOWLEDGEBASE)
                .bind(account.to_string())
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        row.try_into()
    }

    /// Removes it with all that belongs to it; whoever processes it finds out.
    pub async fn remove_knowledgebase(&self, account: AccountId, id: Uuid) -> Result<(), Error> {
        let removed = on!(self.db().write(), |pool| {
            sqlx::query(
                "DELETE FROM knowledgebases WHERE (id = $2 OR vector_id = $2) AND account_id = $1",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if removed == 0 {
            return Err(Error::NotFound);
        }
        Ok(())
    }

    /// Its chunks, in order.
    pub async fn knowledge_chunks(
        &self,
        account: AccountId,
        id: KnowledgebaseId,
    ) -> Result<Vec<Chunk>, Error> {
        // The account's row is read first: chunks know no account of their own.
        self.knowledgebase(account, id.0).await?;
        let rows: Vec<(String, Vec<u8>)> = on!(self.db().read(), |pool| {
            sqlx::query_as(CHUNKS)
                .bind(id.to_string())
                .fetch_all(pool)
                .await
        })?;
        let chunk = |(text, bytes): (String, Vec<u8>)| Chunk {
            text,
            vector: vector(&bytes),
        };
        Ok(rows.into_iter().map(chunk).collect())
    }

    /// Claims one that waits, or whose last claim ran out; what was made of it so far is removed.
    pub async fn claim_knowledge(
        &self,
        now: i64,
        lease_ms: i64,
    ) -> Result<Option<ClaimedKnowledge>, Error> {
        let claim = Uuid::new_v4();
        let mut tx = self.db().begin().await?;
        let sql = AssertSqlSafe(claim_sql(tx.lock("FOR UPDATE SKIP LOCKED")));
        let row: Option<ClaimRow> = on!(&mut tx, |tx| {
            sqlx::query_as(sql)
                .bind(now)
                .bind(claim.to_string())
                .bind(now + lease_ms)
                .fetch_optional(&mut **tx)
                .await
        })?;
        let Some(row) = row else {
            return Ok(None);
        };
        on!(&mut tx, |tx| {
            sqlx::query("DELETE FROM knowledge_chunks WHERE knowledgebase_id = $1")
                .bind(&row.id)
                .execute(&mut **tx)
                .await
                .map(|_| ())
        })?;
        let source = match row.url {
            Some(url) => Source::Url(url),
            None => Source::Pdf(on!(&mut tx, |tx| {
                sqlx::query_scalar(
                    "SELECT content FROM knowledge_sources WHERE knowledgebase_id = $1",
                )
                .bind(&row.id)
                .fetch_one(&mut **tx)
                .await
            })?),
        };
        tx.commit().await?;
        Ok(Some(ClaimedKnowledge {
            id: KnowledgebaseId(uuid(&row.id)?),
            claim,
            tries: row.tries,
            source,
            chunk_size: row.chunk_size,
            overlapping: row.overlapping,
        }))
    }

    /// Adds chunks behind those that are there, and prolongs the claim. `NotFound`, if it is another's by
    /// now or was removed.
    pub async fn add_chunks(
        &self,
        claimed: &ClaimedKnowledge,
        first: i64,
        chunks: Vec<Chunk>,
        lease_until: i64,
    ) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        let held = on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE knowledgebases SET lease_until = $3
                 WHERE id = $1 AND claim = $2 AND status = 'processing'",
            )
            .bind(claimed.id.to_string())
            .bind(claimed.claim.to_string())
            .bind(lease_until)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if held == 0 {
            return Err(Error::NotFound);
        }
        for (number, chunk) in (first..).zip(chunks) {
            on!(&mut tx, |tx| {
                sqlx::query(
                    "INSERT INTO knowledge_chunks (knowledgebase_id, number, text, vector)
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(claimed.id.to_string())
                .bind(number)
                .bind(clean(&chunk.text))
                .bind(bytes(&chunk.vector))
                .execute(&mut **tx)
                .await
                .map(|_| ())
            })?;
        }
        tx.commit().await
    }

    /// Ends the work on it. `NotFound` as in [`Store::add_chunks`].
    pub async fn settle_knowledge(
        &self,
        claimed: &ClaimedKnowledge,
        outcome: Result<(), String>,
        now: i64,
    ) -> Result<(), Error> {
        let id = claimed.id.to_string();
        let (status, reason) = match &outcome {
            Ok(()) => ("processed", None),
            Err(reason) => ("error", Some(clean(reason))),
        };
        let mut tx = self.db().begin().await?;
        let held = on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE knowledgebases SET status = $3, reason = $4, updated_at = $5, claim = NULL,
                    chunks = (SELECT COUNT(*) FROM knowledge_chunks c WHERE c.knowledgebase_id = $1)
                 WHERE id = $1 AND claim = $2 AND status = 'processing'",
            )
            .bind(&id)
            .bind(claimed.claim.to_string())
            .bind(status)
            .bind(&reason)
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if held == 0 {
            return Err(Error::NotFound);
        }
        on!(&mut tx, |tx| {
            sqlx::query("DELETE FROM knowledge_sources WHERE knowledgebase_id = $1")
                .bind(&id)
                .execute(&mut **tx)
                .await
                .map(|_| ())
        })?;
        tx.commit().await
    }
}

fn bytes(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

pub(crate) fn vector(bytes: &[u8]) -> Vec<f32> {
    let values = bytes.as_chunks::<4>().0.iter();
    values.map(|value| f32::from_le_bytes(*value)).collect()
}
