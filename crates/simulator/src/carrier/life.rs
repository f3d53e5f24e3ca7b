//! A call from its request to its last callback.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Shared,
    call::{Call, Command, Status},
    replay::Replay,
    session::Session,
    webhook::{self, StatusCallbacks},
};
use crate::caller::{CallerScript, Event, LiveStep, Outcome, ReadyStep};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The other side of an answered call hung up.
    FarEnd,
    /// REST asked for the end of an answered call.
    Asked,
    /// The document says so.
    Hangup,
    /// The document had no more steps.
    DocumentOver,
    /// The longest duration was reached.
    TimeLimit,
    /// REST asked for the end before the answer.
    Canceled,
    Busy,
    /// By the person called.
    Rejected,
    NoAnswer,
    Invalid,
    Congested,
    /// By the account's own limit.
    Full,
    /// No document was to be had from the server.
    NoDocument {
        answered: bool,
    },
    /// The document can't be read.
    BadDocument {
        answered: bool,
    },
}

impl Ending {
    pub fn status(self) -> Status {
        match self {
            Self::FarEnd | Self::Asked | Self::Hangup | Self::DocumentOver | Self::TimeLimit => {
                Status::Completed
            }
            Self::Canceled => Status::Canceled,
            Self::Busy | Self::Rejected => Status::Busy,
            Self::NoAnswer => Status::NoAnswer,
            Self::Invalid | Self::Congested | Self::Full => Status::Failed,
            Self::NoDocument { answered } | Self::BadDocument { answered } => {
                if answered {
                    Status::Completed
                } else {
                    Status::NoAnswer
                }
            }
        }
    }
}

/// The task of one call.
pub(crate) struct Life {
    shared: Arc<Shared>,
    call: Arc<Call>,
    script: CallerScript,
    commands: mpsc::Receiver<Command>,
    callbacks: StatusCallbacks,
    replay: Option<Replay>,
    /// Verbs given before the answer.
    early: Vec<LiveStep>,
}

impl Life {
    pub fn new(
        shared: Arc<Shared>,
        call: Arc<Call>,
        script: CallerScript,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        let callbacks = StatusCallbacks::start(&shared, &call, &script.faults);
        Self {
            shared,
            call,
            script,
            commands,
            callbacks,
            replay: None,
            early: Vec::new(),
        }
    }

    pub async fn run(mut self) {
        let prepared = match self.script.replay.as_deref().map(Replay::read).transpose() {
            Ok(replay) => {
                self.replay = replay;
                self.shared.lines.script(&self.script).await
            }
            Err(fault) => Err(fault),
        };
        let steps = match prepared {
            Ok(steps) => steps,
            Err(fault) => {
                self.call
                    .timeline
                    .note(Event::StepFailed(fault.to_string()));
                tracing::error!(%fault, "a caller's script cannot be played");
                return self.end(Ending::Invalid).await;
            }
        };
        let ending = if self.call.inbound {
            self.inbound(steps).await
        } else {
            self.outbound(steps).await
        };
        self.end(ending).await;
    }

    async fn outbound(&mut self, steps: Vec<ReadyStep>) -> Ending {
        let delays = self.shared.options.delays.clone();
        let queued = self.shared.queue_wait() + Duration::from_millis(delays.initiated_ms);
        if self.wait(queued).await {
            return Ending::Canceled;
        }
        self.change("initiated", Status::Initiated);
        if self.wait(Duration::from_millis(delays.ringing_ms)).await {
            return Ending::Canceled;
        }
        match self.script.outcome {
            Outcome::Invalid => return Ending::Invalid,
            Outcome::Congestion => return Ending::Congested,
            Outcome::Full => return Ending::Full,
            _ => {}
        }
        if !self.script.faults.no_ringing {
            self.change("ringing", Status::Ringing);
        }
        let limit = Duration::from_secs(self.call.plan().timeout_s);
        let ring = Duration::from_millis(self.script.ring_ms);
        if self.wait(ring.min(limit)).await {
            return Ending::Canceled;
        }
        match self.script.outcome {
            Outcome::Busy => Ending::Busy,
            Outcome::Reject => Ending::Rejected,
            Outcome::Answer if ring <= limit => {
                self.change("answered", Status::InProgress);
                self.tell_who_answered();
                self.connected(steps, true).await
            }
            _ => Ending::NoAnswer,
        }
    }

    async fn inbound(&mut self, steps: Vec<ReadyStep>) -> Ending {
        self.call.set_status(Status::Ringing);
        self.connected(steps, false).await
    }

    async fn connected(&mut self, steps: Vec<ReadyStep>, answered: bool) -> Ending {
        let early = std::mem::take(&mut self.early);
        let (_, closed) = mpsc::channel(1);
        let commands = std::mem::replace(&mut self.commands, closed);
        let session = Session::new(
            self.shared.clone(),
            self.call.clone(),
            &self.script,
            steps,
            early,
            commands,
            self.replay.take(),
        );
        Box::pin(session.run(answered)).await
    }

    fn change(&mut self, event: &str, status: Status) {
        self.call.set_status(status);
        self.callbacks.fire(&self.call, event, status, None);
    }

    /// Where it was asked for: the carrier listens for a machine while the call goes on.
    fn tell_who_answered(&self) {
        let Some(url) = self.call.plan().machine_url else {
            return;
        };
        let heard = self.script.answered_by;
        let Some(form) = heard.and_then(|by| self.shared.dialect.machine_form(&self.call, by))
        else {
            return;
        };
        let (shared, call) = (self.shared.clone(), self.call.clone());
        self.shared.spawn(async move {
            let heard = Duration::from_millis(shared.options.delays.machine_ms);
            tokio::time::sleep(heard).await;
            let hook = webhook::Webhook::new(&call, "machine", url, "POST".to_owned(), form);
            webhook::send(&shared, &call.id, &hook).await;
        });
    }

    /// Waits; true if the call was cancelled meanwhile.
    async fn wait(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            let command = tokio::select! {
                () = tokio::time::sleep_until(until) => return false,
                command = self.commands.recv() => command,
            };
            match command {
                // The sender is in `self.call`: None cannot come.
                None | Some(Command::End) => return true,
                Some(Command::Redirect { url, method }) => self.call.set_plan(|plan| {
                    plan.url = Some(url);
                    plan.method = method;
                }),
                Some(Command::Document(text)) => self.call.set_plan(|plan| {
                    plan.url = None;
                    plan.document = Some(text);
                }),
                Some(Command::SecondDocument(_)) => {}
                Some(Command::Live(live)) if matches!(live.step, ReadyStep::HangUp) => return true,
                Some(Command::Live(live)) => self.early.push(live),
            }
        }
    }

    async fn end(&mut self, ending: Ending) {
        tokio::time::sleep(Duration::from_millis(self.shared.options.delays.end_ms)).await;
        self.call.set_ending(ending);
        let status = ending.status();
        self.call.set_status(status);
        self.callbacks
            .fire(&self.call, "completed", status, Some(ending));
        if self.script.faults.ringing_after_end {
            self.callbacks
                .fire(&self.call, "ringing", Status::Ringing, None);
        }
        self.call
            .timeline
            .note(Event::Ended(status.word().to_owned()));
    }
}

/// Sends the answer webhook again, as a carrier does that missed the first reply.
pub(crate) fn send_answer_again(
    shared: &Arc<Shared>,
    call: &Arc<Call>,
    url: String,
    token: String,
    after: Duration,
    run: bool,
) {
    let (shared, call) = (shared.clone(), call.clone());
    shared.clone().spawn(async move {
        tokio::time::sleep(after).await;
        let method = call.plan().method;
        let form = shared
            .dialect
            .ask_form(&call, "answer", Status::InProgress, None);
        let mut hook = webhook::Webhook::new(&call, "answer", url, method, form);
        hook.token = token;
        let reply = webhook::send(&shared, &call.id, &hook).await;
        if run
            && reply.is_ok()
            && call
                .commands
                .send(Command::SecondDocument(reply.body))
                .await
                .is_err()
        {
            tracing::debug!("the call ended before its second document came");
        }
    });
}
