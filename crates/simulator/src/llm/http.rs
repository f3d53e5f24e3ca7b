//! `POST /v1/chat/completions`: keys, checks, replies.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::{
    Fault, Outcome, Shared,
    chunks::{Chunks, tokens, usage},
    demo,
    rules::{self, Reply},
    stream::{self, Plan},
};

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::max(16 * 1024 * 1024))
        .with_state(shared)
}

async fn models() -> Response {
    let model =
        json!({"id": "demo", "object": "model", "created": 1_700_000_000, "owned_by": "bolo"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

/// OpenAI's error body.
fn refuse(status: u16, kind: &str, code: &str, param: Option<&str>, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "param": param, "code": code}});
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response();
    decorate(&mut response);
    response
}

fn decorate(response: &mut Response) {
    let id = format!("req_{:032x}", rand::random::<u128>());
    for (name, value) in [
        ("x-request-id", &*id),
        ("openai-processing-ms", "1"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
}

fn key_refusal(shared: &Shared, headers: &HeaderMap) -> Option<Response> {
    let value = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let key = value
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    let wanted = shared.options.api_key.as_deref();
    match key {
        "busy" => Some(failed(429, Some(1))),
        "no-credit" => Some(refuse(
            429,
            "insufficient_quota",
            "insufficient_quota",
            None,
            "You exceeded your current quota, please check your plan and billing details.",
        )),
        "bad-key" => Some(failed(401, None)),
        key if wanted.is_some_and(|wanted| wanted != key) => Some(failed(401, None)),
        _ => None,
    }
}

fn failed(status: u16, retry_after_s: Option<u64>) -> Response {
    let (kind, code, message) = match status {
        401 => (
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided.",
        ),
        404 => (
            "invalid_request_error",
            "model_not_found",
            "The model does not exist.",
        ),
        429 => ("requests", "rate_limit_exceeded", "Rate limit reached."),
        400..500 => (
            "invalid_request_error",
            "invalid_value",
            "The request was refused.",
        ),
        _ => ("server_error", "server_error", "The server had an error."),
    };
    let mut response = refuse(status, kind, code, None, message);
    if let Some(seconds) = retry_after_s {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// What OpenAI would refuse about a body.
fn bad_body(body: &Value) -> Option<Response> {
    let bad = |param: &str, message: &str| {
        Some(refuse(
            400,
            "invalid_request_error",
            "invalid_value",
            Some(param),
            message,
        ))
    };
    if !body["model"].is_string() {
        return bad("model", "you must provide a model parameter");
    }
    if body["messages"].as_array().is_none_or(Vec::is_empty) {
        return bad("messages", "[] is too short - 'messages'");
    }
    if body["tools"].as_array().is_some_and(Vec::is_empty) {
        return bad("tools", "[] is too short - 'tools'");
    }
    if body
        .get("stream_options")
        .is_some_and(|options| !options.is_null())
        && body["stream"] != true
    {
        return bad(
            "stream_options",
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        );
    }
    None
}

/// Names of the offered tools.
pub(super) fn tools(body: &Value) -> Vec<String> {
    let tools = body["tools"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let names = tools
        .iter()
        .filter_map(|tool| tool["function"]["name"].as_str());
    names.map(str::to_owned).collect()
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let parsed = serde_json::from_slice::<Value>(&body);
    let number = shared.enter(parsed.as_ref().cloned().unwrap_or_default());
    let fail = |response: Response| {
        let status = response.status().as_u16();
        shared.note_outcome(number, Outcome::Failed(status));
        response
    };
    if let Some(refusal) = key_refusal(&shared, &headers) {
        return fail(refusal);
    }
    let body = match parsed {
        Ok(body) => body,
        Err(fault) => {
            let message = format!("We could not parse the JSON body of your request: {fault}");
            return fail(refuse(
                400,
                "invalid_request_error",
                "invalid_json",
                None,
                &message,
            ));
        }
    };
    if let Some(refusal) = bad_body(&body) {
        return fail(refusal);
    }
    let (fault, delays) = {
        let mut state = shared.lock();
        (state.faults.pop_front(), state.delays)
    };
    match &fault {
        Some(Fault::Status {
            status,
            retry_after_s,
        }) => {
            return fail(failed(*status, *retry_after_s));
        }
        Some(Fault::NoHeaders {}) => {
            let _gone = stream::Aborting::new(shared.clone(), number);
            std::future::pending().await
        }
        _ => {}
    }
    let reply = if shared.options.demo {
        demo::reply(&body)
    } else {
        shared.lock().rules.reply(&rules::last_user(&body))
    };
    let (reply, finish) = shorten(reply, &body);
    let mut response = if body["stream"] == true {
        let asked = body["stream_options"]["include_usage"] == true;
        let plan = Plan {
            reply,
            finish,
            fault,
            first: delays.0,
            each: delays.1,
            usage_asked: asked,
        };
        stream::respond(shared.clone(), number, &body, plan)
    } else {
        let wait = delays.0 + delays.1 * tokens(&reply.text).len() as u32;
        whole(&shared, number, &body, reply, finish, fault, wait).await
    };
    decorate(&mut response);
    response
}

async fn whole(
    shared: &Arc<Shared>,
    number: usize,
    body: &Value,
    reply: Reply,
    finish: &str,
    fault: Option<Fault>,
    wait: std::time::Duration,
) -> Response {
    let aborting = stream::Aborting::new(shared.clone(), number);
    tokio::time::sleep(wait).await;
    let count = tokens(&reply.text).len();
    match fault {
        Some(Fault::StallAfter { .. } | Fault::Silence {}) => std::future::pending().await,
        Some(Fault::DelayFirst { ms }) => {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await
        }
        _ => {}
    }
    aborting.finished(count);
    let answer = Chunks::new(&model(body), true).whole(
        &reply.text,
        &reply.calls,
        finish,
        usage(prompt_chars(body), count),
    );
    let text = answer.to_string();
    let text = match fault {
        Some(Fault::Garbage {} | Fault::CutShort { .. }) => text[..text.len() / 2].to_owned(),
        _ => text,
    };
    let body = match fault {
        Some(Fault::ResetAfter { .. } | Fault::ResetBeforeFirst {}) => {
            let broken = std::io::Error::other("reset as the test asked");
            Body::from_stream(futures_util::stream::iter([Err::<Bytes, _>(broken)]))
        }
        _ => Body::from(text),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The model's name as answered.
pub(super) fn model(body: &Value) -> String {
    body["model"].as_str().unwrap_or_default().to_owned()
}

/// Characters of all messages.
pub(super) fn prompt_chars(body: &Value) -> usize {
    let messages = body["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    messages
        .iter()
        .map(|message| rules::content(message).chars().count())
        .sum()
}

/// Applies `stop` and the token limit; gives the finish reason.
fn shorten(mut reply: Reply, body: &Value) -> (Reply, &'static str) {
    let stops = match &body["stop"] {
        Value::String(stop) => vec![stop.as_str()],
        Value::Array(stops) => stops.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(at) = stops.iter().filter_map(|stop| reply.text.find(stop)).min() {
        reply.text.truncate(at);
    }
    let limit = body["max_completion_tokens"]
        .as_u64()
        .or_else(|| body["max_tokens"].as_u64());
    let pieces = tokens(&reply.text);
    if let Some(limit) = limit.filter(|limit| (pieces.len() as u64) > *limit) {
        reply.text = pieces[..limit as usize].concat();
        reply.calls.clear();
        return (reply, "length");
    }
    let finish = if reply.calls.is_empty() {
        "stop"
    } else {
        "tool_calls"
    };
    (reply, finish)
}
