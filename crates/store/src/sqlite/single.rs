//! One statement that writes. The driver tells a row before the statement is committed and says nothing of a commit that
//! fails behind it.

use std::future::ready;

use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream::BoxStream};
use sqlx::{
    AssertSqlSafe, Either, Execute, Executor, SqlSafeStr, SqlStr, Sqlite, SqliteConnection,
    sqlite::{SqliteRow, SqliteStatement, SqliteTypeInfo},
};
use tokio::sync::mpsc;

use super::{Answer, Lent, Pool};
use crate::db::{hand_over, through_channel};

impl Pool {
    /// For one statement that writes.
    pub(crate) fn single(&self) -> Single<'_> {
        let is_synced = true;
        Single {
            pool: self,
            is_synced,
        }
    }

    /// For one whose commit survives the death of the process, but the machine's only once another commit is synced.
    pub(crate) fn single_unsynced(&self) -> Single<'_> {
        let is_synced = false;
        Single {
            pool: self,
            is_synced,
        }
    }
}

/// One statement, which is a transaction of its own. It is run to its end, where it is committed, though only its first row
/// is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Single<'p> {
    pool: &'p Pool,
    /// Whether it is on the disk when it returns.
    is_synced: bool,
}

/// A connection whose commits wait for no disk, until it is dropped.
struct Unsynced {
    lent: Lent,
    /// Answers of the statement and of those around it.
    done: usize,
}

impl Single<'_> {
    /// A connection that is not the pool's.
    pub(crate) async fn alone(&self) -> Result<SqliteConnection, sqlx::Error> {
        self.pool.alone().await
    }
}

impl Unsynced {
    /// Before, the statement, behind.
    const STATEMENTS: usize = 3;

    async fn ask<'q>(
        &mut self,
        mut query: impl Execute<'q, Sqlite> + 'q,
        sender: mpsc::Sender<Answer>,
    ) {
        let arguments = match query.take_arguments().map_err(sqlx::Error::Encode) {
            Ok(arguments) => arguments,
            // Nobody listens any more: nor does anybody want to know.
            Err(error) => return drop(sender.send(Err(error)).await),
        };
        let sql = AssertSqlSafe(format!(
            "PRAGMA synchronous = NORMAL; {}; PRAGMA synchronous = FULL",
            query.sql().as_str()
        ));
        let done = &mut self.done;
        let answers = self.lent.many((sql.into_sql_str(), arguments));
        let answers = answers.filter(|answer| {
            let is_of_statement = *done == 1 || answer.is_err();
            *done += usize::from(matches!(answer, Ok(Either::Left(_))));
            ready(is_of_statement)
        });
        hand_over(answers, sender).await;
    }
}

impl Drop for Unsynced {
    fn drop(&mut self) {
        if self.done < Self::STATEMENTS {
            self.lent.leave("PRAGMA synchronous = FULL");
        }
    }
}

impl<'p> Executor<'p> for Single<'p> {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(self, query: E) -> BoxStream<'e, Answer>
    where
        'p: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        through_channel(async move |sender| {
            let mut lent = match self.pool.lent().await {
                Ok(lent) => lent,
                Err(error) => return drop(sender.send(Err(error)).await),
            };
            if self.is_synced {
                return hand_over(lent.many(query), sender).await;
            }
            Unsynced { lent, done: 0 }.ask(query, sender).await;
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
            let mut first = None;
            let mut answers = self.fetch_many(query);
            while let Some(answer) = answers.try_next().await? {
                first = first.or(answer.right());
            }
            Ok(first)
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
        self.pool.prepare_with(sql, parameters)
    }
}
