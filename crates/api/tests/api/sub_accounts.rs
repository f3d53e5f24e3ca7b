//! Sub-accounts and what their keys may do.

use bolo_execution::Change;
use bolo_store::Facts;
use serde_json::{Value, json};

use crate::bolo::{Bolo, agent};

async fn new(bolo: &Bolo, body: Value) -> Value {
    bolo.post("/sub-accounts", body).await.ok()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test]
async fn a_sub_account_is_made_listed_changed_and_deleted() {
    let bolo = Bolo::start().await;
    let made = new(
        &bolo,
        json!({ "name": "alpha-007", "allow_concurrent_calls": 4, "multi_tenant": false, "db_host": null,
            "description": "a client", "metadata": { "tier": 1 } }),
    )
    .await;
    let id = text(&made, "id").to_owned();
    assert!(text(&made, "api_key").starts_with("sa-"));
    assert_eq!(made["organization_id"], bolo.account.to_string());
    assert_eq!(
        (
            &made["allow_concurrent_calls"],
            &made["multi_tenant"],
            &made["db_password"]
        ),
        (&json!(4), &json!(false), &Value::Null)
    );
    for path in ["/sub-accounts", "/sub-accounts/all"] {
        assert_eq!(bolo.get(path).await.ok(), json!([made]));
    }
    let done = json!({ "message": "success", "state": "updated" });
    let path = format!("/sub-accounts/{id}");
    let patch = json!({ "name": "beta", "min_concurrency": 2, "max_concurrency": 3 });
    assert_eq!(bolo.patch(&path, patch).await.ok(), done);
    let shown = bolo.get("/sub-accounts").await.ok()[0].clone();
    assert_eq!(
        (
            &shown["name"],
            &shown["allow_concurrent_calls"],
            &shown["min_concurrency"],
            &shown["max_concurrency"]
        ),
        (&json!("beta"), &json!(4), &json!(2), &json!(3))
    );
    assert_eq!(
        bolo.patch(&path, json!({ "max_concurrency": null }))
            .await
            .ok(),
        done
    );
    assert_eq!(
        bolo.get("/sub-accounts").await.ok()[0]["max_concurrency"],
        Value::Null
    );

    assert_eq!(
        bolo.delete(&path).await.ok(),
        json!({ "message": "success", "state": "deleted" })
    );
    assert_eq!(bolo.get("/sub-accounts").await.ok(), json!([]));
    bolo.delete(&path).await.error(404);
    bolo.request(text(&made, "api_key"), "GET", "/user/me", None)
        .await
        .error(401);
}

#[tokio::test]
async fn faults_name_the_field_and_lines_are_the_accounts() {
    let bolo = Bolo::start().await;
    for (body, fault) in [
        (json!({}), "name: field required"),
        (json!({ "name": " " }), "name: must not be empty"),
        (
            json!({ "name": "a", "allow_concurrent_calls": -1 }),
            "allow_concurrent_calls: must not",
        ),
        (
            json!({ "name": "a", "multi_tenant": true }),
            "multi_tenant: sub-accounts share",
        ),
        (
            json!({ "name": "a", "db_port": "5432" }),
            "db_port: sub-accounts share",
        ),
        (
            json!({ "name": "a", "allow_concurrent_calls": 11 }),
            "Concurrency limit exceeded",
        ),
    ] {
        let message = bolo
            .post("/sub-accounts/create", body.clone())
            .await
            .error(400);
        assert!(message.starts_with(fault), "{body}: {message}");
    }
    let made = new(&bolo, json!({ "name": "a" })).await;
    let path = format!("/sub-accounts/{}", text(&made, "id"));
    bolo.patch(&path, json!({ "color": "red" }))
        .await
        .error(400);
    bolo.patch(&path, json!({ "min_concurrency": 99 }))
        .await
        .error(400);
    bolo.patch(
        &format!("/sub-accounts/{}", bolo.account),
        json!({ "name": "x" }),
    )
    .await
    .error(404);
}

#[tokio::test]
async fn its_key_opens_its_own_and_nothing_else() {
    let bolo = Bolo::start().await;
    let ours = bolo.new_agent().await;
    let made = new(&bolo, json!({ "name": "alpha-007" })).await;
    let key = text(&made, "api_key");
    let me = bolo.request(key, "GET", "/user/me", None).await.ok();
    assert_eq!((&me["id"], &me["name"]), (&made["id"], &json!("alpha-007")));
    assert_eq!(
        bolo.request(key, "GET", "/v2/agent/all", None).await.ok(),
        json!([])
    );
    bolo.request(key, "GET", &format!("/v2/agent/{ours}"), None)
        .await
        .error(404);
    let created = bolo
        .request(key, "POST", "/v2/agent", Some(&agent()))
        .await
        .ok();
    let theirs = text(&created, "agent_id");
    bolo.get(&format!("/v2/agent/{theirs}")).await.error(404);
    let id = text(&made, "id");
    for (method, path) in [
        ("POST", "/sub-accounts".to_owned()),
        ("POST", "/sub-accounts/create".to_owned()),
        ("GET", "/sub-accounts".to_owned()),
        ("GET", "/sub-accounts/all".to_owned()),
        ("PATCH", format!("/sub-accounts/{id}")),
        ("DELETE", format!("/sub-accounts/{id}")),
        ("GET", format!("/sub-accounts/{id}/usage")),
        ("GET", "/sub-accounts/all/usage".to_owned()),
    ] {
        bolo.request(key, method, &path, Some(&json!({ "name": "x" })))
            .await
            .error(403);
    }
    // A stranger's account does not see it at all.
    let stranger = bolo.stranger().await;
    assert_eq!(
        bolo.request(&stranger, "GET", "/sub-accounts", None)
            .await
            .ok(),
        json!([])
    );
    bolo.request(&stranger, "DELETE", &format!("/sub-accounts/{id}"), None)
        .await
        .error(404);
}

#[tokio::test]
async fn lists_mask_keys_where_the_server_is_set_so() {
    let bolo = Bolo::start_with(|settings| settings.mask_sub_account_keys = true).await;
    let made = new(&bolo, json!({ "name": "a" })).await;
    let key = text(&made, "api_key");
    assert_eq!(key.len(), 35, "shown once");
    let masked = format!("xxxxxxx{}", &key[33..]);
    assert_eq!(bolo.get("/sub-accounts").await.ok()[0]["api_key"], masked);
}

#[tokio::test]
async fn usage_is_told_for_one_and_for_all() {
    let bolo = Bolo::start().await;
    let made = new(&bolo, json!({ "name": "alpha-007" })).await;
    let (id, key) = (text(&made, "id"), text(&made, "api_key"));
    let created = bolo
        .request(key, "POST", "/v2/agent", Some(&agent()))
        .await
        .ok();
    let call = json!({ "agent_id": created["agent_id"], "recipient_phone_number": "+10123456789" });
    bolo.request(key, "POST", "/call", Some(&call)).await.ok();
    let used = bolo.get(&format!("/sub-accounts/{id}/usage")).await.ok();
    assert_eq!(
        (&used["total_records"], &used["status_map"]),
        (&json!(1), &json!({ "queued": 1 }))
    );
    let all = bolo.get("/sub-accounts/all/usage").await.ok();
    assert_eq!(
        (
            all[0]["sub_account_name"].as_str(),
            &all[0]["total_records"]
        ),
        (Some("alpha-007"), &json!(1))
    );
    let past = bolo
        .get(&format!(
            "/sub-accounts/{id}/usage?from=2020-01-01&to=2020-01-31"
        ))
        .await
        .ok();
    assert_eq!(past["total_records"], 0);
    bolo.get("/sub-accounts/all/usage?from=2020-01-01")
        .await
        .error(400);
}

#[tokio::test]
async fn a_deleted_ones_calls_end() {
    let bolo = Bolo::start().await;
    let made = new(&bolo, json!({ "name": "a" })).await;
    let key = text(&made, "api_key");
    let created = bolo
        .request(key, "POST", "/v2/agent", Some(&agent()))
        .await
        .ok();
    let call = json!({ "agent_id": created["agent_id"], "recipient_phone_number": "+10123456789" });
    let mut calls = Vec::new();
    for _ in 0..2 {
        let placed = bolo.request(key, "POST", "/call", Some(&call)).await.ok();
        calls.push(text(&placed, "execution_id").parse().unwrap());
    }
    for change in [Change::CarrierAccepted, Change::Answered] {
        bolo.change(calls[0], change, Facts::default()).await;
    }
    bolo.delete(&format!("/sub-accounts/{}", text(&made, "id")))
        .await
        .ok();
    for call in calls {
        assert_eq!(bolo.status(call).await, "stopped");
    }
}
