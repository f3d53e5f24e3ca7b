//! OpenAI's speech: `POST /v1/audio/speech` of wire-providers.md §B.6.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

use super::{Desk, FakeVoice, Fault, Options, bears, http, next_fault, sound::Encoding};
use crate::Error;

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/v1/audio/speech", post(speak))
            .with_state(desk)
    })
    .await
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> Response {
    let fault = next_fault(&desk, &headers);
    match &fault {
        Some(Fault::HalfOpen) => match http::half_open(&desk).await {},
        Some(Fault::Status(status)) => return refused(*status, "server_error", "Refused"),
        Some(Fault::QuotaMessage) => {
            return refused(429, "insufficient_quota", "You exceeded your current quota");
        }
        Some(Fault::KeyMessage) => return refused(401, "invalid_api_key", "Incorrect API key"),
        _ if !bears(&headers, &desk) => {
            return refused(401, "invalid_api_key", "Incorrect API key");
        }
        _ => {}
    }
    let text = |name: &str| asked[name].as_str().filter(|text| !text.is_empty());
    let (Some(input), Some(_), Some(_)) = (text("input"), text("model"), text("voice")) else {
        return refused(
            400,
            "invalid_request_error",
            "input, model and voice are required",
        );
    };
    if input.chars().count() > 4096 {
        return refused(400, "string_above_max_length", "input is too long");
    }
    if asked["response_format"] != "pcm" {
        return refused(400, "invalid_request_error", "this fake makes pcm only");
    }
    http::speech(&desk, fault, input, Encoding::Pcm(24_000))
}

fn refused(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": {"message": message, "type": code, "param": null, "code": code}});
    (status, Json(body)).into_response()
}
