//! The same rules near and far: both ends in one process, or each a node of its own with Redis between.

#![allow(clippy::unwrap_used, clippy::panic)]

use futures_util::FutureExt;
use rstest::rstest;

use super::*;
use crate::tests::{
    link::{Fault, Link},
    redis::{self, Redis},
};

/// Where the two ends of a message are.
#[derive(Debug, Clone, Copy)]
enum Ends {
    Near,
    Far,
}

/// Who sends, and who runs the calls.
fn ends(which: Ends) -> (Signals, Signals) {
    match which {
        Ends::Near => {
            let one = Signals::default();
            (one.clone(), one)
        }
        Ends::Far => {
            let url = redis::shared();
            (node(&url, "a"), node(&url, "b"))
        }
    }
}

fn node(url: &str, name: &str) -> Signals {
    let instance = format!("{name}-{}", uuid::Uuid::now_v7());
    Signals::between_nodes(&url.into(), &instance).unwrap()
}

/// Far ends hear of each other in their own time.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await; // no-sleep-ok: polling a condition under a deadline
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
}

#[rstest]
#[tokio::test]
async fn a_call_is_told_until_its_receiver_is_dropped(
    #[values(Ends::Near, Ends::Far)] which: Ends,
) {
    let (sender, runner) = ends(which);
    let id = ExecutionId::new();
    assert!(!sender.send(id, Command::Stop).await);
    assert!(!sender.is_live(id).await);
    let mut inbox = runner.register(id);
    until(async || sender.is_live(id).await).await;
    assert!(runner.is_here(id) && sender.answers(id).await);
    let failed = Command::TransferFailed("the line is busy".into());
    for command in [
        Command::Stop,
        Command::AnsweredBy { is_machine: true },
        failed,
    ] {
        assert!(sender.send(id, command.clone()).await);
        assert_eq!(inbox.recv().await, Some(command));
    }
    drop(inbox);
    assert!(!sender.send(id, Command::Stop).await);
    until(async || !sender.is_live(id).await).await;
    assert!(!sender.answers(id).await);
}

#[rstest]
#[tokio::test]
async fn the_newest_registration_wins_and_the_registry_does_not_grow(
    #[values(Ends::Near, Ends::Far)] which: Ends,
) {
    let (sender, runner) = ends(which);
    let id = ExecutionId::new();
    let mut older = runner.register(id);
    let mut newer = runner.register(id);
    until(async || sender.is_live(id).await).await;
    assert!(sender.send(id, Command::CarrierEnded(None)).await);
    assert_eq!(newer.recv().await, Some(Command::CarrierEnded(None)));
    assert_eq!(older.recv().await, None);
    for _ in 0..100 {
        drop(runner.register(ExecutionId::new()));
    }
    assert!(runner.here.calls.len() <= 2, "{}", runner.here.calls.len());
}

#[rstest]
#[tokio::test]
async fn a_call_that_reads_nothing_is_not_waited_for_long(
    #[values(Ends::Near, Ends::Far)] which: Ends,
) {
    let (sender, runner) = ends(which);
    let id = ExecutionId::new();
    let _inbox = runner.register(id);
    until(async || sender.is_live(id).await).await;
    for _ in 0..UNREAD {
        assert!(sender.send(id, Command::CarrierEnded(None)).await);
    }
    assert!(!sender.send(id, Command::Stop).await);
}

#[rstest]
#[tokio::test]
async fn a_wake_before_the_wait_counts(#[values(Ends::Near, Ends::Far)] which: Ends) {
    let (sender, runner) = ends(which);
    if let Ends::Far = which {
        // Both are connected, and have had the wake-up that comes with it.
        for end in [&sender, &runner] {
            let _inbox = end.register(ExecutionId::new());
            end.worker_woken(Work::Dials).await;
        }
    }
    sender.wake_worker(Work::Dials);
    sender.wake_worker(Work::Dials);
    runner.worker_woken(Work::Dials).await;
    let webhooks = runner.worker_woken(Work::Webhooks);
    if let Ends::Near = which {
        assert!(
            webhooks.now_or_never().is_none(),
            "woken for the dials only"
        );
        let mut waiting = Box::pin(runner.worker_woken(Work::Dials));
        assert!(waiting.as_mut().now_or_never().is_none());
        sender.wake_worker(Work::Dials);
        waiting.await;
    }
}

#[tokio::test]
async fn other_nodes_are_told_and_not_oneself() {
    let (sender, runner) = ends(Ends::Far);
    let id = ExecutionId::new();
    let mut theirs = runner.register(id);
    until(async || sender.is_live(id).await).await;
    let mut ours = sender.register(id);
    let command = Command::TakenOver { epoch: 2 };
    sender.tell_others(id, command.clone()).await;
    assert_eq!(theirs.recv().await, Some(command));
    assert!(ours.try_recv().is_err());
}

#[tokio::test]
async fn a_redis_that_comes_back_empty_is_told_all_anew() {
    let mut redis = Redis::start();
    let (sender, runner) = (node(&redis.url, "a"), node(&redis.url, "b"));
    let (before, during) = (ExecutionId::new(), ExecutionId::new());
    let mut first = runner.register(before);
    until(async || sender.send(before, Command::Stop).await).await;
    assert_eq!(first.recv().await, Some(Command::Stop));
    redis.stop();
    until(async || !sender.send(before, Command::Stop).await).await;
    let mut second = runner.register(during);
    assert!(!sender.is_live(during).await);
    redis.start_again();
    for (id, inbox) in [(before, &mut first), (during, &mut second)] {
        until(async || sender.send(id, Command::CarrierEnded(None)).await).await;
        let told = std::iter::from_fn(|| inbox.try_recv().ok()).last();
        assert_eq!(told, Some(Command::CarrierEnded(None)));
    }
}

#[tokio::test]
async fn a_redis_that_falls_silent_is_connected_to_anew() {
    let mut link = Link::to(&redis::shared()).await;
    let (sender, runner) = (node(&redis::shared(), "a"), node(&link.url, "b"));
    let (before, after) = (ExecutionId::new(), ExecutionId::new());
    let _first = runner.register(before);
    until(async || sender.is_live(before).await).await;
    link.fail(Fault::Forget, Duration::ZERO);
    // Subscribes, which nothing answers.
    let mut second = runner.register(after);
    until(async || sender.send(after, Command::Stop).await).await;
    assert_eq!(second.recv().await, Some(Command::Stop));
}

#[tokio::test]
async fn a_bad_address_is_refused_without_showing_a_password() {
    for bad in ["http://user:secret@host", "redis://user:secret@:notaport"] {
        let error = Signals::between_nodes(&bad.into(), "a")
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("redis.url:") && !error.contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn nodes_count_together_in_windows_that_end() {
    let (one, other) = ends(Ends::Far);
    let key = uuid::Uuid::now_v7().to_string();
    let window = Duration::from_millis(300);
    until(async || one.count("connected", window).await.is_some()).await;
    until(async || other.count("connected", window).await.is_some()).await;
    let (first, left) = one.count(&key, window).await.unwrap();
    assert_eq!(first, 1);
    assert!(left <= window);
    assert_eq!(
        other.count(&key, Duration::from_secs(60)).await.unwrap().0,
        2
    );
    // The second did not make it longer.
    until(async || one.count(&key, window).await.unwrap().0 == 1).await;
    let (alone, _) = ends(Ends::Near);
    assert_eq!(alone.count(&key, window).await, None);
}
