//! A fake of OpenAI's chat completions (wire-providers.md §3): answers by rules a test sets, or by the
//! scripted model of the demo ([`demo`]); exact chunks, settable delays, faults on demand.

pub mod demo;
mod faults;
mod reply;
mod stream;

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use faults::Fault;
pub use reply::{Reply, ToolCall};

use crate::{
    Error,
    caller::plain,
    server::{self, Server},
};

/// Requests kept for assertions; a load run beyond it keeps the newest.
const ROOM: usize = 2000;

/// How a fake model is set up; the defaults suit tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in; `None` = any, or none.
    pub api_key: Option<String>,
    /// From the request to the first token. Default 0.
    pub first_token: Duration,
    /// Between tokens. Default 0.
    pub per_token: Duration,
    /// Answers by the demo's script instead of by rules.
    pub demo: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: Some("openai-test-key".into()),
            first_token: Duration::ZERO,
            per_token: Duration::ZERO,
            demo: false,
        }
    }
}

struct Shared {
    options: Options,
    state: Mutex<Current>,
    answered: AtomicU64,
    aborted: AtomicU64,
    stop: CancellationToken,
}

#[derive(Default)]
struct Current {
    rules: Vec<(Vec<String>, Reply)>,
    faults: VecDeque<Fault>,
    requests: VecDeque<Value>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running fake model. Stops when dropped.
pub struct FakeLlm {
    shared: Arc<Shared>,
    server: Server,
}

impl fmt::Debug for FakeLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeLlm({})", self.server.addr)
    }
}

impl FakeLlm {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let stop = CancellationToken::new();
        let addr = options.addr;
        let shared = Arc::new(Shared {
            options,
            state: Mutex::default(),
            answered: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            stop: stop.clone(),
        });
        let routes = Router::new()
            .route("/v1/chat/completions", post(complete))
            .route("/v1/models", get(models))
            .layer(DefaultBodyLimit::max(4 << 20))
            .with_state(shared.clone());
        let server = Server::start(addr, routes, stop).await?;
        Ok(Self { shared, server })
    }

    /// The demo's scripted model on a free port, with human pauses and without a key.
    pub async fn demo() -> Result<Self, Error> {
        let options = Options {
            api_key: None,
            first_token: Duration::from_millis(120),
            per_token: Duration::from_millis(8),
            demo: true,
            ..Options::default()
        };
        Self::start(options).await
    }

    /// `http://127.0.0.1:<port>/v1`: stands in for `https://api.openai.com/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.server.addr)
    }

    /// The key that is let in; empty when any is.
    pub fn api_key(&self) -> &str {
        self.shared.options.api_key.as_deref().unwrap_or_default()
    }

    /// When the last user text holds these words (case and punctuation don't matter), answer so. The
    /// newest rule that fits wins; without one the model repeats what it was told.
    pub fn on(&self, words: &str, reply: Reply) {
        self.shared.lock().rules.push((plain([words]), reply));
    }

    /// The next requests meet these faults, one each.
    pub fn fail_next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.lock().faults.extend(faults);
    }

    /// Bodies of the requests, oldest first.
    pub fn requests(&self) -> Vec<Value> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Answers streamed to their end.
    pub fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Answers that the client dropped on the way.
    pub fn aborted(&self) -> u64 {
        self.shared.aborted.load(Ordering::Relaxed)
    }
}

async fn models() -> Json<Value> {
    Json(
        json!({"object": "list", "data": [{"id": "demo", "object": "model", "created": 0, "owned_by": "bolo"}]}),
    )
}

async fn complete(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let given = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if let Some(key) = &shared.options.api_key
        && given != Some(format!("Bearer {key}").as_str())
    {
        return refuse(401, "invalid_api_key", "Incorrect API key provided.", None);
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refuse(
            400,
            "invalid_json",
            "We could not parse the JSON body of your request.",
            None,
        );
    };
    if !request["model"].is_string() || request["messages"].as_array().is_none_or(Vec::is_empty) {
        return refuse(
            400,
            "invalid_request_error",
            "you must provide a model and messages",
            None,
        );
    }
    let (fault, reply) = {
        let mut state = shared.lock();
        if state.requests.len() >= ROOM {
            state.requests.pop_front();
        }
        state.requests.push_back(request.clone());
        let reply = if shared.options.demo {
            demo::reply(&request)
        } else {
            by_rule(&state.rules, &request)
        };
        (state.faults.pop_front(), reply)
    };
    if let Some(Fault::Status {
        status,
        retry_after_s,
    }) = fault
    {
        let (code, message) = match status {
            401 => ("invalid_api_key", "Incorrect API key provided."),
            429 => ("rate_limit_exceeded", "Rate limit reached."),
            404 => ("model_not_found", "The model does not exist."),
            _ => ("server_error", "The server had an error."),
        };
        return refuse(status, code, message, retry_after_s);
    }
    if request["stream"] == true {
        stream::streamed(shared, &request, reply, fault)
    } else {
        Json(stream::whole(&request, &reply)).into_response()
    }
}

fn by_rule(rules: &[(Vec<String>, Reply)], request: &Value) -> Reply {
    let text = last_user_text(request);
    let words = plain([text]);
    let fits = |sought: &[String]| {
        words
            .windows(sought.len().max(1))
            .any(|window| window == sought)
    };
    match rules.iter().rev().find(|(sought, _)| fits(sought)) {
        Some((_, reply)) => reply.clone(),
        None => Reply::text(text),
    }
}

fn last_user_text(request: &Value) -> &str {
    let messages = request["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let last = messages
        .iter()
        .rev()
        .find(|message| message["role"] == "user");
    last.and_then(|message| message["content"].as_str())
        .unwrap_or_default()
}

fn refuse(status: u16, code: &str, message: &str, retry_after_s: Option<u64>) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"error": {"message": message, "type": "invalid_request_error", "param": null, "code": code}});
    let mut response = (status, Json(body)).into_response();
    if let Some(seconds) = retry_after_s {
        response.headers_mut().insert("retry-after", seconds.into());
    }
    response
}

#[cfg(test)]
mod tests;
