//! One connection with its contexts.

use std::{collections::BTreeMap, sync::Arc};

use axum::extract::ws::{Message, WebSocket};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use super::{Desk, Fault, context::Context};
use crate::{
    g711,
    jitter::Dice,
    vendor::{close, strike},
};

/// Contexts that may be open at once.
const MAX_CONTEXTS: usize = 5;

pub(super) struct Session {
    desk: Arc<Desk>,
    dice: Dice,
    fault: Option<Fault>,
    authenticated: bool,
    inactivity: Duration,
    /// `stream-input`: one context without a name, and the socket ends with it.
    single: bool,
    contexts: BTreeMap<String, Context>,
    /// When the next audio message goes out.
    next: Option<Instant>,
    sent: u32,
    /// It reads nothing until then.
    deaf_until: Option<Instant>,
}

/// A client's message; unknown fields are ignored.
#[derive(Debug, Deserialize)]
struct Said {
    text: Option<String>,
    context_id: Option<String>,
    #[serde(default)]
    flush: bool,
    #[serde(default)]
    close_context: bool,
    #[serde(default)]
    close_socket: bool,
    xi_api_key: Option<String>,
    #[serde(default)]
    voice_settings: Value,
}

enum Then {
    Listen,
    End,
}

impl Session {
    pub fn new(
        desk: Arc<Desk>,
        fault: Option<Fault>,
        authenticated: bool,
        inactivity: Duration,
        single: bool,
    ) -> Self {
        Self {
            dice: desk.dice(desk.options.jitter),
            desk,
            fault,
            authenticated,
            inactivity,
            single,
            contexts: BTreeMap::new(),
            next: None,
            sent: 0,
            deaf_until: None,
        }
    }

    pub async fn run(mut self, mut socket: WebSocket) {
        let mut idle = Instant::now() + self.inactivity;
        let mut struck = self.desk.struck();
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
                fault = strike(&mut struck) => {
                    if matches!(self.struck(fault, &mut socket).await, Then::End) {
                        return;
                    }
                }
                () = sleep_until(deaf.unwrap_or(idle)), if deaf.is_some() => {}
                read = timeout_at(idle, socket.recv()), if deaf.is_none() => {
                    let Ok(read) = read else {
                        let text = format!(
                            "Have not received a new text input within the timeout of {} seconds. \
                             Streaming input terminated.", self.inactivity.as_secs());
                        fail(&mut socket, "input_timeout_exceeded", &text, 1008).await;
                        return;
                    };
                    match read {
                        Some(Ok(Message::Text(text))) => {
                            idle = Instant::now() + self.inactivity;
                            if matches!(self.take(&text, &mut socket).await, Then::End) {
                                return;
                            }
                        }
                        Some(Ok(Message::Close(_))) | None | Some(Err(_)) => return,
                        Some(Ok(_)) => {}
                    }
                }
            }
        }
    }

    /// A fault in the connection's life: an end comes at once, the others with the next audio.
    async fn struck(&mut self, fault: Fault, socket: &mut WebSocket) -> Then {
        match fault {
            Fault::LostAfter(0) => return Then::End,
            Fault::CloseAfter(0, code) => {
                close(socket, code, "").await;
                return Then::End;
            }
            Fault::Stall => self.next = None,
            _ => {}
        }
        self.fault = Some(fault);
        Then::Listen
    }

    async fn take(&mut self, text: &str, socket: &mut WebSocket) -> Then {
        let Ok(said) = serde_json::from_str::<Said>(text) else {
            let words = "Could not parse input message";
            fail(socket, "invalid_input_message", words, 1008).await;
            return Then::End;
        };
        let wrong = match &self.fault {
            Some(Fault::AuthMessage) => Some(("invalid_api_key", "Invalid API key")),
            Some(Fault::QuotaMessage) => {
                Some(("quota_exceeded", "This request exceeds your quota."))
            }
            _ => None,
        };
        if let Some((error, message)) = wrong {
            fail(socket, error, message, 1008).await;
            return Then::End;
        }
        if let (Some(Fault::Deaf(ms)), None) = (&self.fault, self.deaf_until) {
            self.deaf_until = Some(Instant::now() + Duration::from_millis(*ms));
        }
        if !self.authenticated {
            if said.xi_api_key.as_deref() != Some(self.desk.options.api_key.as_str()) {
                fail(socket, "invalid_api_key", "Invalid API key", 1008).await;
                return Then::End;
            }
            self.authenticated = true;
        }
        let speed = said.voice_settings["speed"].as_f64().unwrap_or(1.0);
        if !(0.699..=1.201).contains(&speed) {
            let words = "speed must be between 0.7 and 1.2";
            fail(socket, "invalid_voice_settings", words, 1008).await;
            return Then::End;
        }
        if said.close_socket {
            close(socket, 1000, "").await;
            return Then::End;
        }
        let Some(id) = said.context_id.or(self.single.then(String::new)) else {
            return Then::Listen;
        };
        let ends = said.close_context || (self.single && said.text.as_deref() == Some(""));
        if !self.contexts.contains_key(&id) {
            if said.text.is_none() {
                // A flush or close of what is closed already.
                return Then::Listen;
            }
            if self.contexts.len() >= MAX_CONTEXTS {
                let words = "Maximum simultaneous contexts exceeded (5).";
                fail(socket, "max_active_contexts", words, 1008).await;
                return Then::End;
            }
        }
        let context = self.contexts.entry(id).or_default();
        if context.closed {
            return Then::Listen;
        }
        let mut characters = said.text.as_deref().map_or(0, |text| context.add(text));
        if said.flush {
            characters += context.generate();
        }
        if ends {
            characters += context.close();
        }
        self.desk.bill(characters as u64);
        if self.next.is_none() {
            self.plan(Duration::ZERO);
        }
        Then::Listen
    }

    /// Sets when the next message goes out: after the audio before it, and after the vendor's own time
    /// where it begins a generation.
    fn plan(&mut self, after: Duration) {
        if self.fault == Some(Fault::Stall) {
            return;
        }
        let waiting = self
            .contexts
            .values()
            .find(|context| context.has_chunks() || context.closed);
        let late = match self.fault {
            Some(Fault::DelayFirst(ms)) if self.sent == 0 => Duration::from_millis(ms),
            _ => Duration::ZERO,
        };
        self.next = waiting.map(|context| {
            let own = if context.starts_generation() {
                self.dice.delay(self.desk.options.first_byte) + late
            } else {
                Duration::ZERO
            };
            Instant::now() + after.max(own)
        });
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
        let found = self
            .contexts
            .iter_mut()
            .find(|(_, context)| context.has_chunks() || context.closed);
        let Some((id, context)) = found else {
            self.next = None;
            return Then::Listen;
        };
        let id = id.clone();
        let mut after = Duration::ZERO;
        let due = self.next;
        let message = match context.next() {
            Some(chunk) => {
                if let (Some(observer), Some(text), Some(due)) =
                    (&self.desk.options.observer, &chunk.begins, due)
                {
                    observer.tell(text, due);
                }
                after = Duration::from_secs_f64(
                    g711::ms(chunk.audio.len()) as f64 / 1000.0 / self.desk.options.speed,
                );
                let column = |pick: fn(&(char, u64, u64)) -> Value| -> Vec<Value> {
                    chunk.characters.iter().map(pick).collect()
                };
                let alignment = json!({
                    "chars": column(|(character, ..)| json!(character.to_string())),
                    "charStartTimesMs": column(|(_, start, _)| json!(start)),
                    "charDurationsMs": column(|(.., duration)| json!(duration)),
                });
                let mut message = json!({"audio": BASE64_STANDARD.encode(&chunk.audio), "isFinal": null,
                    "normalizedAlignment": alignment, "alignment": alignment});
                if !self.single {
                    message["contextId"] = id.into();
                }
                message
            }
            None => {
                self.contexts.remove(&id);
                self.plan(after);
                if self.fault == Some(Fault::NeverFinal) {
                    return Then::Listen;
                }
                return self.finish(&id, socket).await;
            }
        };
        let before = match self.fault {
            Some(Fault::LostAfter(count)) if self.sent >= count => return Then::End,
            Some(Fault::StallAfter(count)) if self.sent >= count => {
                self.fault = Some(Fault::Stall);
                self.next = None;
                return Then::Listen;
            }
            Some(Fault::CloseAfter(count, code)) if self.sent >= count => {
                close(socket, code, "").await;
                return Then::End;
            }
            Some(Fault::FailsAfter(count)) if self.sent >= count => {
                fail(socket, "internal_error", "Something went wrong.", 1011).await;
                return Then::End;
            }
            Some(Fault::Garbage) => Some("{\"audio\":\"".to_owned()),
            Some(Fault::UnknownMessages) => {
                Some("{\"type\":\"novelty\",\"since\":2027}".to_owned())
            }
            Some(Fault::WrongContext) => {
                let mut foreign = message.clone();
                foreign["contextId"] = "nobody".into();
                Some(foreign.to_string())
            }
            _ => None,
        };
        if let Some(before) = before
            && let Then::End = sent(socket.send(Message::text(before)).await)
        {
            return Then::End;
        }
        self.sent += 1;
        self.plan(after);
        sent(socket.send(Message::text(message.to_string())).await)
    }
}

impl Session {
    async fn finish(&self, id: &str, socket: &mut WebSocket) -> Then {
        if !self.single {
            let last = json!({"isFinal": true, "contextId": id}).to_string();
            return sent(socket.send(Message::text(last)).await);
        }
        let last =
            json!({"audio": null, "isFinal": true, "normalizedAlignment": null, "alignment": null});
        if let Then::Listen = sent(socket.send(Message::text(last.to_string())).await) {
            close(socket, 1000, "").await;
        }
        Then::End
    }
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

/// Tells what is wrong, then closes with this code.
async fn fail(socket: &mut WebSocket, error: &str, message: &str, code: u16) {
    let told = json!({"message": message, "error": error, "code": code}).to_string();
    if let Then::Listen = sent(socket.send(Message::text(told)).await) {
        close(socket, code, message).await;
        // What is unread at the end would take the words with it.
        while let Some(Ok(_)) = socket.recv().await {}
    }
}
