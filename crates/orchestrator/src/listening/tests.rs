//! The caller's audio on its way to a transcriber that the test plays.
#![allow(clippy::unwrap_used, clippy::panic)]

mod mute;

use std::{future::poll_fn, sync::atomic::Ordering};

use bolo_providers::{ErrorKind, Transcriber};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::*;
use crate::{
    bench::{Far, Vendor, error},
    line::{Opener, open_after},
};

type Sessions = mpsc::Receiver<Far<Hear, Heard>>;

fn ears() -> (Ears, Sessions, std::sync::Arc<Vendor<Hear, Heard>>) {
    ears_of(true)
}

fn ears_of(gives_interims: bool) -> (Ears, Sessions, std::sync::Arc<Vendor<Hear, Heard>>) {
    let (vendor, sessions) = Vendor::new();
    let spec = bolo_providers::TranscriberSpec {
        model: String::new(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        format: Format::Mulaw8k,
        execution: String::new(),
    };
    let opens = vendor.clone();
    let open: Opener<Hear, Heard> = std::sync::Arc::new(move || {
        let (vendor, spec) = (opens.clone(), spec.clone());
        async move { vendor.open(&spec).await }.boxed()
    });
    let first = open_after(&open, Duration::ZERO);
    let mut ears = Ears::new(
        Line::new("transcriber", open, WAITS, first),
        Format::Mulaw8k,
        gives_interims,
        Default::default(),
    );
    // Somebody has just spoken.
    ears.silent_ms = 0;
    (ears, sessions, vendor)
}

/// Lets the ears work until they have something to tell.
async fn tells(ears: &mut Ears) -> Input {
    match poll_fn(|cx| ears.poll(cx, Instant::now())).await {
        HeardNews::Input(input) => input,
        HeardNews::Ended => panic!("ended"),
    }
}

/// Lets the ears work as long as they have nothing to tell, until the vendor has a session.
async fn connects(ears: &mut Ears, sessions: &mut Sessions) -> Far<Hear, Heard> {
    let far = tokio::select! {
        input = tells(ears) => panic!("{input:?}"),
        far = sessions.recv() => far.unwrap(),
    };
    // The session is made; now the line takes it.
    while !ears.line.is_open() {
        if let Some(HeardNews::Input(input)) =
            poll_fn(|cx| ears.poll(cx, Instant::now())).now_or_never()
        {
            panic!("{input:?}");
        }
        tokio::task::yield_now().await;
    }
    far
}

fn frame(byte: u8) -> Bytes {
    vec![byte; 160].into()
}

/// All audio a session got so far.
fn got(far: &mut Far<Hear, Heard>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Hear::Audio(audio)) = far.input.try_recv() {
        all.extend_from_slice(&audio);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn audio_from_before_the_connection_is_heard_too() {
    let (mut ears, mut sessions, _) = ears();
    let now = Instant::now();
    ears.hear(&frame(1), 0, now);
    ears.hear(&frame(2), 20, now);
    let mut far = connects(&mut ears, &mut sessions).await;
    ears.hear(&frame(3), 40, now);
    assert_eq!(got(&mut far), [[1; 160], [2; 160], [3; 160]].concat());
    assert_eq!(ears.seconds().collect::<Vec<_>>(), [(0, 0.06)]);
}

#[tokio::test(start_paused = true)]
async fn holes_in_the_stream_are_filled_with_silence_and_long_frames_are_cut() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let now = Instant::now();
    ears.hear(&frame(1), 0, now);
    assert_eq!(ears.hear(&frame(2), 80, now).gap_ms, 60);
    assert_eq!(
        got(&mut far),
        [[1; 160], [0xFF; 160], [0xFF; 160], [0xFF; 160], [2; 160]].concat()
    );
    // A long hole is filled up to a second; a shift within half a frame is none.
    assert_eq!(ears.hear(&frame(3), 10_000, now).gap_ms, 1000);
    assert_eq!(ears.hear(&frame(4), 10_028, now).gap_ms, 0);
    ears.hear(&vec![5; 400].into(), 10_048, now);
    let mut lengths = Vec::new();
    while let Ok(Hear::Audio(audio)) = far.input.try_recv() {
        lengths.push(audio.len());
    }
    // The channel of 32 was full of silence before.
    assert_eq!(lengths.len(), 32);
    ears.flush();
    while let Ok(Hear::Audio(audio)) = far.input.try_recv() {
        lengths.push(audio.len());
    }
    assert_eq!(lengths[lengths.len() - 3..], [160, 160, 80]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_line_goes_on_in_steps_and_the_first_sound_takes_along_what_is_held() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let mut at = 0;
    // Lengths of what the transcriber gets of so many frames.
    let mut hears = |ears: &mut Ears, byte: u8, frames: u64| {
        let mut lengths = Vec::new();
        for _ in 0..frames {
            ears.hear(&frame(byte), at, Instant::now());
            at += FRAME_MS;
            while let Ok(Hear::Audio(audio)) = far.input.try_recv() {
                lengths.push(audio.len());
            }
        }
        lengths
    };
    assert_eq!(hears(&mut ears, 0xFF, 99), [160; 99]);
    assert_eq!(hears(&mut ears, 0xFF, 12), [1600]);
    assert_eq!(hears(&mut ears, 0x10, 3), [480, 160, 160]);
    assert_eq!(ears.seconds().collect::<Vec<_>>(), [(0, 2.28)]);
}

#[tokio::test(start_paused = true)]
async fn before_anybody_has_spoken_a_line_is_quiet() {
    let (mut ears, mut sessions, _) = ears();
    ears.silent_ms = SILENT_MS;
    assert_eq!(ears.frames_at_once(&frame(0xFF)), 5);
    assert_eq!(ears.frames_at_once(&[0xFF; 800].to_vec().into()), 2);
    let mut far = connects(&mut ears, &mut sessions).await;
    let mut lengths = Vec::new();
    for (nth, byte) in [0xFF; 12].into_iter().chain([0x10; 2]).enumerate() {
        ears.hear(&frame(byte), nth as u64 * FRAME_MS, Instant::now());
        lengths.push(got(&mut far).len());
    }
    let expected = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1600, 0, 0, 480, 160];
    assert_eq!(lengths, expected);
}

#[tokio::test(start_paused = true)]
async fn in_a_voice_frames_go_by_threes_its_end_at_once_and_the_silence_after_a_turn_in_steps() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let mut at = 0;
    // Lengths of what the transcriber gets with each frame, 0 for nothing.
    let mut hears = |ears: &mut Ears, far: &mut Far<Hear, Heard>, frame: &Bytes| {
        ears.hear(frame, at, Instant::now());
        at += FRAME_MS;
        got(far).len()
    };
    let voice = voice();
    let begin: Vec<usize> = (voice.iter().take(80))
        .map(|frame| hears(&mut ears, &mut far, frame))
        .collect();
    assert!(
        begin.windows(3).any(|three| three == [0, 0, 480]),
        "{begin:?}"
    );
    assert!(begin.iter().all(|length| *length <= 480), "{begin:?}");
    assert_eq!(ears.frames_at_once(&frame(0xFF)), 3);
    // No carrier's long frame waits for another in a voice.
    assert_eq!(ears.frames_at_once(&[0xFF; 800].to_vec().into()), 1);
    // Into the agent's speech each goes at once.
    ears.into_speech = true;
    assert_eq!(ears.frames_at_once(&frame(0xFF)), 1);
    let into: Vec<usize> = (voice.iter().skip(80).take(10))
        .map(|frame| hears(&mut ears, &mut far, frame))
        .collect();
    assert!(into[1..].iter().all(|length| *length == 160), "{into:?}");
    ears.into_speech = false;
    let held = ears.held.len();
    let quiet = frame(0xFF);
    // A block of the detector may still reach back into the voice.
    let first = hears(&mut ears, &mut far, &quiet) + hears(&mut ears, &mut far, &quiet);
    assert_eq!(first, held + 320);
    for _ in 0..20 {
        assert_eq!(hears(&mut ears, &mut far, &quiet), 160);
    }
    assert_eq!(ears.frames_at_once(&quiet), 1);
    let why = HeardEnd::SpeechFinal;
    let text = "one".to_owned();
    (far.output.send(Ok(Heard::TurnEnd { text, why })))
        .await
        .unwrap();
    assert!(matches!(tells(&mut ears).await, Input::TurnEnd { .. }));
    for _ in 0..9 {
        assert_eq!(hears(&mut ears, &mut far, &quiet), 0);
    }
    assert_eq!(hears(&mut ears, &mut far, &quiet), 1600);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_replaced_and_hears_what_came_since_the_last_final() {
    let (mut ears, mut sessions, vendor) = ears();
    let far = connects(&mut ears, &mut sessions).await;
    let now = Instant::now();
    ears.hear(&frame(1), 0, now);
    far.output
        .send(Ok(Heard::Final("one".into())))
        .await
        .unwrap();
    assert_eq!(tells(&mut ears).await, Input::Final { text: "one".into() });
    ears.hear(&frame(2), 20, now);
    vendor.refuse.store(2, Ordering::Relaxed);
    far.output
        .send(Err(error(ErrorKind::Dropped, "connection lost")))
        .await
        .unwrap();
    let Input::TranscriberDown { fault } = tells(&mut ears).await else {
        panic!()
    };
    assert_eq!(fault.kind, FaultKind::Dropped);
    ears.hear(&frame(3), 40, now);
    let broke = Instant::now();
    assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
    assert_eq!(
        broke.elapsed(),
        Duration::from_millis(500),
        "at once, then after 250 and 250"
    );
    ears.hear(&frame(4), 60, now);
    let mut far = sessions.recv().await.unwrap();
    assert_eq!(got(&mut far), [[2; 160], [3; 160], [4; 160]].concat());
}

#[tokio::test(start_paused = true)]
async fn who_comes_after_the_callers_last_sound_has_time_to_tell_what_it_was() {
    let (mut ears, mut sessions, vendor) = ears();
    let far = connects(&mut ears, &mut sessions).await;
    let now = Instant::now();
    for (nth, frame) in voice().iter().take(120).enumerate() {
        ears.hear(frame, nth as u64 * FRAME_MS, now);
    }
    vendor.refuse.store(2, Ordering::Relaxed);
    drop(far);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
    let mut at = 120 * FRAME_MS;
    let mut quiet = |ears: &mut Ears, frames: usize| {
        for _ in 0..frames {
            ears.hear(&frame(0xFF), at, now);
            at += FRAME_MS;
        }
    };
    quiet(&mut ears, 60);
    assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
    let _far = sessions.recv().await.unwrap();
    quiet(&mut ears, 30);
    assert!(tells(&mut ears).now_or_never().is_none());
    quiet(&mut ears, 30);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn six_failed_tries_are_the_last() {
    let (mut ears, mut sessions, vendor) = ears();
    let far = connects(&mut ears, &mut sessions).await;
    vendor.refuse.store(usize::MAX, Ordering::Relaxed);
    drop(far);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
    let broke = Instant::now();
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberLost { .. }
    ));
    assert_eq!(broke.elapsed(), Duration::from_millis(4000));
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 1 + 6);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_not_tried_again() {
    let (mut ears, mut sessions, vendor) = ears();
    let far = connects(&mut ears, &mut sessions).await;
    far.output
        .send(Err(error(ErrorKind::Auth, "authentication failed")))
        .await
        .unwrap();
    let Input::TranscriberLost { fault } = tells(&mut ears).await else {
        panic!()
    };
    assert_eq!(fault.kind, FaultKind::Auth);
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn more_than_three_breaks_in_a_minute_are_given_up() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    for _ in 0..3 {
        drop(far);
        assert!(matches!(
            tells(&mut ears).await,
            Input::TranscriberDown { .. }
        ));
        assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
        far = sessions.recv().await.unwrap();
    }
    drop(far);
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberLost { .. }
    ));
}

#[tokio::test(start_paused = true)]
async fn a_slow_transcriber_costs_the_oldest_audio_not_the_call() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let frames: Vec<Bytes> = (0..600).map(|n| frame((n % 250) as u8)).collect();
    for (n, frame) in frames.iter().enumerate() {
        ears.hear(frame, n as u64 * FRAME_MS, Instant::now());
    }
    // What the channel takes is taken; of the rest the last five seconds wait.
    let taken = got(&mut far);
    let all = frames.concat();
    assert!(all.starts_with(&taken));
    let mut rest = Vec::new();
    loop {
        ears.flush();
        match got(&mut far) {
            some if some.is_empty() => break,
            some => rest.extend(some),
        }
    }
    assert!(all.ends_with(&rest));
    let five_seconds = 5 * 8000;
    assert!((five_seconds - 480..=five_seconds + 480).contains(&rest.len()));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_there_comes_as_final() {
    let (mut ears, mut sessions, _) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    assert!(ears.finish());
    assert_eq!(far.input.recv().await, Some(Hear::Finish));
    far.output
        .send(Ok(Heard::Final("bye".into())))
        .await
        .unwrap();
    far.output.send(Ok(Heard::Billed(3.5))).await.unwrap();
    drop(far);
    assert_eq!(tells(&mut ears).await, Input::Final { text: "bye".into() });
    assert!(matches!(
        poll_fn(|cx| ears.poll(cx, Instant::now())).await,
        HeardNews::Ended
    ));
    assert_eq!(ears.seconds().collect::<Vec<_>>(), [(0, 3.5)]);
}

/// Seconds of a real voice.
fn voice() -> Vec<Bytes> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../simulator/callers/turn04-am_michael.wav"
    );
    // Behind a header of 58 bytes: mu-law.
    let speech = std::fs::read(path).unwrap()[58..].repeat(4);
    speech
        .chunks_exact(160)
        .map(Bytes::copy_from_slice)
        .collect()
}

#[tokio::test(start_paused = true)]
async fn of_a_line_nobody_has_spoken_on_a_second_is_kept() {
    let (mut ears, _sessions, _) = ears();
    let quiet = vec![frame(0xFF); 200];
    let mut kept = |frames: &[Bytes]| {
        for frame in frames {
            ears.take(frame, Instant::now(), &mut Vec::new());
        }
        ears.ring.len()
    };
    assert_eq!(kept(&quiet), 8000);
    assert!(kept(&voice()[..150]) > 3 * 8000);
    assert_eq!(kept(&quiet), 5 * 8000, "nothing was told of it yet");
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_which_nothing_was_told_is_replayed_to_another_connection() {
    let (mut ears, mut sessions, vendor) = ears();
    let mut far = connects(&mut ears, &mut sessions).await;
    let now = Instant::now();
    let mut at = 0;
    let mut hear = |ears: &mut Ears, frame: &Bytes| {
        ears.hear(frame, at, now);
        at += FRAME_MS;
    };
    // Too short to be missed, however often it comes.
    for _ in 0..4 {
        for frame in voice().iter().skip(25).take(20) {
            hear(&mut ears, frame);
        }
        for _ in 0..100 {
            hear(&mut ears, &frame(0xFF));
        }
        got(&mut far);
    }
    assert!(tells(&mut ears).now_or_never().is_none());
    for frame in voice().iter().take(120) {
        hear(&mut ears, frame);
    }
    for _ in 0..100 {
        hear(&mut ears, &frame(0xFF));
    }
    assert!(matches!(
        tells(&mut ears).await,
        Input::TranscriberDown { .. }
    ));
    assert_eq!(tells(&mut ears).await, Input::TranscriberUp);
    let mut far = sessions.recv().await.unwrap();
    assert!(got(&mut far).len() >= 32 * 160, "what he said");
    assert_eq!(vendor.asked.load(Ordering::Relaxed), 2);
}
