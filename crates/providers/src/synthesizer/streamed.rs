//! Vendors that speak over a socket: one socket a call, pieces in, audio out. What differs between them
//! is a [`Wire`]. Source: wire-providers.md §2, §5b, §10.

mod wire;

use std::{marker::PhantomData, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

pub(crate) use self::wire::{News, Stop, Wire};
use super::{SynthesizerLimits, pieces::Pieces};
use crate::{
    Error, ErrorKind, Session, Speak, Spoken, Synthesizer, SynthesizerSpec,
    socket::{self, Incoming, Refusal, Socket},
};

/// Pieces of text that may wait.
const INPUT_PIECES: usize = 64;
/// Messages of audio that may wait; a slow consumer holds the vendor back.
const OUTPUT_FACTS: usize = 64;

/// A vendor of the wire `W`, with a key.
pub(crate) struct Streamed<W> {
    base_url: String,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
    limits: SynthesizerLimits,
    wire: PhantomData<fn() -> W>,
}

impl<W: Wire> Streamed<W> {
    /// `base_url` with its scheme and without a path.
    pub(crate) fn new(
        base_url: &str,
        key: SecretString,
        tls: Arc<rustls::ClientConfig>,
        limits: SynthesizerLimits,
    ) -> Self {
        Self {
            base_url: base_url.to_owned(),
            key,
            tls,
            limits,
            wire: PhantomData,
        }
    }
}

#[async_trait]
impl<W: Wire> Synthesizer for Streamed<W> {
    fn name(&self) -> &'static str {
        W::ORIGIN.vendor
    }

    async fn open(&self, spec: &SynthesizerSpec) -> Result<Session<Speak, Spoken>, Error> {
        let wire = W::new(spec)?;
        let pieces = Pieces::new(W::LONGEST, wire.made(), spec.format)
            .map_err(|error| W::ORIGIN.fault(ErrorKind::BadRequest, error.to_string()))?;
        let dial = Dial {
            url: wire.address(&self.base_url)?,
            key: self.key.clone(),
            tls: self.tls.clone(),
            limits: self.limits,
        };
        let socket = dial.connect::<W>().await?;
        let (input, texts) = mpsc::channel(INPUT_PIECES);
        let (facts, output) = mpsc::channel(OUTPUT_FACTS);
        let now = Instant::now();
        let speaking = Speaking {
            dial,
            socket,
            wire,
            pieces,
            texts,
            facts,
            complained: false,
            sent_at: now,
            moved_at: now,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(speaking.run()));
        Ok(Session {
            input,
            output,
            task,
        })
    }
}

struct Dial {
    url: Url,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
    limits: SynthesizerLimits,
}

impl Dial {
    async fn connect<W: Wire>(&self) -> Result<Socket, Error> {
        let headers = W::headers(self.key.expose_secret());
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let limits = (self.limits.connect, self.limits.write);
        let refused = |refusal: Refusal| W::refused(&refusal);
        socket::connect(W::ORIGIN, &self.url, &headers, &self.tls, limits, refused).await
    }
}

struct Speaking<W> {
    dial: Dial,
    socket: Socket,
    wire: W,
    pieces: Pieces,
    texts: mpsc::Receiver<Speak>,
    facts: mpsc::Sender<Result<Spoken, Error>>,
    /// An unreadable message was told of.
    complained: bool,
    sent_at: Instant,
    /// Last sign that the vendor does its work, while it has any.
    moved_at: Instant,
}

/// Whether somebody still listens.
type Listened = bool;

impl<W: Wire> Speaking<W> {
    async fn run(mut self) {
        let Err(mut error) = self.speak().await else {
            return;
        };
        if error.kind == ErrorKind::Dropped {
            let last = self.socket.last_words().await;
            let told = last.texts.iter().find_map(|text| self.read(text).err());
            let why = |(code, words): (u16, String)| W::closed(code, &words);
            error = told.or(last.reason.map(why)).unwrap_or(error);
        }
        // A receiver that is gone wants no news.
        let _ = self.facts.send(Err(error)).await;
    }

    /// Until all is said, or somebody is gone.
    async fn speak(&mut self) -> Result<(), Error> {
        let greeting = self.wire.greet();
        self.send(greeting).await?;
        let mut more = true;
        let mut close_by = None;
        loop {
            let all_said = !more && self.pieces.is_empty();
            if self.wire.is_spent() && !all_said {
                self.redial().await?;
            }
            self.send_ready().await?;
            if all_said && close_by.is_none() {
                let Some(bye) = self.wire.bye() else {
                    return Ok(());
                };
                self.send(vec![bye]).await?;
                close_by = Some(Instant::now() + self.dial.limits.close);
            }
            let wake = close_by.unwrap_or_else(|| self.next_deadline());
            let listened = tokio::select! {
                // Input first: a cancel must not wait behind a burst of audio.
                biased;
                speak = self.texts.recv(), if more => match speak {
                    Some(Speak::Text { context, piece, text, last }) => {
                        let out = self.pieces.add(context, piece, &text, last, false);
                        if last {
                            self.end(context).await?;
                        }
                        self.tell(out).await
                    }
                    Some(Speak::Cancel { context }) => {
                        self.cancel(context).await?;
                        true
                    }
                    None => {
                        more = false;
                        let (open, out) = self.pieces.close();
                        for context in open {
                            self.end(context).await?;
                        }
                        self.tell(out).await
                    }
                },
                incoming = self.socket.next() => match incoming {
                    Ok(Incoming::Text(text)) => {
                        let news = self.read(&text)?;
                        self.hear(news).await
                    }
                    Ok(Incoming::Binary(audio)) => {
                        let news = self.wire.read_audio(audio);
                        self.hear(news).await
                    }
                    Ok(Incoming::Closed(_)) | Err(_) if close_by.is_some() => return Ok(()),
                    Ok(Incoming::Closed(Some((code, words)))) => match self.wire.presume() {
                        Some(news) if code == 1000 => self.hear(news).await,
                        _ => return Err(W::closed(code, &words)),
                    },
                    Ok(Incoming::Closed(None)) => return Err(W::ORIGIN.dropped()),
                    Err(error) => return Err(error),
                },
                () = sleep_until(wake) => {
                    if close_by.is_some() {
                        return Ok(());
                    }
                    self.overdue().await?
                }
                () = self.facts.closed() => false,
            };
            if !listened {
                return Ok(());
            }
        }
    }

    /// Sends the parts whose turn it is.
    async fn send_ready(&mut self) -> Result<(), Error> {
        while let Some(part) = self.pieces.next(W::AHEAD) {
            let (id, context, last) = (part.id, part.context, part.last);
            if !part.text.is_empty() {
                let messages = self.wire.say(part);
                if self.pieces.front_sent().is_none() {
                    self.moved_at = Instant::now();
                }
                self.send(messages).await?;
                if last {
                    let messages = self.wire.end(context);
                    self.send(messages).await?;
                }
            }
            self.pieces.sent(id);
        }
        Ok(())
    }

    /// No text follows in this context; where some still waits to be sent, the end goes with it.
    async fn end(&mut self, context: u32) -> Result<(), Error> {
        if self.pieces.is_all_sent(context) {
            let messages = self.wire.end(context);
            if !messages.is_empty() {
                self.moved_at = Instant::now();
            }
            self.send(messages).await?;
        }
        Ok(())
    }

    async fn cancel(&mut self, context: u32) -> Result<(), Error> {
        let in_flight = self.pieces.cancel(context);
        match self.wire.stop(context, in_flight) {
            Stop::Send(messages) => self.send(messages).await,
            Stop::Redial => self.redial().await,
        }
    }

    /// Takes another socket.
    async fn redial(&mut self) -> Result<(), Error> {
        self.socket = self.dial.connect::<W>().await?;
        let greeting = self.wire.greet();
        self.send(greeting).await
    }

    fn read(&mut self, text: &str) -> Result<Vec<News>, Error> {
        match serde_json::from_str(text) {
            Ok(heard) => self.wire.read(heard),
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    let vendor = W::ORIGIN.vendor;
                    tracing::warn!(vendor, %error, "unreadable message; further ones are not reported");
                }
                Ok(Vec::new())
            }
        }
    }

    async fn hear(&mut self, news: Vec<News>) -> Listened {
        for news in news {
            let out = match news {
                News::Audio { of, audio } => self.pieces.audio(of, audio),
                News::Words { of, words } => {
                    self.pieces.words(of, words);
                    Vec::new()
                }
                News::Done { of } => self.pieces.done(of),
            };
            if !out.is_empty() {
                self.moved_at = Instant::now();
            }
            if !self.tell(out).await {
                return false;
            }
        }
        true
    }

    /// When [`Self::overdue`] has something to do at the latest.
    fn next_deadline(&self) -> Instant {
        let keep_alive = self.sent_at + W::KEEP_ALIVE;
        match self.patience() {
            Some(patience) => keep_alive.min(self.moved_at + patience),
            None => keep_alive,
        }
    }

    /// How long the vendor may stand still, while it has work.
    fn patience(&self) -> Option<Duration> {
        self.pieces.front_sent()?;
        self.wire.patience(self.dial.limits.audio)
    }

    /// Ends or fails what waits in vain, else keeps the socket alive.
    async fn overdue(&mut self) -> Result<Listened, Error> {
        let now = Instant::now();
        if let Some(patience) = self.patience()
            && self.moved_at + patience <= now
        {
            return match self.wire.presume() {
                Some(news) => Ok(self.hear(news).await),
                None => Err(W::ORIGIN.no_answer(patience)),
            };
        }
        if self.sent_at + W::KEEP_ALIVE <= now {
            let message = self.wire.keep_alive();
            self.send(vec![message]).await?;
        }
        Ok(true)
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        for message in messages {
            self.sent_at = Instant::now();
            self.socket.send(message).await?;
        }
        Ok(())
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

/// Audio in base64; nothing where it is none.
pub(super) fn decoded(audio: &str) -> Option<Bytes> {
    match STANDARD.decode(audio) {
        Ok(audio) if audio.is_empty() => None,
        Ok(audio) => Some(audio.into()),
        Err(error) => {
            tracing::warn!(%error, "unreadable audio from a vendor");
            None
        }
    }
}

#[cfg(test)]
mod tests;
