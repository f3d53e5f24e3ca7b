//! Vectors of knowledgebases in PostgreSQL's own hands: where the server has pgvector, a column beside the bytes
//! finds the nearest chunks, and no node has to read all of them. Without it nodes look at the bytes themselves.
//! Source: <https://github.com/pgvector/pgvector>.
//!
//! **Exact, no index of neighbours.** An HNSW index wants one length of vector for all embedders, and looks at its
//! nearest of all accounts before it asks whose they are: a small knowledgebase beside large ones would find too
//! little. A question concerns one knowledgebase, which the primary key finds; its chunks are all compared.
//!
//! The column is no migration, since it can't be made everywhere, and only [`Store::fill_vectors`] writes it: chunks
//! from before the extension came, or of an older node beside this one, are like any other. A knowledgebase is
//! searched by it as soon as none of its chunks is without.

use std::sync::atomic::Ordering;

use bolo_execution::{AccountId, KnowledgebaseId};
use sqlx::Connection;

use crate::{Error, Store, db::Db, knowledge::vector, postgres::Pool};

/// Chunks that are filled in one transaction.
const AT_ONCE: i64 = 500;
/// What pgvector takes at most.
const DIMENSIONS: usize = 16_000;
/// Whoever adds the column holds this lock.
const LOCK: i64 = 0x62_6f6c_6f76_6563;

const HAS_EXTENSION: &str =
    "SELECT EXISTS (SELECT 1 FROM pg_available_extensions WHERE name = 'vector')";
const HAS_COLUMN: &str = "SELECT EXISTS (SELECT 1 FROM pg_attribute
    WHERE attrelid = to_regclass('knowledge_chunks') AND attname = 'embedding' AND NOT attisdropped)";
/// `MAIN`: beside the row's other columns and not in a file of its own, where each had to be fetched singly.
const ADD_COLUMN: [&str; 4] = [
    "CREATE EXTENSION IF NOT EXISTS vector",
    "ALTER TABLE knowledge_chunks ADD COLUMN IF NOT EXISTS embedding vector",
    "ALTER TABLE knowledge_chunks ALTER COLUMN embedding SET STORAGE MAIN",
    "CREATE INDEX IF NOT EXISTS knowledge_chunks_unfilled ON knowledge_chunks (knowledgebase_id, number)
     WHERE embedding IS NULL",
];
const UNFILLED: &str = "SELECT knowledgebase_id, number, vector FROM knowledge_chunks
    WHERE embedding IS NULL AND (knowledgebase_id, number) > ($1, $2)
    ORDER BY knowledgebase_id, number LIMIT $3 FOR UPDATE SKIP LOCKED";
const FILL: &str = "UPDATE knowledge_chunks c SET embedding = made.embedding::vector
    FROM UNNEST($1::text[], $2::bigint[], $3::text[]) AS made (knowledgebase_id, number, embedding)
    WHERE c.knowledgebase_id = made.knowledgebase_id AND c.number = made.number";
/// Nothing as long as one chunk is not filled.
pub(crate) const NEAREST: &str = "SELECT c.number, c.text, c.embedding <=> $3::vector AS distance
    FROM knowledgebases k JOIN knowledge_chunks c ON c.knowledgebase_id = k.id
    WHERE k.id = $2 AND k.account_id = $1 AND vector_dims(c.embedding) = $4
        AND NOT EXISTS (SELECT 1 FROM knowledge_chunks u WHERE u.knowledgebase_id = $2 AND u.embedding IS NULL)
    ORDER BY distance, c.number LIMIT $5";

/// A chunk near a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct NearChunk {
    /// Which of its document, from 0.
    pub number: i64,
    /// The text.
    pub text: String,
    /// Cosine.
    pub score: f32,
}

impl Store {
    /// Adds the column where the server has pgvector and lets us. What fails here is said and takes nothing away.
    pub(crate) async fn prepare_vectors(&self) -> Result<(), Error> {
        let Db::Postgres(pool) = self.db() else {
            return Ok(());
        };
        if !self.has_vectors(pool).await? {
            if !sqlx::query_scalar(HAS_EXTENSION).fetch_one(pool).await? {
                tracing::info!(
                    "PostgreSQL has no pgvector: this node compares the vectors of knowledgebases itself"
                );
                return Ok(());
            }
            if let Err(error) = add_column(pool).await {
                tracing::warn!(%error, "pgvector can't be used, this node compares the vectors of knowledgebases \
                    itself: let a superuser run CREATE EXTENSION vector in this database, then restart a node");
            }
        }
        if self.has_vectors(pool).await? {
            tracing::info!("pgvector compares the vectors of knowledgebases");
        }
        Ok(())
    }

    /// The chunks of a knowledgebase nearest to a vector, the nearest first, as pgvector finds them. `None` where the
    /// database can't tell, or not yet: then [`Store::knowledge_chunks`] are to be compared.
    pub async fn nearest_chunks(
        &self,
        account: AccountId,
        id: KnowledgebaseId,
        vector: &[f32],
        count: usize,
    ) -> Result<Option<Vec<NearChunk>>, Error> {
        let (Db::Postgres(pool), true) = (self.db(), self.vectors().load(Ordering::Relaxed)) else {
            return Ok(None);
        };
        let Some(literal) = literal(vector) else {
            return Ok(None);
        };
        let rows: Vec<(i64, String, f64)> = sqlx::query_as(NEAREST)
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(literal)
            .bind(i32::try_from(vector.len()).unwrap_or(i32::MAX))
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?;
        let near = |(number, text, distance): (i64, String, f64)| NearChunk {
            number,
            text,
            score: (1.0 - distance) as f32,
        };
        Ok((!rows.is_empty()).then(|| rows.into_iter().map(near).collect()))
    }

    /// Hands pgvector what it has not got yet; how many chunks that were. Another node may do it at the same time.
    pub async fn fill_vectors(&self) -> Result<u64, Error> {
        let Db::Postgres(pool) = self.db() else {
            return Ok(0);
        };
        if !self.has_vectors(pool).await? {
            return Ok(0);
        }
        let mut filled = 0;
        // What can't be filled is passed by.
        let mut behind = (String::new(), 0);
        loop {
            let mut tx = pool.begin().await?;
            let rows: Vec<(String, i64, Vec<u8>)> = sqlx::query_as(UNFILLED)
                .bind(&behind.0)
                .bind(behind.1)
                .bind(AT_ONCE)
                .fetch_all(&mut *tx)
                .await?;
            let Some((id, number, _)) = rows.last() else {
                return Ok(filled);
            };
            behind = (id.clone(), *number);
            let (mut ids, mut numbers, mut made) = (Vec::new(), Vec::new(), Vec::new());
            for (id, number, bytes) in rows {
                if let Some(literal) = literal(&vector(&bytes)) {
                    ids.push(id);
                    numbers.push(number);
                    made.push(literal);
                }
            }
            let done = sqlx::query(FILL)
                .bind(ids)
                .bind(numbers)
                .bind(made)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            filled += done.rows_affected();
        }
    }

    /// Asked again and again: another node may have added the column, and an administrator removed it.
    async fn has_vectors(&self, pool: &Pool) -> Result<bool, Error> {
        let has = sqlx::query_scalar(HAS_COLUMN).fetch_one(pool).await?;
        self.vectors().store(has, Ordering::Relaxed);
        Ok(has)
    }
}

/// One node at a time; a transaction of an older node that reads chunks is waited for, but not for ever. The index of
/// many chunks takes its time.
async fn add_column(pool: &Pool) -> Result<(), Error> {
    let mut patient = pool.alone().await?;
    let mut tx = patient.begin().await?;
    sqlx::query("SET LOCAL lock_timeout = '10s'")
        .execute(&mut *tx)
        .await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *tx)
        .await?;
    for sql in ADD_COLUMN {
        sqlx::query(sql).execute(&mut *tx).await?;
    }
    Ok(tx.commit().await?)
}

/// As pgvector reads it; `None` for one that has no direction or too many dimensions.
fn literal(vector: &[f32]) -> Option<String> {
    let squares: f32 = vector.iter().map(|value| value * value).sum();
    let fits = squares.is_normal() && vector.len() <= DIMENSIONS;
    // The shortest text that is the same number again.
    fits.then(|| format!("{vector:?}"))
}
