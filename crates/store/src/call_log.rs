//! Event log (replays the call) and raw log (people read it), written while the call runs.

use bolo_execution::{AccountId, Entry, ExecutionId};

use crate::{Error, Store};

/// A line of the raw log with its time.
#[derive(Debug, Clone, PartialEq)]
pub struct LogLine {
    /// Epoch ms.
    pub created_at: i64,
    /// The line.
    pub entry: Entry,
}

/// Where one call writes. Lines go through one bounded queue of the process and are committed together
/// with those of other calls within some 20 ms; `flush` waits for it.
#[derive(Debug, Clone)]
pub struct CallLog {
    _private: (),
}

impl CallLog {
    /// Appends a line of the event log (JSON, no newline). Never waits; when the queue is full the call
    /// must end: `Err`.
    pub fn event(&self, line: String) -> Result<(), Error> {
        let _ = line;
        unreachable!()
    }
    /// Appends to the raw log.
    pub fn entry(&self, entry: Entry, now: i64) -> Result<(), Error> {
        let _ = (entry, now);
        unreachable!()
    }
    /// Waits until all of it is committed.
    pub async fn flush(&self) -> Result<(), Error> {
        unreachable!()
    }
}

impl Store {
    /// The writer of a call. After a crash it goes on behind what is there.
    pub async fn call_log(&self, account: AccountId, id: ExecutionId) -> Result<CallLog, Error> {
        let _ = (account, id);
        unreachable!()
    }
    /// The event log's lines, oldest first.
    pub async fn events(&self, account: AccountId, id: ExecutionId) -> Result<Vec<String>, Error> {
        let _ = (account, id);
        unreachable!()
    }
    /// The raw log, oldest first.
    pub async fn log_lines(&self, account: AccountId, id: ExecutionId) -> Result<Vec<LogLine>, Error> {
        let _ = (account, id);
        unreachable!()
    }
    /// One line of the raw log from outside a call (worker, callbacks).
    pub async fn append_log(&self, account: AccountId, id: ExecutionId, entry: Entry, now: i64) -> Result<(), Error> {
        let _ = (account, id, entry, now);
        unreachable!()
    }
}
