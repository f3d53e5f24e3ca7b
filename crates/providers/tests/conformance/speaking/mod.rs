//! What a call needs of every vendor that turns text into speech.

mod vendors;

use bolo_audio::Format;
use bolo_providers::{Error, ErrorKind, Session, Speak, Spoken};
use bolo_simulator::{g711, tone};

use self::vendors::{CASES, Case, Fake, Fault, Sound, case};
use crate::all;

const TEXTS: [&str; 3] = [
    "Your order ships on Monday.",
    "It comes by post.",
    "Anything else?",
];

conforms! {
    every [
        each_piece_has_its_own_sound_and_words
        utterances_follow_one_another
        an_end_may_come_without_text
        nothing_of_a_cancelled_utterance_comes_after_the_next_has_begun
        a_cancelled_utterance_takes_no_other_with_it
        an_utterance_may_be_cancelled_before_its_sound_and_after_it
        failures_are_told_apart
        a_wrong_key_is_told
        a_vendor_that_says_nothing_is_not_waited_for
        a_connection_that_dies_in_mid_speech_is_not_waited_for
        a_vendor_behind_a_dead_network_is_not_waited_for
        delays_change_nothing
        a_message_cut_in_the_middle_is_a_lost_connection
        a_dropped_session_ends_the_work_at_the_vendor
    ];
    elevenlabs: case("eleven_turbo_v2_5") => [
        sound_of_another_utterance_is_not_taken
        an_end_that_is_never_told_is_not_waited_for
    ];
    elevenlabs_stream_input: case("eleven_flash_v2_5") => [
        an_end_that_is_never_told_is_not_waited_for
    ];
    elevenlabs_v3: case("eleven_v3") => [
        wide_lines_get_whole_samples
        sound_of_another_utterance_is_not_taken
        an_end_that_is_never_told_is_not_waited_for
    ];
    deepgram: case("aura-2") => [
        wide_lines_get_whole_samples
        an_end_that_is_never_told_is_not_waited_for
    ];
    cartesia: case("sonic-3") => [
        wide_lines_get_whole_samples
        sound_of_another_utterance_is_not_taken
        an_end_that_is_never_told_is_not_waited_for
    ];
    openai: case("gpt-4o-mini-tts") => [wide_lines_get_whole_samples];
    sarvam: case("bulbul:v3") => [
        wide_lines_get_whole_samples
        an_end_that_is_never_told_is_not_waited_for
    ];
    azuretts: case("Neural") => [wide_lines_get_whole_samples];
    polly: case("neural") => [wide_lines_get_whole_samples];
    rime: case("mistv2") => [
        wide_lines_get_whole_samples
        sound_of_another_utterance_is_not_taken
        an_end_that_is_never_told_is_not_waited_for
    ];
    smallest: case("lightning_v3.1") => [
        wide_lines_get_whole_samples
        sound_of_another_utterance_is_not_taken
        an_end_that_is_never_told_is_not_waited_for
    ];
}

/// The session of a call, and its vendor, which meets this fault.
async fn open(case: &Case, fault: Option<Fault>) -> (Session<Speak, Spoken>, Fake) {
    let fake = case.start().await;
    if let Some(fault) = fault {
        fake.fail(fault);
    }
    let (synthesizer, spec) = case.client(&fake, case.key(), Format::Mulaw8k);
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

async fn cancel(session: &Session<Speak, Spoken>, context: u32) {
    let cancel = Speak::Cancel { context };
    session.input.send(cancel).await.unwrap();
}

/// Says all texts in one utterance; the error that ends it, if one does.
async fn outcome(opened: Result<Session<Speak, Spoken>, Error>) -> Option<ErrorKind> {
    match opened {
        Err(error) => Some(error.kind),
        Ok(session) => {
            say(&session, 1, &TEXTS).await;
            all(session).await.1.map(|error| error.kind)
        }
    }
}

fn context_of(fact: &Spoken) -> u32 {
    match fact {
        Spoken::Audio { context, .. }
        | Spoken::PieceDone { context, .. }
        | Spoken::Done { context } => *context,
    }
}

/// Sound and words of each piece of an utterance; fails on what a caller must never see.
fn pieces(case: &Case, facts: &[Spoken]) -> Vec<(Vec<u8>, Vec<String>)> {
    let name = case.name();
    let mut heard = vec![(Vec::new(), Vec::new())];
    let mut over = false;
    for fact in facts {
        assert!(!over, "{name}: after the end: {fact:?}");
        let open = heard.len() as u32 - 1;
        match fact {
            Spoken::Audio {
                piece,
                audio,
                words,
                ..
            } => {
                assert_eq!(*piece, open, "{name}: sound of a piece that is not open");
                let (sound, said) = heard.last_mut().unwrap();
                let length = Format::Mulaw8k.ms(audio.len());
                for (word, start, end) in words {
                    assert!(start <= end, "{name}: {word}");
                    // The last character may begin in one message and end in the next.
                    let behind = *end > length + tone::CHAR_MS;
                    assert!(!behind, "{name}: {word} ends behind its audio");
                    said.push(word.clone());
                }
                sound.extend_from_slice(audio);
            }
            Spoken::PieceDone { piece, .. } => {
                assert_eq!(*piece, open, "{name}");
                heard.push(Default::default());
            }
            Spoken::Done { .. } => over = true,
        }
    }
    assert!(over, "{name}: the utterance never ended");
    heard.pop();
    heard
}

/// That a piece sounds as its text.
fn assert_sounds(case: &Case, sound: &[u8], text: &str) {
    let name = case.name();
    let wanted = tone::speak(text);
    if case.sound == Sound::Mulaw {
        assert_eq!(sound, wanted, "{name}: {text}");
        return;
    }
    if case.sound == Sound::Samples {
        // Two codes of mu-law mean zero.
        let samples =
            |audio: &[u8]| -> Vec<i16> { audio.iter().copied().map(g711::decode).collect() };
        assert_eq!(samples(sound), samples(&wanted), "{name}: {text}");
        return;
    }
    let (is, was) = (g711::ms(sound.len()), g711::ms(wanted.len()));
    assert!(is.abs_diff(was) <= 30, "{name}: {is} ms for {was} ms");
    let (mut decoder, mut heard) = (tone::Decoder::default(), tone::Transcript::default());
    for note in sound
        .chunks(g711::FRAME)
        .filter_map(|frame| decoder.frame(frame))
    {
        heard.add(&note);
    }
    assert_eq!(heard.text(), text, "{name}");
}

fn assert_all_said(case: &Case, facts: &[Spoken], texts: &[&str]) {
    let heard = pieces(case, facts);
    assert_eq!(heard.len(), texts.len(), "{}", case.name());
    for ((sound, said), text) in heard.iter().zip(texts) {
        assert_sounds(case, sound, text);
        if case.words {
            assert_eq!(said.join(" "), *text, "{}", case.name());
        }
    }
}

async fn each_piece_has_its_own_sound_and_words(case: &Case) {
    for fault in [None, Some(Fault::Garbage), Some(Fault::UnknownMessages)] {
        let (session, fake) = open(case, fault).await;
        say(&session, 1, &TEXTS).await;
        let (facts, error) = all(session).await;
        assert!(error.is_none(), "{}: {error:?}", case.name());
        assert_all_said(case, &facts, &TEXTS);
        let characters: usize = TEXTS.iter().map(|text| text.len()).sum();
        assert_eq!(fake.characters(), characters as u64, "{}", case.name());
    }
}

async fn utterances_follow_one_another(case: &Case) {
    let (session, _fake) = open(case, None).await;
    say(&session, 1, &TEXTS[..2]).await;
    say(&session, 2, &TEXTS[2..]).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    let (first, second): (Vec<_>, Vec<_>) =
        facts.into_iter().partition(|fact| context_of(fact) == 1);
    assert_all_said(case, &first, &TEXTS[..2]);
    assert_all_said(case, &second, &TEXTS[2..]);
}

async fn an_end_may_come_without_text(case: &Case) {
    let (session, _fake) = open(case, None).await;
    say(&session, 1, &["It comes by post.", ""]).await;
    say(&session, 2, &["", " "]).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    let (first, second): (Vec<_>, Vec<_>) =
        facts.into_iter().partition(|fact| context_of(fact) == 1);
    assert_sounds(case, &pieces(case, &first)[0].0, "It comes by post.");
    assert_eq!(pieces(case, &second).len(), 2, "{}", case.name());
}

async fn nothing_of_a_cancelled_utterance_comes_after_the_next_has_begun(case: &Case) {
    let (mut session, _fake) = open(case, None).await;
    say(&session, 1, &TEXTS).await;
    let first = session.output.recv().await.unwrap().unwrap();
    assert!(
        matches!(
            first,
            Spoken::Audio {
                context: 1,
                piece: 0,
                ..
            }
        ),
        "{}: {first:?}",
        case.name()
    );
    cancel(&session, 1).await;
    say(&session, 2, &["No.", "It is gone."]).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    // What was told before the cancel was read is the caller's to drop.
    let second: Vec<_> = facts
        .into_iter()
        .skip_while(|fact| context_of(fact) == 1)
        .collect();
    assert!(
        second.iter().all(|fact| context_of(fact) == 2),
        "{}: {second:?}",
        case.name()
    );
    assert_all_said(case, &second, &["No.", "It is gone."]);
}

async fn a_cancelled_utterance_takes_no_other_with_it(case: &Case) {
    let (mut session, _fake) = open(case, None).await;
    say(&session, 1, &TEXTS).await;
    say(&session, 2, &["No."]).await;
    let mut facts = vec![session.output.recv().await.unwrap().unwrap()];
    cancel(&session, 2).await;
    say(&session, 3, &["Yes."]).await;
    let (rest, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    facts.extend(rest);
    let of = |context| -> Vec<Spoken> {
        let facts = facts.iter().filter(|fact| context_of(fact) == context);
        facts.cloned().collect()
    };
    assert_all_said(case, &of(1), &TEXTS);
    assert_eq!(of(2), [], "{}", case.name());
    assert_all_said(case, &of(3), &["Yes."]);
}

async fn an_utterance_may_be_cancelled_before_its_sound_and_after_it(case: &Case) {
    let (mut session, _fake) = open(case, None).await;
    say(&session, 1, &["No."]).await;
    while session.output.recv().await.unwrap().unwrap() != (Spoken::Done { context: 1 }) {}
    cancel(&session, 1).await;
    say(&session, 2, &TEXTS).await;
    cancel(&session, 2).await;
    say(&session, 3, &["Yes."]).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    let third: Vec<_> = facts
        .into_iter()
        .skip_while(|fact| context_of(fact) == 2)
        .collect();
    assert_all_said(case, &third, &["Yes."]);
}

async fn failures_are_told_apart(case: &Case) {
    for (fault, kind) in [
        (Fault::KeyMessage, ErrorKind::Auth),
        (Fault::QuotaMessage, ErrorKind::Quota),
        (Fault::LostAfter(2), ErrorKind::Dropped),
        (Fault::CloseAfter(2, 1011), ErrorKind::Dropped),
        (Fault::FailsAfter(0), case.failure()),
        (Fault::FailsAfter(2), case.failure()),
        (Fault::Status(401), ErrorKind::Auth),
        (Fault::Status(429), ErrorKind::RateLimited),
        (Fault::Status(503), ErrorKind::Server),
    ] {
        let fake = case.start().await;
        fake.fail(fault.clone());
        let (synthesizer, spec) = case.client(&fake, case.key(), Format::Mulaw8k);
        let opened = synthesizer.open(&spec).await;
        if matches!(fault, Fault::Status(_)) {
            assert_eq!(opened.is_err(), case.socket, "{}", case.name());
        }
        let got = outcome(opened).await;
        assert_eq!(got, Some(kind), "{}: {fault:?}", case.name());
    }
}

async fn a_wrong_key_is_told(case: &Case) {
    let fake = case.start().await;
    let (synthesizer, spec) = case.client(&fake, "wrong:key", Format::Mulaw8k);
    let opened = synthesizer.open(&spec).await;
    assert_eq!(
        outcome(opened).await,
        Some(ErrorKind::Auth),
        "{}",
        case.name()
    );
    for (key, kind) in [
        ("no-credit", ErrorKind::Quota),
        ("busy", ErrorKind::RateLimited),
    ] {
        let (synthesizer, spec) = case.client(&fake, &case.named(key), Format::Mulaw8k);
        let got = outcome(synthesizer.open(&spec).await).await;
        assert_eq!(got, Some(kind), "{}: {key}", case.name());
    }
}

async fn delays_change_nothing(case: &Case) {
    for fault in [
        Fault::DelayFirst(100),
        Fault::PausesAfter(2, 100),
        Fault::Deaf(100),
    ] {
        let (session, _fake) = open(case, Some(fault)).await;
        say(&session, 1, &TEXTS).await;
        let (facts, error) = all(session).await;
        assert!(error.is_none(), "{}: {error:?}", case.name());
        assert_all_said(case, &facts, &TEXTS);
    }
}

async fn sound_of_another_utterance_is_not_taken(case: &Case) {
    let (session, _fake) = open(case, Some(Fault::WrongContext)).await;
    say(&session, 1, &TEXTS).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    assert_all_said(case, &facts, &TEXTS);
}

/// Its pieces would never end, nor what is said after them come.
async fn an_end_that_is_never_told_is_not_waited_for(case: &Case) {
    let fake = case.start().await;
    fake.fail(Fault::NoEnd);
    let (synthesizer, spec) = case.hasty_client(&fake, &Fault::NoEnd);
    let got = outcome(synthesizer.open(&spec).await).await;
    // The times of its characters tell that all has come.
    let knows = matches!(fake, Fake::Elevenlabs(_));
    let wanted = (!knows).then_some(ErrorKind::Timeout);
    assert_eq!(got, wanted, "{}", case.name());
}

async fn a_message_cut_in_the_middle_is_a_lost_connection(case: &Case) {
    let (mut session, fake) = open(case, None).await;
    say(&session, 1, &TEXTS).await;
    session.output.recv().await.unwrap().unwrap();
    fake.outage().cut_in_a_message();
    let (_, error) = all(session).await;
    let kind = error.map(|error| error.kind);
    assert_eq!(kind, Some(ErrorKind::Dropped), "{}", case.name());
}

async fn a_vendor_that_says_nothing_is_not_waited_for(case: &Case) {
    let silent = match case.socket {
        true => ErrorKind::Connect,
        false => ErrorKind::Timeout,
    };
    for (fault, kind) in [
        (Fault::HalfOpen, silent),
        (Fault::StallAfter(0), ErrorKind::Timeout),
        (Fault::StallAfter(1), ErrorKind::Timeout),
    ] {
        let fake = case.start().await;
        fake.fail(fault.clone());
        let (synthesizer, spec) = case.hasty_client(&fake, &fault);
        let opened = synthesizer.open(&spec).await;
        let got = outcome(opened).await;
        assert_eq!(got, Some(kind), "{}: {fault:?}", case.name());
    }
}

async fn a_connection_that_dies_in_mid_speech_is_not_waited_for(case: &Case) {
    let fake = case.start().await;
    let (synthesizer, spec) = case.client(&fake, case.key(), Format::Mulaw8k);
    let mut session = synthesizer.open(&spec).await.unwrap();
    say(&session, 1, &TEXTS).await;
    session.output.recv().await.unwrap().unwrap();
    fake.outage().freeze();
    // Nothing else is to happen than that time runs out.
    tokio::time::pause();
    let (_, error) = all(session).await;
    let kind = error.map(|error| error.kind);
    assert_eq!(kind, Some(ErrorKind::Timeout), "{}", case.name());
}

async fn a_vendor_behind_a_dead_network_is_not_waited_for(case: &Case) {
    let fake = case.start().await;
    fake.outage().freeze();
    tokio::time::pause();
    let (synthesizer, spec) = case.client(&fake, case.key(), Format::Mulaw8k);
    let got = outcome(synthesizer.open(&spec).await).await;
    let kind = match case.socket {
        true => ErrorKind::Connect,
        false => ErrorKind::Timeout,
    };
    assert_eq!(got, Some(kind), "{}", case.name());
}

async fn a_dropped_session_ends_the_work_at_the_vendor(case: &Case) {
    let (mut session, fake) = open(case, None).await;
    say(&session, 1, &TEXTS).await;
    session.output.recv().await.unwrap().unwrap();
    drop(session);
    while fake.open_sessions() > 0 {
        tokio::task::yield_now().await;
    }
}

async fn wide_lines_get_whole_samples(case: &Case) {
    let fake = case.start().await;
    let format = Format::Pcm16 { rate: 16_000 };
    let (synthesizer, spec) = case.client(&fake, case.key(), format);
    let session = synthesizer.open(&spec).await.unwrap();
    say(&session, 1, &TEXTS).await;
    let (facts, error) = all(session).await;
    assert!(error.is_none(), "{}: {error:?}", case.name());
    let mut bytes = 0;
    for fact in facts {
        if let Spoken::Audio { audio, .. } = fact {
            assert_eq!(audio.len() % 2, 0, "{}", case.name());
            bytes += audio.len();
        }
    }
    let wanted: u64 = TEXTS.iter().map(|text| tone::duration_ms(text)).sum();
    assert!(format.ms(bytes).abs_diff(wanted) <= 60, "{}", case.name());
}

#[test]
fn the_document_has_a_row_a_vendor() {
    let document = include_str!("../../../../../docs/vendors.md");
    let (_, table) = document.split_once("## Synthesizers").unwrap();
    let table = table.split("\n## ").next().unwrap();
    for case in &CASES {
        let row = case.row();
        assert!(table.contains(&row), "not in docs/vendors.md: {row}");
    }
    let rows = table.lines().filter(|line| line.starts_with("| `")).count();
    // `local` is not of this suite.
    assert_eq!(rows, CASES.len() + 1);
    assert_eq!(BESIDES.len(), CASES.len());
}
