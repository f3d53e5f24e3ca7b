//! Messages to live calls, near or far: one path. In-process; over Redis with many nodes later.

use bolo_execution::ExecutionId;
use tokio::sync::mpsc;

/// What a live call can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `POST /call/{id}/stop`.
    Stop,
    /// The carrier says the call is over.
    CarrierEnded,
}

/// Registry of live calls of this process.
#[derive(Debug, Clone, Default)]
pub struct Signals {
    _private: (),
}

impl Signals {
    /// Registers a live call; the newest registration wins. Dropping the receiver ends it.
    pub fn register(&self, id: ExecutionId) -> mpsc::Receiver<Command> {
        let _ = id;
        unreachable!()
    }
    /// Tells a live call; `false` when no node runs it.
    pub async fn send(&self, id: ExecutionId, command: Command) -> bool {
        let _ = (id, command);
        unreachable!()
    }
    /// Whether some node runs the call.
    pub async fn is_live(&self, id: ExecutionId) -> bool {
        let _ = id;
        unreachable!()
    }
    /// Wakes the worker: something became due (a call was queued, a status changed).
    pub fn wake_worker(&self) {}
    /// Resolves at the next `wake_worker`, also one that came since the last call.
    pub async fn worker_woken(&self) {
        std::future::pending().await
    }
}
