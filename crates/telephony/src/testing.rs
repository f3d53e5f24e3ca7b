//! A server that answers a carrier's REST client with prepared texts, for tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri},
};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Answers each request in turn, and remembers it.
pub(crate) struct Fake {
    pub base: String,
    state: Arc<Mutex<Script>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Script {
    answers: Vec<(u16, String)>,
    seen: Vec<Seen>,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub authorization: String,
    pub body: String,
}

async fn answer(
    State(state): State<Arc<Mutex<Script>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 2], String) {
    let mut script = state.lock().unwrap();
    script.seen.push(Seen {
        method,
        uri,
        authorization: headers["authorization"].to_str().unwrap().to_owned(),
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let (status, body) = script.answers.remove(0);
    let headers = [("content-type", "application/json"), ("retry-after", "7")];
    (status.try_into().unwrap(), headers, body)
}

impl Fake {
    pub(crate) async fn start(answers: &[(u16, String)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(Script {
            answers: answers.to_vec(),
            seen: Vec::new(),
        }));
        let app = Router::new()
            .fallback(self::answer)
            .with_state(state.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            base,
            state,
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }

    /// Every answer has been given.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.state.lock().unwrap().answers.is_empty()
    }
}

/// A client that goes nowhere but where it is sent.
pub(crate) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}
