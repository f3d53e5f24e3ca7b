//! A carrier's REST interface on the wire: takes calls, loses replies, knows what it has.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Form, Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

/// What becomes of a dial request.
pub enum Reply {
    /// Taken, and said so.
    Taken,
    /// Taken, and said so when the gate opens.
    TakenAfter(Arc<Notify>),
    /// Taken, but the reply is an error of the carrier's.
    TakenInSilence,
    /// Not taken, and nobody knows.
    Lost,
    /// Refused with this status and error code.
    Refused(StatusCode, u32),
}

/// What the carrier was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Dial(HashMap<String, String>),
    HangUp(String),
    Fetch(String),
}

#[derive(Default)]
struct Book {
    replies: VecDeque<Reply>,
    calls: BTreeMap<String, Value>,
    /// Look-ups that fail.
    deaf: usize,
}

/// The carrier. Every request is told to `asked`.
pub struct Carrier {
    pub url: String,
    book: Arc<Shared>,
    asked: mpsc::Receiver<Asked>,
}

struct Shared {
    book: Mutex<Book>,
    asked: mpsc::Sender<Asked>,
}

impl Carrier {
    pub async fn start() -> Self {
        let (sender, asked) = mpsc::channel(1000);
        let book = Arc::new(Shared {
            book: Mutex::default(),
            asked: sender,
        });
        let router = Router::new()
            .route(
                "/2010-04-01/Accounts/{account}/Calls.json",
                post(dial).get(list),
            )
            .route(
                "/2010-04-01/Accounts/{account}/Calls/{file}",
                get(fetch).post(hang_up),
            )
            .with_state(book.clone());
        let url = super::lab::serve(router).await;
        Self { url, book, asked }
    }

    /// What the next dial requests get; `Taken` when none is left.
    pub fn replies(&self, replies: impl IntoIterator<Item = Reply>) {
        self.book.book.lock().unwrap().replies.extend(replies);
    }

    /// Fails this many look-ups.
    pub fn is_deaf_for(&self, lookups: usize) {
        self.book.book.lock().unwrap().deaf = lookups;
    }

    /// A call as the carrier has it; returns its id.
    pub fn has(&self, to: &str, from: &str, status: &str) -> String {
        add(&mut self.book.book.lock().unwrap(), to, from, status)
    }

    /// Waits for the next dial.
    pub async fn dialled(&mut self) -> HashMap<String, String> {
        loop {
            match self.next().await {
                Asked::Dial(form) => return form,
                _ => continue,
            }
        }
    }

    /// Waits for the next hang-up; the id of its call.
    pub async fn hung_up(&mut self) -> String {
        loop {
            match self.next().await {
                Asked::HangUp(id) => return id,
                _ => continue,
            }
        }
    }

    pub async fn next(&mut self) -> Asked {
        super::lab::in_time(self.asked.recv()).await.unwrap()
    }

    /// Calls that were hung up and nobody waited for it.
    pub fn hung_up_already(&mut self) -> Vec<String> {
        let asked = std::iter::from_fn(|| self.asked.try_recv().ok());
        asked
            .filter_map(|asked| match asked {
                Asked::HangUp(id) => Some(id),
                _ => None,
            })
            .collect()
    }

    /// Whether another dial came that nobody waited for.
    pub fn was_dialled_again(&mut self) -> bool {
        std::iter::from_fn(|| self.asked.try_recv().ok())
            .any(|asked| matches!(asked, Asked::Dial(_)))
    }
}

fn add(book: &mut Book, to: &str, from: &str, status: &str) -> String {
    let id = format!("CA{:032x}", book.calls.len() + 1);
    let call = json!({
        "sid": id, "status": status, "to": to, "from": from, "direction": "outbound-api",
        "date_created": chrono::Utc::now().to_rfc2822(), "duration": if status == "completed" { "42" } else { "0" },
    });
    book.calls.insert(id.clone(), call);
    id
}

async fn dial(
    State(shared): State<Arc<Shared>>,
    Form(form): Form<Vec<(String, String)>>,
) -> Response {
    let form: HashMap<String, String> = form.into_iter().collect();
    let reply = shared
        .book
        .lock()
        .unwrap()
        .replies
        .pop_front()
        .unwrap_or(Reply::Taken);
    let taken = || {
        add(
            &mut shared.book.lock().unwrap(),
            &form["To"],
            &form["From"],
            "queued",
        )
    };
    let call = |id: String| shared.book.lock().unwrap().calls[&id].clone();
    let told = shared.asked.send(Asked::Dial(form.clone()));
    match reply {
        Reply::Taken => {
            let id = taken();
            told.await.unwrap();
            (StatusCode::CREATED, Json(call(id))).into_response()
        }
        Reply::TakenAfter(gate) => {
            let id = taken();
            told.await.unwrap();
            gate.notified().await;
            (StatusCode::CREATED, Json(call(id))).into_response()
        }
        Reply::TakenInSilence => {
            taken();
            told.await.unwrap();
            StatusCode::BAD_GATEWAY.into_response()
        }
        Reply::Lost => {
            told.await.unwrap();
            StatusCode::BAD_GATEWAY.into_response()
        }
        Reply::Refused(status, code) => {
            told.await.unwrap();
            let body = json!({ "code": code, "message": "no", "status": status.as_u16() });
            (status, [("retry-after", "0")], Json(body)).into_response()
        }
    }
}

async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let mut book = shared.book.lock().unwrap();
    if book.deaf > 0 {
        book.deaf -= 1;
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let calls: Vec<Value> = book.calls.values().cloned().collect();
    Json(json!({ "calls": calls, "next_page_uri": null })).into_response()
}

async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path((_, file)): Path<(String, String)>,
) -> Response {
    let id = file.trim_end_matches(".json").to_owned();
    let call = shared.book.lock().unwrap().calls.get(&id).cloned();
    shared.asked.send(Asked::Fetch(id)).await.unwrap();
    match call {
        Some(call) => Json(call).into_response(),
        None => (
            StatusCode::NOT_FOUND,
            Json(json!({ "code": 20404, "status": 404 })),
        )
            .into_response(),
    }
}

async fn hang_up(
    State(shared): State<Arc<Shared>>,
    Path((_, file)): Path<(String, String)>,
) -> Response {
    let id = file.trim_end_matches(".json").to_owned();
    let call = {
        let mut book = shared.book.lock().unwrap();
        let call = book.calls.get_mut(&id).unwrap();
        call["status"] = json!("completed");
        call.clone()
    };
    shared.asked.send(Asked::HangUp(id)).await.unwrap();
    Json(call).into_response()
}
