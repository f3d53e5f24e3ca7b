//! The driver of one call: waits for whatever happens next, tells the machine, carries out what it
//! decides ([`crate::perform`]). One task, one loop; nothing in it waits for a vendor, a disk or a peer.
//!
//! Facts of tasks come through one bounded inbox. The vendors' sessions and the socket are channels
//! already and are read where they are, without a task in between: frames of the caller that come
//! together cost one wake-up ([`frames`]), and a look into those channels only that rang ([`bells`]).

mod bells;
mod ends;
mod frames;
mod owner;
mod state;

use bells::{Bells, Source};
pub(crate) use state::{Names, State};

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bolo_conversation::{At, Conversation, Input, Output, TransferOutcome};
use bolo_store::Command;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::{
    ahead::Ahead,
    asking::{Mind, News},
    desk::Desk,
    ending::End,
    journal::{self, Journal},
    ledger::Ledger,
    listening::{Ears, HeardNews},
    media::{Arrived, Socket},
    playout::Playout,
    speaking::Mouth,
    tape::Tape,
    tools::Toolbox,
};

/// No frame for this long is told (R200).
const FROZEN: Duration = Duration::from_secs(3);

/// What decides. [`Conversation`], or a script in tests.
pub(crate) trait Machine: Send + 'static {
    fn handle(&mut self, at: At, input: Input) -> Vec<Output>;
    fn deadline(&self) -> Option<At>;
    fn is_over(&self) -> bool;
    /// Somebody was told to take the caller over, and has not failed to.
    fn has_handed_over(&self) -> bool;
    fn end(&self) -> Option<End>;
    fn transcript(&self) -> String;
}

impl Machine for Conversation {
    fn handle(&mut self, at: At, input: Input) -> Vec<Output> {
        Conversation::handle(self, at, input)
    }
    fn deadline(&self) -> Option<At> {
        Conversation::deadline(self)
    }
    fn is_over(&self) -> bool {
        Conversation::is_over(self)
    }
    fn has_handed_over(&self) -> bool {
        Conversation::has_handed_over(self)
    }
    fn end(&self) -> Option<End> {
        Conversation::end(self).map(|end| match end {
            bolo_conversation::End::Remote => End::Remote,
            bolo_conversation::End::Ours(reason) => End::Ours(reason),
            bolo_conversation::End::Lost => End::Lost,
        })
    }
    fn transcript(&self) -> String {
        Conversation::transcript(self)
    }
}

/// What a call is made of.
pub(crate) struct Call<M> {
    /// Since when the call is this node's.
    pub(crate) epoch: i64,
    pub(crate) machine: M,
    /// When `At(0)` was.
    pub(crate) started: Instant,
    pub(crate) socket: Option<Socket>,
    pub(crate) ears: Ears,
    pub(crate) mouth: Mouth,
    pub(crate) mind: Mind,
    pub(crate) playout: Playout,
    pub(crate) tape: Tape,
    pub(crate) journal: Box<dyn Journal>,
    pub(crate) desk: Desk,
    pub(crate) toolbox: Toolbox,
    pub(crate) ahead: Ahead,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) names: Names,
    pub(crate) news: mpsc::Receiver<News>,
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Other sockets of this call.
    pub(crate) sockets: mpsc::Receiver<Box<Socket>>,
    pub(crate) stop: Pin<Box<WaitForCancellationFutureOwned>>,
    /// No frame for this long and the socket counts as lost (R200).
    pub(crate) frozen: Duration,
    /// A socket that was only lost is back by then (R199).
    pub(crate) back: Duration,
    pub(crate) state: State,
}

/// What happened next.
enum Event {
    Stopping,
    News(News),
    Command(Option<Command>),
    Heard(HeardNews),
    Spoken,
    Socket(Socket),
    /// Whether the call is still ours.
    Owner(bool),
    Arrived(Arrived),
    Timer,
}

impl<M: Machine> Call<M> {
    /// Runs the call to its end, from these facts on. Boxed: the future would hold it twice over.
    pub(crate) async fn run(mut self: Box<Self>, first: Vec<Input>) {
        let now = Instant::now();
        for input in first {
            self.give(now, input);
        }
        self.due(now);
        while !self.is_done(Instant::now()) {
            let event = std::future::poll_fn(|cx| self.poll(cx)).await;
            let now = Instant::now();
            self.take(event, now);
            if self.state.doubt.is_none() && !self.state.taken_over {
                self.due(now);
            }
        }
        self.close().await;
    }

    fn is_done(&self, now: Instant) -> bool {
        self.state.taken_over
            || self.machine.is_over()
            || self.state.last_words.is_some_and(|until| now >= until)
    }

    /// The next event. The order is that of urgency; all sources are bounded, so none starves another
    /// for long.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let now = Instant::now();
        self.doubt_after_sleep(now);
        if let Some(doubt) = &mut self.state.doubt {
            // Nobody can tell: ours.
            return Pin::new(doubt)
                .poll(cx)
                .map(|ours| Event::Owner(ours.unwrap_or(true)));
        }
        self.state.bells.listen(cx);
        let stopping = self.state.stopping;
        if let Some(()) = self.look(Source::Stop, |call, cx| match stopping {
            true => Poll::Pending,
            false => call.stop.as_mut().poll(cx),
        }) {
            return Poll::Ready(Event::Stopping);
        }
        if let Some(Some(news)) = self.look(Source::News, |call, cx| call.news.poll_recv(cx)) {
            return Poll::Ready(Event::News(news));
        }
        let no_commands = self.state.no_commands;
        if let Some(command) = self.look(Source::Commands, |call, cx| match no_commands {
            true => Poll::Pending,
            false => call.commands.poll_recv(cx),
        }) {
            return Poll::Ready(Event::Command(command));
        }
        if self.ears.is_unasked() {
            self.state.bells.open(Source::Ears);
        }
        if let Some(heard) = self.look(Source::Ears, |call, cx| call.ears.poll(cx, now)) {
            return Poll::Ready(Event::Heard(heard));
        }
        if self.mouth.is_unasked() {
            self.state.bells.open(Source::Mouth);
        }
        // What the synthesizer has waits while there is too much to be played already.
        if !self.mouth.is_full()
            && let Some(()) = self.look(Source::Mouth, |call, cx| {
                call.mouth.poll(cx, now, &mut call.state.facts)
            })
        {
            return Poll::Ready(Event::Spoken);
        }
        if let Some(Some(socket)) =
            self.look(Source::Sockets, |call, cx| call.sockets.poll_recv(cx))
        {
            return Poll::Ready(Event::Socket(*socket));
        }
        if let Some(socket) = &self.socket
            && socket.is_unasked(now)
        {
            self.state.bells.open(Source::Socket);
        }
        if let Some(arrived) = self.poll_socket(now) {
            return Poll::Ready(Event::Arrived(arrived));
        }
        self.poll_timer()
    }

    /// What a source has, if it rang or was not looked into before.
    fn look<T>(
        &mut self,
        source: Source,
        poll: impl FnOnce(&mut Self, &mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        if !self.state.bells.is_open(source) {
            return None;
        }
        let waker = self.state.bells.waker(source);
        match poll(self, &mut Context::from_waker(&waker)) {
            Poll::Ready(found) => Some(found),
            Poll::Pending => {
                self.state.bells.shut(source);
                None
            }
        }
    }

    /// The timer is set anew only to go off earlier; one that goes off too early costs a look around,
    /// setting it at each frame costs more.
    fn poll_timer(&mut self) -> Poll<Event> {
        let wake = self.wake_at();
        if self.state.armed.is_none_or(|armed| wake < armed) {
            self.state.timer.as_mut().reset(wake);
            self.state.armed = Some(wake);
            self.state.bells.open(Source::Timer);
        }
        match self.look(Source::Timer, |call, cx| call.state.timer.as_mut().poll(cx)) {
            Some(()) => {
                self.state.armed = None;
                Poll::Ready(Event::Timer)
            }
            None => Poll::Pending,
        }
    }

    fn wake_at(&self) -> Instant {
        let state = &self.state;
        let machine = self
            .machine
            .deadline()
            .map(|at| self.started + Duration::from_millis(at.0));
        let socket = self.socket.as_ref().map(|socket| {
            let frozen = if state.frozen_told {
                self.frozen
            } else {
                FROZEN.min(self.frozen)
            };
            socket.wake_at().min(state.frame_at + frozen)
        });
        let playout = self
            .socket
            .is_some()
            .then(|| self.playout.wake_at())
            .flatten();
        [
            machine,
            socket,
            playout,
            self.mouth.wake_at(),
            self.end_due_at(),
        ]
        .into_iter()
        .flatten()
        .min()
        // Always some time to look around, even if every source has nothing planned.
        .unwrap_or_else(|| Instant::now() + Duration::from_secs(10))
    }

    fn take(&mut self, event: Event, now: Instant) {
        match event {
            Event::Stopping => {
                self.state.stopping = true;
                self.give(now, Input::NodeStopping);
            }
            Event::News(News::Input(input)) => self.give(now, input),
            Event::News(News::Thought { answer, text }) => self.thought(answer, text),
            Event::News(News::Model { vendor, model }) => self.mind.answered_by(vendor, model),
            Event::News(News::Judged { id, yes, used }) => {
                self.mind.judged(id);
                self.pay(used);
                self.give(now, Input::Judged { id, yes });
            }
            Event::News(News::HandedOver(true)) => self.give_up_socket(now),
            Event::News(News::HandedOver(false)) => {
                self.transfer_failed("the server could not begin it", now);
            }
            Event::News(News::Left) => self.left(),
            Event::News(News::HungUp) => self.media_stopped(now),
            Event::Owner(is_ours) => self.owner_known(is_ours, now),
            Event::News(News::TakenOver) => self.taken_over(),
            Event::Command(Some(Command::TakenOver { epoch })) => {
                if epoch > self.epoch {
                    self.taken_over();
                }
            }
            Event::News(News::NotWanted) | Event::Command(Some(Command::Stop)) => {
                self.give(now, Input::StopRequested);
            }
            Event::Command(Some(Command::Leave)) => self.desk.hand_over(),
            Event::Command(Some(Command::CarrierEnded(why))) => {
                self.ledger.books().carrier_ended(why);
                self.remote_end(now);
            }
            Event::Command(Some(Command::AnsweredBy { is_machine })) => {
                self.give(now, Input::AnsweredBy { is_machine });
            }
            Event::Command(Some(Command::TransferConnected)) => {
                let outcome = TransferOutcome::Connected;
                self.give(now, Input::TransferChanged { outcome });
            }
            Event::Command(Some(Command::TransferFailed(why))) => self.transfer_failed(&why, now),
            Event::Command(Some(Command::Event { name, properties })) => {
                self.give(now, Input::Event { name, properties });
            }
            Event::Command(None) => self.state.no_commands = true,
            Event::Heard(HeardNews::Input(input)) => self.heard(input, now),
            Event::Heard(HeardNews::Ended) => {}
            Event::Spoken => self.settle(now),
            Event::Socket(socket) => self.socket_came(socket),
            Event::Arrived(arrived) => self.arrived(arrived, now),
            Event::Timer => {}
        }
    }

    /// Tells the machine a fact and carries out what it decides.
    pub(crate) fn give(&mut self, now: Instant, input: Input) {
        self.one(now, input);
        self.settle(now);
    }

    /// Tells the facts that carrying out decisions made.
    fn settle(&mut self, now: Instant) {
        while let Some(fact) = self.state.facts.pop_front() {
            self.one(now, fact);
        }
    }

    fn one(&mut self, now: Instant, input: Input) {
        self.before(&input, now);
        let at = At(now.saturating_duration_since(self.started).as_millis() as u64);
        let told = journal::text(&input);
        let was_heard = matches!(&input, Input::Mark { name } if name.ends_with(":end"));
        let outputs = self.machine.handle(at, input);
        // Before acting: what replays is what happened.
        if let Err(error) = self.journal.event(journal::line(at, &told, &outputs)) {
            self.log_failed(&error, now);
        }
        if outputs
            .iter()
            .any(|output| matches!(output, Output::Ask { .. }))
        {
            // The caller's words: whoever takes the call over should not have to ask for them.
            self.journal.hurry();
        }
        self.perform(outputs, now);
        if was_heard {
            self.note();
        }
    }

    /// Does what time asks for.
    fn due(&mut self, now: Instant) {
        let at = At(now.saturating_duration_since(self.started).as_millis() as u64);
        if self
            .machine
            .deadline()
            .is_some_and(|deadline| deadline <= at)
        {
            self.give(now, Input::Tick);
        }
        self.mouth.due(now, &mut self.state.facts);
        self.settle(now);
        self.feed(now);
        if self.socket.is_some() && !self.state.stopped {
            let quiet = now.saturating_duration_since(self.state.frame_at);
            if quiet >= self.frozen {
                tracing::warn!("no caller audio: the media socket counts as lost");
                self.lost(now);
            } else if quiet >= FROZEN && !std::mem::replace(&mut self.state.frozen_told, true) {
                self.give(
                    now,
                    Input::MediaFrozen {
                        ms: quiet.as_millis() as u64,
                    },
                );
            }
        }
        self.end_due(now);
    }

    /// Feeds the carrier what the clock allows.
    fn feed(&mut self, now: Instant) {
        if self.socket.is_none() {
            return;
        }
        let mut commands = std::mem::take(&mut self.state.commands);
        let mut sent = std::mem::take(&mut self.state.sent);
        self.playout.feed(now, &mut commands, &mut sent);
        for slice in sent.drain(..) {
            self.tape.agent(slice.audio, slice.plays_at);
            let Some(answer) = slice.answer else { continue };
            let mut books = self.ledger.books();
            if !std::mem::replace(&mut books.agent_heard, true) {
                let since_start = now.saturating_duration_since(self.started).as_millis() as u64;
                books.latency.first_audio = self
                    .names
                    .answered_before
                    .map(|before| before + since_start);
            }
            books.latency.sent(answer, now);
        }
        self.state.commands = commands;
        self.state.sent = sent;
        self.send(now);
    }

    /// Hands the gathered commands to the socket.
    pub(crate) fn send(&mut self, now: Instant) {
        let mut alive = true;
        if let Some(socket) = &mut self.socket {
            for command in &self.state.commands {
                alive &= socket.send(command);
            }
        }
        self.state.commands.clear();
        if !alive {
            self.lost(now);
        }
    }

    fn heard(&mut self, input: Input, now: Instant) {
        if let Input::Interim { text } | Input::Final { text } | Input::TurnEnd { text, .. } =
            &input
        {
            // The vendor does not say which audio a text belongs to: the last voiced frame stands for it.
            let voiced = self.ears.voiced_at.unwrap_or(now);
            self.ledger
                .books()
                .latency
                .heard(text, now.saturating_duration_since(voiced));
        }
        self.give(now, input);
    }
}

#[cfg(test)]
mod tests;
