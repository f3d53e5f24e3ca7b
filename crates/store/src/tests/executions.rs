//! Executions: made, read, listed.

use bolo_execution::{BatchId, Direction, Status};
use rstest::rstest;
use serde_json::{Value, json};

use super::{Lab, NOW, On, every_status, inbound};
use crate::{Error, Facts, Filter, purge::CALLBACKS_MS};

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
                batch: Some(BatchId::random()),
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

#[rstest]
#[tokio::test]
async fn callbacks_of_a_call_that_is_long_over_are_forgotten(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let first = async |call, event, at| {
        lab.store
            .first_callback("twilio", call, event, 0, at)
            .await
            .unwrap()
    };
    let later = NOW + CALLBACKS_MS;
    assert!(first("CA1", "ringing", NOW).await);
    // A call's are forgotten together.
    assert!(first("CA2", "ringing", NOW).await);
    assert!(first("CA2", "completed", NOW + 1).await);
    lab.store.purge_callbacks(later - 1).await.unwrap();
    assert!(!first("CA1", "ringing", later).await);
    lab.store.purge_callbacks(later).await.unwrap();
    assert!(first("CA1", "ringing", later).await);
    assert!(!first("CA2", "ringing", later).await);
}
