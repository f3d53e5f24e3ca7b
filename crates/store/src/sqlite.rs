//! SQLite's connections. Each has a thread of its own, so that a question costs two changes of threads. The driver's pool
//! asks a connection that comes back whether it still lives, and its transactions acknowledge every answer; here nobody
//! does, since a file does not fall silent. These threads were a third of what a call's begin costs.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    ConnectOptions, Connection, Either, Execute, Executor, SqlStr, Sqlite, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo},
};
use tokio::{
    sync::{Mutex, OwnedMappedMutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::db::{hand_over, through_channel};

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
    /// `None` = not open.
    connections: Vec<Arc<Mutex<Option<SqliteConnection>>>>,
}

/// One of them, until it is dropped. What was asked of it and is not waited for any more is done before what the next one
/// asks.
#[derive(Debug)]
pub(crate) struct Lent {
    connection: OwnedMappedMutexGuard<Option<SqliteConnection>, SqliteConnection>,
    pool: Pool,
    // Behind the connection: a permit is of one that nobody holds.
    _permit: OwnedSemaphorePermit,
}

/// A transaction; rolled back when dropped.
#[derive(Debug)]
pub(crate) struct Tx {
    lent: Lent,
    is_open: bool,
    /// Whether its commit is on the disk when it returns.
    is_synced: bool,
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

    /// A connection that is not the pool's, for what changes tables.
    pub(crate) async fn alone(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.0.options.connect().await
    }

    /// The write lock is taken at once: a transaction that reads first and then writes could be refused.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        self.begin_by("BEGIN IMMEDIATE", true).await
    }

    /// One whose commit survives the death of the process, but the machine's only once another commit is synced.
    pub(crate) async fn begin_unsynced(&self) -> Result<Tx, sqlx::Error> {
        self.begin_by("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE", false)
            .await
    }

    async fn begin_by(&self, sql: &'static str, is_synced: bool) -> Result<Tx, sqlx::Error> {
        let mut tx = Tx {
            lent: self.lent().await?,
            is_open: true,
            is_synced,
        };
        let begun = sqlx::query(sql).execute(&mut *tx).await;
        tx.lent.check(&begun).await?;
        begun?;
        Ok(tx)
    }

    async fn lent(&self) -> Result<Lent, sqlx::Error> {
        let permit = timeout(BUSY, self.0.free.clone().acquire_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?
            .map_err(|_| sqlx::Error::PoolClosed)?;
        let mut connection = (self.0.connections.iter())
            .find_map(|connection| connection.clone().try_lock_owned().ok())
            .ok_or(sqlx::Error::PoolTimedOut)?;
        if connection.is_none() {
            *connection = Some(self.alone().await?);
        }
        Ok(Lent {
            connection: OwnedMutexGuard::try_map(connection, Option::as_mut)
                .map_err(|_| sqlx::Error::PoolTimedOut)?,
            pool: self.clone(),
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
        for connection in &self.0.connections {
            if let Some(connection) = connection.lock().await.take()
                && let Err(error) = connection.close().await
            {
                tracing::warn!(%error, "a connection of the database did not close");
            }
        }
    }
}

impl Lent {
    /// Opens it anew when its thread has died.
    async fn check<T>(&mut self, answer: &Result<T, sqlx::Error>) -> Result<(), sqlx::Error> {
        if matches!(answer, Err(sqlx::Error::WorkerCrashed)) {
            tracing::error!("a thread of the database has died; its connection is opened anew");
            *self.connection = self.pool.alone().await?;
        }
        Ok(())
    }

    /// Asks without waiting: by its first step the question is on its way.
    fn leave(&mut self, sql: &'static str) {
        let _ = sqlx::query(sql)
            .execute(&mut *self.connection)
            .now_or_never();
    }
}

impl Tx {
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        let sql = if self.is_synced {
            "COMMIT"
        } else {
            "COMMIT; PRAGMA synchronous = FULL"
        };
        sqlx::query(sql).execute(&mut *self).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.is_open {
            // Fails where a commit was not waited for.
            self.lent.leave("ROLLBACK");
            if !self.is_synced {
                self.lent.leave("PRAGMA synchronous = FULL");
            }
        }
    }
}

impl Deref for Tx {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.lent.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.lent.connection
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<SqliteQueryResult, SqliteRow>, sqlx::Error>>
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
            hand_over(lent.connection.fetch_many(query), sender).await;
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
        async move {
            let mut lent = self.lent().await?;
            let answer = lent.connection.fetch_optional(query).await;
            lent.check(&answer).await?;
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::TryStreamExt;
    use tempfile::TempDir;

    use super::*;

    async fn pool(size: usize) -> (Pool, TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("test.db"))
            .create_if_missing(true);
        let pool = Pool::open(options, size).await.unwrap();
        let table = "CREATE TABLE numbers (n INTEGER NOT NULL)";
        sqlx::query(table).execute(&pool).await.unwrap();
        (pool, folder)
    }

    async fn insert(tx: &mut Tx, n: i64) {
        let insert = sqlx::query("INSERT INTO numbers VALUES ($1)").bind(n);
        insert.execute(&mut **tx).await.unwrap();
    }

    async fn numbers(pool: &Pool) -> Vec<i64> {
        let all = sqlx::query_scalar("SELECT n FROM numbers ORDER BY n");
        all.fetch_all(pool).await.unwrap()
    }

    async fn synchronous(pool: &Pool) -> i64 {
        let pragma = sqlx::query_scalar("PRAGMA synchronous");
        pragma.fetch_one(pool).await.unwrap()
    }

    #[tokio::test]
    async fn a_transaction_that_is_dropped_is_undone_before_anything_else() {
        let (pool, _folder) = pool(1).await;
        let mut tx = pool.begin().await.unwrap();
        insert(&mut tx, 1).await;
        drop(tx);
        assert!(numbers(&pool).await.is_empty());
        let mut tx = pool.begin().await.unwrap();
        insert(&mut tx, 2).await;
        tx.commit().await.unwrap();
        assert_eq!(numbers(&pool).await, [2]);
    }

    #[tokio::test]
    async fn whoever_goes_away_in_the_midst_of_a_begin_or_commit_leaves_a_connection_that_serves() {
        let (pool, _folder) = pool(1).await;
        // A quick thread may have answered by then.
        drop(pool.begin().now_or_never());
        let mut tx = pool.begin().await.unwrap();
        insert(&mut tx, 1).await;
        drop(tx.commit().now_or_never());
        // Whether it was committed is not known to whoever went away; to all others it was.
        assert_eq!(numbers(&pool).await, [1]);
        let mut tx = pool.begin().await.unwrap();
        insert(&mut tx, 2).await;
        tx.commit().await.unwrap();
        assert_eq!(numbers(&pool).await, [1, 2]);
    }

    #[tokio::test]
    async fn commits_are_synced_again_after_one_that_was_not_however_it_ended() {
        let (pool, _folder) = pool(1).await;
        assert_eq!(synchronous(&pool).await, 2);
        let mut tx = pool.begin_unsynced().await.unwrap();
        let within: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(&mut *tx)
            .await
            .unwrap();
        assert_eq!(within, 1);
        tx.commit().await.unwrap();
        assert_eq!(synchronous(&pool).await, 2);
        drop(pool.begin_unsynced().await.unwrap());
        assert_eq!(synchronous(&pool).await, 2);
        let tx = pool.begin_unsynced().await.unwrap();
        drop(tx.commit().now_or_never());
        assert_eq!(synchronous(&pool).await, 2);
    }

    #[tokio::test]
    async fn rows_come_as_a_stream_that_may_be_left() {
        let (pool, _folder) = pool(1).await;
        let mut tx = pool.begin().await.unwrap();
        for n in 0..1000 {
            insert(&mut tx, n).await;
        }
        tx.commit().await.unwrap();
        let mut rows =
            sqlx::query_scalar::<_, i64>("SELECT n FROM numbers ORDER BY n").fetch(&pool);
        assert_eq!(rows.try_next().await.unwrap(), Some(0));
        drop(rows);
        assert_eq!(numbers(&pool).await.len(), 1000);
    }

    #[tokio::test]
    async fn a_closed_pool_lends_nothing() {
        let (pool, _folder) = pool(2).await;
        pool.close().await;
        assert!(matches!(pool.begin().await, Err(sqlx::Error::PoolClosed)));
    }
}
