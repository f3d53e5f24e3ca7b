//! Batches that are paused, by hand or by themselves.

use bolo_execution::{Change, Cost, ExecutionId};
use rstest::rstest;

use super::{Lab, NOW, On, tenant};
use crate::{BatchGuard, Error, Facts, GuardRules, db::on};

const BATCH: &str = "0190a8f8000070008000000000000001";

/// Calls of the batch, due now.
async fn calls(lab: &Lab, count: usize) {
    lab.store
        .set_account("default", Some(1000), None)
        .await
        .unwrap();
    for _ in 0..count {
        let id = lab.create(lab.call()).await.id;
        on!(lab.store.db().write(), |pool| {
            sqlx::query("UPDATE executions SET batch = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(BATCH)
                .execute(pool)
                .await
                .map(|_| ())
        })
        .unwrap();
    }
}

async fn claim(lab: &Lab) -> Option<ExecutionId> {
    let claimed = lab.store.claim_due(NOW, 30_000, 1).await.unwrap();
    claimed.first().map(|claimed| claimed.record.id)
}

async fn ends(lab: &Lab, change: Change) {
    let id = claim(lab).await.unwrap();
    lab.store
        .change(id, change, Facts::default(), NOW + 1)
        .await
        .unwrap();
}

async fn guard(lab: &Lab) -> BatchGuard {
    lab.store.batch_guard(lab.account, BATCH).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_paused_batch_is_not_dialled_and_goes_on_where_it_was(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    calls(&lab, 3).await;
    assert!(claim(&lab).await.is_some());
    let paused = lab
        .store
        .pause_batch(lab.account, BATCH, NOW + 5)
        .await
        .unwrap();
    assert_eq!(
        (paused.paused_at, paused.paused_for.as_deref()),
        (Some(NOW + 5), Some("request"))
    );
    assert_eq!(claim(&lab).await, None);
    // Single calls of the account go on.
    let single = lab.create(lab.call()).await.id;
    assert_eq!(claim(&lab).await, Some(single));
    lab.store.resume_batch(lab.account, BATCH).await.unwrap();
    assert!(claim(&lab).await.is_some());
    let (other, _) = tenant(&lab.store, "other").await;
    let foreign = lab.store.pause_batch(other, BATCH, NOW).await;
    assert!(matches!(foreign, Err(Error::NotFound)), "{foreign:?}");
}

#[rstest]
#[tokio::test]
async fn a_batch_that_nobody_answers_pauses_itself(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    calls(&lab, 20).await;
    let rules = GuardRules {
        min_answer_rate: Some(0.3),
        over_calls: 5,
        max_cost: None,
    };
    lab.store
        .guard_batch(lab.account, BATCH, rules)
        .await
        .unwrap();
    // Four without an answer are no five.
    for change in [
        Change::Busy,
        Change::NoAnswer,
        Change::CarrierFailed,
        Change::Busy,
    ] {
        ends(&lab, change).await;
    }
    assert_eq!(guard(&lab).await.paused_at, None);
    // One in five is too few.
    ends(&lab, Change::Answered).await;
    let paused = guard(&lab).await;
    assert_eq!(
        (paused.paused_for.as_deref(), paused.dialled),
        (Some("answer-rate"), 5)
    );
    assert!((paused.answer_rate.unwrap() - 0.2).abs() < 1e-9);
    assert_eq!(claim(&lab).await, None);
    // Resumed, it has five calls to do better.
    let resumed = lab.store.resume_batch(lab.account, BATCH).await.unwrap();
    assert_eq!(
        (resumed.paused_at, resumed.answer_rate, resumed.dialled),
        (None, None, 0)
    );
    for _ in 0..5 {
        ends(&lab, Change::Answered).await;
    }
    assert_eq!(guard(&lab).await.paused_at, None);
    // And the last ones count more than the first.
    for _ in 0..6 {
        assert_eq!(guard(&lab).await.paused_at, None);
        ends(&lab, Change::NoAnswer).await;
    }
    assert!(guard(&lab).await.paused_at.is_some());
}

#[rstest]
#[tokio::test]
async fn a_batch_that_has_cost_what_it_may_pauses_itself(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    calls(&lab, 5).await;
    let costs = async |cents: f64| {
        let id = claim(&lab).await.unwrap();
        let cost = Cost {
            network: cents,
            ..Cost::default()
        };
        let facts = Facts {
            cost: Some(cost),
            ..Facts::default()
        };
        lab.store
            .change(id, Change::Busy, facts, NOW + 1)
            .await
            .unwrap();
    };
    // What was spent before somebody set a limit counts.
    costs(4.0).await;
    let rules = |most| GuardRules {
        min_answer_rate: None,
        over_calls: 50,
        max_cost: Some(most),
    };
    let set = lab
        .store
        .guard_batch(lab.account, BATCH, rules(10.0))
        .await
        .unwrap();
    assert_eq!((set.cost, set.paused_at), (4.0, None));
    costs(5.9).await;
    assert_eq!(guard(&lab).await.paused_at, None);
    costs(0.2).await;
    let paused = guard(&lab).await;
    assert_eq!(paused.paused_for.as_deref(), Some("cost"));
    assert_eq!(claim(&lab).await, None);
    // More has to be allowed first.
    let still = lab.store.resume_batch(lab.account, BATCH).await.unwrap();
    assert!(still.paused_at.is_some());
    lab.store
        .guard_batch(lab.account, BATCH, rules(20.0))
        .await
        .unwrap();
    let resumed = lab.store.resume_batch(lab.account, BATCH).await.unwrap();
    assert_eq!(resumed.paused_at, None);
    assert!(claim(&lab).await.is_some());
}
