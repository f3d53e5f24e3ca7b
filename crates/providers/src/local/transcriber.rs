//! The trait's side of listening: a session a call.

use std::{future::Future, sync::Arc};

use async_trait::async_trait;
use bolo_audio::Resampler;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Failure, Speech, error,
    listener::{Listener, Step},
    moonshine::{self, Size},
    pool::{Pool, Undone, Worker},
    turn::LONG_PAUSE_MS,
    undone,
};
use crate::{Error, ErrorKind, Hear, Heard, Session, Transcriber, TranscriberSpec};

const ROLE: &str = "transcriber";
/// Frames that may wait, 5 s: more than any inference takes on a machine that keeps up.
const INPUT: usize = 256;
const OUTPUT: usize = 64;
/// What a busy machine may take to hear the last words and judge the pause, ms.
const INFERENCE_MS: u64 = 1_000;

pub(super) struct LocalTranscriber {
    pub(super) speech: Speech,
}

/// English in any of its regions.
pub(super) fn check_language(language: &str) -> Result<(), Error> {
    let base = language.split(['-', '_']).next().unwrap_or_default();
    if base.is_empty() || base.eq_ignore_ascii_case("en") {
        return Ok(());
    }
    let cause = format!(
        "language {language:?} is not supported: local speech recognition knows English (en) only; \
         choose another transcriber provider for it"
    );
    Err(error(ROLE, ErrorKind::BadRequest, cause))
}

/// The model of this name.
pub(super) fn size(model: &str) -> Result<Size, Error> {
    Size::named(model).map_err(|cause| error(ROLE, ErrorKind::BadRequest, cause))
}

#[async_trait]
impl Transcriber for LocalTranscriber {
    fn name(&self) -> &'static str {
        super::VENDOR
    }

    fn longest_pause_ms(&self, _spec: &TranscriberSpec) -> u64 {
        LONG_PAUSE_MS + INFERENCE_MS
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        check_language(&spec.language)?;
        let listener = Listener::new(spec.format, spec.endpointing_ms)?;
        let size = size(&spec.model)?;
        let pool = self.speech.pool(ROLE)?;
        let speech = self.speech.clone();
        // Loaded now, while the phone rings, rather than at the first word.
        let load = move |_: &mut Worker| {
            speech
                .moonshine(size)
                .and_then(|_| speech.turn())
                .map(|_| ())
        };
        pool.run(load)
            .await
            .map_err(|why| undone(ROLE, why))?
            .map_err(|failure| failure.of(ROLE))?;
        let (input, frames) = mpsc::channel(INPUT);
        let (out, output) = mpsc::channel(OUTPUT);
        let session = Listening {
            speech: self.speech.clone(),
            pool,
            size,
            rate: spec.format.rate(),
            listener,
            interim: None,
            out,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(session.run(frames)));
        Ok(Session {
            input,
            output,
            task,
        })
    }
}

type Interim = BoxFuture<'static, (u32, Result<Result<String, Failure>, Undone>)>;

struct Listening {
    speech: Speech,
    pool: Arc<Pool>,
    size: Size,
    rate: u32,
    listener: Listener,
    /// The one look at an open segment that is under way.
    interim: Option<Interim>,
    out: mpsc::Sender<Result<Heard, Error>>,
}

/// The other side went away.
struct Gone;

impl Listening {
    async fn run(mut self, mut frames: mpsc::Receiver<Hear>) {
        let ended = self.listen(&mut frames).await;
        if let Ok(Err(error)) = ended {
            // The last thing told; if no one listens any more, no one needs it.
            let _ = self.out.send(Err(error)).await;
        }
    }

    async fn listen(
        &mut self,
        frames: &mut mpsc::Receiver<Hear>,
    ) -> Result<Result<(), Error>, Gone> {
        loop {
            let frame = tokio::select! {
                biased;
                (number, text) = answer(&mut self.interim) => {
                    self.interim = None;
                    let text = match flatten(text) {
                        Ok(text) => text,
                        Err(error) => return Ok(Err(error)),
                    };
                    if let Some(heard) = self.listener.interim(number, text) {
                        self.tell(heard).await?;
                    }
                    continue;
                }
                frame = frames.recv() => frame,
            };
            let steps = match &frame {
                Some(Hear::Audio(frame)) => self.listener.hear(frame),
                // It bounds every pause itself.
                Some(Hear::EndTurn) => Vec::new(),
                Some(Hear::Finish) | None => self.listener.finish().into_iter().collect(),
            };
            if let Err(error) = self.perform(steps).await? {
                return Ok(Err(error));
            }
            if matches!(frame, Some(Hear::Finish) | None) {
                self.tell(Heard::Billed(self.listener.seconds())).await?;
                return Ok(Ok(()));
            }
        }
    }

    async fn perform(&mut self, steps: Vec<Step>) -> Result<Result<(), Error>, Gone> {
        for step in steps {
            match step {
                Step::Tell(heard) => self.tell(heard).await?,
                Step::Interim { number, audio } => {
                    if self.interim.is_none() && self.pool.has_idle() {
                        let text = self.transcribe(audio);
                        self.interim = Some(Box::pin(async move { (number, text.await) }));
                    }
                }
                Step::Seal { audio } => {
                    let text = match flatten(self.transcribe(audio).await) {
                        Ok(text) => text,
                        Err(error) => return Ok(Err(error)),
                    };
                    if let Some(heard) = self.listener.sealed(text) {
                        self.tell(heard).await?;
                    }
                }
                Step::SecondLook { turn } => {
                    let score = match flatten(self.finished(turn).await) {
                        Ok(score) => score,
                        Err(error) => return Ok(Err(error)),
                    };
                    for step in self.listener.looked_again(score) {
                        if let Step::Tell(heard) = step {
                            self.tell(heard).await?;
                        }
                    }
                }
                Step::Check { segment, turn } => {
                    // What an interim would tell is about to be known better.
                    self.interim = None;
                    let (text, score) = tokio::join!(self.transcribe(segment), self.finished(turn));
                    let (text, score) = match (flatten(text), flatten(score)) {
                        (Ok(text), Ok(score)) => (text, score),
                        (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
                    };
                    for step in self.listener.checked(text, score) {
                        if let Step::Tell(heard) = step {
                            self.tell(heard).await?;
                        }
                    }
                }
            }
        }
        Ok(Ok(()))
    }

    fn transcribe(
        &self,
        audio: Vec<i16>,
    ) -> impl Future<Output = Result<Result<String, Failure>, Undone>> + Send + use<> {
        let (speech, pool, rate) = (self.speech.clone(), self.pool.clone(), self.rate);
        let size = self.size;
        async move {
            pool.run(move |worker| {
                speech
                    .moonshine(size)?
                    .transcribe(&model_audio(&audio, rate)?, &worker.options)
            })
            .await
        }
    }

    fn finished(
        &self,
        audio: Vec<i16>,
    ) -> impl Future<Output = Result<Result<f32, Failure>, Undone>> + Send + use<> {
        let (speech, pool, rate) = (self.speech.clone(), self.pool.clone(), self.rate);
        async move {
            pool.run(move |worker| {
                speech
                    .turn()?
                    .finished(&model_audio(&audio, rate)?, &worker.options)
            })
            .await
        }
    }

    async fn tell(&mut self, heard: Heard) -> Result<(), Gone> {
        self.out.send(Ok(heard)).await.map_err(|_| Gone)
    }
}

/// The answer of the look under way; never, if there is none.
async fn answer(interim: &mut Option<Interim>) -> (u32, Result<Result<String, Failure>, Undone>) {
    match interim {
        Some(interim) => interim.await,
        None => std::future::pending().await,
    }
}

fn flatten<T>(result: Result<Result<T, Failure>, Undone>) -> Result<T, Error> {
    result
        .map_err(|why| undone(ROLE, why))?
        .map_err(|failure| failure.of(ROLE))
}

/// Samples as the models want them: 16 kHz, -1 to 1.
fn model_audio(samples: &[i16], rate: u32) -> Result<Vec<f32>, Failure> {
    let scale = |samples: &[i16]| samples.iter().map(|s| f32::from(*s) / 32_768.0).collect();
    if rate == moonshine::RATE {
        return Ok(scale(samples));
    }
    let mut resampler = Resampler::new(rate, moonshine::RATE).map_err(Failure::model)?;
    let mut resampled = Vec::with_capacity(samples.len() * 2 + 1024);
    resampler.push(samples, &mut resampled);
    resampler.flush(&mut resampled);
    // What the resampler puts in front.
    Ok(scale(&resampled[resampler.delay().min(resampled.len())..]))
}
