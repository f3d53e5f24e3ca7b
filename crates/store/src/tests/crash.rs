//! A process that is killed loses nothing that was flushed, and leaves no half line.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rstest::rstest;

use super::{Lab, MASTER, On, settings};
use crate::Store;

const CHILD: &str = "BOLO_TEST_CRASH_CHILD";

#[rstest]
#[tokio::test]
async fn what_was_flushed_survives_a_kill(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let record = lab.talking().await;
    let database = lab
        .database
        .as_ref()
        .map(|database| database.url.clone())
        .unwrap_or_default();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::crash::child", "--ignored", "--nocapture"])
        .env(
            CHILD,
            format!("{} {} {database}", lab.folder.path().display(), record.id),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It goes on writing behind what it says is flushed.
    let mut flushed = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        if let Some(count) = line.unwrap().strip_prefix("flushed ") {
            flushed = count.parse().unwrap();
        }
        if flushed >= 500 {
            child.kill().unwrap();
            break;
        }
    }
    child.wait().unwrap();

    let again = lab.node("node-2").await;
    let events = again.events(record.account, record.id).await.unwrap();
    assert!(
        events.len() >= flushed && flushed >= 500,
        "{} of {flushed}",
        events.len()
    );
    let expected: Vec<String> = (0..events.len())
        .map(|n| format!("{{\"n\":{n}}}"))
        .collect();
    assert_eq!(
        events, expected,
        "a prefix of what was written, each line once"
    );

    let log = again.call_log(record.id);
    log.event("{\"after\":true}".into()).unwrap();
    log.flush().await.unwrap();
    assert_eq!(
        again
            .events(record.account, record.id)
            .await
            .unwrap()
            .last()
            .unwrap(),
        "{\"after\":true}"
    );
}

/// Not a test: the process that `what_was_flushed_survives_a_kill` kills.
#[tokio::test]
#[ignore = "run by what_was_flushed_survives_a_kill"]
async fn child() {
    let Ok(given) = std::env::var(CHILD) else {
        return;
    };
    let [folder, id, database] = given.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{given}")
    };
    let mut settings = settings(folder.as_ref(), None, MASTER, "node-1");
    if !database.is_empty() {
        settings.database_url = database.into();
    }
    let store = Store::open(settings).await.unwrap();
    let log = store.call_log(id.parse().unwrap());
    let mut n = 0;
    loop {
        for _ in 0..10 {
            log.event(format!("{{\"n\":{n}}}")).unwrap();
            n += 1;
        }
        log.flush().await.unwrap();
        println!("flushed {n}");
    }
}
