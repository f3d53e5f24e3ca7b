//! How calls end, and what is written then.

use super::*;

#[tokio::test(start_paused = true)]
async fn our_own_hang_up_is_written_before_the_carrier_is_told_and_the_socket_closes() {
    let mut stage = call(
        "",
        json!({"hangup_after_silence": 5, "check_if_user_online": false}),
        &[],
    )
    .await;
    stage.pass(6000).await;
    assert!(!stage.peer.look(), "the socket is closed");
    let (_, paper, ledger, ..) = stage.ends().await;
    let books = ledger.books();
    assert_eq!(books.end, Some(End::Ours(EndReason::InactivityTimeout)));
    assert!(books.hung_up);
    let lines = paper.lines.lock().unwrap();
    assert_eq!(
        lines[lines.len() - 2..],
        ["ending".to_owned(), "hang up".to_owned()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_the_call_at_once() {
    let mut stage = call(
        "A welcome that goes on for quite some time.",
        json!({}),
        &[],
    )
    .await;
    stage.pass(300).await;
    stage.commands.send(Command::Stop).await.unwrap();
    stage.pass(100).await;
    assert!(stage.peer.names().contains(&"clear".to_owned()));
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Ours(EndReason::ApiStopped)));
}

#[tokio::test(start_paused = true)]
async fn a_stopping_node_says_goodbye_and_ends() {
    let mut stage = call("", json!({"call_hangup_message": "Bye."}), &[]).await;
    stage.pass(300).await;
    stage.stop.cancel();
    stage.pass(6000).await;
    assert!(
        stage.peer.audio_ms() >= 160,
        "the goodbye: {:?}",
        stage.peer.names()
    );
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(
        ledger.books().end,
        Some(End::Ours(EndReason::InternalError))
    );
}

#[tokio::test(start_paused = true)]
async fn the_carriers_word_that_the_call_is_over_ends_it() {
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(300).await;
    stage
        .commands
        .send(Command::CarrierEnded(None))
        .await
        .unwrap();
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().end, Some(End::Remote));
    assert!(ledger.books().hung_up);
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_knows_why_a_call_is_over_is_believed_unless_we_ended_it() {
    let limit = Hangup {
        by: HangupBy::Plivo,
        reason: "Carrier ended call because call limit exceeded".into(),
        code: 6000,
    };
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(300).await;
    stage.peer.says("stop");
    let told = Command::CarrierEnded(Some(limit.clone()));
    stage.commands.send(told).await.unwrap();
    let (_, _, ledger, ..) = stage.ends().await;
    let shown = ledger.books().hangup(Direction::Outbound);
    assert_eq!(shown, Some(limit.clone()));
    let mut books = Books::default();
    books.ended(End::Ours(EndReason::MaxDurationReached));
    books.carrier_ended(Some(limit));
    let shown = books.hangup(Direction::Outbound).unwrap();
    assert_eq!(shown.reason, "max_duration_reached");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_written_down_ends() {
    let mut stage = call("", json!({}), &[]).await;
    stage.pass(300).await;
    stage.notebook.full.store(true, Ordering::Relaxed);
    stage.peer.says("dtmf 1");
    stage.pass(200).await;
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(
        ledger.books().end,
        Some(End::Ours(EndReason::InternalError))
    );
}

#[tokio::test(start_paused = true)]
async fn the_callers_last_words_reach_the_transcript() {
    let mut stage = call("", json!({}), &["Sure"]).await;
    let mut far = stage.hears().await;
    stage.pass(500).await;
    far.output
        .send(Ok(Heard::Interim("please call me".into())))
        .await
        .unwrap();
    stage.pass(100).await;
    stage.peer.says("stop");
    while far.input.recv().await != Some(Hear::Finish) {}
    says(&far, "please call me back").await;
    drop(far);
    let (_, _, ledger, ..) = stage.ends().await;
    assert_eq!(ledger.books().transcript, "user: please call me back");
}
