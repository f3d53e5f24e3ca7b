//! PostgreSQL over a network that may fall silent without a word: a socket waits for an answer for a quarter of an hour,
//! or for ever. Here a statement that is not answered in time has failed, and its connection is never used again; nor
//! is one that does not go back into the pool in time.

use std::{
    future::{Future, ready},
    io,
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use futures_util::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Connection, Either, Execute, Executor, PgConnection, PgPool, Postgres, SqlStr,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo},
};
use tokio::time::timeout;

use crate::{
    Error,
    db::{hand_over, through_channel},
};

pub(crate) const CONNECTIONS: u32 = 16;
/// How long a free connection is waited for, and how long one may take to go back.
pub(crate) const BUSY: Duration = Duration::from_secs(5);
/// A connection that lay idle for longer is asked whether it still lives, and has so long to say so.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const AT_ONCE: Duration = Duration::from_secs(1);
/// A statement may take so long, and the next of its rows too: one that reads much, or waits for a lock, is no silence.
pub(crate) const SILENT: Duration = Duration::from_secs(30);
/// Whoever falls silent within a transaction holds its locks no longer than this.
const LOCKS: &str = "SET idle_in_transaction_session_timeout = '10s'";

/// Its connections. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool(PgPool);

/// One of them, until it goes back.
#[derive(Debug)]
pub(crate) struct Lent {
    /// `None` once it has gone back.
    connection: Option<PoolConnection<Postgres>>,
    is_silent: bool,
}

/// A transaction; rolled back when dropped.
#[derive(Debug)]
pub(crate) struct Tx {
    lent: Lent,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Open,
    /// Until the server has answered, nobody knows what came of it.
    Committing,
    Over,
}

impl Pool {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        // The driver's message may show the URL, and that the password.
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| Error::Unavailable("database.url: not a PostgreSQL address".into()))?
            .application_name("bolo");
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(LOCKS).await.map(drop) })
            })
            // A question to the server before each query would double its time; after a pause the
            // server may have been restarted.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    Ok(meta.idle_for < ASK_AGAIN
                        || in_time(AT_ONCE, connection.ping()).await.is_ok())
                })
            })
            .connect_with(options)
            .await?;
        Ok(Self(pool))
    }

    /// A connection that waits for ever, for what changes tables or reads a whole one.
    pub(crate) async fn alone(&self) -> Result<PgConnection, sqlx::Error> {
        Ok(self.0.acquire().await?.detach())
    }

    /// Whoever waits for it may go away at any moment: what has begun by then is rolled back.
    pub(crate) async fn begin(&self) -> Result<Tx, sqlx::Error> {
        let mut tx = Tx {
            lent: self.lent().await?,
            stage: Stage::Open,
        };
        tx.execute("BEGIN").await?;
        Ok(tx)
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }

    async fn lent(&self) -> Result<Lent, sqlx::Error> {
        Ok(Lent {
            connection: Some(self.0.acquire().await?),
            is_silent: false,
        })
    }
}

impl Lent {
    fn open(&mut self) -> Result<(&mut PgConnection, &mut bool), sqlx::Error> {
        match &mut self.connection {
            Some(connection) if !self.is_silent => Ok((connection, &mut self.is_silent)),
            _ => Err(silence()),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        if self.is_silent {
            drop(connection.detach());
        } else {
            // It is asked whether it still lives. Ends by itself, as the pool's own way of taking it back need not.
            tokio::spawn(timeout(BUSY, connection.return_to_pool()));
        }
    }
}

impl Tx {
    pub(crate) async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.stage = Stage::Committing;
        self.execute("COMMIT").await?;
        self.stage = Stage::Over;
        Ok(())
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        // Each ends by itself.
        match self.stage {
            Stage::Over => {}
            // A second word about it the server would warn of; with its connection it closes what is still open.
            Stage::Committing => {
                if let Some(connection) = self.lent.connection.take() {
                    tokio::spawn(in_time(BUSY, connection.close()));
                }
            }
            Stage::Open => {
                let mut lent = Lent {
                    connection: self.lent.connection.take(),
                    is_silent: self.lent.is_silent,
                };
                tokio::spawn(async move {
                    let undone = in_time(BUSY, lent.execute("ROLLBACK")).await;
                    if undone.is_err() {
                        drop(lent.connection.take().map(PoolConnection::detach));
                    }
                });
            }
        }
    }
}

impl Deref for Tx {
    type Target = Lent;

    fn deref(&self) -> &Lent {
        &self.lent
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Lent {
        &mut self.lent
    }
}

fn silence() -> sqlx::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer").into()
}

async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    timeout(limit, answer)
        .await
        .unwrap_or_else(|_| Err(silence()))
}

type Answer = Result<Either<PgQueryResult, PgRow>, sqlx::Error>;

impl<'c> Executor<'c> for &'c mut Lent {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let (connection, is_silent) = match self.open() {
            Ok(open) => open,
            Err(error) => return stream::once(ready(Err(error))).boxed(),
        };
        let state = Some((connection.fetch_many(query), is_silent));
        stream::unfold(state, async |state| {
            let (mut answers, is_silent) = state?;
            match timeout(SILENT, answers.next()).await {
                Ok(answer) => Some((answer?, Some((answers, is_silent)))),
                Err(_) => {
                    *is_silent = true;
                    Some((Err(silence()), None))
                }
            }
        })
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move {
            let (connection, is_silent) = self.open()?;
            let answer = timeout(SILENT, connection.fetch_optional(query)).await;
            *is_silent = answer.is_err();
            answer.unwrap_or_else(|_| Err(silence()))
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        async move {
            let (connection, is_silent) = self.open()?;
            let answer = timeout(SILENT, connection.prepare_with(sql, parameters)).await;
            *is_silent = answer.is_err();
            answer.unwrap_or_else(|_| Err(silence()))
        }
        .boxed()
    }
}

impl<'p> Executor<'p> for &'p Pool {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        through_channel(async move |sender| {
            let mut lent = match self.lent().await {
                Ok(lent) => lent,
                // Nobody listens any more: nor does anybody want to know.
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            hand_over(lent.fetch_many(query), sender).await;
        })
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<PgRow>, sqlx::Error>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        async move { self.lent().await?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, Result<PgStatement, sqlx::Error>>
    where
        'p: 'e,
    {
        async move { self.lent().await?.prepare_with(sql, parameters).await }.boxed()
    }
}
