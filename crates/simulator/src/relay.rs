//! A bare relay of the same sockets as the server's: caller audio to the transcriber, its turns to the
//! model, the model's text to the synthesizer, its audio to the caller. No pacing, no recording, no
//! database, no rules: the floor that the server's figures are compared with.
//!
//! It answers as much of the REST API as the load generator asks for (`POST /v2/agent`, `POST /call`,
//! `GET /executions/{id}`), so that the same run measures either.

mod call;

use std::{
    collections::HashMap,
    env,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State, WebSocketUpgrade},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::form_urlencoded;

use crate::{
    Error, http,
    server::{self, Server},
};

/// What the relay talks to.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The carrier: REST address, account, token, and the number to call from.
    pub twilio: (String, String, String, String),
    /// `ws://…` and key.
    pub deepgram: (String, String),
    /// `ws://…` and key.
    pub elevenlabs: (String, String),
    /// `http://…/v1` and key.
    pub llm: (String, String),
}

impl Options {
    /// From the variables that the server itself reads (`TWILIO_ACCOUNT_SID`,
    /// `BOLO_PROVIDERS__DEEPGRAM__BASE_URL`, …). `Error::Script` names one that is missing.
    pub fn from_environment() -> Result<Self, Error> {
        let read = |name: &str| {
            env::var(name).map_err(|fault| Error::Script {
                field: name.to_owned(),
                message: fault.to_string(),
            })
        };
        Ok(Self {
            addr: server::ANY,
            twilio: (
                read("BOLO_TELEPHONY__TWILIO__BASE_URL")?,
                read("TWILIO_ACCOUNT_SID")?,
                read("TWILIO_AUTH_TOKEN")?,
                read("TWILIO_PHONE_NUMBER")?,
            ),
            deepgram: (
                read("BOLO_PROVIDERS__DEEPGRAM__BASE_URL")?,
                read("DEEPGRAM_API_KEY")?,
            ),
            elevenlabs: (
                read("BOLO_PROVIDERS__ELEVENLABS__BASE_URL")?,
                read("ELEVENLABS_API_KEY")?,
            ),
            llm: (
                read("BOLO_PROVIDERS__OPENAI__BASE_URL")?,
                read("OPENAI_API_KEY")?,
            ),
        })
    }
}

struct Shared {
    options: Options,
    http: reqwest::Client,
    addr: Mutex<Option<SocketAddr>>,
    next: AtomicU64,
    /// CallStatus by execution.
    statuses: Mutex<HashMap<String, String>>,
    stop: CancellationToken,
}

impl Shared {
    fn host(&self) -> String {
        let addr = self.addr.lock().unwrap_or_else(PoisonError::into_inner);
        addr.map(|addr| addr.to_string()).unwrap_or_default()
    }

    fn note(&self, execution: &str, status: &str) {
        let mut statuses = self.statuses.lock().unwrap_or_else(PoisonError::into_inner);
        statuses.insert(execution.to_owned(), status.to_owned());
    }
}

/// A running relay. Stops with its calls when dropped.
pub struct Relay {
    server: Server,
}

impl Relay {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let addr = options.addr;
        let shared = Arc::new(Shared {
            http: http::client()?,
            options,
            addr: Mutex::new(None),
            next: AtomicU64::new(1),
            statuses: Mutex::default(),
            stop: stop.clone(),
        });
        let routes = Router::new()
            .route("/v2/agent", post(agent))
            .route("/call", post(dial))
            .route("/executions/{execution}", get(show))
            .route("/answer/{execution}", post(answer))
            .route("/status/{execution}", post(status))
            .route("/media/{execution}", any(media))
            .with_state(shared.clone());
        let server = Server::start(addr, routes, stop).await?;
        *shared.addr.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.addr);
        Ok(Self { server })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.server.addr)
    }
}

async fn agent() -> Json<Value> {
    Json(json!({"agent_id": "relay", "status": "created"}))
}

async fn dial(State(shared): State<Arc<Shared>>, Json(body): Json<Value>) -> Response {
    let number = shared.next.fetch_add(1, Ordering::Relaxed);
    let execution = uuid::Uuid::from_u128(u128::from(number)).to_string();
    shared.note(&execution, "queued");
    let (base, account, token, from) = &shared.options.twilio;
    let host = shared.host();
    let form = [
        (
            "To",
            body["recipient_phone_number"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        ),
        ("From", from.clone()),
        ("Url", format!("http://{host}/answer/{execution}")),
        (
            "StatusCallback",
            format!("http://{host}/status/{execution}"),
        ),
        ("StatusCallbackEvent", "completed".to_owned()),
    ];
    let request = shared
        .http
        .post(format!("{base}/2010-04-01/Accounts/{account}/Calls.json"))
        .basic_auth(account, Some(token))
        .form(&form);
    match request
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
    {
        Ok(_) => Json(json!({"status": "queued", "execution_id": execution})).into_response(),
        Err(error) => {
            tracing::warn!(%error, "dial failed");
            (
                StatusCode::BAD_GATEWAY,
                Json(json!({"message": error.to_string()})),
            )
                .into_response()
        }
    }
}

async fn show(State(shared): State<Arc<Shared>>, Path(execution): Path<String>) -> Response {
    let statuses = shared
        .statuses
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match statuses.get(&execution) {
        Some(status) => Json(json!({"id": execution, "status": status})).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Path(execution): Path<String>) -> Response {
    shared.note(&execution, "in-progress");
    let host = shared.host();
    let document = format!(
        "<Response><Connect><Stream url=\"ws://{host}/media/{execution}\"/></Connect></Response>"
    );
    ([(header::CONTENT_TYPE, "text/xml")], document).into_response()
}

async fn status(
    State(shared): State<Arc<Shared>>,
    Path(execution): Path<String>,
    body: Bytes,
) -> StatusCode {
    let status = form_urlencoded::parse(&body).find(|(name, _)| name == "CallStatus");
    if let Some((_, status)) = status {
        shared.note(&execution, &status);
    }
    StatusCode::NO_CONTENT
}

async fn media(State(shared): State<Arc<Shared>>, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            let stop = shared.stop.clone();
            let talk = Box::pin(call::talk(socket, shared));
            if let Some(Err(error)) = stop.run_until_cancelled(talk).await {
                tracing::warn!(%error, "a relayed call broke");
            }
        })
}

#[cfg(test)]
mod tests;
