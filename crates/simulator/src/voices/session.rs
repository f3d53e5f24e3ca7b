//! One connection of a vendor that speaks over a socket: what the client says goes to the vendor's wire,
//! what that wants sent goes out at a vendor's pace, with the fault of this connection.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Desk, Fault,
    outbox::{Item, Outbox},
};
use crate::{jitter::Dice, vendor::close};

/// What vendors call the label of an utterance.
const LABELS: [&str; 3] = ["context_id", "contextId", "request_id"];

/// A vendor's side of one connection.
pub(super) trait Wire: Send + 'static {
    /// A client that says nothing for this long is closed on.
    const IDLE: (Duration, u16, &'static str);

    /// The first messages, before the client says anything.
    fn greet(&mut self, _out: &mut Outbox) {}

    /// What the client says, as JSON; `Err`: the close that it earns.
    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)>;

    /// How a client is told that its key is wrong, its quota used up, or the vendor at fault.
    fn refuse(&self, why: Why) -> Value;
}

/// Why a client that was let in is turned away.
#[derive(Clone, Copy)]
pub(super) enum Why {
    Key,
    Quota,
    /// The vendor's own failure.
    Failure,
}

pub(super) struct Session<W> {
    desk: Arc<Desk>,
    dice: Dice,
    fault: Option<Fault>,
    wire: W,
    out: Outbox,
    /// When the next item goes out.
    next: Option<Instant>,
    /// Chunks sent.
    sent: u32,
    /// It reads nothing until then.
    deaf_until: Option<Instant>,
}

enum Then {
    Listen,
    End,
}

impl<W: Wire> Session<W> {
    pub fn new(desk: Arc<Desk>, fault: Option<Fault>, wire: W) -> Self {
        Self {
            dice: desk.dice(desk.options.jitter),
            desk,
            fault,
            wire,
            out: Outbox::default(),
            next: None,
            sent: 0,
            deaf_until: None,
        }
    }

    pub async fn run(mut self, mut socket: WebSocket) {
        self.wire.greet(&mut self.out);
        self.plan(Duration::ZERO);
        let (patience, code, reason) = W::IDLE;
        let mut idle = Instant::now() + patience;
        loop {
            let due = self.next.unwrap_or(idle);
            let deaf = self.deaf_until.filter(|until| *until > Instant::now());
            tokio::select! {
                biased;
                () = sleep_until(due), if self.next.is_some() => {
                    if matches!(self.send_next(&mut socket).await, Then::End) {
                        return;
                    }
                }
                () = sleep_until(deaf.unwrap_or(idle)), if deaf.is_some() => {}
                read = timeout_at(idle, socket.recv()), if deaf.is_none() => match read {
                    Err(_) => return close(&mut socket, code, reason).await,
                    Ok(Some(Ok(Message::Text(text)))) => {
                        idle = Instant::now() + patience;
                        if matches!(self.take(&text, &mut socket).await, Then::End) {
                            return;
                        }
                    }
                    Ok(Some(Ok(Message::Close(_))) | None | Some(Err(_))) => return,
                    Ok(Some(Ok(_))) => idle = Instant::now() + patience,
                },
            }
        }
    }

    async fn take(&mut self, text: &str, socket: &mut WebSocket) -> Then {
        let why = match &self.fault {
            Some(Fault::KeyMessage) => Some(Why::Key),
            Some(Fault::QuotaMessage) => Some(Why::Quota),
            _ => None,
        };
        if let Some(why) = why {
            return self.refuse(why, 1008, socket).await;
        }
        if let (Some(Fault::Deaf(ms)), None) = (&self.fault, self.deaf_until) {
            self.deaf_until = Some(Instant::now() + Duration::from_millis(*ms));
        }
        let taken = match serde_json::from_str(text) {
            Ok(said) => self.wire.take(said, &mut self.out),
            Err(_) => Err((1003, "not JSON")),
        };
        if let Err((code, reason)) = taken {
            close(socket, code, reason).await;
            return Then::End;
        }
        self.desk.bill(self.out.take_bill());
        if self.next.is_none() {
            self.plan(Duration::ZERO);
        }
        Then::Listen
    }

    /// Tells why, and closes.
    async fn refuse(&self, why: Why, code: u16, socket: &mut WebSocket) -> Then {
        let told = Message::text(self.wire.refuse(why).to_string());
        if let Then::Listen = sent(socket.send(told).await) {
            close(socket, code, "").await;
        }
        // What is unread at the end would take the words with it.
        stalled(socket).await
    }

    /// Sets when the next item goes out: after the audio before it, and after the vendor's own time where
    /// it begins a generation.
    fn plan(&mut self, after: Duration) {
        let late = match self.fault {
            Some(Fault::DelayFirst(ms)) if self.sent == 0 => Duration::from_millis(ms),
            _ => Duration::ZERO,
        };
        let own = match self.out.starts_generation() {
            true => self.dice.delay(self.desk.options.first_byte) + late,
            false => Duration::ZERO,
        };
        self.next = (!self.out.is_empty()).then(|| Instant::now() + after.max(own));
    }

    async fn send_next(&mut self, socket: &mut WebSocket) -> Then {
        match self.fault {
            Some(Fault::PausesAfter(count, ms)) if self.sent >= count => {
                self.fault = None;
                self.next = Some(Instant::now() + Duration::from_millis(ms));
                return Then::Listen;
            }
            _ => {}
        }
        let mut after = Duration::ZERO;
        let mut messages = match self.out.next() {
            None => Vec::new(),
            Some(Item::Close(code, reason)) => {
                close(socket, code, &reason).await;
                return Then::End;
            }
            Some(Item::Tell { .. }) if self.fault == Some(Fault::NoEnd) && self.sent > 0 => {
                Vec::new()
            }
            Some(Item::Tell { message, .. }) => vec![message],
            Some(Item::Audio { messages, ms, .. }) => {
                after = Duration::from_secs_f64(ms as f64 / 1000.0 / self.desk.options.speed);
                match self.fault {
                    Some(Fault::LostAfter(count)) if self.sent >= count => return Then::End,
                    Some(Fault::CloseAfter(count, code)) if self.sent >= count => {
                        close(socket, code, "").await;
                        return Then::End;
                    }
                    Some(Fault::FailsAfter(count)) if self.sent >= count => {
                        return self.refuse(Why::Failure, 1011, socket).await;
                    }
                    Some(Fault::StallAfter(count)) if self.sent >= count => {
                        // The queue stands still.
                        self.next = None;
                        self.out = Outbox::default();
                        return stalled(socket).await;
                    }
                    Some(Fault::NoAudio) => Vec::new(),
                    Some(Fault::WrongContext) => {
                        let mut all: Vec<_> = messages.iter().filter_map(foreign).collect();
                        all.extend(messages);
                        all
                    }
                    Some(Fault::Garbage) => prefixed("{\"type\":\"", messages),
                    Some(Fault::UnknownMessages) => {
                        let novelty =
                            json!({"type": "novelty", "status": "novelty", "since": 2027});
                        prefixed(&novelty.to_string(), messages)
                    }
                    _ => messages,
                }
            }
        };
        self.sent += u32::from(after > Duration::ZERO);
        self.plan(after);
        for message in messages.drain(..) {
            if let Then::End = sent(socket.send(message).await) {
                return Then::End;
            }
        }
        Then::Listen
    }
}

/// Reads, and says nothing, until the client leaves.
async fn stalled(socket: &mut WebSocket) -> Then {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Close(_)) {
            break;
        }
    }
    Then::End
}

fn prefixed(text: &str, messages: Vec<Message>) -> Vec<Message> {
    let mut all = vec![Message::text(text.to_owned())];
    all.extend(messages);
    all
}

/// The message with another label, where it has one.
fn foreign(message: &Message) -> Option<Message> {
    let mut told: Value = serde_json::from_str(message.to_text().ok()?).ok()?;
    let label = LABELS.iter().find(|name| told[**name].is_string())?;
    told[*label] = "nobody".into();
    Some(Message::text(told.to_string()))
}

fn sent(result: Result<(), axum::Error>) -> Then {
    match result {
        Ok(()) => Then::Listen,
        Err(error) => {
            tracing::debug!(%error, "the client left");
            Then::End
        }
    }
}
