//! Drives calls: one task tree a call, from the carrier's media socket to the vendors and back. Owns
//! sockets, clocks, pacing and cancellation; decides nothing: that is `conversation`'s.
//!
//! Start with `call` (the loop), then `perform` (what decisions do), `attach` (how a socket becomes a
//! call) and `finish` (how a call becomes a record).
//!
//! **Invariant:** a call has one inbox; dropping its tasks is the only way to cancel; no task, ticker or
//! socket outlives its call. Only a tool's request that was sent is heard to its end, by the node (R10).

mod ahead;
mod ambience;
mod asking;
mod attach;
#[cfg(test)]
mod bench;
mod breakers;
mod call;
mod clips;
mod cutter;
mod desk;
mod dispositions;
mod ending;
mod fallback;
mod faults;
pub mod figures;
mod finish;
mod ingest;
mod journal;
mod judging;
mod keeper;
mod latency;
mod ledger;
mod library;
mod line;
mod listening;
mod low_water;
mod media;
mod perform;
mod playout;
mod prepare;
mod preview;
mod prices;
mod records;
mod replay;
mod routes;
mod scribes;
mod speaking;
mod supervisor;
mod table;
mod tape;
mod tools;
mod voices;

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::extract::ws::WebSocket;
use bolo_agent::Agent;
use bolo_conversation::Rules;
use bolo_execution::{AgentId, ExecutionId, Record};
use bolo_providers::{PublicClient, Vendors};
use bolo_store::{Command, Store};
use bolo_telephony::{Carriers, MediaWire};
use dashmap::DashMap;
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use dispositions::AskError;
pub use ingest::Caller;
pub use library::{Library, Passage, SearchError};
pub use low_water::LowWater;
pub use prices::{Prices, PricesError};
pub use replay::{Difference, Replayed, replay};

use crate::{
    attach::LiveCall, breakers::Breakers, clips::Clips, keeper::Waiting, routes::RouteTables,
    scribes::Scribes,
};

/// Agent versions kept parsed.
const AGENTS: u64 = 1000;
/// Calls are handed over one after the other, not to flood who takes them.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);
/// The last of them has so long to be taken.
const HANDED_OVER: Duration = Duration::from_secs(10);

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
    /// Sends the requests of tools (R107).
    pub public: PublicClient,
}

/// All live calls of this node. Cheap to clone.
#[derive(Clone)]
pub struct Calls {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    store: Store,
    vendors: Vendors,
    carriers: Carriers,
    settings: Settings,
    clips: Clips,
    breakers: Breakers,
    routes: RouteTables,
    library: Library,
    scribes: Scribes,
    agents: moka::sync::Cache<(AgentId, i64), Arc<Agent>>,
    voices: voices::Lists,
    /// Calls whose phone rings.
    waiting: Waiting,
    live: DashMap<ExecutionId, LiveCall>,
    /// Calls that other nodes may still take, as last told.
    room_elsewhere: AtomicI64,
    permits: Arc<Semaphore>,
    /// No new calls.
    draining: CancellationToken,
    /// Live calls shall end.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Inner {
    /// Calls that this node may still take.
    fn room(&self) -> i64 {
        match self.draining.is_cancelled() {
            true => 0,
            false => self.permits.available_permits() as i64,
        }
    }
}

impl Calls {
    /// No call yet.
    pub fn new(store: Store, vendors: Vendors, carriers: Carriers, settings: Settings) -> Self {
        let inner = Inner {
            clips: Clips::new(settings.clip_cache_bytes),
            breakers: Breakers::default(),
            routes: RouteTables::new(),
            library: Library::new(store.clone(), vendors.clone()),
            scribes: Scribes::new(),
            agents: moka::sync::Cache::new(AGENTS),
            voices: voices::lists(),
            waiting: Waiting::new(settings.max_calls),
            live: DashMap::new(),
            room_elsewhere: AtomicI64::new(0),
            permits: Arc::new(Semaphore::new(settings.max_calls)),
            draining: CancellationToken::new(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            store,
            vendors,
            carriers,
            settings,
        };
        let calls = Self {
            inner: Arc::new(inner),
        };
        if calls.inner.store.signals().has_others() {
            keeper::keep(&calls.inner);
        }
        calls
    }

    /// While it rings: loads the agent, opens vendor sockets, renders the welcome (R3, R16), so that
    /// their set-up never costs the caller. Idempotent; forgotten if no media comes within a minute.
    pub fn prepare(&self, record: &Record) {
        if !self.inner.draining.is_cancelled() && !self.inner.live.contains_key(&record.id) {
            keeper::prepare(&self.inner, record);
        }
    }

    /// Nobody picks up: vendor sockets that were opened for this call are closed.
    pub fn forget(&self, id: ExecutionId) {
        self.inner.waiting.forget(id);
    }

    /// Runs the call on this media socket until the socket or the call ends. A second socket for a live
    /// call takes it over (R199); a socket for an in-progress call that no node runs rebuilds it from its
    /// event log (R202). `low_water` is what the stream below the socket heeds.
    pub async fn attach(
        &self,
        execution: ExecutionId,
        socket: WebSocket,
        wire: Box<dyn MediaWire>,
        low_water: LowWater,
    ) {
        let socket = media::Socket::new(Box::new(socket), wire).with_low_water(low_water);
        attach::attach(&self.inner, execution, socket).await;
    }

    /// The same for a socket whose stream has no start of its own: it has begun, in this format. `first`: a message
    /// that was read already.
    pub async fn attach_begun(
        &self,
        execution: ExecutionId,
        socket: WebSocket,
        wire: Box<dyn MediaWire>,
        format: bolo_audio::Format,
        first: Option<&str>,
    ) {
        let socket = media::Socket::begun(Box::new(socket), wire, format, first);
        attach::attach(&self.inner, execution, socket).await;
    }

    /// The language that a call's agent speaks, where it can be told.
    pub async fn language(&self, record: &Record) -> Option<String> {
        let agent = self.inner.agent(record).await.ok()?;
        Some(agent.conversation.synthesizer.language.clone())
    }

    /// What is to be said to a caller whom no node can go on with (R192): the text, and its language.
    pub async fn apology(&self, record: &Record) -> Option<(String, String)> {
        let agent = self.inner.agent(record).await.ok()?;
        let (text, language) = bolo_conversation::apology(&agent, &self.inner.settings.rules);
        (!text.is_empty()).then_some((text, language))
    }

    /// Knowledgebases, as calls search them.
    pub fn library(&self) -> &Library {
        &self.inner.library
    }

    /// Whether this node may take another call; not once it drains.
    pub fn has_room(&self) -> bool {
        self.inner.room() > 0
    }

    /// Whether another node may.
    pub fn has_room_elsewhere(&self) -> bool {
        self.inner.room_elsewhere.load(Ordering::Relaxed) > 0
    }

    /// Calls running now.
    pub fn live(&self) -> usize {
        self.inner.live.len()
    }

    /// No new calls; waits until the running ones have ended or `limit` is over, then hands them to other nodes
    /// and ends those that can't be handed over (R201).
    pub async fn drain(&self, limit: Duration) {
        let inner = &self.inner;
        inner.draining.cancel();
        inner.waiting.clear();
        inner.tasks.close();
        if tokio::time::timeout(limit, inner.tasks.wait())
            .await
            .is_ok()
        {
            return;
        }
        if self.has_room_elsewhere() && self.hand_over().await {
            return;
        }
        tracing::info!(calls = self.live(), "drain time is over: ending calls");
        inner.stop.cancel();
        if tokio::time::timeout(attach::LAST_GOODBYES, inner.tasks.wait())
            .await
            .is_err()
        {
            tracing::error!(calls = self.live(), "calls did not end in time");
        }
    }

    /// Calls leave their sockets, so that their carriers ask another node how to go on; whether all have gone.
    async fn hand_over(&self) -> bool {
        let inner = &self.inner;
        tracing::info!(
            calls = self.live(),
            "drain time is over: other nodes take the calls"
        );
        let live: Vec<ExecutionId> = inner.live.iter().map(|call| *call.key()).collect();
        for id in live {
            inner.store.signals().tell_here(id, Command::Leave);
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        let gone = tokio::time::timeout(HANDED_OVER, inner.tasks.wait());
        gone.await.is_ok()
    }
}

/// Epoch milliseconds.
pub(crate) fn now() -> i64 {
    bolo_store::now()
}
