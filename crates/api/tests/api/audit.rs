//! The audit log: writes and recordings, with who and what; reads and strangers leave nothing.

use std::net::SocketAddr;

use axum::{body::Body, extract::ConnectInfo, http::Request};
use serde_json::{Value, json};

use crate::bolo::{Bolo, agent};

async fn lines(bolo: &Bolo) -> Vec<Value> {
    let page = bolo.get("/audit").await.ok();
    page["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_write_leaves_a_line_and_a_read_none() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    bolo.get(&format!("/v2/agent/{id}")).await.ok();
    bolo.get("/v2/agent/all").await.ok();
    bolo.delete(&format!("/agent/{id}?token=secret")).await.ok();
    bolo.delete(&format!("/agent/{id}")).await.error(404);
    bolo.request("bn-wrong", "POST", "/v2/agent", Some(&agent()))
        .await
        .error(401);
    let lines = lines(&bolo).await;
    let seen: Vec<Value> = lines
        .iter()
        .map(|line| json!([line["method"], line["route"], line["status"]]))
        .collect();
    assert_eq!(
        json!(seen),
        json!([
            ["DELETE", "/agent/{agent_id}", 404],
            ["DELETE", "/agent/{agent_id}", 200],
            ["POST", "/v2/agent", 200],
        ])
    );
    assert_eq!(
        lines[1]["path"],
        format!("/agent/{id}"),
        "without the query"
    );
    let key = bolo.app.store.keys().await.unwrap().remove(0).id;
    assert_eq!(lines[0]["key_id"], key.to_string());
    let theirs = bolo
        .request(&bolo.stranger().await, "GET", "/audit", None)
        .await
        .ok();
    assert_eq!(theirs["data"], json!([]));
}

#[tokio::test]
async fn a_line_says_from_where_and_names_the_request() {
    let bolo = Bolo::start().await;
    let mut request = Request::post("/v2/agent")
        .header("authorization", format!("Bearer {}", bolo.key))
        .header("x-forwarded-for", "198.51.100.9")
        .body(Body::from(agent().to_string()))
        .unwrap();
    let peer = SocketAddr::from(([203, 0, 113, 7], 4711));
    request.extensions_mut().insert(ConnectInfo(peer));
    let answer = bolo.send(request).await;
    let line = lines(&bolo).await.remove(0);
    assert_eq!(line["remote"], "203.0.113.7");
    assert_eq!(line["forwarded_for"], "198.51.100.9");
    assert_eq!(line["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn a_recording_that_is_asked_for_leaves_a_line() {
    let bolo = Bolo::start().await;
    let call = bolo.new_call(bolo.new_agent().await).await;
    bolo.get(&format!("/recordings/call/{call}"))
        .await
        .error(404);
    let line = lines(&bolo).await.remove(0);
    assert_eq!(line["route"], "/recordings/call/{execution_id}");
    assert_eq!(line["status"], 404);
}
