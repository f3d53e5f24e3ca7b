//! A node that loses a part of itself.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::commands::serve::serve_until;

async fn node(folder: &tempfile::TempDir) -> Node {
    let mut settings = Settings {
        data_dir: folder.path().to_owned(),
        ..Settings::default()
    };
    settings.server.listen = ([127, 0, 0, 1], 0).into();
    // The process's metrics are installed by whoever is first.
    static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _first = ONE_AT_A_TIME.lock().await;
    Node::start(settings).await.unwrap()
}

#[tokio::test]
async fn a_part_that_panics_stops_the_node_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(&folder).await;
    let worker = tokio::spawn(async { panic!("a bug in a loop") });
    node.tasks
        .spawn(async move { worker.await.context("the worker failed") });
    let error = serve_until(std::future::pending(), node).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.starts_with("the worker failed: "), "{error}");
    assert!(error.contains("a bug in a loop"), "{error}");
}

#[tokio::test]
async fn a_part_that_fails_while_the_node_stops_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(&folder).await;
    let stopped = node.stop.clone();
    node.tasks.spawn(async move {
        stopped.cancelled().await;
        Err(anyhow!("could not end well"))
    });
    let asked = std::future::ready(Ok(()));
    let error = serve_until(asked, node).await.unwrap_err();
    assert_eq!(error.to_string(), "could not end well");
}

#[tokio::test]
async fn without_its_call_log_a_node_does_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut node = node(&folder).await;
    node.store.close().await;
    assert_eq!(
        node.failed().await.to_string(),
        "the writer of call logs failed"
    );
}

#[tokio::test]
async fn a_healthy_node_stops_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let node = node(&folder).await;
    serve_until(std::future::ready(Ok(())), node).await.unwrap();
}
