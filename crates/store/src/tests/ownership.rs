//! Which node runs a live call.

use bolo_execution::{Change, Status, Transfer};
use rstest::rstest;

use super::{Lab, NOW, On};
use crate::{Error, Facts, Owned};

#[rstest]
#[tokio::test]
async fn the_next_owner_wins_and_the_older_epoch_loses(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let other = lab.node("node-2").await;
    assert!(!lab.store.owns_call(id, 0).await.unwrap(), "nobody's yet");
    let first = lab.store.own_call(id, NOW).await.unwrap().epoch;
    assert!(lab.store.owns_call(id, first).await.unwrap());
    let second = other.own_call(id, NOW + 1).await.unwrap().epoch;
    assert_eq!((first, second), (1, 2));
    assert!(!lab.store.owns_call(id, first).await.unwrap());

    lab.store.disown_call(id, first).await.unwrap();
    assert!(
        other.owns_call(id, second).await.unwrap(),
        "a loser can't give away what it lost"
    );
    other.disown_call(id, second).await.unwrap();
    assert!(!other.owns_call(id, second).await.unwrap());
    assert_eq!(lab.store.own_call(id, NOW + 2).await.unwrap().epoch, 3);
    assert!(matches!(
        lab.store.own_call(Default::default(), NOW).await,
        Err(Error::NotFound)
    ));
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_owners_at_once_exactly_one_stays(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let takers = (0..8).map(|_| {
        let store = lab.store.clone();
        tokio::spawn(async move { store.own_call(id, NOW).await.unwrap().epoch })
    });
    let mut epochs = Vec::new();
    for taker in takers.collect::<Vec<_>>() {
        epochs.push(taker.await.unwrap());
    }
    epochs.sort_unstable();
    assert_eq!(epochs, (1..=8).collect::<Vec<_>>());
    let mut owners = 0;
    for epoch in epochs {
        owners += usize::from(lab.store.owns_call(id, epoch).await.unwrap());
    }
    assert_eq!(owners, 1);
}

#[rstest]
#[tokio::test]
async fn a_call_that_is_over_is_nobodys(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    for status in Status::ALL {
        let id = lab.create(lab.call()).await.id;
        crate::db::on!(lab.store.db().write(), |pool| {
            sqlx::query("UPDATE executions SET status = $2 WHERE id = $1")
                .bind(id.to_string())
                .bind(status.as_str())
                .execute(pool)
                .await
                .map(drop)
        })
        .unwrap();
        let is_over = status.is_terminal() || status == Status::CallDisconnected;
        match lab.store.own_call(id, NOW).await {
            Ok(live) => assert!(!is_over && live.record.status == status, "{status}"),
            Err(Error::Illegal(illegal)) => assert!(is_over && illegal.from == status, "{status}"),
            Err(error) => panic!("{status}: {error}"),
        }
        let owned = lab.store.owned_calls().await.unwrap().contains_key(&id);
        assert_eq!(owned, !is_over, "{status}");
    }
}

#[rstest]
#[tokio::test]
async fn what_an_older_epoch_writes_changes_nothing(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let other = lab.node("node-2").await;
    let old = lab.store.own_call(id, NOW).await.unwrap().epoch;
    let new = other.own_call(id, NOW + 1).await.unwrap().epoch;
    let facts = || Facts {
        transcript: Some("assistant: of the dead".into()),
        ..Facts::default()
    };
    let ended = lab
        .store
        .change_as(old, id, Change::MediaEnded, facts(), NOW)
        .await;
    assert!(matches!(ended, Err(Error::TakenOver)), "{ended:?}");
    let noted = lab.store.note_as(old, id, facts(), NOW).await;
    assert!(matches!(noted, Err(Error::TakenOver)), "{noted:?}");
    let record = lab.store.execution_unscoped(id).await.unwrap();
    assert_eq!(
        (record.status, record.transcript),
        (Status::InProgress, None)
    );

    let record = other.note_as(new, id, facts(), NOW).await.unwrap();
    assert_eq!(record.transcript.as_deref(), Some("assistant: of the dead"));
    let ended = other.change_as(new, id, Change::MediaEnded, Facts::default(), NOW);
    assert_eq!(ended.await.unwrap().status, Status::CallDisconnected);
}

#[rstest]
#[tokio::test]
async fn calls_of_an_instance_that_was_seen_no_more_are_lost(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let ended = lab.talking().await.id;
    for id in [id, ended] {
        lab.store.own_call(id, NOW).await.unwrap();
    }
    let change = lab
        .store
        .change(ended, Change::MediaEnded, Facts::default(), NOW);
    change.await.unwrap();
    let other = lab.node("node-2").await;
    let seen = async || {
        let instances = other.instances().await.unwrap();
        assert_eq!(instances.len(), 1, "who owns nothing need not beat");
        instances.into_iter().next().unwrap()
    };
    let last = seen().await;
    assert_eq!(
        (last.name.as_str(), last.seen_at),
        (lab.store.instance(), NOW),
        "owning is a heartbeat"
    );
    let lost = other.lost_calls(&last).await.unwrap();
    assert_eq!((lost.len(), lost[0].record.id, lost[0].epoch), (1, id, 1));

    lab.store.heartbeat(NOW + 1000, 7).await.unwrap();
    assert!(
        other.lost_calls(&last).await.unwrap().is_empty(),
        "it lives"
    );
    let now = seen().await;
    assert_eq!((now.seen_at, now.room), (NOW + 1000, 7));
    other.own_call(id, NOW).await.unwrap();
    assert!(
        other.lost_calls(&now).await.unwrap().is_empty(),
        "another has it"
    );
}

#[rstest]
#[tokio::test]
async fn a_node_sees_which_calls_are_its_own(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let (kept, taken, stopped) = (
        lab.talking().await.id,
        lab.talking().await.id,
        lab.talking().await.id,
    );
    for id in [kept, taken, stopped] {
        lab.store.own_call(id, NOW).await.unwrap();
    }
    lab.node("node-2").await.own_call(taken, NOW).await.unwrap();
    let change = lab
        .store
        .change(stopped, Change::StopAsked, Facts::default(), NOW);
    change.await.unwrap();
    let mut owned: Vec<_> = lab.store.owned_calls().await.unwrap().into_iter().collect();
    owned.sort_by_key(|(id, _)| *id);
    let standing = |status| Owned { epoch: 1, status };
    assert_eq!(
        owned,
        [
            (kept, standing(Status::InProgress)),
            (stopped, standing(Status::Stopped))
        ]
    );
}

#[rstest]
#[tokio::test]
async fn callers_who_were_taken_are_known_to_their_calls_process(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let other = lab.node("node-2").await;
    let mut calls = Vec::new();
    for status in [Status::Ringing, Status::InProgress, Status::NoAnswer] {
        let id = lab.talking().await.id;
        lab.store.own_call(id, NOW).await.unwrap();
        let transfer = Transfer {
            status,
            ..Transfer::new("+14155550177", "+14155550100", 30)
        };
        let facts = Facts {
            transfer: Some(transfer),
            ..Facts::default()
        };
        lab.store.note(id, facts, NOW).await.unwrap();
        calls.push(id);
    }
    assert_eq!(lab.store.taken_callers().await.unwrap(), [calls[1]]);
    assert_eq!(other.taken_callers().await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn a_process_that_ends_signs_off(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let other = lab.node("node-2").await;
    other.heartbeat(NOW, 3).await.unwrap();
    assert_eq!(lab.store.instances().await.unwrap().len(), 1);
    other.close().await;
    assert_eq!(lab.store.instances().await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn open_calls_show_their_owner(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let ringing = lab
        .create(super::inbound(lab.account, lab.agent, "CA1"))
        .await
        .id;
    let over = lab.talking().await.id;
    lab.store
        .change(over, Change::MediaEnded, Facts::default(), NOW)
        .await
        .unwrap();
    let owned = lab.talking().await.id;
    lab.create(lab.call()).await;
    lab.store.own_call(owned, NOW).await.unwrap();
    let owner = async |id| {
        let open = lab.store.open_calls(i64::MAX).await.unwrap();
        assert_eq!(open.len(), 3);
        let live = open.into_iter().find(|live| live.record.id == id).unwrap();
        (live.owner, live.epoch)
    };
    let this = Some(lab.store.instance().to_owned());
    assert_eq!(owner(owned).await, (this, 1));
    assert_eq!(owner(ringing).await, (None, 0));
    assert_eq!(owner(over).await, (None, 0));
    lab.store
        .change(over, Change::Recorded, Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.open_calls(i64::MAX).await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_node_that_came_back_does_not_keep_its_former_lifes_calls_alive(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    lab.store.own_call(id, NOW).await.unwrap();
    let former = lab.store.instances().await.unwrap().remove(0);
    let reborn = lab.node("node-1").await;
    reborn.heartbeat(NOW + 60_000, 1).await.unwrap();
    assert_eq!(reborn.lost_calls(&former).await.unwrap()[0].record.id, id);
    // What is forgotten is what was seen, not who lives.
    let lives = reborn.instances().await.unwrap();
    let lives = lives
        .into_iter()
        .find(|instance| *instance != former)
        .unwrap();
    reborn.heartbeat(NOW + 61_000, 1).await.unwrap();
    for instance in [&former, &lives] {
        reborn.forget_instance(instance).await.unwrap();
    }
    let left = reborn.instances().await.unwrap();
    assert_eq!((left.len(), left[0].seen_at), (1, NOW + 61_000));
}
