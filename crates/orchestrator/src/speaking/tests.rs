//! The agent's voice with a synthesizer that the test plays.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
};

use bolo_providers::{ErrorKind, Synthesizer};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::*;
use crate::{
    bench::{Far, Vendor, error, voice_spec},
    line::{Opener, open_after},
};

const A: AnswerId = AnswerId(1);

type Sessions = mpsc::Receiver<Far<Speak, Spoken>>;

struct Stage {
    mouth: Mouth,
    sessions: Sessions,
    vendor: Arc<Vendor<Speak, Spoken>>,
    facts: VecDeque<Input>,
}

impl Stage {
    fn new() -> Self {
        let (vendor, sessions) = Vendor::new();
        let opens = vendor.clone();
        let open: Opener<Speak, Spoken> = Arc::new(move || {
            let vendor = opens.clone();
            async move { vendor.open(&voice_spec()).await }.boxed()
        });
        let first = open_after(&open, Duration::ZERO);
        let voice = Voice {
            at_work: Default::default(),
            vendor: "fake",
            spec: Arc::new(voice_spec()),
            caching: true,
        };
        let line = Line::new("synthesizer", open, WAITS, first);
        let mouth = Mouth::new(line, voice, Clips::new(1 << 20), Instant::now());
        Self {
            mouth,
            sessions,
            vendor,
            facts: VecDeque::new(),
        }
    }

    fn say(&mut self, piece: u32, text: &str, last: bool) {
        let line = Say {
            answer: A,
            piece,
            text: text.into(),
            last,
            keep: true,
        };
        self.mouth.say(line, Instant::now(), &mut self.facts);
    }

    /// Works like the call's loop until there is a fact.
    async fn fact(&mut self) -> Input {
        loop {
            if let Some(fact) = self.facts.pop_front() {
                return fact;
            }
            self.step().await;
        }
    }

    async fn step(&mut self) {
        let Self { mouth, facts, .. } = self;
        let wake = mouth
            .wake_at()
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            () = poll_fn(|cx| mouth.poll(cx, Instant::now(), facts)) => {}
            () = tokio::time::sleep_until(wake) => {}
        }
        mouth.due(Instant::now(), facts);
    }

    /// Works until the vendor has another session and it was told something.
    async fn told(&mut self) -> (Far<Speak, Spoken>, Speak) {
        let mut far = loop {
            match self.sessions.try_recv() {
                Ok(far) => break far,
                Err(_) => self.step().await,
            }
        };
        let message = loop {
            match far.input.try_recv() {
                Ok(message) => break message,
                Err(_) => self.step().await,
            }
        };
        (far, message)
    }
}

fn audio(piece: u32, ms: u64) -> Spoken {
    let audio = (0..ms * 8)
        .map(|i| (i / 8) as u8)
        .collect::<Vec<_>>()
        .into();
    Spoken::Audio {
        context: 1,
        piece,
        audio,
        words: Vec::new(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_spoken_once_comes_from_the_cache_the_next_time() {
    let mut stage = Stage::new();
    stage.say(0, "One moment.", true);
    let (far, message) = stage.told().await;
    assert_eq!(
        message,
        Speak::Text {
            context: 1,
            piece: 0,
            text: "One moment.".into(),
            last: true
        }
    );
    for spoken in [
        audio(0, 300),
        Spoken::PieceDone {
            context: 1,
            piece: 0,
        },
        Spoken::Done { context: 1 },
    ] {
        far.output.send(Ok(spoken)).await.unwrap();
    }
    let made = Input::Audio {
        answer: A,
        piece: 0,
        chunk: 1,
        ms: 300,
        words: Vec::new(),
    };
    assert_eq!(stage.fact().await, made);
    assert_eq!(
        stage.fact().await,
        Input::PieceDone {
            answer: A,
            piece: 0
        }
    );
    assert_eq!(stage.fact().await, Input::SpeechDone { answer: A });
    assert_eq!(*stage.mouth.characters(), [(0, 11)].into());
    let first = stage.mouth.take(A, 1, Instant::now()).unwrap();
    assert!(first.last);
    assert!(stage.mouth.take(A, 1, Instant::now()).is_none());

    stage.say(0, "One moment.", true);
    assert_eq!(stage.facts.len(), 3, "at once, without the vendor");
    assert_eq!(
        stage.mouth.take(A, 1, Instant::now()).unwrap().audio,
        first.audio
    );
    assert_eq!(
        *stage.mouth.characters(),
        [(0, 11)].into(),
        "cached characters are not billed"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_cancelled_answer_comes_any_more() {
    let mut stage = Stage::new();
    stage.say(0, "A long story.", false);
    let (mut far, _) = stage.told().await;
    far.output.send(Ok(audio(0, 100))).await.unwrap();
    assert!(matches!(stage.fact().await, Input::Audio { .. }));
    stage.mouth.cancel(A);
    assert_eq!(far.input.recv().await, Some(Speak::Cancel { context: 1 }));
    assert!(stage.mouth.take(A, 1, Instant::now()).is_none());
    far.output.send(Ok(audio(0, 100))).await.unwrap();
    stage.step().await;
    assert!(stage.facts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn after_a_break_the_rest_is_made_anew_and_nothing_twice() {
    let mut stage = Stage::new();
    stage.say(0, "First.", false);
    stage.say(1, "Second.", true);
    let (far, _) = stage.told().await;
    far.output.send(Ok(audio(0, 200))).await.unwrap();
    far.output
        .send(Ok(Spoken::PieceDone {
            context: 1,
            piece: 0,
        }))
        .await
        .unwrap();
    far.output.send(Ok(audio(1, 120))).await.unwrap();
    for _ in 0..3 {
        stage.fact().await;
    }
    far.output
        .send(Err(error(ErrorKind::Dropped, "connection lost")))
        .await
        .unwrap();
    let (mut far, message) = stage.told().await;
    assert_eq!(
        message,
        Speak::Text {
            context: 1,
            piece: 1,
            text: "Second.".into(),
            last: true
        }
    );
    assert!(far.input.try_recv().is_err(), "the first piece was made");
    far.output.send(Ok(audio(1, 400))).await.unwrap();
    far.output
        .send(Ok(Spoken::Done { context: 1 }))
        .await
        .unwrap();
    let Input::Audio { chunk, ms, .. } = stage.fact().await else {
        panic!()
    };
    assert_eq!((chunk, ms), (3, 280));
    assert_eq!(
        stage.mouth.take(A, 3, Instant::now()).unwrap().audio[0],
        120,
        "goes on where the first connection ended"
    );
    assert_eq!(
        stage.fact().await,
        Input::PieceDone {
            answer: A,
            piece: 1
        }
    );
    assert_eq!(stage.fact().await, Input::SpeechDone { answer: A });
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_replaced_after_three_seconds_and_given_up_after_three() {
    let mut stage = Stage::new();
    stage.say(0, "Anybody there?", true);
    let begun = Instant::now();
    let (_first, _) = stage.told().await;
    let (_second, message) = stage.told().await;
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert!(matches!(message, Speak::Text { piece: 0, .. }));
    let (_third, _) = stage.told().await;
    let Input::SpeechFailed { answer, fault } = stage.fact().await else {
        panic!()
    };
    assert_eq!(begun.elapsed(), Duration::from_secs(9));
    assert_eq!((answer, fault.kind), (A, FaultKind::Timeout));
}

#[tokio::test(start_paused = true)]
async fn a_hole_within_an_answer_is_mended_soon_or_given_up() {
    let mut stage = Stage::new();
    stage.say(0, "A story with a hole.", true);
    let (far, _) = stage.told().await;
    far.output.send(Ok(audio(0, 200))).await.unwrap();
    assert!(matches!(stage.fact().await, Input::Audio { .. }));
    let begun = Instant::now();
    stage.mouth.take(A, 1, begun).unwrap();
    let (_second, message) = stage.told().await;
    assert_eq!(begun.elapsed(), DRY);
    assert!(matches!(message, Speak::Text { piece: 0, .. }));
    let Input::SpeechFailed { answer, fault } = stage.fact().await else {
        panic!()
    };
    assert_eq!(begun.elapsed(), DRY_MOST);
    assert_eq!((answer, fault.kind), (A, FaultKind::Timeout));
    stage.step().await;
    assert!(stage.facts.is_empty(), "told once");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_waits_for_its_text_has_no_hole() {
    let mut stage = Stage::new();
    stage.say(0, "First.", false);
    let (far, _) = stage.told().await;
    far.output.send(Ok(audio(0, 200))).await.unwrap();
    let done = Spoken::PieceDone {
        context: 1,
        piece: 0,
    };
    far.output.send(Ok(done)).await.unwrap();
    assert!(matches!(stage.fact().await, Input::Audio { .. }));
    stage.mouth.take(A, 1, Instant::now()).unwrap();
    assert!(matches!(stage.fact().await, Input::PieceDone { .. }));
    tokio::time::sleep(DRY_MOST * 2).await; // no-sleep-ok: virtual
    stage.say(1, "Second.", true);
    let begun = Instant::now();
    let (_second, _) = stage.told().await;
    assert_eq!(begun.elapsed(), DRY);
}

#[tokio::test(start_paused = true)]
async fn a_vendor_that_cannot_be_reached_fails_the_speech_and_is_tried_again_for_the_next() {
    let mut stage = Stage::new();
    stage.vendor.refuse.store(3, Ordering::Relaxed);
    stage.say(0, "Hello.", true);
    assert!(matches!(stage.fact().await, Input::SpeechFailed { .. }));
    assert_eq!(stage.vendor.asked.load(Ordering::Relaxed), 3);
    stage.say(0, "Hello again.", true);
    let (_far, message) = stage.told().await;
    assert!(matches!(message, Speak::Text { text, .. } if text == "Hello again."));
}

#[tokio::test(start_paused = true)]
async fn too_much_audio_makes_the_synthesizer_wait() {
    let mut stage = Stage::new();
    stage.say(0, "A very long story.", true);
    let (far, _) = stage.told().await;
    for _ in 0..40 {
        far.output.send(Ok(audio(0, 1000))).await.unwrap();
    }
    let mut chunks = 0;
    while let Some(Input::Audio { .. }) = tokio::select! {
        fact = stage.fact() => Some(fact),
        () = tokio::time::sleep(Duration::from_secs(1)) => None,
    } {
        chunks += 1;
    }
    assert_eq!(chunks, 30);
    assert!(stage.mouth.take(A, 1, Instant::now()).is_some());
    assert!(
        matches!(stage.fact().await, Input::Audio { chunk: 31, .. }),
        "one played, one more comes"
    );
}
