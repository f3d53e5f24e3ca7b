//! Requests for answers, in each wire: keys, checks, replies.

use std::{collections::HashMap, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, Query, State},
    http::{HeaderMap, header},
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
    wire::{Why, Wire},
};

pub(super) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(complete))
        .route("/openai/v1/chat/completions", post(complete))
        .route(
            "/openai/deployments/{deployment}/chat/completions",
            post(deployed),
        )
        .route("/v1/responses", post(respond))
        .route("/openai/v1/responses", post(respond))
        .route("/v1/messages", post(messages))
        .route("/v1/models/{method}", post(generate))
        .route("/v1beta/models/{method}", post(generate))
        .route("/v1/models", get(models))
        .layer(DefaultBodyLimit::max(16 * 1024 * 1024))
        .with_state(shared)
}

async fn models() -> Response {
    let model =
        json!({"id": "demo", "object": "model", "created": 1_700_000_000, "owned_by": "bolo"});
    axum::Json(json!({"object": "list", "data": [model]})).into_response()
}

fn key_refusal(shared: &Shared, wire: Wire, headers: &HeaderMap) -> Option<Response> {
    let key = wire.key(headers);
    let wanted = shared.options.api_key.as_deref();
    match key.as_str() {
        "busy" => Some(failed(wire, 429, Some(1))),
        "no-credit" => Some(wire.refuse(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            Why::NoCredit,
        )),
        "bad-key" => Some(failed(wire, 401, None)),
        key if wanted.is_some_and(|wanted| wanted != key) => Some(failed(wire, 401, None)),
        _ => None,
    }
}

fn failed(wire: Wire, status: u16, retry_after_s: Option<u64>) -> Response {
    let message = match status {
        401 => "Incorrect API key provided.",
        404 => "The model does not exist.",
        429 => "Rate limit reached.",
        400..500 => "The request was refused.",
        _ => "The server had an error.",
    };
    let mut response = wire.refuse(status, message, Why::Status);
    if let Some(seconds) = retry_after_s {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
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
    answer(&shared, Wire::Chat, &headers, &body, None).await
}

async fn respond(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    answer(&shared, Wire::Responses, &headers, &body, None).await
}

/// Azure: the path names the model, the query the version.
async fn deployed(
    State(shared): State<Arc<Shared>>,
    Path(deployment): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !query.contains_key("api-version") {
        return Wire::Azure.refuse(404, "Resource not found", Why::Status);
    }
    answer(&shared, Wire::Azure, &headers, &body, Some(&deployment)).await
}

async fn messages(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if !headers.contains_key("anthropic-version") {
        return Wire::Anthropic.refuse(400, "anthropic-version: header is required", Why::Status);
    }
    answer(&shared, Wire::Anthropic, &headers, &body, None).await
}

async fn generate(
    State(shared): State<Arc<Shared>>,
    Path(method): Path<String>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let model = method.strip_suffix(":streamGenerateContent");
    if model.is_none() || query.get("alt").is_none_or(|alt| alt != "sse") {
        return Wire::Gemini.refuse(404, "Requested entity was not found.", Why::Status);
    }
    answer(&shared, Wire::Gemini, &headers, &body, model).await
}

async fn answer(
    shared: &Arc<Shared>,
    wire: Wire,
    headers: &HeaderMap,
    body: &Bytes,
    model: Option<&str>,
) -> Response {
    let asked = tokio::time::Instant::now();
    let parsed = serde_json::from_slice::<Value>(body).map(|mut body| {
        if let (Some(model), Some(fields)) = (model, body.as_object_mut()) {
            fields.insert("model".into(), model.into());
        }
        body
    });
    let known = parsed.as_ref().cloned().unwrap_or_default();
    let chat = wire.as_chat(&known);
    let user = rules::last_user(&chat);
    let number = shared.enter(known, user.clone());
    let fail = |response: Response| {
        let status = response.status().as_u16();
        shared.note_outcome(number, Outcome::Failed(status));
        response
    };
    if let Some(refusal) = key_refusal(shared, wire, headers) {
        return fail(refusal);
    }
    let body = match parsed {
        Ok(body) => body,
        Err(fault) => {
            let message = format!("We could not parse the JSON body of your request: {fault}");
            return fail(wire.refuse(400, &message, Why::Status));
        }
    };
    if let Some((field, fault)) = wire.fault_of(&body) {
        return fail(wire.refuse(400, &fault, Why::Field(field)));
    }
    let (fault, delays) = {
        let mut state = shared.lock();
        (state.coming.next(), state.delays)
    };
    match &fault {
        Some(Fault::Status {
            status,
            retry_after_s,
        }) => {
            return fail(failed(wire, *status, *retry_after_s));
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
        shared.lock().rules.answer(&chat, &user)
    };
    let (reply, finish) = shorten(reply, &chat);
    let mut dice = shared.options.jitter.dice(number as u64);
    let mut response = if chat["stream"] == true {
        let plan = Plan {
            words: wire.words(&body, fault.as_ref()),
            prompt: prompt_chars(&chat).div_ceil(4),
            user: user.into(),
            reply,
            finish,
            fault,
            asked,
            first: delays.0,
            each: delays.1,
            dice,
        };
        stream::respond(shared.clone(), number, plan)
    } else if matches!(wire, Wire::Anthropic | Wire::Responses) {
        return fail(wire.refuse(400, "this fake only streams", Why::Status));
    } else {
        let wait = dice.delay(delays.0) + delays.1 * tokens(&reply.text).len() as u32;
        whole(shared, number, &body, reply, finish, fault, wait).await
    };
    wire.decorate(&mut response);
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
        usage(prompt_chars(body).div_ceil(4), count),
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
