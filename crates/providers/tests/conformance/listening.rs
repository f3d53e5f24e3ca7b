//! Every transcriber, against its fake: one suite, an entry a vendor. See [`conforms`].

use std::time::Duration;

use bolo_agent::{Transcriber as Agent, TranscriberVendor};
use bolo_audio::Format;
use bolo_providers::{Error, ErrorKind, Hear, Heard, HeardEnd, Session};
use bolo_simulator::{FakeVendor, assembly, deepgram, hearing::Fault, tone};
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::{all, keys, vendors};

/// No test takes as long.
const LIMIT: Duration = Duration::from_secs(30);

/// A vendor's fake and what leads to it.
struct Subject<O> {
    fake: FakeVendor<O, Fault>,
    /// `providers.<name>` of the settings.
    name: &'static str,
    base_url: String,
    key: String,
    agent: Agent,
    /// How the vendor ends a turn by itself.
    end: HeardEnd,
    billed_ms: fn(&FakeVendor<O, Fault>) -> u64,
}

/// The suite for one vendor: a name, and how to set it up.
macro_rules! conforms {
    ($vendor:ident: $subject:expr) => {
        mod $vendor {
            use super::*;

            conforms!(@ $subject => turns_are_heard_and_billed, noise_changes_nothing,
                a_lost_connection_is_told_and_billed, a_silent_vendor_ends_nothing,
                a_dropped_session_ends_at_the_vendor, a_wrong_key_is_told,
                refusals_are_told_apart, a_turn_can_be_ended_by_request);
        }
    };
    (@ $subject:expr => $($test:ident),*) => {
        $(#[tokio::test]
        async fn $test() {
            let test = async { super::$test($subject.await).await };
            tokio::time::timeout(LIMIT, test).await.expect("it never ends");
        })*
    };
}

conforms!(nova: nova());
conforms!(flux: flux());
conforms!(assembly_ai: assembly());

async fn nova() -> Subject<deepgram::Options> {
    let fake = deepgram::FakeDeepgram::start(deepgram::Options::default())
        .await
        .unwrap();
    Subject {
        name: "deepgram",
        base_url: fake.base_url(),
        key: fake.api_key().to_owned(),
        agent: agent(TranscriberVendor::Deepgram, "nova-3"),
        end: HeardEnd::SpeechFinal,
        billed_ms: deepgram::FakeDeepgram::billed_ms,
        fake,
    }
}

async fn assembly() -> Subject<assembly::Options> {
    let fake = assembly::FakeAssembly::start(assembly::Options::default())
        .await
        .unwrap();
    Subject {
        name: "assembly",
        base_url: fake.base_url(),
        key: fake.api_key().to_owned(),
        agent: agent(TranscriberVendor::Assembly, "universal-streaming-english"),
        end: HeardEnd::EndOfTurn,
        billed_ms: assembly::FakeAssembly::billed_ms,
        fake,
    }
}

async fn flux() -> Subject<deepgram::Options> {
    let mut flux = nova().await;
    flux.end = HeardEnd::EndOfTurn;
    flux.agent.model = "flux-general-en".into();
    flux.agent.flux = Some(bolo_agent::Flux {
        eot_threshold: 0.7,
        eager_eot_threshold: Some(0.4),
        eot_timeout_ms: 500,
        language_hints: Vec::new(),
    });
    flux
}

fn agent(vendor: TranscriberVendor, model: &str) -> Agent {
    Agent {
        vendor,
        model: model.into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        flux: None,
    }
}

impl<O> Subject<O> {
    async fn open_with(&self, key: &str) -> Result<Session<Hear, Heard>, Error> {
        let (transcriber, spec) = vendors(self.name, self.base_url.clone(), key)
            .transcriber(&self.agent, &keys(), Format::Mulaw8k)
            .unwrap();
        transcriber.open(&spec).await
    }

    async fn open(&self, fault: Option<Fault>) -> Session<Hear, Heard> {
        self.fake.fail_next(fault);
        self.open_with(&self.key).await.unwrap()
    }

    /// Until the vendor has no connection any more.
    async fn is_left(&self) {
        while self.fake.open_sessions() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Frames of these texts, a second of silence behind each.
fn audio(texts: &[&str]) -> Vec<Bytes> {
    let mut audio = Vec::new();
    for text in texts {
        audio.extend(tone::speak(text));
        audio.resize((audio.len() + 8000).next_multiple_of(160), 0xFF);
    }
    audio.chunks(160).map(Bytes::copy_from_slice).collect()
}

async fn send(input: &mpsc::Sender<Hear>, frames: Vec<Bytes>) {
    for frame in frames {
        // A session that ended on a fault takes no more.
        if input.send(Hear::Audio(frame)).await.is_err() {
            break;
        }
    }
}

/// All that a session tells of these texts until it ends, and its error.
async fn hear(session: Session<Hear, Heard>, texts: &[&str]) -> (Vec<Heard>, Option<Error>) {
    let (input, frames) = (session.input.clone(), audio(texts));
    let say = async move { send(&input, frames).await };
    tokio::join!(all(session), say).0
}

/// The turns that ended: whole texts, and how they ended.
fn turns(facts: &[Heard]) -> Vec<(String, HeardEnd)> {
    let mut turns = Vec::new();
    let mut parts: Vec<&str> = Vec::new();
    for fact in facts {
        match fact {
            Heard::Final(text) => parts.push(text),
            Heard::TurnEnd { text, why } => {
                parts.push(text);
                parts.retain(|part| !part.is_empty());
                turns.push((std::mem::take(&mut parts).join(" "), *why));
            }
            _ => {}
        }
    }
    turns
}

fn billed(facts: &[Heard]) -> f64 {
    match facts.last() {
        Some(Heard::Billed(seconds)) => *seconds,
        other => panic!("no bill at the end: {other:?}"),
    }
}

async fn turns_are_heard_and_billed<O>(subject: Subject<O>) {
    let session = subject.open(None).await;
    let texts = ["where is my order", "are you there"];
    let (facts, error) = hear(session, &texts).await;
    assert!(error.is_none(), "{error:?}");
    let first = facts.iter().find_map(|fact| match fact {
        Heard::Interim(text) => Some(text.as_str()),
        _ => None,
    });
    assert!(
        first.is_some_and(|text| text.starts_with("where") && text != "where is my order"),
        "the first words come before the turn's end: {facts:?}"
    );
    assert_eq!(
        turns(&facts),
        [
            ("where is my order".to_owned(), subject.end),
            ("are you there".to_owned(), subject.end)
        ]
    );
    assert!(billed(&facts) >= audio(&texts).len() as f64 / 50.0);
    assert_eq!(
        billed(&facts),
        (subject.billed_ms)(&subject.fake) as f64 / 1000.0
    );
}

async fn noise_changes_nothing<O>(subject: Subject<O>) {
    for fault in [Fault::Garbage, Fault::UnknownMessages] {
        let session = subject.open(Some(fault)).await;
        let (facts, error) = hear(session, &["where is my order"]).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(
            turns(&facts),
            [("where is my order".to_owned(), subject.end)]
        );
    }
}

async fn a_lost_connection_is_told_and_billed<O>(subject: Subject<O>) {
    let close = Fault::CloseAfter {
        ms: 200,
        code: 1011,
        reason: "NET-0000".into(),
    };
    for fault in [Fault::LostAfter(200), close] {
        let session = subject.open(Some(fault)).await;
        let (facts, error) = hear(session, &["where is my order"]).await;
        assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Dropped));
        assert!(billed(&facts) > 0.0);
    }
}

/// Whether a silent vendor is dead, only the caller's voice can tell: the session itself takes audio for
/// as long as it is wanted.
async fn a_silent_vendor_ends_nothing<O>(subject: Subject<O>) {
    let mut session = subject.open(Some(Fault::SilentAfter(20))).await;
    send(&session.input, audio(&["where is my order"])).await;
    assert!(!session.input.is_closed());
    assert!(session.output.try_recv().is_err());
    drop(session);
    subject.is_left().await;
}

async fn a_dropped_session_ends_at_the_vendor<O>(subject: Subject<O>) {
    let mut session = subject.open(None).await;
    send(&session.input, audio(&["where is my order"])).await;
    session.output.recv().await.unwrap().unwrap();
    assert_eq!(subject.fake.open_sessions(), 1);
    drop(session);
    subject.is_left().await;
}

async fn a_wrong_key_is_told<O>(subject: Subject<O>) {
    let error = subject.open_with("bad-key").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Auth);
    assert!(!error.to_string().contains("bad-key"));
}

async fn refusals_are_told_apart<O>(subject: Subject<O>) {
    for (status, kind) in [
        (402, ErrorKind::Quota),
        (429, ErrorKind::RateLimited),
        (400, ErrorKind::BadRequest),
        (500, ErrorKind::Server),
        (503, ErrorKind::Server),
    ] {
        subject.fake.fail_next([Fault::Status(status)]);
        let error = subject.open_with(&subject.key).await.unwrap_err();
        assert_eq!(error.kind, kind, "{status}");
    }
}

async fn a_turn_can_be_ended_by_request<O>(subject: Subject<O>) {
    let mut session = subject.open(Some(Fault::NeverEnds)).await;
    // Without the silence behind it.
    let mut frames = audio(&["where is my order"]);
    frames.truncate(frames.len() - 50);
    send(&session.input, frames).await;
    session.input.send(Hear::EndTurn).await.unwrap();
    let mut facts = Vec::new();
    while turns(&facts).is_empty() {
        facts.push(session.output.recv().await.unwrap().unwrap());
    }
    assert_eq!(
        turns(&facts),
        [("where is my order".to_owned(), HeardEnd::Forced)]
    );
}
