//! Turns, pauses and their limits, with answers made up for the models.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

/// What the models would answer: the text and the turn model's score.
struct Answers(&'static str, f32);

struct Played {
    listener: Listener,
    /// What was told, with its time in ms of audio.
    told: Vec<(u64, Heard)>,
    checks: Vec<usize>,
}

fn play(audio: &[u8], answers: &Answers) -> Played {
    let listener = Listener::new(Format::Mulaw8k, 250).unwrap();
    let mut played = Played {
        listener,
        told: Vec::new(),
        checks: Vec::new(),
    };
    for (number, frame) in audio.chunks(160).enumerate() {
        let at = (number as u64 + 1) * 20;
        for step in played.listener.hear(frame) {
            played.perform(at, step, answers);
        }
    }
    played
}

impl Played {
    fn perform(&mut self, at: u64, step: Step, answers: &Answers) {
        match step {
            Step::Tell(heard) => self.told.push((at, heard)),
            Step::Interim { number, .. } => {
                let heard = self.listener.interim(number, answers.0.to_owned());
                self.told.extend(heard.map(|heard| (at, heard)));
            }
            Step::Check { segment, .. } => {
                self.checks.push(segment.len());
                for step in self.listener.checked(answers.0.to_owned(), answers.1) {
                    self.perform(at, step, answers);
                }
            }
            Step::SecondLook { .. } => {
                for step in self.listener.looked_again(answers.1) {
                    self.perform(at, step, answers);
                }
            }
            Step::Seal { .. } => {
                let heard = self.listener.sealed(answers.0.to_owned());
                self.told.extend(heard.map(|heard| (at, heard)));
            }
        }
    }

    fn ends(&self) -> Vec<u64> {
        let ends = self
            .told
            .iter()
            .filter(|(_, heard)| matches!(heard, Heard::TurnEnd { .. }));
        ends.map(|(at, _)| *at).collect()
    }
}

/// A caller's clip, without its header.
fn clip(file: &str) -> Vec<u8> {
    let path = format!("{}/../simulator/callers/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()[58..].to_vec()
}

fn silence(ms: usize) -> Vec<u8> {
    vec![0xFF; ms * 8]
}

fn one_turn() -> Vec<u8> {
    [silence(500), clip("turn04-am_michael.wav"), silence(4000)].concat()
}

const SPOKEN_MS: u64 = 500 + 2553;

#[test]
fn a_finished_turn_ends_after_a_short_pause() {
    let played = play(&one_turn(), &Answers("Book me in.", 0.97));
    let [end] = played.ends()[..] else {
        panic!("{:?}", played.told);
    };
    assert!((SPOKEN_MS - 100..SPOKEN_MS + 400).contains(&end), "{end}");
    assert_eq!(played.told[0].1, Heard::SpeechStarted);
    let interim = Heard::Interim("Book me in.".to_owned());
    assert_eq!(
        played
            .told
            .iter()
            .filter(|(_, heard)| *heard == interim)
            .count(),
        1,
        "no repeats"
    );
}

#[test]
fn an_unfinished_one_is_waited_for_and_sealed_meanwhile() {
    let played = play(&one_turn(), &Answers("I want to", 0.1));
    let [end] = played.ends()[..] else {
        panic!("{:?}", played.told);
    };
    assert!(
        end > SPOKEN_MS + LONG_PAUSE_MS - 400 && end < SPOKEN_MS + LONG_PAUSE_MS + 100,
        "{end}"
    );
    let [
        ..,
        (sealed, Heard::Final(text)),
        (_, Heard::TurnEnd { text: rest, .. }),
    ] = &played.told[..]
    else {
        panic!("{:?}", played.told);
    };
    assert_eq!((text.as_str(), rest.as_str()), ("I want to", ""));
    assert!(sealed + 1500 < end);
}

#[test]
fn speech_after_a_short_pause_goes_on_in_the_same_segment() {
    let audio = [
        silence(500),
        clip("turn04-am_michael.wav"),
        silence(300),
        clip("turn05-af_heart.wav"),
        silence(4000),
    ]
    .concat();
    let played = play(&audio, &Answers("and", 0.1));
    assert_eq!(played.ends().len(), 1, "{:?}", played.told);
    assert_eq!(played.checks.len(), 2);
    assert!(
        played.checks[1] > played.checks[0] + 1734 * 8,
        "the second holds both"
    );
}

#[test]
fn speech_after_a_long_pause_is_a_segment_of_the_same_turn() {
    let audio = [
        silence(500),
        clip("turn04-am_michael.wav"),
        silence(1500),
        clip("turn05-af_heart.wav"),
        silence(4000),
    ]
    .concat();
    let played = play(&audio, &Answers("and", 0.1));
    assert_eq!(played.ends().len(), 1);
    let finals = played
        .told
        .iter()
        .filter(|(_, heard)| matches!(heard, Heard::Final(_)));
    assert_eq!(finals.count(), 2, "{:?}", played.told);
    assert!(
        played.checks[1] < 3000 * 8,
        "the second holds only the second"
    );
}

#[test]
fn a_lone_you_and_nothing_end_without_a_turn() {
    for text in ["", " ."] {
        let played = play(&one_turn(), &Answers(text, 0.9));
        assert!(played.ends().is_empty());
        let last = played.told.last().map(|(_, heard)| heard.clone());
        assert_eq!(last, Some(Heard::SpeechEnded), "{:?}", played.told);
    }
    let mut listener = Listener::new(Format::Mulaw8k, 250).unwrap();
    assert!(!listener.is_speech("You."), "the detector heard no voice");
    for frame in one_turn().chunks(160) {
        listener.hear(frame);
    }
    assert!(listener.is_speech("You."), "the detector was sure");
}

#[test]
fn a_speech_without_end_is_cut_and_memory_stays_bounded() {
    let long = clip("turn20-af_bella.wav");
    // Without its silences, so that it never pauses.
    let voice: Vec<u8> = long[1000..long.len() - 3000]
        .iter()
        .copied()
        .cycle()
        .take(60 * 8000)
        .collect();
    let played = play(&voice, &Answers("on and on and", 0.1));
    let finals = played
        .told
        .iter()
        .filter(|(_, heard)| matches!(heard, Heard::Final(_)))
        .count();
    assert!((2..=6).contains(&finals), "{finals}: {:?}", played.told);
    assert!(played.checks.iter().all(|samples| *samples <= 21_000 * 8));
    assert!(played.listener.audio.len() < 23 * 8000);
}

#[test]
fn a_longer_endpointing_is_kept() {
    let mut listener = Listener::new(Format::Mulaw8k, 1000).unwrap();
    let mut end = None;
    for (number, frame) in one_turn().chunks(160).enumerate() {
        for step in listener.hear(frame) {
            let steps = match step {
                Step::Check { .. } => listener.checked("Yes.".to_owned(), 0.95),
                step => vec![step],
            };
            if steps
                .iter()
                .any(|step| matches!(step, Step::Tell(Heard::TurnEnd { .. })))
            {
                end = Some((number as u64 + 1) * 20);
            }
        }
    }
    let end = end.unwrap();
    assert!((SPOKEN_MS + 600..SPOKEN_MS + 1150).contains(&end), "{end}");
}

#[test]
fn finishing_gives_what_is_open() {
    let audio = one_turn();
    let mut listener = Listener::new(Format::Mulaw8k, 250).unwrap();
    assert_eq!(listener.finish(), None);
    for frame in audio[..2000 * 8].chunks(160) {
        listener.hear(frame);
    }
    let Some(Step::Seal { audio }) = listener.finish() else {
        panic!("the open segment");
    };
    assert!(audio.len() > 1400 * 8);
    assert_eq!(
        listener.sealed("Yes".to_owned()),
        Some(Heard::Final("Yes".to_owned()))
    );
    assert_eq!(listener.finish(), None);
}
