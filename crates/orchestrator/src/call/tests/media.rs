//! The media socket: lost, replaced, blocked, silent, with holes.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lost_socket_may_come_back() {
    let mut stage = call(
        "",
        json!({}),
        &["It ships on Monday, I think, in the morning."],
    )
    .await;
    let far = stage.hears().await;
    stage.pass(500).await;
    says(&far, "where is my order").await;
    stage.pass(500).await;
    let before = stage.peer.audio_ms();
    stage.peer.vanish();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (socket, peer) = bench::socket();
    stage.sockets.send(Box::new(socket)).await.unwrap();
    stage.peer = peer;
    stage.pass(3000).await;
    let after = stage.peer.audio_ms();
    assert!(
        after > 0 && before + after >= 44 * 40 - 100,
        "{before} + {after} ms"
    );
    stage.peer.says("stop");
    let (notebook, _, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Remote));
    let news = notebook.inputs(|input| matches!(input, Input::MediaLost | Input::MediaResumed));
    assert_eq!(
        news.iter()
            .map(|(_, input)| input.clone())
            .collect::<Vec<_>>(),
        [Input::MediaLost, Input::MediaResumed]
    );
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_does_not_come_back_ends_the_call() {
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(500).await;
    stage.peer.vanish();
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Lost));
}

#[tokio::test(start_paused = true)]
async fn a_second_socket_takes_over_and_the_first_is_closed() {
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(500).await;
    let (socket, peer) = bench::socket();
    stage.sockets.send(Box::new(socket)).await.unwrap();
    let mut old = std::mem::replace(&mut stage.peer, peer);
    stage.pass(100).await;
    assert!(!old.look(), "the old socket is closed");
    stage.peer.says("dtmf 1");
    stage.pass(100).await;
    assert_eq!(
        stage
            .notebook
            .inputs(|input| matches!(input, Input::Dtmf { .. }))
            .len(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_takes_nothing_for_two_seconds_is_dead() {
    let mut stage = call(
        "A welcome that is long enough to be heard for a while.",
        json!({}),
        &[],
    )
    .await;
    stage.pass(100).await;
    stage.peer.block();
    stage.pass(3000).await;
    let lost = stage.notebook.inputs(|input| *input == Input::MediaLost);
    assert_eq!(lost.len(), 1);
    assert!((2000..2500).contains(&lost[0].0), "{lost:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_frames_is_told_then_counts_as_lost() {
    let mut stage = call(
        "",
        json!({"hangup_after_silence": 0, "check_if_user_online": false}),
        &[],
    )
    .await;
    stage.pass(1000).await;
    tokio::time::sleep(Duration::from_millis(9500)).await;
    let told = stage
        .notebook
        .inputs(|input| matches!(input, Input::MediaFrozen { .. } | Input::MediaLost));
    assert_eq!(told, [(3980, Input::MediaFrozen { ms: 3000 })]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lost = stage.notebook.inputs(|input| *input == Input::MediaLost);
    assert_eq!(lost, [(10_980, Input::MediaLost)]);
}

#[tokio::test(start_paused = true)]
async fn holes_in_the_callers_stream_keep_the_recording_in_time() {
    let mut stage = call(
        "",
        json!({"hangup_after_silence": 0, "check_if_user_online": false}),
        &[],
    )
    .await;
    stage.pass(500).await;
    stage.peer.skip(300);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..10 {
        stage.peer.frame(0x10);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.pass(500).await;
    stage.peer.says("stop");
    let (_, _, _, left, ..) = stage.ends().await;
    assert_eq!(sounds(&left), [(800, 1000)]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_all_at_once_is_heard_to_the_last_and_in_its_order() {
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(500).await;
    for _ in 0..7 {
        stage.peer.frame(0x10);
    }
    stage.peer.says("dtmf 1");
    for _ in 0..3 {
        stage.peer.frame(0x10);
    }
    stage.peer.says("dtmf 2");
    stage.peer.says("stop");
    let (notebook, _, ledger, left, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Remote));
    let told = notebook.inputs(|input| matches!(input, Input::Dtmf { .. } | Input::MediaStop));
    let told: Vec<_> = told.into_iter().map(|(_, input)| input).collect();
    let key = |digit| Input::Dtmf { digit };
    assert_eq!(told, [key('1'), key('2'), Input::MediaStop]);
    let heard: usize = sounds(&left).iter().map(|(from, to)| to - from).sum();
    assert_eq!(heard, 200);
}
