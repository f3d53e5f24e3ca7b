//! Dispositions and the agents that ask them. Source: api.md §17.

use std::collections::HashMap;

use bolo_execution::{AccountId, AgentId, ExecutionId};
use uuid::Uuid;

use crate::{
    Document, Draft, Error, Kind, Store,
    db::{Tx, on},
    documents::{DocumentRow, change_in, insert, locked},
    rows::uuid,
};

/// What a change of a disposition came to.
#[derive(Debug, Clone, PartialEq)]
pub enum DispositionChange {
    /// It was changed where it stands.
    Changed(Document),
    /// Other agents ask it too, so this agent got a copy of its own.
    Copied(Document),
}

pub(crate) const OF_AGENT: &str = "SELECT d.id, d.account_id, d.body, d.created_at, d.updated_at
    FROM agent_dispositions l JOIN documents d ON d.id = l.document_id
    WHERE l.agent_id = $1 AND d.account_id = $2";

/// What [`AtEnd`] tells of call `$1`.
pub(crate) const AT_END: &str = "SELECT answered_at, ended_at, EXISTS (
        SELECT 1 FROM agent_dispositions d WHERE d.agent_id = e.agent_id AND d.account_id = e.account_id)
    FROM executions e WHERE id = $1";

/// What has to be known of a call that is over before its record is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AtEnd {
    /// Epoch ms.
    pub answered_at: Option<i64>,
    /// Epoch ms.
    pub ended_at: Option<i64>,
    /// Whether its agent asks dispositions.
    pub asks_dispositions: bool,
}

pub(crate) const LINKS: &str =
    "SELECT document_id, agent_id FROM agent_dispositions WHERE account_id = $1";

impl Store {
    /// Keeps dispositions and has the agents ask them: all or nothing. `NotFound` when an agent is not this
    /// account's.
    pub async fn create_dispositions(
        &self,
        account: AccountId,
        drafts: Vec<Draft>,
        agents: &[AgentId],
        now: i64,
    ) -> Result<Vec<Document>, Error> {
        for agent in agents {
            self.agent_exists(account, *agent).await?;
        }
        let mut tx = self.db().begin().await?;
        let mut made = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let document = insert(&mut tx, account, Kind::Disposition, draft, now).await?;
            for agent in agents {
                link(&mut tx, account, *agent, document.id).await?;
            }
            made.push(document);
        }
        tx.commit().await?;
        Ok(made)
    }

    /// The dispositions that an agent asks, oldest first: the order in which they were given.
    pub async fn dispositions_of(
        &self,
        account: AccountId,
        agent: AgentId,
    ) -> Result<Vec<Document>, Error> {
        let rows: Vec<DocumentRow> = on!(self.db().read(), |pool| {
            sqlx::query_as(OF_AGENT)
                .bind(agent.to_string())
                .bind(account.to_string())
                .fetch_all(pool)
                .await
        })?;
        let found: Result<Vec<Document>, Error> = rows.into_iter().map(TryInto::try_into).collect();
        let mut found = found?;
        found.sort_by_key(|document| (document.created_at, document.id));
        Ok(found)
    }

    /// When a call was answered and ended, and whether dispositions are asked behind it.
    pub async fn at_end(&self, id: ExecutionId) -> Result<AtEnd, Error> {
        let (answered_at, ended_at, asks_dispositions) = on!(self.db().read(), |pool| {
            sqlx::query_as(AT_END)
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        Ok(AtEnd {
            answered_at,
            ended_at,
            asks_dispositions,
        })
    }

    /// Which agents ask which disposition.
    pub async fn disposition_agents(
        &self,
        account: AccountId,
    ) -> Result<HashMap<Uuid, Vec<AgentId>>, Error> {
        let rows: Vec<(String, String)> = on!(self.db().read(), |pool| {
            sqlx::query_as(LINKS)
                .bind(account.to_string())
                .fetch_all(pool)
                .await
        })?;
        let mut agents: HashMap<Uuid, Vec<AgentId>> = HashMap::new();
        for (document, agent) in rows {
            let asked_by = agents.entry(uuid(&document)?).or_default();
            asked_by.push(AgentId(uuid(&agent)?));
        }
        Ok(agents)
    }

    /// Changes a disposition; for one agent alone where one is named and others ask it too.
    pub async fn change_disposition<E: From<Error>>(
        &self,
        account: AccountId,
        id: Uuid,
        agent: Option<AgentId>,
        now: i64,
        change: impl FnOnce(serde_json::Value) -> Result<Draft, E>,
    ) -> Result<DispositionChange, E> {
        let mut tx = self.db().begin().await?;
        let Some(agent) = agent else {
            let changed = change_in(&mut tx, account, Kind::Disposition, id, now, change).await?;
            tx.commit().await?;
            return Ok(DispositionChange::Changed(changed));
        };
        let old = locked(&mut tx, account, Kind::Disposition, id).await?;
        let asked_by = linked(&mut tx, id).await?;
        if !asked_by.contains(&agent.to_string()) {
            return Err(Error::NotFound.into());
        }
        let outcome = if asked_by.len() == 1 {
            let changed = change_in(&mut tx, account, Kind::Disposition, id, now, change).await?;
            DispositionChange::Changed(changed)
        } else {
            let draft = change(old.body)?;
            let copy = insert(&mut tx, account, Kind::Disposition, draft, now).await?;
            on!(&mut tx, |tx| {
                sqlx::query(
                    "UPDATE agent_dispositions SET document_id = $3 WHERE agent_id = $1 AND document_id = $2",
                )
                .bind(agent.to_string())
                .bind(id.to_string())
                .bind(copy.id.to_string())
                .execute(&mut **tx)
                .await
                .map(|_| ())
                .map_err(Error::from)
            })?;
            DispositionChange::Copied(copy)
        };
        tx.commit().await?;
        Ok(outcome)
    }

    /// Removes a disposition; nobody asks it any more.
    pub async fn remove_disposition(&self, account: AccountId, id: Uuid) -> Result<(), Error> {
        let mut tx = self.db().begin().await?;
        locked(&mut tx, account, Kind::Disposition, id).await?;
        for sql in [
            "DELETE FROM agent_dispositions WHERE document_id = $1",
            "DELETE FROM documents WHERE id = $1",
        ] {
            on!(&mut tx, |tx| sqlx::query(sql)
                .bind(id.to_string())
                .execute(&mut **tx)
                .await
                .map(|_| ()))?;
        }
        tx.commit().await
    }

    /// Whose disposition this is.
    pub async fn disposition_owner(&self, id: Uuid) -> Result<AccountId, Error> {
        let account: String = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT account_id FROM documents WHERE id = $1 AND kind = 'disposition'",
            )
            .bind(id.to_string())
            .fetch_one(pool)
            .await
        })?;
        Ok(AccountId(uuid(&account)?))
    }
}

async fn link(
    tx: &mut Tx,
    account: AccountId,
    agent: AgentId,
    document: Uuid,
) -> Result<(), Error> {
    Ok(on!(tx, |tx| {
        sqlx::query(
            "INSERT INTO agent_dispositions (agent_id, document_id, account_id) VALUES ($1, $2, $3)
             ON CONFLICT DO NOTHING",
        )
        .bind(agent.to_string())
        .bind(document.to_string())
        .bind(account.to_string())
        .execute(&mut **tx)
        .await
        .map(|_| ())
    })?)
}

async fn linked(tx: &mut Tx, document: Uuid) -> Result<Vec<String>, Error> {
    Ok(on!(tx, |tx| {
        sqlx::query_scalar("SELECT agent_id FROM agent_dispositions WHERE document_id = $1")
            .bind(document.to_string())
            .fetch_all(&mut **tx)
            .await
    })?)
}
