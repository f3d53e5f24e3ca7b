//! Callers in virtual time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::tone;

/// Plays agent audio (at given times) to a caller and collects what the caller does, by time.
fn play(steps: Vec<ReadyStep>, agent: &[(u64, Vec<u8>)], until_ms: u64) -> Vec<(u64, String)> {
    let mut actor = Actor::new(steps, Then::HangUp, 5000);
    let mut hearing = Hearing::new(true, false);
    let mut log = Vec::new();
    for frame in 0..until_ms / 20 {
        let at = frame * 20;
        let mut acts = Vec::new();
        actor.frame(at, &hearing, &mut acts);
        log.extend(acts.iter().map(|act| (at, format!("{act:?}"))));
        if acts.contains(&Act::HangUp) {
            break;
        }
        let heard = agent.iter().find_map(|(from, audio)| {
            let start = g711::bytes(at.checked_sub(*from)?);
            audio.get(start..start + g711::FRAME)
        });
        hearing.frame(at + 20, heard, &mut |_, _| {});
    }
    log
}

fn line(text: &str) -> ReadyLine {
    ReadyLine {
        label: text.into(),
        audio: tone::speak(text).into(),
    }
}

fn log(entries: &[(u64, &str)]) -> Vec<(u64, String)> {
    entries
        .iter()
        .map(|(at, what)| (*at, (*what).to_owned()))
        .collect()
}

#[test]
fn a_caller_waits_speaks_and_hangs_up() {
    let steps = vec![
        ReadyStep::WaitForAgent { silence_ms: 600 },
        ReadyStep::Say(line("yes")),
        ReadyStep::Silence { ms: 100 },
    ];
    // "Hello." sounds from 200 to 590 ms.
    let done = play(steps, &[(200, tone::speak("Hello."))], 10_000);
    assert_eq!(
        done,
        log(&[
            (1180, "Started(\"yes\")"),
            (1360, "Stopped(\"yes\")"),
            (1480, "HangUp"),
        ])
    );
}

#[test]
fn a_barge_in_at_a_word_starts_when_the_word_is_heard() {
    let steps = vec![ReadyStep::BargeIn {
        after_ms: None,
        at: Some("order ships".into()),
        at_word: None,
        say: line("no"),
    }];
    let done = play(
        steps,
        &[(0, tone::speak("Your order ships on Monday."))],
        3000,
    );
    // Half of "ships" is over at character 14 = 910 ms.
    assert!(
        matches!(&done[0], (860..=960, started) if started == "Started(\"no\")"),
        "{done:?}"
    );
}

#[test]
fn a_caller_loses_patience() {
    let done = play(
        vec![ReadyStep::Expect("goodbye".into())],
        &[(0, tone::speak("Hello."))],
        9000,
    );
    assert_eq!(
        done,
        log(&[
            (5000, "Failed(\"the agent did not say `goodbye`\")"),
            (5000, "HangUp")
        ])
    );
}

#[test]
fn keys_are_pressed_one_after_the_other() {
    let done = play(vec![ReadyStep::Dtmf(vec!['1', '#'])], &[], 1000);
    assert_eq!(
        done,
        log(&[(0, "Press('1')"), (100, "Press('#')"), (100, "HangUp")])
    );
}
