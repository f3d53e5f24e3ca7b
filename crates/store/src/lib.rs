//! The database (SQLite or PostgreSQL, one code path), recordings, secrets, and coordination between
//! the parts of a node and between nodes.
//!
//! **Invariant:** every query names the account, but for the worker's claims; a status changes only in
//! [`Store::change`]; no row name leaves this crate. Times are epoch ms and given by the caller.

mod accounts;
mod agents;
mod call_log;
mod db;
mod executions;
mod outbox;
mod provider_keys;
mod queue;
mod recordings;
mod secrets;
mod signals;

use std::sync::Arc;

pub use accounts::{Account, ApiKey};
pub use agents::StoredAgent;
pub use call_log::{CallLog, LogLine};
pub use db::Error;
pub use executions::{Facts, Filter, NewExecution, Page, WebhookTarget};
pub use outbox::{Delivery, DeliveryOutcome};
pub use provider_keys::ProviderKey;
pub use queue::{Claimed, Intent, Live};
pub use recordings::Recordings;
pub use secrets::MasterKeys;
pub use signals::{Command, Signals};

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `sqlite://path/bolo.db` or `postgres://…`.
    pub database_url: String,
    /// `file:///…` or `s3://bucket/prefix`.
    pub recordings_url: String,
    /// Where recordings grow while a call runs.
    pub scratch: std::path::PathBuf,
    /// Encrypts provider keys; first encrypts, all decrypt.
    pub master_keys: MasterKeys,
    /// Public address below which recordings are served, for frozen webhook bodies.
    pub recordings_public_url: String,
    /// Name of this node.
    pub node: String,
}

/// Everything that outlives a call. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
}

impl Store {
    /// Connects. Does not migrate.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        Ok(Self { inner: Arc::new(Inner { settings }) })
    }

    /// Applies pending migrations; returns how many there were.
    pub async fn migrate(&self) -> Result<usize, Error> {
        unreachable!()
    }

    /// Migrations that wait to be applied.
    pub async fn pending_migrations(&self) -> Result<usize, Error> {
        unreachable!()
    }

    /// The database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        unreachable!()
    }

    /// Name of this node.
    pub fn node(&self) -> &str {
        &self.inner.settings.node
    }

    /// Recordings.
    pub fn recordings(&self) -> &Recordings {
        unreachable!()
    }

    /// Messages to live calls.
    pub fn signals(&self) -> &Signals {
        unreachable!()
    }
}
