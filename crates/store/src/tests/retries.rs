//! Calls that are tried again: planned with the end of the attempt, and apart from it.

use bolo_execution::{Change, Cost, Hangup, HangupBy, Record, Status};
use rstest::rstest;
use serde_json::json;

use super::{Lab, NOW, On, every_status};
use crate::{DeliveryOutcome, Error, Facts};

const MINUTE: i64 = 60_000;

/// A call that is tried again five minutes after it was busy, and once more.
async fn call(lab: &Lab) -> Record {
    let mut new = lab.call();
    new.webhook = every_status();
    new.retry_config = Some(json!({
        "enabled": true, "max_retries": 2, "retry_intervals_minutes": [5],
        "retry_on_statuses": ["busy", "error"],
    }));
    lab.create(new).await
}

fn busy(cents: f64) -> Facts {
    Facts {
        carrier_call_id: Some("CA1".into()),
        error_message: Some("busy".into()),
        hangup: Some(Hangup {
            by: HangupBy::Carrier,
            reason: "busy".into(),
            code: 3010,
        }),
        cost: Some(Cost {
            network: cents,
            ..Cost::default()
        }),
        transcript: Some("assistant: hi".into()),
        has_recording: Some(true),
        answered_by_voice_mail: Some(true),
        ..Facts::default()
    }
}

/// Claims and begins to dial the one call that is due.
async fn dialled(lab: &Lab, now: i64) -> Record {
    let claimed = lab.store.claim_due(now, 1000, 10).await.unwrap();
    let id = claimed[0].record.id;
    lab.store
        .intend_dial(id, "+14155550199", now)
        .await
        .unwrap();
    lab.store.execution_unscoped(id).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_call_is_scheduled_anew_with_the_end_of_its_attempt(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = call(&lab).await.id;
    let first = dialled(&lab, NOW).await;
    let change = async |change, facts, now| lab.store.change(id, change, facts, now).await.unwrap();
    let record = change(Change::Busy, busy(1.0), NOW + 1).await;
    assert_eq!(
        (record.id, record.status, record.due_at),
        (id, Status::Scheduled, NOW + 1 + 5 * MINUTE)
    );
    assert_eq!(
        (
            record.carrier_call_id.as_ref(),
            record.error_message.as_ref(),
            record.hangup.as_ref()
        ),
        (None, None, None)
    );
    assert_eq!((record.initiated_at, record.ended_at), (None, None));
    assert!(!record.has_recording && !record.answered_by_voice_mail && record.transcript.is_none());
    assert_eq!(
        (record.cost, record.whole_cost().unwrap().network),
        (None, 1.0)
    );
    let past = &record.history[0];
    assert_eq!(
        (
            past.status,
            past.at,
            past.carrier_call_id.as_deref(),
            past.attempt
        ),
        (Status::Busy, NOW + 1, Some("CA1"), first.attempt)
    );
    assert_eq!(past.hangup.as_ref().unwrap().code, 3010);

    // Not a moment earlier, and under the number of another attempt.
    let due = record.due_at;
    assert!(
        lab.store
            .claim_due(due - 1, 1000, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let second = dialled(&lab, due).await;
    assert!(second.attempt > first.attempt);
    assert_eq!((second.dials(), second.history.len()), (1, 1));
    let record = change(Change::Busy, busy(2.0), due + 1).await;
    assert_eq!(
        (record.status, record.history.len()),
        (Status::Scheduled, 2)
    );
    assert_eq!(record.whole_cost().unwrap().network, 3.0);
    dialled(&lab, record.due_at).await;
    let record = change(Change::Busy, busy(4.0), record.due_at + 1).await;
    assert_eq!((record.status, record.history.len()), (Status::Busy, 2));
    assert_eq!(record.whole_cost().unwrap().network, 7.0);
    let late = lab
        .store
        .change(id, Change::RetryPlanned, Facts::default(), NOW)
        .await;
    assert!(late.is_ok(), "only `change` decides how often: {late:?}");
}

#[rstest]
#[tokio::test]
async fn each_status_of_a_retried_call_is_told(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = call(&lab).await.id;
    dialled(&lab, NOW).await;
    lab.store
        .change(id, Change::Busy, busy(1.0), NOW + 1)
        .await
        .unwrap();
    dialled(&lab, NOW + 10 * MINUTE).await;
    let mut told = Vec::new();
    let mut now = NOW + 20 * MINUTE;
    loop {
        let due = lab.store.claim_deliveries(now, 1000, 1).await.unwrap();
        let Some(delivery) = due.first() else { break };
        let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
        told.push((
            body["event"].as_str().unwrap().to_owned(),
            body["retry_count"].as_i64().unwrap(),
            body["sequence"].as_i64().unwrap(),
        ));
        let outcome = DeliveryOutcome::Delivered;
        lab.store
            .settle_delivery(delivery.id, outcome, now)
            .await
            .unwrap();
        now += MINUTE;
    }
    let told: Vec<_> = told
        .iter()
        .map(|(event, retries, n)| (event.as_str(), *retries, *n))
        .collect();
    assert_eq!(
        told,
        [
            ("queued", 0, 1),
            ("busy", 0, 2),
            ("scheduled", 1, 3),
            ("queued", 1, 4)
        ]
    );
}

#[rstest]
#[tokio::test]
async fn news_of_a_past_attempt_touch_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = call(&lab).await.id;
    let first = dialled(&lab, NOW).await;
    let record = lab
        .store
        .change(id, Change::Busy, busy(1.0), NOW + 1)
        .await
        .unwrap();
    let of_first = || Facts {
        of_attempt: Some(first.attempt),
        carrier_call_id: Some("CA1".into()),
        error_message: Some("late".into()),
        ..Facts::default()
    };
    // While it waits, when it is due, and while it is dialled anew.
    for now in [NOW + 2, record.due_at] {
        for change in [Change::CarrierAccepted, Change::Busy, Change::Faulted] {
            let late = lab.store.change(id, change, of_first(), now).await;
            assert!(matches!(late, Err(Error::Superseded)), "{late:?}");
        }
        let late = lab.store.note(id, of_first(), now).await;
        assert!(matches!(late, Err(Error::Superseded)), "{late:?}");
        let late = lab.store.settle_dial(id, first.attempt, now).await;
        assert!(matches!(late, Err(Error::Superseded)), "{late:?}");
        if now == NOW + 2 {
            dialled(&lab, record.due_at).await;
        }
    }
    let record = lab.store.execution_unscoped(id).await.unwrap();
    assert_eq!(
        (record.status, record.carrier_call_id),
        (Status::Queued, None)
    );
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_nothing_to_look_up(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = call(&lab).await.id;
    dialled(&lab, NOW).await;
    let record = lab
        .store
        .change(id, Change::Faulted, Facts::default(), NOW + 1)
        .await
        .unwrap();
    assert_eq!(record.status, Status::Scheduled);
    assert!(
        lab.store
            .unsettled_dials(i64::MAX)
            .await
            .unwrap()
            .is_empty()
    );
}

#[rstest]
#[tokio::test]
async fn the_wallet_pays_each_attempt_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let before = lab.store.wallet(lab.account).await.unwrap();
    let paid = async || before - lab.store.wallet(lab.account).await.unwrap();
    let id = call(&lab).await.id;
    dialled(&lab, NOW).await;
    lab.store
        .change(id, Change::Busy, busy(1.5), NOW + 1)
        .await
        .unwrap();
    assert_eq!(paid().await, 1.5);
    dialled(&lab, NOW + 10 * MINUTE).await;
    lab.store
        .change(id, Change::Busy, busy(2.0), NOW + 11 * MINUTE)
        .await
        .unwrap();
    assert_eq!(paid().await, 3.5);
    // The price becomes known in two steps: the later one counts.
    let other = lab.create(lab.call()).await.id;
    let cost = |network| {
        Some(Cost {
            network,
            ..Cost::default()
        })
    };
    for cents in [8.0, 6.0, 6.0] {
        let facts = Facts {
            cost: cost(cents),
            ..Facts::default()
        };
        lab.store.note(other, facts, NOW).await.unwrap();
    }
    assert_eq!(paid().await, 9.5);
}

#[rstest]
#[tokio::test]
async fn the_next_attempt_is_not_rebuilt_from_the_events_of_the_last(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = call(&lab).await.id;
    let say = async |word: &str| {
        let log = lab.store.call_log(id);
        log.event(word.into()).unwrap();
        log.flush().await.unwrap();
    };
    let events = async || lab.store.events(lab.account, id).await.unwrap();
    dialled(&lab, NOW).await;
    say("first").await;
    assert_eq!(events().await, ["first"]);
    let failed = Facts::default();
    lab.store
        .change(id, Change::Faulted, failed, NOW + 1)
        .await
        .unwrap();
    assert!(events().await.is_empty());
    dialled(&lab, NOW + 10 * MINUTE).await;
    say("second").await;
    assert_eq!(events().await, ["second"]);
}
