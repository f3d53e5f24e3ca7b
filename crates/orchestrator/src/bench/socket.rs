//! A media socket without a network, and a wire one can read.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::extract::ws::Message;
use bolo_audio::Format;
use bolo_telephony::{Frame, MediaCommand, MediaError, MediaEvent, MediaWire};
use bytes::Bytes;
use futures_util::{Sink, Stream};
use tokio::{sync::mpsc, time::Instant};

use crate::media::Socket;

/// One end of a socket between test and call.
pub(crate) struct Peer {
    from_call: mpsc::Receiver<(Instant, Message)>,
    to_call: Option<mpsc::Sender<Message>>,
    blocked: Arc<AtomicBool>,
    stamp: u64,
    /// What came from the call, so far as it was looked at.
    pub(crate) seen: Vec<(Instant, MediaCommand)>,
}

struct End {
    to_peer: mpsc::Sender<(Instant, Message)>,
    from_peer: mpsc::Receiver<Message>,
    blocked: Arc<AtomicBool>,
}

impl Stream for End {
    type Item = Result<Message, axum::Error>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.from_peer.poll_recv(cx).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for End {
    type Error = axum::Error;
    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if self.blocked.load(Ordering::Relaxed) {
            Poll::Pending
        } else {
            Poll::Ready(Ok(()))
        }
    }
    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), Self::Error> {
        self.to_peer
            .try_send((Instant::now(), message))
            .map_err(axum::Error::new)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.poll_ready(cx)
    }
    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }
}

/// A wire for the eye: `audio 40 <hex>`, `mark 1:1`, `dtmf 5`, `stop`, `start`.
struct PlainWire {
    format: Format,
}

impl MediaWire for PlainWire {
    fn decode(&mut self, text: &str) -> Result<Option<MediaEvent>, MediaError> {
        let mut words = text.split(' ');
        Ok(Some(match (words.next(), words.next(), words.next()) {
            (Some("start"), ..) => MediaEvent::Start {
                call_id: "CA1".into(),
                parameters: Vec::new(),
                format: self.format,
            },
            (Some("audio"), Some(at), Some(bytes)) => MediaEvent::Audio {
                payload: unhex(bytes),
                timestamp_ms: at.parse().unwrap(),
            },
            (Some("mark"), Some(name), _) => MediaEvent::Mark(name.into()),
            (Some("dtmf"), Some(digit), _) => MediaEvent::Dtmf(digit.chars().next().unwrap()),
            (Some("stop"), ..) => MediaEvent::Stop,
            _ => return Err(MediaError(text.into())),
        }))
    }

    fn encode(&mut self, command: &MediaCommand, out: &mut Vec<Frame>) {
        out.push(Frame::Text(match command {
            MediaCommand::Audio(audio) => format!("audio {}", hex(audio)),
            MediaCommand::Mark(name) => format!("mark {name}"),
            MediaCommand::Clear => "clear".into(),
            MediaCommand::Flush => return,
        }));
    }

    fn marks(&self) -> bool {
        true
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// A socket for the call and the other end of it.
pub(crate) fn socket() -> (Socket, Peer) {
    let (to_peer, from_call) = mpsc::channel(4096);
    let (to_call, from_peer) = mpsc::channel(4096);
    let blocked = Arc::new(AtomicBool::new(false));
    let end = End {
        to_peer,
        from_peer,
        blocked: blocked.clone(),
    };
    let wire = PlainWire {
        format: Format::Mulaw8k,
    };
    let peer = Peer {
        from_call,
        to_call: Some(to_call),
        blocked,
        stamp: 0,
        seen: Vec::new(),
    };
    (Socket::new(Box::new(end), Box::new(wire)), peer)
}

impl Peer {
    pub(crate) fn says(&self, text: &str) {
        if let Some(to_call) = &self.to_call {
            let _ = to_call.try_send(Message::Text(text.into()));
        }
    }

    /// 20 ms of caller audio, all of one byte.
    pub(crate) fn frame(&mut self, byte: u8) {
        self.says(&format!("audio {} {}", self.stamp, hex(&[byte; 160])));
        self.stamp += 20;
    }

    /// `ms` of the caller's stream are lost on their way.
    pub(crate) fn skip(&mut self, ms: u64) {
        self.stamp += ms;
    }

    /// Takes nothing any more.
    pub(crate) fn block(&self) {
        self.blocked.store(true, Ordering::Relaxed);
    }

    /// Closes without a stop.
    pub(crate) fn vanish(&mut self) {
        self.to_call = None;
    }

    /// Looks at what came meanwhile; `false` when the call has closed the socket.
    pub(crate) fn look(&mut self) -> bool {
        loop {
            match self.from_call.try_recv() {
                Ok((at, Message::Text(text))) => self.seen.push((at, read(&text))),
                Ok((_, Message::Close(_))) | Err(mpsc::error::TryRecvError::Disconnected) => {
                    return false;
                }
                Ok(_) => {}
                Err(mpsc::error::TryRecvError::Empty) => return true,
            }
        }
    }

    /// Waits until the call sends something that fits.
    pub(crate) async fn sees(&mut self, fits: impl Fn(&MediaCommand) -> bool) -> Instant {
        loop {
            match self.from_call.recv().await {
                Some((at, Message::Text(text))) => {
                    let command = read(&text);
                    self.seen.push((at, command.clone()));
                    if fits(&command) {
                        return at;
                    }
                }
                Some(_) => {}
                None => panic!("the call closed its socket; it had sent {:?}", self.names()),
            }
        }
    }

    /// All that was seen, shortly.
    pub(crate) fn names(&self) -> Vec<String> {
        self.seen
            .iter()
            .map(|(_, command)| match command {
                MediaCommand::Audio(audio) => format!("audio {}", audio.len() / 8),
                MediaCommand::Mark(name) => format!("mark {name}"),
                MediaCommand::Clear => "clear".to_owned(),
                MediaCommand::Flush => "flush".to_owned(),
            })
            .collect()
    }

    pub(crate) fn audio_ms(&self) -> u64 {
        self.seen
            .iter()
            .map(|(_, command)| match command {
                MediaCommand::Audio(audio) => audio.len() as u64 / 8,
                _ => 0,
            })
            .sum()
    }
}

fn read(text: &str) -> MediaCommand {
    match text.split_once(' ') {
        Some(("audio", bytes)) => MediaCommand::Audio(unhex(bytes)),
        Some(("mark", name)) => MediaCommand::Mark(name.into()),
        _ => MediaCommand::Clear,
    }
}
