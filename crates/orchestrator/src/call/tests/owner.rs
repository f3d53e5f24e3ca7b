//! A call that another node has taken: silence, and not a word to carrier or record
//! (wire-telephony.md §6.2).

use super::*;

const LONG: &str = "A welcome that is long enough to be heard for quite a while, I should think.";

/// Ends, having said nothing to anyone.
async fn ends_in_silence(stage: Stage) {
    let told = stage.paper.lines.lock().unwrap().len();
    let (notebook, paper, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Superseded));
    let lines = paper.lines.lock().unwrap();
    assert!(
        !lines[told..]
            .iter()
            .any(|line| line == "ending" || line == "hang up"),
        "{lines:?}"
    );
    let ends = notebook.inputs(|input| matches!(input, Input::MediaStop | Input::StopRequested));
    assert_eq!(ends, []);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_taken_over_falls_silent() {
    let mut stage = call(LONG, json!({}), &[]).await;
    stage.pass(500).await;
    assert!(stage.peer.audio_ms() > 0);
    let old = Command::TakenOver { epoch: 1 };
    stage.commands.send(old).await.unwrap();
    let before = stage.peer.audio_ms();
    stage.pass(500).await;
    assert!(
        stage.peer.audio_ms() > before,
        "it was this node that took it"
    );
    let new = Command::TakenOver { epoch: 2 };
    stage.commands.send(new).await.unwrap();
    stage.pass(20).await;
    let before = stage.peer.audio_ms();
    stage.pass(1000).await;
    assert_eq!(stage.peer.audio_ms(), before);
    ends_in_silence(stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_its_node_falls_silent_and_closes_its_socket() {
    let mut stage = call(LONG, json!({}), &[]).await;
    stage.pass(500).await;
    stage.commands.send(Command::Leave).await.unwrap();
    stage.pass(20).await;
    let before = stage.peer.audio_ms();
    stage.pass(1000).await;
    assert_eq!(stage.peer.audio_ms(), before);
    ends_in_silence(stage).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_asks_first_whose_the_call_is() {
    for taken_over in [false, true] {
        let mut stage = call(LONG, json!({}), &[]).await;
        stage.pass(500).await;
        let before = stage.peer.audio_ms();
        stage.paper.taken_over.store(taken_over, Ordering::Relaxed);
        tokio::time::advance(Duration::from_secs(3)).await;
        stage.pass(1000).await;
        assert_eq!(stage.peer.audio_ms() == before, taken_over);
        if taken_over {
            ends_in_silence(stage).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_socket_of_a_call_that_was_elsewhere_meanwhile_is_sent_back() {
    let mut stage = call(LONG, json!({}), &[]).await;
    stage.pass(500).await;
    stage.peer.vanish();
    tokio::time::sleep(Duration::from_secs(1)).await;
    stage.paper.taken_over.store(true, Ordering::Relaxed);
    let (socket, mut peer) = bench::socket();
    stage.sockets.send(Box::new(socket)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!peer.look(), "closed");
    assert_eq!(peer.audio_ms(), 0);
    ends_in_silence(stage).await;
}
