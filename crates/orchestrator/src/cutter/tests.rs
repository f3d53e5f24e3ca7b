//! Chunks of one answer.
#![allow(clippy::unwrap_used)]

use super::*;

fn bytes(ms: u64, from: u8) -> Bytes {
    (0..ms * 8)
        .map(|i| from.wrapping_add((i / 8) as u8))
        .collect::<Vec<_>>()
        .into()
}

fn lengths(cuts: &[Cut]) -> Vec<u64> {
    cuts.iter().map(|cut| cut.ms).collect()
}

#[test]
fn the_first_audio_goes_out_at_once_and_later_audio_gathers() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    cutter.push(0, bytes(10, 0), Vec::new(), now, &mut cuts);
    assert!(cuts.is_empty(), "less than 20 ms is no chunk");
    cutter.push(0, bytes(390, 10), Vec::new(), now, &mut cuts);
    assert_eq!(lengths(&cuts), [400]);
    // 400 ms lie ready: the next chunk may gather to 200.
    cutter.push(0, bytes(100, 0), Vec::new(), now, &mut cuts);
    assert_eq!(cuts.len(), 1);
    cutter.push(0, bytes(100, 0), Vec::new(), now, &mut cuts);
    assert_eq!(lengths(&cuts), [400, 200]);
}

#[test]
fn no_chunk_is_longer_than_a_second_or_shorter_than_a_frame() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    cutter.push(0, bytes(3210, 0), Vec::new(), now, &mut cuts);
    cutter.push(0, bytes(7, 0), Vec::new(), now, &mut cuts);
    cutter.flush(now, &mut cuts);
    assert!(
        cuts.iter().all(|cut| (20..=1000).contains(&cut.ms)),
        "{:?}",
        lengths(&cuts)
    );
    let numbers: Vec<u32> = cuts.iter().map(|cut| cut.chunk).collect();
    assert_eq!(numbers, (1..=cuts.len() as u32).collect::<Vec<_>>());
    let all: Vec<u8> = cuts.iter().flat_map(|cut| cut.audio.to_vec()).collect();
    let mut expected = [bytes(3210, 0), bytes(7, 0)].concat();
    expected.resize(expected.len() + 13 * 8, 0xFF);
    assert_eq!(all, expected, "the crumb at the end is filled with silence");
}

#[test]
fn chunks_never_span_pieces() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    cutter.push(0, bytes(300, 0), Vec::new(), now, &mut cuts);
    cutter.push(0, bytes(50, 0), Vec::new(), now, &mut cuts);
    cutter.push(1, bytes(400, 0), Vec::new(), now, &mut cuts);
    let places: Vec<(u32, u64)> = cuts.iter().map(|cut| (cut.piece, cut.ms)).collect();
    assert_eq!(places, [(0, 300), (0, 50), (1, 400)]);
}

#[test]
fn what_gathers_goes_out_before_the_audio_ahead_of_it_runs_out() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    cutter.push(0, bytes(600, 0), Vec::new(), now, &mut cuts);
    cutter.push(0, bytes(120, 0), Vec::new(), now, &mut cuts);
    assert_eq!(cuts.len(), 1);
    let at = cutter.wake_at().unwrap();
    assert_eq!(at - now, Duration::from_millis(450));
    cutter.flush_low(at - Duration::from_millis(1), &mut cuts);
    assert_eq!(cuts.len(), 1);
    cutter.flush_low(at, &mut cuts);
    assert_eq!(lengths(&cuts), [600, 120]);
    assert_eq!(cutter.wake_at(), None);
}

#[test]
fn a_piece_told_again_skips_what_was_made_of_it() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    cutter.push(0, bytes(200, 0), Vec::new(), now, &mut cuts);
    cutter.again();
    cutter.push(0, bytes(150, 0), Vec::new(), now, &mut cuts);
    assert_eq!(cuts.len(), 1, "heard of before");
    cutter.push(0, bytes(250, 150), Vec::new(), now, &mut cuts);
    cutter.flush(now, &mut cuts);
    let all: Vec<u8> = cuts.iter().flat_map(|cut| cut.audio.to_vec()).collect();
    assert_eq!(all, [bytes(200, 0), bytes(200, 200)].concat());
}

#[test]
fn words_go_with_the_chunk_they_begin_in() {
    let now = Instant::now();
    let mut cutter = Cutter::new(Format::Mulaw8k);
    let mut cuts = Vec::new();
    let words = vec![("one".to_owned(), 100, 400), ("two".to_owned(), 1100, 1400)];
    cutter.push(0, bytes(1600, 0), words, now, &mut cuts);
    assert_eq!(lengths(&cuts), [800, 800]);
    assert_eq!(
        cuts[0].words,
        [Word {
            text: "one".into(),
            start_ms: 100,
            end_ms: 400
        }]
    );
    assert_eq!(
        cuts[1].words,
        [Word {
            text: "two".into(),
            start_ms: 300,
            end_ms: 600
        }]
    );
}
