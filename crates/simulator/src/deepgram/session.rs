//! One connection: frames in, messages out, each after the vendor's delay.

use std::{collections::VecDeque, sync::Arc};

use axum::extract::ws::{Message, WebSocket};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use super::{
    Asked, Desk, Fault, Sent,
    ear::{Ear, Finding},
};
use crate::{g711, vendor::close};

/// Without audio or KeepAlive for so long the vendor closes the socket.
const IDLE: Duration = Duration::from_secs(10);
/// Results not yet sent; a client that reads nothing loses the oldest.
const ROOM: usize = 1000;

pub(super) struct Session {
    desk: Arc<Desk>,
    asked: Asked,
    fault: Option<Fault>,
    request_id: String,
    ear: Ear,
    rest: Vec<u8>,
    due: VecDeque<(Instant, Value, Option<Sent>)>,
}

/// Whether the connection goes on.
enum Then {
    Listen,
    End,
    /// Send what is due, then Metadata, then close.
    Close,
}

impl Session {
    pub fn new(desk: Arc<Desk>, asked: Asked, fault: Option<Fault>, request_id: String) -> Self {
        let ear = Ear::new(&asked, desk.options.interim_ms);
        Self {
            desk,
            asked,
            fault,
            request_id,
            ear,
            rest: Vec::new(),
            due: VecDeque::new(),
        }
    }

    pub async fn run(mut self, mut socket: WebSocket) {
        let mut idle = Instant::now() + IDLE;
        loop {
            let next = self.due.front().map_or(idle, |(at, ..)| *at);
            tokio::select! {
                biased;
                () = sleep_until(next), if !self.due.is_empty() => {
                    if !self.send_due(&mut socket).await {
                        break;
                    }
                }
                read = timeout_at(idle, socket.recv()) => {
                    let Ok(read) = read else {
                        close(&mut socket, 1011, "NET-0001").await;
                        break;
                    };
                    let Some(Ok(message)) = read else { break };
                    idle = Instant::now() + IDLE;
                    match self.take(message, &mut socket).await {
                        Then::Listen => {}
                        Then::End => break,
                        Then::Close => {
                            self.finish(&mut socket).await;
                            break;
                        }
                    }
                }
            }
        }
        self.desk.bill(self.ear.clock_ms());
    }

    async fn take(&mut self, message: Message, socket: &mut WebSocket) -> Then {
        match message {
            // An empty frame is an old form of CloseStream.
            Message::Binary(audio) if audio.is_empty() => Then::Close,
            Message::Binary(audio) => {
                self.hear(&audio);
                self.misbehave(socket).await
            }
            Message::Text(text) => {
                let kind = serde_json::from_str::<Value>(&text).ok();
                match kind.as_ref().and_then(|kind| kind["type"].as_str()) {
                    Some("KeepAlive") => Then::Listen,
                    Some("Finalize") => {
                        let mut found = Vec::new();
                        self.ear.finish(false, &mut found);
                        self.queue(found, true);
                        Then::Listen
                    }
                    Some("CloseStream") => Then::Close,
                    _ => {
                        let error = json!({"type": "Error", "variant": "SchemaError",
                            "description": "could not deserialize", "message": text.as_str()});
                        self.put(error, None);
                        Then::Listen
                    }
                }
            }
            Message::Close(_) => Then::End,
            Message::Ping(_) | Message::Pong(_) => Then::Listen,
        }
    }

    fn hear(&mut self, audio: &[u8]) {
        if self.asked.encoding == "linear16" {
            let samples = audio
                .chunks_exact(2)
                .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
            self.rest.extend(samples.map(g711::encode));
        } else {
            self.rest.extend_from_slice(audio);
        }
        let mut found = Vec::new();
        let whole = self.rest.len() / g711::FRAME * g711::FRAME;
        for frame in self.rest[..whole].chunks_exact(g711::FRAME) {
            self.ear.frame(frame, &mut found);
        }
        self.rest.drain(..whole);
        self.queue(found, false);
    }

    /// Does what this connection's fault says, when its time has come.
    async fn misbehave(&mut self, socket: &mut WebSocket) -> Then {
        let heard = self.ear.clock_ms();
        match &self.fault {
            Some(Fault::LostAfter(ms)) if heard >= *ms => Then::End,
            Some(Fault::CloseAfter { ms, code, reason }) if heard >= *ms => {
                close(socket, *code, reason).await;
                Then::End
            }
            _ => Then::Listen,
        }
    }

    fn queue(&mut self, found: Vec<Finding>, from_finalize: bool) {
        for finding in found {
            if matches!(&self.fault, Some(Fault::SilentAfter(ms)) if self.ear.clock_ms() >= *ms) {
                return;
            }
            let never_ends = self.fault == Some(Fault::NeverEnds);
            match finding {
                Finding::SpeechStarted(at) => {
                    self.put(
                        json!({"type": "SpeechStarted", "channel": [0, 1], "timestamp": at}),
                        None,
                    );
                }
                Finding::UtteranceEnd(_) if never_ends => {}
                Finding::UtteranceEnd(at) => {
                    self.put(
                        json!({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": at}),
                        None,
                    );
                }
                Finding::Result {
                    start,
                    duration,
                    text,
                    is_final,
                    speech_final,
                } => {
                    let speech_final = speech_final && !never_ends;
                    let message = self.result(
                        start,
                        duration,
                        &text,
                        is_final,
                        speech_final,
                        from_finalize,
                    );
                    let sent = Sent {
                        at: std::time::Instant::now(),
                        text,
                        ends_turn: speech_final,
                        is_final,
                    };
                    self.put(message, Some(sent));
                }
            }
        }
    }

    fn result(
        &self,
        start: f64,
        duration: f64,
        text: &str,
        is_final: bool,
        speech_final: bool,
        from_finalize: bool,
    ) -> Value {
        let count = text.split_whitespace().count().max(1) as f64;
        let words: Vec<Value> = text
            .split_whitespace()
            .enumerate()
            .map(|(n, word)| {
                let at = start + duration * n as f64 / count;
                let plain: String = word.chars().filter(|c| c.is_alphanumeric()).collect();
                json!({"word": plain.to_lowercase(), "start": at, "end": at + duration / count,
                    "confidence": 0.98, "punctuated_word": word})
            })
            .collect();
        let confidence = if text.is_empty() { 0.0 } else { 0.98 };
        json!({
            "type": "Results", "channel_index": [0, 1], "start": start, "duration": duration,
            "is_final": is_final, "speech_final": speech_final,
            "channel": {"alternatives": [{"transcript": text, "confidence": confidence, "words": words}]},
            "metadata": {"request_id": self.request_id,
                "model_info": {"name": "general-nova-3", "version": "2025-01-01.0", "arch": "nova-3"},
                "model_uuid": "1ed36bac-f71c-4f3f-a31f-02fd6525c489"},
            "from_finalize": from_finalize,
        })
    }

    fn put(&mut self, message: Value, sent: Option<Sent>) {
        if self.due.len() >= ROOM {
            self.due.pop_front();
        }
        self.due.push_back((
            Instant::now() + self.desk.options.result_delay,
            message,
            sent,
        ));
    }

    /// Sends the message whose time has come; false when the client is gone.
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
            && socket.send(Message::text(noise)).await.is_err()
        {
            return false;
        }
        if let (Some(observer), Some(mut sent)) = (&self.desk.options.observer, sent) {
            sent.at = std::time::Instant::now();
            observer(&sent);
        }
        socket
            .send(Message::text(message.to_string()))
            .await
            .is_ok()
    }

    async fn finish(&mut self, socket: &mut WebSocket) {
        let mut found = Vec::new();
        self.ear.finish(false, &mut found);
        self.queue(found, false);
        while !self.due.is_empty() {
            if !self.send_due(socket).await {
                return;
            }
        }
        let metadata = json!({"type": "Metadata", "transaction_key": "deprecated",
            "request_id": self.request_id, "sha256": "0".repeat(64), "created": "2026-11-24T10:00:00.000Z",
            "duration": self.ear.clock_ms() as f64 / 1000.0, "channels": 1, "models": [], "model_info": {}});
        if socket
            .send(Message::text(metadata.to_string()))
            .await
            .is_ok()
        {
            close(socket, 1000, "").await;
        }
    }
}
