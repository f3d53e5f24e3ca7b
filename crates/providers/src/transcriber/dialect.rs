//! From what a vendor says to what is told of a turn: caller audio goes out in the vendor's format and
//! batches, messages are read as typed JSON, and a [`Turn`] puts in order what they mean. What differs
//! between vendors is a [`Dialect`].

use std::{sync::Arc, time::Duration};

use bolo_audio::{Converter, Format, Vad, VadSettings};
use bytes::Bytes;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio_tungstenite::tungstenite::Message;

use super::{
    endpointing::{Ends, Turn},
    live::{self, Batch, Limits, Wire},
};
use crate::{
    Error, ErrorKind, Hear, Heard, Session, TranscriberSpec, error::Origin, socket::Socket,
};

/// Silence that makes an edge of our own voice detector, ms; endpointing counts from where it began.
const EDGE_MS: u64 = 160;

/// What leads to a vendor.
pub struct Access {
    /// Scheme and host, as the vendor's module says.
    pub base_url: String,
    /// The key.
    pub key: SecretString,
    /// For its socket.
    pub tls: Arc<rustls::ClientConfig>,
    /// For what is asked before the socket opens.
    pub http: reqwest::Client,
    /// How long things may take.
    pub limits: Limits,
}

impl Access {
    pub(crate) fn socket_limits(&self) -> (Duration, Duration) {
        (self.limits.connect, self.limits.write)
    }
}

/// When a vendor's socket is usable (wire-providers.md §7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ready {
    /// As soon as it is open.
    Open,
    /// When the vendor has not refused for a while.
    Unrefused,
    /// When the vendor says so.
    Told,
}

/// How it goes on after a message.
#[derive(Debug, PartialEq)]
pub(crate) enum Next {
    Listen,
    /// The vendor listens.
    Ready,
    /// This is to be answered.
    Answer(Message),
    /// The vendor has said all.
    Done,
}

/// One vendor's protocol on one connection.
pub(crate) trait Dialect: Send + 'static {
    /// Any message of the vendor. Types and fields that we don't know pass by.
    type Incoming: DeserializeOwned;

    /// Whose failures these are.
    const ORIGIN: Origin;
    const READY: Ready;
    /// Audio of one message, ms.
    const BATCH_MS: usize;

    /// The first message, if we speak first.
    fn hello(&mut self) -> Option<Message> {
        None
    }

    /// Never empty: to several vendors that is the end.
    fn audio(&mut self, audio: Bytes) -> Message;

    fn keep_alive(&self) -> Message {
        Message::Ping(Bytes::new())
    }

    /// Asks for the words that the vendor still holds back. A vendor that can't be asked tells what there is.
    fn flush(&mut self, heard: &mut Vec<Heard>) -> Option<Message>;

    /// No more audio comes. Nothing to say: nothing to wait for.
    fn finish(&mut self) -> Vec<Message>;

    /// What a message means, in order.
    fn read(&mut self, message: Self::Incoming, heard: &mut Vec<Heard>) -> Result<Next, Error>;

    /// What a close that we did not ask for means.
    fn closed(&self, code: u16, words: &str) -> Error {
        match code {
            1003 | 1007 => Self::ORIGIN.rejected(words),
            1013 => Self::ORIGIN.rate_limited(None),
            _ => Self::ORIGIN.dropped(),
        }
    }

    /// Seconds billed, where the vendor tells; else those that were sent.
    fn billed_s(&self) -> Option<f64> {
        None
    }
}

/// Starts the session on an open socket. `format` is what the vendor takes.
pub(crate) async fn start<D: Dialect>(
    socket: Socket,
    dialect: D,
    spec: &TranscriberSpec,
    format: Format,
    ends: Ends,
    limits: Limits,
) -> Result<Session<Hear, Heard>, Error> {
    let unfit =
        |error: bolo_audio::Error| D::ORIGIN.fault(ErrorKind::BadRequest, error.to_string());
    let vad = match ends {
        Ends::Vendor => None,
        Ends::Silence(endpointing_ms) => {
            let settings = VadSettings {
                silence_ms: EDGE_MS.min(endpointing_ms),
                ..VadSettings::default()
            };
            Some(Vad::new(spec.format, settings).map_err(unfit)?)
        }
    };
    let normal = Normal {
        dialect,
        converter: Converter::new(spec.format, format).map_err(unfit)?,
        batch: Batch::new(format, D::BATCH_MS),
        vad,
        turn: Turn::new(ends),
        told: Vec::new(),
        waiting: Vec::new(),
        ready: D::READY != Ready::Told,
        done: false,
        complained: false,
    };
    live::start(socket, normal, limits, spec.format).await
}

/// A dialect as the session's task wants it.
struct Normal<D> {
    dialect: D,
    converter: Converter,
    batch: Batch,
    /// Where silence ends turns.
    vad: Option<Vad>,
    turn: Turn,
    /// What is to be told.
    told: Vec<Heard>,
    /// What is to be sent.
    waiting: Vec<Message>,
    ready: bool,
    done: bool,
    /// Garbage was reported already.
    complained: bool,
}

impl<D: Dialect> Normal<D> {
    fn put_in_order(&mut self, heard: Vec<Heard>) {
        for heard in heard {
            self.turn.tell(heard, &mut self.told);
        }
    }

    /// The audio held back, and the question for the words held back.
    fn flush(&mut self) -> Vec<Message> {
        let rest = self.batch.rest().map(|audio| self.dialect.audio(audio));
        let mut heard = Vec::new();
        let question = self.dialect.flush(&mut heard);
        self.put_in_order(heard);
        rest.into_iter().chain(question).collect()
    }
}

impl<D: Dialect> Wire for Normal<D> {
    const ORIGIN: Origin = D::ORIGIN;
    const GREETS: bool = matches!(D::READY, Ready::Told);
    const REFUSES_LATE: bool = matches!(D::READY, Ready::Unrefused);

    fn hello(&mut self) -> Option<Message> {
        self.dialect.hello()
    }

    fn is_ready(&self) -> bool {
        self.ready
    }

    fn audio(&mut self, audio: Bytes) -> Option<Message> {
        let mut is_quiet = false;
        if let Some(vad) = &mut self.vad {
            for edge in vad.push(&audio) {
                self.turn.voice(edge, &mut self.told);
            }
            is_quiet = self.turn.clock(vad.now_ms(), &mut self.told);
        }
        let audio = self.batch.add(&self.converter.convert(audio));
        let message = audio.map(|audio| self.dialect.audio(audio));
        if is_quiet {
            let flush = self.flush();
            self.waiting.extend(flush);
        }
        message
    }

    fn keep_alive(&self) -> Message {
        self.dialect.keep_alive()
    }

    fn end_turn(&mut self) -> Vec<Message> {
        match self.turn.end_asked(&mut self.told) {
            true => self.flush(),
            false => Vec::new(),
        }
    }

    fn finish(&mut self) -> Vec<Message> {
        let last = self.batch.add(&self.converter.flush());
        let audio = last.or_else(|| self.batch.rest());
        let audio = audio.map(|audio| self.dialect.audio(audio));
        let last_words = self.dialect.finish();
        self.done = last_words.is_empty();
        audio.into_iter().chain(last_words).collect()
    }

    fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error> {
        let message = match serde_json::from_str(text) {
            Ok(message) => message,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    let vendor = D::ORIGIN.vendor;
                    tracing::warn!(vendor, %error, "unreadable message; further ones are not reported");
                }
                return Ok(());
            }
        };
        let mut said = Vec::new();
        let next = self.dialect.read(message, &mut said);
        self.put_in_order(said);
        heard.append(&mut self.told);
        match next? {
            Next::Listen => {}
            Next::Ready => self.ready = true,
            Next::Answer(message) => self.waiting.push(message),
            Next::Done => self.done = true,
        }
        Ok(())
    }

    fn besides(&mut self, heard: &mut Vec<Heard>) -> Vec<Message> {
        heard.append(&mut self.told);
        std::mem::take(&mut self.waiting)
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn closed(&self, code: u16, words: &str) -> Error {
        self.dialect.closed(code, words)
    }

    fn billed(&self, sent: f64, _session: f64) -> f64 {
        self.dialect.billed_s().unwrap_or(sent)
    }
}

#[cfg(test)]
mod tests;
