//! Callers who are looked up before they are answered (R12).

use std::sync::{Arc, Mutex};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use bolo_simulator::{caller::CallerScript, llm::Reply};
use serde_json::{Map, Value, json};
use tokio_util::task::AbortOnDropHandle;

use crate::support::{Database, OURS, THEIRS, World, agent_with};

type Asked = Arc<Mutex<Vec<(HeaderMap, Map<String, Value>)>>>;

/// A customer's server: an address that knows one number, and a sheet.
struct Crm {
    base: String,
    asked: Asked,
    _task: AbortOnDropHandle<()>,
}

impl Crm {
    async fn start() -> Self {
        let asked = Asked::default();
        let lead = async |State(asked): State<Asked>,
                          headers: HeaderMap,
                          Query(query): Query<Map<String, Value>>| {
            let known = query["contact_number"] == THEIRS;
            asked.lock().unwrap().push((headers, query));
            match known {
                true => Ok(Json(json!({ "name": "Asha", "tier": 2 }))),
                false => Err(StatusCode::NOT_FOUND),
            }
        };
        let sheet = async || format!("contact_number,name\n\"{THEIRS}\",Ravi\n");
        let router = Router::new()
            .route("/lead", get(lead))
            .route("/sheet", get(sheet))
            .with_state(asked.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            base,
            asked,
            _task: AbortOnDropHandle::new(serving),
        }
    }
}

fn agent(source: Value) -> Value {
    let mut agent = agent_with(json!({ "disallow_unknown_numbers": true }));
    agent["agent_config"]["ingest_source_config"] = source;
    agent["agent_prompts"]["task_1"]["system_prompt"] = "You help {name}.".into();
    agent
}

/// Somebody whom nobody knows calls, and is turned away.
async fn stranger(world: &World, agent: &str) {
    let url = format!("{}/inbound_call?agent_id={agent}", world.server.base);
    let carrier = &world.fakes.carrier;
    let _call = carrier
        .call_in_to("+14155550111", OURS, &url, CallerScript::default())
        .unwrap();
    let path = format!("/v2/agent/{agent}/executions?status=canceled");
    let turned_away = async {
        loop {
            let calls = world.server.get(&path).await;
            if calls["total"] == 1 {
                return calls["data"][0]["error_message"]
                    .as_str()
                    .unwrap()
                    .to_owned();
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await; // no-sleep-ok: polling a condition under a deadline
        }
    };
    let rule = tokio::time::timeout(crate::support::DEADLINE, turned_away)
        .await
        .unwrap();
    assert!(rule.starts_with("disallow_unknown_numbers"), "{rule}");
}

#[tokio::test]
async fn a_caller_is_known_by_the_customers_server_or_turned_away() {
    let world = World::start(Database::Postgres).await;
    let crm = Crm::start().await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("On its way."));
    let source = json!({ "source_type": "api", "source_url": format!("{}/lead", crm.base), "source_auth_token": "secret" });
    let (execution, call) = world.ring(&agent(source), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("On its way").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["context_details"]["recipient_data"]["tier"], 2);
    let system = world.fakes.llm.requests()[0]["messages"][0]["content"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(system.starts_with("You help Asha."), "{system}");
    let (headers, query) = crm.asked.lock().unwrap()[0].clone();
    assert_eq!(headers["authorization"], "Bearer secret");
    assert_eq!(
        (&query["execution_id"], &query["agent_id"]),
        (&json!(execution), &record["agent_id"])
    );
    stranger(&world, record["agent_id"].as_str().unwrap()).await;
    world.end(&[]).await;
}

#[tokio::test]
async fn a_caller_is_known_by_a_sheet() {
    let world = World::start(Database::Sqlite).await;
    let crm = Crm::start().await;
    let source = json!({ "source_type": "google_sheet", "source_name": "June", "source_url": format!("{}/sheet", crm.base) });
    let (execution, call) = world.ring(&agent(source), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["context_details"]["recipient_data"]["name"], "Ravi");
    stranger(&world, record["agent_id"].as_str().unwrap()).await;
    world.end(&[]).await;
}
