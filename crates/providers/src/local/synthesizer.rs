//! The trait's side of speaking: a session a call.

use std::{collections::VecDeque, sync::Arc};

use async_trait::async_trait;
use bolo_audio::{Converter, Format};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Failure, Speech, error, neural,
    pico::{self, Lingware, Pico},
    pool::{Pool, Undone, Worker},
    undone,
    voices::{Engine, Voice, voice},
};
use crate::{Error, ErrorKind, Session, Speak, Spoken, Synthesizer, SynthesizerSpec};

const ROLE: &str = "synthesizer";
const INPUT: usize = 64;
const OUTPUT: usize = 64;
/// Pieces that may wait to be spoken; more stay in the input.
const WAITING: usize = 256;
/// Chunks a second.
const CHUNKS_PER_SECOND: u32 = 10;
/// Chunks between a speech thread and the session: 100 s, more than one part of a text ever makes, so
/// that the thread never waits for a slow reader.
const CHUNKS: usize = 1024;
/// Cancelled utterances remembered, to drop what is still on its way.
const CANCELLED: usize = 64;

pub(super) struct LocalSynthesizer {
    pub(super) speech: Speech,
}

#[async_trait]
impl Synthesizer for LocalSynthesizer {
    fn name(&self) -> &'static str {
        super::VENDOR
    }

    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        let voice = voice(&spec.voice_id, &spec.language)
            .map_err(|cause| error(ROLE, ErrorKind::BadRequest, cause))?;
        // Refuses an absurd format now rather than at the first word.
        converter(pico::RATE, spec.format)
            .map_err(|failure| error(ROLE, ErrorKind::BadRequest, failure))?;
        let pool = self.speech.pool(ROLE)?;
        let speech = self.speech.clone();
        pool.run(move |worker| match voice.engine {
            Engine::Pico(lingware) => engine(worker, &speech, lingware).map(|_| ()),
            Engine::Neural => speech.neural(voice.id).map(|_| ()),
        })
        .await
        .map_err(|why| undone(ROLE, why))?
        .map_err(|failure| failure.of(ROLE))?;
        let (input, texts) = mpsc::channel(INPUT);
        let (out, output) = mpsc::channel(OUTPUT);
        let session = Speaking {
            speech: self.speech.clone(),
            pool,
            voice,
            speed: spec.speed,
            format: spec.format,
            waiting: VecDeque::new(),
            cancelled: VecDeque::new(),
            now: None,
            pending: VecDeque::new(),
            out,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(session.run(texts)));
        Ok(Session {
            input,
            output,
            task,
        })
    }
}

struct Speaking {
    speech: Speech,
    pool: Arc<Pool>,
    voice: Voice,
    speed: f32,
    format: Format,
    waiting: VecDeque<Piece>,
    cancelled: VecDeque<u32>,
    now: Option<Now>,
    /// To be told as soon as there is room.
    pending: VecDeque<Spoken>,
    out: mpsc::Sender<Result<Spoken, Error>>,
}

struct Piece {
    context: u32,
    piece: u32,
    text: String,
    last: bool,
}

/// The piece that is being spoken. Dropping it stops the thread at its next chunk.
struct Now {
    context: u32,
    piece: u32,
    last: bool,
    chunks: mpsc::Receiver<Bytes>,
    job: BoxFuture<'static, Result<Result<(), Failure>, Undone>>,
    /// How the job ended; its last chunks may still be on the way.
    ended: bool,
}

enum Event {
    Input(Option<Speak>),
    Chunk(Option<Bytes>),
    Ended(Result<Result<(), Failure>, Undone>),
    Room,
    Gone,
}

impl Speaking {
    async fn run(mut self, mut input: mpsc::Receiver<Speak>) {
        let mut open = true;
        loop {
            self.begin_next();
            if !open && self.now.is_none() && self.pending.is_empty() {
                return;
            }
            match self.next(&mut input, open).await {
                Event::Input(Some(Speak::Text {
                    context,
                    piece,
                    text,
                    last,
                })) => {
                    if !self.cancelled.contains(&context) {
                        self.waiting.push_back(Piece {
                            context,
                            piece,
                            text,
                            last,
                        });
                    }
                }
                Event::Input(Some(Speak::Cancel { context })) => self.cancel(context),
                Event::Input(None) => open = false,
                Event::Chunk(Some(audio)) => self.chunk(audio),
                Event::Chunk(None) => self.finish_piece(),
                Event::Ended(Ok(Ok(()))) => {
                    if let Some(now) = &mut self.now {
                        now.ended = true;
                    }
                }
                Event::Ended(failed) => {
                    let error = match failed {
                        Err(why) => undone(ROLE, why),
                        Ok(Err(failure)) => failure.of(ROLE),
                        Ok(Ok(())) => return,
                    };
                    // The last thing told; if no one listens any more, no one needs it.
                    let _ = self.out.send(Err(error)).await;
                    return;
                }
                Event::Room => {}
                Event::Gone => return,
            }
        }
    }

    async fn next(&mut self, input: &mut mpsc::Receiver<Speak>, open: bool) -> Event {
        let may_take = open && self.waiting.len() < WAITING;
        let blocked = !self.pending.is_empty();
        tokio::select! {
            biased;
            // First, so that a cancel overtakes audio that is not yet told.
            got = input.recv(), if may_take => Event::Input(got),
            room = self.out.reserve(), if blocked => match (room, self.pending.pop_front()) {
                (Ok(room), Some(spoken)) => {
                    room.send(Ok(spoken));
                    Event::Room
                }
                (Err(_), _) => Event::Gone,
                (Ok(_), None) => Event::Room,
            },
            event = progress(&mut self.now), if !blocked => event,
            () = self.out.closed() => Event::Gone,
        }
    }

    fn begin_next(&mut self) {
        while self.now.is_none() {
            let Some(Piece {
                context,
                piece,
                text,
                last,
            }) = self.waiting.pop_front()
            else {
                return;
            };
            let parts = match self.voice.engine {
                Engine::Pico(_) => pico::cut(&text),
                Engine::Neural => neural::parts(&text),
            };
            let (give, chunks) = mpsc::channel(CHUNKS);
            let (speech, pool) = (self.speech.clone(), self.pool.clone());
            let (voice, speed, format) = (self.voice, self.speed, self.format);
            let job = async move {
                for part in parts {
                    // All of the part before has been fetched, so there is room for the whole of this.
                    if give.reserve_many(CHUNKS).await.is_err() {
                        return Ok(Ok(()));
                    }
                    let (speech, give) = (speech.clone(), give.clone());
                    let say = move |worker: &mut Worker| {
                        say(worker, &speech, voice, speed, format, &part, &give)
                    };
                    match pool.run(say).await {
                        Ok(Ok(())) => {}
                        failed => return failed,
                    }
                }
                Ok(Ok(()))
            };
            self.now = Some(Now {
                context,
                piece,
                last,
                chunks,
                job: Box::pin(job),
                ended: false,
            });
        }
    }

    fn chunk(&mut self, audio: Bytes) {
        if let Some(Now { context, piece, .. }) = self.now {
            self.pending.push_back(Spoken::Audio {
                context,
                piece,
                audio,
                words: Vec::new(),
            });
        }
    }

    fn finish_piece(&mut self) {
        let Some(Now {
            context,
            piece,
            last,
            ..
        }) = self.now.take()
        else {
            return;
        };
        self.pending.push_back(Spoken::PieceDone { context, piece });
        if last {
            self.pending.push_back(Spoken::Done { context });
        }
    }

    fn cancel(&mut self, context: u32) {
        self.waiting.retain(|piece| piece.context != context);
        self.pending.retain(|spoken| context_of(spoken) != context);
        self.now.take_if(|now| now.context == context);
        if self.cancelled.len() == CANCELLED {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(context);
    }
}

fn context_of(spoken: &Spoken) -> u32 {
    match spoken {
        Spoken::Audio { context, .. }
        | Spoken::PieceDone { context, .. }
        | Spoken::Done { context } => *context,
    }
}

/// What the piece being spoken brings next; never, if there is none.
async fn progress(now: &mut Option<Now>) -> Event {
    let Some(now) = now else {
        return std::future::pending().await;
    };
    tokio::select! {
        biased;
        chunk = now.chunks.recv() => Event::Chunk(chunk),
        ended = &mut now.job, if !now.ended => Event::Ended(ended),
    }
}

/// Speaks one part on a speech thread.
fn say(
    worker: &mut Worker,
    speech: &Speech,
    voice: Voice,
    speed: f32,
    format: Format,
    text: &str,
    give: &mpsc::Sender<Bytes>,
) -> Result<(), Failure> {
    match voice.engine {
        Engine::Pico(lingware) => {
            let mut chunks = Chunks::new(pico::RATE, format, give)?;
            let mut first = |chunks: &mut Chunks<'_>| {
                let mut sink = |samples: &[i16]| chunks.take(samples);
                engine(worker, speech, lingware)?.speak(text, speed, &mut sink)
            };
            if let Err(failure) = first(&mut chunks) {
                worker.pico = None;
                tracing::warn!(%failure, voice = voice.id, "the voice engine failed and is built anew");
                // Said twice is worse than cut short.
                if !chunks.spoke {
                    let mut sink = |samples: &[i16]| chunks.take(samples);
                    let again = engine(worker, speech, lingware)?.speak(text, speed, &mut sink);
                    if let Err(failure) = again {
                        worker.pico = None;
                        return Err(failure);
                    }
                }
            }
            chunks.finish();
        }
        Engine::Neural => {
            let (neural, sounds) = speech.neural(voice.id)?;
            let mut chunks = Chunks::new(neural.rate, format, give)?;
            let sound = neural.speak(&sounds, text, speed, &worker.options)?;
            if chunks.take(&sound) {
                chunks.finish();
            }
        }
    }
    Ok(())
}

/// Gathers samples, and gives them in the wanted format, 100 ms at a time.
struct Chunks<'a> {
    converter: Converter,
    bytes: usize,
    chunk: Vec<u8>,
    give: &'a mpsc::Sender<Bytes>,
    /// Something was given.
    spoke: bool,
}

impl<'a> Chunks<'a> {
    fn new(rate: u32, format: Format, give: &'a mpsc::Sender<Bytes>) -> Result<Self, Failure> {
        let bytes = (rate / CHUNKS_PER_SECOND) as usize * 2;
        Ok(Self {
            converter: converter(rate, format)?,
            bytes,
            chunk: Vec::with_capacity(bytes),
            give,
            spoke: false,
        })
    }

    /// False, if no one listens any more.
    fn take(&mut self, samples: &[i16]) -> bool {
        for sample in samples {
            self.chunk.extend(sample.to_le_bytes());
            if self.chunk.len() == self.bytes {
                self.spoke = true;
                let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(self.bytes));
                let audio = self.converter.convert(Bytes::from(chunk));
                if !audio.is_empty() && self.give.blocking_send(audio).is_err() {
                    return false;
                }
            }
        }
        !self.give.is_closed()
    }

    fn finish(mut self) {
        let mut rest = self.converter.convert(Bytes::from(self.chunk)).to_vec();
        rest.extend_from_slice(&self.converter.flush());
        if !rest.is_empty() {
            // Cancelled meanwhile, if this fails.
            let _ = self.give.blocking_send(Bytes::from(rest));
        }
    }
}

/// This thread's engine with the wanted voice.
fn engine<'a>(
    worker: &'a mut Worker,
    speech: &Speech,
    voice: Lingware,
) -> Result<&'a mut Pico, Failure> {
    let fits = worker.pico.take_if(|pico| pico.voice() == voice);
    // The old one must go first: a thread bears one engine only.
    worker.pico = None;
    let engine = match fits {
        Some(engine) => engine,
        None => Pico::new(speech.models(), voice)?,
    };
    Ok(worker.pico.insert(engine))
}

fn converter(rate: u32, format: Format) -> Result<Converter, Failure> {
    Converter::new(Format::Pcm16 { rate }, format).map_err(Failure::model)
}
