//! Faults: always JSON, always the same shape, and nothing of another tenant.

use axum::{body::Body, http::Request};
use serde_json::json;

use crate::bolo::{Bolo, agent};

#[tokio::test]
async fn no_key_and_bad_keys_are_401_on_every_kind_of_route() {
    let bolo = Bolo::start().await;
    for path in [
        "/v2/agent/all",
        "/agent/not-a-uuid",
        "/executions/x/log",
        "/user/me",
        "/providers",
        "/recordings/call/x",
    ] {
        for header in [
            None,
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer bn-wrong"),
            Some("Basic abc"),
            Some(&*bolo.key),
        ] {
            let request = Request::get(path);
            let request = match header {
                Some(header) => request.header("authorization", header),
                None => request,
            };
            let reply = bolo.send(request.body(Body::empty()).unwrap()).await;
            assert!(reply.error(401).starts_with("Access denied"), "{path}");
            assert_eq!(reply.header("www-authenticate"), "Bearer");
        }
    }
    bolo.request("bn-wrong", "POST", "/call", Some(&json!({})))
        .await
        .error(401);
}

#[tokio::test]
async fn the_scheme_of_a_key_is_read_in_any_case() {
    let bolo = Bolo::start().await;
    let request = Request::get("/user/me").header("authorization", format!("bearer {}", bolo.key));
    bolo.send(request.body(Body::empty()).unwrap()).await.ok();
}

#[tokio::test]
async fn a_revoked_key_opens_nothing() {
    let bolo = Bolo::start().await;
    for key in bolo.app.store.keys().await.unwrap() {
        bolo.app
            .store
            .revoke_key(key.id, crate::bolo::now())
            .await
            .unwrap();
    }
    bolo.get("/user/me").await.error(401);
}

#[tokio::test]
async fn what_belongs_to_another_account_does_not_exist() {
    let bolo = Bolo::start().await;
    let stranger = bolo.stranger().await;
    let id = bolo.new_agent().await;
    let call = bolo.new_call(id).await;
    let body = agent();
    let placing = json!({ "agent_id": id.to_string(), "recipient_phone_number": "+10123456789" });
    for (method, path, body) in [
        ("GET", format!("/v2/agent/{id}"), None),
        ("PUT", format!("/v2/agent/{id}"), Some(&body)),
        ("PATCH", format!("/v2/agent/{id}"), Some(&body)),
        ("DELETE", format!("/v2/agent/{id}"), None),
        ("POST", format!("/v2/agent/{id}/stop"), None),
        ("GET", format!("/v2/agent/{id}/executions"), None),
        ("GET", format!("/agent/{id}/executions"), None),
        ("GET", format!("/v2/agent/{id}/execution/{call}"), None),
        ("GET", format!("/executions/{call}"), None),
        ("GET", format!("/executions/{call}/log"), None),
        ("GET", format!("/recordings/call/{call}"), None),
        ("GET", format!("/recordings/call/{call}/link"), None),
        ("POST", format!("/call/{call}/stop"), None),
        ("POST", "/call".to_owned(), Some(&placing)),
    ] {
        let reply = bolo.request(&stranger, method, &path, body).await;
        assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text());
        reply.error(404);
    }
    assert_eq!(
        bolo.request(&stranger, "GET", "/v2/agent/all", None)
            .await
            .ok(),
        json!([])
    );
    assert_eq!(
        bolo.request(&stranger, "GET", "/executions", None)
            .await
            .ok()["total"],
        0
    );
    assert_eq!(bolo.status(call).await, "queued");
}

#[tokio::test]
async fn unknown_addresses_methods_and_ids_answer_in_json() {
    let bolo = Bolo::start().await;
    bolo.get("/no/such/thing").await.error(404);
    let reply = bolo.delete("/call").await;
    reply.error(405);
    assert_eq!(reply.header("allow"), "POST");
    for path in [
        "/v2/agent/not-a-uuid",
        "/executions/123",
        "/executions/00000000-0000-0000-0000-000000000000",
    ] {
        bolo.get(path).await.error(404);
    }
}

#[tokio::test]
async fn a_body_that_is_no_json_is_400() {
    let bolo = Bolo::start().await;
    for body in ["", "{", "[1,", "agent_id=1", "\u{0}"] {
        let request =
            Request::post("/call").header("authorization", format!("Bearer {}", bolo.key));
        bolo.send(request.body(Body::from(body)).unwrap())
            .await
            .error(400);
    }
    bolo.post("/v2/agent", json!([])).await.error(400);
    bolo.post("/call", json!("text")).await.error(400);
}

#[tokio::test]
async fn a_body_over_the_limit_is_413() {
    let bolo = Bolo::start().await;
    let message = bolo
        .post("/call", json!({ "x": "y".repeat(70_000) }))
        .await
        .error(413);
    assert!(message.contains("65536"), "{message}");
}

#[tokio::test]
async fn a_body_on_get_and_delete_is_never_read() {
    let bolo = Bolo::start().await;
    let id = bolo.new_agent().await;
    for (method, path) in [
        ("GET", format!("/v2/agent/{id}")),
        ("DELETE", format!("/v2/agent/{id}")),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", bolo.key))
            .header("content-type", "application/json");
        bolo.send(request.body(Body::from("{ broken")).unwrap())
            .await
            .ok();
    }
}

#[tokio::test]
async fn every_answer_carries_a_request_id_and_lets_browsers_in() {
    let bolo = Bolo::start().await;
    let reply = bolo.get("/user/me").await;
    assert_eq!(reply.header("x-request-id").len(), 36);
    let request = Request::get("/health")
        .header("x-request-id", "abc-1")
        .header("origin", "https://page.example");
    let reply = bolo.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.header("x-request-id"), "abc-1");
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    let preflight = Request::builder()
        .method("OPTIONS")
        .uri("/v2/agent")
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let reply = bolo.send(preflight.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 200);
    // `*` would not include Authorization.
    assert_eq!(
        reply.header("access-control-allow-headers"),
        "authorization,content-type"
    );
}
