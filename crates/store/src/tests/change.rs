//! Executions: changed, and what is told of it.

use std::time::Duration;

use bolo_execution::{Change, Cost, Hangup, HangupBy, Status, Usage};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Lab, NOW, On, every_status};
use crate::{Error, Facts, WebhookTarget};

#[rstest]
#[tokio::test]
async fn a_whole_call_leaves_its_times_and_facts(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let change = async |change, facts, now| lab.store.change(id, change, facts, now).await.unwrap();
    let accepted = Facts {
        carrier_call_id: Some("CA1".into()),
        ..Facts::default()
    };
    change(Change::CarrierAccepted, accepted, NOW + 10).await;
    change(
        Change::Ringing,
        Facts {
            happened_at: Some(NOW + 15),
            ..Facts::default()
        },
        NOW + 20,
    )
    .await;
    change(Change::Answered, Facts::default(), NOW + 30).await;
    let hangup = Hangup {
        by: HangupBy::Caller,
        reason: "Normal Hangup".into(),
        code: 4000,
    };
    let ended = Facts {
        hangup: Some(hangup.clone()),
        transcript: Some("assistant: hi\nuser: \0bye".into()),
        ..Facts::default()
    };
    change(Change::MediaEnded, ended, NOW + 40).await;
    let usage = Usage {
        synthesizer_characters: 7,
        ..Usage::default()
    };
    let cost = Cost {
        llm: 0.5,
        ..Cost::default()
    };
    let recorded = Facts {
        usage: Some(usage.clone()),
        cost: Some(cost),
        latency: Some(json!({"stream_id": 3})),
        has_recording: Some(true),
        ..Facts::default()
    };
    let record = change(Change::Recorded, recorded, NOW + 50).await;
    assert_eq!(record.status, Status::Completed);
    assert_eq!(record.carrier_call_id.as_deref(), Some("CA1"));
    assert_eq!(
        [
            record.initiated_at,
            record.ringing_at,
            record.answered_at,
            record.ended_at
        ],
        [
            Some(NOW + 10),
            Some(NOW + 15),
            Some(NOW + 30),
            Some(NOW + 40)
        ]
    );
    assert_eq!((record.updated_at, record.hangup), (NOW + 50, Some(hangup)));
    assert_eq!(
        record.transcript.as_deref(),
        Some("assistant: hi\nuser: \u{fffd}bye")
    );
    assert_eq!((record.usage, record.cost), (Some(usage), Some(cost)));
    assert_eq!(
        (record.latency, record.has_recording),
        (Some(json!({"stream_id": 3})), true)
    );
    let late = lab
        .store
        .change(id, Change::Ringing, Facts::default(), NOW + 60)
        .await;
    assert!(matches!(late, Err(Error::Illegal(_))), "{late:?}");
}

#[rstest]
#[tokio::test]
async fn first_and_last_values_win_as_documented(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let facts = |word: &str, code| Facts {
        hangup: Some(Hangup {
            by: HangupBy::Unknown,
            reason: word.into(),
            code,
        }),
        error_message: Some(word.into()),
        carrier_call_id: Some(word.into()),
        transcript: Some(word.into()),
        from: Some(word.into()),
        due_at: Some(code.into()),
        has_recording: Some(code == 1),
        ..Facts::default()
    };
    lab.store
        .note(id, facts("first", 1), NOW + 9)
        .await
        .unwrap();
    let record = lab.store.note(id, facts("last", 2), NOW + 5).await.unwrap();
    assert_eq!(record.hangup.unwrap().code, 1);
    assert_eq!(record.error_message.as_deref(), Some("first"));
    assert_eq!(record.carrier_call_id.as_deref(), Some("first"));
    assert_eq!(record.transcript.as_deref(), Some("last"));
    assert_eq!(
        (record.from.as_str(), record.due_at, record.has_recording),
        ("last", 2, false)
    );
    assert_eq!(record.updated_at, NOW + 9, "time never goes back");
    assert_eq!(
        lab.store
            .note(id, Facts::default(), NOW + 20)
            .await
            .unwrap()
            .transcript
            .as_deref(),
        Some("last")
    );
    assert!(matches!(
        lab.store
            .note(Default::default(), Facts::default(), NOW)
            .await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test]
async fn a_carriers_call_belongs_to_one_execution(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let bound = Facts {
        carrier_call_id: Some("CA1".into()),
        ..Facts::default()
    };
    let first = lab.create(lab.call()).await.id;
    lab.store.note(first, bound.clone(), NOW).await.unwrap();
    let second = lab.create(lab.call()).await.id;
    let twice = lab
        .store
        .change(second, Change::CarrierAccepted, bound, NOW)
        .await;
    assert!(matches!(twice, Err(Error::Conflict(_))), "{twice:?}");
    assert_eq!(
        lab.store.execution_unscoped(second).await.unwrap().status,
        Status::Queued
    );
    assert_eq!(
        lab.store
            .execution_by_call("twilio", "CA1")
            .await
            .unwrap()
            .id,
        first
    );
}

#[rstest]
#[tokio::test]
async fn how_a_call_was_thought_to_stand_makes_no_difference(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    // Of a call that is told to somebody, known or not, and of one that is not.
    let hook = || WebhookTarget {
        url: "https://example.com/hook".into(),
        statuses: Some(vec![Status::Ringing]),
    };
    let calls = [(Some(hook()), false), (Some(hook()), true), (None, true)];
    let all = Status::ALL.into_iter();
    let all = all.flat_map(|standing| calls.clone().map(|call| (standing, call)));
    for (standing, (webhook, is_known)) in all {
        let mut new = lab.call();
        new.webhook = webhook.clone();
        let id = lab.create(new).await.id;
        if is_known {
            lab.store.execution_unscoped(id).await.unwrap();
        }
        assert_eq!(lab.store.is_plain(id), webhook.is_none());
        let facts = Facts {
            standing: Some(standing),
            of_attempt: Some(0),
            ..Facts::default()
        };
        let change = async |change| lab.store.change(id, change, facts.clone(), NOW).await;
        assert_eq!(
            change(Change::Ringing).await.unwrap().status,
            Status::Ringing
        );
        assert_eq!(
            change(Change::Answered).await.unwrap().status,
            Status::InProgress
        );
        let told: i64 = crate::db::on!(lab.store.db().read(), |pool| {
            sqlx::query_scalar("SELECT sequence FROM executions WHERE id = $1")
                .bind(id.to_string())
                .fetch_one(pool)
                .await
        })
        .unwrap();
        let wanted = i64::from(webhook.is_some());
        assert_eq!(told, wanted, "{standing}: only of what is asked for");
        let back = change(Change::Ringing).await.unwrap_err();
        assert!(
            matches!(&back, Error::Illegal(illegal) if illegal.from == Status::InProgress),
            "{standing}: {back:?}"
        );
        let late = Facts {
            of_attempt: Some(1),
            ..facts.clone()
        };
        let late = lab.store.change(id, Change::MediaEnded, late, NOW).await;
        assert!(
            matches!(late, Err(Error::Superseded)),
            "{standing}: {late:?}"
        );
        let taken = lab.store.own_call(id, NOW).await.unwrap();
        assert_eq!((taken.epoch, taken.record.status), (1, Status::InProgress));
        let other = lab
            .store
            .change_as(2, id, Change::MediaEnded, facts.clone(), NOW);
        assert!(matches!(other.await, Err(Error::TakenOver)), "{standing}");
        let ended = lab.store.change_as(1, id, Change::MediaEnded, facts, NOW);
        assert_eq!(ended.await.unwrap().status, Status::CallDisconnected);
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_changes_at_once_each_status_is_taken_once(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut new = lab.call();
    new.webhook = every_status();
    let id = lab.create(new).await.id;
    let changes = [
        Change::CarrierAccepted,
        Change::Ringing,
        Change::Answered,
        Change::StopAsked,
    ];
    // Whoever changes it has looked, right or wrong, or has not.
    let looks = [None, Some(Status::Queued), Some(Status::Ringing)];
    let tasks = (0..36).map(|n| {
        let (store, change) = (lab.store.clone(), changes[n % 4]);
        let facts = Facts {
            standing: looks[n % 3],
            ..Facts::default()
        };
        tokio::spawn(async move { store.change(id, change, facts, NOW).await })
    });
    let mut taken = vec!["queued".to_owned()];
    for task in tasks.collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(record) => taken.push(record.status.to_string()),
            Err(error) => assert!(matches!(error, Error::Illegal(_)), "{error:?}"),
        }
    }
    assert_eq!(
        lab.store.execution_unscoped(id).await.unwrap().status,
        Status::Stopped
    );
    // The webhooks are the history: each status once, in the order of a call's life.
    let told: Vec<String> = crate::db::on!(lab.store.db().read(), |pool| {
        sqlx::query_scalar("SELECT status FROM webhooks ORDER BY sequence")
            .fetch_all(pool)
            .await
    })
    .unwrap();
    let order: Vec<Status> = told.iter().map(|status| status.parse().unwrap()).collect();
    assert!(order.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    taken.sort();
    let mut told = told;
    told.sort();
    assert_eq!(taken, told);
}

#[rstest]
#[tokio::test]
async fn webhooks_are_frozen_at_the_change_and_only_where_wanted(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut new = lab.call();
    let statuses = Some(vec![Status::Queued, Status::InProgress]);
    new.webhook = Some(WebhookTarget {
        url: "https://customer.example/hook".into(),
        statuses,
    });
    let id = lab.create(new).await.id;
    for change in [
        Change::CarrierAccepted,
        Change::Ringing,
        Change::Answered,
        Change::MediaEnded,
    ] {
        lab.store
            .change(id, change, Facts::default(), NOW + 1)
            .await
            .unwrap();
    }
    lab.store
        .note(
            id,
            Facts {
                transcript: Some("later".into()),
                ..Facts::default()
            },
            NOW + 2,
        )
        .await
        .unwrap();
    let told = lab
        .store
        .claim_deliveries(NOW + 70_000, 1000, 10)
        .await
        .unwrap();
    let bodies: Vec<Value> = told
        .iter()
        .map(|one| serde_json::from_str(&one.body).unwrap())
        .collect();
    assert_eq!(
        bodies.iter().map(|body| &body["event"]).collect::<Vec<_>>(),
        ["queued", "in-progress"]
    );
    assert_eq!(
        bodies
            .iter()
            .map(|body| &body["sequence"])
            .collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(bodies[1]["event_id"], told[1].id.to_string());
    assert_eq!(bodies[1]["status"], "in-progress");
    assert_eq!(bodies[1]["id"], id.to_string());
    assert!(bodies[1]["transcript"].is_null());
    assert_eq!(
        (told[0].url.as_str(), told[0].account),
        ("https://customer.example/hook", lab.account)
    );
}

#[rstest] // wire-telephony.md §5.1, code 5030
#[tokio::test]
async fn a_call_that_the_carrier_had_no_room_for_waits_in_the_queue_again(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let store = &lab.store;
    let id = lab.create(lab.call()).await.id;
    let first = Duration::from_secs(2);
    let full = Hangup {
        by: HangupBy::Plivo,
        reason: "failed".into(),
        code: 5030,
    };
    let (mut now, mut waits) = (NOW, Vec::new());
    let ended = loop {
        assert_eq!(store.claim_due(now, 60_000, 1).await.unwrap().len(), 1);
        let attempt = store.intend_dial(id, "+1", now).await.unwrap();
        let accepted = Facts {
            carrier_call_id: Some(format!("CA{attempt}")),
            ..Facts::default()
        };
        let record = store.change(id, Change::CarrierAccepted, accepted, now);
        let record = record.await.unwrap();
        let (change, facts) = Facts::postponed(&record, Some(full.clone()), first, now);
        let record = store.change(id, change, facts, now).await.unwrap();
        assert_eq!(store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
        if record.status != Status::Queued {
            break record;
        }
        assert_eq!((record.carrier_call_id, record.initiated_at), (None, None));
        assert_eq!(record.hangup, None);
        // Late news of that dial.
        let late = Facts {
            of_attempt: Some(attempt),
            ..Facts::default()
        };
        let late = store.change(id, Change::Ringing, late, now).await;
        assert!(matches!(late, Err(Error::Superseded)), "{late:?}");
        assert!(store.claim_due(now, 60_000, 1).await.unwrap().is_empty());
        waits.push((record.due_at - now) / 1000);
        now = record.due_at;
    };
    assert_eq!(waits, [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    assert_eq!((ended.status, ended.hangup), (Status::Failed, Some(full)));
}
