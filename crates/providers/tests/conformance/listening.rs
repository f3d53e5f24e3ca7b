//! Deepgram.

use std::sync::Arc;

use bolo_agent::{Transcriber as Agent, TranscriberVendor};
use bolo_audio::Format;
use bolo_providers::{ErrorKind, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec};
use bolo_simulator::{
    deepgram::{FakeDeepgram, Fault, Options},
    tone,
};
use bytes::Bytes;

use crate::{all, keys, vendors};

fn transcriber(fake: &FakeDeepgram, key: &str) -> (Arc<dyn Transcriber>, TranscriberSpec) {
    let agent = Agent {
        vendor: TranscriberVendor::Deepgram,
        model: "nova-3".into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
    };
    let vendors = vendors("deepgram", fake.base_url(), key);
    vendors
        .transcriber(&agent, &keys(), Format::Mulaw8k)
        .unwrap()
}

async fn open(faults: &[Fault]) -> (Session<Hear, Heard>, FakeDeepgram) {
    let fake = FakeDeepgram::start(Options::default()).await.unwrap();
    fake.fail_next(faults.iter().cloned());
    let (transcriber, spec) = transcriber(&fake, fake.api_key());
    (transcriber.open(&spec).await.unwrap(), fake)
}

async fn say(session: &Session<Hear, Heard>, text: &str) -> usize {
    let mut audio = tone::speak(text);
    // A second of silence, to a whole frame.
    audio.resize((audio.len() + 8000).next_multiple_of(160), 0xFF);
    for frame in audio.chunks(160) {
        // A session that ended on a fault takes no more.
        if session
            .input
            .send(Hear::Audio(Bytes::copy_from_slice(frame)))
            .await
            .is_err()
        {
            break;
        }
    }
    audio.len()
}

fn ended(facts: &[Heard]) -> Vec<(&str, HeardEnd)> {
    let turn = |fact: &'_ Heard| matches!(fact, Heard::TurnEnd { .. });
    facts
        .iter()
        .filter(|fact| turn(fact))
        .filter_map(|fact| match fact {
            Heard::TurnEnd { text, why } => Some((text.as_str(), *why)),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn a_turn_is_heard_and_billed() {
    let (session, fake) = open(&[]).await;
    let bytes = say(&session, "where is my order").await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(facts[0], Heard::SpeechStarted);
    assert!(
        facts
            .iter()
            .any(|fact| matches!(fact, Heard::Interim(text) if text.starts_with("where")))
    );
    assert_eq!(
        ended(&facts),
        [("where is my order", HeardEnd::SpeechFinal)]
    );
    assert_eq!(facts.last(), Some(&Heard::Billed(bytes as f64 / 8000.0)));
    assert_eq!(fake.billed_ms(), bytes as u64 / 8);
}

#[tokio::test]
async fn noise_between_the_results_changes_nothing() {
    for fault in [Fault::Garbage, Fault::UnknownMessages] {
        let (session, _fake) = open(&[fault]).await;
        say(&session, "where is my order").await;
        let (facts, error) = all(session).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(
            ended(&facts),
            [("where is my order", HeardEnd::SpeechFinal)]
        );
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_and_its_audio_billed() {
    let close = Fault::CloseAfter {
        ms: 200,
        code: 1011,
        reason: "NET-0000".into(),
    };
    for fault in [Fault::LostAfter(200), close] {
        let (session, _fake) = open(&[fault]).await;
        say(&session, "where is my order").await;
        let (facts, error) = all(session).await;
        assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Dropped));
        assert!(matches!(facts.last(), Some(Heard::Billed(seconds)) if *seconds >= 0.2));
    }
}

#[tokio::test]
async fn refusals_are_told_apart() {
    for (status, kind) in [
        (401, ErrorKind::Auth),
        (402, ErrorKind::Quota),
        (429, ErrorKind::RateLimited),
        (400, ErrorKind::BadRequest),
        (500, ErrorKind::Server),
    ] {
        let fake = FakeDeepgram::start(Options::default()).await.unwrap();
        fake.fail_next([Fault::Status(status)]);
        let (transcriber, spec) = transcriber(&fake, fake.api_key());
        assert_eq!(
            transcriber.open(&spec).await.unwrap_err().kind,
            kind,
            "{status}"
        );
    }
    let fake = FakeDeepgram::start(Options::default()).await.unwrap();
    let (transcriber, spec) = transcriber(&fake, "bad-key");
    assert_eq!(
        transcriber.open(&spec).await.unwrap_err().kind,
        ErrorKind::Auth
    );
}
