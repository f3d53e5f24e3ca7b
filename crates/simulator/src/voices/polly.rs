//! AWS Polly: `POST /v1/speech` of wire-providers.md §B.5. Its key is `<access key id>:<secret>`; requests
//! must be signed with it (Signature Version 4).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::post,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Desk, FakeVoice, Fault, Options, http, next_fault, sound::Encoding};
use crate::{Error, xml};

/// Starts it. `Error::Listen` if the address is taken.
pub async fn start(options: Options) -> Result<FakeVoice, Error> {
    FakeVoice::serve(options.addr, options, |desk| {
        Router::new()
            .route("/v1/speech", post(speak))
            .with_state(desk)
    })
    .await
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    uri: Uri,
    headers: HeaderMap,
    body: String,
) -> Response {
    let fault = next_fault(&desk, &headers);
    let forged = || {
        refused(
            403,
            "InvalidSignatureException",
            "The request signature is not valid",
        )
    };
    match &fault {
        Some(Fault::HalfOpen) => match http::half_open(&desk).await {},
        Some(Fault::Status(status)) => return refused(*status, "ServiceFailure", "Refused"),
        Some(Fault::QuotaMessage) => return refused(402, "Quota", "Out of credit"),
        Some(Fault::KeyMessage) => return forged(),
        _ if !is_signed(&headers, uri.path(), &body, &desk.options.api_key) => return forged(),
        _ => {}
    }
    let asked: Value = serde_json::from_str(&body).unwrap_or_default();
    let rate = match (asked["OutputFormat"].as_str(), asked["SampleRate"].as_str()) {
        (Some("pcm"), Some("8000")) => 8000,
        (Some("pcm"), None | Some("16000")) => 16_000,
        _ => return refused(400, "InvalidSampleRateException", "Unsupported sample rate"),
    };
    let (Some(text), Some(voice)) = (asked["Text"].as_str(), asked["VoiceId"].as_str()) else {
        return refused(400, "ValidationException", "Text and VoiceId are required");
    };
    if !voice.is_ascii() {
        return refused(400, "ValidationException", "no such VoiceId");
    }
    let text = match asked["TextType"].as_str() {
        Some("ssml") => match xml::parse(text) {
            Ok(speak) => speak.children.first().unwrap_or(&speak).text.clone(),
            Err(fault) => return refused(400, "InvalidSsmlException", &fault),
        },
        _ => text.to_owned(),
    };
    if text.chars().count() > 3000 {
        return refused(400, "TextLengthExceededException", "Text is too long");
    }
    http::speech(&desk, fault, &text, Encoding::Pcm(rate))
}

fn refused(status: u16, kind: &'static str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Json(json!({"message": message}));
    (status, [("x-amzn-errortype", kind)], body).into_response()
}

fn is_signed(headers: &HeaderMap, path: &str, body: &str, key: &str) -> bool {
    signature(headers, path, body, key).is_some_and(|(given, wanted)| given == wanted)
}

/// The signature that came, and the one that should have.
fn signature(headers: &HeaderMap, path: &str, body: &str, key: &str) -> Option<(String, String)> {
    let header = |name: &str| headers.get(name)?.to_str().ok();
    let (id, secret) = key.split_once(':')?;
    let authorization = header("authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let mut parts = authorization.split(", ");
    let credential = parts.next()?.strip_prefix("Credential=")?;
    let names = parts.next()?.strip_prefix("SignedHeaders=")?;
    let given = parts.next()?.strip_prefix("Signature=")?;
    let scope = credential.strip_prefix(id)?.strip_prefix('/')?;
    let date = header("x-amz-date")?;
    let [day, region, "polly", "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return None;
    };
    if !names.split(';').any(|name| name == "host") || !date.starts_with(day) {
        return None;
    }
    let mut canonical = format!("POST\n{path}\n\n");
    for name in names.split(';') {
        canonical.push_str(&format!("{name}:{}\n", header(name)?.trim()));
    }
    canonical.push_str(&format!("\n{names}\n{}", hex(&Sha256::digest(body))));
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        hex(&Sha256::digest(canonical))
    );
    let day = mac(format!("AWS4{secret}").as_bytes(), day)?;
    let service = mac(&mac(&day, region)?, "polly")?;
    let wanted = hex(&mac(&mac(&service, "aws4_request")?, &text)?);
    Some((given.to_owned(), wanted))
}

fn mac(key: &[u8], text: &str) -> Option<Vec<u8>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(mac.finalize().into_bytes().to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
