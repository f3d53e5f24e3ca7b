//! What all fakes of transcribers have in common: a session that hears audio by the frame, says what the
//! vendor's [`Wire`] makes of it after the vendor's delay, and misbehaves as told.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{
    extract::ws::{Message, WebSocket},
    http::HeaderMap,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::{
    coming::TooMany,
    g711,
    jitter::Dice,
    vendor::{self, Desk, Struck, close, strike},
};

/// Messages not yet sent; a client that reads nothing loses the oldest.
const ROOM: usize = 1000;

/// What goes wrong with one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Refused as the vendor does for what this HTTP status means.
    Status(u16),
    /// The connection is lost without a close frame after so much audio, ms.
    LostAfter(u64),
    /// Closed with this code and reason after so much audio, ms.
    CloseAfter {
        /// Audio heard, ms.
        ms: u64,
        /// Close code.
        code: u16,
        /// Close reason.
        reason: String,
    },
    /// Says nothing any more after so much audio, ms, and keeps the socket open.
    SilentAfter(u64),
    /// Reports a failure of its own after so much audio, ms, and closes.
    FailsAfter(u64),
    /// Its first message comes so much later, ms.
    DelayFirst(u64),
    /// Says nothing after so much audio, for so long; then what it had to say.
    PausesAfter {
        /// Audio heard, ms.
        ms: u64,
        /// How long, ms.
        lasts_ms: u64,
    },
    /// Reads nothing after so much audio, for so long.
    DeafAfter {
        /// Audio heard, ms.
        ms: u64,
        /// How long, ms.
        lasts_ms: u64,
    },
    /// Final texts, and what comes after them, come so much later, ms.
    LateFinals(u64),
    /// Each final text comes twice.
    DoubleFinals,
    /// `UtteranceEnd` never comes.
    NoUtteranceEnd,
    /// Each result is preceded by text that is no JSON.
    Garbage,
    /// Each result is preceded by a message type nobody has heard of.
    UnknownMessages,
    /// No turn is ever ended, unless the client asks for it.
    NeverEnds,
    /// The end of a turn is expected too soon: after two words, whatever follows. Only where the vendor
    /// tells of expected ends.
    Hasty,
}

impl TooMany for Fault {
    fn too_many() -> Self {
        Self::Status(429)
    }
}

/// Sees what a fake sends.
pub type Observer = Arc<dyn Fn(&Sent) + Send + Sync>;

/// A text that was sent to the client.
#[derive(Debug, Clone)]
pub struct Sent {
    /// When.
    pub at: std::time::Instant,
    /// The transcript of the window.
    pub text: String,
    /// It ends the turn.
    pub ends_turn: bool,
    /// It will not change.
    pub is_final: bool,
}

/// How fast a fake is, and who watches it.
pub(crate) struct Pace {
    /// How long a message takes after the audio that caused it.
    pub delay: Duration,
    /// How that scatters.
    pub dice: Dice,
    /// Told of every text sent, the moment it is sent.
    pub observer: Option<Observer>,
}

/// One vendor's protocol on one connection. Its time is the audio's.
pub(crate) trait Wire: Send {
    /// Without a message for so long the vendor closes: code and reason.
    const IDLE: (Duration, u16, &'static str);

    /// What is said before anything is heard.
    fn greet(&mut self, _out: &mut Out) {}

    /// A text or binary message of the client.
    fn take(&mut self, message: &Message, out: &mut Out) -> Then;

    /// How the vendor reports a failure of its own, and closes then: code and reason.
    fn failure(&self) -> (Value, u16, &'static str);

    /// Audio heard so far, ms.
    fn heard_ms(&self) -> u64;

    /// What is billed of it, ms.
    fn billed_ms(&self) -> u64 {
        self.heard_ms()
    }
}

/// How a connection goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Then {
    Listen,
    /// What was said is sent; then the socket is closed with this code and reason.
    Close(u16, String),
}

/// What a wire says, in order.
#[derive(Debug, Default)]
pub(crate) struct Out(Vec<(Value, Option<Sent>)>);

impl Out {
    /// Says a message without a transcript.
    pub fn say(&mut self, message: Value) {
        self.0.push((message, None));
    }

    /// Says a transcript.
    pub fn tell(&mut self, message: Value, text: String, is_final: bool, ends_turn: bool) {
        let sent = Sent {
            at: std::time::Instant::now(),
            text,
            ends_turn,
            is_final,
        };
        self.0.push((message, Some(sent)));
    }
}

/// Cuts a client's audio into 20 ms of mu-law.
#[derive(Debug, Default)]
pub(crate) struct Frames(Vec<u8>);

impl Frames {
    /// Adds mu-law, or 16-bit samples of 8 kHz; the whole frames that there are now.
    pub fn add(&mut self, audio: &[u8], linear16: bool) -> Vec<u8> {
        if linear16 {
            let samples = audio
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            self.0.extend(samples.map(g711::encode));
        } else {
            self.0.extend_from_slice(audio);
        }
        let whole = self.0.len() / g711::FRAME * g711::FRAME;
        self.0.drain(..whole).collect()
    }
}

/// What goes wrong with the connection that these headers ask for.
pub(crate) fn next_fault<O>(desk: &Desk<O, Fault>, headers: &HeaderMap) -> Option<Fault> {
    let by_key = vendor::refusal(headers).map(Fault::Status);
    by_key.or_else(|| desk.next_fault())
}

/// A connection.
struct Session<W> {
    wire: W,
    fault: Option<Fault>,
    pace: Pace,
    /// It has said something.
    spoke: bool,
    /// It says nothing, or reads nothing, until then.
    mute_until: Option<Instant>,
    deaf_until: Option<Instant>,
    due: VecDeque<(Instant, Value, Option<Sent>)>,
}

/// Lets a wire talk to its client until one of them leaves; then bills it.
pub(crate) async fn run<W: Wire, O>(
    desk: Arc<Desk<O, Fault>>,
    wire: W,
    fault: Option<Fault>,
    pace: Pace,
    mut socket: WebSocket,
) {
    let mut session = Session {
        wire,
        fault,
        pace,
        spoke: false,
        mute_until: None,
        deaf_until: None,
        due: VecDeque::new(),
    };
    let mut struck = desk.struck();
    session.run(&mut socket, &mut struck).await;
    desk.bill(session.wire.billed_ms());
}

impl<W: Wire> Session<W> {
    async fn run(&mut self, socket: &mut WebSocket, struck: &mut Struck<Fault>) {
        let (limit, code, reason) = W::IDLE;
        let mut idle = Instant::now() + limit;
        let mut out = Out::default();
        self.wire.greet(&mut out);
        self.queue(out);
        loop {
            let deaf = self.deaf_until.filter(|until| *until > Instant::now());
            let next = self.due.front().map_or(idle, |(at, ..)| *at);
            tokio::select! {
                biased;
                () = sleep_until(next), if !self.due.is_empty() => {
                    if !self.send_due(socket).await {
                        return;
                    }
                }
                fault = strike(struck) => {
                    self.fault = Some(fault);
                    if !self.behaves(socket).await {
                        return;
                    }
                }
                () = sleep_until(deaf.unwrap_or(idle)), if deaf.is_some() => {}
                read = timeout_at(idle, socket.recv()), if deaf.is_none() => {
                    let Ok(read) = read else {
                        return close(socket, code, reason).await;
                    };
                    let message = match read {
                        Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => message,
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {
                            idle = Instant::now() + limit;
                            continue;
                        }
                        _ => return,
                    };
                    idle = Instant::now() + limit;
                    let mut out = Out::default();
                    let then = self.wire.take(&message, &mut out);
                    self.queue(out);
                    if !self.behaves(socket).await {
                        return;
                    }
                    if let Then::Close(code, reason) = then {
                        while let Some((at, ..)) = self.due.front() {
                            sleep_until(*at).await;
                            if !self.send_due(socket).await {
                                return;
                            }
                        }
                        if !self.is_silent() {
                            return close(socket, code, &reason).await;
                        }
                    }
                }
            }
        }
    }

    /// Does what this connection's fault says, when its time has come; `false` when that was its end.
    async fn behaves(&mut self, socket: &mut WebSocket) -> bool {
        let heard = self.wire.heard_ms();
        match &self.fault {
            Some(Fault::LostAfter(ms)) if heard >= *ms => false,
            Some(Fault::CloseAfter { ms, code, reason }) if heard >= *ms => {
                close(socket, *code, reason).await;
                false
            }
            Some(Fault::FailsAfter(ms)) if heard >= *ms => {
                let (words, code, reason) = self.wire.failure();
                if say(socket, words.to_string()).await {
                    close(socket, code, reason).await;
                    // What is unread at the end would take the words with it.
                    while let Some(Ok(_)) = socket.recv().await {}
                }
                false
            }
            Some(Fault::PausesAfter { ms, lasts_ms })
                if heard >= *ms && self.mute_until.is_none() =>
            {
                let until = Instant::now() + Duration::from_millis(*lasts_ms);
                self.mute_until = Some(until);
                for (at, ..) in &mut self.due {
                    *at = until.max(*at);
                }
                true
            }
            Some(Fault::DeafAfter { ms, lasts_ms })
                if heard >= *ms && self.deaf_until.is_none() =>
            {
                self.deaf_until = Some(Instant::now() + Duration::from_millis(*lasts_ms));
                true
            }
            _ => true,
        }
    }

    fn is_silent(&self) -> bool {
        matches!(&self.fault, Some(Fault::SilentAfter(ms)) if self.wire.heard_ms() >= *ms)
    }

    /// When what is made now is said.
    fn due_at(&mut self, now: Instant) -> Instant {
        let mut at = now + self.pace.dice.delay(self.pace.delay);
        if let (false, Some(Fault::DelayFirst(ms))) = (self.spoke, &self.fault) {
            at += Duration::from_millis(*ms);
        }
        self.spoke = true;
        // What is fast waits for what is slow: the order stays.
        let last = self.due.back().map(|(last, ..)| *last);
        at.max(last.max(self.mute_until).unwrap_or(at))
    }

    fn queue(&mut self, out: Out) {
        if self.is_silent() {
            return;
        }
        if out.0.is_empty() {
            return;
        }
        let mut at = self.due_at(Instant::now());
        for (message, sent) in out.0 {
            let is_final = sent.as_ref().is_some_and(|sent| sent.is_final);
            match &self.fault {
                Some(Fault::NoUtteranceEnd) if message["type"] == "UtteranceEnd" => continue,
                Some(Fault::LateFinals(ms)) if is_final => at += Duration::from_millis(*ms),
                Some(Fault::DoubleFinals) if is_final => {
                    self.due.push_back((at, message.clone(), sent.clone()));
                }
                _ => {}
            }
            if self.due.len() >= ROOM {
                self.due.pop_front();
            }
            self.due.push_back((at, message, sent));
        }
    }

    /// Sends the message whose time has come; `false` when the client is gone.
    async fn send_due(&mut self, socket: &mut WebSocket) -> bool {
        let Some((_, message, sent)) = self.due.pop_front() else {
            return true;
        };
        let noise = match (&self.fault, &sent) {
            (Some(Fault::Garbage), Some(_)) => Some("{\"type\":\"Resul".to_owned()),
            (Some(Fault::UnknownMessages), Some(_)) => {
                Some(json!({"type": "Weather", "sunny": true}).to_string())
            }
            _ => None,
        };
        if let Some(noise) = noise
            && !say(socket, noise).await
        {
            return false;
        }
        if let (Some(observer), Some(mut sent)) = (&self.pace.observer, sent) {
            sent.at = std::time::Instant::now();
            observer(&sent);
        }
        say(socket, message.to_string()).await
    }
}

/// `false` when the client is gone.
async fn say(socket: &mut WebSocket, text: String) -> bool {
    socket.send(Message::text(text)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Jitter;

    /// A vendor that says nothing.
    struct Quiet;

    impl Wire for Quiet {
        const IDLE: (Duration, u16, &'static str) = (Duration::MAX, 1000, "");

        fn take(&mut self, _message: &Message, _out: &mut Out) -> Then {
            Then::Listen
        }

        fn failure(&self) -> (Value, u16, &'static str) {
            (Value::Null, 1011, "")
        }

        fn heard_ms(&self) -> u64 {
            0
        }
    }

    /// When the messages of this seed are due, said at once.
    fn due(seed: u64) -> Vec<Duration> {
        let jitter = Jitter {
            seed,
            around_ms: 50,
            p99_ms: 0,
        };
        let mut session = Session {
            wire: Quiet,
            fault: None,
            pace: Pace {
                delay: Duration::from_millis(150),
                dice: jitter.dice(0),
                observer: None,
            },
            spoke: false,
            mute_until: None,
            deaf_until: None,
            due: VecDeque::new(),
        };
        let now = Instant::now();
        for _ in 0..10 {
            let at = session.due_at(now);
            session.due.push_back((at, Value::Null, None));
        }
        session.due.iter().map(|(at, ..)| *at - now).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_pace_in_the_same_order() {
        assert_eq!(due(1), due(1));
        assert_ne!(due(1), due(2));
        assert!(due(1).is_sorted());
        assert!(due(1)[0] < due(1)[9]);
    }
}
