//! Every transcriber, against its fake: one suite, an entry a vendor. See [`conforms`].

mod vendors;

use bolo_agent::TranscriberVendor;
use bolo_providers::{Error, ErrorKind, Hear, Heard, HeardEnd, Session};
use bolo_simulator::{hearing::Fault, tone};
use bytes::Bytes;
use tokio::sync::mpsc;

use self::vendors::{Subject, assembly, ear, flux, nova};
use crate::all;

conforms! {
    every [
        noise_changes_nothing
        a_lost_connection_is_told_and_billed
        a_failure_told_in_mid_session_is_named_and_billed
        a_half_open_connection_ends_nothing_until_it_breaks
        a_vendor_behind_a_dead_network_is_not_waited_for
        a_silent_vendor_ends_nothing
        a_dropped_session_ends_at_the_vendor
        delays_change_nothing
        a_message_cut_in_the_middle_is_a_lost_connection
        a_wrong_key_is_told
        refusals_are_told_apart
    ];
    nova: nova().await => [
        turns_are_heard_and_billed
        a_turn_can_be_ended_by_request
        a_final_that_comes_twice_is_taken_once
    ];
    flux: flux().await => [
        turns_are_heard_and_billed
        a_turn_can_be_ended_by_request
        a_final_that_comes_twice_is_taken_once
    ];
    assembly_ai: assembly().await => [
        turns_are_heard_and_billed
        a_turn_can_be_ended_by_request
        a_final_that_comes_twice_is_taken_once
    ];
    scribe: ear(TranscriberVendor::Elevenlabs, "scribe_v2_realtime", HeardEnd::SpeechFinal, true).await
        => [turns_are_heard_and_billed a_turn_can_be_ended_by_request];
    sarvam: ear(TranscriberVendor::Sarvam, "saaras:v3", HeardEnd::SpeechFinal, false).await
        => [turns_are_heard_and_billed a_turn_can_be_ended_by_request];
    openai: ear(TranscriberVendor::Openai, "gpt-4o-mini-transcribe", HeardEnd::SpeechFinal, false).await
        => [
            turns_are_heard_and_billed
            a_turn_can_be_ended_by_request
            a_final_that_comes_twice_is_taken_once
        ];
    openai_live: ear(TranscriberVendor::Openai, "gpt-live-transcribe", HeardEnd::SpeechFinal, true).await
        => [a_turn_can_be_ended_by_request a_final_that_comes_twice_is_taken_once];
    soniox: ear(TranscriberVendor::Soniox, "stt-rt-v5", HeardEnd::EndOfTurn, true).await
        => [
            turns_are_heard_and_billed
            a_turn_can_be_ended_by_request
            a_final_that_comes_twice_is_taken_once
        ];
    gladia: ear(TranscriberVendor::Gladia, "solaria-1", HeardEnd::SpeechFinal, true).await
        => [turns_are_heard_and_billed a_final_that_comes_twice_is_taken_once];
    smallest: ear(TranscriberVendor::Smallest, "pulse", HeardEnd::SpeechFinal, true).await
        => [
            turns_are_heard_and_billed
            a_turn_can_be_ended_by_request
            a_final_that_comes_twice_is_taken_once
        ];
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
    let is_early = match &facts[..] {
        _ if !subject.interims => facts[0] == Heard::SpeechStarted,
        [Heard::SpeechStarted, Heard::Interim(text), ..] | [Heard::Interim(text), ..] => {
            text.starts_with("where") && text != "where is my order"
        }
        _ => false,
    };
    assert!(
        is_early,
        "the caller is noticed before the turn's end: {facts:?}"
    );
    assert_eq!(
        turns(&facts),
        [
            ("where is my order".to_owned(), subject.end),
            ("are you there".to_owned(), subject.end)
        ]
    );
    assert!(billed(&facts) >= audio(&texts).len() as f64 / 50.0);
    subject.is_left().await;
    // Where audio is resampled, the last frame may be a sample short.
    let at_the_vendor = (subject.billed_ms)(&subject.fake) as f64 / 1000.0;
    assert!((billed(&facts) - at_the_vendor).abs() < 0.03);
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

async fn delays_change_nothing<O>(subject: Subject<O>) {
    let (ms, lasts_ms) = (200, 100);
    for fault in [
        Fault::DelayFirst(100),
        Fault::PausesAfter { ms, lasts_ms },
        Fault::DeafAfter { ms, lasts_ms },
        Fault::LateFinals(100),
        Fault::NoUtteranceEnd,
    ] {
        let session = subject.open(Some(fault)).await;
        let (facts, error) = hear(session, &["where is my order"]).await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!(
            turns(&facts),
            [("where is my order".to_owned(), subject.end)]
        );
    }
}

async fn a_message_cut_in_the_middle_is_a_lost_connection<O>(subject: Subject<O>) {
    let mut session = subject.open(None).await;
    send(&session.input, audio(&["where is my order"])).await;
    session.output.recv().await.unwrap().unwrap();
    subject.fake.outage().cut_in_a_message();
    let input = session.input.clone();
    let say = send(&input, audio(&["are you there"]));
    let ((facts, error), ()) = tokio::join!(all(session), say);
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Dropped));
    assert!(billed(&facts) > 0.0);
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

async fn a_failure_told_in_mid_session_is_named_and_billed<O>(subject: Subject<O>) {
    let session = subject.open(Some(Fault::FailsAfter(200))).await;
    let (facts, error) = hear(session, &["where is my order"]).await;
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Server));
    assert!(billed(&facts) > 0.0);
}

async fn a_half_open_connection_ends_nothing_until_it_breaks<O>(subject: Subject<O>) {
    let mut session = subject.open(None).await;
    send(&session.input, audio(&["where is my order"])).await;
    let mut facts = vec![session.output.recv().await.unwrap().unwrap()];
    subject.fake.outage().freeze();
    send(&session.input, audio(&["are you there"])).await;
    assert!(!session.input.is_closed());
    subject.fake.outage().end();
    // Without it the session would be at its end anyway.
    let _more = session.input.clone();
    let (rest, error) = all(session).await;
    facts.extend(rest);
    assert_eq!(error.map(|error| error.kind), Some(ErrorKind::Dropped));
    assert!(billed(&facts) > 0.0);
    let second = |(text, _): &(String, HeardEnd)| text.contains("there");
    assert!(!turns(&facts).iter().any(second), "{facts:?}");
}

/// Connections are made, and no byte comes through.
async fn a_vendor_behind_a_dead_network_is_not_waited_for<O>(subject: Subject<O>) {
    subject.fake.outage().freeze();
    // Nothing else is to happen than that time runs out.
    tokio::time::pause();
    let error = subject.open_with(&subject.key).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Connect);
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
    for (key, kind) in [
        ("no-credit", ErrorKind::Quota),
        ("busy", ErrorKind::RateLimited),
    ] {
        let error = subject.open_with(key).await.unwrap_err();
        assert_eq!(error.kind, kind, "{key}");
    }
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

/// The caller says the same twice, and the vendor each final text: two turns, not four, nor one.
async fn a_final_that_comes_twice_is_taken_once<O>(subject: Subject<O>) {
    let mut session = subject.open(Some(Fault::DoubleFinals)).await;
    let mut facts = Vec::new();
    let asked = !subject.ends_turns();
    for said in 1..=2 {
        send(&session.input, audio(&["where is my order"])).await;
        if asked {
            session.input.send(Hear::EndTurn).await.unwrap();
        }
        while turns(&facts).len() < said {
            facts.push(session.output.recv().await.unwrap().unwrap());
        }
    }
    let (rest, error) = all(session).await;
    assert!(error.is_none(), "{error:?}");
    facts.extend(rest);
    let why = if asked { HeardEnd::Forced } else { subject.end };
    let turn = ("where is my order".to_owned(), why);
    assert_eq!(turns(&facts), [turn.clone(), turn], "{facts:?}");
}
