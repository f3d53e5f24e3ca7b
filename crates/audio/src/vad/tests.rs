//! What the detector says of silence, tones, noise and real speech.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::g711;

/// "Yes, please" and the like, from the simulator's callers: mu-law after a header of 58 bytes.
fn speech(file: &str) -> Vec<u8> {
    let path = format!("{}/../simulator/callers/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()[58..].to_vec()
}

fn edges(vad: &mut Vad, audio: &[u8]) -> Vec<Edge> {
    audio
        .chunks(160)
        .flat_map(|frame| vad.push(frame))
        .collect()
}

fn new(format: Format) -> Vad {
    Vad::new(format, VadSettings::default()).unwrap()
}

/// Repeatable noise, uniform within `peak`.
fn noise(samples: usize, peak: i32) -> Vec<u8> {
    let mut state = 12_345_u32;
    (0..samples)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            g711::encode(((state >> 16) as i32 % (2 * peak + 1) - peak) as i16)
        })
        .collect()
}

#[test]
fn silence_and_noise_are_not_speech() {
    let tone: Vec<u8> = (0..24_000)
        .map(|n| g711::encode(((n as f32 * 0.35).sin() * 8000.0) as i16))
        .collect();
    for (name, audio) in [
        ("silence", vec![0xFF; 24_000]),
        ("noise", noise(24_000, 600)),
        ("tone", tone),
    ] {
        assert_eq!(edges(&mut new(Format::Mulaw8k), &audio), [], "{name}");
    }
}

#[test]
fn silence_leaves_the_detector_asleep() {
    let mut vad = new(Format::Mulaw8k);
    edges(&mut vad, &[0xFF; 16_000]);
    assert!(vad.awake.is_none());
}

#[test]
fn a_turn_makes_two_edges_with_their_times() {
    let mut audio = vec![0xFF; 8000];
    audio.extend(speech("turn04-am_michael.wav"));
    let end = audio.len() as u64 / 8;
    audio.extend([0xFF; 8000]);
    for exact in [false, true] {
        let settings = VadSettings {
            exact,
            ..VadSettings::default()
        };
        turn_has_two_edges(Vad::new(Format::Mulaw8k, settings).unwrap(), &audio, end);
    }
}

#[test]
fn a_voice_right_behind_a_tone_is_heard_when_it_begins() {
    let mut audio: Vec<u8> = (0..8000)
        .map(|n| g711::encode(((n as f32 * 0.35).sin() * 8000.0) as i16))
        .collect();
    audio.extend(speech("turn04-am_michael.wav"));
    audio.extend([0xFF; 8000]);
    let edges = edges(&mut new(Format::Mulaw8k), &audio);
    let [Edge::Speech { at_ms, since_ms }, Edge::Silence { .. }] = edges[..] else {
        panic!("{edges:?}");
    };
    assert!(
        (1000..1300).contains(&since_ms) && (50..=120).contains(&(at_ms - since_ms)),
        "{edges:?}"
    );
}

fn turn_has_two_edges(mut vad: Vad, audio: &[u8], end: u64) {
    let edges = edges(&mut vad, audio);
    let [
        Edge::Speech { at_ms, since_ms },
        Edge::Silence {
            at_ms: over_at,
            since_ms: over,
        },
    ] = edges[..]
    else {
        panic!("{edges:?}");
    };
    assert!((1000..1300).contains(&since_ms) && (50..=120).contains(&(at_ms - since_ms)));
    assert!(
        over <= end && end - over < 400 && (192..=240).contains(&(over_at - over)),
        "{edges:?}"
    );
    assert!(vad.score() > 0.7);
}

#[test]
fn the_cut_into_frames_does_not_matter() {
    let mut audio = vec![0xFF; 4000];
    audio.extend(speech("turn12-af_heart.wav"));
    audio.extend([0xFF; 4000]);
    let whole = new(Format::Mulaw8k).push(&audio);
    assert_eq!(edges(&mut new(Format::Mulaw8k), &audio), whole);
    assert!(!whole.is_empty());
}

#[test]
fn sixteen_kilohertz_hears_the_same_turn() {
    let mut converter =
        crate::Converter::new(Format::Mulaw8k, Format::Pcm16 { rate: 16_000 }).unwrap();
    let mut audio = vec![0xFF; 8000];
    audio.extend(speech("turn04-am_michael.wav"));
    audio.extend([0xFF; 8000]);
    let mut vad = new(Format::Pcm16 { rate: 16_000 });
    let edges: Vec<Edge> = audio
        .chunks(160)
        .flat_map(|frame| vad.push(&converter.convert(bytes::Bytes::copy_from_slice(frame))))
        .collect();
    assert_eq!(edges.len(), 2, "{edges:?}");
}
