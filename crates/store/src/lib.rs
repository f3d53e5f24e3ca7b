//! The database (SQLite or PostgreSQL, one code path), recordings, secrets, and coordination between
//! the parts of a node and between nodes.
//!
//! **Invariant:** every query names the account, but for the worker's claims; a status changes only in
//! [`Store::change`], and for many waiting calls at once in [`Store::work_on_batch`], by the same rules; no
//! row name leaves this crate. Times are epoch ms and given by the caller.

mod accounts;
mod agents;
mod api_keys;
mod audit;
mod batch_guard;
mod batches;
mod call_log;
mod change;
mod claiming;
mod clock;
mod constants;
mod db;
mod deliveries;
mod dispositions;
mod documents;
mod executions;
mod knowledge;
mod known;
mod limits;
mod lines;
mod menu;
mod migrate;
mod once;
mod outbox;
mod ownership;
mod phone_numbers;
mod post_call;
mod postgres;
mod provider_keys;
mod purge;
mod queue;
mod recordings;
mod rows;
mod secrets;
mod signals;
mod sqlite;
mod sub_accounts;
mod total;
mod usage;
mod vectors;
mod watch;

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize},
};

pub use accounts::Account;
pub use agents::StoredAgent;
pub use api_keys::{ApiKey, Holder};
pub use audit::Audited;
pub use batch_guard::{BatchGuard, GuardRules};
pub use batches::{Batch, BatchState, BatchUpload, Contact, NewBatch, Reject, Schedule};
pub use call_log::{CallLog, Callback, LogLine};
pub use claiming::Due;
pub use clock::now;
pub use db::Error;
pub use deliveries::{Endpoint, Told, ToldFilter};
pub use dispositions::{AtEnd, DispositionChange};
pub use documents::{Document, Draft, Kind};
pub use executions::{Facts, Filter, NewExecution, Page, WebhookTarget};
pub use knowledge::{
    Chunk, ClaimedKnowledge, Ingest, Knowledgebase, NewKnowledgebase, Source as KnowledgeSource,
};
pub use limits::{Held, Limit, LimitOf};
pub use once::{Once, Recalled};
pub use outbox::{Delivery, DeliveryOutcome};
pub use ownership::{Instance, Live, Lost, Owned};
pub use phone_numbers::{NewPhoneNumber, PhoneNumber};
pub use post_call::StepDone;
pub use provider_keys::ProviderKey;
pub use queue::{Claimed, Intent};
pub use recordings::Recordings;
pub use secrets::MasterKeys;
pub use signals::{Command, Signals, Work};
pub use sub_accounts::{NewSubAccount, SubAccount, SubAccountPatch};
pub use vectors::NearChunk;
pub use watch::{SILENT, Watch};

use db::{Db, on};

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
    /// Carries messages between nodes; without it this node is the only one.
    pub redis_url: Option<secrecy::SecretString>,
    /// How S3 is spoken to; files need none.
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

/// Everything that outlives a call. Cheap to clone.
///
/// When the last clone is dropped, the call log's task writes what waits and ends; [`Store::close`]
/// waits for that.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    /// This life of the node: claims and owns calls.
    instance: String,
    /// Counts claims, so that who is first changes.
    turns: AtomicUsize,
    db: Arc<Db>,
    vault: secrets::Vault,
    known_keys: api_keys::KnownKeys,
    known_secrets: known::Known<provider_keys::Secrets>,
    known_fallbacks: known::Known<Option<serde_json::Value>>,
    constants: constants::Constants,
    totals: total::Totals,
    recordings: Recordings,
    signals: Signals,
    call_log: call_log::Writer,
    beat: ownership::LastBeat,
    /// The database compares vectors.
    vectors: AtomicBool,
}

impl Store {
    /// Connects. Does not migrate. What is wrong in the settings is `Unavailable` and named.
    pub async fn open(settings: Settings) -> Result<Self, Error> {
        let vault = secrets::Vault::new(&settings.master_keys)?;
        let recordings = Recordings::open(
            &settings.recordings_url,
            &settings.scratch,
            settings.tls.clone(),
        )
        .await?;
        let db = Arc::new(Db::open(&settings.database_url).await?);
        let instance = uuid::Uuid::now_v7().to_string();
        let call_log = call_log::Writer::start(db.clone(), instance.clone(), settings.node.clone());
        let known_keys = api_keys::KnownKeys::new();
        let signals = match &settings.redis_url {
            Some(url) => Signals::between_nodes(url, &instance)?,
            None => Signals::default(),
        };
        let inner = Inner {
            settings,
            instance,
            turns: AtomicUsize::new(0),
            db,
            vault,
            known_keys,
            known_secrets: known::Known::new(),
            known_fallbacks: known::Known::new(),
            constants: constants::Constants::new(),
            totals: total::Totals::new(),
            recordings,
            signals,
            call_log,
            beat: ownership::LastBeat::default(),
            vectors: AtomicBool::new(false),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        // The number's type differs; that it comes is what counts.
        on!(self.db().read(), |pool| sqlx::query("SELECT 1")
            .fetch_one(pool)
            .await
            .map(|_| ()))?;
        Ok(())
    }

    /// Returns when the call log is not written any more: after [`Store::close`], or because its task died.
    pub async fn call_log_ended(&self) {
        self.inner.call_log.queue().closed().await;
    }

    /// Writes what waits and lets go of the database: the last thing a process does with it.
    pub async fn close(&self) {
        self.inner.call_log.close().await;
        if let Err(error) = self.leave().await {
            tracing::warn!(%error, "this node could not be signed off");
        }
        self.db().close().await;
    }

    /// Name of this node.
    pub fn node(&self) -> &str {
        &self.inner.settings.node
    }

    /// Recordings.
    pub fn recordings(&self) -> &Recordings {
        &self.inner.recordings
    }

    /// Messages to live calls.
    pub fn signals(&self) -> &Signals {
        &self.inner.signals
    }

    fn vectors(&self) -> &AtomicBool {
        &self.inner.vectors
    }

    fn db(&self) -> &Db {
        &self.inner.db
    }
}

#[cfg(test)]
mod tests;
