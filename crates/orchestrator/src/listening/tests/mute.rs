//! Connections that live and tell nothing of what is being said.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_vendor_that_writes_at_the_end_is_not_missed_during_a_long_sentence() {
    let (mut ears, mut sessions, vendor) = ears_of(false);
    let far = connects(&mut ears, &mut sessions).await;
    let text = Heard::Final("one".into());
    far.output.send(Ok(text)).await.unwrap();
    assert!(matches!(tells(&mut ears).await, Input::Final { .. }));
    let now = Instant::now();
    for (index, frame) in voice().into_iter().cycle().take(1000).enumerate() {
        ears.hear(&frame, index as u64 * 20, now);
    }
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 1);
    assert!(tells(&mut ears).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_mute_while_the_caller_speaks_is_replaced() {
    let (mut ears, mut sessions, vendor) = ears();
    let far = connects(&mut ears, &mut sessions).await;
    let text = Heard::Interim("where".into());
    far.output.send(Ok(text)).await.unwrap();
    assert!(matches!(tells(&mut ears).await, Input::Interim { .. }));
    let now = Instant::now();
    let mut frames = voice().into_iter().cycle().enumerate();
    let mut speak = |ears: &mut Ears, count: usize| {
        for (index, frame) in frames.by_ref().take(count) {
            ears.hear(&frame, index as u64 * 20, now);
        }
    };
    speak(&mut ears, 1000);
    let Input::TranscriberDown { fault } = tells(&mut ears).await else {
        panic!()
    };
    assert_eq!(fault.kind, FaultKind::Timeout);
    assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
    // The new one may have nothing to tell: it is not replaced before it has told some text.
    let far = sessions.recv().await.unwrap();
    speak(&mut ears, 1000);
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 2);
    far.output
        .send(Ok(Heard::Interim("my order".into())))
        .await
        .unwrap();
    assert!(matches!(tells(&mut ears).await, Input::Interim { .. }));
    speak(&mut ears, 1000);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
}

#[tokio::test(start_paused = true)] // R186
async fn what_a_mute_connection_was_sent_is_accounted_beside_the_bill_of_the_next() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let now = Instant::now();
    let mut frames = voice().into_iter().cycle().enumerate();
    let mut sent = 0;
    while ears.mute.is_none() {
        let (index, frame) = frames.next().unwrap();
        ears.hear(&frame, index as u64 * FRAME_MS, now);
        sent += got(&mut far).len();
    }
    drop(far);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
    assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
    let mut far = sessions.recv().await.unwrap();
    assert!(ears.finish());
    far.output.send(Ok(Heard::Billed(3.5))).await.unwrap();
    while far.input.try_recv().is_ok() {}
    drop(far);
    assert!(matches!(
        poll_fn(|cx| ears.poll(cx, Instant::now())).await,
        HeardNews::Ended
    ));
    assert!(sent > 8000);
    let seconds = 3.5 + sent as f64 / 8000.0;
    assert_eq!(ears.seconds().collect::<Vec<_>>(), [(0, seconds)]);
}
