//! A call from its request to its last callback.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::Instant};

use super::{
    Shared,
    call::{Call, Command, Status},
    session::Session,
    webhook::{self, StatusCallbacks, base_form},
};
use crate::caller::{CallerScript, Event, LiveStep, Outcome, ReadyStep};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub status: Status,
    /// `SipResponseCode` of the final callback.
    pub sip: u16,
}

impl Ending {
    pub const COMPLETED: Self = Self {
        status: Status::Completed,
        sip: 200,
    };
    pub const CANCELED: Self = Self {
        status: Status::Canceled,
        sip: 487,
    };
    pub const BUSY: Self = Self {
        status: Status::Busy,
        sip: 486,
    };
    pub const REJECTED: Self = Self {
        status: Status::Busy,
        sip: 603,
    };
    pub const NO_ANSWER: Self = Self {
        status: Status::NoAnswer,
        sip: 487,
    };
    pub const INVALID: Self = Self {
        status: Status::Failed,
        sip: 404,
    };
    pub const CONGESTED: Self = Self {
        status: Status::Failed,
        sip: 503,
    };
}

/// The task of one call.
pub(crate) struct Life {
    shared: Arc<Shared>,
    call: Arc<Call>,
    script: CallerScript,
    commands: mpsc::Receiver<Command>,
    callbacks: StatusCallbacks,
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
            early: Vec::new(),
        }
    }

    pub async fn run(mut self) {
        let steps = match self.shared.lines.script(&self.script).await {
            Ok(steps) => steps,
            Err(fault) => {
                self.call
                    .timeline
                    .note(Event::StepFailed(fault.to_string()));
                tracing::error!(%fault, "a caller's script cannot be played");
                return self.end(Ending::INVALID).await;
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
            return Ending::CANCELED;
        }
        self.change("initiated", Status::Initiated);
        if self.wait(Duration::from_millis(delays.ringing_ms)).await {
            return Ending::CANCELED;
        }
        match self.script.outcome {
            Outcome::Invalid => return Ending::INVALID,
            Outcome::Congestion => return Ending::CONGESTED,
            _ => {}
        }
        self.change("ringing", Status::Ringing);
        let limit = Duration::from_secs(self.call.plan().timeout_s);
        let ring = Duration::from_millis(self.script.ring_ms);
        if self.wait(ring.min(limit)).await {
            return Ending::CANCELED;
        }
        match self.script.outcome {
            Outcome::Busy => Ending::BUSY,
            Outcome::Reject => Ending::REJECTED,
            Outcome::Answer if ring <= limit => {
                self.change("answered", Status::InProgress);
                self.connected(steps, true).await
            }
            _ => Ending::NO_ANSWER,
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
        );
        Box::pin(session.run(answered)).await
    }

    fn change(&mut self, event: &str, status: Status) {
        self.call.set_status(status);
        self.callbacks.fire(&self.call, event, status, &[]);
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
                Some(Command::Document(twiml)) => self.call.set_plan(|plan| {
                    plan.url = None;
                    plan.twiml = Some(twiml);
                }),
                Some(Command::SecondDocument(_)) => {}
                Some(Command::Live(live)) if matches!(live.step, ReadyStep::HangUp) => return true,
                Some(Command::Live(live)) => self.early.push(live),
            }
        }
    }

    async fn end(&mut self, ending: Ending) {
        tokio::time::sleep(Duration::from_millis(self.shared.options.delays.end_ms)).await;
        self.call.set_status(ending.status);
        let seconds = self.call.duration_s();
        let mut extra = vec![("SipResponseCode", ending.sip.to_string())];
        if ending.status == Status::Completed {
            extra.push(("CallDuration", seconds.to_string()));
            extra.push(("Duration", seconds.div_ceil(60).to_string()));
        }
        self.callbacks
            .fire(&self.call, "completed", ending.status, &extra);
        if self.script.faults.ringing_after_end {
            self.callbacks
                .fire(&self.call, "ringing", Status::Ringing, &[]);
        }
        self.call
            .timeline
            .note(Event::Ended(ending.status.word().to_owned()));
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
        let mut hook =
            webhook::Webhook::new("answer", url, method, base_form(&call, Status::InProgress));
        hook.token = token;
        let reply = webhook::send(&shared, &call.sid, &hook).await;
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
