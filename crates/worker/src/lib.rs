//! What happens around calls: dialling what is due, reconciling dials of unknown outcome and calls
//! without an owner, delivering webhooks, finishing records.
//!
//! **Invariant:** at most one dial an attempt, whatever crashes; a webhook at least once and in order;
//! knows nothing of `orchestrator`: they meet in the execution row.

use bolo_providers::Vendors;
use bolo_store::Store;
use bolo_telephony::{Callbacks, Carriers};
use tokio_util::sync::CancellationToken;

/// Settings of the worker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a call may ring, s.
    pub ring_s: u64,
    /// Webhooks and the like may go to private addresses.
    pub allow_private_addresses: bool,
    /// Calls placed per second at most, by this node.
    pub dials_per_second: u32,
    /// An open call without an owner for this long is looked into, ms (R203).
    pub orphan_ms: i64,
}

/// The worker of a node.
pub struct Worker {
    /// The truth.
    pub store: Store,
    /// To dial and to look up.
    pub carriers: Carriers,
    /// Where carriers reach us.
    pub callbacks: Callbacks,
    /// To check keys before a dial (R196).
    pub vendors: Vendors,
    /// One HTTP client for webhooks.
    pub http: reqwest::Client,
    /// Settings.
    pub settings: Settings,
}

impl Worker {
    /// Works until stopped; returns when all its tasks have ended.
    pub async fn run(self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
