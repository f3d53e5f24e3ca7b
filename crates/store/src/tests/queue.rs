//! The dial queue: claimed once, dialled at most once.

use std::collections::BTreeSet;

use bolo_execution::{Change, Status};
use rstest::rstest;

use super::{Lab, NOW, On, call, every_status, inbound, tenant};
use crate::{Error, Facts, Work};

const LEASE: i64 = 30_000;

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_claimers_take_two_hundred_rows_once_each(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.store
        .set_account("default", Some(1000), None)
        .await
        .unwrap();
    let mut wanted = BTreeSet::new();
    for n in 0..200 {
        let mut new = lab.call();
        new.status = if n % 2 == 0 {
            Status::Queued
        } else {
            Status::Scheduled
        };
        wanted.insert(lab.create(new).await.id);
    }
    let other = lab.node("node-2").await;
    let claimers = (0..8).map(|n| {
        let store = if n % 2 == 0 {
            lab.store.clone()
        } else {
            other.clone()
        };
        tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let claimed = store.claim_due(NOW, LEASE, 7).await.unwrap();
                if claimed.is_empty() && store.next_due(NOW).await.unwrap().is_none() {
                    return mine;
                }
                mine.extend(claimed.into_iter().map(|claimed| claimed.record.id));
            }
        })
    });
    let mut taken = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        taken.extend(claimer.await.unwrap());
    }
    assert_eq!(taken.len(), 200);
    assert_eq!(taken.into_iter().collect::<BTreeSet<_>>(), wanted);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_account_gets_more_lines_than_it_has(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.store
        .set_account("default", Some(5), None)
        .await
        .unwrap();
    for _ in 0..20 {
        lab.create(lab.call()).await;
    }
    let (other, its_agent) = tenant(&lab.store, "other").await;
    lab.create(call(other, its_agent)).await;
    lab.create(inbound(lab.account, lab.agent, "CA0")).await;
    let claimers = (0..8).map(|_| {
        let store = lab.store.clone();
        tokio::spawn(async move { store.claim_due(NOW, LEASE, 4).await.unwrap() })
    });
    let mut claimed = Vec::new();
    for claimer in claimers.collect::<Vec<_>>() {
        claimed.extend(claimer.await.unwrap());
    }
    let mine: Vec<_> = claimed
        .iter()
        .filter(|claimed| claimed.record.account == lab.account)
        .collect();
    assert_eq!((mine.len(), claimed.len()), (5, 6));
    assert_eq!(lab.store.live_calls(lab.account).await.unwrap(), 5);
    assert_eq!(lab.store.next_due(NOW).await.unwrap(), None);

    let id = mine[0].record.id;
    lab.store
        .change(id, Change::CarrierAccepted, Facts::default(), NOW)
        .await
        .unwrap();
    assert!(lab.store.claim_due(NOW, LEASE, 4).await.unwrap().is_empty());
    lab.store
        .change(id, Change::NoAnswer, Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.claim_due(NOW, LEASE, 4).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn only_what_is_due_is_claimed_oldest_first(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    assert_eq!(lab.store.next_due(NOW).await.unwrap(), None);
    let due = async |status, due_at| {
        let mut new = lab.call();
        (new.status, new.due_at, new.webhook) = (status, due_at, every_status());
        lab.create(new).await.id
    };
    let later = due(Status::Scheduled, NOW + 1000).await;
    let second = due(Status::Scheduled, NOW - 1).await;
    let first = due(Status::Queued, NOW - 2).await;
    assert_eq!(lab.store.next_due(NOW - 2).await.unwrap(), Some(NOW - 1));
    let claimed = lab.store.claim_due(NOW, LEASE, 10).await.unwrap();
    assert_eq!(
        claimed
            .iter()
            .map(|claimed| claimed.record.id)
            .collect::<Vec<_>>(),
        [first, second]
    );
    assert!(
        claimed
            .iter()
            .all(|claimed| claimed.record.status == Status::Queued)
    );
    assert_eq!(lab.store.next_due(NOW).await.unwrap(), Some(NOW + 1000));
    assert_eq!(
        lab.store.claim_due(NOW + 1000, LEASE, 10).await.unwrap()[0]
            .record
            .id,
        later
    );
    let told: Vec<String> = crate::db::on!(lab.store.db().read(), |pool| {
        sqlx::query_scalar("SELECT status FROM webhooks WHERE execution_id = $1 ORDER BY sequence")
            .bind(second.to_string())
            .fetch_all(pool)
            .await
    })
    .unwrap();
    assert_eq!(told, ["scheduled", "queued"]);
    assert!(
        lab.store
            .claim_due(NOW + 1000, LEASE, 0)
            .await
            .unwrap()
            .is_empty()
    );
}

#[rstest]
#[tokio::test]
async fn an_intent_that_nobody_answered_is_taken_back_and_no_other(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let (store, other) = (&lab.store, lab.node("node-2").await);
    let conflict = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}")
    };
    store.claim_due(NOW, LEASE, 1).await.unwrap();
    let intend = async |since| store.intend_dial(id, "+15550001", since).await.unwrap();
    assert_eq!(intend(NOW).await, 1);
    // Of another dial, or by another node.
    conflict(store.withdraw_dial(id, NOW - 1, NOW, NOW).await);
    conflict(other.withdraw_dial(id, NOW, NOW, NOW).await);
    store.withdraw_dial(id, NOW, NOW + 5, NOW).await.unwrap();
    conflict(store.withdraw_dial(id, NOW, NOW + 5, NOW).await);
    assert!(store.unsettled_dials(i64::MAX).await.unwrap().is_empty());
    assert!(store.claim_due(NOW, LEASE, 1).await.unwrap().is_empty());
    let claimed = store.claim_due(NOW + 5, LEASE, 1).await.unwrap();
    assert_eq!(claimed[0].record.id, id);
    // It was not written at all.
    store.withdraw_dial(id, NOW + 5, NOW, NOW).await.unwrap();
    store.claim_due(NOW, LEASE, 1).await.unwrap();
    // Another attempt has another reference at the carrier.
    assert_eq!(intend(NOW + 6).await, 2);
}

#[rstest]
#[tokio::test]
async fn a_call_moved_out_of_hours_comes_back_by_itself(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
    let morning = Facts {
        due_at: Some(NOW + 9_000),
        ..Facts::default()
    };
    lab.store
        .change(id, Change::OutsideHours, morning, NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.live_calls(lab.account).await.unwrap(), 0);
    assert!(
        lab.store
            .claim_due(NOW + 8_999, LEASE, 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        lab.store.claim_due(NOW + 9_000, LEASE, 1).await.unwrap()[0]
            .record
            .id,
        id
    );
}

#[rstest]
#[tokio::test]
async fn a_dial_is_intended_once_and_only_by_its_claimer(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let other = lab.node("node-1").await;
    let conflict = |result: Result<i64, Error>| {
        assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}")
    };
    conflict(lab.store.intend_dial(id, "+1", NOW).await);
    lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
    conflict(other.intend_dial(id, "+1", NOW).await);
    assert_eq!(
        lab.store.intend_dial(id, "+15550001", NOW).await.unwrap(),
        1
    );
    conflict(lab.store.intend_dial(id, "+1", NOW).await);
    assert!(matches!(
        lab.store.intend_dial(Default::default(), "+1", NOW).await,
        Err(Error::NotFound)
    ));

    // Between intent and outcome nobody touches it, whatever the lease says.
    assert_eq!(other.free_former_claims().await.unwrap(), 0);
    assert_eq!(lab.store.free_expired_claims(NOW + LEASE).await.unwrap(), 0);
    assert!(matches!(
        lab.store.release(id, NOW, NOW).await,
        Err(Error::Conflict(_))
    ));
    assert!(lab.store.unsettled_dials(NOW).await.unwrap().is_empty());
    let unsettled = other.unsettled_dials(NOW + 1).await.unwrap();
    assert_eq!((unsettled[0].record.id, unsettled[0].since), (id, NOW));
    assert_eq!(
        (
            unsettled[0].record.attempt,
            unsettled[0].record.from.as_str()
        ),
        (1, "+15550001")
    );

    // Refused: nothing was placed, so the next attempt may go out.
    lab.store.settle_dial(id, 1, NOW + 1).await.unwrap();
    lab.store.settle_dial(id, 1, NOW + 1).await.unwrap();
    assert!(lab.store.unsettled_dials(NOW + 9).await.unwrap().is_empty());
    assert_eq!(
        lab.store
            .intend_dial(id, "+15550001", NOW + 2)
            .await
            .unwrap(),
        2
    );
    assert!(matches!(
        lab.store.settle_dial(Default::default(), 1, NOW).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test]
async fn what_the_carrier_says_settles_the_dial_and_a_stop_does_not(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let dialled = async |to: &str| {
        let mut new = lab.call();
        new.to = to.into();
        let id = lab.create(new).await.id;
        lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
        lab.store.intend_dial(id, "+1", NOW).await.unwrap();
        id
    };
    let unsettled = async || lab.store.unsettled_dials(NOW + 1).await.unwrap().len();
    for (n, change) in [
        Change::CarrierAccepted,
        Change::Ringing,
        Change::Busy,
        Change::CarrierFailed,
    ]
    .iter()
    .enumerate()
    {
        let id = dialled(&format!("+{n}")).await;
        assert_eq!(unsettled().await, 1);
        lab.store
            .change(id, *change, Facts::default(), NOW)
            .await
            .unwrap();
        assert_eq!(unsettled().await, 0, "{change:?}");
    }
    let id = dialled("+5").await;
    lab.store
        .change(id, Change::StopAsked, Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(unsettled().await, 1, "it may ring all the same");
    let found = Facts {
        carrier_call_id: Some("CA1".into()),
        ..Facts::default()
    };
    lab.store.note(id, found, NOW).await.unwrap();
    assert_eq!(unsettled().await, 0);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_one_pair_of_numbers_one_dial_at_a_time_is_unknown(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    for _ in 0..6 {
        lab.create(lab.call()).await;
    }
    let claimed = lab.store.claim_due(NOW, LEASE, 10).await.unwrap();
    let dials = claimed.iter().map(|claimed| {
        let (store, id) = (lab.store.clone(), claimed.record.id);
        tokio::spawn(async move { (id, store.intend_dial(id, "+15550001", NOW).await) })
    });
    let mut won = Vec::new();
    for dial in dials.collect::<Vec<_>>() {
        match dial.await.unwrap() {
            (id, Ok(attempt)) => won.push((id, attempt)),
            (_, Err(error)) => assert!(matches!(error, Error::Conflict(_)), "{error:?}"),
        }
    }
    assert_eq!(won.len(), 1);
    let next = claimed
        .iter()
        .map(|claimed| claimed.record.id)
        .find(|id| *id != won[0].0)
        .unwrap();
    assert_eq!(
        lab.store.intend_dial(next, "+15550002", NOW).await.unwrap(),
        1,
        "another pair"
    );
    let third = claimed
        .iter()
        .map(|c| c.record.id)
        .find(|id| *id != won[0].0 && *id != next)
        .unwrap();
    lab.store
        .settle_dial(won[0].0, won[0].1, NOW)
        .await
        .unwrap();
    assert_eq!(
        lab.store
            .intend_dial(third, "+15550001", NOW)
            .await
            .unwrap(),
        1
    );
}

#[rstest]
#[tokio::test]
async fn a_stopped_call_is_not_dialled(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
    lab.store
        .change(id, Change::StopAsked, Facts::default(), NOW)
        .await
        .unwrap();
    assert!(matches!(
        lab.store.intend_dial(id, "+1", NOW).await,
        Err(Error::Conflict(_))
    ));
    assert!(matches!(
        lab.store.release(id, NOW, NOW).await,
        Err(Error::Conflict(_))
    ));
    assert_eq!(
        lab.store.execution_unscoped(id).await.unwrap().ended_at,
        None,
        "no leg was there to end"
    );
}

#[rstest]
#[tokio::test]
async fn claims_are_given_back_or_run_out(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    lab.store.claim_due(NOW, LEASE, 1).await.unwrap();
    lab.store.release(id, NOW + 500, NOW + 1).await.unwrap();
    assert!(
        lab.store
            .claim_due(NOW + 499, LEASE, 1)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        lab.store
            .claim_due(NOW + 500, LEASE, 1)
            .await
            .unwrap()
            .len(),
        1
    );

    assert_eq!(
        lab.store
            .free_expired_claims(NOW + 500 + LEASE - 1)
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        lab.store
            .free_expired_claims(NOW + 500 + LEASE)
            .await
            .unwrap(),
        1
    );
    lab.store.claim_due(NOW + 500, LEASE, 1).await.unwrap();
    assert_eq!(lab.store.free_former_claims().await.unwrap(), 0);
    let other = lab.node("node-2").await;
    assert_eq!(other.free_former_claims().await.unwrap(), 1);
    assert_eq!(
        other
            .claim_due(NOW + 500 + LEASE, LEASE, 1)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(
        matches!(
            lab.store.release(id, NOW, NOW).await,
            Err(Error::Conflict(_))
        ),
        "no longer ours"
    );
    assert!(matches!(
        lab.store.release(Default::default(), NOW, NOW).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test]
async fn calls_bound_to_a_pair_of_numbers_are_known(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let accepted = Facts {
        carrier_call_id: Some("CA1".into()),
        ..Facts::default()
    };
    lab.store
        .change(id, Change::CarrierAccepted, accepted, NOW + 5)
        .await
        .unwrap();
    let bound = async |from, since| {
        lab.store
            .bound_calls(lab.account, "+14155550100", from, since)
            .await
            .unwrap()
    };
    assert_eq!(bound("+14155550199", NOW + 5).await, ["CA1"]);
    assert_eq!(bound("+14155550199", NOW + 6).await, Vec::<String>::new());
    assert_eq!(bound("+14155550198", NOW).await, Vec::<String>::new());
}

#[rstest]
#[tokio::test]
async fn whoever_makes_work_wakes_the_worker(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let woken = || lab.store.signals().worker_woken(Work::Dials);
    let id = lab.create(lab.call()).await.id;
    woken().await;
    lab.store
        .change(id, Change::StopAsked, Facts::default(), NOW)
        .await
        .unwrap();
    woken().await;
}
