//! Asterisk's REST interface: channels (wire-telephony.md §3.3; Asterisk's "Channels REST API").

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::TRUNK;
use crate::carrier::{
    Call, Command, DialEntry, Shared,
    call::{Plan, Status},
    execution_in, now_ms,
    rest::{self, Refusal, json as answer},
};

type App = State<Arc<Shared>>;

pub(crate) fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/ari/channels", get(list))
        .route(
            "/ari/channels/{channel}",
            post(originate).get(fetch).delete(hang_up),
        )
        .layer(middleware::from_fn_with_state(shared.clone(), guard))
        .with_state(shared)
        .fallback(|| async { error(404, "Resource not found") })
}

fn error(status: u16, message: &str) -> Response {
    answer(status, &json!({"message": message}))
}

async fn guard(State(shared): App, request: Request, next: Next) -> Response {
    tokio::time::sleep(Duration::from_millis(shared.options.delays.rest_ms)).await;
    if shared.knows(request.headers()) {
        rest::pass(&shared, request, next, &ANSWERS.refusals).await
    } else {
        error(401, "Authentication required")
    }
}

/// Checks an origination: a `Local` channel into the dialplan, with the variables that it needs.
fn plan(shared: &Shared, id: &str, body: &Value) -> Result<(String, String, Plan), Refusal> {
    let refuse = |why: &str| Refusal::from(error(400, why));
    if shared.call(id).is_some_and(|call| !call.status().is_over()) {
        return Err(error(409, "Channel with given unique ID already exists").into());
    }
    let endpoint = body["endpoint"].as_str().unwrap_or_default();
    let to = endpoint
        .strip_prefix("Local/")
        .and_then(|rest| rest.strip_suffix("@bolo-out/n"))
        .ok_or_else(|| refuse("Invalid endpoint specified"))?;
    if body["context"] != "bolo-call" || body["extension"] != "s" || body["priority"] != 1 {
        return Err(refuse("no such place in the dialplan"));
    }
    let variable = |name: &str| body["variables"][format!("__BOLO_{name}")].as_str();
    if variable("TRUNK") != Some(TRUNK) || variable("ID") != Some(id) {
        return Err(refuse("the dialplan needs BOLO_TRUNK and BOLO_ID"));
    }
    let needed = |name: &str| {
        let found = variable(name).filter(|value| !value.is_empty());
        found
            .map(str::to_owned)
            .ok_or_else(|| refuse("a variable of the dialplan is missing"))
    };
    let number = |name: &str| {
        needed(name)?
            .parse()
            .map_err(|_| refuse("a variable of the dialplan is no number"))
    };
    let plan = Plan {
        id: Some(id.to_owned()),
        url: Some(needed("ANSWER")?),
        method: "POST".to_owned(),
        status_callback: Some(needed("STATUS")?),
        status_method: "POST".to_owned(),
        timeout_s: number("RING")?,
        time_limit_s: number("LIMIT")?,
        ..Plan::default()
    };
    Ok((to.to_owned(), needed("FROM")?, plan))
}

async fn originate(State(shared): App, Path(id): Path<String>, body: Bytes) -> Response {
    let Ok(body) = serde_json::from_slice::<Value>(&body) else {
        return error(400, "the body is no JSON");
    };
    let variable = |name: &str| {
        let found = body["variables"][format!("__BOLO_{name}")].as_str();
        found.unwrap_or_default().to_owned()
    };
    let endpoint = body["endpoint"].as_str().unwrap_or_default();
    let to = endpoint.trim_start_matches("Local/").split('@').next();
    let entry = DialEntry {
        at_ms: now_ms(),
        to: to.unwrap_or_default().to_owned(),
        from: variable("FROM"),
        execution: execution_in(&variable("STATUS")),
        url: variable("ANSWER"),
        status_callback: variable("STATUS"),
        call: None,
        answered: None,
    };
    rest::dial(&shared, entry, &ANSWERS, || plan(&shared, &id, &body)).await
}

const ANSWERS: rest::Answers = rest::Answers {
    status: 200,
    placed: show,
    refusals: rest::Refusals {
        refused: |status, _code, text| error(status, text),
        oops: || error(500, "Internal error"),
    },
};

fn show(call: &Call) -> Value {
    json!({
        "id": call.id,
        "name": format!("Local/{}@bolo-out-00000001;1", call.to),
        "state": match call.status() {
            Status::Queued | Status::Initiated => "Down",
            Status::Ringing => "Ringing",
            _ => "Up",
        },
        "protocol_id": "",
        "caller": {"name": "", "number": call.from},
        "connected": {"name": "", "number": call.to},
        "accountcode": "",
        "dialplan": {"context": "bolo-call", "exten": "s", "priority": 1, "app_name": "", "app_data": ""},
        "creationtime": call.created.format("%FT%T%.3f%z").to_string(),
        "language": "en",
    })
}

/// A channel that is over is gone.
fn find(shared: &Shared, id: &str) -> Result<Arc<Call>, Refusal> {
    let call = shared.call(id).filter(|call| !call.status().is_over());
    call.ok_or_else(|| error(404, "Channel not found").into())
}

async fn list(State(shared): App) -> Response {
    let calls = shared.listed();
    let up = calls.iter().filter(|call| !call.status().is_over());
    let channels: Vec<Value> = up.map(|call| show(call)).collect();
    answer(200, &channels.into())
}

async fn fetch(State(shared): App, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(answer(200, &show(&*find(&shared, &id)?)))
}

async fn hang_up(State(shared): App, Path(id): Path<String>) -> Result<Response, Refusal> {
    let call = find(&shared, &id)?;
    if call.commands.send(Command::End).await.is_err() {
        return Err(error(404, "Channel not found").into());
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}
