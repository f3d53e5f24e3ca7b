//! Vendors that the test plays itself.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bolo_audio::Format;
use bolo_providers::{
    Ask, Delta, Error, ErrorKind, Hear, Heard, Llm, Session, Speak, Spoken, Synthesizer,
    SynthesizerSpec, Transcriber, TranscriberSpec,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::prepare::Team;

/// A vendor's side of one session.
pub(crate) struct Far<In, Out> {
    pub(crate) input: mpsc::Receiver<In>,
    pub(crate) output: mpsc::Sender<Result<Out, Error>>,
}

/// Hands every connection to the test. `refuse` connections fail first.
pub(crate) struct Vendor<In, Out> {
    opened: mpsc::Sender<Far<In, Out>>,
    pub(crate) refuse: AtomicUsize,
    pub(crate) asked: AtomicUsize,
}

impl<In: Send + 'static, Out: Send + 'static> Vendor<In, Out> {
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Far<In, Out>>) {
        let (opened, sessions) = mpsc::channel(4096);
        (
            Arc::new(Self {
                opened,
                refuse: AtomicUsize::new(0),
                asked: AtomicUsize::new(0),
            }),
            sessions,
        )
    }

    fn connect(&self) -> Result<Session<In, Out>, Error> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let left = self.refuse.load(Ordering::Relaxed);
        if left > 0 {
            self.refuse.store(left - 1, Ordering::Relaxed);
            return Err(error(ErrorKind::Connect, "could not connect"));
        }
        let (input, far_input) = mpsc::channel(32);
        let (far_output, output) = mpsc::channel(64);
        let _ = self.opened.try_send(Far {
            input: far_input,
            output: far_output,
        });
        Ok(Session {
            input,
            output,
            task: AbortOnDropHandle::new(tokio::spawn(async {})),
        })
    }
}

pub(crate) fn error(kind: ErrorKind, cause: &str) -> Error {
    Error {
        kind,
        vendor: "fake",
        role: "vendor",
        cause: cause.into(),
        retry_after: None,
    }
}

#[async_trait]
impl Transcriber for Vendor<Hear, Heard> {
    fn name(&self) -> &'static str {
        "fake"
    }
    async fn open(&self, _: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        self.connect()
    }
}

#[async_trait]
impl Synthesizer for Vendor<Speak, Spoken> {
    fn name(&self) -> &'static str {
        "fake"
    }
    async fn open(&self, _: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        self.connect()
    }
}

/// Speaks at once: 40 ms a character, every byte the first letter of the text.
pub(crate) fn speaks_by_itself(
    mut sessions: mpsc::Receiver<Far<Speak, Spoken>>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut running = Vec::new();
        while let Some(mut far) = sessions.recv().await {
            running.push(AbortOnDropHandle::new(tokio::spawn(async move {
                while let Some(message) = far.input.recv().await {
                    let Speak::Text {
                        context,
                        piece,
                        text,
                        last,
                    } = message
                    else {
                        continue;
                    };
                    let letter = text.bytes().next().unwrap_or(b'-');
                    let audio = Bytes::from(vec![letter; text.chars().count() * 40 * 8]);
                    let mut told = Vec::new();
                    if !text.is_empty() {
                        told.push(Spoken::Audio {
                            context,
                            piece,
                            audio,
                            words: Vec::new(),
                        });
                        told.push(Spoken::PieceDone { context, piece });
                    }
                    if last {
                        told.push(Spoken::Done { context });
                    }
                    for spoken in told {
                        if far.output.send(Ok(spoken)).await.is_err() {
                            return;
                        }
                    }
                }
            })));
        }
    }))
}

/// Gives the answers it was given, one a question; then a refusal.
pub(crate) struct Parrot {
    answers: Mutex<VecDeque<Vec<Result<Delta, Error>>>>,
    pub(crate) asked: Mutex<Vec<Ask>>,
}

impl Parrot {
    pub(crate) fn new(answers: &[&str]) -> Arc<Self> {
        let done = || Delta::Done {
            finish: "stop",
            input: 100,
            output: 10,
            cached: 40,
            estimated: false,
        };
        let answer = |text: &&str| vec![Ok(Delta::Text((*text).to_owned())), Ok(done())];
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(answer).collect()),
            asked: Mutex::default(),
        })
    }
}

impl Llm for Parrot {
    fn name(&self) -> &'static str {
        "fake"
    }
    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        self.asked.lock().unwrap().push(ask);
        let refusal = || vec![Err(error(ErrorKind::Server, "nothing left to say"))];
        stream::iter(
            self.answers
                .lock()
                .unwrap()
                .pop_front()
                .unwrap_or_else(refusal),
        )
        .boxed()
    }
}

/// Vendors played by the test: transcriber sessions to answer, a voice that speaks by itself, a parrot.
pub(crate) struct Cast {
    pub(crate) hears: mpsc::Receiver<Far<Hear, Heard>>,
    pub(crate) llm: Arc<Parrot>,
    _voice: AbortOnDropHandle<()>,
}

/// A cast, and the team it forms.
pub(crate) fn cast(answers: &[&str]) -> (Cast, Team) {
    let (transcriber, hears) = Vendor::new();
    let (synthesizer, sessions) = Vendor::new();
    let llm = Parrot::new(answers);
    let hear = TranscriberSpec {
        model: "ears".into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        format: Format::Mulaw8k,
        execution: String::new(),
    };
    let team = Team {
        llm: llm.clone(),
        transcribers: vec![("fake", Ok((transcriber, hear)))],
        synthesizers: vec![("fake", Ok((synthesizer, voice_spec())))],
        breakers: Default::default(),
    };
    (
        Cast {
            hears,
            llm,
            _voice: speaks_by_itself(sessions),
        },
        team,
    )
}

pub(crate) fn voice_spec() -> SynthesizerSpec {
    SynthesizerSpec {
        model: "mouth".into(),
        voice_id: "v1".into(),
        language: "en".into(),
        speed: 1.0,
        options: Default::default(),
        format: Format::Mulaw8k,
    }
}
