//! Twilio's REST API for calls and numbers (wire-telephony.md §1.1 to §1.4).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::call_json;
use crate::carrier::{
    Call, Command, DialEntry, Shared,
    call::{Plan, Status},
    chance::sid,
    execution_in, now_ms,
    rest::{self, Refusal, json as answer},
};

mod numbers;
mod paging;

type App = State<Arc<Shared>>;

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    let account = Router::new()
        .route("/Calls.json", get(list).post(create))
        .route("/Calls/{call}", get(fetch).post(update).delete(delete))
        .merge(numbers::routes())
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared);
    Router::new()
        .nest("/2010-04-01/Accounts/{account}", account)
        .fallback(|| async { not_found("the requested resource") })
}

/// Twilio's error body.
pub(super) fn error(status: u16, code: u32, message: &str) -> Response {
    let body = json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    });
    answer(status, &body)
}

pub(super) fn not_found(what: &str) -> Response {
    error(
        404,
        20404,
        &format!("The requested resource {what} was not found"),
    )
}

/// Credentials, account, delay and headers of every request.
async fn guard(
    State(shared): App,
    Path(parts): Path<Vec<(String, String)>>,
    request: Request,
    next: Next,
) -> Response {
    tokio::time::sleep(Duration::from_millis(shared.options.delays.rest_ms)).await;
    let mut response = if !shared.knows(request.headers()) {
        error(401, 20003, "Authenticate")
    } else if parts
        .first()
        .is_none_or(|(_, account)| account != shared.dialect.account())
    {
        not_found(request.uri().path())
    } else {
        rest::pass(&shared, request, next, &REFUSALS).await
    };
    let id = sid("RQ", shared.clerk.draw());
    if let Ok(id) = id.parse() {
        response.headers_mut().insert("Twilio-Request-Id", id);
    }
    response.headers_mut().insert(
        "Twilio-Concurrent-Requests",
        header::HeaderValue::from_static("1"),
    );
    response
}

/// A form, in order, with repeated names.
pub(super) struct Form(pub Vec<(String, String)>);

impl Form {
    /// Reads a form body; other content types give an empty form, as at Twilio.
    pub fn read(headers: &HeaderMap, body: &Bytes) -> Self {
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
            Self(form_urlencoded::parse(body).into_owned().collect())
        } else {
            Self(Vec::new())
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| &**value)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .map(str::to_owned)
    }

    fn all(&self, name: &str) -> Vec<String> {
        // SDKs repeat the key; a space-separated value is taken as well.
        let values = self.0.iter().filter(|(key, _)| key == name);
        values
            .flat_map(|(_, value)| value.split_whitespace().map(str::to_owned))
            .collect()
    }
}

pub(super) fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
}

fn is_address(text: &str) -> bool {
    is_number(text) || text.starts_with("sip:") || text.starts_with("client:")
}

/// Checks a dial request; the refusal as Twilio words it.
fn plan(shared: &Shared, form: &Form) -> Result<(String, String, Plan), Refusal> {
    let Some(to) = form.text("To") else {
        return Err(error(400, 21201, "No 'To' number is specified").into());
    };
    let Some(from) = form.text("From") else {
        return Err(error(400, 21213, "No 'From' number is specified").into());
    };
    if !is_address(&to) {
        let message = format!("The phone number you are attempting to call, {to}, is not valid.");
        return Err(error(400, 21211, &message).into());
    }
    if !is_address(&from) {
        return Err(error(
            400,
            21212,
            &format!("The source phone number provided, {from}, is not valid."),
        )
        .into());
    }
    let numbers = shared.numbers();
    if !numbers.is_empty() && !numbers.iter().any(|own| own.phone_number == from) {
        let message = format!(
            "The source phone number provided, {from}, is not yet verified for your account. You may only make calls from phone numbers that you've verified or purchased from Twilio."
        );
        return Err(error(400, 21210, &message).into());
    }
    let url = form.text("Url");
    for name in ["Url", "FallbackUrl", "StatusCallback"] {
        let bad = |value: &str| !(value.starts_with("http://") || value.starts_with("https://"));
        if form.text(name).is_some_and(|value| bad(&value)) {
            let value = form.text(name).unwrap_or_default();
            return Err(error(400, 21205, &format!("{name} is not a valid URL: {value}")).into());
        }
    }
    if url.is_none() && form.text("Twiml").is_none() {
        return Err(error(400, 21205, "Url parameter is required.").into());
    }
    let method = |name: &str| form.text(name).unwrap_or_else(|| "POST".into());
    let number = |name: &str, default: u64| {
        form.get(name)
            .and_then(|value| value.parse().ok())
            .unwrap_or(default)
    };
    let plan = Plan {
        url,
        method: method("Method"),
        document: form.text("Twiml"),
        fallback_url: form.text("FallbackUrl"),
        fallback_method: method("FallbackMethod"),
        status_callback: form.text("StatusCallback"),
        status_method: method("StatusCallbackMethod"),
        status_events: form.all("StatusCallbackEvent"),
        timeout_s: number("Timeout", 60).min(600),
        time_limit_s: number("TimeLimit", 14_400),
        ring_url: None,
        machine_url: form.text("AsyncAmdStatusCallback").filter(|_| {
            form.get("MachineDetection").is_some() && form.get("AsyncAmd") == Some("true")
        }),
        ..Plan::default()
    };
    Ok((to, from, plan))
}

async fn create(State(shared): App, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&headers, &body);
    let text = |name: &str| form.get(name).unwrap_or_default().to_owned();
    let entry = DialEntry {
        at_ms: now_ms(),
        to: text("To"),
        from: text("From"),
        execution: execution_in(&text("StatusCallback")).or_else(|| execution_in(&text("Url"))),
        url: text("Url"),
        status_callback: text("StatusCallback"),
        call: None,
        answered: None,
    };
    rest::dial(&shared, entry, &ANSWERS, || plan(&shared, &form)).await
}

const ANSWERS: rest::Answers = rest::Answers {
    status: 201,
    placed: call_json,
    refusals: REFUSALS,
};

const REFUSALS: rest::Refusals = rest::Refusals {
    refused: error,
    oops: || error(500, 20500, "An internal server error has occurred"),
};

/// `CA….json` → the call.
fn find(shared: &Shared, file: &str) -> Result<Arc<Call>, Refusal> {
    let sid = file.strip_suffix(".json").unwrap_or(file);
    shared
        .call(sid)
        .ok_or_else(|| not_found(&format!("/Calls/{file}")).into())
}

async fn fetch(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    Ok(answer(200, &call_json(&*find(&shared, &file)?)))
}

async fn update(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let call = find(&shared, &file)?;
    let form = Form::read(&headers, &body);
    shared.ledger.update(&call.id, form.0.clone());
    let status = call.status();
    if status.is_over() {
        return Err(error(400, 21220, "Call is not in-progress. Cannot redirect.").into());
    }
    call.set_plan(|plan| {
        plan.status_callback = form.text("StatusCallback").or(plan.status_callback.take());
        plan.fallback_url = form.text("FallbackUrl").or(plan.fallback_url.take());
        let limit = form.get("TimeLimit").and_then(|value| value.parse().ok());
        plan.time_limit_s = limit.unwrap_or(plan.time_limit_s);
    });
    let method = form.text("Method").unwrap_or_else(|| "POST".into());
    let command = match (form.get("Status"), form.text("Url"), form.text("Twiml")) {
        (Some("completed"), ..) => Some(Command::End),
        (Some("canceled"), ..) if status != Status::InProgress => Some(Command::End),
        (Some("canceled"), ..) => None,
        (Some(other), ..) => {
            return Err(error(
                400,
                20001,
                &format!("Status `{other}` is not completed or canceled"),
            )
            .into());
        }
        (None, Some(url), None) => Some(Command::Redirect { url, method }),
        (None, None, Some(twiml)) => Some(Command::Document(twiml)),
        (None, Some(_), Some(_)) => {
            return Err(error(400, 21206, "Url and Twiml are exclusive").into());
        }
        (None, None, None) => None,
    };
    let ends = matches!(command, Some(Command::End));
    if let Some(command) = command
        && call.commands.send(command).await.is_err()
    {
        return Err(error(400, 21220, "Call is not in-progress. Cannot redirect.").into());
    }
    let mut body = call_json(&call);
    if ends {
        // Twilio answers with the state that was asked for, before the call is really down.
        body["status"] = if status == Status::InProgress {
            "completed"
        } else {
            "canceled"
        }
        .into();
    }
    Ok(answer(200, &body))
}

async fn delete(
    State(shared): App,
    Path((_, file)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let call = find(&shared, &file)?;
    if !call.status().is_over() {
        return Err(error(409, 20009, "This resource is still in use").into());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn list(
    State(shared): App,
    Path(account): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Infallible> {
    let query = Form(
        form_urlencoded::parse(query.unwrap_or_default().as_bytes())
            .into_owned()
            .collect(),
    );
    let times = [
        paging::Times::of(&query, "StartTime"),
        paging::Times::of(&query, "EndTime"),
    ];
    let mut found: Vec<Value> = shared
        .listed()
        .iter()
        .rev()
        .map(|call| (call.created, call_json(call)))
        .filter(|(created, call)| {
            let is =
                |name: &str, field: &str| query.get(name).is_none_or(|value| call[field] == value);
            is("To", "to")
                && is("From", "from")
                && is("Status", "status")
                && query.get("ParentCallSid").is_none()
                && times[0].match_time(Some(*created))
                && times[1].match_time((!call["end_time"].is_null()).then_some(*created))
        })
        .map(|(_, call)| call)
        .collect();
    let path = format!("/2010-04-01/Accounts/{account}/Calls.json");
    Ok(answer(
        200,
        &paging::page("calls", &mut found, &path, &query),
    ))
}
