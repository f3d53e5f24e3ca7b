//! What the callers of a load run say.

use super::*;
use crate::g711;

/// The callers of a run are set up one after the other, and all of them speak later.
#[test]
fn many_callers_are_heard_to_say_their_own_lines() {
    let callers = Callers::Turns {
        turns: 4,
        barge_ins: 1,
    };
    let lines: Vec<(String, Vec<u8>)> = (0..500)
        .flat_map(|call| script(&callers, call).steps)
        .filter_map(|step| match step {
            Step::Say(Line::Tone(text))
            | Step::BargeIn {
                say: Line::Tone(text),
                ..
            } => {
                let audio = tone::speak(&text);
                Some((text, audio))
            }
            _ => None,
        })
        .collect();
    assert_eq!(lines.len(), 500 * 6);
    for (text, audio) in lines {
        let mut decoder = tone::Decoder::default();
        let mut transcript = tone::Transcript::default();
        let frames = audio.chunks(g711::FRAME);
        for note in frames.filter_map(|frame| decoder.frame(frame)) {
            transcript.add(&note);
        }
        assert_eq!(transcript.text(), text);
    }
}
