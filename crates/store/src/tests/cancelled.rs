//! Whoever waits for the database may go away at any moment: a client that hangs up, a call that ends.

use std::sync::Mutex;

use futures_util::poll;
use rstest::rstest;
use tokio::task::yield_now;

use super::{Lab, NOW, On};
use crate::{
    db::Engine,
    postgres::{CONNECTIONS, Pool},
};

/// More than a transaction needs to begin.
const STEPS: usize = 200;

#[rstest]
#[tokio::test]
async fn a_begin_that_is_dropped_leaves_no_transaction_open(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    for steps in 0..STEPS {
        let mut begin = Box::pin(lab.store.db().begin());
        for _ in 0..steps {
            if poll!(&mut begin).is_ready() {
                break;
            }
            yield_now().await;
        }
    }
    // On a connection that was left within a transaction this would wait for nobody's commit.
    lab.store.create_account("after", "", NOW).await.unwrap();
    if let Engine::Postgres(pool) = lab.store.db().read() {
        nothing_is_left_open(pool).await;
    }
}

/// What a commit that is dropped has come to, nobody knows: a second word about it would have the server warn.
#[tokio::test]
async fn a_commit_that_is_dropped_is_not_rolled_back_behind_its_back() {
    let Some(lab) = Lab::on(On::Postgres).await else {
        return;
    };
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt().with_writer(Mutex::new(log.reopen().unwrap()));
    let _heard = tracing::subscriber::set_default(subscriber.finish());
    tracing::warn!("the log works");
    let db = lab.store.db();
    for steps in 0..STEPS {
        let mut commit = Box::pin(db.begin().await.unwrap().commit());
        for _ in 0..steps {
            if poll!(&mut commit).is_ready() {
                break;
            }
            yield_now().await;
        }
    }
    // All connections are back, so all is said and done.
    let mut all = Vec::new();
    for _ in 0..CONNECTIONS {
        all.push(db.begin().await.unwrap());
    }
    drop(all);
    if let Engine::Postgres(pool) = db.read() {
        nothing_is_left_open(pool).await;
    }
    let log = std::fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("the log works"));
    assert_eq!(log.lines().count(), 1, "{log}");
}

async fn nothing_is_left_open(pool: &Pool) {
    let mut left = i64::MAX;
    for _ in 0..1000 {
        left = sqlx::query_scalar(
            "SELECT COUNT(*) FROM pg_stat_activity
             WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
        )
        .fetch_one(pool)
        .await
        .unwrap();
        if left == 0 {
            break;
        }
    }
    assert_eq!(left, 0);
}
