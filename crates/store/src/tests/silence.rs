//! A network that falls silent without a word takes no more along than what was under way.

use std::time::Duration;

use tokio::time::{pause, resume, sleep};

use super::{
    Lab, On,
    link::{Fault, Link},
};
use crate::{
    Error, Store,
    db::{Engine, Tx},
    postgres::{BUSY, CONNECTIONS, SILENT},
};

/// A store whose connections are all within a transaction, and then forgotten by the network.
async fn forgotten() -> Option<(Lab, Link, Store, Vec<Tx>)> {
    let lab = Lab::on(On::Postgres).await?;
    let mut link = Link::to(&lab.database.as_ref()?.url).await;
    let settings = crate::Settings {
        database_url: link.url.clone(),
        ..lab.settings(super::MASTER, "node-2")
    };
    let store = Store::open(settings).await.unwrap();
    let mut begun = Vec::new();
    for _ in 0..CONNECTIONS {
        begun.push(store.db().begin().await.unwrap());
    }
    link.fail(Fault::Forget, Duration::ZERO);
    Some((lab, link, store, begun))
}

#[tokio::test]
async fn what_is_not_answered_has_failed_and_others_ask_anew() {
    let Some((_lab, _link, store, begun)) = forgotten().await else {
        return;
    };
    // Nothing comes any more, so that time passes at once.
    pause();
    let since = tokio::time::Instant::now();
    for tx in begun {
        let ended: Result<(), Error> = tx.commit().await;
        assert!(matches!(ended, Err(Error::Unavailable(_))), "{ended:?}");
    }
    assert_eq!(since.elapsed().as_secs(), (SILENT * CONNECTIONS).as_secs());
    resume();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn connections_that_do_not_come_back_are_replaced() {
    let Some((_lab, _link, store, begun)) = forgotten().await else {
        return;
    };
    pause();
    drop(begun);
    sleep(BUSY + Duration::from_millis(1)).await; // no-sleep-ok: virtual
    resume();
    store.ping().await.unwrap();
}

#[tokio::test]
async fn whoever_is_silent_within_a_transaction_lets_go_of_its_locks() {
    let Some(lab) = Lab::on(On::Postgres).await else {
        return;
    };
    let Engine::Postgres(mut tx) = lab.store.db().begin().await.unwrap() else {
        panic!("not PostgreSQL");
    };
    let sql = "SHOW idle_in_transaction_session_timeout";
    let limit: String = sqlx::query_scalar(sql).fetch_one(&mut *tx).await.unwrap();
    assert_eq!(limit, "10s");
}
