//! The pools of either database, what differs between the two, and the one error of this crate.

use std::{future::ready, str::FromStr, time::Duration};

use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::mpsc;

use crate::{postgres, sqlite};

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
pub(crate) type Tx = Engine<sqlite::Tx, postgres::Tx>;

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
        write: sqlite::Pool,
        read: sqlite::Pool,
    },
    Postgres(postgres::Pool),
}

const BUSY: Duration = Duration::from_secs(5);
const SQLITE_READERS: usize = 4;

impl Db {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            Ok(Self::Postgres(postgres::Pool::open(url).await?))
        } else if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await
        } else {
            Err(Error::Unavailable(
                "database.url: must begin with sqlite:// or postgres://".into(),
            ))
        }
    }

    /// `synchronous = FULL`: a commit is on the disk when it returns, because after a power cut a dial
    /// intent that is gone would be dialled again. The call log commits with less, see there, and [`Db::begin_unsynced`].
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
        let write = sqlite::Pool::open(writer, 1).await?;
        let reader = options.pragma("query_only", "ON");
        let read = sqlite::Pool::open(reader, SQLITE_READERS).await?;
        Ok(Self::Sqlite { write, read })
    }

    /// For queries that change nothing.
    pub(crate) fn read(&self) -> Engine<&sqlite::Pool, &postgres::Pool> {
        match self {
            Self::Sqlite { read, .. } => Engine::Sqlite(read),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// For one statement that writes.
    pub(crate) fn write(&self) -> Engine<sqlite::Single<'_>, &postgres::Pool> {
        match self {
            Self::Sqlite { write, .. } => Engine::Sqlite(write.single()),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// For one statement that writes what [`Db::begin_unsynced`] is for.
    pub(crate) fn write_unsynced(&self) -> Engine<sqlite::Single<'_>, &postgres::Pool> {
        match self {
            Self::Sqlite { write, .. } => Engine::Sqlite(write.single_unsynced()),
            Self::Postgres(pool) => Engine::Postgres(pool),
        }
    }

    /// For several statements.
    pub(crate) async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => Engine::Sqlite(write.begin().await?),
            Self::Postgres(pool) => Engine::Postgres(pool.begin().await?),
        })
    }

    /// For what is nothing without the machine that did it, or is told once more: on SQLite a power cut may take it, as
    /// long as no other commit has followed. It survives the death of the process like any other.
    pub(crate) async fn begin_unsynced(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Sqlite { write, .. } => Engine::Sqlite(write.begin_unsynced().await?),
            Self::Postgres(pool) => Engine::Postgres(pool.begin().await?),
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

/// What `ask` tells, one thing at a time: what it asks with lives beside the stream, in the same task.
pub(crate) fn through_channel<'a, T, F>(ask: impl FnOnce(mpsc::Sender<T>) -> F) -> BoxStream<'a, T>
where
    T: Send + 'a,
    F: Future<Output = ()> + Send + 'a,
{
    let (sender, mut told) = mpsc::channel(1);
    let asking = stream::once(ask(sender)).filter_map(|()| ready(None));
    let told = stream::poll_fn(move |context| told.poll_recv(context));
    stream::select(told, asking).boxed()
}

/// Hands all of it over, as long as somebody listens.
pub(crate) async fn hand_over<T>(mut answers: impl Stream<Item = T> + Unpin, to: mpsc::Sender<T>) {
    while let Some(answer) = answers.next().await {
        if to.send(answer).await.is_err() {
            return;
        }
    }
}

/// PostgreSQL's TEXT holds no NUL; strangers' text (transcripts, carrier messages) may.
pub(crate) fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
