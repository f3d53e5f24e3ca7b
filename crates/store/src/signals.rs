//! Messages to live calls, near or far: one path. In-process; over Redis with many nodes later.

use std::{sync::Arc, time::Duration};

use bolo_execution::ExecutionId;
use dashmap::DashMap;
use tokio::sync::{Notify, mpsc};

/// What a live call can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `POST /call/{id}/stop`.
    Stop,
    /// The carrier says the call is over.
    CarrierEnded,
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
}

/// Commands that a call may leave unread.
const UNREAD: usize = 16;
/// A call that reads none for this long is not answering.
const PATIENCE: Duration = Duration::from_secs(2);

/// Registry of live calls of this process.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    calls: DashMap<ExecutionId, mpsc::Sender<Command>>,
    worker: Notify,
}

impl Signals {
    /// Registers a live call; the newest registration wins. Dropping the receiver ends it.
    pub fn register(&self, id: ExecutionId) -> mpsc::Receiver<Command> {
        let (sender, receiver) = mpsc::channel(UNREAD);
        // Those whose receiver is gone leave here, so that the registry is never larger than the calls.
        self.shared.calls.retain(|_, call| !call.is_closed());
        self.shared.calls.insert(id, sender);
        receiver
    }

    /// Tells a live call; `false` when no node runs it, or when it has not read its commands for 2 s.
    pub async fn send(&self, id: ExecutionId, command: Command) -> bool {
        let Some(call) = self.sender(id) else {
            return false;
        };
        match call.send_timeout(command, PATIENCE).await {
            Ok(()) => true,
            Err(mpsc::error::SendTimeoutError::Closed(_)) => false,
            Err(mpsc::error::SendTimeoutError::Timeout(command)) => {
                tracing::warn!(execution = %id, ?command, "a live call does not read its commands");
                false
            }
        }
    }

    /// Whether some node runs the call.
    pub async fn is_live(&self, id: ExecutionId) -> bool {
        self.sender(id).is_some_and(|call| !call.is_closed())
    }

    /// A copy, so that no shard of the map stays locked over an await.
    fn sender(&self, id: ExecutionId) -> Option<mpsc::Sender<Command>> {
        self.shared.calls.get(&id).map(|call| call.clone())
    }

    /// Wakes the worker: something became due (a call was queued, a status changed).
    pub fn wake_worker(&self) {
        self.shared.worker.notify_one();
    }

    /// Resolves at the next `wake_worker`, also one that came since the last call.
    pub async fn worker_woken(&self) {
        self.shared.worker.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_call_is_told_until_its_receiver_is_dropped() {
        let signals = Signals::default();
        let id = ExecutionId::new();
        assert!(!signals.send(id, Command::Stop).await);
        let mut inbox = signals.register(id);
        assert!(signals.is_live(id).await);
        assert!(signals.clone().send(id, Command::Stop).await);
        assert_eq!(inbox.recv().await, Some(Command::Stop));
        drop(inbox);
        assert!(!signals.is_live(id).await);
        assert!(!signals.send(id, Command::Stop).await);
    }

    #[tokio::test]
    async fn the_newest_registration_wins_and_the_registry_does_not_grow() {
        let signals = Signals::default();
        let id = ExecutionId::new();
        let mut older = signals.register(id);
        let mut newer = signals.register(id);
        assert!(signals.send(id, Command::CarrierEnded).await);
        assert_eq!(newer.recv().await, Some(Command::CarrierEnded));
        assert_eq!(older.recv().await, None);
        for _ in 0..100 {
            drop(signals.register(ExecutionId::new()));
        }
        assert!(
            signals.shared.calls.len() <= 2,
            "{}",
            signals.shared.calls.len()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_reads_nothing_is_not_waited_for_long() {
        let signals = Signals::default();
        let id = ExecutionId::new();
        let _inbox = signals.register(id);
        for _ in 0..UNREAD {
            assert!(signals.send(id, Command::CarrierEnded).await);
        }
        assert!(!signals.send(id, Command::Stop).await);
    }

    #[tokio::test]
    async fn a_wake_before_the_wait_counts_once() {
        let signals = Signals::default();
        signals.wake_worker();
        signals.wake_worker();
        signals.worker_woken().await;
        let mut waiting = Box::pin(signals.worker_woken());
        assert!(waiting.as_mut().now_or_never().is_none());
        signals.wake_worker();
        waiting.await;
    }
}
