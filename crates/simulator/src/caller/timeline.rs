//! What happened on a call, in order, and a way to wait for it.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::{sync::watch, time::Instant};

/// More than an hour of talk; a call that goes on beyond it keeps only its end.
const ROOM: usize = 50_000;

/// One thing that happened on a call, as seen at the far end of the line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The call's status changed.
    Status(String),
    /// A document was fetched (`answer`, `fallback`, `redirect`, `inbound`).
    Fetched {
        /// Why.
        what: String,
        /// HTTP status; `None` without an answer.
        status: Option<u16>,
    },
    /// The media socket is open.
    MediaOpened,
    /// The media socket has ended.
    MediaClosed {
        /// Close code; `None` without a close frame.
        code: Option<u16>,
        /// The server closed it, not the carrier.
        by_server: bool,
    },
    /// The first audio message after a pause of the agent was received (not yet played).
    AudioArrived,
    /// The agent becomes audible, as played.
    AgentStarted,
    /// The agent has fallen silent; the event's time is the last sound.
    AgentStopped,
    /// What the agent has said in this utterance so far.
    Heard {
        /// Counts the agent's utterances from 1.
        utterance: u64,
        /// All words of it heard so far.
        text: String,
        /// The utterance is over.
        done: bool,
    },
    /// The caller begins a line.
    CallerStarted {
        /// The line.
        line: String,
    },
    /// The caller has finished a line.
    CallerStopped {
        /// The line.
        line: String,
    },
    /// The caller pressed a key.
    Pressed(char),
    /// The server emptied the play queue.
    Cleared {
        /// Audio that will never be heard, milliseconds.
        unplayed_ms: u64,
    },
    /// A mark was echoed.
    MarkEchoed {
        /// Its name.
        name: String,
        /// By a clear, not because it was reached.
        cleared: bool,
    },
    /// The carrier calls somebody else for this caller (`<Dial>`).
    Dialled(String),
    /// This leg is connected with the call that it was dialled for.
    Connected,
    /// The next line is said in this voice or language, as the document asks.
    CarrierVoice(String),
    /// The carrier said a line of the document itself (`<Say>`).
    CarrierSaid(String),
    /// The carrier's debugger would show this.
    Warning(String),
    /// A step of the script did not come to pass.
    StepFailed(String),
    /// A live step (a verb of the handle) is done.
    StepDone(u64),
    /// The call is over, with its final status.
    Ended(String),
}

/// An event and when it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Timed {
    /// Microseconds since the call was made.
    pub at_us: u64,
    /// What happened.
    pub event: Event,
}

impl Timed {
    /// Milliseconds since the call was made.
    pub fn at_ms(&self) -> u64 {
        self.at_us / 1000
    }
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>7} ms  {:?}", self.at_ms(), self.event)
    }
}

/// The record of one call. Written by the call's task, read and awaited by any number of others.
#[derive(Debug)]
pub(crate) struct Timeline {
    start: Instant,
    events: Mutex<Vec<Timed>>,
    news: watch::Sender<usize>,
}

impl Timeline {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            events: Mutex::new(Vec::new()),
            news: watch::channel(0).0,
        }
    }

    /// When the call was made.
    pub fn began(&self) -> std::time::Instant {
        self.start.into_std()
    }

    pub fn now_us(&self) -> u64 {
        self.start.elapsed().as_micros() as u64
    }

    /// Notes what happens now.
    pub fn note(&self, event: Event) {
        self.note_at(self.now_us(), event);
    }

    /// Notes what happened at `at_us`.
    pub fn note_at(&self, at_us: u64, event: Event) {
        let mut events = self.lock();
        if events.len() >= ROOM && !matches!(event, Event::Ended(_)) {
            return;
        }
        events.push(Timed { at_us, event });
        let count = events.len();
        drop(events);
        self.news.send_replace(count);
    }

    pub fn snapshot(&self) -> Vec<Timed> {
        self.lock().clone()
    }

    /// Runs `look` on the events now and after each new one, until it answers.
    pub async fn wait<T>(&self, mut look: impl FnMut(&[Timed]) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        loop {
            news.borrow_and_update();
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            // The sender lives as long as `self`, so this cannot fail while we wait.
            let _changed = news.changed().await;
        }
    }

    /// All events, a line each, for a failed story.
    pub fn log(&self) -> String {
        let mut log = String::new();
        for timed in self.lock().iter() {
            log.push_str(&timed.to_string());
            log.push('\n');
        }
        log
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Timed>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
