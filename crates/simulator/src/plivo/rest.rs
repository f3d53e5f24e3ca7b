//! Plivo's REST API for calls (wire-telephony.md §2.1, §2.2).

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
    routing::{delete, get},
};
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{PLIVO, digits, e164};
use crate::carrier::{
    Call, Command, DialEntry, Shared,
    call::{Plan, Status},
    chance::uuid,
    execution_in, now_ms,
    rest::{self, Refusal, json as answer},
};

mod numbers;

type App = State<Arc<Shared>>;

/// The most that a page holds.
const PAGE: usize = 20;

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let account = Router::new()
        .route("/Call/", get(list).post(create))
        .route("/Call/{call}/", get(fetch).post(transfer).delete(hang_up))
        .route("/Request/{call}/", delete(cancel))
        .merge(numbers::routes())
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    Router::new()
        .nest("/v1/Account/{account}", account)
        .fallback(|| async { error(404, "not found") })
}

pub(crate) fn error(status: u16, text: &str) -> Response {
    answer(status, &json!({"api_id": api_id(), "error": text}))
}

fn not_found() -> Response {
    error(404, "not found")
}

tokio::task_local! {
    /// A number of chance that the request has.
    pub(crate) static REQUEST: u128;
}

/// Of the request that is answered.
pub(crate) fn api_id() -> String {
    uuid(REQUEST.try_with(|number| *number).unwrap_or_default())
}

/// Credentials, account and delay of every request.
async fn guard(
    State(shared): App,
    Path(parts): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::sleep(Duration::from_millis(shared.options.delays.rest_ms)).await;
    let ours = parts
        .first()
        .is_some_and(|(_, account)| account == shared.dialect.account());
    let known = shared.knows(request.headers()) && ours;
    let answering = async {
        match known {
            true => rest::pass(&shared, request, next, &REFUSALS).await,
            false => error(401, "authentication failed"),
        }
    };
    REQUEST.scope(shared.clerk.draw(), answering).await
}

/// Checks a dial request; the refusal has Plivo's form.
pub(crate) fn plan(shared: &Shared, body: &Value) -> Result<(String, String, Plan), Refusal> {
    let refuse = |text: String| Refusal::from(error(400, &text));
    let text = |name: &str| body[name].as_str().filter(|text| !text.is_empty());
    let needed =
        |name: &str| text(name).ok_or_else(|| refuse(format!("{name} parameter is missing")));
    let number = |name: &str| {
        let number = e164(needed(name)?);
        let plain = number.strip_prefix('+').unwrap_or_default();
        let valid = (7..=15).contains(&plain.len()) && !plain.starts_with('0');
        valid
            .then(|| number.clone())
            .ok_or_else(|| refuse(format!("{name} parameter is not valid")))
    };
    let (to, from) = (number("to")?, number("from")?);
    let numbers = shared.numbers();
    if !numbers.is_empty() && !numbers.iter().any(|own| own.phone_number == from) {
        return Err(refuse(format!(
            "from number {from} does not belong to the account"
        )));
    }
    let url = needed("answer_url")?.to_owned();
    for name in ["answer_url", "ring_url", "hangup_url", "fallback_url"] {
        if text(name).is_some_and(|url| !url.starts_with("http")) {
            return Err(refuse(format!("{name} parameter is not a url")));
        }
    }
    let owned = |name: &str| text(name).map(str::to_owned);
    let method = |name: &str| owned(name).unwrap_or_else(|| "POST".to_owned());
    let seconds = |name: &str, default: u64| body[name].as_u64().unwrap_or(default);
    let plan = Plan {
        url: Some(url),
        method: method("answer_method"),
        document: None,
        fallback_url: owned("fallback_url"),
        fallback_method: method("fallback_method"),
        status_callback: owned("hangup_url"),
        status_method: method("hangup_method"),
        status_events: Vec::new(),
        ring_url: owned("ring_url"),
        machine_url: owned("machine_detection_url").filter(|_| body["machine_detection"] == "true"),
        timeout_s: seconds("ring_timeout", 120),
        time_limit_s: seconds("time_limit", 14_400),
        ..Plan::default()
    };
    Ok((to, from, plan))
}

pub(crate) async fn create(State(shared): App, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return error(400, "the body is no JSON");
    };
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let entry = DialEntry {
        at_ms: now_ms(),
        to: e164(&text("to")),
        from: e164(&text("from")),
        execution: execution_in(&text("hangup_url")).or_else(|| execution_in(&text("answer_url"))),
        url: text("answer_url"),
        status_callback: text("hangup_url"),
        call: None,
        answered: None,
    };
    rest::dial(&shared, entry, &ANSWERS, || plan(&shared, &body)).await
}

const ANSWERS: rest::Answers = rest::Answers {
    status: 201,
    placed: |call| json!({"message": "call fired", "request_uuid": call.id, "api_id": api_id()}),
    refusals: REFUSALS,
};

pub(crate) const REFUSALS: rest::Refusals = rest::Refusals {
    refused: |status, _code, text| error(status, text),
    oops: || error(500, "internal server error"),
};

/// `live` = rings or talks; `queued` = not yet rung.
pub(crate) fn is(call: &Call, status: &str) -> bool {
    match call.status() {
        Status::Ringing | Status::InProgress => status == "live",
        Status::Queued | Status::Initiated => status == "queued",
        _ => false,
    }
}

pub(crate) fn query(text: Option<String>) -> Vec<(String, String)> {
    form_urlencoded::parse(text.unwrap_or_default().as_bytes())
        .into_owned()
        .collect()
}

async fn list(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(text): RawQuery,
) -> Response {
    let query = query(text);
    let get = |name: &str| {
        let found = query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    let fits = |call: &Call| {
        get("to_number").is_none_or(|number| e164(number) == call.to)
            && get("from_number").is_none_or(|number| e164(number) == call.from)
            && get("call_direction").is_none_or(|word| word == direction(call))
    };
    let calls = shared.listed();
    let newest_first = calls.iter().rev().filter(|call| fits(call));
    if let Some(status) = get("status") {
        let ids: Vec<&str> = newest_first
            .filter(|call| is(call, status))
            .map(|call| call.id.as_str())
            .collect();
        return answer(200, &json!({"api_id": api_id(), "calls": ids}));
    }
    let since = get("end_time__gte").and_then(|text| {
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_utc())
    });
    let over: Vec<Value> = newest_first
        .filter(|call| call.status().is_over())
        .filter(|call| since.is_none_or(|since| call.times().ended >= Some(since)))
        .map(|call| record(call))
        .collect();
    answer(
        200,
        &page(&format!("/v1/Account/{account}/Call/"), &query, &over),
    )
}

/// One page of a list.
fn page(path: &str, query: &[(String, String)], all: &[Value]) -> Value {
    let number = |name: &str, default: usize| {
        let given = query.iter().find(|(key, _)| key == name);
        given
            .and_then(|(_, text)| text.parse().ok())
            .unwrap_or(default)
    };
    let (limit, offset) = (number("limit", PAGE).clamp(1, PAGE), number("offset", 0));
    let shown: Vec<&Value> = all.iter().skip(offset).take(limit).collect();
    let at = |offset: usize| {
        let mut text = form_urlencoded::Serializer::new(String::new());
        for (name, value) in query {
            if !["limit", "offset"].contains(&name.as_str()) {
                text.append_pair(name, value);
            }
        }
        text.append_pair("limit", &limit.to_string());
        text.append_pair("offset", &offset.to_string());
        format!("{path}?{}", text.finish())
    };
    let meta = json!({
        "limit": limit,
        "offset": offset,
        "next": (offset + limit < all.len()).then(|| at(offset + limit)),
        "previous": (offset > 0).then(|| at(offset.saturating_sub(limit))),
        "total_count": all.len(),
    });
    json!({"api_id": api_id(), "meta": meta, "objects": shown})
}

pub(crate) fn find(shared: &Shared, id: &str) -> Result<Arc<Call>, Refusal> {
    shared.call(id).ok_or_else(|| not_found().into())
}

async fn fetch(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    let call = find(&shared, &id)?;
    let query = query(text);
    let mut body = match query.iter().find(|(name, _)| name == "status") {
        Some((_, status)) if is(&call, status) => live(&call),
        None if call.status().is_over() => record(&call),
        _ => return Err(not_found().into()),
    };
    body["api_id"] = api_id().into();
    Ok(answer(200, &body))
}

async fn transfer(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Result<Response, Refusal> {
    let call = find(&shared, &id)?;
    let form = body.as_object().into_iter().flatten();
    let form = form.map(|(name, value)| (name.clone(), value.to_string()));
    shared.ledger.update(&call.id, form.collect());
    let text = |name: &str| body[name].as_str().map(str::to_owned);
    let url = text("aleg_url").ok_or_else(|| Refusal::from(error(400, "aleg_url is missing")))?;
    let method = text("aleg_method").unwrap_or_else(|| "POST".to_owned());
    tell(&call, "live", Command::Redirect { url, method }).await?;
    let body = json!({"message": "call transfered", "api_id": api_id()});
    Ok(answer(202, &body))
}

async fn hang_up(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let call = find(&shared, &id)?;
    tell(&call, "live", Command::End).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn cancel(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let call = find(&shared, &id)?;
    tell(&call, "queued", Command::End).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// 404 when the call does not stand there (any more).
pub(crate) async fn tell(call: &Call, status: &str, command: Command) -> Result<(), Refusal> {
    if !is(call, status) || call.commands.send(command).await.is_err() {
        return Err(not_found().into());
    }
    Ok(())
}

fn direction(call: &Call) -> &'static str {
    super::direction(call)
}

/// A call that is not over.
pub(crate) fn live(call: &Call) -> Value {
    json!({
        "call_status": match call.status() {
            Status::Initiated => Status::Queued.word(),
            status => status.word(),
        },
        "call_uuid": call.id,
        "caller_name": call.from,
        "direction": direction(call),
        "from": digits(&call.from),
        "to": digits(&call.to),
        "request_uuid": call.id,
        "session_start": call.created.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
    })
}

/// The record of a call that is over.
fn record(call: &Call) -> Value {
    let times = call.times();
    let date =
        |date: Option<DateTime<Utc>>| date.map(|date| date.format("%F %T+00:00").to_string());
    let ending = call
        .ending()
        .map(|ending| PLIVO.cause(ending, call.inbound));
    let seconds = call.duration_s();
    json!({
        "answer_time": date(times.answered),
        "bill_duration": seconds,
        "billed_duration": seconds.div_ceil(60) * 60,
        "call_direction": direction(call),
        "call_duration": seconds,
        "call_state": "ANSWER",
        "call_uuid": call.id,
        "end_time": date(times.ended),
        "from_number": digits(&call.from),
        "hangup_cause_code": ending.as_ref().map(|ending| ending.code),
        "hangup_cause_name": ending.as_ref().map(|ending| ending.name),
        "hangup_source": ending.as_ref().map(|ending| ending.source),
        "initiation_time": date(Some(call.created)),
        "parent_call_uuid": null,
        "resource_uri": format!("/v1/Account/{}/Call/{}/", PLIVO.account, call.id),
        "to_number": digits(&call.to),
        "total_amount": "0.00000",
        "total_rate": "0.00000",
    })
}
