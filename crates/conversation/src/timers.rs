//! The machine's deadlines: one slot for each kind, so that none can fire after it was stopped.

use std::collections::BTreeMap;

use crate::At;

/// What may fall due. On a tie the first of this list fires first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// The utterance at the head has been heard to its end (R74).
    UtteranceEnd,
    /// Nothing came after the last chunk for 300 ms (R76).
    Underrun,
    /// The welcome's delay is over (R15).
    WelcomeDelay,
    /// Words spoken over the agent no longer count (R45).
    OverlapEnd,
    /// No news of an open turn (R29).
    SttStall,
    /// Voice for long enough to pause the agent (R49).
    PauseOnVoice,
    /// The pause was for nothing (R51).
    Resume,
    /// No pause is longer (R51).
    PauseMax,
    /// An answer may be heard now (R37, R40, R54).
    Hold,
    /// The filler makes room for the answer (R77).
    FillerCut,
    /// The routing budget is spent: the answer waits no longer (R122).
    Route,
    /// A further ask of the same turn may start (R42).
    AskDue,
    /// The first piece goes out though no clause has ended (R88).
    FirstPiece,
    /// The model is too slow (R194).
    AskLimit,
    /// Ask the model again (R194).
    AskRetry,
    /// Dead-air guard (R97).
    Filler,
    /// The result of a tool is lost (R106).
    ToolResult,
    /// Results wait no longer for the end of the caller's words (R59).
    ToolTurn,
    /// Nobody took the caller over (R114).
    Transfer,
    /// The judge is too slow (R155).
    Judge,
    /// Look whether a machine answered, or leave it a message (R158, R159).
    Voicemail,
    /// Voice without text (R35).
    Untranscribed,
    /// The caller speaks while nobody listens (R193).
    DeafVoice,
    /// A key string is complete (R162).
    Keypad,
    /// An end mark did not come (R73).
    MarkMissing,
    /// Ask whether the caller is there (R151).
    OnlineCheck,
    /// The caller has been silent too long (R153).
    Silence,
    /// The goodbye does not come to its end (R9).
    Goodbye,
    /// `call_terminate` (R11).
    CallCap,
    /// Speech at the cap may not last longer (R11).
    CapGrace,
    /// No `MediaStop` after a hang-up (R8).
    HangUpAgain,
    /// A lost media socket did not come back (R199).
    Detached,
    /// The last final may still come (R10).
    LastFinal,
    /// Pending work does not move (R154).
    Stall,
}

/// The table of deadlines.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Timers(BTreeMap<Timer, At>);

impl Timers {
    /// Sets or moves a deadline.
    pub(crate) fn set(&mut self, timer: Timer, at: At) {
        self.0.insert(timer, at);
    }

    /// Sets or removes a deadline.
    pub(crate) fn put(&mut self, timer: Timer, at: Option<At>) {
        match at {
            Some(at) => self.set(timer, at),
            None => self.stop(timer),
        }
    }

    /// Removes a deadline.
    pub(crate) fn stop(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    /// Whether there is such a deadline.
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.0.contains_key(&timer)
    }

    /// Removes all of them.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<At> {
        self.0.values().copied().min()
    }

    /// Takes the earliest deadline that is due at `at`.
    pub(crate) fn pop_due(&mut self, at: At) -> Option<(At, Timer)> {
        let (due, timer) = self.0.iter().map(|(timer, due)| (*due, *timer)).min()?;
        (due <= at).then(|| {
            self.0.remove(&timer);
            (due, timer)
        })
    }

    /// Moves every deadline but one by `ms`: time that did not count (R202).
    pub(crate) fn postpone(&mut self, ms: u64, except: Timer) {
        for (timer, due) in &mut self.0 {
            if *timer != except {
                *due = due.plus(ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_fires_first_and_ties_fire_in_order_of_the_list() {
        let mut timers = Timers::default();
        timers.set(Timer::Silence, At(10));
        timers.set(Timer::Hold, At(10));
        timers.set(Timer::CallCap, At(5));
        assert_eq!(timers.next(), Some(At(5)));
        assert_eq!(timers.pop_due(At(4)), None);
        assert_eq!(timers.pop_due(At(20)), Some((At(5), Timer::CallCap)));
        assert_eq!(timers.pop_due(At(20)), Some((At(10), Timer::Hold)));
        assert_eq!(timers.pop_due(At(20)), Some((At(10), Timer::Silence)));
        assert_eq!(timers.pop_due(At(20)), None);
    }
}
