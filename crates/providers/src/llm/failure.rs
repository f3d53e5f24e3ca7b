//! What a server's refusals and failures mean. Source: wire-providers.md §3.3, §7.1.

use std::time::Duration;

use serde_json::Value;

use crate::{Error, ErrorKind, error::Origin};

/// Longest body of a refusal that is read, bytes.
const LONGEST: usize = 64 << 10;
/// A refusal whose body does not come is told by its status.
const BODY_LIMIT: Duration = Duration::from_secs(2);

/// What a server says of its failure.
#[derive(Debug, Default, PartialEq)]
struct Said {
    message: String,
    /// `code`, `type`, `status` and the reasons of Google's details, lower case; a code may be a number
    /// on the wire.
    codes: String,
    /// The code where it is a number that can be an HTTP status.
    status: Option<u16>,
}

/// A response that is no success.
pub(super) async fn refused(origin: Origin, mut response: reqwest::Response) -> Error {
    let status = response.status().as_u16();
    let wait = crate::http::retry_after(response.headers());
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LONGEST {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(BODY_LIMIT, read).await;
    let said = serde_json::from_slice::<Value>(&body)
        .map(|body| said(&body))
        .unwrap_or_default();
    let error = classify(origin, status, &said, wait);
    tracing::warn!(vendor = origin.vendor, status, codes = said.codes, kind = ?error.kind, "the model server refused");
    error
}

/// An error object in the middle of a stream.
pub(super) fn in_stream(origin: Origin, error: &Value) -> Error {
    let said = said(&serde_json::json!({ "error": error }));
    tracing::warn!(
        vendor = origin.vendor,
        codes = said.codes,
        "the model server failed in mid-stream"
    );
    match said.status {
        Some(status @ 400..=599) => classify(origin, status, &said, None),
        _ if said.codes.is_empty() => origin.server("in mid-stream"),
        _ => classify(origin, 500, &said, None),
    }
}

fn classify(origin: Origin, status: u16, said: &Said, wait: Option<Duration>) -> Error {
    let has = |names: &[&str]| names.iter().any(|name| said.codes.contains(name));
    let is_broke = said.message.contains("credit balance is too low");
    if is_broke
        || has(&[
            "insufficient_quota",
            "insufficient_balance",
            "billing_hard_limit",
            "credit",
        ])
    {
        return origin.quota();
    }
    if has(&["content_filter", "content_policy", "responsibleai"]) {
        return origin.fault(ErrorKind::Content, "refused for its content");
    }
    if has(&["invalid_api_key", "api_key_invalid", "authentication_error"]) {
        return origin.bad_key();
    }
    if has(&["rate_limit", "resource_exhausted"]) {
        return origin.rate_limited(wait);
    }
    match status {
        // Neither a retry nor another history helps.
        404 => Error {
            kind: ErrorKind::NotFound,
            ..origin.rejected(&said.message)
        },
        _ => origin.status(status, &said.message, wait),
    }
}

/// `{"error":{…}}`, `{"error":"…"}`, `[{"error":…}]`, `{"detail":…}`, or the fields at the top level.
fn said(body: &Value) -> Said {
    let body = match body {
        Value::Array(items) => items.first().unwrap_or(&Value::Null),
        other => other,
    };
    let error = body
        .get("error")
        .filter(|error| !error.is_null())
        .unwrap_or(body);
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let message = match error {
        Value::String(text) => text.clone(),
        _ => [
            text(error.get("message")),
            text(body.get("message")),
            text(body.get("detail")),
        ]
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default(),
    };
    let mut codes: Vec<String> = ["code", "type", "status"]
        .iter()
        .map(|name| text(error.get(*name)))
        .collect();
    let details = error.get("details").and_then(Value::as_array);
    codes.extend(
        details
            .into_iter()
            .flatten()
            .map(|detail| text(detail.get("reason"))),
    );
    Said {
        message,
        status: codes[0].parse().ok(),
        codes: codes.join(" ").trim().to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    const ORIGIN: Origin = Origin {
        vendor: "openai",
        role: "llm",
        variable: "OPENAI_API_KEY",
    };

    fn kind(status: u16, body: &str) -> ErrorKind {
        let said = serde_json::from_str(body)
            .map(|body: Value| said(&body))
            .unwrap_or_default();
        classify(ORIGIN, status, &said, None).kind
    }

    #[test]
    fn statuses_and_codes() {
        let invalid = r#"{"error":{"message":"no","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
        assert_eq!(kind(400, invalid), ErrorKind::BadRequest);
        assert_eq!(
            kind(400, r#"{"error":{"code":"content_filter","message":"x"}}"#),
            ErrorKind::Content
        );
        assert_eq!(
            kind(401, r#"{"error":{"code":"invalid_api_key"}}"#),
            ErrorKind::Auth
        );
        assert_eq!(kind(402, "{}"), ErrorKind::Quota);
        assert_eq!(
            kind(403, r#"{"error":{"message":"not in your country"}}"#),
            ErrorKind::Auth
        );
        assert_eq!(
            kind(404, r#"{"error":{"code":"model_not_found","message":"x"}}"#),
            ErrorKind::NotFound
        );
        let google = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
            "details":[{"@type":"x","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(kind(400, google), ErrorKind::Auth);
        let anthropic = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
        assert_eq!(kind(529, anthropic), ErrorKind::Server);
        let broke = r#"{"type":"error","error":{"type":"invalid_request_error",
            "message":"Your credit balance is too low to access the API."}}"#;
        assert_eq!(kind(400, broke), ErrorKind::Quota);
        assert_eq!(
            kind(
                429,
                r#"{"error":{"code":"rate_limit_exceeded","type":"tokens"}}"#
            ),
            ErrorKind::RateLimited
        );
        assert_eq!(
            kind(
                429,
                r#"{"error":{"code":"insufficient_quota","type":"insufficient_quota"}}"#
            ),
            ErrorKind::Quota
        );
        assert_eq!(kind(429, "not json"), ErrorKind::RateLimited);
        assert_eq!(kind(498, ""), ErrorKind::RateLimited);
        for status in [408, 409, 500, 502, 503, 529] {
            assert_eq!(kind(status, "<html>"), ErrorKind::Server, "{status}");
        }
        assert_eq!(
            kind(
                400,
                r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#
            ),
            ErrorKind::BadRequest
        );
    }

    #[test]
    fn the_servers_words_are_kept_short_and_keys_are_not_repeated() {
        let long = format!(
            r#"{{"object":"error","message":"{}","code":400}}"#,
            "x".repeat(900)
        );
        let text = classify(
            ORIGIN,
            400,
            &said(&serde_json::from_str(&long).unwrap()),
            None,
        )
        .to_string();
        assert!(
            text.starts_with("openai llm: rejected the request: xxx") && text.len() < 260,
            "{text}"
        );
        let body = r#"{"error":{"message":"Incorrect API key provided: sk-abc***xyz","code":"invalid_api_key"}}"#;
        let text = classify(
            ORIGIN,
            401,
            &said(&serde_json::from_str(body).unwrap()),
            None,
        )
        .to_string();
        assert_eq!(
            text,
            "openai llm: authentication failed (check OPENAI_API_KEY)"
        );
    }

    #[test]
    fn failures_in_mid_stream() {
        let kind = |text: &str| in_stream(ORIGIN, &serde_json::from_str(text).unwrap()).kind;
        assert_eq!(
            kind(r#"{"code":502,"message":"upstream"}"#),
            ErrorKind::Server
        );
        assert_eq!(
            kind(r#"{"code":429,"message":"slow down"}"#),
            ErrorKind::RateLimited
        );
        assert_eq!(kind(r#""overloaded""#), ErrorKind::Server);
        assert_eq!(
            kind(r#"{"type":"server_error","message":"x"}"#),
            ErrorKind::Server
        );
    }
}
