//! What the REST API bears beside a million finished calls. A measurement:
//!
//! `cargo test --profile bench -p bolo-server --test it rest_load -- --ignored --nocapture`, with
//! `BOLO_BENCH_FINISHED` calls (1,000,000). The client shares the machine, and its part is in the figures.

use std::time::{Duration, Instant};

use chrono::Utc;
use reqwest::{Client, Method};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, Server, World, agent, past};

/// Connections that ask without a pause.
const CLIENTS: usize = 16;
/// Each operation is asked for so long.
const SPAN: Duration = Duration::from_secs(5);

struct Operation {
    name: &'static str,
    method: Method,
    path: String,
    body: Option<Value>,
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn many_requests_beside_a_long_past(#[case] database: Database) {
    let given = std::env::var("BOLO_BENCH_FINISHED").ok();
    let finished: i64 = given.map_or(1_000_000, |text| text.parse().unwrap());
    let world = World::start(database).await;
    let server = &world.server;
    let id = server.create_agent(&agent()).await;
    let url = server.setup().database_url();
    past::fill(
        &url,
        "completed",
        finished,
        "NULL",
        Utc::now().timestamp_millis(),
    )
    .await;
    let last = finished / 50;
    let get = |name, path: String| Operation {
        name,
        method: Method::GET,
        path,
        body: None,
    };
    let call = Operation {
        name: "POST /call (for later)",
        method: Method::POST,
        path: "/call".into(),
        body: Some(json!({
            "agent_id": id,
            "recipient_phone_number": "+14155550177",
            "scheduled_at": (Utc::now() + chrono::Duration::days(1)).to_rfc3339(),
        })),
    };
    let executions = format!("/v2/agent/{id}/executions?page_size=50");
    for operation in [
        get("GET /user/me", "/user/me".into()),
        get("GET /v2/agent/{id}", format!("/v2/agent/{id}")),
        get("GET …/executions, first page", executions.clone()),
        get(
            "GET …/executions, last page",
            format!("{executions}&page_number={last}"),
        ),
        call,
    ] {
        let mut took = measure(server, &operation).await;
        took.sort();
        let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
        println!(
            "{database:?}, {finished} calls: {}: {:.0} a second, p50 {:.1} ms, p99 {:.1} ms",
            operation.name,
            took.len() as f64 / SPAN.as_secs_f64(),
            at(0.5),
            at(0.99),
        );
    }
    // Rows were filled in beside the live server, which SQLite let nobody write meanwhile.
    world
        .end(&["database is locked", "pool timed out while waiting"])
        .await;
}

/// How long each request took.
async fn measure(server: &Server, operation: &Operation) -> Vec<Duration> {
    let until = Instant::now() + SPAN;
    let clients = (0..CLIENTS).map(|_| {
        let url = format!("{}{}", server.base, operation.path);
        let (method, body) = (operation.method.clone(), operation.body.clone());
        let key = server.key.clone();
        tokio::spawn(async move {
            let client = Client::new();
            let mut took = Vec::new();
            while Instant::now() < until {
                let mut request = client.request(method.clone(), &url).bearer_auth(&key);
                if let Some(body) = &body {
                    request = request.json(body);
                }
                let since = Instant::now();
                let answer = request.send().await.unwrap();
                assert_eq!(answer.status(), 200, "{url}");
                answer.bytes().await.unwrap();
                took.push(since.elapsed());
            }
            took
        })
    });
    let mut all = Vec::new();
    for client in clients.collect::<Vec<_>>() {
        all.extend(client.await.unwrap());
    }
    all
}
