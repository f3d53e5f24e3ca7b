//! SQLite's connections. Each has a thread of its own, so that a question costs two changes of threads. The driver's pool
//! asks a connection that comes back whether it still lives, and its transactions acknowledge every answer; here nobody
//! does, since a file does not fall silent, and a transaction begins with its first question. These threads were a third
//! of what a call's begin costs.

use std::{
    future::ready,
    ops::{Deref, DerefMut},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, TryFutureExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Either, Execute, Executor, SqlSafeStr, SqlStr,
    Sqlite, SqliteConnection,
    sqlite::{
        SqliteArguments, SqliteConnectOptions, SqliteQueryResult, SqliteRow, SqliteStatement,
        SqliteTypeInfo,
    },
};
use tokio::{
    sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::db::{hand_over, through_channel};
pub(crate) use single::Single;

mod single;

/// How long a free connection is waited for.
const BUSY: Duration = Duration::from_secs(10);

/// A number of connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    options: SqliteConnectOptions,
    /// As many as there are connections.
    free: Arc<Semaphore>,
    connections: Vec<Arc<Slot>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// `None` = not open.
    connection: Arc<Mutex<Option<SqliteConnection>>>,
    /// Its thread has died: who is lent it next opens it anew.
    is_dead: AtomicBool,
}

impl Slot {
    fn heed<T>(&self, answer: &Result<T, sqlx::Error>) {
        if matches!(answer, Err(sqlx::Error::WorkerCrashed)) {
            tracing::error!("a thread of the database has died; its connection is opened anew");
            self.is_dead.store(true, Ordering::Release);
        }
    }
}

/// One of them, until it is dropped. What was asked of it and is not waited for any more is done before what the next one
/// asks.
#[derive(Debug)]
struct Lent {
    connection: OwnedMappedMutexGuard<Option<SqliteConnection>, SqliteConnection>,
    slot: Arc<Slot>,
    // Behind the connection: a permit is of one that nobody holds.
    _permit: OwnedSemaphorePermit,
}

/// A transaction; rolled back when dropped.
#[derive(Debug)]
pub(crate) struct Tx(Within);

/// Asks within a transaction, which its first question opens.
#[derive(Debug)]
pub(crate) struct Within {
    lent: Lent,
    stage: Stage,
    /// Whether its commit is on the disk when it returns.
    is_synced: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    Open,
    /// Its first question failed: it may not be open.
    Failed,
    Over,
}

impl Pool {
    pub(crate) async fn open(
        options: SqliteConnectOptions,
        size: usize,
    ) -> Result<Self, sqlx::Error> {
        let pool = Self(Arc::new(Inner {
            options,
            free: Arc::new(Semaphore::new(size)),
            connections: (0..size).map(|_| Arc::default()).collect(),
        }));
        pool.lent().await?;
        Ok(pool)
    }

    /// A connection that is not the pool's, for what changes tables or reads a whole one.
    pub(crate) async fn alone(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.0.options.connect().await
    }

    /// The write lock is taken by its first question, whatever that is: a transaction that reads first and then writes
    /// could be refused.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.begin_by(true).await
    }

    /// One whose commit survives the death of the process, but the machine's only once another commit is synced.
    pub(crate) async fn begin_unsynced(&self) -> Result<Tx, sqlx::Error> {
        self.begin_by(false).await
    }

    async fn begin_by(&self, is_synced: bool) -> Result<Tx, sqlx::Error> {
        Ok(Tx(Within {
            lent: self.lent().await?,
            stage: Stage::New,
            is_synced,
        }))
    }

    async fn lent(&self) -> Result<Lent, sqlx::Error> {
        let permit = timeout(BUSY, self.0.free.clone().acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let (slot, mut connection) = (self.0.connections.iter())
            .find_map(|slot| Some((slot, slot.connection.clone().try_lock_owned().ok()?)))
            .ok_or(sqlx::Error::PoolTimedOut)?;
        if connection.is_none() || slot.is_dead.load(Ordering::Acquire) {
            *connection = Some(self.alone().await?);
            slot.is_dead.store(false, Ordering::Release);
        }
        Ok(Lent {
            connection: OwnedMutexGuard::try_map(connection, Option::as_mut)
                .map_err(|_| sqlx::Error::PoolTimedOut)?,
            slot: slot.clone(),
            _permit: permit,
        })
    }

    #[cfg(test)]
    pub(crate) fn size(&self) -> usize {
        self.0.connections.len()
    }

    /// Waits for those that are lent.
    pub(crate) async fn close(&self) {
        self.0.free.close();
        for slot in &self.0.connections {
            if let Some(connection) = slot.connection.lock().await.take()
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "a connection of the database did not close");
            }
        }
    }
}

impl Lent {
    fn many<'e, 'q: 'e, E>(&'e mut self, query: E) -> BoxStream<'e, Answer>
    where
        E: 'q + Execute<'q, Sqlite>,
    {
        let slot = self.slot.clone();
        let answers = self.connection.fetch_many(query);
        answers.inspect(move |answer| slot.heed(answer)).boxed()
    }

    async fn optional<'q, E>(&mut self, query: E) -> Result<Option<SqliteRow>, sqlx::Error>
    where
        E: 'q + Execute<'q, Sqlite>,
    {
        let answer = self.connection.fetch_optional(query).await;
        self.slot.heed(&answer);
        answer
    }

    /// Asks without waiting: by its first step the question is on its way.
    fn leave(&mut self, sql: &'static str) {
        let _ = sqlx::query(sql)
            .execute(&mut *self.connection)
            .now_or_never();
    }
}

type Answer = Result<Either<SqliteQueryResult, SqliteRow>, sqlx::Error>;

/// A question as it is asked: its text and what is bound.
type Question = (SqlStr, Option<SqliteArguments>);

impl Within {
    /// The first question takes what begins the transaction along. Also tells how many statements that are.
    fn question<'q>(
        &mut self,
        mut query: impl Execute<'q, Sqlite>,
    ) -> Result<(Question, usize), sqlx::Error> {
        let arguments = query.take_arguments().map_err(sqlx::Error::Encode)?;
        let sql = query.sql();
        let (begin, statements) = match (self.stage, self.is_synced) {
            (Stage::New, true) => ("BEGIN IMMEDIATE", 1),
            (Stage::New, false) => ("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE", 2),
            (Stage::Open, _) => return Ok(((sql, arguments), 0)),
            (Stage::Failed | Stage::Over, _) => return Err(not_open()),
        };
        // Until it is answered.
        self.stage = Stage::Failed;
        let sql = AssertSqlSafe(format!("{begin}; {}", sql.as_str()));
        Ok(((sql.into_sql_str(), arguments), statements))
    }
}

fn not_open() -> sqlx::Error {
    sqlx::Error::Protocol("the transaction's first question failed".into())
}

impl Tx {
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let sql = match (self.stage, self.is_synced) {
            (Stage::New, _) => return Ok(()),
            (Stage::Failed | Stage::Over, _) => return Err(not_open()),
            (Stage::Open, true) => "COMMIT",
            (Stage::Open, false) => "COMMIT; PRAGMA synchronous = FULL",
        };
        sqlx::query(sql).execute(&mut *self).await?;
        self.0.stage = Stage::Over;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if matches!(self.stage, Stage::Open | Stage::Failed) {
            // Fails where it did not begin, or where a commit was not waited for.
            self.0.lent.leave("ROLLBACK");
            if !self.is_synced {
                self.0.lent.leave("PRAGMA synchronous = FULL");
            }
        }
    }
}

impl Deref for Tx {
    type Target = Within;

    fn deref(&self) -> &Within {
        &self.0
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Within {
        &mut self.0
    }
}

impl<'t> Executor<'t> for &'t mut Within {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        't: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        async move {
            let (question, mut before) = self.question(query)?;
            let (lent, stage) = (&mut self.lent, &mut self.stage);
            let is_first = before > 0;
            Ok(lent.many(question).filter(move |answer| {
                if is_first {
                    *stage = if answer.is_ok() {
                        Stage::Open
                    } else {
                        Stage::Failed
                    };
                }
                // Those of what begins it; SQLite counts for them what was changed before.
                let is_before = before > 0 && answer.is_ok();
                before -= usize::from(is_before);
                ready(!is_before)
            }))
        }
        .try_flatten_stream()
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<SqliteRow>, sqlx::Error>>
    where
        't: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        async move {
            let (question, _) = self.question(query)?;
            let answer = self.lent.optional(question).await;
            if answer.is_ok() {
                self.stage = Stage::Open;
            }
            answer
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<SqliteStatement, sqlx::Error>>
    where
        't: 'e,
    {
        self.lent.connection.prepare_with(sql, parameters)
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'p: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        through_channel(async move |sender| {
            let mut lent = match self.lent().await {
                Ok(lent) => lent,
                // Nobody listens any more: nor does anybody want to know.
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            hand_over(lent.many(query), sender).await;
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<SqliteRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        async move { self.lent().await?.optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<SqliteStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        async move {
            self.lent()
                .await?
                .connection
                .prepare_with(sql, parameters)
                .await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
