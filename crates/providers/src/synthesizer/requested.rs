//! Vendors that speak over HTTP: a request a sentence, the next asked for while the former still comes, so
//! that no silence falls between them (R89). What differs between them is a [`Vendor`].

use std::{collections::VecDeque, sync::Arc, time::Duration};

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::pieces::Pieces;
use crate::{
    Error, ErrorKind, Session, Speak, Spoken, Synthesizer, SynthesizerSpec, error::Origin,
    http::retry_after, socket,
};

/// Pieces of text that may wait.
const INPUT_PIECES: usize = 64;
/// Messages of audio that may wait; a slow consumer holds the vendor back.
const OUTPUT_FACTS: usize = 64;
/// Requests at once: the one that is heard, and the next.
const AT_ONCE: usize = 2;
/// Chunks of a request that may wait for their turn; the rest waits in the connection.
const CHUNKS: usize = 16;
/// The beginning of a sentence waits this long for its end.
const SENTENCE: Duration = Duration::from_millis(400);
/// A connection ahead of the call may take this long.
const WARM: Duration = Duration::from_secs(3);
/// Longest body of a refusal that is read.
const WORDS: usize = 4096;

/// One vendor's requests.
pub(crate) trait Vendor: Send + Sync + 'static {
    /// Whose failures these are.
    const ORIGIN: Origin;
    /// Characters in a request.
    const LONGEST: usize;

    /// What the vendor is asked to make; `Err`: what the spec wants can't be had.
    fn made(&self, spec: &SynthesizerSpec) -> Result<Format, Error>;

    /// Asks for a text's audio.
    fn request(
        &self,
        http: &reqwest::Client,
        spec: &SynthesizerSpec,
        text: &str,
    ) -> Result<reqwest::RequestBuilder, Error>;

    /// What a refusal means; `words` are those of the body.
    fn refused(status: u16, words: &str, retry_after: Option<Duration>) -> Error {
        match status {
            429 if words.contains("quota") => Self::ORIGIN.quota(),
            status => Self::ORIGIN.status(status, words, retry_after),
        }
    }
}

/// A vendor with what it takes to reach it.
pub(crate) struct Requested<V> {
    vendor: Arc<V>,
    http: reqwest::Client,
    /// From a request to its first audio, and between two chunks.
    limit: Duration,
}

impl<V: Vendor> Requested<V> {
    pub(crate) fn new(vendor: V, http: reqwest::Client, limit: Duration) -> Self {
        Self {
            vendor: Arc::new(vendor),
            http,
            limit,
        }
    }
}

#[async_trait]
impl<V: Vendor> Synthesizer for Requested<V> {
    fn name(&self) -> &'static str {
        V::ORIGIN.vendor
    }

    /// Nothing is asked before there is text: a connection stays in the client's pool.
    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        let made = self.vendor.made(spec)?;
        let pieces = Pieces::new(V::LONGEST, made, spec.format)
            .map_err(|error| V::ORIGIN.fault(ErrorKind::BadRequest, error.to_string()))?;
        let (input, texts) = mpsc::channel(INPUT_PIECES);
        let (facts, output) = mpsc::channel(OUTPUT_FACTS);
        let speaking = Speaking {
            vendor: self.vendor.clone(),
            http: self.http.clone(),
            spec: Arc::new(spec.clone()),
            limit: self.limit,
            pieces,
            fetches: VecDeque::new(),
            waits: None,
            texts,
            facts,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(speaking.run()));
        Ok(Session {
            input,
            output,
            task,
        })
    }

    /// Whatever the server says to a request for its root: the connection is open and goes to the pool.
    fn warm(&self, spec: &SynthesizerSpec) -> BoxFuture<'static, ()> {
        let request = self.vendor.request(&self.http, spec, ".");
        let built = request.ok().and_then(|request| request.build().ok());
        let root = built.and_then(|request| request.url().join("/").ok());
        let (http, vendor) = (self.http.clone(), V::ORIGIN.vendor);
        async move {
            let Some(root) = root else { return };
            match timeout(WARM, http.get(root).send()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    let error = error.without_url();
                    tracing::warn!(
                        vendor,
                        ?error,
                        "no connection to the voice ahead of the call"
                    );
                }
                Err(_) => tracing::warn!(vendor, "the voice is slow ahead of the call"),
            }
        }
        .boxed()
    }
}

struct Speaking<V> {
    vendor: Arc<V>,
    http: reqwest::Client,
    spec: Arc<SynthesizerSpec>,
    limit: Duration,
    pieces: Pieces,
    /// Requests under way, in the order of their parts.
    fetches: VecDeque<Fetch>,
    /// The part that waits for the rest of its sentence, and until when.
    waits: Option<(u32, Instant)>,
    texts: mpsc::Receiver<Speak>,
    facts: mpsc::Sender<Result<Spoken, Error>>,
}

/// A request; dropping it closes the connection.
struct Fetch {
    part: u32,
    context: u32,
    chunks: mpsc::Receiver<Result<Bytes, Error>>,
    /// Some audio has come.
    sounds: bool,
    _task: AbortOnDropHandle<()>,
}

/// Whether somebody still listens.
type Listened = bool;

impl<V: Vendor> Speaking<V> {
    async fn run(mut self) {
        if let Err(error) = self.speak().await {
            // A receiver that is gone wants no news.
            let _ = self.facts.send(Err(error)).await;
        }
    }

    /// Until all is said, or somebody is gone.
    async fn speak(&mut self) -> Result<(), Error> {
        let mut more = true;
        loop {
            self.request_ready();
            if !more && self.pieces.is_empty() {
                return Ok(());
            }
            let wake = self.waits.map(|(_, until)| until);
            let listened = tokio::select! {
                // Input first: a cancel must not wait behind a burst of audio.
                biased;
                speak = self.texts.recv(), if more => match speak {
                    Some(Speak::Text { context, piece, text, last }) => {
                        let out = self.pieces.add(context, piece, &text, last, true);
                        self.tell(out).await
                    }
                    Some(Speak::Cancel { context }) => {
                        self.pieces.cancel(context);
                        self.fetches.retain(|fetch| fetch.context != context);
                        true
                    }
                    None => {
                        more = false;
                        let (_, out) = self.pieces.close();
                        self.tell(out).await
                    }
                },
                chunk = next_chunk(&mut self.fetches) => match chunk {
                    Some(Ok(audio)) => {
                        let part = self.fetches.front_mut().map(|fetch| {
                            fetch.sounds = true;
                            fetch.part
                        });
                        let out = self.pieces.audio(part, audio);
                        self.tell(out).await
                    }
                    Some(Err(error)) => return Err(error),
                    None => {
                        let part = self.fetches.pop_front().map(|fetch| fetch.part);
                        let out = self.pieces.done(part);
                        self.tell(out).await
                    }
                },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => true,
                () = self.facts.closed() => false,
            };
            if !listened {
                return Ok(());
            }
        }
    }

    /// Asks for the parts whose turn it is.
    fn request_ready(&mut self) {
        loop {
            let is_first = self.fetches.is_empty();
            if !is_first && !self.fetches.back().is_some_and(|fetch| fetch.sounds) {
                self.waits = None;
                return;
            }
            let Some(part) = self.pieces.next(AT_ONCE) else {
                self.waits = None;
                return;
            };
            let (id, context) = (part.id, part.context);
            if !part.text.is_empty() {
                if !part.is_sentence() {
                    let now = Instant::now();
                    let until = match self.waits {
                        Some((of, until)) if of == id => until,
                        _ => now + SENTENCE,
                    };
                    if now < until {
                        self.waits = Some((id, until));
                        return;
                    }
                }
                let fetch = self.fetch(id, context, part.text.clone());
                self.fetches.push_back(fetch);
            }
            self.waits = None;
            self.pieces.sent(id);
        }
    }

    fn fetch(&self, part: u32, context: u32, text: String) -> Fetch {
        let (give, chunks) = mpsc::channel(CHUNKS);
        let (vendor, http, spec) = (self.vendor.clone(), self.http.clone(), self.spec.clone());
        let limit = self.limit;
        let task = tokio::spawn(async move {
            if let Err(error) = read(&*vendor, &http, &spec, &text, limit, &give).await {
                // A receiver that is gone wants no news.
                let _ = give.send(Err(error)).await;
            }
        });
        Fetch {
            part,
            context,
            chunks,
            sounds: false,
            _task: AbortOnDropHandle::new(task),
        }
    }

    async fn tell(&self, facts: Vec<Spoken>) -> Listened {
        for fact in facts {
            if self.facts.send(Ok(fact)).await.is_err() {
                return false;
            }
        }
        true
    }
}

/// Of the request that is heard; waits forever where there is none.
async fn next_chunk(fetches: &mut VecDeque<Fetch>) -> Option<Result<Bytes, Error>> {
    match fetches.front_mut() {
        Some(fetch) => fetch.chunks.recv().await,
        None => std::future::pending().await,
    }
}

/// One request from its first byte to its last.
async fn read<V: Vendor>(
    vendor: &V,
    http: &reqwest::Client,
    spec: &SynthesizerSpec,
    text: &str,
    limit: Duration,
    give: &mpsc::Sender<Result<Bytes, Error>>,
) -> Result<(), Error> {
    let late = |_| V::ORIGIN.no_answer(limit);
    let sent = vendor.request(http, spec, text)?.send();
    let mut response = timeout(limit, sent)
        .await
        .map_err(late)?
        .map_err(lost::<V>)?;
    let status = response.status();
    if !status.is_success() {
        let wait = retry_after(response.headers());
        let body = timeout(limit, body(&mut response))
            .await
            .unwrap_or_default();
        let words = socket::words(&body)
            .unwrap_or_else(|| String::from_utf8_lossy(&body).trim().to_owned());
        tracing::warn!(vendor = V::ORIGIN.vendor, %status, words, "the vendor refuses a request");
        return Err(V::refused(status.as_u16(), &words, wait));
    }
    let mut silent = true;
    while let Some(chunk) = timeout(limit, response.chunk())
        .await
        .map_err(late)?
        .map_err(lost::<V>)?
    {
        silent &= chunk.is_empty();
        if give.send(Ok(chunk)).await.is_err() {
            return Ok(());
        }
    }
    // So some regions of some vendors say that they don't know the voice.
    if silent && text.chars().any(char::is_alphanumeric) {
        return Err(V::ORIGIN.rejected("no audio came; is the voice known to the vendor?"));
    }
    Ok(())
}

async fn body(response: &mut reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > WORDS {
            break;
        }
    }
    body
}

fn lost<V: Vendor>(error: reqwest::Error) -> Error {
    let (vendor, error) = (V::ORIGIN.vendor, error.without_url());
    tracing::warn!(vendor, ?error, "the connection to the voice failed");
    match error.is_connect() || error.is_builder() {
        true => V::ORIGIN.unreachable(),
        false => V::ORIGIN.dropped(),
    }
}

/// `base` and a path after it.
pub(super) fn address(origin: Origin, base: &str, path: &[&str]) -> Result<url::Url, Error> {
    let bad = || origin.fault(ErrorKind::BadRequest, "base_url is not an address");
    let mut url = url::Url::parse(base).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad());
    }
    url.path_segments_mut()
        .map_err(|()| bad())?
        .pop_if_empty()
        .extend(path);
    Ok(url)
}

#[cfg(test)]
mod tests;
