//! Barge-ins of a load run: from the caller's first sound to the silence at his ear, step by step.

use std::time::{Duration, Instant};

use crate::{
    caller::{CallHandle, Event},
    deepgram::Sent,
};

/// What the caller says into the agent.
pub(super) fn line(call: usize) -> String {
    format!("call {call} barge in now")
}

/// One barge-in, ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cut {
    /// The caller's first sound → the text that cuts the agent left the transcriber.
    pub to_rule: f64,
    /// That text → the clear arrived at the carrier.
    pub to_clear: f64,
    /// That text → the agent is silent at the caller's ear.
    pub to_quiet: f64,
}

/// The `nth` barge-in of a call, each with the words `said`. `own`: what the transcriber told of this call.
pub(super) fn cut(said: &str, nth: usize, handle: &CallHandle, own: &[Sent]) -> Option<Cut> {
    let (events, began) = (handle.timeline(), handle.began());
    let is_onset = |event: &Event| matches!(event, Event::CallerStarted { line } if line == said);
    let mut onsets = (0..events.len()).filter(|event| is_onset(&events[*event].event));
    let onset = onsets.nth(nth)?;
    let after = |from: usize, is: fn(&Event) -> bool| {
        let offset = events[from..].iter().position(|timed| is(&timed.event));
        offset.map(|offset| from + offset)
    };
    let cleared = after(onset, |event| matches!(event, Event::Cleared { .. }))?;
    let silent = after(cleared, |event| *event == Event::AgentStopped)?;
    let at = |event: usize| began + Duration::from_micros(events[event].at_us);
    // The rule fires with the second word of a line over the agent.
    let fired = own
        .iter()
        .find(|sent| sent.at >= at(onset) && sent.text.split_whitespace().count() >= 2)?;
    let ms = |from: Instant, until: Instant| {
        until.saturating_duration_since(from).as_secs_f64() * 1000.0
    };
    Some(Cut {
        to_rule: ms(at(onset), fired.at),
        to_clear: ms(fired.at, at(cleared)),
        to_quiet: ms(fired.at, at(silent)),
    })
}
