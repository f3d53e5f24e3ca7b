//! Alignment, crashes and resumption.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::*;
use tempfile::tempdir;

const PCM: Format = Format::Pcm16 { rate: 8000 };

/// 20 ms of one value.
fn frame(value: i16) -> Vec<u8> {
    std::iter::repeat_n(value.to_le_bytes(), 160)
        .flatten()
        .collect()
}

/// Left and right samples as an independent reader sees them.
fn read(path: &Path) -> (Vec<i16>, Vec<i16>) {
    let mut reader = hound::WavReader::open(path).unwrap();
    let spec = reader.spec();
    assert_eq!(
        (spec.channels, spec.sample_rate, spec.bits_per_sample),
        (2, 8000, 16)
    );
    let all: Vec<i16> = reader.samples().map(Result::unwrap).collect();
    all.chunks(2).map(|pair| (pair[0], pair[1])).unzip()
}

#[test]
fn both_sides_lie_on_one_axis() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    for n in 0..50 {
        recorder.caller(n * 20, &frame(1), PCM).unwrap();
        if (10..20).contains(&n) {
            recorder.agent(n * 20, &frame(2), PCM).unwrap();
        }
    }
    assert_eq!(
        recorder.finish().unwrap(),
        Recording {
            ms: 1000,
            left_out_ms: 0
        }
    );
    let (caller, agent) = read(&path);
    assert!(caller.len() == 8000 && caller.iter().all(|sample| *sample == 1));
    for (place, sample) in agent.iter().enumerate() {
        assert_eq!(
            *sample,
            if (1600..3200).contains(&place) { 2 } else { 0 },
            "at {place}"
        );
    }
}

#[test]
fn jitter_makes_no_gaps_and_a_hole_becomes_silence() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    for at in [0, 27, 35, 75, 500, 512] {
        recorder.caller(at, &frame(5), PCM).unwrap();
    }
    recorder.finish().unwrap();
    let (caller, _) = read(&path);
    let sound: Vec<usize> = (0..caller.len()).filter(|n| caller[*n] == 5).collect();
    let expected: Vec<usize> = (0..640).chain(4000..4320).collect();
    assert_eq!(sound, expected);
}

#[test]
fn the_first_frame_after_silence_lies_at_its_time() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    for n in 0..5 {
        recorder.caller(n * 20, &frame(1), PCM).unwrap();
    }
    // Within the jitter that frames in a row are forgiven.
    recorder.agent(30, &frame(2), PCM).unwrap();
    recorder.finish().unwrap();
    let (_, agent) = read(&path);
    let first = agent.iter().position(|sample| *sample == 2);
    assert_eq!(first, Some(30 * 8));
}

#[test]
fn what_was_cleared_is_not_in_it() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    for n in 0..50 {
        recorder.agent(n * 20, &frame(9), PCM).unwrap();
    }
    for n in 0..20 {
        recorder.caller(n * 20, &frame(1), PCM).unwrap();
    }
    recorder.agent_cleared(405);
    recorder.agent(600, &frame(8), PCM).unwrap();
    recorder.finish().unwrap();
    let (_, agent) = read(&path);
    assert_eq!(agent.len(), 620 * 8);
    for (place, sample) in agent.iter().enumerate() {
        let expected = match place / 8 {
            0..405 => 9,
            600.. => 8,
            _ => 0,
        };
        assert_eq!(*sample, expected, "at {place}");
    }
}

#[test]
fn mulaw_and_other_rates_are_converted() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    recorder.caller(0, &[0xFF; 160], Format::Mulaw8k).unwrap();
    recorder
        .agent(0, &[0; 640], Format::Pcm16 { rate: 16_000 })
        .unwrap();
    assert_eq!(recorder.finish().unwrap().ms, 20);
}

#[test]
fn a_crash_leaves_a_file_that_can_be_read_and_resumed() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::create(&path).unwrap();
    for n in 0..500 {
        recorder.caller(n * 20, &frame(3), PCM).unwrap();
        recorder.agent(n * 20, &frame(4), PCM).unwrap();
    }
    std::mem::forget(recorder); // a crash runs no destructor

    let (caller, agent) = read(&path);
    assert!(
        caller.len() >= 8000 * 8,
        "10 s less what waited and the header's age: {}",
        caller.len()
    );
    assert!(caller.iter().all(|sample| *sample == 3) && agent.iter().all(|sample| *sample == 4));

    let mut recorder = Recorder::resume(&path, 12_000).unwrap();
    recorder.caller(12_000, &frame(6), PCM).unwrap();
    assert_eq!(recorder.finish().unwrap().ms, 12_020);
    let (caller, _) = read(&path);
    assert_eq!(caller[12_000 * 8 - 1], 0);
    assert_eq!(caller[12_000 * 8], 6);
    assert!(caller[..8000 * 8].iter().all(|sample| *sample == 3));
}

#[test]
fn resuming_without_a_file_begins_with_silence_and_foreign_files_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("call.wav");
    let mut recorder = Recorder::resume(&path, 100).unwrap();
    recorder.agent(100, &frame(1), PCM).unwrap();
    recorder.finish().unwrap();
    assert_eq!(read(&path).1[799..801], [0, 1]);

    std::fs::write(&path, vec![1; 100]).unwrap();
    assert!(matches!(Recorder::resume(&path, 0), Err(Error::NotOurs(_))));
}

#[test]
fn an_absurd_time_does_not_fill_the_disk() {
    let folder = tempdir().unwrap();
    let mut recorder = Recorder::create(folder.path().join("call.wav")).unwrap();
    let refused = recorder.caller(u64::MAX, &frame(1), PCM);
    assert!(matches!(refused, Err(Error::TooLong(u64::MAX))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever the order in which both sides are told (within the promised limits), each frame of a
    /// side that keeps its own time lies at its time, and both channels are equally long.
    #[test]
    fn any_interleaving_gives_the_same_file(
        lead in 0_u64..400, frames in 1_u64..150, agent_from in 0_u64..100,
    ) {
        let folder = tempdir().unwrap();
        let path = folder.path().join("call.wav");
        let mut recorder = Recorder::create(&path).unwrap();
        let mut told = agent_from;
        for n in 0..frames {
            while told < frames && told < n + lead.min(450) {
                recorder.agent(told * 20, &frame(told as i16 + 1), PCM).unwrap();
                told += 1;
            }
            recorder.caller(n * 20, &frame(n as i16 + 1), PCM).unwrap();
        }
        recorder.finish().unwrap();
        let (caller, agent) = read(&path);
        prop_assert_eq!(caller.len(), agent.len());
        for n in 0..frames {
            prop_assert_eq!(caller[n as usize * 160], n as i16 + 1);
            let expected = if (agent_from..told).contains(&n) { n as i16 + 1 } else { 0 };
            prop_assert_eq!(agent[n as usize * 160 + 159], expected);
        }
    }
}
