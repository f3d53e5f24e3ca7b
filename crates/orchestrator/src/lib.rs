//! Drives calls: one task tree a call, from the carrier's media socket to the vendors and back. Owns
//! sockets, clocks, pacing and cancellation; decides nothing: that is `conversation`'s.
//!
//! **Invariant:** a call has one inbox; dropping its tasks is the only way to cancel; no task, ticker or
//! socket outlives its call.

use std::sync::Arc;

use axum::extract::ws::WebSocket;
use bolo_conversation::Rules;
use bolo_execution::{ExecutionId, Record};
use bolo_providers::Vendors;
use bolo_store::Store;
use bolo_telephony::MediaWire;

/// Settings of calls.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `runtime.*`.
    pub rules: Rules,
    /// Price table, USD (`config/prices.toml`).
    pub prices: Prices,
    /// Bound of the clip cache, bytes (R94).
    pub clip_cache_bytes: u64,
    /// Calls at once on this node; more are refused.
    pub max_calls: usize,
}

/// What vendors charge. A missing row costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Prices {}

/// All live calls of this node. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    vendors: Vendors,
    settings: Settings,
}

impl Calls {
    /// No call yet.
    pub fn new(store: Store, vendors: Vendors, settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { store, vendors, settings }) }
    }

    /// While it rings: loads the agent, opens vendor sockets, renders the welcome (R3, R16), so that
    /// their set-up never costs the caller. Idempotent; forgotten if no media comes within a minute.
    pub fn prepare(&self, record: &Record) {
        let _ = (record, &self.inner.store, &self.inner.vendors, &self.inner.settings);
    }

    /// Runs the call on this media socket until the socket or the call ends. A second socket for a live
    /// call takes it over (R199); a socket for an in-progress call that no node runs rebuilds it from its
    /// event log (R202).
    pub async fn attach(&self, execution: ExecutionId, socket: WebSocket, wire: Box<dyn MediaWire>) {
        let _ = (execution, socket, wire);
    }

    /// Calls running now.
    pub fn live(&self) -> usize {
        0
    }

    /// No new calls; waits until the running ones have ended or `limit` is over, then ends them (R201).
    pub async fn drain(&self, limit: std::time::Duration) {
        let _ = limit;
    }
}
