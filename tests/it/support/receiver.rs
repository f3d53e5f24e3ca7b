//! An HTTP server of a customer's: keeps what it is asked, answers the same each time, at once or when told.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse, Response},
};
use tokio::sync::watch;

use super::DEADLINE;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// When it came, epoch ms.
    pub at_ms: i64,
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    /// A header's text; empty without it.
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().unwrap())
    }
}

#[derive(Clone)]
struct Shared {
    status: StatusCode,
    answer: &'static str,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: watch::Sender<usize>,
    held: watch::Sender<bool>,
}

/// The server; stops when dropped.
pub struct Receiver {
    pub base: String,
    shared: Shared,
    serving: tokio::task::JoinHandle<()>,
}

impl Receiver {
    pub async fn start(status: u16, answer: &'static str) -> Self {
        let shared = Shared {
            status: StatusCode::from_u16(status).unwrap(),
            answer,
            asked: Arc::default(),
            count: watch::channel(0).0,
            held: watch::channel(false).0,
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .fallback(answer_all)
            .with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            base,
            shared,
            serving,
        }
    }

    /// From now on requests wait for [`Self::release`].
    pub fn hold(&self) {
        self.shared.held.send_replace(true);
    }

    /// Answers what waits, and all that follows.
    pub fn release(&self) {
        self.shared.held.send_replace(false);
    }

    pub fn requests(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub async fn requests_reach(&self, count: usize) {
        let mut counted = self.shared.count.subscribe();
        let reached = counted.wait_for(|asked| *asked >= count);
        tokio::time::timeout(DEADLINE, reached)
            .await
            .unwrap()
            .unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer_all(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let asked = Asked {
        at_ms: chrono::Utc::now().timestamp_millis(),
        method: parts.method.to_string(),
        target: parts.uri.path_and_query().unwrap().to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    shared.asked.lock().unwrap().push(asked);
    shared.count.send_modify(|count| *count += 1);
    let mut held = shared.held.subscribe();
    // The sender is in `shared`.
    let _ = held.wait_for(|held| !*held).await;
    let location = [(LOCATION, "/elsewhere")];
    (shared.status, location, shared.answer).into_response()
}
