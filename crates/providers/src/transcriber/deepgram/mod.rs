//! Deepgram's nova models over `/v1/listen`. Source: wire-providers.md §1.1.

mod messages;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bolo_audio::Format;
use bytes::Bytes;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use self::messages::{Reading, Turns};
use crate::{
    Error, ErrorKind, Hear, Heard, Session, Transcriber, TranscriberSpec,
    error::Origin,
    socket::{self, Incoming, Socket},
};

/// Where Deepgram listens.
pub const BASE_URL: &str = "wss://api.deepgram.com";

pub(crate) const ORIGIN: Origin = Origin {
    vendor: "deepgram",
    role: "transcriber",
    variable: "DEEPGRAM_API_KEY",
};

/// Frames of 20 ms that may wait: 2 s.
const INPUT_FRAMES: usize = 100;
const OUTPUT_FACTS: usize = 64;

/// Time limits of a session (wire-providers.md §1.1, §10.4).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// DNS, TCP, TLS and upgrade together.
    pub connect: Duration,
    /// One message to the vendor.
    pub write: Duration,
    /// Without audio for this long, say that we are still here; Deepgram hangs up after 10 s.
    pub keep_alive: Duration,
    /// From the last audio to the last result and the bill.
    pub close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            write: Duration::from_secs(2),
            keep_alive: Duration::from_secs(4),
            close: Duration::from_secs(5),
        }
    }
}

/// Deepgram with a key.
pub struct Deepgram {
    base_url: String,
    key: SecretString,
    tls: Arc<rustls::ClientConfig>,
    limits: Limits,
}

impl Deepgram {
    /// `base_url` with its scheme and without `/v1/listen`.
    pub fn new(
        base_url: &str,
        key: SecretString,
        tls: Arc<rustls::ClientConfig>,
        limits: Limits,
    ) -> Self {
        Self {
            base_url: base_url.to_owned(),
            key,
            tls,
            limits,
        }
    }
}

#[async_trait]
impl Transcriber for Deepgram {
    fn name(&self) -> &'static str {
        ORIGIN.vendor
    }

    async fn open(&self, spec: &TranscriberSpec) -> Result<Session<Hear, Heard>, Error> {
        let url = listen_url(&self.base_url, spec)?;
        let key = format!("Token {}", self.key.expose_secret());
        let limits = (self.limits.connect, self.limits.write);
        let refused = |refusal: socket::Refusal| refusal.error(ORIGIN);
        let socket = socket::connect(
            ORIGIN,
            &url,
            &[("authorization", key.as_str())],
            &self.tls,
            limits,
            refused,
        )
        .await?;
        let (input, frames) = mpsc::channel(INPUT_FRAMES);
        let (facts, output) = mpsc::channel(OUTPUT_FACTS);
        let listening = Listening {
            socket,
            frames,
            facts,
            format: spec.format,
            limits: self.limits,
            turns: Turns::default(),
            sent: 0,
            billed: None,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(listening.run()));
        Ok(Session {
            input,
            output,
            task,
        })
    }
}

/// The address with the agent's wishes as its query.
fn listen_url(base: &str, spec: &TranscriberSpec) -> Result<Url, Error> {
    let mut url = socket::address(ORIGIN, base, &["v1", "listen"])?;
    let language = match spec.language.split_once('-') {
        Some(("multi", _)) => "multi",
        _ => &spec.language,
    };
    let encoding = match spec.format {
        Format::Mulaw8k => "mulaw",
        Format::Pcm16 { .. } => "linear16",
    };
    let mut query = url.query_pairs_mut();
    query
        .append_pair("model", &spec.model)
        .append_pair("language", language)
        .append_pair("encoding", encoding)
        .append_pair("sample_rate", &spec.format.rate().to_string())
        .append_pair("channels", "1")
        .append_pair("interim_results", "true")
        .append_pair("endpointing", &spec.endpointing_ms.to_string())
        .append_pair(
            "utterance_end_ms",
            &spec.endpointing_ms.max(1000).to_string(),
        )
        .append_pair("vad_events", "true")
        .append_pair("smart_format", "true");
    if language == "en" || language.starts_with("en-") {
        query.append_pair("filler_words", "true");
    }
    // Either name is refused by the other family of models.
    let term = if spec.model.starts_with("nova-3") {
        "keyterm"
    } else {
        "keywords"
    };
    for word in spec
        .keywords
        .iter()
        .map(|word| word.trim())
        .filter(|word| !word.is_empty())
    {
        query.append_pair(term, word);
    }
    drop(query);
    Ok(url)
}

struct Listening {
    socket: Socket,
    frames: mpsc::Receiver<Hear>,
    facts: mpsc::Sender<Result<Heard, Error>>,
    format: Format,
    limits: Limits,
    turns: Turns,
    /// Bytes of audio sent.
    sent: u64,
    /// As the vendor counts, seconds.
    billed: Option<f64>,
}

impl Listening {
    async fn run(mut self) {
        let mut outcome = self.listen().await;
        if outcome
            .as_ref()
            .is_err_and(|error| error.kind == ErrorKind::Dropped)
            && let Some(reason) = self.socket.last_words().await
        {
            outcome = Err(closed(Some(reason)));
        }
        // A connection that broke was billed too; the vendor counts what it was sent.
        let seconds = self.sent as f64 / self.format.bytes_per_second() as f64;
        let bill = Heard::Billed(self.billed.unwrap_or(seconds));
        // A receiver that is gone wants no news.
        if self.facts.send(Ok(bill)).await.is_ok()
            && let Err(error) = outcome
        {
            let _ = self.facts.send(Err(error)).await;
        }
    }

    /// Until the vendor has said all, or somebody is gone.
    async fn listen(&mut self) -> Result<(), Error> {
        let mut quiet_until = Instant::now() + self.limits.keep_alive;
        let mut close_by = None;
        loop {
            tokio::select! {
                frame = self.frames.recv(), if close_by.is_none() => match frame {
                    Some(Hear::Audio(audio)) => {
                        // An empty frame would close the stream.
                        if !audio.is_empty() {
                            self.send_audio(audio).await?;
                            quiet_until = Instant::now() + self.limits.keep_alive;
                        }
                    }
                    Some(Hear::EndTurn) => {
                        self.socket.send(Message::text(r#"{"type":"Finalize"}"#)).await?;
                    }
                    Some(Hear::Finish) | None => {
                        self.socket.send(Message::text(r#"{"type":"CloseStream"}"#)).await?;
                        close_by = Some(Instant::now() + self.limits.close);
                    }
                },
                incoming = self.socket.next() => match incoming {
                    Ok(Incoming::Text(text)) => {
                        if !self.tell(&text).await? {
                            return Ok(());
                        }
                    }
                    Ok(Incoming::Binary(_)) => {}
                    // After CloseStream all that was to come has come.
                    Ok(Incoming::Closed(_)) | Err(_) if close_by.is_some() => return Ok(()),
                    Ok(Incoming::Closed(reason)) => return Err(closed(reason)),
                    Err(error) => return Err(error),
                },
                () = sleep_until(close_by.unwrap_or(quiet_until)) => match close_by {
                    Some(_) => {
                        tracing::warn!("deepgram did not close in time");
                        return Ok(());
                    }
                    None => {
                        self.socket.send(Message::text(r#"{"type":"KeepAlive"}"#)).await?;
                        quiet_until = Instant::now() + self.limits.keep_alive;
                    }
                },
                () = self.facts.closed() => return Ok(()),
            }
        }
    }

    async fn send_audio(&mut self, audio: Bytes) -> Result<(), Error> {
        self.sent += audio.len() as u64;
        self.socket.send(Message::binary(audio)).await
    }

    /// Tells what a message means; `false` when nobody listens any more.
    async fn tell(&mut self, text: &str) -> Result<bool, Error> {
        let heard = match self.turns.read(text) {
            Reading::Heard(heard) => heard,
            Reading::Duration(seconds) => {
                self.billed = Some(seconds);
                return Ok(true);
            }
            Reading::Failure(words) => {
                tracing::warn!(words, "deepgram reports a failure");
                return Err(ORIGIN.server("in the stream"));
            }
            Reading::Nothing => return Ok(true),
        };
        Ok(self.facts.send(Ok(heard)).await.is_ok())
    }
}

/// What a close that we did not ask for means.
fn closed(reason: Option<(u16, String)>) -> Error {
    let Some((code, words)) = reason else {
        return ORIGIN.dropped();
    };
    tracing::warn!(code, words, "deepgram closed the socket");
    match code {
        1002 | 1003 | 1007 | 1008 => ORIGIN.rejected(&words),
        1013 => ORIGIN.rate_limited(None),
        _ => ORIGIN.dropped(),
    }
}

#[cfg(test)]
mod tests;
