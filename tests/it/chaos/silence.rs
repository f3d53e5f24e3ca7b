//! What a caller did not hear: silences of a call at its far end, on the call's own media clock.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bolo_simulator::caller::{Event, Timed};

/// Lines that say that the caller has to wait (R97).
const WAITS: [&str; 2] = ["One moment, please.", "Just a moment."];

/// A stretch without a sound of the agent.
#[derive(Debug, Clone)]
pub struct Silence {
    /// Since the call was made.
    pub from_us: u64,
    pub until_us: u64,
    /// What the agent had said before it since the caller's turn.
    pub after: String,
    /// The call ended with it.
    pub ends_call: bool,
}

impl Silence {
    pub fn ms(&self) -> u64 {
        (self.until_us - self.from_us) / 1000
    }

    /// The caller was told to wait, or has been said goodbye to.
    pub fn is_explained(&self) -> bool {
        WAITS.iter().any(|line| self.after.ends_with(line))
            || self.ends_call && !self.after.is_empty()
    }
}

/// The silences of one turn of the agent: from `begin`, where the caller begins to wait, to the last sound
/// before `end`.
pub fn silences(events: &[Timed], begin: u64, end: u64) -> Vec<Silence> {
    let mut found = Vec::new();
    let (mut quiet_since, mut after) = (Some(begin), String::new());
    let of_turn = |timed: &&Timed| (begin..=end).contains(&timed.at_us);
    for timed in events.iter().filter(of_turn) {
        let ends_call = match &timed.event {
            Event::AgentStarted => false,
            Event::Ended(_) => true,
            Event::AgentStopped => {
                quiet_since = Some(timed.at_us);
                continue;
            }
            Event::Heard {
                text, done: true, ..
            } => {
                after.clone_from(text);
                continue;
            }
            _ => continue,
        };
        if let Some(from_us) = quiet_since.take() {
            found.push(Silence {
                from_us,
                until_us: timed.at_us,
                after: after.clone(),
                ends_call,
            });
        }
    }
    found
}

/// Whether what was heard is a turn to which the caller can say something: whole sentences, and not that he
/// has to wait.
pub fn is_whole(text: &str) -> bool {
    text.ends_with(['.', '?', '!']) && !WAITS.iter().any(|line| text.ends_with(line))
}

/// Knows when this machine did not get round to its work: silence of that cause is not the server's.
#[derive(Clone)]
pub struct Metronome {
    late: Arc<Mutex<Vec<(Instant, Duration)>>>,
}

impl Metronome {
    const BEAT: Duration = Duration::from_millis(10);
    /// Lateness that is felt.
    const HITCH: Duration = Duration::from_millis(40);

    /// Beats as long as the runtime lives.
    pub fn start() -> Self {
        let late = Arc::new(Mutex::new(Vec::new()));
        let noted = late.clone();
        tokio::spawn(async move {
            loop {
                let due = Instant::now() + Self::BEAT;
                tokio::time::sleep_until(due.into()).await; // no-sleep-ok: the beat itself
                let lateness = due.elapsed();
                if lateness > Self::HITCH {
                    noted.lock().unwrap().push((due, lateness));
                }
            }
        });
        Self { late }
    }

    /// How much of this time the machine was late.
    pub fn late_ms(&self, from: Instant, until: Instant) -> u64 {
        let late = self.late.lock().unwrap();
        let within = late.iter().filter(|(due, _)| (from..=until).contains(due));
        within.map(|(_, by)| by.as_millis() as u64).sum()
    }
}
