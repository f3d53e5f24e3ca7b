//! `Idempotency-Key` on `POST /call` and `POST /batches`: one call, one batch, whatever is repeated.

use axum::{body::Body, http::Request};
use serde_json::{Value, json};

use crate::bolo::{Bolo, Reply, agent as agent_body};

async fn call(bolo: &Bolo, key: &str, body: &Value) -> Reply {
    call_of(bolo, &bolo.key, key, body).await
}

async fn call_of(bolo: &Bolo, account: &str, key: &str, body: &Value) -> Reply {
    let request = Request::post("/call")
        .header("authorization", format!("Bearer {account}"))
        .header("idempotency-key", key)
        .body(Body::from(body.to_string()))
        .unwrap();
    bolo.send(request).await
}

#[tokio::test]
async fn a_repeated_request_is_answered_as_before_and_places_nothing() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let body = json!({ "agent_id": agent, "recipient_phone_number": "+10123456789" });
    let first = call(&bolo, "k-1", &body).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = call(&bolo, "k-1", &body).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.ok(), first.ok());
    let other = call(&bolo, "k-2", &body).await.ok();
    assert_ne!(other["execution_id"], first.ok()["execution_id"]);
    let total = bolo.get("/executions").await.ok()["total"].clone();
    assert_eq!(total, 2);
}

#[tokio::test]
async fn a_key_is_of_one_request_and_one_account() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let mut body = json!({ "agent_id": agent, "recipient_phone_number": "+10123456789" });
    call(&bolo, "k-1", &body).await.ok();
    body["recipient_phone_number"] = json!("+10123456780");
    let refused = call(&bolo, "k-1", &body).await.error(409);
    assert!(refused.contains("Idempotency-Key"), "{refused}");
    let stranger = bolo.stranger().await;
    let agent = agent_body();
    let agent = bolo.request(&stranger, "POST", "/v2/agent", Some(&agent));
    body["agent_id"] = agent.await.ok()["agent_id"].clone();
    let theirs = call_of(&bolo, &stranger, "k-1", &body).await;
    assert_eq!(theirs.header("idempotency-replayed"), "");
    theirs.ok();
    let long = "k".repeat(256);
    let refused = call(&bolo, &long, &body).await.error(400);
    assert!(refused.starts_with("Idempotency-Key"), "{refused}");
}

#[tokio::test]
async fn requests_at_the_same_time_place_one_call() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let body = json!({ "agent_id": agent, "recipient_phone_number": "+10123456789" });
    let answers = futures_util::future::join_all((0..8).map(|_| call(&bolo, "k-1", &body))).await;
    let first = answers[0].ok();
    assert!(answers.iter().all(|answer| answer.ok() == first));
    assert_eq!(bolo.get("/executions").await.ok()["total"], 1);
}

#[tokio::test]
async fn a_refused_request_does_not_use_its_key_up() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    call(&bolo, "k-1", &json!({ "agent_id": agent }))
        .await
        .error(400);
    let body = json!({ "agent_id": agent, "recipient_phone_number": "+10123456789" });
    call(&bolo, "k-1", &body).await.ok();
}

/// An upload under a key; what separates its parts is new each time, as clients choose it.
async fn upload(bolo: &Bolo, key: &str, agent: &str, table: &str) -> Reply {
    let line = uuid::Uuid::new_v4().simple().to_string();
    let part = |name: &str, value: &str| {
        format!("--{line}\r\ncontent-disposition: form-data; {name}\r\n\r\n{value}\r\n")
    };
    let body = part("name=\"agent_id\"", agent)
        + &part("name=\"file\"; filename=\"a.csv\"", table)
        + &format!("--{line}--\r\n");
    let request = Request::post("/batches")
        .header("authorization", format!("Bearer {}", bolo.key))
        .header("idempotency-key", key)
        .header(
            "content-type",
            format!("multipart/form-data; boundary={line}"),
        );
    bolo.send(request.body(Body::from(body)).unwrap()).await
}

const TABLE: &str = "contact_number\n+14155550100\n+14155550101\n";

#[tokio::test]
async fn a_repeated_upload_makes_one_batch() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let all = async || bolo.get(&format!("/batches/{agent}/all")).await.ok();
    upload(&bolo, "b-1", &agent, "contact_number\nnobody\n")
        .await
        .error(400);
    let first = upload(&bolo, "b-1", &agent, TABLE).await;
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = upload(&bolo, "b-1", &agent, TABLE).await;
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.ok(), first.ok());
    assert_eq!(all().await.as_array().unwrap().len(), 1);
    assert_eq!(bolo.get("/executions").await.ok()["total"], 2);

    let more = format!("{TABLE}+14155550102\n");
    let refused = upload(&bolo, "b-1", &agent, &more).await.error(409);
    assert!(refused.contains("Idempotency-Key"), "{refused}");
    // A call's key is another one.
    let body = json!({ "agent_id": agent, "recipient_phone_number": "+10123456789" });
    call(&bolo, "b-1", &body).await.ok();
    upload(&bolo, "b-2", &agent, TABLE).await.ok();
    assert_eq!(all().await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn uploads_at_the_same_time_make_one_batch() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await.to_string();
    let uploads = (0..8).map(|_| upload(&bolo, "b-1", &agent, TABLE));
    let answers = futures_util::future::join_all(uploads).await;
    let first = answers[0].ok();
    assert!(answers.iter().all(|answer| answer.ok() == first));
    assert_eq!(bolo.get("/executions").await.ok()["total"], 2);
}
