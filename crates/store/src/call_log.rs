//! Event log (replays the call), raw log (people read it) and the transcript so far, written while the
//! call runs.

mod callbacks;
mod queue;
mod writer;

use std::sync::Arc;

use bolo_execution::{AccountId, Entry, ExecutionId};
use serde::{Deserialize, Serialize};

pub use callbacks::Callback;
pub(crate) use queue::Queue;
pub(crate) use writer::Writer;

use crate::{Error, Store, db::on, rows::to_json};
use callbacks::Told;
use queue::{Call, Line};

/// A line of the raw log with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Epoch ms.
    #[serde(rename = "at")]
    pub created_at: i64,
    /// The line.
    pub entry: Entry,
}

/// Where one call writes. Lines go through one bounded queue of the process and are committed together
/// with those of other calls within some 100 ms; `flush` waits for it.
///
/// Lines of a call that another node has taken over are refused: from the next `flush` on, all is
/// `TakenOver`.
#[derive(Debug, Clone)]
pub struct CallLog {
    call: Arc<Call>,
    queue: Queue,
}

impl CallLog {
    /// Appends a line of the event log (JSON, no newline). Never waits; when the queue is full the call
    /// must end: `Err`.
    pub fn event(&self, line: String) -> Result<(), Error> {
        self.queue.push(&self.call, Line::Event(one_line(line)))
    }

    /// Appends to the raw log.
    pub fn entry(&self, entry: Entry, now: i64) -> Result<(), Error> {
        let line = line_of(entry, now)?;
        self.queue.push(&self.call, Line::Entry(line))
    }

    /// The transcript so far, for the record; left alone once the record says that the call is over.
    pub fn transcript(&self, text: String, now: i64) -> Result<(), Error> {
        self.queue.push(&self.call, Line::Transcript(text, now))
    }

    /// Has what waits committed soon: it would be missed after a crash.
    pub fn hurry(&self) {
        self.queue.hurry();
    }

    /// Waits until all of it is committed. `Unavailable` when that takes more than 10 s: the lines are
    /// kept and tried again all the same.
    pub async fn flush(&self) -> Result<(), Error> {
        self.queue.flush(&self.call).await
    }
}

fn line_of(entry: Entry, created_at: i64) -> Result<String, Error> {
    to_json("log entry", &LogLine { created_at, entry })
}

/// JSON may hold newlines between its tokens, never within them, and no NUL at all.
fn one_line(line: String) -> String {
    if line.contains(['\n', '\r', '\0']) {
        line.replace(['\n', '\r', '\0'], " ")
    } else {
        line
    }
}

impl Store {
    /// Where the owner of a call writes. After a crash it goes on behind what is there. What is told of a call that
    /// does not exist goes nowhere.
    pub fn call_log(&self, id: ExecutionId) -> CallLog {
        CallLog {
            call: Arc::new(Call::new(id)),
            queue: self.inner.call_log.queue().clone(),
        }
    }

    /// The event log's lines of the current attempt, oldest first. Also of a deleted agent's call: a live one
    /// may be rebuilt from them.
    pub async fn events(&self, account: AccountId, id: ExecutionId) -> Result<Vec<String>, Error> {
        self.owned_execution(account, id).await?;
        let rows: Vec<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT events FROM call_logs WHERE execution_id = $1 AND events IS NOT NULL
                    AND id > (SELECT events_after FROM executions WHERE id = $1) ORDER BY id",
            )
            .bind(id.to_string())
            .fetch_all(pool)
            .await
        })?;
        Ok(rows
            .iter()
            .flat_map(|row| row.split('\n'))
            .map(str::to_owned)
            .collect())
    }

    /// The raw log, oldest first, with all that this process was told before. Not of a deleted agent's call.
    pub async fn log_lines(
        &self,
        account: AccountId,
        id: ExecutionId,
    ) -> Result<Vec<LogLine>, Error> {
        self.execution(account, id).await?;
        self.inner.call_log.queue().written().await?;
        let rows: Vec<String> = on!(self.db().read(), |pool| {
            sqlx::query_scalar(
                "SELECT entries FROM call_logs WHERE execution_id = $1 AND entries IS NOT NULL ORDER BY id",
            )
            .bind(id.to_string())
            .fetch_all(pool)
            .await
        })?;
        rows.iter()
            .flat_map(|row| row.split('\n'))
            .map(|line| crate::rows::json("log entry", line))
            .collect()
    }

    /// A line of the raw log from outside a call, whoever owns it; committed together with the lines of calls. `Err`
    /// when the queue is full.
    pub fn log_from_outside(&self, id: ExecutionId, entry: Entry, now: i64) -> Result<(), Error> {
        self.tell(id, None, entry, now)
    }

    /// The same of a carrier's callback: only the first time that it comes.
    pub fn log_callback(
        &self,
        id: ExecutionId,
        callback: Callback,
        entry: Entry,
        now: i64,
    ) -> Result<(), Error> {
        self.tell(id, Some(callback), entry, now)
    }

    fn tell(
        &self,
        id: ExecutionId,
        once: Option<Callback>,
        entry: Entry,
        at: i64,
    ) -> Result<(), Error> {
        let line = line_of(entry, at)?;
        let told = Line::Outside(Told { once, line, at });
        let log = self.call_log(id);
        log.queue.push(&log.call, told)
    }

    /// One line of the raw log from outside a call (worker), committed when this returns.
    pub async fn append_log(
        &self,
        account: AccountId,
        id: ExecutionId,
        entry: Entry,
        now: i64,
    ) -> Result<(), Error> {
        let line = line_of(entry, now)?;
        let written = on!(self.db().write(), |pool| {
            sqlx::query(
                "INSERT INTO call_logs (execution_id, entries)
                 SELECT id, $3 FROM executions WHERE account_id = $1 AND id = $2",
            )
            .bind(account.to_string())
            .bind(id.to_string())
            .bind(line)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
        })?;
        if written == 0 {
            Err(Error::NotFound)
        } else {
            Ok(())
        }
    }

    /// `NotFound` unless the call is this account's.
    async fn owned_execution(&self, account: AccountId, id: ExecutionId) -> Result<(), Error> {
        let _: i64 = on!(self.db().read(), |pool| {
            sqlx::query_scalar("SELECT sequence FROM executions WHERE account_id = $1 AND id = $2")
                .bind(account.to_string())
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })?;
        Ok(())
    }
}
