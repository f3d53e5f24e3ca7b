//! The connected part of a call: runs documents, moves media, lets the caller act.

mod dial;
mod documents;
mod keys;

use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, Sleep, sleep, sleep_until},
};

use super::{
    Shared,
    call::{Call, Command},
    dialect::Form,
    document::Verb,
    faults::CallFaults,
    life::Ending,
    replay::Replay,
    stream::{Got, Media},
    webhook::Reply,
};
use crate::{
    caller::{Act, Actor, CallerScript, Event, Hearing, LiveStep, ReadyStep},
    g711,
    ticker::FRAME,
};

/// Documents fetched in one call before the fake believes in a loop.
const DOCUMENTS: u32 = 100;
/// Frames caught up at one wake; more lateness than this is carried on.
const CATCH_UP: u64 = 50;

/// Where the document stands.
enum Stage {
    Fetching {
        what: &'static str,
        url: String,
        reply: BoxFuture<'static, Reply>,
    },
    Waiting(Pin<Box<Sleep>>),
    Opening(BoxFuture<'static, Result<Media, String>>),
    /// Somebody else is called; then the action is asked.
    Dialling {
        _leg: dial::Leg,
        over: BoxFuture<'static, Form>,
        after: Option<(String, String)>,
    },
    /// Keys are waited for.
    Gathering(keys::Keys),
    /// A media socket is open, or the document hangs on purpose.
    Streaming,
    Over(Ending),
}

/// What a stage came to.
enum Done {
    Fetched {
        what: &'static str,
        url: String,
        reply: Reply,
    },
    Waited,
    Gathered,
    Dialled {
        form: Form,
        after: Option<(String, String)>,
    },
    Opened(Box<Result<Media, String>>),
}

impl Stage {
    /// Waits for the stage's end; for ever while streaming. Cancel-safe.
    async fn done(&mut self) -> Done {
        match self {
            Self::Fetching { what, url, reply } => {
                let reply = reply.await;
                Done::Fetched {
                    what,
                    url: std::mem::take(url),
                    reply,
                }
            }
            Self::Waiting(sleep) => {
                sleep.as_mut().await;
                Done::Waited
            }
            Self::Dialling { over, after, .. } => {
                let form = over.await;
                let after = after.take();
                Done::Dialled { form, after }
            }
            Self::Gathering(keys) => {
                keys.patience.as_mut().await;
                Done::Gathered
            }
            Self::Opening(opening) => Done::Opened(Box::new(opening.await)),
            Self::Streaming | Self::Over(_) => std::future::pending().await,
        }
    }
}

enum Next {
    Tick,
    Stage(Done),
    Message(
        Option<
            Result<tokio_tungstenite::tungstenite::Message, tokio_tungstenite::tungstenite::Error>,
        >,
    ),
    OldMessage(bool),
    Mark,
    Command(Option<Command>),
    Ears(u64, String),
}

/// One connected call.
pub(crate) struct Session {
    shared: Arc<Shared>,
    call: Arc<Call>,
    faults: CallFaults,
    /// What the first socket says instead of the caller.
    replay: Option<Replay>,
    commands: mpsc::Receiver<Command>,
    ticks: watch::Receiver<Instant>,
    actor: Actor,
    hearing: Hearing,
    ears: JoinSet<(u64, String)>,
    verbs: VecDeque<Verb>,
    stage: Stage,
    media: Option<Media>,
    /// The first socket after a second one took over, until the server closes it.
    old: Option<Media>,
    answered: Option<Instant>,
    /// From the call's start to its answer, for event times.
    answered_us: u64,
    frames: u64,
    documents: u32,
    fallen_back: bool,
}

impl Session {
    pub fn new(
        shared: Arc<Shared>,
        call: Arc<Call>,
        script: &CallerScript,
        steps: Vec<ReadyStep>,
        early: Vec<LiveStep>,
        commands: mpsc::Receiver<Command>,
        replay: Option<Replay>,
    ) -> Self {
        let mut actor = Actor::new(steps, script.then, script.patience_ms);
        early.into_iter().for_each(|live| actor.add(live));
        let hearing = Hearing::new(shared.options.tones, shared.options.ears.is_some());
        Self {
            ticks: shared.ticker.join(),
            faults: script.faults.clone(),
            replay,
            commands,
            actor,
            hearing,
            ears: JoinSet::new(),
            verbs: VecDeque::new(),
            stage: Stage::Streaming,
            media: None,
            old: None,
            answered: None,
            answered_us: 0,
            frames: 0,
            documents: 0,
            fallen_back: false,
            shared,
            call,
        }
    }

    /// Runs the call to its end. `answered`: the far end has picked up (outbound).
    pub async fn run(mut self, answered: bool) -> Ending {
        if answered {
            self.pick_up();
        }
        self.first_document();
        let ending = loop {
            if let Stage::Over(ending) = self.stage {
                break ending;
            }
            let next = self.next().await;
            self.act(next).await;
        };
        if let Some(media) = self.media.take() {
            media.end().await;
        }
        let (call, us) = (self.call.clone(), self.answered_us);
        let last = self
            .hearing
            .finish(&mut |ms, event| call.timeline.note_at(us + ms * 1000, event));
        self.listen(last);
        while let Some(heard) = self.ears.join_next().await {
            if let Ok((utterance, text)) = heard {
                self.note_ears(utterance, text);
            }
        }
        ending
    }

    async fn next(&mut self) -> Next {
        let reads = self.media.as_ref().is_some_and(Media::reads);
        let mark = self.media.as_ref().and_then(Media::next_mark);
        tokio::select! {
            Ok(()) = self.ticks.changed(), if self.answered.is_some() => Next::Tick,
            message = read(&mut self.media), if reads => Next::Message(message),
            open = drain(&mut self.old) => Next::OldMessage(open),
            () = reached(mark) => Next::Mark,
            done = self.stage.done() => Next::Stage(done),
            command = self.commands.recv() => Next::Command(command),
            Some(Ok((utterance, text))) = self.ears.join_next() => Next::Ears(utterance, text),
        }
    }

    async fn act(&mut self, next: Next) {
        match next {
            Next::Tick => self.tick().await,
            Next::Stage(done) => self.staged(done).await,
            Next::Message(message) => {
                let Some(media) = &mut self.media else { return };
                let got = media.take(message).await;
                self.got(got);
            }
            Next::OldMessage(open) => {
                if !open {
                    self.old = None;
                }
            }
            Next::Mark => {
                let Some(media) = &mut self.media else { return };
                let played = media.play().await;
                self.got(played.map(|()| Got::Nothing));
            }
            Next::Command(command) => self.command(command).await,
            Next::Ears(utterance, text) => self.note_ears(utterance, text),
        }
    }

    fn pick_up(&mut self) {
        self.answered = Some(Instant::now());
        self.answered_us = self.call.timeline.now_us();
    }

    async fn tick(&mut self) {
        let Some(answered) = self.answered else {
            return;
        };
        let due = (answered.elapsed().as_millis() / FRAME.as_millis()) as u64;
        if due > self.frames {
            let planned = *self.ticks.borrow();
            self.shared.lag.note(planned.elapsed());
        }
        let asked = self.call.time_limit_s() * 1000;
        let limit = self.faults.cut_after_ms.unwrap_or(asked);
        let until = due.min(self.frames + CATCH_UP);
        while self.frames < until && !matches!(self.stage, Stage::Over(_)) {
            self.frame().await;
            if self.frames * 20 >= limit {
                self.stage = Stage::Over(Ending::TimeLimit);
            }
        }
    }

    /// 20 ms of the call: hear what was played, then speak.
    async fn frame(&mut self) {
        self.frames += 1;
        let at_ms = self.frames * 20;
        let mut played = [g711::SILENCE; g711::FRAME];
        let mut heard = false;
        if let (Some(media), Some(answered)) = (&mut self.media, self.answered) {
            let result = media.play().await;
            heard = media.take_frame(answered, self.frames, &mut played);
            self.got(result.map(|()| Got::Nothing));
        }
        let (call, us) = (self.call.clone(), self.answered_us);
        let frame = heard.then_some(&played[..]);
        let ended = self.hearing.frame(at_ms, frame, &mut |ms, event| {
            call.timeline.note_at(us + ms * 1000, event)
        });
        self.listen(ended);
        let mut acts = Vec::new();
        let said = self.actor.frame(at_ms, &self.hearing, &mut acts);
        for act in acts.extract_if(.., |act| matches!(act, Act::Started(_))) {
            if let Act::Started(line) = act {
                self.call.timeline.note(Event::CallerStarted { line });
            }
        }
        if let Some(media) = &mut self.media {
            let sent = media.frame(said.as_deref()).await;
            if media.is_replayed() {
                acts.push(Act::HangUp);
            }
            self.got(sent.map(|()| Got::Nothing));
        }
        if self.shared.options.record {
            let mut caller = [g711::SILENCE; g711::FRAME];
            let length = said.as_ref().map_or(0, |said| said.len().min(g711::FRAME));
            caller[..length].copy_from_slice(&said.as_deref().unwrap_or_default()[..length]);
            self.call.record(&caller, &played);
        }
        for act in acts {
            self.perform(act).await;
        }
    }

    async fn perform(&mut self, act: Act) {
        let timeline = &self.call.timeline;
        match act {
            Act::Started(line) => timeline.note(Event::CallerStarted { line }),
            Act::Stopped(line) => {
                timeline.note(Event::CallerStopped { line });
                if let Some(media) = &mut self.media {
                    media.tell_audio = true;
                }
            }
            Act::Failed(what) => timeline.note(Event::StepFailed(what)),
            Act::Done(ticket) => timeline.note(Event::StepDone(ticket)),
            Act::Press(key) => {
                timeline.note(Event::Pressed(key));
                if let Some(media) = &mut self.media {
                    let sent = media.dtmf(key).await;
                    self.got(sent.map(|()| Got::Nothing));
                }
                self.pressed(key);
            }
            Act::HangUp => self.stage = Stage::Over(Ending::FarEnd),
            Act::DropSocket { reset } => {
                if let Some(media) = self.media.take() {
                    media.lose(reset).await;
                    let ms = if reset {
                        self.shared.options.delays.reset_ms
                    } else {
                        0
                    };
                    self.stage = Stage::Waiting(Box::pin(sleep(Duration::from_millis(ms))));
                }
            }
        }
    }

    /// What became of the socket.
    fn got(&mut self, got: Result<Got, tokio_tungstenite::tungstenite::Error>) {
        match got {
            Ok(Got::Nothing) => {}
            Ok(Got::Audio) => self.call.timeline.note(Event::AudioArrived),
            Ok(Got::Closed) => {
                self.media = None;
                if !matches!(self.stage, Stage::Over(_)) {
                    self.next_verb();
                }
            }
            Ok(Got::Lost) => {
                self.media = None;
                if !matches!(self.stage, Stage::Over(_)) {
                    let ms = self.shared.options.delays.reset_ms;
                    self.stage = Stage::Waiting(Box::pin(sleep(Duration::from_millis(ms))));
                }
            }
            // A broken socket shows at the next read, with what the server sent before.
            Err(error) => tracing::debug!(%error, "media socket does not take more"),
        }
    }

    async fn command(&mut self, command: Option<Command>) {
        match command {
            None | Some(Command::End) => self.stage = Stage::Over(Ending::Asked),
            Some(Command::Live(live)) => self.actor.add(live),
            Some(Command::Redirect { .. } | Command::Document(_))
                if self.faults.ignored_redirects > 0 =>
            {
                self.faults.ignored_redirects -= 1;
            }
            Some(Command::Redirect { .. }) if self.faults.dropped_by_redirect => {
                self.stage = Stage::Over(Ending::FarEnd);
            }
            Some(Command::Redirect { url, method }) => {
                self.end_media().await;
                self.fetch("redirect", url, method, None);
            }
            Some(Command::Document(text)) => {
                self.end_media().await;
                self.document(&text);
            }
            Some(Command::SecondDocument(body)) => {
                let verbs = self.shared.dialect.read_document(&body);
                let verbs: VecDeque<Verb> = verbs.unwrap_or_default().into();
                if let Some(Verb::Stream(stream)) = verbs.front().cloned() {
                    self.verbs = verbs.into_iter().skip(1).collect();
                    self.stage = Stage::Opening(self.opening(stream));
                }
            }
        }
    }

    async fn end_media(&mut self) {
        if let Some(media) = self.media.take() {
            media.end().await;
        }
    }

    // ---- ears ----

    fn listen(&mut self, utterance: Option<Vec<u8>>) {
        if let (Some(audio), Some(ears)) = (utterance, &self.shared.options.ears) {
            let (hearing, number) = (ears.hear(audio), self.hearing.utterance());
            self.ears.spawn(async move { (number, hearing.await) });
        }
    }

    fn note_ears(&mut self, utterance: u64, text: String) {
        let event = self.hearing.ears_heard(utterance, text);
        self.call.timeline.note(event);
    }

    fn warn(&self, what: &str) {
        self.call.timeline.note(Event::Warning(what.to_owned()));
    }
}

async fn read(
    media: &mut Option<Media>,
) -> Option<Result<tokio_tungstenite::tungstenite::Message, tokio_tungstenite::tungstenite::Error>>
{
    match media {
        Some(media) => media.read().await,
        None => std::future::pending().await,
    }
}

/// Reads on from a socket that is no longer the call's; false when it is closed.
async fn drain(media: &mut Option<Media>) -> bool {
    match media {
        Some(media) => matches!(media.read().await, Some(Ok(_))),
        None => std::future::pending().await,
    }
}

async fn reached(mark: Option<Instant>) {
    match mark {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
