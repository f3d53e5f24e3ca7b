//! The one task of a process that commits the lines of all its calls.
//!
//! On SQLite its commits use `synchronous = NORMAL`: what is committed survives the death of the
//! process, while a power cut may take the lines since the last status change, which is committed with
//! `FULL` and syncs these too. The call is over then anyway, and a sync of the disk each batch would
//! delay the status changes of all calls.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bolo_execution::ExecutionId;
use sqlx::AssertSqlSafe;
use tokio::{
    sync::{Mutex, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    callbacks::{self, Told},
    queue::{Call, Line, Message, Queue, Waiting, queue},
};
use crate::{
    Error,
    db::{Db, Engine, clean, on},
    postgres::Lent,
    sqlite,
};

/// Lines wait this long for others: a commit costs the same for one call as for fifty. What a crash may
/// take, a call that goes on elsewhere says again.
const GATHER: Duration = Duration::from_millis(200);
/// And this long after the last commit, though somebody waits: with many calls somebody always does.
const BETWEEN: Duration = Duration::from_millis(200);
/// A batch is committed at this size, bytes.
const BATCH: usize = 4 << 20;
/// Rows of one statement, at most. Their number is rounded up to a power of two, so that few statements are prepared;
/// those too many are of no call.
pub(super) const ROWS: usize = 64;
/// Pause after the first failure; doubles up to the longest.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long lines are still tried when the store is closing.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// The task and the way to it. It ends, all written, when the last sender is dropped, or at `close`.
pub(crate) struct Writer {
    queue: Queue,
    stop: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(db: Arc<Db>, instance: String, node: String) -> Self {
        let (queue, waiting) = queue();
        let stop = CancellationToken::new();
        let worker = Work {
            db,
            instance,
            node,
            waiting,
            stop: stop.clone(),
            number: 0,
            committed: Instant::now(),
        };
        Self {
            queue,
            stop,
            task: Mutex::new(Some(tokio::spawn(worker.run()))),
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// No more lines; returns when those that wait are written.
    pub(crate) async fn close(&self) {
        self.stop.cancel();
        let task = self.task.lock().await.take();
        if let Some(Err(error)) = match task {
            Some(task) => Some(task.await),
            None => None,
        } {
            tracing::error!(%error, "call log writer died");
        }
    }
}

/// Lines of one call in a batch, joined by newlines.
struct Lines {
    call: Arc<Call>,
    events: Option<String>,
    entries: Option<String>,
    /// The last one told.
    transcript: Option<(String, i64)>,
}

#[derive(Default)]
struct Batch {
    calls: BTreeMap<ExecutionId, Lines>,
    told: Vec<(ExecutionId, Told)>,
    waiters: Vec<oneshot::Sender<()>>,
    bytes: usize,
    lines: usize,
}

impl Batch {
    fn add(&mut self, message: Message) {
        let (call, line) = match message {
            Message::Flush(waiter) => return self.waiters.push(waiter),
            Message::Line(call, line) => (call, line),
        };
        self.bytes += line.len();
        self.lines += 1;
        let line = match line {
            Line::Outside(told) => return self.told.push((call.id, told)),
            of_its_own => of_its_own,
        };
        let lines = self.calls.entry(call.id).or_insert_with(|| Lines {
            call,
            events: None,
            entries: None,
            transcript: None,
        });
        let (text, line) = match line {
            Line::Event(line) => (&mut lines.events, line),
            Line::Entry(line) => (&mut lines.entries, line),
            Line::Transcript(text, now) => {
                lines.transcript = Some((text, now));
                return;
            }
            Line::Outside(_) => return,
        };
        match text {
            Some(text) => {
                text.push('\n');
                text.push_str(&line);
            }
            None => *text = Some(line),
        }
    }
}

struct Work {
    db: Arc<Db>,
    instance: String,
    node: String,
    waiting: Waiting,
    stop: CancellationToken,
    /// Of the batch.
    number: i64,
    /// When the last one was.
    committed: Instant,
}

impl Work {
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            self.number += 1;
            if batch.lines > 0 {
                self.commit(&batch).await;
                self.committed = Instant::now();
            }
            self.waiting.release(batch.bytes);
            for waiter in batch.waiters {
                // Whoever asked may have gone.
                let _ = waiter.send(());
            }
        }
    }

    /// `None` when no line will come any more.
    async fn gather(&mut self) -> Option<Batch> {
        let first = tokio::select! {
            message = self.waiting.messages.recv() => message?,
            () = self.stop.cancelled(), if !self.waiting.messages.is_closed() => {
                self.waiting.messages.close();
                self.waiting.messages.recv().await?
            }
        };
        let mut batch = Batch::default();
        batch.add(first);
        if batch.waiters.is_empty() {
            // Not by receiving: each line would wake this task.
            tokio::select! {
                () = sleep(GATHER) => {}
                () = self.waiting.hurry.notified() => sleep_until(self.committed + BETWEEN).await,
                () = self.stop.cancelled() => {}
            }
        }
        while batch.bytes < BATCH
            && let Ok(message) = self.waiting.messages.try_recv()
        {
            batch.add(message);
        }
        Some(batch)
    }

    /// Tries until the lines are committed; at the store's end for a few seconds.
    async fn commit(&self, batch: &Batch) {
        let mut pause = PAUSE;
        let mut failing: Option<Instant> = None;
        let mut last: Option<Instant> = None;
        loop {
            match self.write(batch, failing.is_some()).await {
                Ok(()) => {
                    if let Some(since) = failing {
                        tracing::info!(
                            ms = since.elapsed().as_millis(),
                            "call log is written again"
                        );
                    }
                    return;
                }
                Err(error) if failing.is_none() => {
                    tracing::error!(%error, lines = batch.lines, "call log can't be written; lines are kept");
                    failing = Some(Instant::now());
                }
                Err(_) => {}
            }
            let closing = self.stop.is_cancelled() || self.waiting.messages.is_closed();
            if closing && last.get_or_insert_with(Instant::now).elapsed() >= LAST_TRIES {
                tracing::error!(
                    lines = batch.lines,
                    "call log lines are lost: the store closes"
                );
                return;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// One transaction. After a failure the batch may stand there all the same, when only the answer to
    /// the commit was lost: `again` looks first.
    async fn write(&self, batch: &Batch, again: bool) -> Result<(), Error> {
        if again && self.is_committed().await? {
            return Ok(());
        }
        let refused = match &*self.db {
            Db::Sqlite { write, .. } => {
                let mut tx = write.begin_unsynced().await?;
                let refused = self.insert(Engine::Sqlite(&mut *tx), batch).await?;
                tx.commit().await?;
                refused
            }
            Db::Postgres(pool) => {
                let mut tx = pool.begin().await?;
                let refused = self.insert(Engine::Postgres(&mut *tx), batch).await?;
                tx.commit().await?;
                refused
            }
        };
        for call in refused {
            call.refuse();
            tracing::warn!(execution = %call.id, "call log lines refused: another node has the call");
        }
        Ok(())
    }

    async fn is_committed(&self) -> Result<bool, Error> {
        let last: Option<i64> = on!(self.db.read(), |pool| {
            sqlx::query_scalar("SELECT log_batch FROM instances WHERE instance = $1")
                .bind(&self.instance)
                .fetch_optional(pool)
                .await
        })?;
        Ok(last == Some(self.number))
    }

    /// Calls whose lines were refused.
    async fn insert<'a>(
        &self,
        mut connection: Engine<&mut sqlite::Within, &mut Lent>,
        batch: &'a Batch,
    ) -> Result<Vec<&'a Call>, Error> {
        let calls: Vec<&Lines> = batch.calls.values().collect();
        on!(&mut connection, |connection| {
            sqlx::query(
                "INSERT INTO instances (instance, node, seen_at, log_batch) VALUES ($1, $2, 0, $3)
                 ON CONFLICT (instance) DO UPDATE SET log_batch = excluded.log_batch",
            )
            .bind(&self.instance)
            .bind(&self.node)
            .bind(self.number)
            .execute(&mut **connection)
            .await
            .map(|_| ())
        })?;
        self.note(&mut connection, &calls).await?;
        let mut refused = Vec::new();
        let logged: Vec<&Lines> = calls
            .iter()
            .copied()
            .filter(|lines| lines.events.is_some() || lines.entries.is_some())
            .collect();
        for now in logged.chunks(ROWS) {
            let rows = now.iter().map(|lines| Row {
                id: lines.call.id,
                events: lines.events.as_deref(),
                entries: lines.entries.as_deref(),
                is_outside: false,
            });
            let taken = self.log(&mut connection, rows).await?;
            if taken < now.len() as u64 {
                refused.extend(self.refused(&mut connection, now).await?);
            }
        }
        let told = callbacks::remember(&mut connection, &batch.told).await?;
        let told: Vec<_> = told.iter().collect();
        for now in told.chunks(ROWS) {
            let rows = now.iter().map(|(id, lines)| Row {
                id: **id,
                events: None,
                entries: Some(lines),
                is_outside: true,
            });
            self.log(&mut connection, rows).await?;
        }
        Ok(refused)
    }

    /// How many of these were taken.
    async fn log<'r>(
        &self,
        connection: &mut Engine<&mut sqlite::Within, &mut Lent>,
        rows: impl ExactSizeIterator<Item = Row<'r>> + Send,
    ) -> Result<u64, Error> {
        let sql = INSERT.replace("{}", &values(2, rows.len(), 4));
        Ok(on!(&mut *connection, |connection| {
            let mut query = sqlx::query(AssertSqlSafe(sql)).bind(&self.instance);
            for row in padded(rows) {
                query = query
                    .bind(row.as_ref().map(|row| row.id.to_string()))
                    .bind(row.as_ref().and_then(|row| row.events))
                    .bind(row.as_ref().and_then(|row| row.entries))
                    .bind(row.map(|row| i64::from(row.is_outside)));
            }
            query
                .execute(&mut **connection)
                .await
                .map(|done| done.rows_affected())
        })?)
    }

    /// The transcripts so far, into the calls' rows, as long as they go on: a call's end writes the last.
    async fn note(
        &self,
        connection: &mut Engine<&mut sqlite::Within, &mut Lent>,
        calls: &[&Lines],
    ) -> Result<(), Error> {
        let notes: Vec<(&ExecutionId, &str, i64)> = calls
            .iter()
            .filter_map(|lines| {
                let (transcript, now) = lines.transcript.as_ref()?;
                Some((&lines.call.id, transcript.as_str(), *now))
            })
            .collect();
        for now in notes.chunks(ROWS) {
            let sql = NOTE.replace("{}", &values(2, now.len(), 3));
            on!(&mut *connection, |connection| {
                let mut query = sqlx::query(AssertSqlSafe(sql)).bind(&self.instance);
                for note in padded(now.iter()) {
                    query = query
                        .bind(note.map(|(id, ..)| id.to_string()))
                        .bind(note.map(|(_, transcript, _)| clean(transcript)))
                        .bind(note.map(|(.., at)| at));
                }
                query.execute(&mut **connection).await.map(|_| ())
            })?;
        }
        Ok(())
    }

    /// Those of these calls that another instance owns.
    async fn refused<'a>(
        &self,
        connection: &mut Engine<&mut sqlite::Within, &mut Lent>,
        calls: &[&'a Lines],
    ) -> Result<Vec<&'a Call>, Error> {
        let mut refused = Vec::new();
        for lines in calls {
            let ours: Option<i64> = on!(&mut *connection, |connection| {
                sqlx::query_scalar(
                    "SELECT owner_epoch FROM executions
                     WHERE id = $1 AND (owner_instance IS NULL OR owner_instance = $2)",
                )
                .bind(lines.call.id.to_string())
                .bind(&self.instance)
                .fetch_optional(&mut **connection)
                .await
            })?;
            if ours.is_none() {
                refused.push(&*lines.call);
            }
        }
        Ok(refused)
    }
}

/// Writes the lines of calls that are ours or nobody's, and those from outside.
const INSERT: &str = "WITH lines (execution_id, events, entries, is_outside) AS (VALUES {})
    INSERT INTO call_logs (execution_id, events, entries)
    SELECT l.execution_id, l.events, l.entries FROM lines l JOIN executions e ON e.id = l.execution_id
    WHERE e.owner_instance IS NULL OR e.owner_instance = $1 OR l.is_outside = 1";

/// Writes transcripts of such calls.
const NOTE: &str = "WITH notes (id, transcript, at) AS (VALUES {})
    UPDATE executions SET transcript = n.transcript,
        updated_at = CASE WHEN executions.updated_at > n.at THEN executions.updated_at ELSE n.at END
    FROM notes n
    WHERE executions.id = n.id AND executions.status = 'in-progress'
        AND (executions.owner_instance IS NULL OR executions.owner_instance = $1)";

/// A row of the log.
struct Row<'a> {
    id: ExecutionId,
    events: Option<&'a str>,
    entries: Option<&'a str>,
    is_outside: bool,
}

/// Rows of a statement, and as many of no call as make their number a power of two.
pub(super) fn padded<T>(rows: impl ExactSizeIterator<Item = T>) -> impl Iterator<Item = Option<T>> {
    let none = rows.len().next_power_of_two() - rows.len();
    rows.map(Some)
        .chain(std::iter::repeat_with(|| None).take(none))
}

/// Parameters of so many padded rows, the first of them `$first`.
pub(super) fn values(first: usize, rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let columns: Vec<String> = (0..columns)
            .map(|column| format!("${}", row * columns + column + first))
            .collect();
        format!("({})", columns.join(", "))
    };
    let rows: Vec<String> = (0..rows.next_power_of_two()).map(row).collect();
    rows.join(", ")
}

#[cfg(test)]
mod tests;
