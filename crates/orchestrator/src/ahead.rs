//! What a call does before it needs it: connections to the model and to the voice are opened, routes embedded,
//! lines rendered that must need no vendor when their time comes (R3, R16, R97, R192).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bolo_conversation::{At, Conversation, Input, Output, Script};
use bolo_providers::{Error, ErrorKind, Llm, Session, Speak, Spoken};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    clips::{ClipKey, Clips},
    line::{Opener, hopeless},
    routes::RouteSource,
    speaking::Voice,
};

/// Rendering of one line ahead may take this long.
const RENDER: Duration = Duration::from_secs(20);
/// Lines in a row that could not be rendered: the others are left to the call.
const FAILURES: u32 = 3;

/// The work under way, and what it was billed. Dropping it ends the work.
pub(crate) struct Ahead {
    task: AbortOnDropHandle<()>,
    characters: Arc<AtomicU64>,
}

impl Ahead {
    /// Renders the lines that no call has rendered yet, on a connection of their own.
    pub(crate) fn start(
        llm: &dyn Llm,
        script: &Script,
        voice: &Voice,
        speak: &Opener<Speak, Spoken>,
        clips: &Clips,
        routes: Option<RouteSource>,
        warm_voice: BoxFuture<'static, ()>,
    ) -> Self {
        let lines: Vec<(ClipKey, String)> = lines(script)
            .into_iter()
            .filter_map(|text| Some((voice.key(&text)?, text)))
            .filter(|(key, _)| !clips.has(key))
            .collect();
        let renderer = Renderer::new(speak.clone());
        let characters = renderer.characters.clone();
        let (clips, warm) = (clips.clone(), llm.warm());
        let task = tokio::spawn(async move {
            let lines = async {
                if let Some(routes) = routes {
                    routes.warm().await;
                }
                render(lines, renderer, &clips).await;
            };
            tokio::join!(warm, warm_voice, lines);
        });
        Self {
            task: AbortOnDropHandle::new(task),
            characters,
        }
    }

    /// Characters that the agent's own voice was sent so far, and did not refuse. Each is the bill of one call: a
    /// clip that another call has rendered costs nothing.
    pub(crate) fn characters(&self) -> u64 {
        self.characters.load(Ordering::Relaxed)
    }

    /// Takes over the bill of a preparation that turned out to be of no use.
    pub(crate) fn bear(&self, wasted: &Self) {
        wasted.task.abort();
        self.characters
            .fetch_add(wasted.characters(), Ordering::Relaxed);
    }

    /// Ends the work.
    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

async fn render(lines: Vec<(ClipKey, String)>, mut renderer: Renderer, clips: &Clips) {
    let mut failures = 0;
    for (key, text) in lines {
        let rendered = clips.ensure(key, async {
            tokio::time::timeout(RENDER, renderer.line(text))
                .await
                .unwrap_or_else(|_| Err(lost(ErrorKind::Timeout, "no audio in time")))
        });
        match rendered.await {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::warn!(%error, "a line could not be rendered ahead");
                failures += 1;
            }
        }
        if failures == FAILURES {
            return;
        }
    }
}

/// Renders lines one after the other, on one connection as long as it does its work.
pub(crate) struct Renderer {
    speak: Opener<Speak, Spoken>,
    /// With the number of the last line.
    session: Option<(Session<Speak, Spoken>, u32)>,
    characters: Arc<AtomicU64>,
}

impl Renderer {
    /// Connects with the first line.
    pub(crate) fn new(speak: Opener<Speak, Spoken>) -> Self {
        Self {
            speak,
            session: None,
            characters: Arc::default(),
        }
    }

    /// A connection on which a line failed is not used again: what is late of that line would be taken for the
    /// next one.
    pub(crate) async fn line(&mut self, text: String) -> Result<Bytes, Error> {
        let (mut session, before) = match self.session.take() {
            Some(open) => open,
            None => (self.speak.open().await?, 0),
        };
        let context = before + 1;
        let billed = text.chars().count() as u64;
        let line = Speak::Text {
            context,
            piece: 0,
            text,
            last: true,
        };
        let mut clip = Vec::new();
        if session.input.send(line).await.is_ok() {
            // Text is billed when it is sent, whatever becomes of it, but by none who refuses it.
            self.characters.fetch_add(billed, Ordering::Relaxed);
            while let Some(spoken) = session.output.recv().await {
                let spoken = spoken.inspect_err(|error| {
                    if clip.is_empty() && hopeless(error.kind) {
                        self.characters.fetch_sub(billed, Ordering::Relaxed);
                    }
                })?;
                match spoken {
                    Spoken::Audio { audio, .. } => clip.extend_from_slice(&audio),
                    Spoken::PieceDone { .. } => {}
                    Spoken::Done { .. } if clip.is_empty() => {
                        return Err(lost(
                            ErrorKind::BadRequest,
                            "the voice has no sound for this text",
                        ));
                    }
                    Spoken::Done { .. } => {
                        self.session = Some((session, context));
                        return Ok(clip.into());
                    }
                }
            }
        }
        Err(lost(ErrorKind::Dropped, "connection lost"))
    }
}

fn lost(kind: ErrorKind, cause: &str) -> Error {
    Error {
        kind,
        vendor: "vendor",
        role: "synthesizer",
        cause: cause.into(),
        retry_after: None,
    }
}

/// The lines a call is sure or likely to speak, the surest first. The welcome as the machine itself would
/// have it spoken: found by running a machine of the same script up to it. Then those that must need no
/// vendor when they are needed (R97, R192).
fn lines(script: &Script) -> Vec<String> {
    let mut texts: Vec<String> = welcome(script).into_iter().collect();
    texts.extend(
        script
            .tools
            .iter()
            .map(|tool| tool.line.clone())
            .filter(|line| !line.is_empty()),
    );
    let lines = script.lines();
    texts.extend([
        lines.recovery,
        lines.apology,
        lines.not_heard,
        lines.line_back,
    ]);
    texts.extend(lines.one_moment);
    if script.use_fillers {
        texts.extend(lines.fillers);
    }
    texts.extend(script.online_check.iter().map(|check| check.text.clone()));
    texts.push(script.goodbye.clone());
    texts
}

fn welcome(script: &Script) -> Option<String> {
    if script.welcome.is_empty() {
        return None;
    }
    let mut machine = Conversation::new(script.clone());
    let start = Input::MediaStart {
        direction: script.facts.direction,
        marks: true,
        web: false,
        seed: 0,
    };
    let mut outputs = machine.handle(At(0), start);
    outputs.extend(machine.handle(At(script.welcome_delay_ms), Input::Tick));
    outputs.into_iter().find_map(|output| match output {
        Output::SayClip { text, .. } => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
