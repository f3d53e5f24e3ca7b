//! Every repository function on both databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod agents;
mod audit;
mod batch_guard;
mod batches;
mod call_log;
mod cancelled;
mod change;
mod claiming;
mod crash;
mod deliveries;
mod documents;
mod executions;
mod knowledge;
mod migrations;
mod once;
mod outbox;
mod ownership;
mod plans;
mod provider_keys;
mod queue;
mod recordings;
mod retries;
mod silence;
mod sub_accounts;
mod tenancy;
mod totals;
mod vectors;

#[path = "../../../../tests/support/link.rs"]
pub(crate) mod link;
#[path = "../../../../tests/support/port.rs"]
mod port;
#[path = "../../../../tests/support/postgres.rs"]
mod postgres;
#[path = "../../../../tests/support/redis.rs"]
pub(crate) mod redis;

use bolo_execution::{AccountId, AgentId, Direction, Record, Status};
use serde_json::{Map, json};

use crate::{MasterKeys, NewExecution, Settings, Store, WebhookTarget};

/// Which database a case runs on.
#[derive(Debug, Clone, Copy, PartialEq)]
enum On {
    Sqlite,
    Postgres,
}

/// Some time.
const NOW: i64 = 1_700_000_000_000;
const MASTER: &str = "a master key for tests";

/// A fresh database with what a test needs of it; its files go when it does.
struct Lab {
    store: Store,
    account: AccountId,
    agent: AgentId,
    folder: tempfile::TempDir,
    database: Option<postgres::Database>,
}

impl Lab {
    /// `None` when PostgreSQL is left out on demand.
    async fn on(on: On) -> Option<Self> {
        let database = match on {
            On::Sqlite => None,
            On::Postgres => Some(postgres::database().await?),
        };
        let folder = folder();
        let settings = settings(folder.path(), database.as_ref(), MASTER, "node-1");
        let store = Store::open(settings).await.unwrap();
        assert!(store.migrate().await.unwrap() > 0);
        let (account, agent) = tenant(&store, "default").await;
        Some(Self {
            store,
            account,
            agent,
            folder,
            database,
        })
    }

    /// Another process with the same database.
    async fn node(&self, name: &str) -> Store {
        Store::open(self.settings(MASTER, name)).await.unwrap()
    }

    fn settings(&self, master: &str, node: &str) -> Settings {
        settings(self.folder.path(), self.database.as_ref(), master, node)
    }

    /// An outbound call that is due.
    fn call(&self) -> NewExecution {
        call(self.account, self.agent)
    }

    async fn create(&self, new: NewExecution) -> Record {
        let (record, made) = self.store.create_execution(new, NOW).await.unwrap();
        assert!(made);
        record
    }

    /// A call that was claimed, dialled and answered.
    async fn talking(&self) -> Record {
        use bolo_execution::Change::{Answered, CarrierAccepted};
        let id = self.create(self.call()).await.id;
        self.store
            .change(id, CarrierAccepted, crate::Facts::default(), NOW)
            .await
            .unwrap();
        self.store
            .change(id, Answered, crate::Facts::default(), NOW)
            .await
            .unwrap()
    }
}

/// In memory where there is such a place: each commit waits for the disk, and tests of all crates share
/// it.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

fn settings(
    folder: &std::path::Path,
    database: Option<&postgres::Database>,
    master: &str,
    node: &str,
) -> Settings {
    let sqlite = || format!("sqlite://{}", folder.join("bolo.db").display());
    Settings {
        database_url: database.map_or_else(sqlite, |database| database.url.clone()),
        recordings_url: format!("file://{}", folder.join("recordings").display()),
        scratch: folder.join("scratch"),
        master_keys: MasterKeys(master.split(',').map(Into::into).collect()),
        recordings_public_url: "https://bolo.example/recordings".into(),
        node: node.into(),
        redis_url: None,
        tls: None,
    }
}

/// An account with one agent.
async fn tenant(store: &Store, name: &str) -> (AccountId, AgentId) {
    let account = store
        .create_account(name, "ops@example.com", NOW)
        .await
        .unwrap()
        .id;
    let agent = store
        .create_agent(account, &json!({"agent_config": {"agent_name": name}}), NOW)
        .await
        .unwrap();
    (account, agent.id)
}

fn call(account: AccountId, agent: AgentId) -> NewExecution {
    NewExecution {
        account,
        agent,
        agent_version: 1,
        direction: Direction::Outbound,
        provider: "twilio".into(),
        to: "+14155550100".into(),
        from: "+14155550199".into(),
        status: Status::Queued,
        due_at: NOW,
        user_data: Map::new(),
        voice_id: None,
        retry_config: None,
        bypass_guardrails: false,
        carrier_call_id: None,
        webhook: None,
        error_message: None,
    }
}

/// A call that came to us.
fn inbound(account: AccountId, agent: AgentId, carrier_call_id: &str) -> NewExecution {
    NewExecution {
        direction: Direction::Inbound,
        status: Status::Initiated,
        carrier_call_id: Some(carrier_call_id.into()),
        ..call(account, agent)
    }
}

fn every_status() -> Option<WebhookTarget> {
    Some(WebhookTarget {
        url: "https://customer.example/hook".into(),
        statuses: None,
    })
}
