//! Event log and raw log.

use bolo_execution::{Change, Component, Entry, EntryKind};
use rstest::rstest;

use super::{Lab, NOW, On};
use crate::{Callback, Error, Facts, LogLine};

fn entry(text: &str) -> Entry {
    Entry::new(Component::Llm, EntryKind::Request, "gpt", text)
        .with("tokens", 3)
        .leg("1")
}

#[rstest]
#[tokio::test]
async fn lines_come_back_in_order_and_whole(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let log = lab.store.call_log(id);
    log.flush().await.unwrap();
    assert_eq!(
        lab.store.events(lab.account, id).await.unwrap(),
        Vec::<String>::new()
    );
    log.event(r#"{"n":1}"#.into()).unwrap();
    log.entry(entry("line\nbreak \0 and é"), NOW).unwrap();
    log.event("{\n\"n\":2}".into()).unwrap();
    log.flush().await.unwrap();
    lab.store
        .append_log(lab.account, id, entry("from outside"), NOW + 1)
        .await
        .unwrap();
    log.entry(entry("last"), NOW + 2).unwrap();
    log.event(r#"{"n":3}"#.into()).unwrap();
    log.flush().await.unwrap();

    let events = lab.store.events(lab.account, id).await.unwrap();
    assert_eq!(events, [r#"{"n":1}"#, "{ \"n\":2}", r#"{"n":3}"#]);
    let expected = [
        (NOW, "line\nbreak \0 and é"),
        (NOW + 1, "from outside"),
        (NOW + 2, "last"),
    ]
    .map(|(created_at, text)| LogLine {
        created_at,
        entry: entry(text),
    });
    assert_eq!(
        lab.store.log_lines(lab.account, id).await.unwrap(),
        expected
    );
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_calls_write_at_once_into_few_rows(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    lab.store
        .set_account("default", Some(100), None)
        .await
        .unwrap();
    let mut calls = Vec::new();
    for _ in 0..70 {
        let id = lab.talking().await.id;
        calls.push((id, lab.store.call_log(id)));
    }
    for n in 0..20 {
        for (_, log) in &calls {
            log.event(n.to_string()).unwrap();
        }
    }
    let flushes = calls.iter().map(|(_, log)| log.flush());
    futures_util::future::try_join_all(flushes).await.unwrap();
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for (id, _) in &calls {
        assert_eq!(lab.store.events(lab.account, *id).await.unwrap(), expected);
    }
}

#[rstest]
#[tokio::test]
async fn a_call_taken_over_is_no_longer_written_by_its_former_owner(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let bystander = lab.talking().await.id;
    let log = lab.store.call_log(id);
    let untouched = lab.store.call_log(bystander);
    lab.store.own_call(id, NOW).await.unwrap();
    log.event("mine".into()).unwrap();
    log.flush().await.unwrap();

    let other = lab.node("node-2").await;
    other.own_call(id, NOW).await.unwrap();
    log.event("too late".into()).unwrap();
    untouched.event("kept".into()).unwrap();
    assert!(matches!(log.flush().await, Err(Error::TakenOver)));
    assert!(matches!(
        log.event("even later".into()),
        Err(Error::TakenOver)
    ));
    untouched.flush().await.unwrap();

    let taken = other.call_log(id);
    taken.event("theirs".into()).unwrap();
    taken.flush().await.unwrap();
    // News of the carrier's reach any node.
    lab.store.log_from_outside(id, entry("news"), NOW).unwrap();
    untouched.flush().await.unwrap();
    assert_eq!(
        lab.store.events(lab.account, id).await.unwrap(),
        ["mine", "theirs"]
    );
    let noted = lab.store.log_lines(lab.account, id).await.unwrap();
    assert_eq!(noted[0].entry, entry("news"));
    assert_eq!(
        lab.store.events(lab.account, bystander).await.unwrap(),
        ["kept"]
    );
}

#[rstest]
#[tokio::test]
async fn a_callback_is_logged_once_however_often_and_wherever_it_comes(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let (id, second) = (lab.talking().await.id, lab.talking().await.id);
    let other = lab.node("node-2").await;
    let told = |store: &crate::Store, id, call: &str, event: &str, sequence| {
        let callback = Callback {
            provider: "twilio".into(),
            call_id: call.into(),
            event: event.into(),
            sequence,
        };
        let text = format!("{call} {event} {sequence}");
        store.log_callback(id, callback, entry(&text), NOW).unwrap();
    };
    for _ in 0..2 {
        for _ in 0..2 {
            told(&lab.store, id, "CA1", "status", 0);
            told(&lab.store, id, "CA1", "status", u64::MAX);
            told(&lab.store, id, "CA1", "an\0swer", 0);
            told(&lab.store, second, "CA2", "status", 0);
        }
        // Committed; what follows is of another batch.
        lab.store.log_lines(lab.account, id).await.unwrap();
        told(&other, id, "CA1", "status", 0);
        told(&other, id, "CA1", "status", 1);
    }
    other.close().await;
    let lines = async |id| -> Vec<String> {
        let lines = lab.store.log_lines(lab.account, id).await.unwrap();
        lines.into_iter().map(|line| line.entry.data).collect()
    };
    let most = format!("CA1 status {}", u64::MAX);
    assert_eq!(
        lines(id).await,
        ["CA1 status 0", &most, "CA1 an\0swer 0", "CA1 status 1"]
    );
    assert_eq!(lines(second).await, ["CA2 status 0"]);
    // What is counted by them goes on behind those that were logged.
    let counted = lab.store.first_callback("twilio", "CA1", "status", 1, NOW);
    assert!(!counted.await.unwrap());
}

#[rstest]
#[tokio::test]
async fn closing_writes_what_waits_and_refuses_more(#[values(On::Sqlite, On::Postgres)] on: On) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let node = lab.node("node-2").await;
    let log = node.call_log(id);
    for n in 0..100 {
        log.event(n.to_string()).unwrap();
    }
    node.close().await;
    node.close().await;
    assert!(matches!(
        log.event("more".into()),
        Err(Error::Unavailable(_))
    ));
    assert!(matches!(log.flush().await, Err(Error::Unavailable(_))));
    assert_eq!(lab.store.events(lab.account, id).await.unwrap().len(), 100);
}

#[rstest]
#[tokio::test]
async fn the_transcript_so_far_is_in_the_row_until_the_end_writes_the_last(
    #[values(On::Sqlite, On::Postgres)] on: On,
) {
    let Some(lab) = Lab::on(on).await else { return };
    let id = lab.talking().await.id;
    let log = lab.store.call_log(id);
    let noted = async || {
        log.flush().await.unwrap();
        lab.store.execution_unscoped(id).await.unwrap().transcript
    };
    log.transcript("assistant: Hi.".into(), NOW).unwrap();
    log.transcript("assistant: Hi.\nuser: a \0".into(), NOW)
        .unwrap();
    assert_eq!(noted().await.unwrap(), "assistant: Hi.\nuser: a \u{fffd}");
    assert_eq!(
        lab.store.events(lab.account, id).await.unwrap(),
        Vec::<String>::new()
    );

    let facts = Facts {
        transcript: Some("all of it".into()),
        ..Facts::default()
    };
    lab.store
        .change(id, Change::MediaEnded, facts, NOW)
        .await
        .unwrap();
    log.transcript("late".into(), NOW).unwrap();
    assert_eq!(noted().await.unwrap(), "all of it");
}
