//! What the fakes of vendors tell of a load run's turns, call by call, and what a turn took beyond them.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    Begun,
    caller::{CallHandle, Event},
    deepgram::Sent,
};

/// All that was told, of all calls. Texts begin with the words that tell calls apart: `call 7`.
#[derive(Default)]
pub(super) struct Told {
    sent: Mutex<Vec<Sent>>,
    begun: Mutex<Vec<Begun>>,
}

impl Told {
    /// A text left the transcriber.
    pub fn sent(&self, sent: &Sent) {
        lock(&self.sent).push(sent.clone());
    }

    /// An answer left the model or the synthesizer.
    pub fn begun(&self, begun: Begun) {
        lock(&self.begun).push(begun);
    }

    /// What was told so far matters no more.
    pub fn forget(&self) {
        lock(&self.sent).clear();
        lock(&self.begun).clear();
    }

    /// What was told of one call.
    pub fn of(&self, call: usize) -> OfCall {
        let mine = format!("call {call}");
        let is_mine = |text: &str| {
            let rest = text.strip_prefix(&mine);
            rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
        };
        let (sent, begun) = (lock(&self.sent), lock(&self.begun));
        let sent = sent.iter().filter(|sent| is_mine(&sent.text));
        let begun = begun.iter().filter(|begun| is_mine(&begun.text));
        OfCall {
            sent: sent.cloned().collect(),
            begun: begun.cloned().collect(),
        }
    }
}

fn lock<T>(told: &Mutex<T>) -> MutexGuard<'_, T> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What was told of one call, in order of time.
#[derive(Debug, Default)]
pub(super) struct OfCall {
    /// By the transcriber.
    pub sent: Vec<Sent>,
    /// By model and synthesizer.
    pub begun: Vec<Begun>,
}

impl OfCall {
    /// What each turn took beyond its vendors, ms: the transcriber's end of the turn → the answer's first audio at
    /// the carrier, less the vendors' `delays` and what they came late themselves. `None`: no answer. `arrivals`:
    /// first audio of each answer.
    pub fn added(&self, delays: Duration, arrivals: &[Instant]) -> Vec<Option<f64>> {
        let ends = self.sent.iter().filter(|sent| sent.ends_turn);
        ends.map(|end| {
            let arrived = *arrivals.iter().find(|at| **at >= end.at)?;
            let vendors = self.begun.iter();
            let vendors = vendors.filter(|begun| begun.at >= end.at && begun.at <= arrived);
            let late: Duration = vendors.map(|begun| begun.late).sum();
            let whole = arrived.saturating_duration_since(end.at);
            Some((whole.as_secs_f64() - (delays + late).as_secs_f64()) * 1000.0)
        })
        .collect()
    }
}

/// When the first audio of each answer arrived at the carrier.
pub(super) fn arrivals(handle: &CallHandle) -> Vec<Instant> {
    let began = handle.began();
    let events = handle.timeline().into_iter();
    events
        .filter(|timed| timed.event == Event::AudioArrived)
        .map(|timed| began + Duration::from_micros(timed.at_us))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_vendors_came_late_themselves_is_not_the_servers() {
        let start = Instant::now();
        let told = Told::default();
        let sent = |text: &str, at, ends_turn| {
            told.sent(&Sent {
                at: start + ms(at),
                text: text.into(),
                ends_turn,
                is_final: ends_turn,
            });
        };
        let begun = |text: &str, at, late| {
            told.begun(Begun {
                at: start + ms(at),
                text: text.into(),
                late: ms(late),
            });
        };
        sent("call 1", 0, false);
        sent("call 1 here is a note", 100, true);
        sent("call 12 here is a note", 110, true);
        begun("call 1 here is a note", 410, 7);
        begun("call 12 here is a note", 420, 90);
        begun("call 1, I have noted that for you.", 520, 5);
        // Of the next answer.
        begun("call 1 here is a note", 900, 50);
        sent("call 1 here is a note", 2000, true);
        sent("call 1 is not answered", 4000, true);

        let of_one = told.of(1);
        let arrivals = [start + ms(530), start + ms(2450)];
        let added = of_one.added(ms(400), &arrivals);
        let rounded: Vec<_> = added.iter().map(|ms| ms.map(f64::round)).collect();
        // 430 - 400 - 7 - 5; 450 - 400.
        assert_eq!(rounded, [Some(18.0), Some(50.0), None]);
        told.forget();
        assert!(told.of(1).sent.is_empty() && told.of(12).begun.is_empty());
    }
}
