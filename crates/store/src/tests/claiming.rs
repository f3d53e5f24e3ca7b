//! Whose turn it is: fair between accounts, single calls first, and within the limits.

use std::collections::{BTreeMap, BTreeSet};

use bolo_execution::{AccountId, AgentId, ExecutionId, Status};
use rstest::rstest;

use super::{Lab, NOW, On, call, every_status, tenant};
use crate::{Limit, LimitOf, NewExecution, Store, db::on};

const LEASE: i64 = 30_000;

async fn lines(store: &Store, account: &str, count: i64) {
    store.set_account(account, Some(count), None).await.unwrap();
}

/// Makes calls of a batch; they fell due long before any other.
async fn batch(lab: &Lab, new: NewExecution, batch: &str, count: usize) -> BTreeSet<ExecutionId> {
    let mut ids = BTreeSet::new();
    for _ in 0..count {
        let new = NewExecution {
            status: Status::Scheduled,
            due_at: NOW - 3_600_000,
            ..new.clone()
        };
        let id = lab.create(new).await.id;
        on!(lab.store.db().write(), |pool| {
            sqlx::query("UPDATE executions SET batch = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(format!("{batch:0>32}"))
                .execute(pool)
                .await
                .map(|_| ())
        })
        .unwrap();
        ids.insert(id);
    }
    ids
}

/// Claims one call at a time, as a worker does that places one a second.
async fn one(lab: &Lab) -> Option<ExecutionId> {
    let claimed = lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
    assert!(claimed.len() < 2);
    claimed.first().map(|claimed| claimed.record.id)
}

async fn place(lab: &Lab, account: AccountId, agent: AgentId, from: &str) -> ExecutionId {
    let new = NewExecution {
        from: from.into(),
        ..call(account, agent)
    };
    lab.create(new).await.id
}

#[rstest]
#[tokio::test]
async fn a_large_batch_holds_up_no_other_account(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    batch(&lab, lab.call(), "b1", 40).await;
    let mut others = BTreeSet::new();
    for name in ["second", "third"] {
        let (account, agent) = tenant(&lab.store, name).await;
        for _ in 0..3 {
            others.insert(lab.create(call(account, agent)).await.id);
        }
    }
    // Each of three accounts has a third of the turns.
    let mut seen = 0;
    for _ in 0..6 {
        seen += usize::from(others.contains(&one(&lab).await.unwrap()));
    }
    assert_eq!(seen, 4);
    // And what one does not use another gets.
    let rest = lab.store.claim_due(NOW, LEASE, 1000).await.unwrap();
    assert_eq!(rest.len(), 40 + 6 - 6);
}

#[rstest]
#[tokio::test]
async fn a_single_call_goes_before_a_batch_of_the_same_account(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    let calls = batch(&lab, lab.call(), "b1", 20).await;
    assert!(calls.contains(&one(&lab).await.unwrap()));
    let single = lab.create(lab.call()).await.id;
    assert_eq!(one(&lab).await, Some(single));
    assert!(calls.contains(&one(&lab).await.unwrap()));
    // Also one that was scheduled for this time.
    let mut later = lab.call();
    (later.status, later.due_at) = (Status::Scheduled, NOW);
    let later = lab.create(later).await.id;
    assert_eq!(one(&lab).await, Some(later));
}

#[rstest]
#[tokio::test]
async fn batches_of_an_account_take_turns(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    let first = batch(&lab, lab.call(), "b1", 30).await;
    let second = batch(&lab, lab.call(), "b2", 10).await;
    let (mut of_first, mut of_second) = (0, 0);
    for _ in 0..10 {
        let id = one(&lab).await.unwrap();
        of_first += usize::from(first.contains(&id));
        of_second += usize::from(second.contains(&id));
    }
    assert_eq!((of_first, of_second), (5, 5));
    let claimed = lab.store.claim_due(NOW, LEASE, 8).await.unwrap();
    let of_second = claimed.iter().filter(|one| second.contains(&one.record.id));
    assert_eq!((claimed.len(), of_second.count()), (8, 4));
}

#[rstest]
#[tokio::test]
async fn calls_of_a_batch_are_told_to_be_queued_when_they_are_claimed(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut new = lab.call();
    new.webhook = every_status();
    batch(&lab, new, "b1", 1).await;
    let claimed = lab.store.claim_due(NOW, LEASE, 5).await.unwrap();
    assert_eq!(claimed[0].record.status, Status::Queued);
    let told: Vec<(String, i64)> = on!(lab.store.db().read(), |pool| {
        sqlx::query_as("SELECT status, sequence FROM webhooks ORDER BY sequence")
            .fetch_all(pool)
            .await
    })
    .unwrap();
    assert_eq!(
        told,
        [("scheduled".to_owned(), 1), ("queued".to_owned(), 2)]
    );
    assert_eq!(lab.store.live_calls(lab.account).await.unwrap(), 1);
}

#[rstest]
#[tokio::test]
async fn an_agent_a_number_and_a_carrier_hold_no_more_calls_than_they_may(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    let second = lab
        .store
        .create_agent(lab.account, &serde_json::json!({}), NOW)
        .await
        .unwrap()
        .id;
    let limit = async |of, calls| {
        let limit = Limit {
            of,
            calls: Some(calls),
            per_second: None,
        };
        lab.store.set_limit(lab.account, &limit).await.unwrap();
    };
    limit(LimitOf::Agent(lab.agent.to_string()), 5).await;
    limit(LimitOf::Number("+15550001".into()), 2).await;
    limit(LimitOf::Carrier("twilio".into()), 9).await;
    let mut calls = BTreeMap::new();
    for n in 0..30 {
        let from = ["+15550001", "+15550002", ""][n % 3];
        let agent = if n % 2 == 0 { lab.agent } else { second };
        calls.insert(place(&lab, lab.account, agent, from).await, (agent, from));
    }
    // Two nodes at once.
    let other = lab.node("node-2").await;
    let (here, there) = tokio::join!(
        lab.store.claim_due(NOW, LEASE, 100),
        other.claim_due(NOW, LEASE, 100)
    );
    let claimed: Vec<_> = [here.unwrap(), there.unwrap()].concat();
    let of = |wanted: &dyn Fn(&(AgentId, &str)) -> bool| {
        claimed
            .iter()
            .filter(|one| wanted(&calls[&one.record.id]))
            .count()
    };
    assert_eq!(claimed.len(), 9);
    assert!(of(&|call| call.0 == lab.agent) <= 5);
    assert!(of(&|call| call.1 == "+15550001") <= 2);
    assert!(of(&|call| call.0 == second) >= 4, "others use what is left");
    // A call that ends makes room for one.
    let id = claimed[0].record.id;
    let change = bolo_execution::Change::Busy;
    lab.store
        .change(id, change, crate::Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.claim_due(NOW, LEASE, 100).await.unwrap().len(), 1);
    // And without the limits all go.
    for limit in lab.store.limits(lab.account).await.unwrap() {
        let none = Limit {
            calls: None,
            ..limit
        };
        lab.store.set_limit(lab.account, &none).await.unwrap();
    }
    assert_eq!(
        lab.store.claim_due(NOW, LEASE, 100).await.unwrap().len(),
        20
    );
}

#[rstest]
#[case(2.0, 10)]
#[case(50.0, 2)]
#[case(0.5, 20)]
#[tokio::test]
async fn calls_a_second_hold_for_all_nodes_together(
    #[values(On::Sqlite, On::Postgres)] on: On,
    #[case] per_second: f64,
    #[case] seconds: i64,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    let limit = Limit {
        of: LimitOf::Number(String::new()),
        calls: None,
        per_second: Some(per_second),
    };
    lab.store.set_limit(lab.account, &limit).await.unwrap();
    // At the start a tenth of a second's worth may go at once.
    let at_once = (per_second / 10.0).max(1.0) as usize - 1;
    let expected = (per_second * seconds as f64) as usize + at_once;
    for _ in 0..expected + 5 {
        place(&lab, lab.account, lab.agent, "").await;
    }
    let other = lab.node("node-2").await;
    let (mut placed, mut now, mut turn) = (0, NOW, 0);
    while now < NOW + seconds * 1000 {
        let store = if turn % 2 == 0 { &lab.store } else { &other };
        placed += store.claim_due(now, LEASE, 100).await.unwrap().len();
        let next = store.next_due(now).await.unwrap();
        // A worker comes by when it may, or a second later.
        now = next.map_or(now + 1000, |next| next.min(now + 1000));
        turn += 1;
    }
    assert_eq!(placed, expected);
}

/// Claims at `now` at this node and that one in turn until there is nothing more to be had; how many each claim got.
async fn claim_all(nodes: &[&Store], now: i64) -> Vec<usize> {
    let mut got = Vec::new();
    for node in nodes.iter().cycle() {
        match node.claim_due(now, LEASE, 64).await.unwrap().len() {
            0 => break,
            count => got.push(count),
        }
    }
    got
}

async fn end(lab: &Lab, sql: &'static str) {
    on!(lab.store.db().write(), |pool| sqlx::query(sql)
        .execute(pool)
        .await
        .map(|_| ()))
    .unwrap();
}

#[rstest]
#[tokio::test]
async fn thousands_of_lines_are_not_counted_with_each_claim_and_no_more_are_held(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let other = lab.node("node-2").await;
    let nodes = [&lab.store, &other];
    lines(&lab.store, "default", 1000).await;
    for _ in 0..1100 {
        lab.create(lab.call()).await;
    }
    let remembered = async || -> (i64, i64) {
        on!(lab.store.db().read(), |pool| sqlx::query_as(
            "SELECT lines_at_most, lines_counted_at FROM accounts WHERE lines_counted_at > 0"
        )
        .fetch_one(pool)
        .await)
        .unwrap()
    };
    for claim in 1..=4 {
        lab.store.claim_due(NOW, LEASE, 64).await.unwrap();
        assert_eq!(remembered().await, (claim * 64, NOW));
    }
    // Calls that ended count until the next count, a second later.
    end(&lab, "UPDATE executions SET status = 'completed', claimed_by = NULL WHERE claimed_by IS NOT NULL").await;
    other.claim_due(NOW + 500, LEASE, 64).await.unwrap();
    assert_eq!(remembered().await, (5 * 64, NOW));
    other.claim_due(NOW + 1000, LEASE, 64).await.unwrap();
    assert_eq!(remembered().await, (2 * 64, NOW + 1000));
    // To the last line, and none beyond it.
    for _ in 0..256 {
        lab.create(lab.call()).await;
    }
    let more: usize = claim_all(&nodes, NOW + 1000).await.iter().sum();
    assert_eq!(more, 1000 - 2 * 64);
    // Nor is one that is free overlooked for what is remembered.
    end(
        &lab,
        "UPDATE executions SET status = 'completed', claimed_by = NULL WHERE id IN
        (SELECT id FROM executions WHERE claimed_by IS NOT NULL ORDER BY id LIMIT 600)",
    )
    .await;
    let again = claim_all(&nodes, NOW + 1000).await;
    assert_eq!(again, [64, 36]);
}

#[rstest]
#[tokio::test]
async fn an_account_that_gets_fewer_lines_has_them_counted(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lines(&lab.store, "default", 1000).await;
    for _ in 0..500 {
        lab.create(lab.call()).await;
    }
    let taken = lab.store.claim_due(NOW, LEASE, 490).await.unwrap().len();
    assert_eq!(taken, 490);
    lines(&lab.store, "default", 490).await;
    assert!(claim_all(&[&lab.store], NOW).await.is_empty());
    lines(&lab.store, "default", 495).await;
    assert_eq!(claim_all(&[&lab.store], NOW).await, [5]);
}
