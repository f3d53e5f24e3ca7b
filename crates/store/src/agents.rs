//! Agents and their versions. The submitted body is stored verbatim.

use bolo_execution::{AccountId, AgentId, ExecutionId};
use serde_json::Value;

use crate::{Error, Store};

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

impl Store {
    /// Stores version 1.
    pub async fn create_agent(&self, account: AccountId, body: &Value, now: i64) -> Result<StoredAgent, Error> {
        let _ = (account, body, now);
        unreachable!()
    }
    /// The newest version.
    pub async fn agent(&self, account: AccountId, id: AgentId) -> Result<StoredAgent, Error> {
        let _ = (account, id);
        unreachable!()
    }
    /// A certain version; also of a deleted agent, so that a running call ends well.
    pub async fn agent_version(&self, account: AccountId, id: AgentId, version: i64) -> Result<StoredAgent, Error> {
        let _ = (account, id, version);
        unreachable!()
    }
    /// All agents, newest first.
    pub async fn agents(&self, account: AccountId) -> Result<Vec<StoredAgent>, Error> {
        let _ = account;
        unreachable!()
    }
    /// Stores the next version. `Conflict` when `expected` is given and no longer the newest.
    pub async fn replace_agent(&self, account: AccountId, id: AgentId, body: &Value, expected: Option<i64>, now: i64) -> Result<StoredAgent, Error> {
        let _ = (account, id, body, expected, now);
        unreachable!()
    }
    /// Removes the agent; its waiting calls are stopped (their ids are returned), live ones go on, its
    /// executions are no longer shown.
    pub async fn delete_agent(&self, account: AccountId, id: AgentId, now: i64) -> Result<Vec<ExecutionId>, Error> {
        let _ = (account, id, now);
        unreachable!()
    }
    /// Stops every waiting call of the agent; their ids.
    pub async fn stop_waiting(&self, account: AccountId, id: AgentId, now: i64) -> Result<Vec<ExecutionId>, Error> {
        let _ = (account, id, now);
        unreachable!()
    }
    /// Whose agent this is, for carrier callbacks that name only the agent.
    pub async fn agent_owner(&self, id: AgentId) -> Result<AccountId, Error> {
        let _ = id;
        unreachable!()
    }
}
