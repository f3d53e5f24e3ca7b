//! ElevenLabs.

use std::sync::Arc;

use bolo_agent::{Synthesizer as Agent, SynthesizerVendor};
use bolo_audio::Format;
use bolo_providers::{ErrorKind, Session, Speak, Spoken, Synthesizer, SynthesizerSpec};
use bolo_simulator::{
    elevenlabs::{FakeElevenlabs, Fault, Options},
    tone,
};

use crate::{all, keys, vendors};

fn synthesizer(fake: &FakeElevenlabs, key: &str) -> (Arc<dyn Synthesizer>, SynthesizerSpec) {
    let agent = Agent {
        vendor: SynthesizerVendor::Elevenlabs,
        voice: "Nila".into(),
        voice_id: "V9".into(),
        model: "eleven_turbo_v2_5".into(),
        language: "en".into(),
        speed: 1.0,
        buffer_size: 250,
        caching: false,
        options: serde_json::Map::new(),
    };
    let vendors = vendors("elevenlabs", fake.base_url(), key);
    vendors
        .synthesizer(&agent, &keys(), None, Format::Mulaw8k)
        .unwrap()
}

async fn open(options: Options, faults: &[Fault]) -> (Session<Speak, Spoken>, FakeElevenlabs) {
    let fake = FakeElevenlabs::start(options).await.unwrap();
    fake.fail_next(faults.iter().cloned());
    let (synthesizer, spec) = synthesizer(&fake, fake.api_key());
    (synthesizer.open(&spec).await.unwrap(), fake)
}

async fn say(session: &Session<Speak, Spoken>, context: u32, texts: &[&str]) {
    for (piece, text) in texts.iter().enumerate() {
        let speak = Speak::Text {
            context,
            piece: piece as u32,
            text: (*text).to_owned(),
            last: piece + 1 == texts.len(),
        };
        session.input.send(speak).await.unwrap();
    }
}

const TEXTS: [&str; 3] = [
    "Your order ships on Monday.",
    "It comes by post.",
    "Anything else?",
];

/// The sound of each piece, in the order it came; fails on what a caller must never see.
fn pieces(facts: &[Spoken]) -> Vec<(Vec<u8>, Vec<String>)> {
    let mut heard = vec![(Vec::new(), Vec::new())];
    let mut over = false;
    for fact in facts {
        assert!(!over, "after the end: {fact:?}");
        let open = heard.len() as u32 - 1;
        match fact {
            Spoken::Audio {
                piece,
                audio,
                words,
                ..
            } => {
                assert_eq!(*piece, open, "sound of a piece that is not open");
                let (sound, said) = heard.last_mut().unwrap();
                sound.extend_from_slice(audio);
                said.extend(words.iter().map(|(word, ..)| word.clone()));
            }
            Spoken::PieceDone { piece, .. } => {
                assert_eq!(*piece, open);
                heard.push(Default::default());
            }
            Spoken::Done { .. } => over = true,
        }
    }
    assert!(over, "the utterance never ended");
    heard.pop();
    heard
}

#[tokio::test]
async fn each_piece_has_its_own_sound_and_words() {
    for faults in [&[][..], &[Fault::Garbage], &[Fault::NeverFinal]] {
        let (session, fake) = open(Options::default(), faults).await;
        say(&session, 1, &TEXTS).await;
        let (facts, error) = all(session).await;
        assert!(error.is_none(), "{error:?}");
        let heard = pieces(&facts);
        assert_eq!(heard.len(), TEXTS.len());
        for ((sound, said), text) in heard.iter().zip(TEXTS) {
            assert_eq!(*sound, tone::speak(text), "{text}");
            assert_eq!(said.join(" "), text);
        }
        let characters: usize = TEXTS.iter().map(|text| text.len()).sum();
        assert_eq!(fake.characters(), characters as u64);
    }
}

#[tokio::test]
async fn nothing_of_a_cancelled_utterance_comes_after_the_next_has_begun() {
    let (mut session, _fake) = open(Options::default(), &[]).await;
    say(&session, 1, &TEXTS).await;
    let first = session.output.recv().await.unwrap().unwrap();
    assert!(matches!(
        first,
        Spoken::Audio {
            context: 1,
            piece: 0,
            ..
        }
    ));
    session
        .input
        .send(Speak::Cancel { context: 1 })
        .await
        .unwrap();
    say(&session, 2, &["No."]).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{error:?}");
    // What was told before the cancel was read is the caller's to drop.
    let of = |fact: &Spoken| match fact {
        Spoken::Audio { context, .. }
        | Spoken::PieceDone { context, .. }
        | Spoken::Done { context } => *context,
    };
    let second: Vec<_> = facts
        .iter()
        .skip_while(|fact| of(fact) == 1)
        .cloned()
        .collect();
    assert!(second.iter().all(|fact| of(fact) == 2), "{second:?}");
    assert_eq!(pieces(&second)[0].0, tone::speak("No."));
}

#[tokio::test]
async fn failures_are_told_apart() {
    for (fault, kind) in [
        (Fault::AuthMessage, ErrorKind::Auth),
        (Fault::QuotaMessage, ErrorKind::Quota),
        (Fault::LostAfter(2), ErrorKind::Dropped),
    ] {
        let (session, _fake) = open(Options::default(), &[fault]).await;
        say(&session, 1, &TEXTS).await;
        let (_, error) = all(session).await;
        assert_eq!(error.map(|error| error.kind), Some(kind));
    }
    for (status, kind) in [
        (401, ErrorKind::Auth),
        (429, ErrorKind::RateLimited),
        (500, ErrorKind::Server),
    ] {
        let fake = FakeElevenlabs::start(Options::default()).await.unwrap();
        fake.fail_next([Fault::Status(status)]);
        let (synthesizer, spec) = synthesizer(&fake, fake.api_key());
        assert_eq!(
            synthesizer.open(&spec).await.unwrap_err().kind,
            kind,
            "{status}"
        );
    }
    let fake = FakeElevenlabs::start(Options::default()).await.unwrap();
    let (synthesizer, spec) = synthesizer(&fake, "bad-key");
    let outcome = match synthesizer.open(&spec).await {
        Err(error) => Some(error),
        Ok(session) => {
            say(&session, 1, &TEXTS).await;
            all(session).await.1
        }
    };
    assert_eq!(outcome.map(|error| error.kind), Some(ErrorKind::Auth));
}
