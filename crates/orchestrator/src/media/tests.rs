//! How a socket is read while nobody waits for each frame.
#![allow(clippy::unwrap_used)]

use std::future::poll_fn;

use super::*;
use crate::bench::socket;

#[tokio::test(start_paused = true)]
async fn frames_wait_for_each_other_but_not_for_long() {
    let (socket, mut peer) = socket();
    let low_water = LowWater::default();
    let mut socket = socket.with_low_water(low_water.clone());
    peer.frame(0xFF);
    let arrived = poll_fn(|cx| socket.poll(cx, Instant::now())).await;
    assert!(matches!(arrived, Arrived::Event(MediaEvent::Audio { .. })));
    let frame = HEADER + "audio 0 ".len() + 2 * 160;

    socket.rest(5, Instant::now());
    // More than four of them, and five at most: whatever comes between makes it sooner.
    assert_eq!(low_water.unread(), 4 * frame + 1);
    assert_eq!(socket.wake_at(), Instant::now() + AT_LATEST);

    // The stream falls silent behind a digit.
    tokio::time::advance(AT_LATEST).await;
    assert!(socket.is_unasked(Instant::now()));
    let nothing = poll_fn(|cx| Poll::Ready(socket.poll(cx, Instant::now()))).await;
    assert!(nothing.is_pending());
    assert_eq!(
        low_water.unread(),
        0,
        "whatever lies there wakes its reader"
    );
    assert!(socket.wake_at() > Instant::now());

    socket.rest(3, Instant::now());
    assert_eq!(low_water.unread(), 2 * frame + 1);
    socket.rest(1, Instant::now());
    assert_eq!(low_water.unread(), 0, "each is waited for");
}
