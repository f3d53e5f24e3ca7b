//! Messages to live calls and to workers, near or far: one path. Within a process through channels;
//! between nodes through Redis ([`link`]), which carries messages and keeps nothing.
//!
//! A message may be lost: the row is the truth, and whoever waits for a message looks there now and then.

mod link;

use std::{sync::Arc, time::Duration};

use bolo_execution::{ExecutionId, Hangup};
use dashmap::DashMap;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use crate::Error;
use link::Link;

/// What a live call can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `POST /call/{id}/stop`.
    Stop,
    /// The carrier says the call is over, and why, if it knows more than that.
    CarrierEnded(Option<Hangup>),
    /// The carrier has listened who answered.
    AnsweredBy {
        /// A machine, not a person.
        is_machine: bool,
    },
    /// The caller speaks with whom he was transferred to.
    TransferConnected,
    /// He does not; why, for the model.
    TransferFailed(String),
    /// Something happened outside the call (R144).
    Event {
        /// What.
        name: String,
        /// What is known of it.
        properties: serde_json::Map<String, serde_json::Value>,
    },
    /// The node of the call is about to end, and another can go on with it.
    Leave,
    /// Another node owns the call since this epoch.
    TakenOver {
        /// See [`crate::Store::own_call`].
        epoch: i64,
    },
}

/// What a worker may find to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Calls to be dialled: one is due, or a line is free.
    Dials,
    /// Webhooks to be delivered.
    Webhooks,
    /// Tasks of calls that have ended.
    PostCalls,
    /// Documents to be read.
    Documents,
}

impl Work {
    /// All there is, each at the place of its number.
    const ALL: [Self; 4] = [
        Self::Dials,
        Self::Webhooks,
        Self::PostCalls,
        Self::Documents,
    ];
}

/// Commands that a call may leave unread.
const UNREAD: usize = 16;
/// A call that reads none for this long is not answering; nor is a node that answers nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// Registry of live calls: of this process, and through Redis of all nodes. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    here: Arc<Here>,
    others: Option<Arc<Link>>,
}

/// What this process itself has.
#[derive(Debug, Default)]
struct Here {
    calls: DashMap<ExecutionId, mpsc::Sender<Command>>,
    /// By [`Work`].
    worker: [Notify; Work::ALL.len()],
}

impl Here {
    /// A copy, so that no shard of the map stays locked over an await.
    fn call(&self, id: ExecutionId) -> Option<mpsc::Sender<Command>> {
        let call = self.calls.get(&id)?;
        (!call.is_closed()).then(|| call.clone())
    }

    fn wake(&self, work: Work) {
        self.worker[work as usize].notify_one();
    }

    /// Those whose receiver is gone leave, so that the registry is never larger than the calls.
    fn forget_ended(&self) {
        self.calls.retain(|_, call| !call.is_closed());
    }
}

/// Hands a command to a call of this process.
async fn hand(call: mpsc::Sender<Command>, id: ExecutionId, command: Command) -> bool {
    match call.send_timeout(command, PATIENCE).await {
        Ok(()) => true,
        Err(mpsc::error::SendTimeoutError::Closed(_)) => false,
        Err(mpsc::error::SendTimeoutError::Timeout(command)) => {
            tracing::warn!(execution = %id, ?command, "a live call does not read its commands");
            false
        }
    }
}

impl Signals {
    /// One of many nodes, by the name of this life of it. A Redis that is away is waited for in the
    /// background.
    pub(crate) fn between_nodes(redis_url: &SecretString, instance: &str) -> Result<Self, Error> {
        let here = Arc::new(Here::default());
        let link = Link::start(redis_url, instance, here.clone())?;
        Ok(Self {
            here,
            others: Some(Arc::new(link)),
        })
    }

    /// Registers a live call; the newest registration wins. Dropping the receiver ends it.
    pub fn register(&self, id: ExecutionId) -> mpsc::Receiver<Command> {
        let (sender, receiver) = mpsc::channel(UNREAD);
        self.here.forget_ended();
        self.here.calls.insert(id, sender);
        if let Some(link) = &self.others {
            link.calls_changed();
        }
        receiver
    }

    /// Tells a live call; `false` when no node runs it, when it has not read its commands for 2 s, or
    /// when its node does not answer.
    pub async fn send(&self, id: ExecutionId, command: Command) -> bool {
        if let Some(call) = self.here.call(id) {
            return hand(call, id, command).await;
        }
        match &self.others {
            Some(link) => link.send(id, command).await,
            None => false,
        }
    }

    /// Tells a call of this process without waiting for it; one that does not read is to be told again.
    pub fn tell_here(&self, id: ExecutionId, command: Command) {
        if let Some(call) = self.here.call(id) {
            // Full or gone: see above.
            let _ = call.try_send(command);
        }
    }

    /// Whether there may be other nodes.
    pub fn has_others(&self) -> bool {
        self.others.is_some()
    }

    /// Tells other nodes that run this call, if any does, without waiting for them.
    pub async fn tell_others(&self, id: ExecutionId, command: Command) {
        if let Some(link) = &self.others {
            link.tell(id, command).await;
        }
    }

    /// Whether this process runs the call.
    pub fn is_here(&self, id: ExecutionId) -> bool {
        self.here.call(id).is_some()
    }

    /// Whether some node runs the call, as far as can be told.
    pub async fn is_live(&self, id: ExecutionId) -> bool {
        if self.is_here(id) {
            return true;
        }
        match &self.others {
            Some(link) => link.is_live(id).await,
            None => false,
        }
    }

    /// Whether whoever runs the call says so at once: its process is not dead, whatever its heartbeats say.
    pub async fn answers(&self, id: ExecutionId) -> bool {
        match &self.others {
            _ if self.is_here(id) => true,
            Some(link) => link.answers(id).await,
            None => false,
        }
    }

    /// Counts one more under this key, over all nodes, in windows of this length: how many there are in this
    /// one, and how long it lasts. `None` where a node can count for itself only: it has no others, or Redis is
    /// away.
    pub async fn count(&self, key: &str, window: Duration) -> Option<(u64, Duration)> {
        self.others.as_ref()?.count(key, window).await
    }

    /// Wakes the workers of all nodes: there may be some of this to do.
    pub fn wake_worker(&self, work: Work) {
        self.here.wake(work);
        if let Some(link) = &self.others {
            link.wake_workers(work);
        }
    }

    /// Resolves at the next `wake_worker` for this work, also one that came since the last call. One waiter
    /// hears it.
    pub async fn worker_woken(&self, work: Work) {
        self.here.worker[work as usize].notified().await;
    }
}

#[cfg(test)]
mod tests;
