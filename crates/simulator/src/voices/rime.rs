//! Rime: `/ws3` of wire-providers.md §B.7.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    Desk, FakeVoice, Fault, Options, bears, next_fault,
    outbox::Outbox,
    session::{Session, Why, Wire},
    sound::{Encoding, sentences, words},
};
use crate::Error;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new().route("/ws3", get(speak)).with_state(desk)
    })
    .await
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    speaker: Option<String>,
    model_id: Option<String>,
    #[serde(default)]
    audio_format: String,
    sampling_rate: u32,
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if fault == Some(Fault::HalfOpen) {
        desk.session(std::future::pending()).await;
    }
    let encoding = match (asked.audio_format.as_str(), asked.sampling_rate) {
        ("mulaw", 8000) => Some(Encoding::Mulaw),
        ("pcm", rate) => Some(Encoding::Pcm(rate)),
        _ => None,
    };
    let status = match (&fault, encoding) {
        (Some(Fault::Status(status)), _) => Some(*status),
        _ if !bears(&headers, &desk) => Some(401),
        (_, None) => Some(400),
        _ if asked.speaker.is_none() || asked.model_id.is_none() => Some(400),
        _ => None,
    };
    let encoding = match (status, encoding) {
        (None, Some(encoding)) => encoding,
        (status, _) => {
            let status = StatusCode::from_u16(status.unwrap_or(400));
            let body = Json(json!({"error": "refused"}));
            return (status.unwrap_or(StatusCode::BAD_REQUEST), body).into_response();
        }
    };
    let wire = Rime {
        encoding,
        context: Value::Null,
        buffer: String::new(),
    };
    let session = Session::new(desk.clone(), fault, wire);
    desk.upgrade(upgrade, |socket| session.run(socket))
}

struct Rime {
    encoding: Encoding,
    /// The latest label.
    context: Value,
    buffer: String,
}

impl Wire for Rime {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(300), 1000, "idle");

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        if let Some(text) = said["text"].as_str() {
            self.context = said["contextId"].clone();
            self.buffer.push_str(text);
            for sentence in sentences(&mut self.buffer) {
                self.speak(&sentence, out);
            }
            return Ok(());
        }
        match said["operation"].as_str() {
            Some("flush") => {
                let rest = std::mem::take(&mut self.buffer);
                self.speak(&rest, out);
                out.tell("", json!({"type": "done", "contextId": self.context}));
            }
            Some("clear") => {
                self.buffer.clear();
                out.cancel(None);
            }
            Some("eos") => {
                let rest = std::mem::take(&mut self.buffer);
                self.speak(&rest, out);
                out.close(1000, "");
            }
            _ => out.tell("", json!({"type": "error", "message": "invalid message"})),
        }
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let words = match why {
            Why::Key => "Unauthorized",
            Why::Quota => "Out of credit",
            Why::Failure => "Internal error",
        };
        json!({"type": "error", "message": words})
    }
}

impl Rime {
    /// The times of a sentence's words come with its beginning, and begin anew with each.
    fn speak(&self, text: &str, out: &mut Outbox) {
        let context = &self.context;
        let words = words(text);
        let column = |pick: fn(&(String, u64, u64)) -> u64| -> Vec<f64> {
            let times = words.iter().map(pick);
            times.map(|ms| ms as f64 / 1000.0).collect()
        };
        let texts: Vec<&str> = words.iter().map(|(word, ..)| word.as_str()).collect();
        let times = json!({"type": "timestamps", "contextId": context, "word_timestamps": {
            "words": texts, "start": column(|word| word.1), "end": column(|word| word.2)}});
        let mut times = Some(Message::text(times.to_string()));
        out.speak("", text, self.encoding, |chunk| {
            let audio = json!({"type": "chunk", "data": BASE64_STANDARD.encode(&chunk.audio),
                "contextId": context});
            let audio = Message::text(audio.to_string());
            times.take().into_iter().chain([audio]).collect()
        });
    }
}
