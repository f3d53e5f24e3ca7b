//! A transaction begins, ends and is undone as it should; connections are lent and come back.

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
    let mut tx = pool.begin().await.unwrap();
    let _ = insert(&mut tx, 0).now_or_never();
    drop(tx);
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
    let mut tx = pool.begin_unsynced().await.unwrap();
    insert(&mut tx, 1).await;
    drop(tx);
    assert_eq!(synchronous(&pool).await, 2);
    let mut tx = pool.begin_unsynced().await.unwrap();
    insert(&mut tx, 2).await;
    drop(tx.commit().now_or_never());
    assert_eq!(synchronous(&pool).await, 2);
}

#[tokio::test]
async fn commits_are_synced_again_after_one_statement_that_was_not_however_it_ended() {
    let (pool, _folder) = pool(1).await;
    let insert = |n: i64| sqlx::query("INSERT INTO numbers VALUES ($1) RETURNING n").bind(n);
    let one = insert(1).fetch_one(pool.single_unsynced()).await.unwrap();
    assert_eq!(sqlx::Row::get::<i64, _>(&one, 0), 1);
    assert_eq!(synchronous(&pool).await, 2);
    let done = sqlx::query("UPDATE numbers SET n = n + 1")
        .execute(pool.single_unsynced())
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    assert_eq!(synchronous(&pool).await, 2);
    let wrong = sqlx::query("INSERT INTO numbers VALUES (NULL)");
    wrong.execute(pool.single_unsynced()).await.unwrap_err();
    assert_eq!(synchronous(&pool).await, 2);
    let _ = insert(3).fetch_one(pool.single_unsynced()).now_or_never();
    assert_eq!(synchronous(&pool).await, 2);
    // Whether it was written is not known to whoever went away.
    assert_eq!(numbers(&pool).await[0], 2);
}

/// The row comes first, then the commit.
#[tokio::test]
async fn a_statement_that_tells_a_row_and_is_not_committed_has_failed() {
    let (pool, _folder) = pool(1).await;
    for table in [
        "CREATE TABLE parents (id INTEGER PRIMARY KEY)",
        "CREATE TABLE children (of INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)",
    ] {
        sqlx::query(table).execute(pool.single()).await.unwrap();
    }
    let orphan = || sqlx::query_scalar::<_, i64>("INSERT INTO children VALUES (7) RETURNING of");
    for single in [pool.single(), pool.single_unsynced()] {
        let told = orphan().fetch_optional(single).await;
        assert!(told.unwrap_err().to_string().contains("FOREIGN KEY"));
    }
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM children")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!((left, synchronous(&pool).await), (0, 2));
}

#[tokio::test]
async fn a_transaction_nobody_asked_anything_holds_up_nobody() {
    let (pool, _folder) = pool(2).await;
    let tx = pool.begin().await.unwrap();
    let mut other = pool.begin().await.unwrap();
    insert(&mut other, 1).await;
    other.commit().await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(numbers(&pool).await, [1]);
}

#[tokio::test]
async fn a_first_question_holds_the_write_lock_though_it_only_reads() {
    let (pool, _folder) = pool(2).await;
    let mut tx = pool.begin().await.unwrap();
    let all: Vec<i64> = sqlx::query_scalar("SELECT n FROM numbers WHERE n > $1")
        .bind(0)
        .fetch_all(&mut *tx)
        .await
        .unwrap();
    assert!(all.is_empty());
    let mut other = pool.alone().await.unwrap();
    sqlx::query("PRAGMA busy_timeout = 1")
        .execute(&mut other)
        .await
        .unwrap();
    let refused = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await;
    assert!(refused.unwrap_err().to_string().contains("locked"));
    insert(&mut tx, 1).await;
    tx.commit().await.unwrap();
    assert_eq!(numbers(&pool).await, [1]);
}

#[tokio::test]
async fn a_first_question_tells_what_it_changed_and_not_what_was_before() {
    let (pool, _folder) = pool(2).await;
    let mut tx = pool.begin().await.unwrap();
    insert(&mut tx, 1).await;
    insert(&mut tx, 2).await;
    tx.commit().await.unwrap();
    let all = sqlx::query("UPDATE numbers SET n = n + 10");
    assert_eq!(all.execute(&pool).await.unwrap().rows_affected(), 2);
    for begun in [pool.begin().await, pool.begin_unsynced().await] {
        let none = sqlx::query("DELETE FROM numbers WHERE n < 10");
        let done = none.execute(&mut *begun.unwrap()).await.unwrap();
        assert_eq!(done.rows_affected(), 0);
    }
}

#[tokio::test]
async fn nothing_is_written_after_a_first_question_that_failed() {
    let (pool, _folder) = pool(1).await;
    let mut tx = pool.begin().await.unwrap();
    let wrong = sqlx::query("INSERT INTO numbers VALUES (NULL)");
    wrong.execute(&mut *tx).await.unwrap_err();
    let next = sqlx::query("INSERT INTO numbers VALUES (1)");
    next.execute(&mut *tx).await.unwrap_err();
    tx.commit().await.unwrap_err();
    assert!(numbers(&pool).await.is_empty());
    let mut tx = pool.begin().await.unwrap();
    insert(&mut tx, 2).await;
    tx.commit().await.unwrap();
    assert_eq!(numbers(&pool).await, [2]);
}

#[tokio::test]
async fn rows_come_as_a_stream_that_may_be_left() {
    let (pool, _folder) = pool(1).await;
    let mut tx = pool.begin().await.unwrap();
    for n in 0..1000 {
        insert(&mut tx, n).await;
    }
    tx.commit().await.unwrap();
    let mut rows = sqlx::query_scalar::<_, i64>("SELECT n FROM numbers ORDER BY n").fetch(&pool);
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
