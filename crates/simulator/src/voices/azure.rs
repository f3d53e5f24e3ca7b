//! Azure's speech: `POST /cognitiveservices/v1` of wire-providers.md §B.4.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};

use super::{Desk, FakeVoice, Fault, Options, http, next_fault, says, shows, sound::Encoding};
use crate::{Error, xml};

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/cognitiveservices/v1", post(speak))
            .with_state(desk)
    })
    .await
}

async fn speak(State(desk): State<Arc<Desk>>, headers: HeaderMap, ssml: String) -> Response {
    let fault = next_fault(&desk, &headers);
    match &fault {
        Some(Fault::HalfOpen) => match http::half_open(&desk).await {},
        Some(Fault::Status(status)) => return refused(*status),
        Some(Fault::QuotaMessage) => {
            return (StatusCode::TOO_MANY_REQUESTS, "quota exceeded").into_response();
        }
        Some(Fault::KeyMessage) => return refused(401),
        _ if !shows(&headers, "ocp-apim-subscription-key", &desk.options.api_key) => {
            return refused(401);
        }
        _ => {}
    }
    let format = headers
        .get("x-microsoft-outputformat")
        .and_then(|value| value.to_str().ok());
    let encoding = match format {
        Some("raw-8khz-8bit-mono-mulaw") => Encoding::Mulaw,
        Some("raw-8khz-16bit-mono-pcm") => Encoding::Pcm(8000),
        Some("raw-16khz-16bit-mono-pcm") => Encoding::Pcm(16_000),
        Some("raw-24khz-16bit-mono-pcm") => Encoding::Pcm(24_000),
        Some("raw-48khz-16bit-mono-pcm") => Encoding::Pcm(48_000),
        _ => return refused(400),
    };
    if !says(&headers, "content-type", "application/ssml+xml") {
        return refused(415);
    }
    match text(&ssml) {
        Some(text) => http::speech(&desk, fault, &text, encoding),
        None => refused(400),
    }
}

/// What a document says; `None` where it is no SSML, or speaks with no voice.
fn text(ssml: &str) -> Option<String> {
    let speak = xml::parse(ssml).ok().filter(|root| root.name == "speak")?;
    speak
        .attribute("version")
        .zip(speak.attribute("xml:lang"))?;
    let voice = speak.children.iter().find(|child| child.name == "voice")?;
    voice.attribute("name").filter(|name| name.contains('-'))?;
    let prosody = voice.children.iter().find(|child| child.name == "prosody");
    Some(prosody.unwrap_or(voice).text.clone())
}

fn refused(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    status.into_response()
}
