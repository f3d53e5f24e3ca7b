//! One call as the carrier keeps it.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc;

use super::{chance::Chance, document::Whisper, life::Ending};
use crate::caller::{Event, LiveStep, Timeline};

/// Where a call stands. Carriers have words of their own for it on their wires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Queued,
    Initiated,
    Ringing,
    InProgress,
    Completed,
    Busy,
    NoAnswer,
    Failed,
    Canceled,
}

impl Status {
    /// In timelines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Initiated => "initiated",
            Self::Ringing => "ringing",
            Self::InProgress => "in-progress",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    pub fn is_over(self) -> bool {
        !matches!(
            self,
            Self::Queued | Self::Initiated | Self::Ringing | Self::InProgress
        )
    }
}

/// What a dial request or a number's settings ask for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// The id that the dial wants; `None` = the carrier's to choose.
    pub id: Option<String>,
    pub url: Option<String>,
    pub method: String,
    /// A document given at once, instead of `url`.
    pub document: Option<String>,
    pub fallback_url: Option<String>,
    pub fallback_method: String,
    pub status_callback: Option<String>,
    pub status_method: String,
    /// Those asked for; empty = what the carrier tells anyway.
    pub status_events: Vec<String>,
    /// Where ringing is told, if not to `status_callback`.
    pub ring_url: Option<String>,
    /// Told whether a machine answered.
    pub machine_url: Option<String>,
    /// The call that it is another leg of.
    pub leg_of: Option<String>,
    /// As another leg: what is heard before the two are connected.
    pub whisper: Option<Whisper>,
    /// Ring seconds.
    pub timeout_s: u64,
    /// Longest duration, seconds.
    pub time_limit_s: u64,
    /// What the dial wants to be repeated; empty = nothing.
    pub custom: String,
}

/// What others tell a call's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// REST asks for the end.
    End,
    /// REST sends the call to another document.
    Redirect { url: String, method: String },
    /// REST gives another document.
    Document(String),
    /// The reply to a repeated answer webhook.
    SecondDocument(String),
    /// A verb of the test.
    Live(LiveStep),
}

#[derive(Debug)]
struct State {
    status: Status,
    answered: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    updated: DateTime<Utc>,
    plan: Plan,
    heard: [Vec<u8>; 2],
    ending: Option<Ending>,
    connected: bool,
}

/// A call. Its task lives in `life`; REST and tests see it through this.
#[derive(Debug)]
pub(crate) struct Call {
    pub id: String,
    pub to: String,
    pub from: String,
    pub inbound: bool,
    pub created: DateTime<Utc>,
    pub commands: mpsc::Sender<Command>,
    pub timeline: Timeline,
    /// Of its own ids.
    pub chance: Chance,
    tickets: AtomicU64,
    state: Mutex<State>,
}

/// Caller and agent as heard at the far end, mu-law.
const HOUR: usize = 3600 * crate::g711::RATE as usize;

impl Call {
    pub fn new(
        id: String,
        to: String,
        from: String,
        inbound: bool,
        plan: Plan,
        chance: Chance,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(64);
        let now = Utc::now();
        let call = Self {
            id,
            to,
            from,
            inbound,
            created: now,
            commands,
            timeline: Timeline::new(),
            chance,
            tickets: AtomicU64::new(1),
            state: Mutex::new(State {
                status: Status::Queued,
                answered: None,
                ended: None,
                updated: now,
                plan,
                heard: [Vec::new(), Vec::new()],
                ending: None,
                connected: false,
            }),
        };
        (call, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When it was made.
    pub fn began(&self) -> std::time::Instant {
        self.timeline.began()
    }

    pub fn ticket(&self) -> u64 {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    pub fn status(&self) -> Status {
        self.lock().status
    }

    pub fn plan(&self) -> Plan {
        self.lock().plan.clone()
    }

    pub fn time_limit_s(&self) -> u64 {
        self.lock().plan.time_limit_s
    }

    /// REST update of the callback addresses.
    pub fn set_plan(&self, change: impl FnOnce(&mut Plan)) {
        let mut state = self.lock();
        change(&mut state.plan);
        state.updated = Utc::now();
    }

    pub fn set_status(&self, status: Status) {
        let now = Utc::now();
        let mut state = self.lock();
        state.status = status;
        state.updated = now;
        if status == Status::InProgress {
            state.answered = Some(now);
        }
        if status.is_over() {
            state.ended = Some(now);
        }
        drop(state);
        self.timeline.note(Event::Status(status.word().to_owned()));
    }

    /// Seconds since the answer, of a finished call rounded up: what is billed as `CallDuration`.
    pub fn duration_s(&self) -> u64 {
        let state = self.lock();
        match (state.answered, state.ended) {
            (Some(answered), Some(ended)) => {
                let ms = (ended - answered).num_milliseconds().max(0) as u64;
                ms.div_ceil(1000)
            }
            _ => 0,
        }
    }

    /// Adds 20 ms of both sides to what is kept of the call's sound.
    pub fn record(&self, caller: &[u8], agent: &[u8]) {
        let mut state = self.lock();
        if state.heard[0].len() < HOUR {
            state.heard[0].extend_from_slice(caller);
            state.heard[1].extend_from_slice(agent);
        }
    }

    /// Caller and agent since the answer, as heard at the far end.
    pub fn recording(&self) -> [Vec<u8>; 2] {
        self.lock().heard.clone()
    }

    /// When it was answered, ended and last changed.
    pub fn times(&self) -> Times {
        let state = self.lock();
        Times {
            answered: state.answered,
            ended: state.ended,
            updated: state.updated,
        }
    }

    /// As another leg: connected with the call that it was dialled for, now or before.
    pub fn is_connected(&self) -> bool {
        self.lock().connected
    }

    pub fn set_connected(&self) {
        self.lock().connected = true;
        self.timeline.note(Event::Connected);
    }

    /// How it ended.
    pub fn ending(&self) -> Option<Ending> {
        self.lock().ending
    }

    pub fn set_ending(&self, ending: Ending) {
        self.lock().ending = Some(ending);
    }
}

/// Dates of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub answered: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    pub updated: DateTime<Utc>,
}
