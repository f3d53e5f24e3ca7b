//! The verbs of a story: each acts through a call's caller or waits for what happens on the line,
//! under one deadline, and fails with the whole call's log.

use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    Event, Line, LiveStep, Step, Timed,
    hearing::{find, plain},
};
use crate::{
    Error,
    carrier::{Call, Command, Shared},
    wav,
};

/// A waiting verb did not see what it waited for, or a step could not be done. Prints the call's
/// log.
pub struct Missed {
    what: String,
    log: String,
}

impl Missed {
    pub(crate) fn new(what: String, log: String) -> Self {
        Self { what, log }
    }
}

impl fmt::Display for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.log)
    }
}

// Tests print errors with Debug: the log must stay readable.
impl fmt::Debug for Missed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Missed {}

/// What a story has already seen: each event answers one verb.
#[derive(Debug, Default)]
struct Seen {
    words: usize,
    starts: usize,
    stops: usize,
    clears: usize,
    opened: usize,
    closed: usize,
}

/// One call, seen and led from its far end. Clones share what has been seen.
#[derive(Clone)]
pub struct CallHandle {
    shared: Arc<Shared>,
    call: Arc<Call>,
    seen: Arc<Mutex<Seen>>,
}

impl fmt::Debug for CallHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CallHandle({} {} → {})",
            self.call.id, self.call.from, self.call.to
        )
    }
}

impl CallHandle {
    pub(crate) fn new(shared: Arc<Shared>, call: Arc<Call>) -> Self {
        Self {
            shared,
            call,
            seen: Arc::default(),
        }
    }

    /// The carrier's id.
    pub fn id(&self) -> &str {
        &self.call.id
    }

    /// Who is called.
    pub fn to(&self) -> &str {
        &self.call.to
    }

    /// Who calls.
    pub fn from(&self) -> &str {
        &self.call.from
    }

    /// Where the call stands: `queued`, `ringing`, `in-progress`, `completed`, …
    pub fn status(&self) -> &'static str {
        self.call.status().word()
    }

    /// The execution's id in the callback addresses of an outbound call, or in the first document's
    /// media address of an inbound one.
    pub fn execution(&self) -> Option<String> {
        let dials = self.shared.ledger.dials();
        let dial = dials
            .into_iter()
            .find(|dial| dial.call.as_deref() == Some(self.id()));
        dial.and_then(|dial| dial.execution).or_else(|| {
            let hooks = self.shared.ledger.webhooks();
            let own = hooks.into_iter().filter(|hook| hook.call == self.id());
            own.filter_map(|hook| crate::carrier::execution_in(&hook.url))
                .next()
        })
    }

    /// Everything that happened so far.
    pub fn timeline(&self) -> Vec<Timed> {
        self.call.timeline.snapshot()
    }

    /// When the call was made: where the timeline's clock begins.
    pub fn began(&self) -> std::time::Instant {
        self.call.timeline.began()
    }

    /// The timeline as text.
    pub fn log(&self) -> String {
        self.call.timeline.log()
    }

    /// All that the agent was heard to say, utterances joined by a space.
    pub fn heard_text(&self) -> String {
        utterances(&self.timeline()).join(" ")
    }

    /// The carrier's complaints about the server (`31951 …`), and other oddities.
    pub fn warnings(&self) -> Vec<String> {
        let warning = |timed: Timed| match timed.event {
            Event::Warning(what) => Some(what),
            _ => None,
        };
        self.timeline().into_iter().filter_map(warning).collect()
    }

    /// Steps of the script that did not come to pass.
    pub fn failures(&self) -> Vec<String> {
        let failure = |timed: Timed| match timed.event {
            Event::StepFailed(what) => Some(what),
            _ => None,
        };
        self.timeline().into_iter().filter_map(failure).collect()
    }

    /// Caller and agent as heard at the far end since the answer: mu-law 8 kHz, equally long. Empty
    /// with `Options::record` off.
    pub fn recording(&self) -> [Vec<u8>; 2] {
        self.call.recording()
    }

    /// Writes [`Self::recording`] as a stereo WAV: caller left, agent right.
    pub fn write_recording(&self, path: &Path) -> Result<(), Error> {
        let fault = |message: String| Error::Sound {
            path: path.to_owned(),
            message,
        };
        let file = std::fs::File::create(path).map_err(|source| Error::Io {
            what: path.display().to_string(),
            source,
        })?;
        let [caller, agent] = self.recording();
        wav::write_stereo(std::io::BufWriter::new(file), &caller, &agent)
            .map_err(|error| fault(error.to_string()))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `look` finds what it looks for among all events. `what` is said on failure.
    pub async fn waits_for<T>(
        &self,
        what: &str,
        look: impl FnMut(&[Timed]) -> Option<T>,
    ) -> Result<T, Missed> {
        let waiting = self.call.timeline.wait(look);
        tokio::time::timeout(self.shared.options.deadline, waiting)
            .await
            .map_err(|_| Missed::new(format!("{} never saw: {what}", self.id()), self.log()))
    }

    /// Waits until the agent has said `text` (case and punctuation don't matter) after what earlier
    /// `hears` have found. Needs tone-coded agent audio, or ears.
    pub async fn hears(&self, text: &str) -> Result<(), Missed> {
        let sought = plain([text]);
        let from = self.seen().words;
        let look = |events: &[Timed]| {
            let heard = utterances(events);
            find(&plain(heard.iter().map(String::as_str)), from, &sought)
        };
        let end = self
            .waits_for(&format!("agent saying `{text}`"), look)
            .await?;
        self.seen().words = end;
        Ok(())
    }

    /// Waits until the agent becomes audible (again).
    pub async fn agent_spoke(&self) -> Result<(), Missed> {
        let from = self.seen().starts;
        let end = self
            .nth("agent audible", from, |event| {
                matches!(event, Event::AgentStarted)
            })
            .await?;
        self.seen().starts = end;
        Ok(())
    }

    /// Waits until the agent has fallen silent for 400 ms (again).
    pub async fn agent_stopped(&self) -> Result<(), Missed> {
        let from = self.seen().stops;
        let end = self
            .nth("agent silent", from, |event| {
                matches!(event, Event::AgentStopped)
            })
            .await?;
        self.seen().stops = end;
        Ok(())
    }

    /// Waits until the server empties the play queue (again).
    pub async fn sees_clear(&self) -> Result<(), Missed> {
        let from = self.seen().clears;
        let is = |event: &Event| matches!(event, Event::Cleared { .. });
        let end = self.nth("clear", from, is).await?;
        self.seen().clears = end;
        Ok(())
    }

    /// Waits until the media socket is open (again).
    pub async fn media_opened(&self) -> Result<(), Missed> {
        let from = self.seen().opened;
        let end = self
            .nth("media socket open", from, |event| {
                matches!(event, Event::MediaOpened)
            })
            .await?;
        self.seen().opened = end;
        Ok(())
    }

    /// Waits until the media socket has ended (again).
    pub async fn media_closed(&self) -> Result<(), Missed> {
        let from = self.seen().closed;
        let is = |event: &Event| matches!(event, Event::MediaClosed { .. });
        let end = self.nth("media socket closed", from, is).await?;
        self.seen().closed = end;
        Ok(())
    }

    /// Position after the first matching event at or after `from`.
    async fn nth(
        &self,
        what: &str,
        from: usize,
        is: impl Fn(&Event) -> bool,
    ) -> Result<usize, Missed> {
        let look = |events: &[Timed]| {
            let later = events.iter().skip(from).position(|timed| is(&timed.event));
            later.map(|offset| from + offset + 1)
        };
        self.waits_for(what, look).await
    }

    /// Waits until the call has this status, or has had it.
    pub async fn reaches(&self, status: &str) -> Result<(), Missed> {
        let is = |event: &Event| matches!(event, Event::Status(word) if word == status);
        self.nth(&format!("status {status}"), 0, is)
            .await
            .map(|_| ())
    }

    /// Waits for the end; gives the final status.
    pub async fn ended(&self) -> Result<String, Missed> {
        let look = |events: &[Timed]| {
            events.iter().find_map(|timed| match &timed.event {
                Event::Ended(status) => Some(status.clone()),
                _ => None,
            })
        };
        self.waits_for("end of the call", look).await
    }

    /// Says a line, over the agent if need be, and waits until it is said.
    pub async fn says(&self, line: impl Into<Line>) -> Result<(), Missed> {
        self.does(Step::Say(line.into())).await
    }

    /// Starts to say a line and waits for its first sound only.
    pub async fn starts_saying(&self, line: impl Into<Line>) -> Result<(), Missed> {
        let line = line.into();
        let label = line.label();
        let from = self.timeline().len();
        self.gives(Step::Say(line)).await?;
        let is = |event: &Event| matches!(event, Event::CallerStarted { line } if *line == label);
        self.nth("the caller's first sound", from, is)
            .await
            .map(|_| ())
    }

    /// Presses keys, one each 100 ms, and waits until all are pressed.
    pub async fn presses(&self, digits: &str) -> Result<(), Missed> {
        self.does(Step::Dtmf {
            digits: digits.to_owned(),
        })
        .await
    }

    /// Loses the media socket without `stop`, and waits until it is gone.
    pub async fn drops_socket(&self, reset: bool) -> Result<(), Missed> {
        self.does(Step::DropSocket { reset }).await?;
        self.media_closed().await
    }

    /// Hangs up and waits for the end; gives the final status.
    pub async fn hangs_up(&self) -> Result<String, Missed> {
        self.gives(Step::HangUp {}).await?;
        self.ended().await
    }

    /// Does any step after those that wait, and waits until it is done.
    pub async fn does(&self, step: Step) -> Result<(), Missed> {
        let what = format!("{step:?} done");
        let ticket = self.gives(step).await?;
        let is = |event: &Event| *event == Event::StepDone(ticket);
        self.nth(&what, 0, is).await.map(|_| ())
    }

    /// Gives the caller a step to do after those that wait; returns its number in
    /// [`Event::StepDone`].
    pub async fn gives(&self, step: Step) -> Result<u64, Missed> {
        let fault = |what: String| Missed::new(what, self.log());
        let ready = self
            .shared
            .lines
            .step(&step, "step")
            .await
            .map_err(|error| fault(error.to_string()))?;
        let ticket = self.call.ticket();
        let live = Command::Live(LiveStep {
            ticket,
            step: ready,
        });
        self.call
            .commands
            .send(live)
            .await
            .map_err(|_| fault(format!("the call is over, too late for {step:?}")))?;
        Ok(ticket)
    }
}

/// The latest text of each utterance, in order.
fn utterances(events: &[Timed]) -> Vec<String> {
    let mut texts: Vec<(u64, &str)> = Vec::new();
    for timed in events {
        if let Event::Heard {
            utterance, text, ..
        } = &timed.event
        {
            match texts.last_mut().filter(|(number, _)| number == utterance) {
                Some(last) => last.1 = text,
                None => texts.push((*utterance, text)),
            }
        }
    }
    texts.into_iter().map(|(_, text)| text.to_owned()).collect()
}
