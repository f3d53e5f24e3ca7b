//! Agents and their versions. The submitted body is stored verbatim.

use bolo_execution::{AccountId, AgentId, ExecutionId};
use serde_json::Value;

use crate::{
    Error, Store, Work,
    db::{Tx, on},
    rows::{json, uuid},
};

/// An agent as submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredAgent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub account: AccountId,
    /// Counts from 1, up with each write.
    pub version: i64,
    /// `{agent_config, agent_prompts}` as sent.
    pub body: Value,
    /// Epoch ms.
    pub created_at: i64,
    /// Epoch ms.
    pub updated_at: i64,
}

#[derive(sqlx::FromRow)]
struct AgentRow {
    id: String,
    account_id: String,
    version: i64,
    body: String,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<AgentRow> for StoredAgent {
    type Error = Error;
    fn try_from(row: AgentRow) -> Result<Self, Error> {
        Ok(Self {
            id: AgentId(uuid(&row.id)?),
            account: AccountId(uuid(&row.account_id)?),
            version: row.version,
            body: json("agent body", &row.body)?,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

pub(crate) const AGENTS: &str =
    "SELECT a.id, a.account_id, a.version, v.body, a.created_at, a.updated_at
    FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
    WHERE a.account_id = $1 AND a.deleted_at IS NULL ORDER BY a.created_at DESC, a.id DESC";

pub(crate) const VERSIONS: &str = "SELECT v.version, v.created_at FROM agent_versions v
    WHERE v.agent_id = $2 AND EXISTS (SELECT 1 FROM agents a
        WHERE a.id = $2 AND a.account_id = $1 AND a.deleted_at IS NULL) ORDER BY v.version DESC";

impl Store {
    /// Stores version 1. `NotFound` without such an account.
    pub async fn create_agent(
        &self,
        account: AccountId,
        body: &Value,
        now: i64,
    ) -> Result<StoredAgent, Error> {
        let id = AgentId::new();
        let mut tx = self.db().begin().await?;
        let made = on!(&mut tx, |tx| {
            sqlx::query(
                "INSERT INTO agents (id, account_id, version, created_at, updated_at)
                 SELECT $1, id, 1, $3, $3 FROM accounts WHERE id = $2",
            )
            .bind(id.to_string())
            .bind(account.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if made == 0 {
            return Err(Error::NotFound);
        }
        insert_version(&mut tx, id, 1, body, now).await?;
        tx.commit().await?;
        Ok(StoredAgent {
            id,
            account,
            version: 1,
            body: body.clone(),
            created_at: now,
            updated_at: now,
        })
    }

    /// The newest version.
    pub async fn agent(&self, account: AccountId, id: AgentId) -> Result<StoredAgent, Error> {
        let row: AgentRow = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT a.id, a.account_id, a.version, v.body, a.created_at, a.updated_at
                 FROM agents a JOIN agent_versions v ON v.agent_id = a.id AND v.version = a.version
                 WHERE a.account_id = $1 AND a.id = $2 AND a.deleted_at IS NULL",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// A certain version; also of a deleted agent, so that a running call ends well.
    pub async fn agent_version(
        &self,
        account: AccountId,
        id: AgentId,
        version: i64,
    ) -> Result<StoredAgent, Error> {
        let row: AgentRow = on!(self.db().read(), |pool| {
            sqlx::query_as(
                "SELECT a.id, a.account_id, v.version, v.body, a.created_at, v.created_at AS updated_at
                 FROM agents a JOIN agent_versions v ON v.agent_id = a.id
                 WHERE a.account_id = $1 AND a.id = $2 AND v.version = $3",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(version)
            .fetch_one(pool)
            .await
        })?;
        row.try_into()
    }

    /// Numbers and times of an agent's versions, newest first; none where there is no such agent.
    pub async fn agent_versions(
        &self,
        account: AccountId,
        id: AgentId,
    ) -> Result<Vec<(i64, i64)>, Error> {
        Ok(on!(self.db().read(), |pool| {
            sqlx::query_as(VERSIONS)
                .bind(account.to_string())
                .bind(id.to_string())
                .fetch_all(pool)
                .await
        })?)
    }

    /// All agents, newest first.
    pub async fn agents(&self, account: AccountId) -> Result<Vec<StoredAgent>, Error> {
        let rows: Vec<AgentRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(AGENTS)
                .bind(account.to_string())
                .fetch_all(pool)
                .await
        })?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    /// Stores the next version. `Conflict` when `expected` is given and no longer the newest.
    pub async fn replace_agent(
        &self,
        account: AccountId,
        id: AgentId,
        body: &Value,
        expected: Option<i64>,
        now: i64,
    ) -> Result<StoredAgent, Error> {
        let mut tx = self.db().begin().await?;
        let written: Option<(i64, i64)> = on!(&mut tx, |tx| {
            sqlx::query_as(
                "UPDATE agents SET version = version + 1, updated_at = $3
                 WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL AND ($4 IS NULL OR version = $4)
                 RETURNING version, created_at",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(now)
            .bind(expected)
            .fetch_optional(&mut **tx)
            .await
        })?;
        let Some((version, created_at)) = written else {
            drop(tx);
            self.agent(account, id).await?;
            return Err(Error::Conflict("the agent was changed meanwhile"));
        };
        insert_version(&mut tx, id, version, body, now).await?;
        tx.commit().await?;
        Ok(StoredAgent {
            id,
            account,
            version,
            body: body.clone(),
            created_at,
            updated_at: now,
        })
    }

    /// Removes the agent; its waiting calls are stopped (the ids of those of no batch are returned; those of
    /// batches are no longer dialled and follow with [`Store::work_on_batch`]), live ones go on, its executions
    /// are no longer shown, its numbers answer nobody.
    pub async fn delete_agent(
        &self,
        account: AccountId,
        id: AgentId,
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        let mut tx = self.db().begin().await?;
        let deleted = on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE agents SET deleted_at = $3 WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|done| done.rows_affected())
        })?;
        if deleted == 0 {
            return Err(Error::NotFound);
        }
        let stopped = self.stop_waiting_in(&mut tx, account, id, now).await?;
        for sql in [
            "UPDATE phone_numbers SET agent_id = NULL WHERE agent_id = $1",
            "DELETE FROM agent_dispositions WHERE agent_id = $1",
        ] {
            on!(&mut tx, |tx| sqlx::query(sql)
                .bind(id.to_string())
                .execute(&mut **tx)
                .await
                .map(|_| ()))?;
        }
        on!(&mut tx, |tx| {
            sqlx::query(
                "UPDATE batches SET deleted_at = $3, work = 'stop', work_done_to = '' WHERE account_id = $1
                    AND agent_id = $2 AND ready_at IS NOT NULL AND deleted_at IS NULL",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
        })?;
        tx.commit().await?;
        self.signals().wake_worker(Work::Webhooks);
        self.signals().wake_worker(Work::Dials);
        Ok(stopped)
    }

    /// Stops every call of the agent that is scheduled, queued or rescheduled; their ids.
    pub async fn stop_waiting(
        &self,
        account: AccountId,
        id: AgentId,
        now: i64,
    ) -> Result<Vec<ExecutionId>, Error> {
        self.agent_exists(account, id).await?;
        // A batch that is being scheduled would go on to become waiting calls.
        on!(self.db().write(), |pool| {
            sqlx::query(
                "UPDATE batches SET stopped_at = $3, work = 'stop', work_done_to = '' WHERE account_id = $1
                    AND agent_id = $2 AND work = 'schedule'",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(now)
            .execute(pool)
            .await
            .map(|_| ())
        })?;
        let stopped = self.stop_waiting_of(account, id, now).await?;
        self.signals().wake_worker(Work::Webhooks);
        self.signals().wake_worker(Work::Dials);
        Ok(stopped)
    }

    /// Whose agent this is, for carrier callbacks that name only the agent. Not of a deleted agent.
    pub async fn agent_owner(&self, id: AgentId) -> Result<AccountId, Error> {
        let account: String = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT account_id FROM agents WHERE id = $1 AND deleted_at IS NULL")
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        Ok(AccountId(uuid(&account)?))
    }

    /// `NotFound` unless the agent is this account's and not deleted.
    pub(crate) async fn agent_exists(&self, account: AccountId, id: AgentId) -> Result<(), Error> {
        let _: i64 = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT version FROM agents WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL")
                .bind(account.to_string())
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        Ok(())
    }
}

async fn insert_version(
    tx: &mut Tx,
    id: AgentId,
    version: i64,
    body: &Value,
    now: i64,
) -> Result<(), Error> {
    on!(tx, |tx| {
        sqlx::query("INSERT INTO agent_versions (agent_id, version, body, created_at) VALUES ($1, $2, $3, $4)")
            .bind(id.to_string())
            .bind(version)
            .bind(body.to_string())
            .bind(now)
            .execute(&mut **tx)
            .await
            .map(|_| ())
    })?;
    Ok(())
}
