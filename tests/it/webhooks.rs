//! What a customer's server is told of a call (api.md §21).

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bolo_simulator::{caller::CallerScript, llm::Reply};
use hmac::{Hmac, KeyInit, Mac};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::support::{DEADLINE, Database, World, agent};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One request as it came in.
struct Told {
    headers: BTreeMap<String, String>,
    raw: String,
    body: Value,
}

impl Told {
    fn event(&self) -> &str {
        self.body["event"].as_str().unwrap()
    }

    /// Standard Webhooks: HMAC-SHA256 over `<id>.<timestamp>.<body>`.
    fn is_signed(&self) -> bool {
        let key = STANDARD
            .decode(SECRET.strip_prefix("whsec_").unwrap())
            .unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        let (id, at) = (
            &self.headers["webhook-id"],
            &self.headers["webhook-timestamp"],
        );
        mac.update(format!("{id}.{at}.{}", self.raw).as_bytes());
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.headers["webhook-signature"] == expected
    }
}

/// A customer's server. The first request about each event in `fail` gets a 500.
struct Receiver {
    url: String,
    told: mpsc::Receiver<Told>,
    _task: AbortOnDropHandle<()>,
}

struct Desk {
    fail: Mutex<Vec<&'static str>>,
    told: mpsc::Sender<Told>,
}

async fn take(State(desk): State<Arc<Desk>>, headers: HeaderMap, raw: String) -> StatusCode {
    let body: Value = serde_json::from_str(&raw).unwrap();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let told = Told { headers, raw, body };
    let failed = {
        let mut fail = desk.fail.lock().unwrap();
        let found = fail.iter().position(|event| *event == told.event());
        found.map(|index| fail.remove(index)).is_some()
    };
    desk.told.send(told).await.unwrap();
    if failed {
        StatusCode::INTERNAL_SERVER_ERROR
    } else {
        StatusCode::OK
    }
}

impl Receiver {
    async fn start(fail: Vec<&'static str>) -> Self {
        let (sender, told) = mpsc::channel(64);
        let desk = Arc::new(Desk {
            fail: Mutex::new(fail),
            told: sender,
        });
        let router = Router::new().route("/hook", post(take)).with_state(desk);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        Self {
            url,
            told,
            _task: AbortOnDropHandle::new(tokio::spawn(serving)),
        }
    }

    async fn next(&mut self) -> Told {
        let next = tokio::time::timeout(DEADLINE, self.told.recv()).await;
        next.expect("a webhook").unwrap()
    }
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn every_status_is_told_in_order_signed_and_again_after_a_failure(
    #[case] database: Database,
) {
    let world = World::start(database).await;
    let mut receiver = Receiver::start(vec!["in-progress"]).await;
    let secret = json!({"provider_name": "WEBHOOK_SECRET", "provider_value": SECRET});
    world.server.post("/providers", secret).await;
    let mut agent = agent();
    agent["agent_config"]["webhook_url"] = receiver.url.clone().into();
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();

    let mut all: Vec<Told> = Vec::new();
    while all.last().is_none_or(|told| told.event() != "completed") {
        all.push(receiver.next().await);
    }
    // An answer may outrun the news of the ringing; all others are sure to be told.
    let (rang, all): (Vec<Told>, Vec<Told>) =
        all.into_iter().partition(|told| told.event() == "ringing");
    let events: Vec<&str> = all.iter().map(Told::event).collect();
    assert_eq!(
        events,
        [
            "queued",
            "initiated",
            "in-progress",
            "in-progress",
            "call-disconnected",
            "completed"
        ]
    );
    let sequence = |told: &Told| told.body["sequence"].as_i64().unwrap();
    let between = sequence(&all[1])..sequence(&all[2]);
    assert!(rang.iter().all(|told| between.contains(&sequence(told))));
    for told in all.iter().chain(&rang) {
        assert!(told.is_signed(), "{}", told.event());
        assert_eq!(told.body["id"], execution.as_str());
        assert_eq!(told.body["status"], told.event());
        assert_eq!(told.body["event_id"], told.headers["webhook-id"].as_str());
    }
    // The second try is the same event; every other one is its own.
    let ids: Vec<&str> = all
        .iter()
        .map(|told| &*told.headers["webhook-id"])
        .collect();
    assert_eq!(ids[2], ids[3]);
    let distinct: std::collections::BTreeSet<&str> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), 5);
    // The transcript is there when the line is, the recording when all is done.
    let of = |event: &str| &all.iter().find(|told| told.event() == event).unwrap().body;
    let transcript =
        "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday.";
    assert_eq!(of("call-disconnected")["transcript"], transcript);
    assert!(
        of("completed")["telephony_data"]["recording_url"].is_string(),
        "{:#}",
        of("completed")
    );
    world.end(&["a webhook was not delivered"]).await;
}
