//! One socket: contexts opened, fed, closed and cancelled, and what comes back. Source: wire-providers.md §4.2.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_tungstenite::tungstenite::Message;

use super::{
    Limits, ORIGIN, faults,
    utterance::Utterance,
    wire::{Incoming as Heard, Outgoing, VoiceSettings},
};
use crate::{
    Error, ErrorKind, Speak, Spoken, SynthesizerSpec,
    alarm::Alarm,
    socket::{Incoming, Socket},
};

/// Cancelled utterances whose late text is dropped.
const REMEMBERED: usize = 16;

pub(super) struct Speaking {
    socket: Socket,
    pieces: mpsc::Receiver<Speak>,
    facts: mpsc::Sender<Result<Spoken, Error>>,
    spec: SynthesizerSpec,
    settings: VoiceSettings,
    limits: Limits,
    /// By the caller's number.
    open: BTreeMap<u32, Open>,
    /// Numbers the contexts of this socket.
    contexts: u32,
    cancelled: VecDeque<u32>,
    last_sent: Instant,
    complained: bool,
}

/// An utterance that is not yet over.
struct Open {
    /// The vendor's name of it; `None` as long as there was no text.
    id: Option<String>,
    utterance: Utterance,
    closed: bool,
    /// Last text or audio.
    moved_at: Instant,
}

impl Open {
    /// How long it may stand still; `None`: as long as it likes.
    fn patience(&self, limits: &Limits) -> Option<Duration> {
        self.utterance.patience(self.closed, limits)
    }
}

/// Whether somebody still listens.
type Listened = bool;

impl Speaking {
    pub(super) fn new(
        socket: Socket,
        pieces: mpsc::Receiver<Speak>,
        facts: mpsc::Sender<Result<Spoken, Error>>,
        spec: &SynthesizerSpec,
        limits: Limits,
    ) -> Self {
        Self {
            socket,
            pieces,
            facts,
            settings: VoiceSettings::new(spec),
            spec: spec.clone(),
            limits,
            open: BTreeMap::new(),
            contexts: 0,
            cancelled: VecDeque::new(),
            last_sent: Instant::now(),
            complained: false,
        }
    }

    pub(super) async fn run(mut self) {
        let Err(mut error) = self.speak().await else {
            return;
        };
        if error.kind == ErrorKind::Dropped {
            let last = self.socket.last_words().await;
            let told = last.texts.iter().find_map(|text| {
                let heard: Heard = serde_json::from_str(text).ok()?;
                heard.failure()
            });
            let why = |(code, words): (u16, String)| faults::failed(Some(code), &words);
            error = told.or(last.reason.map(why)).unwrap_or(error);
        }
        // A receiver that is gone wants no news.
        let _ = self.facts.send(Err(error)).await;
    }

    /// Until all is said, or somebody is gone.
    async fn speak(&mut self) -> Result<(), Error> {
        let facts = self.facts.clone();
        let mut gone = pin!(facts.closed());
        let mut alarm = Alarm::new(self.next_deadline());
        let mut more = true;
        let mut close_by = None;
        loop {
            if !more && self.open.is_empty() && close_by.is_none() {
                self.send(&Outgoing {
                    close_socket: true,
                    ..Outgoing::default()
                })
                .await?;
                close_by = Some(Instant::now() + self.limits.close);
            }
            alarm.set(close_by.unwrap_or_else(|| self.next_deadline()));
            let listened = tokio::select! {
                // Input first: a cancel must not wait behind a burst of audio.
                biased;
                speak = self.pieces.recv(), if more => match speak {
                    Some(Speak::Text { context, piece, text, last }) => self.say(context, piece, &text, last).await?,
                    Some(Speak::Cancel { context }) => {
                        self.cancel(context).await?;
                        true
                    }
                    None => {
                        more = false;
                        self.close_all().await?
                    }
                },
                incoming = self.socket.next() => match incoming {
                    Ok(Incoming::Text(text)) => self.hear(&text).await?,
                    Ok(Incoming::Binary(_)) => true,
                    Ok(Incoming::Closed(_)) | Err(_) if close_by.is_some() => return Ok(()),
                    Ok(Incoming::Closed(Some((code, words)))) => return Err(faults::failed(Some(code), &words)),
                    Ok(Incoming::Closed(None)) => return Err(ORIGIN.dropped()),
                    Err(error) => return Err(error),
                },
                () = alarm.rings() => {
                    if close_by.is_some() {
                        return Ok(());
                    }
                    self.overdue().await?
                }
                () = &mut gone => false,
            };
            if !listened {
                return Ok(());
            }
        }
    }

    async fn say(
        &mut self,
        context: u32,
        piece: u32,
        text: &str,
        last: bool,
    ) -> Result<Listened, Error> {
        if self.cancelled.contains(&context) {
            return Ok(true);
        }
        let now = Instant::now();
        let format = self.spec.format;
        let open = self.open.entry(context).or_insert_with(|| Open {
            id: None,
            utterance: Utterance::new(context, format),
            closed: false,
            moved_at: now,
        });
        if open.closed {
            tracing::warn!(
                context,
                piece,
                "text after the last piece of an utterance is dropped"
            );
            return Ok(true);
        }
        open.moved_at = now;
        let done = open.utterance.add(piece, text);
        let mut id = open.id.clone();
        if !text.trim().is_empty() {
            let id = match &id {
                Some(id) => id.clone(),
                None => {
                    self.contexts += 1;
                    let fresh = format!("c{}", self.contexts);
                    open.id = Some(fresh.clone());
                    id = Some(fresh.clone());
                    self.begin(&fresh).await?;
                    fresh
                }
            };
            // The vendor takes a text's end for a word's end only after a blank.
            let text = format!("{} ", text.trim());
            self.send(&Outgoing {
                text: Some(&text),
                context_id: Some(&id),
                flush: true,
                ..Outgoing::default()
            })
            .await?;
        }
        if last {
            self.close(context, id.as_deref()).await?;
        }
        let mut out = done;
        if last && id.is_none() {
            // Not a word in all of it: the vendor never heard of this utterance.
            out.extend(
                self.open
                    .remove(&context)
                    .map(|mut open| open.utterance.finish())
                    .unwrap_or_default(),
            );
        }
        Ok(self.tell(out).await)
    }

    async fn begin(&mut self, id: &str) -> Result<(), Error> {
        let message = Outgoing {
            text: Some(" "),
            context_id: Some(id),
            voice_settings: Some(&self.settings),
            ..Outgoing::default()
        }
        .to_json();
        self.send_text(message).await
    }

    async fn close(&mut self, context: u32, id: Option<&str>) -> Result<(), Error> {
        if let Some(open) = self.open.get_mut(&context) {
            open.closed = true;
            open.moved_at = Instant::now();
        }
        match id {
            Some(id) => self.close_context(id).await,
            None => Ok(()),
        }
    }

    async fn close_context(&mut self, id: &str) -> Result<(), Error> {
        self.send(&Outgoing {
            context_id: Some(id),
            close_context: true,
            ..Outgoing::default()
        })
        .await
    }

    /// No more input: what was begun is still finished.
    async fn close_all(&mut self) -> Result<Listened, Error> {
        let contexts: Vec<u32> = self
            .open
            .iter()
            .filter(|(_, open)| !open.closed)
            .map(|(context, _)| *context)
            .collect();
        for context in contexts {
            let id = self.open.get(&context).and_then(|open| open.id.clone());
            self.close(context, id.as_deref()).await?;
            if id.is_none()
                && let Some(mut open) = self.open.remove(&context)
                && !self.tell(open.utterance.finish()).await
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn cancel(&mut self, context: u32) -> Result<(), Error> {
        if self.cancelled.len() == REMEMBERED {
            self.cancelled.pop_front();
        }
        self.cancelled.push_back(context);
        match self.open.remove(&context) {
            Some(Open {
                id: Some(id),
                closed: false,
                ..
            }) => self.close_context(&id).await,
            // What the vendor still sends of it finds no context here and is dropped.
            _ => Ok(()),
        }
    }

    /// Tells what a message means.
    async fn hear(&mut self, text: &str) -> Result<Listened, Error> {
        let heard: Heard = match serde_json::from_str(text) {
            Ok(heard) => heard,
            Err(error) => {
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(%error, "unreadable message from elevenlabs; further ones are not reported");
                }
                return Ok(true);
            }
        };
        if let Some(error) = heard.failure() {
            return Err(error);
        }
        let id = heard.context_id.as_deref();
        let Some((&context, open)) = self
            .open
            .iter_mut()
            .find(|(_, open)| id.is_some() && open.id.as_deref() == id)
        else {
            return Ok(true);
        };
        let mut out = Vec::new();
        if let Some(audio) = heard.audio() {
            open.moved_at = Instant::now();
            out = open.utterance.audio(audio, heard.alignment.as_ref());
        }
        if heard.is_final() {
            out.extend(open.utterance.finish());
            self.open.remove(&context);
        }
        Ok(self.tell(out).await)
    }

    /// When something is overdue at the latest.
    fn next_deadline(&self) -> Instant {
        let overdue = self
            .open
            .values()
            .filter_map(|open| Some(open.moved_at + open.patience(&self.limits)?));
        overdue
            .min()
            .unwrap_or(self.last_sent + self.limits.keep_alive)
            .min(self.last_sent + self.limits.keep_alive)
    }

    /// Ends what waits in vain for its end, fails what waits in vain for audio, else keeps the socket alive.
    async fn overdue(&mut self) -> Result<Listened, Error> {
        let now = Instant::now();
        let due = self.open.iter().find_map(|(context, open)| {
            let patience = open.patience(&self.limits)?;
            (open.moved_at + patience <= now).then_some((*context, patience))
        });
        let Some((context, patience)) = due else {
            self.keep_alive().await?;
            return Ok(true);
        };
        match self.open.remove(&context) {
            Some(open) if open.utterance.lacks_audio() => Err(ORIGIN.no_answer(patience)),
            Some(mut open) => Ok(self.tell(open.utterance.finish()).await),
            None => Ok(true),
        }
    }

    async fn keep_alive(&mut self) -> Result<(), Error> {
        let mut ids: Vec<Option<String>> = self
            .open
            .values()
            .filter(|open| !open.closed && open.id.is_some())
            .map(|open| open.id.clone())
            .collect();
        if ids.is_empty() {
            ids.push(None);
        }
        for id in ids {
            self.send(&Outgoing {
                text: Some(""),
                context_id: id.as_deref(),
                ..Outgoing::default()
            })
            .await?;
        }
        Ok(())
    }

    async fn send(&mut self, message: &Outgoing<'_>) -> Result<(), Error> {
        self.send_text(message.to_json()).await
    }

    async fn send_text(&mut self, text: String) -> Result<(), Error> {
        self.last_sent = Instant::now();
        self.socket.send(Message::text(text)).await
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
