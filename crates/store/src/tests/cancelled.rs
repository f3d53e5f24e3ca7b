//! Whoever waits for the database may go away at any moment: a client that hangs up, a call that ends.

use futures_util::poll;
use rstest::rstest;
use tokio::task::yield_now;

use super::{Lab, NOW, On};
use crate::db::Engine;

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
    let Engine::Postgres(pool) = lab.store.db().read() else {
        return;
    };
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
