//! Which node runs a live call.

use bolo_execution::Change;
use rstest::rstest;

use super::{Lab, NOW, On};
use crate::{Error, Facts};

#[rstest]
#[tokio::test]
async fn the_next_owner_wins_and_the_older_epoch_loses(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let other = lab.node("node-2").await;
    assert!(!lab.store.owns_call(id, 0).await.unwrap(), "nobody's yet");
    let first = lab.store.own_call(id, NOW).await.unwrap();
    assert!(lab.store.owns_call(id, first).await.unwrap());
    let second = other.own_call(id, NOW + 1).await.unwrap();
    assert_eq!((first, second), (1, 2));
    assert!(!lab.store.owns_call(id, first).await.unwrap());

    lab.store.disown_call(id, first).await.unwrap();
    assert!(
        other.owns_call(id, second).await.unwrap(),
        "a loser can't give away what it lost"
    );
    other.disown_call(id, second).await.unwrap();
    assert!(!other.owns_call(id, second).await.unwrap());
    assert_eq!(lab.store.own_call(id, NOW + 2).await.unwrap(), 3);
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
        tokio::spawn(async move { store.own_call(id, NOW).await.unwrap() })
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
async fn open_calls_show_their_owner_and_its_last_heartbeat(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
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
    let seen = async |id| {
        let open = lab.store.open_calls().await.unwrap();
        assert_eq!(open.len(), 3);
        let live = open.into_iter().find(|live| live.record.id == id).unwrap();
        (live.node, live.seen_at)
    };
    assert_eq!(seen(owned).await, (Some("node-1".into()), Some(NOW)));
    lab.store.heartbeat(NOW + 1000).await.unwrap();
    assert_eq!(seen(owned).await.1, Some(NOW + 1000));
    assert_eq!(seen(ringing).await, (None, None));
    assert_eq!(seen(over).await, (None, None));
    lab.store
        .change(over, Change::Recorded, Facts::default(), NOW)
        .await
        .unwrap();
    assert_eq!(lab.store.open_calls().await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_node_that_came_back_does_not_keep_its_former_lifes_calls_alive(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    lab.store.own_call(id, NOW).await.unwrap();
    lab.store.heartbeat(NOW + 1000).await.unwrap();
    let reborn = lab.node("node-1").await;
    reborn.heartbeat(NOW + 60_000).await.unwrap();
    assert_eq!(
        reborn.open_calls().await.unwrap()[0].seen_at,
        Some(NOW + 1000)
    );
    // Long after, the former life is forgotten; the call still shows since when it was owned.
    let later = lab.node("node-1").await;
    later.heartbeat(NOW + 48 * 3_600_000).await.unwrap();
    assert_eq!(later.open_calls().await.unwrap()[0].seen_at, Some(NOW));
}
