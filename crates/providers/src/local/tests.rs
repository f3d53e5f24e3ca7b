//! Local speech as its users see it: through the traits, with the real models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::LazyLock;

use bolo_audio::{Format, g711};
use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::{Hear, Heard, Speak, Spoken, SynthesizerSpec, TranscriberSpec};

mod pulled;

/// Models are unpacked and loaded once for all tests of a process.
static SPEECH: LazyLock<(Speech, TempDir)> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let models = bolo_models::Store::new(None, folder.path().to_owned());
    (Speech::new(models, 2), folder)
});

fn speech() -> &'static Speech {
    &SPEECH.0
}

fn listen_spec() -> TranscriberSpec {
    TranscriberSpec {
        model: String::new(),
        language: "en".to_owned(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        format: Format::Mulaw8k,
        execution: String::new(),
    }
}

fn speak_spec(voice: &str) -> SynthesizerSpec {
    SynthesizerSpec {
        model: String::new(),
        voice_id: voice.to_owned(),
        language: String::new(),
        speed: 1.0,
        options: serde_json::Map::new(),
        format: Format::Mulaw8k,
    }
}

/// Mu-law of one of the simulator's callers, between half a second and four seconds of silence.
fn caller(file: &str) -> Vec<u8> {
    let path = format!("{}/../simulator/callers/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut audio = vec![0xFF; 4000];
    audio.extend_from_slice(&std::fs::read(path).unwrap()[58..]);
    audio.extend([0xFF; 32_000]);
    audio
}

/// Everything told about some audio.
async fn hear(audio: &[u8]) -> Vec<Heard> {
    hear_with(speech(), &listen_spec(), audio).await
}

async fn hear_with(speech: &Speech, spec: &TranscriberSpec, audio: &[u8]) -> Vec<Heard> {
    let mut session = speech.transcriber().open(spec).await.unwrap();
    let frames: Vec<Bytes> = audio.chunks(160).map(Bytes::copy_from_slice).collect();
    let input = session.input;
    let sender = tokio::spawn(async move {
        for frame in frames {
            input.send(Hear::Audio(frame)).await.unwrap();
        }
        input.send(Hear::Finish).await.unwrap();
    });
    let mut told = Vec::new();
    while let Some(heard) = session.output.recv().await {
        told.push(heard.unwrap());
    }
    sender.await.unwrap();
    told
}

fn said(told: &[Heard]) -> String {
    let texts = told.iter().filter_map(|heard| match heard {
        Heard::Final(text) | Heard::TurnEnd { text, .. } => Some(text.as_str()),
        _ => None,
    });
    let words = texts.collect::<Vec<_>>().join(" ").to_lowercase();
    words
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == ' ')
        .collect::<String>()
        .trim()
        .to_owned()
}

#[tokio::test]
async fn whole_turns_are_understood() {
    for (file, expected) in [
        ("turn01-am_michael.wav", "yes please"),
        (
            "turn04-am_michael.wav",
            "i would like to book an appointment for tomorrow morning",
        ),
        (
            "turn12-af_heart.wav",
            "that sounds good let us do thursday at 10",
        ),
    ] {
        let told = hear(&caller(file)).await;
        let found = said(&told).replace("ten", "10");
        assert_eq!(found, expected, "{told:?}");
        assert_eq!(told[0], Heard::SpeechStarted);
        let ends = told
            .iter()
            .filter(|heard| matches!(heard, Heard::TurnEnd { .. }))
            .count();
        assert_eq!(ends, 1, "{told:?}");
        assert!(matches!(told.last(), Some(Heard::Billed(seconds)) if *seconds > 5.0));
    }
}

#[test] // runtime.md R29
fn its_longest_pause_is_told() {
    let told = speech().transcriber().longest_pause_ms(&listen_spec());
    assert!(told > turn::LONG_PAUSE_MS, "{told}");
}

#[tokio::test]
async fn a_call_that_ends_in_mid_sentence_keeps_the_words() {
    let audio = caller("turn04-am_michael.wav");
    let told = hear(&audio[..4000 + 17_000]).await;
    assert!(said(&told).contains("would like to book"), "{told:?}");
    assert!(
        !told
            .iter()
            .any(|heard| matches!(heard, Heard::TurnEnd { .. }))
    );
}

#[tokio::test]
async fn silence_noise_and_tones_say_nothing() {
    let mut state = 1_u32;
    let mut noise = |peak: i32| -> Vec<u8> {
        (0..24_000)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                g711::encode(((state >> 16) as i32 % (2 * peak + 1) - peak) as i16)
            })
            .collect()
    };
    let tone = |hz: f32| -> Vec<u8> {
        let wave = |n: usize| (n as f32 * hz * std::f32::consts::TAU / 8000.0).sin() * 9000.0;
        (0..24_000).map(|n| g711::encode(wave(n) as i16)).collect()
    };
    for (name, audio) in [
        ("silence", vec![0xFF; 24_000]),
        ("faint noise", noise(100)),
        ("loud noise", noise(2000)),
        ("tone", tone(440.0)),
        ("beep", tone(1000.0)),
    ] {
        let told = hear(&audio).await;
        assert!(matches!(told[..], [Heard::Billed(_)]), "{name}: {told:?}");
    }
}

/// Sends pieces of one utterance and gathers all until its end: bytes and the order of the rest.
async fn speak(spec: &SynthesizerSpec, pieces: &[&str]) -> (Vec<u8>, Vec<Spoken>) {
    speak_with(speech(), spec, pieces).await
}

async fn speak_with(
    speech: &Speech,
    spec: &SynthesizerSpec,
    pieces: &[&str],
) -> (Vec<u8>, Vec<Spoken>) {
    let mut session = speech.synthesizer().open(spec).await.unwrap();
    for (piece, text) in pieces.iter().enumerate() {
        let (piece, last) = (piece as u32, piece + 1 == pieces.len());
        let text = (*text).to_owned();
        session
            .input
            .send(Speak::Text {
                context: 1,
                piece,
                text,
                last,
            })
            .await
            .unwrap();
    }
    let (mut bytes, mut rest) = (Vec::new(), Vec::new());
    loop {
        match session.output.recv().await.unwrap().unwrap() {
            Spoken::Audio {
                context: 1, audio, ..
            } => {
                assert!(audio.len() <= spec.format.bytes_per_second() / 5);
                bytes.extend_from_slice(&audio);
            }
            done @ Spoken::Done { .. } => {
                rest.push(done);
                return (bytes, rest);
            }
            other => rest.push(other),
        }
    }
}

#[tokio::test]
async fn every_voice_speaks_for_as_long_as_it_should() {
    for (voice, text) in [
        ("en-US", "Your order ships on Monday."),
        ("en-GB", "Your order ships on Monday."),
        ("de-DE", "Ihre Bestellung kommt am Montag."),
        ("es-ES", "Su pedido llega el lunes."),
        ("fr-FR", "Votre commande arrive lundi."),
        ("it-IT", "Il suo ordine arriva luned\u{ec}."),
    ] {
        let (audio, rest) = speak(&speak_spec(voice), &[text]).await;
        let ms = audio.len() / 8;
        assert!((1000..4000).contains(&ms), "{voice}: {ms} ms");
        let loud = audio
            .iter()
            .filter(|code| g711::decode(**code).abs() > 1000)
            .count();
        assert!(loud > audio.len() / 20, "{voice} is silent");
        let expected = [
            Spoken::PieceDone {
                context: 1,
                piece: 0,
            },
            Spoken::Done { context: 1 },
        ];
        assert_eq!(rest, expected);
    }
}

#[tokio::test]
async fn pieces_end_in_order_and_empty_ones_end_too() {
    let (audio, rest) = speak(&speak_spec("en-US"), &["One.", "", "Two.", "\u{1F600}"]).await;
    assert!(audio.len() > 4000);
    let mut expected: Vec<Spoken> = (0..4)
        .map(|piece| Spoken::PieceDone { context: 1, piece })
        .collect();
    expected.push(Spoken::Done { context: 1 });
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn speed_shortens() {
    let text = ["Thank you very much for calling us today, how may I help you?"];
    let (normal, _) = speak(&speak_spec("en-US"), &text).await;
    let fast = SynthesizerSpec {
        speed: 1.5,
        ..speak_spec("en-US")
    };
    let (fast, _) = speak(&fast, &text).await;
    let share = fast.len() as f32 / normal.len() as f32;
    assert!((0.55..0.85).contains(&share), "{share}");
}

#[tokio::test]
async fn sixteen_bit_audio_is_made_too() {
    let text = ["Hello there, how are you?"];
    let (mulaw, _) = speak(&speak_spec("en-US"), &text).await;
    let format = Format::Pcm16 { rate: 16_000 };
    let (pcm, _) = speak(
        &SynthesizerSpec {
            format,
            ..speak_spec("en-US")
        },
        &text,
    )
    .await;
    let (a, b) = (mulaw.len() / 8, pcm.len() / 32);
    assert!(a.abs_diff(b) <= 40, "{a} ms and {b} ms");
}

#[tokio::test]
async fn after_a_cancel_nothing_more_comes_of_it() {
    let mut session = speech()
        .synthesizer()
        .open(&speak_spec("en-US"))
        .await
        .unwrap();
    let text =
        "This is a long sentence that no one will hear to its end, for it is cut. ".repeat(20);
    session
        .input
        .send(Speak::Text {
            context: 1,
            piece: 0,
            text,
            last: true,
        })
        .await
        .unwrap();
    let first = session.output.recv().await.unwrap().unwrap();
    assert!(matches!(first, Spoken::Audio { context: 1, .. }));
    session
        .input
        .send(Speak::Cancel { context: 1 })
        .await
        .unwrap();
    // Late pieces of it are dropped as well.
    let late = Speak::Text {
        context: 1,
        piece: 1,
        text: "No.".to_owned(),
        last: true,
    };
    session.input.send(late).await.unwrap();
    let next = Speak::Text {
        context: 2,
        piece: 0,
        text: "Yes.".to_owned(),
        last: true,
    };
    session.input.send(next).await.unwrap();
    drop(session.input);
    let mut told = Vec::new();
    while let Some(spoken) = session.output.recv().await {
        told.push(spoken.unwrap());
    }
    let second = told
        .iter()
        .position(|spoken| !matches!(spoken, Spoken::Audio { context: 1, .. }));
    // Only what already lay in the channel comes, and never its end.
    let second = second.unwrap();
    assert!(second < 100 && told.len() > second);
    for spoken in &told[second..] {
        assert!(
            matches!(
                spoken,
                Spoken::Audio { context: 2, .. }
                    | Spoken::PieceDone { context: 2, .. }
                    | Spoken::Done { context: 2 }
            ),
            "{spoken:?}"
        );
    }
    assert_eq!(told.last(), Some(&Spoken::Done { context: 2 }));
}

#[tokio::test]
async fn odd_text_breaks_nothing() {
    let odd = [
        "<speed level=\"x\">",
        "\u{0}\u{1}\u{7F}",
        "\u{202E}abc\u{FEFF}",
        "((((((]]]]]",
        "a\u{301}\u{301}",
    ];
    let (_, rest) = speak(&speak_spec("en-US"), &odd).await;
    assert_eq!(rest.len(), odd.len() + 1);
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test]
async fn paraphrases_lie_closer_than_other_sentences() {
    let embedder = speech().embedder();
    let texts = [
        "What are your opening hours?",
        "When do you open in the morning?",
        "I would like to cancel my subscription.",
        "Please end my membership.",
    ]
    .map(str::to_owned);
    let vectors = embedder.embed(&texts).await.unwrap();
    assert!(vectors.iter().all(|vector| vector.len() == 384));
    assert!(
        vectors
            .iter()
            .all(|vector| (cosine(vector, vector) - 1.0).abs() < 1e-4)
    );
    let threshold = embedder.raw_threshold(0.85);
    assert!((threshold - 0.5).abs() < 1e-6);
    assert!(cosine(&vectors[0], &vectors[1]) >= threshold);
    assert!(cosine(&vectors[2], &vectors[3]) >= threshold);
    assert!(cosine(&vectors[0], &vectors[2]) < threshold);
    assert!((embedder.reference_score(threshold) - 0.85).abs() < 1e-6);
    assert!((embedder.reference_score(1.0) - 1.0).abs() < 1e-6);
}

#[tokio::test]
async fn what_cannot_be_done_is_named() {
    let hindi = TranscriberSpec {
        language: "hi".to_owned(),
        ..listen_spec()
    };
    let error = speech().transcriber().open(&hindi).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert!(error.to_string().contains("language \"hi\""), "{error}");
    assert!(speech().check_transcriber("", "en-IN").is_ok());
    assert!(speech().check_transcriber("", "de").is_err());

    assert!(speech().check_synthesizer("", "de").is_ok());
    let error = speech().check_synthesizer("", "ja").unwrap_err();
    assert!(error.to_string().contains("language \"ja\""), "{error}");
    let error = speech()
        .synthesizer()
        .open(&speak_spec("Matthew"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("voice \"Matthew\""), "{error}");
}

/// Texts of the fuzz below; 3000 were run once without a fault.
const FUZZ: u32 = 60;

/// The voice engine is C: whatever text a model makes up must cost at most one engine, never the call.
#[tokio::test]
async fn random_text_ends_like_any_other() {
    let mut state = 99_u32;
    let mut random = move |below: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) % below
    };
    let mut session = speech()
        .synthesizer()
        .open(&speak_spec("en-US"))
        .await
        .unwrap();
    for context in 0..FUZZ {
        let text: String = (0..random(60) + 1)
            .filter_map(|_| match random(6) {
                0 => char::from_u32(random(0x80)),
                1 => char::from_u32(random(0x180)),
                2 => char::from_u32(random(0x11_0000)),
                3 => {
                    Some(['<', '>', '/', '\\', '"', '&', '.', ',', '-', '\''][random(10) as usize])
                }
                _ => char::from_u32('a' as u32 + random(26)),
            })
            .collect();
        session
            .input
            .send(Speak::Text {
                context,
                piece: 0,
                text: text.clone(),
                last: true,
            })
            .await
            .unwrap();
        while let Some(told) = session.output.recv().await {
            let told = told.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            if (told == Spoken::Done { context }) {
                break;
            }
        }
    }
}
