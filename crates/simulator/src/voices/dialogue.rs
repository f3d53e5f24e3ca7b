//! ElevenLabs' dialogue socket for its v3 models: `/v1/text-to-dialogue/multi-stream-input` of
//! wire-providers.md §4.3.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State, WebSocketUpgrade, ws::Message},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::{
    Desk, FakeVoice, Fault, Options, next_fault,
    outbox::Outbox,
    session::{Session, Why, Wire},
    shows,
    sound::{Chunk, Encoding},
};
use crate::{Error, tone};

/// Contexts that may be open at once.
const CONTEXTS: usize = 5;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/v1/text-to-dialogue/multi-stream-input", get(speak))
            .with_state(desk)
    })
    .await
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(asked): Query<BTreeMap<String, String>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = next_fault(&desk, &headers);
    if fault == Some(Fault::HalfOpen) {
        desk.session(std::future::pending()).await;
    }
    let encoding = match asked.get("output_format").map(String::as_str) {
        Some("ulaw_8000") => Some(Encoding::Mulaw),
        Some(other) => (other.strip_prefix("pcm_"))
            .and_then(|rate| rate.parse().ok())
            .map(Encoding::Pcm),
        None => None,
    };
    // What the other sockets take is refused here.
    let foreign = ["inactivity_timeout", "optimize_streaming_latency"];
    let is_v3 = asked
        .get("model_id")
        .is_some_and(|model| model.starts_with("eleven_v3"));
    let (status, encoding) = match (&fault, encoding) {
        (Some(Fault::Status(status)), _) => (*status, None),
        _ if !shows(&headers, "xi-api-key", &desk.options.api_key) => (401, None),
        _ if !is_v3 || foreign.iter().any(|name| asked.contains_key(*name)) => (400, None),
        (_, encoding) => (400, encoding),
    };
    let Some(encoding) = encoding else {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({"detail": {"status": "refused", "message": "Refused"}});
        return (status, Json(body)).into_response();
    };
    let wire = Dialogue {
        encoding,
        contexts: BTreeMap::new(),
    };
    let session = Session::new(desk.clone(), fault, wire);
    desk.upgrade(upgrade, |socket| session.run(socket))
}

struct Dialogue {
    encoding: Encoding,
    contexts: BTreeMap<String, Context>,
}

struct Context {
    voices: Vec<Value>,
    /// Text that waits for a flush.
    buffer: String,
    spoke: bool,
}

impl Wire for Dialogue {
    const IDLE: (Duration, u16, &'static str) =
        (Duration::from_secs(20), 1008, "input_timeout_exceeded");

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        if said["close_socket"] == true {
            out.close(1000, "");
            return Ok(());
        }
        let Some(id) = said["context_id"].as_str().map(str::to_owned) else {
            return match said["keep_alive"] == true {
                true => Ok(()),
                false => Err((1008, "invalid_input_message")),
            };
        };
        if let Some(voices) = said["voices"].as_array() {
            if self.contexts.len() >= CONTEXTS {
                return Err((1008, "max_active_contexts"));
            }
            let context = Context {
                voices: voices.clone(),
                buffer: String::new(),
                spoke: false,
            };
            self.contexts.insert(id.clone(), context);
        }
        let Some(context) = self.contexts.get_mut(&id) else {
            // Of what is closed already.
            return Ok(());
        };
        for input in said["inputs"].as_array().into_iter().flatten() {
            let is_first = context.buffer.is_empty() && !context.spoke;
            if !context.voices.contains(&input["voice_id"])
                || (input["new_turn"] == true) != is_first
            {
                return Err((1008, "invalid_input_message"));
            }
            context
                .buffer
                .push_str(input["text"].as_str().unwrap_or_default());
            context.spoke = true;
        }
        if said["flush"] == true {
            let text = std::mem::take(&mut context.buffer);
            let text = text.trim();
            let mut characters = text.chars();
            let mut at = 0;
            out.speak(&id, text, self.encoding, |chunk| {
                let (from, to) = (at, at + chunk.ms);
                at = to;
                vec![audio(&id, chunk, &mut characters, from, to)]
            });
            out.tell(
                &id,
                json!({"is_final_audio_for_turn": true, "context_id": id}),
            );
        }
        if said["close_context"] == true {
            self.contexts.remove(&id);
            out.tell(&id, json!({"is_final": true, "context_id": id}));
        }
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let (error, message) = match why {
            Why::Key => ("invalid_api_key", "Invalid API key"),
            Why::Quota => ("quota_exceeded", "This request exceeds your quota."),
            Why::Failure => ("internal_error", "Something went wrong."),
        };
        let code = match why {
            Why::Key | Why::Quota => 1008,
            Why::Failure => 1011,
        };
        json!({"message": message, "error": error, "code": code, "param": null})
    }
}

/// A chunk with the characters that begin in it, by times from its start.
fn audio(
    id: &str,
    chunk: &Chunk,
    characters: &mut std::str::Chars<'_>,
    from: u64,
    to: u64,
) -> Message {
    let count = (to.div_ceil(tone::CHAR_MS) - from.div_ceil(tone::CHAR_MS)) as usize;
    let begins = from.div_ceil(tone::CHAR_MS) * tone::CHAR_MS - from;
    let chars: Vec<String> = characters.take(count).map(String::from).collect();
    let starts: Vec<u64> = (0..chars.len() as u64)
        .map(|n| begins + n * tone::CHAR_MS)
        .collect();
    let durations = vec![tone::CHAR_MS; chars.len()];
    let message = json!({"audio": BASE64_STANDARD.encode(&chunk.audio), "context_id": id,
        "alignment": {"chars": chars, "char_start_times_ms": starts, "char_durations_ms": durations}});
    Message::text(message.to_string())
}
