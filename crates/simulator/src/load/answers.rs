//! How long callers with free scripts wait for an answer, as heard at the far end of the line.

use crate::caller::{Event, Timed};

/// Lines the caller said, and for each that was answered the ms from its end to the agent's first audio.
pub(super) fn of(timeline: &[Timed]) -> (usize, Vec<f64>) {
    let (mut said, mut waits) = (0, Vec::new());
    let mut waiting = None;
    for Timed { at_us, event } in timeline {
        match event {
            Event::CallerStopped { .. } => {
                said += 1;
                waiting = Some(*at_us);
            }
            // He goes on: the line before was no turn of its own.
            Event::CallerStarted { .. } => waiting = None,
            Event::AudioArrived => {
                let wait = waiting.take().map(|since| at_us.saturating_sub(since));
                waits.extend(wait.map(|us| us as f64 / 1000.0));
            }
            _ => {}
        }
    }
    (said, waits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_answered_by_the_first_audio_before_the_next_line() {
        let line = || "hello".to_owned();
        let timeline = [
            (0, Event::AudioArrived),
            (1_000, Event::CallerStarted { line: line() }),
            (2_000, Event::CallerStopped { line: line() }),
            (2_500, Event::AudioArrived),
            (2_600, Event::AudioArrived),
            (3_000, Event::CallerStarted { line: line() }),
            (4_000, Event::CallerStopped { line: line() }),
            (5_000, Event::CallerStarted { line: line() }),
            (6_000, Event::CallerStopped { line: line() }),
        ]
        .map(|(at_us, event)| Timed { at_us, event });
        assert_eq!(of(&timeline), (3, vec![0.5]));
    }
}
