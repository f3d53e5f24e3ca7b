//! A carrier's media socket: messages in and out through a [`MediaWire`], without ever waiting for the
//! peer. What can't be sent at once waits in a bounded queue; a peer that takes nothing for 2 s is dead
//! (R198).

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::extract::ws::{CloseFrame, Message, close_code};
use bolo_audio::Format;
use bolo_telephony::{Frame, MediaCommand, MediaError, MediaEvent, MediaWire};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::time::Instant;

use crate::{LowWater, figures};

/// A send blocked this long means that the socket is dead (R198).
const BLOCKED: Duration = Duration::from_secs(2);
/// Bytes that may wait for a slow peer: more than 2 s of any carrier's audio (wire-telephony.md §6.3).
const QUEUE_BYTES: usize = 256 * 1024;
/// Bytes that the kernel keeps for a carrier that takes none: 3 s of mu-law in JSON, half of that in 16 bits. What an
/// answer sends ahead (R69) fits; with the megabytes that the kernel takes by itself no send would ever be blocked.
const UNSENT: usize = 32 * 1024;
/// Whatever lies there is read after this, though it be less: the stream may have fallen silent behind it.
const AT_LATEST: Duration = Duration::from_millis(200);
/// What a WebSocket puts before a client's message of up to 64 KiB.
const HEADER: usize = 8;
/// A ping goes out this often.
pub(crate) const PING: Duration = Duration::from_secs(10);

/// A WebSocket, or what stands for one in a test.
pub(crate) trait Duplex:
    Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Send + Unpin
{
}
impl<T> Duplex for T where
    T: Stream<Item = Result<Message, axum::Error>>
        + Sink<Message, Error = axum::Error>
        + Send
        + Unpin
{
}

/// What came from the socket.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// A message of the carrier.
    Event(MediaEvent),
    /// The socket is gone, by the peer's close or by an error.
    Closed,
    /// The peer takes nothing any more (R198).
    Blocked,
}

/// What the stream's start told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    /// Of both directions.
    pub(crate) format: Format,
    /// The carrier's id of the call; empty where it has none.
    pub(crate) call_id: String,
}

/// See the module.
pub(crate) struct Socket {
    peer: Box<dyn Duplex>,
    wire: Box<dyn MediaWire>,
    /// What a command became, on its way to `out`.
    frames: Vec<Frame>,
    out: VecDeque<Message>,
    out_bytes: usize,
    unflushed: bool,
    blocked_since: Option<Instant>,
    ping_at: Instant,
    /// The stream's start came before the socket was handed to us.
    begun: Option<Started>,
    /// Came before that, too.
    early: Option<MediaEvent>,
    rest: Option<Rest>,
}

/// Reads some frames at once where nobody waits for each of them.
struct Rest {
    low_water: LowWater,
    /// The last message, in bytes.
    message: usize,
    /// Whatever lies there is read then; `None` as long as each message is.
    until: Option<Instant>,
}

impl Socket {
    pub(crate) fn new(peer: Box<dyn Duplex>, wire: Box<dyn MediaWire>) -> Self {
        Self {
            peer,
            wire,
            frames: Vec::new(),
            out: VecDeque::new(),
            out_bytes: 0,
            unflushed: false,
            blocked_since: None,
            ping_at: Instant::now() + PING,
            begun: None,
            early: None,
            rest: None,
        }
    }

    /// This much has to lie in the stream below before we are woken, from [`Socket::rest`] on; and what a carrier
    /// does not read is not taken off our hands for long (R198).
    pub(crate) fn with_low_water(self, low_water: LowWater) -> Self {
        low_water.set_unsent(UNSENT);
        Self {
            rest: Some(Rest {
                low_water,
                message: 0,
                until: None,
            }),
            ..self
        }
    }

    /// A socket whose stream has begun already, in this format, maybe with a message.
    pub(crate) fn begun(
        peer: Box<dyn Duplex>,
        mut wire: Box<dyn MediaWire>,
        format: Format,
        first: Option<&str>,
    ) -> Self {
        let early = first.map_or(Ok(None), |text| wire.decode(text));
        let early = early.unwrap_or_else(|error| {
            unreadable(&error);
            None
        });
        let begun = Started {
            format,
            call_id: String::new(),
        };
        Self {
            begun: Some(begun),
            early,
            ..Self::new(peer, wire)
        }
    }

    /// The carrier's id of the stream, once it began.
    pub(crate) fn stream_id(&self) -> &str {
        self.wire.stream_id()
    }

    /// The carrier echoes marks.
    pub(crate) fn marks(&self) -> bool {
        self.wire.marks()
    }

    /// Its closing by the far end is the far end's hang-up.
    pub(crate) fn is_the_call(&self) -> bool {
        self.wire.is_the_call()
    }

    /// Queues a command; it leaves with the next poll. `false` when the queue is full: the socket is dead.
    pub(crate) fn send(&mut self, command: &MediaCommand) -> bool {
        self.wire.encode(command, &mut self.frames);
        for frame in self.frames.drain(..) {
            let message = match frame {
                Frame::Text(text) => Message::Text(text.into()),
                Frame::Binary(bytes) => Message::Binary(bytes),
            };
            self.out_bytes += weight(&message);
            self.out.push_back(message);
        }
        if self.out_bytes > QUEUE_BYTES {
            metrics::counter!(figures::MEDIA_BLOCKED).increment(1);
            return false;
        }
        true
    }

    /// Whether it is to be polled though it woke nobody: there is something to send.
    pub(crate) fn is_unasked(&self, now: Instant) -> bool {
        !self.out.is_empty() || now >= self.wake_at()
    }

    /// When [`Socket::poll`] must be called at the latest.
    pub(crate) fn wake_at(&self) -> Instant {
        let blocked = self.blocked_since.map(|since| since + BLOCKED);
        let rested = self.rest.as_ref().and_then(|rest| rest.until);
        let sooner = blocked.into_iter().chain(rested).min();
        sooner.map_or(self.ping_at, |sooner| sooner.min(self.ping_at))
    }

    /// What comes next may wait until so many frames lie there. 1: for nothing.
    pub(crate) fn rest(&mut self, frames: usize, now: Instant) {
        if let Some(rest) = &mut self.rest {
            let bytes = match frames.saturating_sub(1) {
                0 => 0,
                others => others * rest.message + 1,
            };
            rest.low_water.set_unread(bytes);
            rest.until = (bytes > 0).then(|| now + AT_LATEST);
        }
    }

    /// Sends what waits, then reads. One flush for all that waits.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<Arrived> {
        if now >= self.ping_at {
            self.ping_at = now + PING;
            self.out.push_back(Message::Ping(Bytes::new()));
        }
        match self.poll_write(cx) {
            Poll::Ready(Ok(())) => self.blocked_since = None,
            Poll::Ready(Err(_)) => return Poll::Ready(Arrived::Closed),
            Poll::Pending => {
                let since = *self.blocked_since.get_or_insert(now);
                if now >= since + BLOCKED {
                    metrics::counter!(figures::MEDIA_BLOCKED).increment(1);
                    return Poll::Ready(Arrived::Blocked);
                }
            }
        }
        if let Some(event) = self.early.take() {
            return Poll::Ready(Arrived::Event(event));
        }
        if let Some(rest) = &mut self.rest
            && rest.until.is_some_and(|until| now >= until)
        {
            rest.until = None;
            rest.low_water.set_unread(0);
        }
        loop {
            let message = match Pin::new(&mut self.peer).poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(message))) => message,
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Arrived::Closed),
            };
            if let Some(rest) = &mut self.rest {
                rest.message = HEADER + weight(&message);
            }
            let read = match message {
                Message::Text(text) => self.wire.decode(&text),
                Message::Binary(bytes) => self.wire.decode_binary(bytes),
                Message::Ping(_) | Message::Pong(_) => continue,
                Message::Close(_) => return Poll::Ready(Arrived::Closed),
            };
            match read {
                Ok(Some(event)) => return Poll::Ready(Arrived::Event(event)),
                Ok(None) => {}
                Err(error) => unreadable(&error),
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), axum::Error>> {
        while !self.out.is_empty() {
            match Pin::new(&mut self.peer).poll_ready(cx)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            }
            if let Some(message) = self.out.pop_front() {
                self.out_bytes -= weight(&message);
                self.unflushed = true;
                Pin::new(&mut self.peer).start_send(message)?;
            }
        }
        if self.unflushed {
            match Pin::new(&mut self.peer).poll_flush(cx)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => self.unflushed = false,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Waits for the stream's start.
    pub(crate) async fn started(&mut self, limit: Duration) -> Option<Started> {
        if let Some(begun) = self.begun.take() {
            return Some(begun);
        }
        let wait = async {
            loop {
                match std::future::poll_fn(|cx| self.poll(cx, Instant::now())).await {
                    Arrived::Event(MediaEvent::Start {
                        format, call_id, ..
                    }) => {
                        return Some(Started { format, call_id });
                    }
                    Arrived::Event(MediaEvent::Stop) | Arrived::Closed | Arrived::Blocked => {
                        return None;
                    }
                    Arrived::Event(_) => {}
                }
            }
        };
        tokio::time::timeout(limit, wait).await.ok().flatten()
    }

    /// Says goodbye to the peer, within a second.
    pub(crate) async fn close(mut self, reason: &'static str) {
        self.close_with(close_code::NORMAL, reason).await;
    }

    /// Asks the peer to come back: the carrier then asks `resume` for what to do.
    pub(crate) async fn turn_away(mut self, reason: &'static str) {
        self.close_with(close_code::AGAIN, reason).await;
    }

    async fn close_with(&mut self, code: u16, reason: &'static str) {
        self.out.push_back(Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        })));
        let sent = std::future::poll_fn(|cx| self.poll_write(cx));
        // A peer that is gone already is as good as one that took our close.
        let _ = tokio::time::timeout(Duration::from_secs(1), sent).await;
    }
}

fn unreadable(error: &MediaError) {
    metrics::counter!(figures::MEDIA_UNREADABLE).increment(1);
    tracing::debug!(%error, "media message ignored");
}

/// What a message counts in the queue; pings and closes are nothing.
fn weight(message: &Message) -> usize {
    match message {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) => bytes.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests;
