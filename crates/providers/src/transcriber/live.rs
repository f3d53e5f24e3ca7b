//! What transcribers over a socket have in common: one task that sends audio, reads what the vendor says
//! of it, keeps the connection alive, and ends with a bill. A vendor is a [`Wire`].

use std::{pin::pin, sync::Arc, time::Duration};

use bolo_audio::Format;
use bytes::{Bytes, BytesMut};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::{
    Error, ErrorKind, Hear, Heard, Session,
    alarm::Alarm,
    error::Origin,
    socket::{self, Incoming, Socket},
};

/// Frames of 20 ms that may wait: 2 s.
const INPUT_FRAMES: usize = 100;
const OUTPUT_FACTS: usize = 64;
/// How long a vendor that refuses late, and says nothing before any audio, has to refuse.
const REFUSAL: Duration = Duration::from_millis(300);
/// How long a vendor has to hear that nobody listens any more.
const PARTING: Duration = Duration::from_secs(1);

/// Time limits of a session (wire-providers.md §10.4).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// DNS, TCP, TLS and upgrade together.
    pub connect: Duration,
    /// From the upgrade to the first message, where the vendor sends one before any audio.
    pub usable: Duration,
    /// One message to the vendor.
    pub write: Duration,
    /// Without audio for this long, say that we are still here.
    pub keep_alive: Duration,
    /// From the last audio to the last result and the bill.
    pub close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            usable: Duration::from_secs(2),
            write: Duration::from_secs(2),
            keep_alive: Duration::from_secs(4),
            close: Duration::from_secs(5),
        }
    }
}

/// A vendor's protocol on one connection. Pure: messages in, messages out.
pub(crate) trait Wire: Send + 'static {
    const ORIGIN: Origin;

    /// Whether the vendor's first message comes before any audio: the connection is usable from there on
    /// (wire-providers.md §7.2).
    const GREETS: bool;

    /// Whether the vendor refuses only after the upgrade, and says nothing else before any audio.
    const REFUSES_LATE: bool = false;

    /// Whether the vendor bills until it is told that it is over, be the connection there or not.
    const BILLS_UNTIL_TOLD: bool = false;

    /// The first message, where we speak first.
    fn hello(&mut self) -> Option<Message> {
        None
    }

    /// Whether the greeting is over.
    fn is_ready(&self) -> bool {
        true
    }

    /// What carries this audio; none while it waits for more.
    fn audio(&mut self, audio: Bytes) -> Option<Message>;

    /// What is said when no audio has been sent for a while.
    fn keep_alive(&self) -> Message;

    /// Ends the open turn (R29).
    fn end_turn(&mut self) -> Vec<Message>;

    /// No audio follows: gives what is there as final, then closes.
    fn finish(&mut self) -> Vec<Message>;

    /// What a message means.
    fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error>;

    /// What is to be told and sent besides: for what was heard in the audio, or in answer to a message.
    fn besides(&mut self, _heard: &mut Vec<Heard>) -> Vec<Message> {
        Vec::new()
    }

    /// Whether nothing more comes after the end of the audio, although the vendor does not close.
    fn is_done(&self) -> bool {
        false
    }

    /// What a close means that we did not ask for.
    fn closed(&self, code: u16, words: &str) -> Error;

    /// Seconds billed: of audio sent, in a session of this length.
    fn billed(&self, sent: f64, session: f64) -> f64;
}

/// Connects, and starts the session's task.
pub(crate) async fn open<W: Wire>(
    wire: W,
    url: &Url,
    authorization: &str,
    tls: &Arc<rustls::ClientConfig>,
    limits: Limits,
    format: Format,
) -> Result<Session<Hear, Heard>, Error> {
    let socket = socket::connect(
        W::ORIGIN,
        url,
        &[("authorization", authorization)],
        tls,
        (limits.connect, limits.write),
        |refusal| refusal.error(W::ORIGIN),
    )
    .await?;
    start(socket, wire, limits, format).await
}

/// Starts the session's task on an open socket.
pub(crate) async fn start<W: Wire>(
    socket: Socket,
    wire: W,
    limits: Limits,
    format: Format,
) -> Result<Session<Hear, Heard>, Error> {
    let (input, frames) = mpsc::channel(INPUT_FRAMES);
    let (facts, output) = mpsc::channel(OUTPUT_FACTS);
    let mut listening = Listening {
        socket,
        wire,
        frames,
        facts,
        limits,
        format,
        opened: Instant::now(),
        sent: 0,
        finished: false,
    };
    if let Some(hello) = listening.wire.hello() {
        listening.socket.send(hello).await?;
    }
    if W::GREETS {
        listening.greeted().await?;
    }
    if W::REFUSES_LATE {
        listening.unrefused().await?;
    }
    let session = tokio::spawn(listening.run());
    let task = match W::BILLS_UNTIL_TOLD {
        // Whoever drops it only lets go of it: it notices, has its last word, and ends.
        true => tokio::spawn(async move {
            if let Err(error) = session.await {
                tracing::error!(%error, "a transcriber's session broke down");
            }
        }),
        false => session,
    };
    Ok(Session {
        input,
        output,
        task: AbortOnDropHandle::new(task),
    })
}

struct Listening<W> {
    socket: Socket,
    wire: W,
    frames: mpsc::Receiver<Hear>,
    facts: mpsc::Sender<Result<Heard, Error>>,
    limits: Limits,
    format: Format,
    opened: Instant,
    /// Bytes of audio taken.
    sent: u64,
    /// The vendor was told that no audio follows.
    finished: bool,
}

/// The receiver of facts is gone, or all has been said.
struct Over;

impl<W: Wire> Listening<W> {
    async fn greeted(&mut self) -> Result<(), Error> {
        let limit = self.limits.usable;
        let greeting = timeout(limit, async {
            loop {
                self.first_words().await?;
                if self.wire.is_ready() {
                    return Ok(());
                }
            }
        });
        let in_time = greeting.await;
        in_time.unwrap_or_else(|_| Err(W::ORIGIN.no_answer(limit)))
    }

    async fn unrefused(&mut self) -> Result<(), Error> {
        timeout(REFUSAL, self.first_words()).await.unwrap_or(Ok(()))
    }

    /// What the vendor says before any audio; nothing of it is about the caller.
    async fn first_words(&mut self) -> Result<(), Error> {
        match self.socket.next().await? {
            Incoming::Text(text) => self.wire.read(&text, &mut Vec::new())?,
            Incoming::Binary(_) => {}
            Incoming::Closed(reason) => return Err(self.closed(reason)),
        }
        let messages = self.wire.besides(&mut Vec::new());
        self.send(messages).await
    }

    async fn run(mut self) {
        let mut outcome = self.listen().await;
        if let Err(lost) = &mut outcome
            && lost.kind == ErrorKind::Dropped
            && let Some(why) = self.last_words().await
        {
            *lost = why;
        }
        if W::BILLS_UNTIL_TOLD && outcome.is_ok() && !self.finished {
            self.part().await;
        }
        // A connection that broke was billed too.
        let sent = self.sent as f64 / self.format.bytes_per_second() as f64;
        let session = self.opened.elapsed().as_secs_f64();
        let bill = Heard::Billed(self.wire.billed(sent, session));
        // A receiver that is gone wants no news.
        if self.facts.send(Ok(bill)).await.is_ok()
            && let Err(error) = outcome
        {
            let _ = self.facts.send(Err(error)).await;
        }
    }

    /// Nobody listens any more: the vendor is told, and waited for until it has heard it.
    async fn part(&mut self) {
        let messages = self.wire.finish();
        let parting = async {
            self.send(messages).await?;
            while !matches!(self.socket.next().await?, Incoming::Closed(_)) {}
            Ok::<(), Error>(())
        };
        if !matches!(timeout(PARTING, parting).await, Ok(Ok(()))) {
            let vendor = W::ORIGIN.vendor;
            tracing::warn!(vendor, "the end of a session may not have been heard");
        }
    }

    /// What the vendor still had to say before the connection was lost, and why it was.
    async fn last_words(&mut self) -> Option<Error> {
        let last = self.socket.last_words().await;
        for text in last.texts {
            let mut heard = Vec::new();
            let read = self.wire.read(&text, &mut heard);
            // What would have to be sent is of no use any more.
            let _ = self.wire.besides(&mut heard);
            for heard in heard {
                self.facts.send(Ok(heard)).await.ok()?;
            }
            if let Err(why) = read {
                return Some(why);
            }
        }
        last.reason.map(|reason| self.closed(Some(reason)))
    }

    /// Until the vendor has said all, or somebody is gone.
    async fn listen(&mut self) -> Result<(), Error> {
        let facts = self.facts.clone();
        let mut gone = pin!(facts.closed());
        let mut alarm = Alarm::new(Instant::now() + self.limits.keep_alive);
        let mut closing = false;
        loop {
            tokio::select! {
                frame = self.frames.recv(), if !closing => match frame {
                    Some(Hear::Audio(audio)) => {
                        self.sent += audio.len() as u64;
                        if let Some(message) = self.wire.audio(audio) {
                            self.socket.send(message).await?;
                            alarm.set(Instant::now() + self.limits.keep_alive);
                        }
                        if let Err(Over) = self.besides(Vec::new()).await? {
                            return Ok(());
                        }
                    }
                    Some(Hear::EndTurn) => {
                        let messages = self.wire.end_turn();
                        self.send(messages).await?;
                        if let Err(Over) = self.besides(Vec::new()).await? {
                            return Ok(());
                        }
                    }
                    Some(Hear::Finish) | None => {
                        let messages = self.wire.finish();
                        self.finished = true;
                        self.send(messages).await?;
                        if self.wire.is_done() {
                            return self.leave().await;
                        }
                        closing = true;
                        alarm.set(Instant::now() + self.limits.close);
                    }
                },
                incoming = self.socket.next() => match incoming {
                    Ok(Incoming::Text(text)) => {
                        if let Err(Over) = self.tell(&text).await? {
                            return Ok(());
                        }
                        if closing && self.wire.is_done() {
                            return self.leave().await;
                        }
                    }
                    Ok(Incoming::Binary(_)) => {}
                    // All that was to come has come.
                    Ok(Incoming::Closed(_)) | Err(_) if closing => return Ok(()),
                    Ok(Incoming::Closed(reason)) => return Err(self.closed(reason)),
                    Err(error) => return Err(error),
                },
                () = alarm.rings() => {
                    if closing {
                        tracing::warn!(vendor = W::ORIGIN.vendor, "the transcriber did not close in time");
                        return Ok(());
                    }
                    let message = self.wire.keep_alive();
                    self.socket.send(message).await?;
                    alarm.set(Instant::now() + self.limits.keep_alive);
                }
                () = &mut gone => return Ok(()),
            }
        }
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        for message in messages {
            self.socket.send(message).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, text: &str) -> Result<Result<(), Over>, Error> {
        let mut heard = Vec::new();
        let read = self.wire.read(text, &mut heard);
        let told = self.besides(heard).await?;
        read.map(|()| told)
    }

    /// Tells what was heard, and does what is to be done besides.
    async fn besides(&mut self, mut heard: Vec<Heard>) -> Result<Result<(), Over>, Error> {
        let messages = self.wire.besides(&mut heard);
        self.send(messages).await?;
        for heard in heard {
            if self.facts.send(Ok(heard)).await.is_err() {
                return Ok(Err(Over));
            }
        }
        Ok(Ok(()))
    }

    /// Nothing more is wanted from either side.
    async fn leave(&mut self) -> Result<(), Error> {
        self.socket.close().await;
        Ok(())
    }

    fn closed(&self, reason: Option<(u16, String)>) -> Error {
        let Some((code, words)) = reason else {
            return W::ORIGIN.dropped();
        };
        let vendor = W::ORIGIN.vendor;
        tracing::warn!(vendor, code, words, "the transcriber closed the socket");
        self.wire.closed(code, &words)
    }
}

/// Gathers audio to the size that a vendor wants.
#[derive(Debug)]
pub(crate) struct Batch {
    size: usize,
    held: BytesMut,
}

impl Batch {
    /// Of this many ms.
    pub(crate) fn new(format: Format, ms: usize) -> Self {
        Self {
            size: format.bytes_per_second() * ms / 1000,
            held: BytesMut::new(),
        }
    }

    /// Adds audio; a batch, once there is one.
    pub(crate) fn add(&mut self, audio: &[u8]) -> Option<Bytes> {
        self.held.extend_from_slice(audio);
        (self.held.len() >= self.size).then(|| self.held.split().freeze())
    }

    /// Bytes of a whole one.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// What is left.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| self.held.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{LONG, left_behind};

    /// A vendor that says words, or else that there is no credit.
    struct Plain;

    impl Wire for Plain {
        const ORIGIN: Origin = Origin {
            vendor: "acme",
            role: "transcriber",
            variable: "ACME_API_KEY",
        };
        const GREETS: bool = false;

        fn audio(&mut self, audio: Bytes) -> Option<Message> {
            Some(Message::binary(audio))
        }

        fn keep_alive(&self) -> Message {
            Message::Ping(Bytes::new())
        }

        fn end_turn(&mut self) -> Vec<Message> {
            Vec::new()
        }

        fn finish(&mut self) -> Vec<Message> {
            Vec::new()
        }

        fn read(&mut self, text: &str, heard: &mut Vec<Heard>) -> Result<(), Error> {
            heard.push(Heard::Final("hello".into()));
            match text {
                "no credit" => Err(Self::ORIGIN.quota()),
                _ => Ok(()),
            }
        }

        fn closed(&self, _code: u16, _words: &str) -> Error {
            Self::ORIGIN.dropped()
        }

        fn billed(&self, sent: f64, _session: f64) -> f64 {
            sent
        }
    }

    #[tokio::test] // wire-providers.md §7.2
    async fn why_a_vendor_left_is_told_though_it_takes_no_more() {
        let (_input, frames) = mpsc::channel(INPUT_FRAMES);
        let (facts, mut output) = mpsc::channel(OUTPUT_FACTS);
        let mut listening = Listening {
            socket: left_behind(Plain::ORIGIN, "no credit").await,
            wire: Plain,
            frames,
            facts,
            limits: Limits {
                close: LONG,
                ..Limits::default()
            },
            format: Format::Mulaw8k,
            opened: Instant::now(),
            sent: 0,
            finished: false,
        };
        let why = listening.last_words().await.unwrap();
        assert_eq!(why.kind, ErrorKind::Quota);
        // Nor is lost what was heard.
        let heard = output.try_recv().unwrap().unwrap();
        assert_eq!(heard, Heard::Final("hello".into()));
    }
}
