//! What REST interfaces of carriers share: refusals on their way out, credentials, broken answers.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use serde_json::Value;

use super::{Call, DialEntry, DialFault, Shared, call::Plan};

/// A refusal on its way out; boxed, since a response is large and refusals are rare.
pub(crate) struct Refusal(Box<Response>);

impl From<Response> for Refusal {
    fn from(response: Response) -> Self {
        Self(Box::new(response))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

impl Shared {
    /// Whether a request has the account's credentials. One that has not is counted.
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let (account, token) = (self.dialect.account(), self.dialect.token());
        let wanted = format!("Basic {}", STANDARD.encode(format!("{account}:{token}")));
        let given = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let known = given == Some(&wanted);
        if !known {
            self.ledger.refused();
        }
        known
    }
}

/// A carrier's answers to dial requests.
pub(crate) struct Answers {
    /// The status of a good one: 201 where the carrier says that something was made.
    pub status: u16,
    /// The body of a good one.
    pub placed: fn(&Call) -> Value,
    pub refusals: Refusals,
}

/// How a carrier says no.
pub(crate) struct Refusals {
    /// A refusal with status, code and text.
    pub refused: fn(u16, u32, &str) -> Response,
    /// A 500.
    pub oops: fn() -> Response,
}

/// A dial request: placed, answered and noted as its fault says. `check` reads it: whom to call, from which
/// number, and how.
pub(crate) async fn dial(
    shared: &Arc<Shared>,
    mut entry: DialEntry,
    answers: &Answers,
    check: impl FnOnce() -> Result<(String, String, Plan), Refusal>,
) -> Response {
    let fault = shared.dial_fault(&entry.to);
    let place = || match check() {
        Err(refusal) => refusal.into_response(),
        Ok((to, from, plan)) => {
            let script = shared.script_for(&to);
            let call = shared.begin(to, from, false, plan, script);
            entry.call = Some(call.id.clone());
            json(answers.status, &(answers.placed)(&call))
        }
    };
    let response = answer(fault.as_ref(), &answers.refusals, place).await;
    let silent = fault.as_ref().is_some_and(DialFault::is_silent);
    entry.answered = (!silent).then(|| response.status().as_u16());
    shared.ledger.dial(entry);
    linger(fault).await;
    response
}

/// The answer to a request that costs money, as its fault says; `act` does what is asked, where the fault lets
/// it.
pub(crate) async fn answer(
    fault: Option<&DialFault>,
    refusals: &Refusals,
    act: impl FnOnce() -> Response,
) -> Response {
    let good = fault.is_none_or(DialFault::places).then(act);
    spoil(fault, refusals, good).await
}

/// Any request but a dial, as its fault says.
pub(crate) async fn pass(
    shared: &Shared,
    request: Request,
    next: Next,
    refusals: &Refusals,
) -> Response {
    if is_dial(&request) {
        return next.run(request).await;
    }
    let Some(fault) = shared.request_fault() else {
        return next.run(request).await;
    };
    let good = match fault.places() {
        true => Some(next.run(request).await),
        false => None,
    };
    let response = spoil(Some(&fault), refusals, good).await;
    shared.ledger.spoilt();
    linger(Some(fault)).await;
    response
}

/// Those have faults of their own.
fn is_dial(request: &Request) -> bool {
    let path = request.uri().path();
    let places = ["/Calls.json", "/Call/", "/Calls/connect.json"];
    let is_place = places.iter().any(|place| path.ends_with(place));
    request.method() == Method::POST && (is_place || path.starts_with("/ari/"))
}

/// What becomes of a good answer.
async fn spoil(fault: Option<&DialFault>, refusals: &Refusals, good: Option<Response>) -> Response {
    match (fault, good) {
        (None | Some(DialFault::SlowAnswer { .. }), Some(response)) => response,
        (Some(fault @ DialFault::Refuse { .. }), _) => refusal(fault, refusals),
        (Some(DialFault::ResetBeforePlacing {} | DialFault::ResetAfterPlacing {}), _) => broken(),
        (Some(DialFault::TruncatedJson {}), Some(response)) => half(response).await,
        (Some(DialFault::NoId {}), Some(response)) => nameless(response).await,
        _ => (refusals.oops)(),
    }
}

/// How long the answer takes.
pub(crate) async fn linger(fault: Option<DialFault>) {
    match fault {
        Some(DialFault::SlowAnswer { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(DialFault::Silence {}) => std::future::pending().await,
        _ => {}
    }
}

fn refusal(fault: &DialFault, refusals: &Refusals) -> Response {
    let DialFault::Refuse {
        status,
        code,
        message,
        retry_after_s,
    } = fault
    else {
        return (refusals.oops)();
    };
    let mut response = (refusals.refused)(*status, *code, message);
    if let Some(seconds) = retry_after_s {
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, (*seconds).into());
    }
    response
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}

/// The same answer with half of its body.
async fn half(response: Response) -> Response {
    let (status, body) = whole(response).await;
    (status, body.slice(..body.len() / 2)).into_response()
}

/// The same answer without the id of what was made.
async fn nameless(response: Response) -> Response {
    let (status, body) = whole(response).await;
    let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let body = match body.get_mut("Call") {
        Some(call) => call,
        None => &mut body,
    };
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|name, _| !["sid", "Sid", "request_uuid", "id"].contains(&name.as_str()));
    }
    json(status.as_u16(), body)
}

async fn whole(response: Response) -> (StatusCode, Bytes) {
    let (head, body) = response.into_parts();
    // It was made from a text a moment ago.
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    (head.status, body)
}

/// A response whose connection breaks before its body.
fn broken() -> Response {
    let pieces = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other(
        "reset as the test asked",
    ))]);
    let mut response = Body::from_stream(pieces).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, 4096.into());
    response
}
