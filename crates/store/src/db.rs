//! The pools of either database, what differs between the two, and the one error of this crate.

use std::{str::FromStr, time::Duration};

use sqlx::{
    Connection, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

/// What a caller of the store can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The row changed meanwhile or exists already: read again.
    #[error("conflict: {0}")]
    Conflict(&'static str),
    /// What is to be written is of an attempt that another has followed.
    #[error("another attempt of the call has begun")]
    Superseded,
    /// The call is not this node's any more: fall silent and leave it alone.
    #[error("another node has taken the call over")]
    TakenOver,
    /// No such row in this account.
    #[error("not found")]
    NotFound,
    /// The status does not allow it.
    #[error(transparent)]
    Illegal(#[from] bolo_execution::Illegal),
    /// The database or the object store failed: try later.
    #[error("{0}")]
    Unavailable(String),
    /// What is stored can't be read: a fault of ours.
    #[error("stored data is unreadable: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::NotFound,
            sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnNotFound(_) => Self::Corrupt(error.to_string()),
            _ => Self::Unavailable(format!("database: {error}")),
        }
    }
}

/// A unique violation becomes a conflict; SQLite names no constraint, so the insert that ran does.
pub(crate) fn or_conflict(error: sqlx::Error, what: &'static str) -> Error {
    match &error {
        sqlx::Error::Database(inner) if inner.is_unique_violation() => Error::Conflict(what),
        _ => error.into(),
    }
}

/// One of the two databases' version of something.
pub(crate) enum Engine<S, P> {
    Sqlite(S),
    Postgres(P),
}

/// One query for both databases: the body is expanded once for each, so that every bind is checked
/// against both drivers' types.
macro_rules! on {
    ($engine:expr, |$handle:ident| $body:expr) => {
        match $engine {
            $crate::db::Engine::Sqlite($handle) => $body,
            $crate::db::Engine::Postgres($handle) => $body,
        }
    };
}
pub(crate) use on;

/// A transaction that may write.
pub(crate) type Tx = Engine<Transaction<'static, Sqlite>, Transaction<'static, Postgres>>;

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), Error> {
        Ok(on!(self, |tx| tx.commit().await)?)
    }

    /// Row locks, where there is more than one writer.
    pub(crate) fn lock(&self, clause: &'static str) -> &'static str {
        match self {
            Engine::Sqlite(_) => "",
            Engine::Postgres(_) => clause,
        }
    }

    /// A subquery of the texts of a JSON array, which `parameter` (`$1`) holds.
    pub(crate) fn texts_of(&self, parameter: &str) -> String {
        match self {
            Engine::Sqlite(_) => format!("(SELECT value FROM json_each({parameter}))"),
            Engine::Postgres(_) => {
                format!("(SELECT json_array_elements_text({parameter}::json))")
            }
        }
    }
}

/// Either database.
pub(crate) enum Db {
    /// One connection writes, since SQLite has one writer; the others read what is committed.
    Sqlite {
        write: SqlitePool,
        read: SqlitePool,
    },
    Postgres(PgPool),
}

const BUSY: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is asked whether it still lives.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 16;

impl Db {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Self::open_postgres(url).await
        } else if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await
        } else {
            Err(Error::Unavailable(
                "database.url: must begin with sqlite:// or postgres://".into(),
            ))
        }
    }

    async fn open_postgres(url: &str) -> Result<Self, Error> {
        // The driver's message may show the URL, and that the password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Unavailable("database.url: not a PostgreSQL address".into()))?
            .application_name("bolo");
        let pool = PgPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(BUSY)
            // A question to the server before each query would double its time; after a pause the
            // server may have been restarted.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(
                    async move { Ok(meta.idle_for < ASK_AGAIN || connection.ping().await.is_ok()) },
                )
            })
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// `synchronous = FULL`: a commit is on the disk when it returns, because after a power cut a dial
    /// intent that is gone would be dialled again. Only the call log commits with less, see there.
    async fn open_sqlite(url: &str) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(url)
            .map_err(|error| Error::Unavailable(format!("database.url: {error}")))?
            .busy_timeout(BUSY)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full);
        let file = options.get_filename();
        if url.contains(":memory:") || url.contains("mode=memory") || file.as_os_str().is_empty() {
            return Err(Error::Unavailable(
                "database.url: SQLite needs a file, not memory".into(),
            ));
        }
        if let Some(folder) = file.parent() {
            tokio::fs::create_dir_all(folder).await.map_err(|error| {
                Error::Unavailable(format!("database.url: {}: {error}", folder.display()))
            })?;
        }
        let writer = options
            .clone()
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let write = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .acquire_timeout(BUSY * 2)
            .connect_with(writer)
            .await?;
        let read = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .test_before_acquire(false)
            .acquire_timeout(BUSY * 2)
            .connect_with(options.pragma("query_only", "ON"))
            .await?;
        Ok(Self::Sqlite { write, read })
    }

    /// For queries that change nothing.
    pub(crate) fn read(&self) -> Engine<&SqlitePool, &PgPool> {
        match self {
            Self::Sqlite { read, .. } => Engine::Sqlite(read),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// For one statement that writes.
    pub(crate) fn write(&self) -> Engine<&SqlitePool, &PgPool> {
        match self {
            Self::Sqlite { write, .. } => Engine::Sqlite(write),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// For several statements. On SQLite the write lock is taken at once: a transaction that reads
    /// first and then writes could be refused.
    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => {
                Engine::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?)
            }
            Self::Postgres(pool) => Engine::Postgres(begin_postgres(pool).await?),
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// In a task of its own, for whoever waits may go away at any moment: a `begin` of sqlx 0.9 that is dropped half-way
/// leaves its connection in the pool within a transaction, in which others then write what nobody commits. In a
/// task it ends, and is rolled back.
pub(crate) async fn begin_postgres(pool: &PgPool) -> Result<Transaction<'static, Postgres>, Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await }).await;
    Ok(begun.map_err(|error| Error::Unavailable(format!("database: {error}")))??)
}

/// PostgreSQL's TEXT holds no NUL; strangers' text (transcripts, carrier messages) may.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
