//! One call as the carrier keeps it.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::caller::{Event, LiveStep, Timeline};

/// CallStatus. `Initiated` is spoken of in callbacks only; REST says `queued`.
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
    pub url: Option<String>,
    pub method: String,
    pub twiml: Option<String>,
    pub fallback_url: Option<String>,
    pub fallback_method: String,
    pub status_callback: Option<String>,
    pub status_method: String,
    pub status_events: Vec<String>,
    /// Ring seconds.
    pub timeout_s: u64,
    /// Longest duration, seconds.
    pub time_limit_s: u64,
}

/// What others tell a call's task.
#[derive(Debug)]
pub(crate) enum Command {
    /// REST `Status=completed` or `canceled`.
    End,
    /// REST `Url`.
    Redirect { url: String, method: String },
    /// REST `Twiml`.
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
}

/// A call. Its task lives in `life`; REST and tests see it through this.
#[derive(Debug)]
pub(crate) struct Call {
    pub sid: String,
    pub account_sid: String,
    pub to: String,
    pub from: String,
    pub inbound: bool,
    pub created: DateTime<Utc>,
    pub commands: mpsc::Sender<Command>,
    pub timeline: Timeline,
    tickets: AtomicU64,
    state: Mutex<State>,
}

/// Caller and agent as heard at the far end, mu-law.
const HOUR: usize = 3600 * crate::g711::RATE as usize;

impl Call {
    pub fn new(
        account_sid: &str,
        to: String,
        from: String,
        inbound: bool,
        plan: Plan,
    ) -> (Self, mpsc::Receiver<Command>) {
        let (commands, receiver) = mpsc::channel(64);
        let now = Utc::now();
        let call = Self {
            sid: new_sid("CA"),
            account_sid: account_sid.to_owned(),
            to,
            from,
            inbound,
            created: now,
            commands,
            timeline: Timeline::new(),
            tickets: AtomicU64::new(1),
            state: Mutex::new(State {
                status: Status::Queued,
                answered: None,
                ended: None,
                updated: now,
                plan,
                heard: [Vec::new(), Vec::new()],
            }),
        };
        (call, receiver)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The REST Call object.
    pub fn json(&self) -> Value {
        let state = self.lock();
        let over = state.status.is_over();
        let uri = format!(
            "/2010-04-01/Accounts/{}/Calls/{}",
            self.account_sid, self.sid
        );
        let date = |date: Option<DateTime<Utc>>| date.map(rfc2822);
        let status = match state.status {
            Status::Initiated => Status::Queued,
            status => status,
        };
        let ms = match (state.answered, state.ended) {
            (Some(answered), Some(ended)) => (ended - answered).num_milliseconds().max(0) as u64,
            _ => 0,
        };
        json!({
            "sid": self.sid,
            "date_created": rfc2822(self.created),
            "date_updated": rfc2822(state.updated),
            "parent_call_sid": null,
            "account_sid": self.account_sid,
            "to": self.to,
            "to_formatted": self.to,
            "from": self.from,
            "from_formatted": self.from,
            "phone_number_sid": null,
            "status": status.word(),
            "start_time": date(state.answered.or(state.ended)),
            "end_time": date(state.ended),
            "duration": over.then(|| ms.div_ceil(1000).to_string()),
            "price": null,
            "price_unit": "USD",
            "direction": self.direction(),
            "answered_by": null,
            "api_version": "2010-04-01",
            "forwarded_from": null,
            "group_sid": null,
            "caller_name": null,
            "queue_time": "0",
            "trunk_sid": null,
            "annotation": null,
            "uri": format!("{uri}.json"),
            "subresource_uris": {
                "notifications": format!("{uri}/Notifications.json"),
                "recordings": format!("{uri}/Recordings.json"),
                "streams": format!("{uri}/Streams.json"),
                "events": format!("{uri}/Events.json"),
            },
        })
    }

    pub fn direction(&self) -> &'static str {
        if self.inbound {
            "inbound"
        } else {
            "outbound-api"
        }
    }
}

/// A random SID: two letters and 32 hex digits.
pub(crate) fn new_sid(kind: &str) -> String {
    format!("{kind}{:032x}", rand::random::<u128>())
}

/// `Tue, 31 Aug 2010 20:36:28 +0000`.
pub(crate) fn rfc2822(date: DateTime<Utc>) -> String {
    date.format("%a, %d %b %Y %H:%M:%S +0000").to_string()
}
