//! Health, readiness, figures, and the account of a key.

use serde_json::json;

use crate::bolo::Bolo;

#[tokio::test]
async fn ready_until_it_drains() {
    let bolo = Bolo::start().await;
    assert_eq!(bolo.get("/health").await.ok(), json!({ "status": "ok" }));
    assert_eq!(bolo.get("/ready").await.ok(), json!({ "status": "ready" }));
    bolo.app.draining.begin();
    let reply = bolo.get("/ready").await;
    assert_eq!(
        (reply.status.as_u16(), reply.json()),
        (503, json!({ "status": "draining" }))
    );
    assert_eq!(bolo.get("/health").await.ok(), json!({ "status": "ok" }));
}

#[tokio::test]
async fn figures_are_404_where_they_are_switched_off() {
    let bolo = Bolo::start().await;
    bolo.get("/metrics").await.error(404);
}

#[tokio::test]
async fn the_account_of_the_key_with_its_calls_in_flight() {
    let bolo = Bolo::start().await;
    bolo.app
        .store
        .set_account("first", Some(10), Some(42.42))
        .await
        .unwrap();
    bolo.dialled(bolo.new_agent().await, "CA1").await;
    assert_eq!(
        bolo.get("/user/me").await.ok(),
        json!({
            "id": bolo.account.to_string(),
            "name": "first",
            "email": "owner@example.com",
            "wallet": 42.42,
            "concurrency": { "max": 10, "current": 1 },
        })
    );
}
