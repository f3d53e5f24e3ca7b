//! Agents and their versions.

use bolo_execution::Status;
use rstest::rstest;
use serde_json::{Value, json};

use super::{Lab, NOW, On, call, every_status, tenant};
use crate::Error;

#[rstest]
#[tokio::test]
async fn the_submitted_body_comes_back_verbatim(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let text = r#"{"z":1,"a":{"prompt":"न\u0000मस्ते \"x\"","n":1.50},"unknown":[null,true]}"#;
    let body: Value = serde_json::from_str(text).unwrap();
    let made = lab
        .store
        .create_agent(lab.account, &body, NOW)
        .await
        .unwrap();
    let read = lab.store.agent(lab.account, made.id).await.unwrap();
    assert_eq!(read, made);
    assert_eq!(read.body.to_string(), body.to_string());
}

#[rstest]
#[tokio::test]
async fn versions_count_up_and_old_ones_stay(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (store, account, id) = (&lab.store, lab.account, lab.agent);
    let second = store
        .replace_agent(account, id, &json!({"v": 2}), Some(1), NOW + 1)
        .await
        .unwrap();
    assert_eq!(
        (second.version, second.created_at, second.updated_at),
        (2, NOW, NOW + 1)
    );
    let late = store
        .replace_agent(account, id, &json!({"v": 9}), Some(1), NOW + 2)
        .await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
    let third = store
        .replace_agent(account, id, &json!({"v": 3}), None, NOW + 3)
        .await
        .unwrap();
    assert_eq!(store.agent(account, id).await.unwrap(), third);
    assert_eq!(
        store.agent_version(account, id, 2).await.unwrap().body,
        json!({"v": 2})
    );
    assert!(matches!(
        store.agent_version(account, id, 4).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_writers_at_once_with_the_same_expectation_one_wins(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let writers = (0..8).map(|n| {
        let (store, account, id) = (lab.store.clone(), lab.account, lab.agent);
        tokio::spawn(async move {
            store
                .replace_agent(account, id, &json!({"n": n}), Some(1), NOW)
                .await
        })
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        match writer.await.unwrap() {
            Ok(agent) => {
                assert_eq!(agent.version, 2);
                won += 1;
            }
            Err(error) => assert!(matches!(error, Error::Conflict(_)), "{error:?}"),
        }
    }
    assert_eq!(won, 1);
}

#[rstest]
#[tokio::test]
async fn agents_are_listed_newest_first(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let newer = lab
        .store
        .create_agent(lab.account, &json!({}), NOW + 1)
        .await
        .unwrap()
        .id;
    let ids: Vec<_> = lab
        .store
        .agents(lab.account)
        .await
        .unwrap()
        .into_iter()
        .map(|agent| agent.id)
        .collect();
    assert_eq!(ids, [newer, lab.agent]);
    assert_eq!(lab.store.agent_owner(newer).await.unwrap(), lab.account);
}

#[rstest]
#[tokio::test]
async fn stopping_an_agents_calls_leaves_live_and_foreign_ones(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let live = lab.talking().await;
    let queued = lab.create(lab.call()).await;
    let mut later = lab.call();
    (later.status, later.due_at) = (Status::Scheduled, NOW + 60_000);
    let scheduled = lab.create(later).await;
    let (other, its_agent) = tenant(&lab.store, "other").await;
    let foreign = lab.create(call(other, its_agent)).await;

    let mut stopped = lab
        .store
        .stop_waiting(lab.account, lab.agent, NOW + 1)
        .await
        .unwrap();
    stopped.sort();
    assert_eq!(stopped, [queued.id, scheduled.id]);
    assert_eq!(
        lab.store
            .stop_waiting(lab.account, lab.agent, NOW + 2)
            .await
            .unwrap(),
        []
    );
    for (id, status) in [
        (queued.id, Status::Stopped),
        (live.id, Status::InProgress),
        (foreign.id, Status::Queued),
    ] {
        assert_eq!(
            lab.store.execution_unscoped(id).await.unwrap().status,
            status
        );
    }
}

#[rstest]
#[tokio::test]
async fn a_deleted_agent_is_gone_but_its_live_call_ends_well(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let live = lab.talking().await;
    let mut new = lab.call();
    new.webhook = every_status();
    let waiting = lab.create(new).await;
    let stopped = lab
        .store
        .delete_agent(lab.account, lab.agent, NOW + 1)
        .await
        .unwrap();
    assert_eq!(stopped, [waiting.id]);

    let store = &lab.store;
    assert!(matches!(
        store.agent(lab.account, lab.agent).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.agent_owner(lab.agent).await,
        Err(Error::NotFound)
    ));
    assert!(store.agents(lab.account).await.unwrap().is_empty());
    assert!(matches!(
        store.execution(lab.account, live.id).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.log_lines(lab.account, live.id).await,
        Err(Error::NotFound)
    ));
    assert_eq!(
        store
            .executions(lab.account, &Default::default(), 1, 20)
            .await
            .unwrap()
            .total,
        0
    );
    assert!(matches!(
        store.create_execution(lab.call(), NOW).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.stop_waiting(lab.account, lab.agent, NOW).await,
        Err(Error::NotFound)
    ));
    assert!(matches!(
        store.delete_agent(lab.account, lab.agent, NOW).await,
        Err(Error::NotFound)
    ));
    let replaced = store
        .replace_agent(lab.account, lab.agent, &json!({}), None, NOW)
        .await;
    assert!(matches!(replaced, Err(Error::NotFound)), "{replaced:?}");

    assert_eq!(
        store
            .agent_version(lab.account, lab.agent, 1)
            .await
            .unwrap()
            .version,
        1
    );
    assert_eq!(
        store.events(lab.account, live.id).await.unwrap(),
        Vec::<String>::new()
    );
    let ended = store
        .change(
            live.id,
            bolo_execution::Change::MediaEnded,
            Default::default(),
            NOW + 2,
        )
        .await
        .unwrap();
    assert_eq!(ended.status, Status::CallDisconnected);
    let told = store.claim_deliveries(NOW + 1, 1000, 10).await.unwrap();
    assert_eq!(
        told.len(),
        1,
        "the stopped call's first webhook; the second waits for it"
    );
}
