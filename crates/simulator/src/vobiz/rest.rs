//! Vobiz's REST API for calls (wire-telephony.md §3.1): Plivo's bodies under paths whose slashes matter, and
//! records of its own.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, StatusCode},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::VOBIZ;
use crate::{
    carrier::{
        Call, Command, Shared,
        rest::{self, Refusal, json as answer},
    },
    plivo::{
        digits, direction,
        rest::{REFUSALS, REQUEST, api_id, create, error, find, is, live, query, tell},
    },
};

type App = State<Arc<Shared>>;

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let account = Router::new()
        .route("/Call/", post(create).get(queued))
        .route("/Call", get(ringing))
        .route("/Call/{call}", get(fetch_live).delete(hang_up))
        .route("/Call/{call}/", get(fetch_queued))
        .route("/cdr", get(records))
        .route("/cdr/{call}", get(record_of))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    Router::new()
        .nest("/api/v1/Account/{account}", account)
        // A path spelt wrongly is answered like wrong credentials.
        .fallback(|| async { error(401, "unauthorized") })
}

async fn guard(
    State(shared): App,
    Path(parts): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::sleep(Duration::from_millis(shared.options.delays.rest_ms)).await;
    let is = |headers: &HeaderMap, name: &str, value: &str| {
        headers.get(name).is_some_and(|given| given == value)
    };
    let headers = request.headers();
    let known = is(headers, "X-Auth-ID", VOBIZ.account) && is(headers, "X-Auth-Token", VOBIZ.token);
    let ours = parts
        .first()
        .is_some_and(|(_, account)| account == VOBIZ.account);
    if !known || !ours {
        shared.ledger.refused();
        return error(401, "unauthorized");
    }
    let answering = rest::pass(&shared, request, next, &REFUSALS);
    REQUEST.scope(shared.clerk.draw(), answering).await
}

async fn queued(State(shared): App, RawQuery(text): RawQuery) -> Response {
    list(&shared, "queued", text)
}

async fn ringing(State(shared): App, RawQuery(text): RawQuery) -> Response {
    list(&shared, "live", text)
}

fn list(shared: &Shared, status: &str, text: Option<String>) -> Response {
    let query = query(text);
    if get_in(&query, "status") != Some(status) {
        return error(400, "status is required");
    }
    let calls = shared.listed();
    let ids: Vec<&str> = calls
        .iter()
        .rev()
        .filter(|call| is(call, status) && fits(call, &query))
        .map(|call| call.id.as_str())
        .collect();
    answer(200, &json!({"api_id": api_id(), "calls": ids}))
}

fn get_in<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = query.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

/// A number is found by a part of it.
fn fits(call: &Call, query: &[(String, String)]) -> bool {
    get_in(query, "to_number").is_none_or(|number| call.to.contains(digits(number)))
        && get_in(query, "from_number").is_none_or(|number| call.from.contains(digits(number)))
        && get_in(query, "call_direction").is_none_or(|word| word == direction(call))
}

async fn fetch_live(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    fetch(&shared, &id, "live", text)
}

async fn fetch_queued(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
    RawQuery(text): RawQuery,
) -> Result<Response, Refusal> {
    fetch(&shared, &id, "queued", text)
}

fn fetch(
    shared: &Shared,
    id: &str,
    status: &str,
    text: Option<String>,
) -> Result<Response, Refusal> {
    let call = find(shared, id)?;
    if get_in(&query(text), "status") != Some(status) || !is(&call, status) {
        return Err(error(404, "not found").into());
    }
    let mut body = live(&call);
    body["api_id"] = api_id().into();
    Ok(answer(200, &body))
}

async fn hang_up(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let call = find(&shared, &id)?;
    let status = if is(&call, "queued") {
        "queued"
    } else {
        "live"
    };
    tell(&call, status, Command::End).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn records(State(shared): App, RawQuery(text): RawQuery) -> Response {
    let query = query(text);
    let day = |name: &str| get_in(&query, name).and_then(|text| text.parse::<NaiveDate>().ok());
    let days = day("start_date").zip(day("end_date"));
    let number = |name: &str, default: usize| {
        let given = get_in(&query, name).and_then(|text| text.parse().ok());
        given.unwrap_or(default)
    };
    let (page, size) = (
        number("page", 1).max(1),
        number("per_page", 20).clamp(1, 100),
    );
    let calls = shared.listed();
    let all: Vec<Value> = calls
        .iter()
        .rev()
        .filter(|call| call.status().is_over() && fits(call, &query))
        .filter(|call| {
            let made = call.created.date_naive();
            days.is_none_or(|(start, end)| (start..=end).contains(&made))
        })
        .map(|call| record(call))
        .collect();
    let shown: Vec<&Value> = all.iter().skip((page - 1) * size).take(size).collect();
    let pages = all.len().div_ceil(size);
    let body = json!({
        "account_id": VOBIZ.account,
        "count": shown.len(),
        "data": shown,
        "pagination": {
            "page": page,
            "per_page": size,
            "total": all.len(),
            "pages": pages,
            "has_next": page < pages,
            "has_prev": page > 1,
        },
        "summary": {"totalCalls": all.len(), "avgCallDuration": "0s"},
        "success": true,
    });
    answer(200, &body)
}

async fn record_of(
    State(shared): App,
    Path((_, id)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let call = find(&shared, &id)?;
    if !call.status().is_over() {
        return Err(error(404, "not found").into());
    }
    Ok(answer(
        200,
        &json!({"data": record(&call), "success": true}),
    ))
}

fn record(call: &Call) -> Value {
    let times = call.times();
    let date = |date: Option<DateTime<Utc>>| {
        date.map(|date| date.to_rfc3339_opts(SecondsFormat::Millis, true))
    };
    let ending = call
        .ending()
        .map(|ending| VOBIZ.cause(ending, call.inbound));
    json!({
        "id": 1,
        "uuid": call.id,
        "account_id": VOBIZ.account,
        "bridge_uuid": null,
        "call_direction": direction(call),
        "caller_id_name": call.from,
        "caller_id_number": call.from,
        "destination_number": call.to,
        "duration": call.duration_s(),
        "billsec": call.duration_s(),
        "start_time": date(Some(call.created)),
        "answer_time": date(times.answered),
        "end_time": date(times.ended),
        "cost": 0.0,
        "total_cost": 0.0,
        "currency": "INR",
        "hangup_cause": ending.as_ref().map(|ending| ending.word),
        "hangup_cause_code": ending.as_ref().map(|ending| ending.code),
        "hangup_cause_name": ending.as_ref().map(|ending| ending.name),
        "hangup_source": ending.as_ref().map(|ending| ending.source),
    })
}
