//! Exotel's REST API for calls (wire-telephony.md §3.2).

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, header},
    middleware::{self, Next},
    response::Response,
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, FixedOffset, NaiveDateTime, Utc};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{ACCOUNT, API_KEY, APP, TOKEN, direction, ends, national, ours, time};
use crate::carrier::{
    Call, DialEntry, Shared,
    call::{Plan, Status},
    execution_in, now_ms,
    rest::{self, Refusal, json as answer},
};

type App = State<Arc<Shared>>;
type Fields = Vec<(String, String)>;

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let account = Router::new()
        .route("/Calls/connect.json", post(create))
        .route("/Calls.json", get(list))
        .route("/Calls/{call}", get(fetch))
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    Router::new()
        .nest("/v1/Accounts/{account}", account)
        .fallback(|| async { error(404, "Not found") })
}

fn error(status: u16, text: &str) -> Response {
    let fault = json!({"RestException": {"Status": status, "Message": text}});
    answer(status, &fault)
}

async fn guard(
    State(shared): App,
    Path(parts): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::sleep(Duration::from_millis(shared.options.delays.rest_ms)).await;
    let wanted = format!("Basic {}", STANDARD.encode(format!("{API_KEY}:{TOKEN}")));
    let given = request.headers().get(header::AUTHORIZATION);
    let known = given.is_some_and(|given| *given == *wanted);
    if !known || parts.first().is_none_or(|(_, account)| account != ACCOUNT) {
        shared.ledger.refused();
        return error(401, "Authentication failed");
    }
    rest::pass(&shared, request, next, &ANSWERS.refusals).await
}

fn form(headers: &HeaderMap, body: &Bytes) -> Fields {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        form_urlencoded::parse(body).into_owned().collect()
    } else {
        Fields::new()
    }
}

fn text(form: &Fields, name: &str) -> String {
    let found = form.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// Checks a dial request.
fn plan(shared: &Shared, form: &Fields) -> Result<(String, String, Plan), Refusal> {
    let refuse = |why: String| Refusal::from(error(400, &why));
    let to = text(form, "From");
    let plain = to.strip_prefix('+').unwrap_or_default();
    if !(7..=15).contains(&plain.len()) || plain.starts_with('0') {
        return Err(refuse(format!("Invalid From number {to}")));
    }
    let from = text(form, "CallerId");
    if !shared.numbers().iter().any(|own| own.phone_number == from) {
        return Err(refuse(format!("Invalid CallerId {from}")));
    }
    let flow = format!("http://my.exotel.com/{ACCOUNT}/exoml/start_voice/{APP}");
    if text(form, "Url") != flow {
        return Err(refuse("Url is no flow of this account".to_owned()));
    }
    if text(form, "StatusCallbackContentType") != "application/json" {
        return Err(refuse("this fake tells JSON only".to_owned()));
    }
    let events = form
        .iter()
        .filter(|(name, _)| name.starts_with("StatusCallbackEvents["))
        .map(|(_, event)| event.clone())
        .collect();
    let number = |name: &str, default: u64| text(form, name).parse().unwrap_or(default);
    let plan = Plan {
        url: Some(shared.by_hand()),
        method: "GET".to_owned(),
        status_callback: Some(text(form, "StatusCallback")).filter(|url| !url.is_empty()),
        status_method: "POST".to_owned(),
        status_events: events,
        timeout_s: number("TimeOut", 60),
        time_limit_s: number("TimeLimit", 14_400),
        custom: text(form, "CustomField"),
        ..Plan::default()
    };
    Ok((to, from, plan))
}

async fn create(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let form = form(&headers, &body);
    let status_callback = text(&form, "StatusCallback");
    let entry = DialEntry {
        at_ms: now_ms(),
        to: text(&form, "From"),
        from: text(&form, "CallerId"),
        execution: execution_in(&status_callback),
        url: text(&form, "Url"),
        status_callback,
        call: None,
        answered: None,
    };
    rest::dial(&shared, entry, &ANSWERS, || plan(&shared, &form)).await
}

const ANSWERS: rest::Answers = rest::Answers {
    status: 200,
    placed: |call| json!({"Call": show(call)}),
    refusals: rest::Refusals {
        refused: |status, _code, text| error(status, text),
        oops: || error(500, "Internal server error"),
    },
};

fn show(call: &Call) -> Value {
    let times = call.times();
    let date = |date: Option<DateTime<Utc>>| date.map(time);
    let (from, to) = ends(call);
    // From the dial on it is "in progress".
    let status = match call.status() {
        Status::Queued | Status::Initiated | Status::Ringing => Status::InProgress,
        status => status,
    };
    json!({
        "Sid": call.id,
        "ParentCallSid": null,
        "DateCreated": time(call.created),
        "DateUpdated": time(times.updated),
        "AccountSid": ACCOUNT,
        "To": national(to),
        "From": national(from),
        "PhoneNumberSid": national(ours(call)),
        "Status": status.word(),
        "StartTime": time(call.created),
        "EndTime": date(times.ended),
        "Duration": status.is_over().then(|| call.duration_s().to_string()),
        "Price": null,
        "Direction": direction(call),
        "AnsweredBy": null,
        "ForwardedFrom": null,
        "CallerName": null,
        "Uri": format!("/v1/Accounts/{ACCOUNT}/Calls/{}", call.id),
        "CustomField": call.plan().custom,
        "RecordingUrl": null,
    })
}

async fn fetch(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let id = file.strip_suffix(".json").unwrap_or(&file);
    let call = shared.call(id);
    let call = call.ok_or_else(|| Refusal::from(error(404, "No such call")))?;
    Ok(answer(200, &json!({"Call": show(&call)})))
}

/// `gte:2019-01-01 00:00:00;lte:2019-01-31 23:59:59`, Indian time.
fn within(filter: &str, made: DateTime<Utc>) -> bool {
    filter.split(';').all(|bound| {
        let Some((operator, text)) = bound.split_once(':') else {
            return false;
        };
        let zone = FixedOffset::east_opt(19_800);
        let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok();
        let at = at
            .zip(zone)
            .and_then(|(at, zone)| at.and_local_timezone(zone).single());
        match (operator, at) {
            ("gte", Some(at)) => made.timestamp() >= at.timestamp(),
            ("lte", Some(at)) => made.timestamp() <= at.timestamp(),
            _ => false,
        }
    })
}

async fn list(State(shared): App, RawQuery(query): RawQuery) -> Response {
    let query: Fields = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    let (from, created) = (text(&query, "From"), text(&query, "DateCreated"));
    let size: usize = text(&query, "PageSize").parse().unwrap_or(50);
    let mut calls = shared.listed();
    if text(&query, "SortBy") != "DateCreated:asc" {
        calls.reverse();
    }
    let found: Vec<Value> = calls
        .iter()
        .filter(|call| from.is_empty() || ends(call).0 == from)
        .filter(|call| created.is_empty() || within(&created, call.created))
        .map(|call| show(call))
        .collect();
    let shown: Vec<&Value> = found.iter().take(size.clamp(1, 100)).collect();
    let metadata = json!({
        "Total": found.len(),
        "PageSize": size,
        "FirstPageUri": null,
        "PrevPageUri": null,
        "NextPageUri": null,
    });
    answer(200, &json!({"Metadata": metadata, "Calls": shown}))
}
