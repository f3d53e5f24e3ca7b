//! Sarvam: `/text-to-speech/ws` of wire-providers.md §B.2.

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
    Desk, FakeVoice, Fault, Options, next_fault,
    outbox::Outbox,
    session::{Session, Why, Wire},
    shows,
    sound::Encoding,
};
use crate::Error;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/text-to-speech/ws", get(speak))
            .with_state(desk)
    })
    .await
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    send_completion_event: String,
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
    if let Some(Fault::Status(status)) = fault {
        return refused(status, "internal_server_error");
    }
    if !shows(&headers, "api-subscription-key", &desk.options.api_key) {
        return refused(403, "invalid_api_key_error");
    }
    let wire = Sarvam {
        tells_end: asked.send_completion_event.eq_ignore_ascii_case("true"),
        encoding: None,
        buffer: String::new(),
    };
    let session = Session::new(desk.clone(), fault, wire);
    desk.upgrade(upgrade, |socket| session.run(socket))
}

fn refused(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": {"message": "Refused", "code": code, "request_id": "r"}});
    (status, Json(body)).into_response()
}

struct Sarvam {
    tells_end: bool,
    /// Known when `config` has come.
    encoding: Option<Encoding>,
    buffer: String,
}

impl Wire for Sarvam {
    const IDLE: (Duration, u16, &'static str) = (Duration::from_secs(60), 1000, "inactivity");

    fn take(&mut self, said: Value, out: &mut Outbox) -> Result<(), (u16, &'static str)> {
        let data = &said["data"];
        match (said["type"].as_str(), self.encoding) {
            (Some("config"), _) => {
                let language = data["target_language_code"]
                    .as_str()
                    .or(data["language_code"].as_str());
                let speaker = data["speaker"].as_str().unwrap_or_default();
                let rate = data["speech_sample_rate"].as_u64().unwrap_or(22_050);
                let encoding = match data["output_audio_codec"].as_str() {
                    Some("mulaw") if rate == 8000 => Some(Encoding::Mulaw),
                    Some("linear16") => Some(Encoding::Pcm(rate as u32)),
                    _ => None,
                };
                let is_good = language.is_some_and(|code| code.contains('-'))
                    && !speaker.is_empty()
                    && speaker == speaker.to_lowercase();
                match encoding.filter(|_| is_good) {
                    Some(encoding) => self.encoding = Some(encoding),
                    None => fail(out, 422, "config is not valid"),
                }
            }
            (Some("ping"), _) => {}
            (Some("text"), Some(_)) => {
                self.buffer
                    .push_str(data["text"].as_str().unwrap_or_default());
                self.buffer.push(' ');
            }
            (Some("flush"), Some(encoding)) => {
                let text = std::mem::take(&mut self.buffer);
                out.speak("", text.trim(), encoding, |chunk| {
                    let audio = BASE64_STANDARD.encode(&chunk.audio);
                    let message = json!({"type": "audio", "data": {"content_type": "audio/wav",
                        "audio": audio, "request_id": "r"}});
                    vec![Message::text(message.to_string())]
                });
                if self.tells_end {
                    out.tell(
                        "",
                        json!({"type": "event", "data": {"event_type": "final"}}),
                    );
                }
            }
            _ => fail(out, 422, "config must come first"),
        }
        Ok(())
    }

    fn refuse(&self, why: Why) -> Value {
        let (code, words) = match why {
            Why::Key => (403, "invalid api key"),
            Why::Quota => (429, "insufficient quota"),
            Why::Failure => (500, "internal server error"),
        };
        json!({"type": "error", "data": {"message": words, "code": code, "request_id": "r"}})
    }
}

fn fail(out: &mut Outbox, code: u16, message: &str) {
    out.tell(
        "",
        json!({"type": "error", "data": {"message": message, "code": code, "request_id": "r"}}),
    );
    out.close(1008, message);
}
