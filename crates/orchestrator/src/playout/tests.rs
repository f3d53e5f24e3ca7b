//! Pacing, marks, pause and clear on a clock that the test moves.
#![allow(clippy::unwrap_used)]

use bolo_agent::Room;

use super::*;

const A: AnswerId = AnswerId(1);
const B: AnswerId = AnswerId(2);

/// A playout with a clock, and the record of what it sent.
struct Bench {
    playout: Playout,
    start: Instant,
    now: Instant,
    /// (at ms, command).
    sent: Vec<(u64, MediaCommand)>,
    slices: Vec<Sent>,
}

impl Bench {
    fn new(lead: u64) -> Self {
        Self::of(lead, None)
    }

    fn in_a_room(lead: u64) -> Self {
        Self::of(lead, Some(Room::Office))
    }

    fn of(lead: u64, room: Option<Room>) -> Self {
        let now = Instant::now();
        let room = room.map(|room| Ambience::of(room, Format::Mulaw8k));
        let playout = Playout::new(Format::Mulaw8k, Lead::new(lead), room, now);
        Self {
            playout,
            start: now,
            now,
            sent: Vec::new(),
            slices: Vec::new(),
        }
    }

    /// A chunk whose bytes count up, so that every byte has its place.
    fn play(&mut self, answer: AnswerId, number: u32, ms: u64, last: bool) {
        let audio: Vec<u8> = (0..ms * 8).map(|i| (i % 251) as u8).collect();
        self.playout.play(answer, number, 0, last, audio.into());
    }

    fn feed(&mut self) {
        let mut commands = Vec::new();
        self.playout.feed(self.now, &mut commands, &mut self.slices);
        let at = (self.now - self.start).as_millis() as u64;
        self.sent
            .extend(commands.into_iter().map(|command| (at, command)));
    }

    /// Lets `ms` pass in steps, feeding at each.
    fn run(&mut self, ms: u64, step: u64) {
        for _ in 0..ms / step {
            self.feed();
            self.now += Duration::from_millis(step);
        }
        self.feed();
    }

    /// Lets `ms` pass, feeding only when the playout asks for it; how often that was.
    fn run_by_itself(&mut self, ms: u64) -> usize {
        let end = self.now + Duration::from_millis(ms);
        let mut wakes = 0;
        while let Some(at) = self.playout.wake_at().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let before = self.sent.len();
            self.feed();
            assert!(
                self.sent.len() > before,
                "woken for nothing at {:?}",
                self.now - self.start
            );
            wakes += 1;
        }
        self.now = end;
        wakes
    }

    fn audio(&self) -> Vec<u8> {
        self.slices
            .iter()
            .flat_map(|slice| slice.audio.to_vec())
            .collect()
    }

    fn marks(&self) -> Vec<&str> {
        self.sent
            .iter()
            .filter_map(|(_, command)| match command {
                MediaCommand::Mark(name) => Some(name.as_str()),
                _ => None,
            })
            .collect()
    }
}

fn ms(audio: &[u8]) -> u64 {
    audio.len() as u64 / 8
}

#[test]
fn audio_is_never_further_ahead_than_the_lead_and_never_late() {
    let mut bench = Bench::new(400);
    for number in 1..=10 {
        bench.play(A, number, 500, number == 10);
    }
    bench.run(6000, 20);
    assert_eq!(ms(&bench.audio()), 5000);
    let (mut sent, mut least, mut before) = (0_u64, u64::MAX, 0);
    for (at, command) in &bench.sent {
        if let MediaCommand::Audio(audio) = command {
            if *at > before {
                least = least.min(sent.saturating_sub(*at));
                before = *at;
            }
            sent += ms(audio);
            let lead = if *at < 100 { 200 } else { 400 };
            assert!(sent - at <= lead, "{} ms ahead at {at}", sent - at);
        }
    }
    assert!(least >= 100, "only {least} ms were left in the carrier");
}

#[test]
fn the_first_slice_is_short_and_later_ones_are_long() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 1000, true);
    bench.run(1000, 20);
    let slices: Vec<u64> = bench.slices.iter().map(|slice| ms(&slice.audio)).collect();
    assert_eq!(slices[..3], [40, 100, 60]);
    assert!(slices[3..].iter().all(|slice| *slice >= 100), "{slices:?}");
}

#[test]
fn pacing_by_its_own_wake_ups_loses_nothing_and_never_spins() {
    let mut bench = Bench::new(400);
    for number in 1..=6 {
        bench.play(A, number, 700, number == 6);
    }
    bench.playout.end(A);
    let wakes = bench.run_by_itself(5000);
    assert_eq!(ms(&bench.audio()), 4200);
    assert!(wakes < 50, "{wakes} wake-ups for 4.2 s");
    assert!(bench.playout.wake_at().is_none());
    // Each slice begins where the one before ends.
    for pair in bench.slices.windows(2) {
        let length = Duration::from_micros(pair[0].audio.len() as u64 * 125);
        assert_eq!(pair[1].plays_at, pair[0].plays_at + length);
    }
}

#[test]
fn a_small_lead_works_too() {
    let mut bench = Bench::new(200);
    bench.play(A, 1, 900, true);
    bench.run_by_itself(1000);
    assert_eq!(ms(&bench.audio()), 900);
}

#[test]
fn marks_follow_pieces_seconds_and_the_end() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 600, false);
    bench.play(A, 2, 600, false);
    bench.play(A, 3, 200, true);
    bench.playout.end(A);
    bench.run(2000, 20);
    assert_eq!(bench.marks(), ["1:1", "1:3", "1:end"]);
}

#[test]
fn a_piece_that_is_known_to_be_done_late_gets_its_mark_late() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 200, false);
    bench.run(300, 20);
    assert!(bench.marks().is_empty());
    bench.playout.piece_done(A, 0);
    bench.run(20, 20);
    assert_eq!(bench.marks(), ["1:1"]);
    bench.playout.end(A);
    bench.run(20, 20);
    assert_eq!(bench.marks(), ["1:1", "1:end"]);
}

#[test]
fn what_the_wire_holds_back_leaves_where_nothing_follows_and_never_in_the_midst() {
    let flushes = |bench: &Bench| -> Vec<u64> {
        let flush = |(at, command): &(u64, MediaCommand)| {
            matches!(command, MediaCommand::Flush).then_some(*at)
        };
        bench.sent.iter().filter_map(flush).collect()
    };
    // The vendor stalls within a piece, and behind a whole one.
    let mut bench = Bench::new(400);
    bench.play(A, 1, 1000, false);
    bench.run_by_itself(1500);
    assert_eq!(flushes(&bench), [900]);
    bench.play(A, 2, 1000, true);
    bench.run_by_itself(1500);
    assert_eq!(flushes(&bench), [900, 2300]);
    // The answer goes on, and ends.
    bench.play(A, 3, 1000, true);
    bench.run_by_itself(700);
    bench.play(A, 4, 1000, true);
    bench.playout.end(A);
    bench.run_by_itself(2000);
    assert_eq!(flushes(&bench)[2..].len(), 1);
    assert_eq!(bench.sent.last().unwrap().1, MediaCommand::Flush);
    // Nothing is left of what is cleared.
    bench.play(B, 1, 1000, false);
    bench.run(500, 20);
    bench.playout.clear(bench.now);
    assert_eq!(bench.playout.wake_at(), None);
}

#[test]
fn nothing_of_a_cleared_answer_follows_the_clear() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 1000, true);
    bench.playout.end(A);
    bench.run(300, 20);
    let before = bench.slices.len();
    bench.playout.clear(bench.now);
    bench.run(2000, 20);
    assert_eq!(bench.slices.len(), before);
    assert!(bench.marks().is_empty());
    bench.play(B, 1, 100, true);
    let now = bench.now;
    bench.run(200, 20);
    assert_eq!(bench.slices[before].answer, Some(B));
    assert_eq!(
        bench.slices[before].plays_at, now,
        "the next answer does not wait for the cleared one"
    );
}

#[test]
fn a_pause_stops_feeding_and_resuming_goes_on_from_the_place_told() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 1000, false);
    bench.play(A, 2, 1000, true);
    bench.run(500, 20);
    let sent = ms(&bench.audio());
    bench.playout.pause();
    assert_eq!(bench.playout.wake_at(), None);
    bench.run(1000, 20);
    assert_eq!(ms(&bench.audio()), sent, "nothing was fed in the pause");
    bench.playout.resume(A, 1, 640);
    bench.run(2500, 20);
    let all = bench.audio();
    let chunk: Vec<u8> = (0..8000).map(|i| (i % 251) as u8).collect();
    let mut expected = chunk[..sent as usize * 8].to_vec();
    expected.extend_from_slice(&chunk[640 * 8..]);
    expected.extend_from_slice(&chunk);
    assert_eq!(all, expected);
}

#[test]
fn resuming_in_a_chunk_that_was_sent_whole_plays_it_and_all_behind_it_again() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 200, false);
    bench.play(A, 2, 200, true);
    bench.playout.end(A);
    bench.run(400, 20);
    assert_eq!(ms(&bench.audio()), 400);
    bench.playout.pause();
    bench.playout.resume(A, 1, 150);
    bench.run(1000, 20);
    assert_eq!(ms(&bench.audio()), 400 + 50 + 200);
    assert_eq!(bench.marks().last(), Some(&"1:end"));
}

#[test]
fn resuming_never_skips_what_was_not_sent() {
    let mut bench = Bench::new(400);
    bench.play(A, 1, 1000, true);
    bench.run(100, 20);
    bench.playout.pause();
    bench.playout.resume(A, 1, 900);
    bench.run(2000, 20);
    assert_eq!(ms(&bench.audio()), 1000);
}

#[test]
fn sixteen_bit_audio_is_cut_between_samples() {
    let now = Instant::now();
    let mut playout = Playout::new(Format::Pcm16 { rate: 22_050 }, Lead::new(400), None, now);
    playout.play(A, 1, 0, true, Bytes::from(vec![0; 22_050 * 2]));
    let (mut commands, mut slices) = (Vec::new(), Vec::new());
    for step in 0..60 {
        playout.feed(
            now + Duration::from_millis(step * 20),
            &mut commands,
            &mut slices,
        );
    }
    assert!(slices.iter().all(|slice| slice.audio.len() % 2 == 0));
    assert_eq!(
        slices.iter().map(|slice| slice.audio.len()).sum::<usize>(),
        44_100
    );
}

/// Whose the slices are, without repetition.
fn speakers(bench: &Bench) -> Vec<Option<AnswerId>> {
    let mut speakers: Vec<_> = bench.slices.iter().map(|slice| slice.answer).collect();
    speakers.dedup();
    speakers
}

fn has_no_gap(bench: &Bench) {
    for pair in bench.slices.windows(2) {
        let length = Duration::from_micros(pair[0].audio.len() as u64 * 125);
        assert_eq!(pair[1].plays_at, pair[0].plays_at + length);
    }
}

#[test]
fn a_room_is_heard_before_under_and_after_what_is_said() {
    let mut bench = Bench::in_a_room(400);
    bench.run(500, 20);
    assert_eq!(ms(&bench.audio()), 540);
    bench
        .playout
        .play(A, 1, 0, true, vec![0xFF; 8 * 600].into());
    bench.playout.end(A);
    bench.feed();
    let first = bench.slices.iter().find(|slice| slice.answer == Some(A));
    let first = first.unwrap();
    assert_eq!(ms(&first.audio), FIRST_SLICE_MS, "it leaves at once");
    assert!(first.plays_at <= bench.now + Duration::from_millis(ROOM_LEAD_MS));
    assert!(
        first.audio.iter().any(|code| *code != 0xFF),
        "silence with a room under it"
    );
    bench.run(2000, 20);
    assert_eq!(speakers(&bench), [None, Some(A), None]);
    assert_eq!(bench.marks(), ["1:1", "1:end"]);
    has_no_gap(&bench);
    assert_eq!(ms(&bench.audio()), 2540);
}

#[test]
fn a_room_wakes_the_call_once_a_slice() {
    let mut bench = Bench::in_a_room(400);
    let wakes = bench.run_by_itself(1000);
    assert!((49..=52).contains(&wakes), "{wakes}");
    has_no_gap(&bench);
}

#[test]
fn a_room_goes_on_where_the_agent_is_cut_or_stops() {
    let mut bench = Bench::in_a_room(400);
    bench.play(A, 1, 1000, false);
    bench.run(200, 20);
    bench.playout.pause();
    bench.run(1000, 20);
    assert_eq!(
        speakers(&bench),
        [Some(A), None],
        "it drains, then the room"
    );
    has_no_gap(&bench);
    bench.playout.resume(A, 1, 0);
    bench.feed();
    assert_eq!(bench.slices.last().unwrap().answer, Some(A));
    bench.playout.clear(bench.now);
    let before = bench.slices.len();
    bench.feed();
    let next = &bench.slices[before];
    assert_eq!((next.answer, next.plays_at), (None, bench.now));
}
