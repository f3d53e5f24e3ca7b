//! A batch comes into being: its calls are written a chunk at a time, so that nobody waits for a million
//! of them, and nothing of it is shown before the last one is there.

use bolo_execution::{AccountId, AgentId, BatchId, ExecutionId};
use serde_json::{Map, Value};
use sqlx::AssertSqlSafe;

use crate::{
    Error, Once, Store,
    db::{Tx, clean, on},
    executions::lock_agent,
    once,
    rows::{maybe_to_json, to_json},
};

/// A batch to be.
#[derive(Debug, Clone)]
pub struct NewBatch {
    /// Whose.
    pub account: AccountId,
    /// Who calls, in which version.
    pub agent: AgentId,
    /// See `agent`.
    pub agent_version: i64,
    /// The carrier that its calls go through.
    pub provider: String,
    /// Name of the uploaded file.
    pub file_name: String,
    /// Calling numbers, taken in turn; empty = the account's.
    pub from_numbers: Vec<String>,
    /// As submitted.
    pub retry_config: Option<Value>,
}

/// A line that makes a call.
#[derive(Debug, Clone)]
pub struct Contact {
    /// Called number.
    pub to: String,
    /// Dynamic variables.
    pub user_data: Map<String, Value>,
}

/// A line that makes none.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Reject {
    /// Its number in the file, from 1.
    pub line: i64,
    /// What stands for a number there.
    pub contact_number: String,
    /// What is wrong.
    pub reason: String,
}

/// An upload under way. What of it is not finished is discarded after a while, if not at once with
/// [`BatchUpload::discard`].
pub struct BatchUpload {
    store: Store,
    new: NewBatch,
    id: BatchId,
    retry_config: Option<String>,
    created_at: i64,
    valid: i64,
}

impl Store {
    /// Begins an upload. `NotFound` without such an agent.
    pub async fn begin_batch(&self, new: NewBatch, now: i64) -> Result<BatchUpload, Error> {
        let id = BatchId::random();
        let retry_config = maybe_to_json("retry_config", new.retry_config.as_ref())?;
        let from_numbers = to_json("from_numbers", &new.from_numbers)?;
        let mut tx = self.db().begin().await?;
        lock_agent(&mut tx, new.account, new.agent, new.agent_version).await?;
        on!(&mut tx, |tx| {
            sqlx::query(
                "INSERT INTO batches (id, account_id, agent_id, file_name, from_numbers, retry_config, created_at,
                    updated_at, agent_version, provider) VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9)",
            )
            .bind(id.to_string())
            .bind(new.account.to_string())
            .bind(new.agent.to_string())
            .bind(clean(&new.file_name))
            .bind(from_numbers)
            .bind(&retry_config)
            .bind(now)
            .bind(new.agent_version)
            .bind(clean(&new.provider))
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?;
        tx.commit().await?;
        Ok(BatchUpload {
            store: self.clone(),
            new,
            id,
            retry_config,
            created_at: now,
            valid: 0,
        })
    }
}

impl BatchUpload {
    /// The batch to be.
    pub fn id(&self) -> BatchId {
        self.id
    }

    /// Adds lines of the table, in their order: one transaction, a thousand are a good measure.
    pub async fn add(
        &mut self,
        contacts: &[Contact],
        rejects: &[Reject],
        now: i64,
    ) -> Result<(), Error> {
        let mut tx = self.store.db().begin().await?;
        let live = on!(&mut tx, |tx| {
            sqlx::query("UPDATE batches SET updated_at = $2 WHERE id = $1 AND work IS NULL")
                .bind(self.id.to_string())
                .bind(now)
                .execute(&mut **tx)
                .await
                .map(|done| done.rows_affected())
        })?;
        if live == 0 {
            return Err(Error::Conflict(
                "the upload took too long and was discarded",
            ));
        }
        if !contacts.is_empty() {
            self.insert_calls(&mut tx, contacts).await?;
        }
        if !rejects.is_empty() {
            insert_rejects(&mut tx, self.id, rejects).await?;
        }
        tx.commit().await?;
        self.valid += i64::try_from(contacts.len()).unwrap_or(i64::MAX);
        Ok(())
    }

    /// The table is over: the batch and its calls are there. `NotFound` when the agent was deleted
    /// meanwhile. With `once` its answer is kept in the same transaction; `Conflict` when a request with this
    /// key was quicker.
    pub async fn finish(
        &self,
        total_contacts: i64,
        once: Option<(&Once, &Value)>,
        now: i64,
    ) -> Result<BatchId, Error> {
        let NewBatch {
            account,
            agent,
            agent_version,
            ..
        } = self.new;
        let mut tx = self.store.db().begin().await?;
        lock_agent(&mut tx, account, agent, agent_version).await?;
        let done = on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE batches SET ready_at = $2, updated_at = $2, total_contacts = $3, valid_contacts = $4
                 WHERE id = $1 AND work IS NULL",
            )
            .bind(self.id.to_string())
            .bind(now)
            .bind(total_contacts)
            .bind(self.valid)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if done == 0 {
            return Err(Error::Conflict(
                "the upload took too long and was discarded",
            ));
        }
        if let Some((once, answer)) = once {
            once::keep(&mut tx, once, answer, now).await?;
        }
        tx.commit().await?;
        Ok(self.id)
    }

    /// Nothing becomes of it.
    pub async fn discard(self, now: i64) -> Result<(), Error> {
        self.store.discard_upload(self.id, now).await?;
        while self.store.work_on_batch(self.id, now).await? {}
        Ok(())
    }

    async fn insert_calls(&self, tx: &mut Tx, contacts: &[Contact]) -> Result<(), Error> {
        let sql = AssertSqlSafe(insert_sql(contacts.len()));
        let from = |n: usize| {
            let turn = (usize::try_from(self.valid).unwrap_or_default() + n)
                % self.new.from_numbers.len().max(1);
            self.new.from_numbers.get(turn).cloned().unwrap_or_default()
        };
        on!(tx, |tx| {
            let mut query = sqlx::query(sql)
                .bind(self.new.account.to_string())
                .bind(self.new.agent.to_string())
                .bind(self.new.agent_version)
                .bind(self.id.to_string())
                .bind(clean(&self.new.provider))
                .bind(&self.retry_config)
                .bind(self.created_at);
            for (n, contact) in contacts.iter().enumerate() {
                query = query
                    .bind(ExecutionId::new().to_string())
                    .bind(clean(&contact.to))
                    .bind(from(n))
                    .bind(to_json("user_data", &contact.user_data)?);
            }
            query.execute(&mut **tx).await.map(|_| ())
        })?;
        Ok(())
    }
}

/// One statement for many calls: what they share is bound once.
fn insert_sql(rows: usize) -> String {
    let rows: Vec<String> = (0..rows)
        .map(|row| {
            let first = 8 + row * 4;
            format!("(${first}, ${}, ${}, ${})", first + 1, first + 2, first + 3)
        })
        .collect();
    format!(
        "WITH contacts (id, to_number, from_number, user_data) AS (VALUES {})
         INSERT INTO executions (id, account_id, agent_id, agent_version, batch, status, direction, provider,
            to_number, from_number, user_data, retry_config, bypass_guardrails, created_at, updated_at, due_at)
         SELECT id, $1, $2, $3, $4, 'prepared', 'outbound', $5, to_number, from_number, user_data, $6, FALSE,
            $7, $7, $7 FROM contacts",
        rows.join(", ")
    )
}

async fn insert_rejects(tx: &mut Tx, batch: BatchId, rejects: &[Reject]) -> Result<(), Error> {
    let rows: Vec<String> = (0..rejects.len())
        .map(|row| format!("($1, ${}, ${}, ${})", row * 3 + 2, row * 3 + 3, row * 3 + 4))
        .collect();
    let sql = AssertSqlSafe(format!(
        "INSERT INTO batch_rejects (batch, line, contact_number, reason) VALUES {}",
        rows.join(", ")
    ));
    on!(tx, |tx| {
        let mut query = sqlx::query(sql).bind(batch.to_string());
        for reject in rejects {
            query = query
                .bind(reject.line)
                .bind(clean(&reject.contact_number))
                .bind(clean(&reject.reason));
        }
        query.execute(&mut **tx).await.map(|_| ())
    })?;
    Ok(())
}
