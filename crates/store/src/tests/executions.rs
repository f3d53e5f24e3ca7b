//! Executions: made, read, listed, changed.

use bolo_execution::{Change, Cost, Direction, Hangup, HangupBy, Status, Usage};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Lab, NOW, On, every_status, inbound};
use crate::{Error, Facts, Filter, WebhookTarget};

#[rstest]
#[tokio::test]
async fn what_was_asked_for_is_in_the_record(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut new = lab.call();
    new.user_data = json!({"name": "Zoë", "b": 1, "a": 2})
        .as_object()
        .unwrap()
        .clone();
    new.voice_id = Some("Vincent".into());
    new.retry_config = Some(json!({"enabled": true}));
    new.bypass_guardrails = true;
    new.due_at = NOW + 7;
    let made = lab.create(new.clone()).await;
    assert_eq!(made.user_data, new.user_data);
    assert_eq!(
        (made.voice_id, made.retry_config),
        (new.voice_id, new.retry_config)
    );
    assert!(made.bypass_guardrails);
    assert_eq!(
        (made.created_at, made.updated_at, made.due_at),
        (NOW, NOW, NOW + 7)
    );
    assert_eq!(
        (made.status, made.direction, made.attempt),
        (Status::Queued, Direction::Outbound, 0)
    );
    assert_eq!(
        (made.to.as_str(), made.from.as_str()),
        ("+14155550100", "+14155550199")
    );
    assert_eq!((made.initiated_at, made.ended_at), (None, None));
    let read = lab.store.execution(lab.account, made.id).await.unwrap();
    assert_eq!(
        read.user_data.keys().collect::<Vec<_>>(),
        ["name", "b", "a"]
    );
    assert_eq!(lab.store.execution_unscoped(made.id).await.unwrap(), read);
}

#[rstest]
#[tokio::test]
async fn a_call_cannot_begin_in_the_middle(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    for (direction, status) in [
        (Direction::Outbound, Status::InProgress),
        (Direction::Outbound, Status::Initiated),
        (Direction::Inbound, Status::Queued),
    ] {
        let mut new = lab.call();
        (new.direction, new.status) = (direction, status);
        let made = lab.store.create_execution(new, NOW).await;
        assert!(
            matches!(made, Err(Error::Conflict(_))),
            "{direction:?} {status}"
        );
    }
    let mut unknown = lab.call();
    unknown.agent_version = 2;
    assert!(matches!(
        lab.store.create_execution(unknown, NOW).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_doubled_inbound_webhook_finds_the_same_row(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let doubles = (0..8).map(|_| {
        let (store, new) = (lab.store.clone(), inbound(lab.account, lab.agent, "CA1"));
        tokio::spawn(async move { store.create_execution(new, NOW).await.unwrap() })
    });
    let mut made = Vec::new();
    for double in doubles.collect::<Vec<_>>() {
        made.push(double.await.unwrap());
    }
    assert_eq!(made.iter().filter(|(_, new)| *new).count(), 1);
    assert!(made.iter().all(|(record, _)| record.id == made[0].0.id));
    let record = lab.store.execution_by_call("twilio", "CA1").await.unwrap();
    assert_eq!(
        (record.id, record.status, record.initiated_at),
        (made[0].0.id, Status::Initiated, Some(NOW))
    );
    assert!(matches!(
        lab.store.execution_by_call("plivo", "CA1").await,
        Err(Error::NotFound)
    ));
    assert_eq!(
        lab.store
            .executions(lab.account, &Filter::default(), 1, 20)
            .await
            .unwrap()
            .total,
        1
    );
}

#[rstest]
#[tokio::test]
async fn an_inbound_call_that_is_turned_away_is_over_and_told(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut new = inbound(lab.account, lab.agent, "CA1");
    new.status = Status::Canceled;
    new.error_message = Some("no such \0agent".into());
    new.webhook = every_status();
    let record = lab.create(new).await;
    assert_eq!(
        (record.initiated_at, record.ended_at),
        (Some(NOW), Some(NOW))
    );
    assert_eq!(
        record.error_message.as_deref(),
        Some("no such \u{fffd}agent")
    );
    let told = lab.store.claim_deliveries(NOW, 1000, 10).await.unwrap();
    let body: Value = serde_json::from_str(&told[0].body).unwrap();
    assert_eq!(body["event"], "canceled");
}

#[rstest]
#[tokio::test]
async fn lists_are_filtered_paged_and_newest_first(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let mut ids = Vec::new();
    for n in 0..5 {
        let (record, _) = lab
            .store
            .create_execution(lab.call(), NOW + n / 2)
            .await
            .unwrap();
        ids.push(record.id);
    }
    ids.reverse();
    let (came, _) = lab
        .store
        .create_execution(inbound(lab.account, lab.agent, "CA1"), NOW - 10)
        .await
        .unwrap();
    let voicemail = Facts {
        answered_by_voice_mail: Some(true),
        ..Facts::default()
    };
    lab.store.note(came.id, voicemail, NOW).await.unwrap();

    let list = async |filter: Filter, page, size| {
        let page = lab
            .store
            .executions(lab.account, &filter, page, size)
            .await
            .unwrap();
        (
            page.rows.into_iter().map(|row| row.id).collect::<Vec<_>>(),
            page.total,
        )
    };
    let all = || Filter {
        agent: Some(lab.agent),
        ..Filter::default()
    };
    assert_eq!(list(all(), 1, 2).await, (ids[..2].to_vec(), 6));
    assert_eq!(list(all(), 2, 4).await, (vec![ids[4], came.id], 6));
    assert_eq!(list(Filter::default(), 4, 2).await, (vec![], 6));
    let only = vec![came.id];
    assert_eq!(
        list(
            Filter {
                direction: Some(Direction::Inbound),
                ..all()
            },
            1,
            20
        )
        .await,
        (only.clone(), 1)
    );
    assert_eq!(
        list(
            Filter {
                status: Some(Status::Initiated),
                ..all()
            },
            1,
            20
        )
        .await,
        (only.clone(), 1)
    );
    assert_eq!(
        list(
            Filter {
                voicemail: Some(true),
                ..all()
            },
            1,
            20
        )
        .await,
        (only.clone(), 1)
    );
    assert_eq!(
        list(
            Filter {
                voicemail: Some(false),
                ..all()
            },
            1,
            20
        )
        .await
        .1,
        5
    );
    assert_eq!(
        list(
            Filter {
                to: Some(NOW - 10),
                ..Filter::default()
            },
            1,
            20
        )
        .await,
        (only, 1)
    );
    assert_eq!(
        list(
            Filter {
                from: Some(NOW + 2),
                ..all()
            },
            1,
            20
        )
        .await,
        (vec![ids[0]], 1)
    );
    assert_eq!(
        list(
            Filter {
                provider: Some("plivo".into()),
                ..all()
            },
            1,
            20
        )
        .await
        .1,
        0
    );
    assert_eq!(
        list(
            Filter {
                batch: Some("00".into()),
                ..all()
            },
            1,
            20
        )
        .await
        .1,
        0
    );
    let stranger = Filter {
        agent: Some(bolo_execution::AgentId::new()),
        ..Filter::default()
    };
    assert_eq!(list(stranger, 1, 20).await, (vec![], 0));
}

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
async fn a_planned_retry_forgets_the_attempt_but_not_what_it_cost(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.create(lab.call()).await.id;
    let failed = Facts {
        carrier_call_id: Some("CA1".into()),
        error_message: Some("busy".into()),
        hangup: Some(Hangup {
            by: HangupBy::Carrier,
            reason: "busy".into(),
            code: 3010,
        }),
        cost: Some(Cost {
            network: 1.0,
            ..Cost::default()
        }),
        ..Facts::default()
    };
    lab.store
        .change(id, Change::Busy, failed, NOW + 1)
        .await
        .unwrap();
    let again = Facts {
        due_at: Some(NOW + 100),
        ..Facts::default()
    };
    let record = lab
        .store
        .change(id, Change::RetryPlanned, again, NOW + 2)
        .await
        .unwrap();
    assert_eq!(
        (record.status, record.due_at),
        (Status::Scheduled, NOW + 100)
    );
    assert_eq!(
        (record.carrier_call_id, record.error_message, record.hangup),
        (None, None, None)
    );
    assert_eq!((record.initiated_at, record.ended_at), (None, None));
    assert_eq!(record.cost.unwrap().network, 1.0);
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
    let tasks = (0..32).map(|n| {
        let (store, change) = (lab.store.clone(), changes[n % 4]);
        tokio::spawn(async move { store.change(id, change, Facts::default(), NOW).await })
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

#[rstest]
#[tokio::test]
async fn a_repeated_callback_is_recognised(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let first = async |call, event, sequence| {
        lab.store
            .first_callback("twilio", call, event, sequence, NOW)
            .await
            .unwrap()
    };
    assert!(first("CA1", "ringing", 0).await);
    assert!(!first("CA1", "ringing", 0).await);
    assert!(first("CA1", "ringing", 1).await);
    assert!(first("CA1", "completed", 0).await);
    assert!(first("CA2", "ringing", u64::MAX).await);
}
