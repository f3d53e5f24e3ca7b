//! One relayed call: three sockets and a stream in one task.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::extract::ws::{Message, WebSocket};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt, stream::BoxStream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite;

use super::Shared;
use crate::http::{self, Socket};

const WELCOME: &str = "Hello, how can I help you? ";
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("vendor socket: {0}")]
    Vendor(#[from] tungstenite::Error),
    #[error("carrier socket: {0}")]
    Carrier(#[from] axum::Error),
    #[error("a vendor's socket ended")]
    Ended,
}

#[derive(Deserialize)]
struct Inbound<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, rename = "streamSid")]
    stream_sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    media: Option<Payload<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Spoken<'a> {
    #[serde(borrow)]
    audio: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "contextId")]
    context: Option<Cow<'a, str>>,
}

struct Call {
    shared: Arc<Shared>,
    carrier: WebSocket,
    ears: Socket,
    voice: Socket,
    /// Pieces of the model's text.
    thoughts: Option<BoxStream<'static, String>>,
    stream_sid: String,
    /// Text of the open turn that is final.
    turn: String,
    answer: u64,
    /// Audio of the current answer has gone out since the last turn.
    audible: bool,
}

/// Relays until the carrier closes.
pub(super) async fn talk(carrier: WebSocket, shared: Arc<Shared>) -> Result<(), Fault> {
    let (base, key) = &shared.options.deepgram;
    let listen = format!(
        "{base}/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&channels=1&language=en\
         &interim_results=true&endpointing=250"
    );
    let ear_key = [("authorization", format!("Token {key}"))];
    let (base, key) = &shared.options.elevenlabs;
    let speak = format!(
        "{base}/v1/text-to-speech/v1/multi-stream-input?model_id=eleven_flash_v2_5&output_format=ulaw_8000\
         &inactivity_timeout=170"
    );
    let voice_key = [("xi-api-key", key.clone())];
    let ears = http::open_socket(&listen, &ear_key, 4096, LIMIT);
    let voice = http::open_socket(&speak, &voice_key, 8192, LIMIT);
    let (ears, voice) = tokio::try_join!(ears, voice)?;
    let mut call = Call {
        shared: shared.clone(),
        carrier,
        ears,
        voice,
        thoughts: None,
        stream_sid: String::new(),
        turn: String::new(),
        answer: 0,
        audible: false,
    };
    call.run().await
}

impl Call {
    async fn run(&mut self) -> Result<(), Fault> {
        loop {
            tokio::select! {
                message = self.carrier.recv() => match message {
                    Some(Ok(Message::Text(text))) => self.carried(&text).await?,
                    Some(Ok(Message::Close(_))) | Some(Err(_)) | None => return Ok(()),
                    Some(Ok(_)) => {}
                },
                message = self.ears.next() => match message.ok_or(Fault::Ended)?? {
                    tungstenite::Message::Text(text) => self.heard(&text).await?,
                    tungstenite::Message::Close(_) => return Err(Fault::Ended),
                    _ => {}
                },
                message = self.voice.next() => match message.ok_or(Fault::Ended)?? {
                    tungstenite::Message::Text(text) => self.spoken(&text).await?,
                    tungstenite::Message::Close(_) => return Err(Fault::Ended),
                    _ => {}
                },
                piece = next(&mut self.thoughts) => match piece {
                    Some(text) => self.say(&text, false).await?,
                    None => {
                        self.thoughts = None;
                        self.say("", true).await?;
                    }
                },
            }
        }
    }

    async fn carried(&mut self, text: &str) -> Result<(), Fault> {
        let Ok(message) = serde_json::from_str::<Inbound>(text) else {
            return Ok(());
        };
        match (&*message.event, message.media) {
            ("media", Some(media)) => {
                if let Ok(audio) = STANDARD.decode(media.payload.as_bytes()) {
                    self.ears.send(tungstenite::Message::binary(audio)).await?;
                }
            }
            ("start", _) => {
                self.stream_sid = message.stream_sid.unwrap_or_default().into_owned();
                self.answer += 1;
                self.say(WELCOME, false).await?;
                self.say("", true).await?;
            }
            _ => {}
        }
        Ok(())
    }

    async fn heard(&mut self, text: &str) -> Result<(), Fault> {
        let Ok(message) = serde_json::from_str::<Value>(text) else {
            return Ok(());
        };
        if message["type"] != "Results" {
            return Ok(());
        }
        let words = message["channel"]["alternatives"][0]["transcript"]
            .as_str()
            .unwrap_or_default();
        if self.audible && words.split_whitespace().count() >= 2 {
            self.cut().await?;
        }
        if message["is_final"] == true && !words.is_empty() {
            self.turn.push_str(words);
        }
        if message["speech_final"] == true && !self.turn.is_empty() {
            let turn = std::mem::take(&mut self.turn);
            self.answer += 1;
            self.audible = false;
            self.thoughts = Some(think(self.shared.clone(), turn));
        }
        Ok(())
    }

    /// Barge-in: nothing of the answer is played any more.
    async fn cut(&mut self) -> Result<(), Fault> {
        let clear = json!({"event": "clear", "streamSid": self.stream_sid}).to_string();
        self.carrier.send(Message::text(clear)).await?;
        self.thoughts = None;
        let context = format!("a{}", self.answer);
        let close = json!({"context_id": context, "close_context": true}).to_string();
        self.voice.send(tungstenite::Message::text(close)).await?;
        self.answer += 1;
        self.audible = false;
        Ok(())
    }

    async fn say(&mut self, text: &str, end: bool) -> Result<(), Fault> {
        let context = format!("a{}", self.answer);
        let message = if end {
            json!({"context_id": context, "flush": true, "close_context": true})
        } else {
            json!({"text": text, "context_id": context, "flush": true})
        };
        self.voice
            .send(tungstenite::Message::text(message.to_string()))
            .await?;
        Ok(())
    }

    async fn spoken(&mut self, text: &str) -> Result<(), Fault> {
        let Ok(message) = serde_json::from_str::<Spoken>(text) else {
            return Ok(());
        };
        let live = message.context.is_some_and(|context| {
            context
                .strip_prefix('a')
                .and_then(|number| number.parse().ok())
                == Some(self.answer)
        });
        if let (Some(audio), true) = (message.audio, live) {
            // Base64 of mu-law on both wires: it goes through as it is.
            let mut media = String::with_capacity(audio.len() + 120);
            media.push_str("{\"event\":\"media\",\"streamSid\":\"");
            media.push_str(&self.stream_sid);
            media.push_str("\",\"media\":{\"payload\":\"");
            media.push_str(&audio);
            media.push_str("\"}}");
            self.audible = true;
            self.carrier.send(Message::text(media)).await?;
        }
        Ok(())
    }
}

async fn next(thoughts: &mut Option<BoxStream<'static, String>>) -> Option<String> {
    match thoughts {
        Some(thoughts) => thoughts.next().await,
        None => std::future::pending().await,
    }
}

/// The model's answer, sentence by sentence.
fn think(shared: Arc<Shared>, turn: String) -> BoxStream<'static, String> {
    let body = json!({
        "model": "gpt-4.1-mini",
        "stream": true,
        "messages": [{"role": "system", "content": "You take notes."}, {"role": "user", "content": turn}],
    });
    let (base, key) = &shared.options.llm;
    let request = shared
        .http
        .post(format!("{base}/chat/completions"))
        .bearer_auth(key)
        .json(&body);
    let start = async move {
        match request
            .send()
            .await
            .and_then(reqwest::Response::error_for_status)
        {
            Ok(response) => response.bytes_stream().boxed(),
            Err(error) => {
                tracing::warn!(%error, "the model does not answer");
                futures_util::stream::empty().boxed()
            }
        }
    };
    let bytes = futures_util::stream::once(start).flatten();
    let state = (bytes.boxed(), String::new(), String::new(), false);
    let sentences = futures_util::stream::unfold(
        state,
        |(mut bytes, mut events, mut text, ended)| async move {
            if ended {
                return None;
            }
            loop {
                while let Some(end) = events.find("\n\n") {
                    let event = events.drain(..end + 2).collect::<String>();
                    let data = event.trim().strip_prefix("data: ").unwrap_or_default();
                    let chunk: Value = serde_json::from_str(data).unwrap_or_default();
                    text.push_str(
                        chunk["choices"][0]["delta"]["content"]
                            .as_str()
                            .unwrap_or_default(),
                    );
                    if text.ends_with(['.', '?', '!', ',']) {
                        let sentence = std::mem::take(&mut text) + " ";
                        return Some((sentence, (bytes, events, text, false)));
                    }
                }
                match bytes.next().await {
                    Some(Ok(piece)) => events.push_str(&String::from_utf8_lossy(&piece)),
                    Some(Err(_)) | None if text.is_empty() => return None,
                    Some(Err(_)) | None => {
                        let rest = std::mem::take(&mut text) + " ";
                        return Some((rest, (bytes, events, text, true)));
                    }
                }
            }
        },
    );
    sentences.boxed()
}
