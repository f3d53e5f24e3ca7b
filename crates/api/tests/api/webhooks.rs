//! The log of webhooks over HTTP: listed, shown, told again; receivers and secrets.

use bolo_execution::Change;
use bolo_store::{DeliveryOutcome, Facts};
use serde_json::{Value, json};

use crate::bolo::{Bolo, agent, now};

/// An agent that tells its calls, and a call of it that was busy and whose webhooks were given up.
async fn given_up(bolo: &Bolo) -> String {
    let mut body = agent();
    body["agent_config"]["webhook_url"] = json!("https://customer.example/hook");
    let created = bolo.post("/v2/agent", body).await.ok();
    let id = bolo
        .new_call(created["agent_id"].as_str().unwrap().parse().unwrap())
        .await;
    bolo.change(id, Change::Busy, Facts::default()).await;
    let store = &bolo.app.store;
    loop {
        let due = store.claim_deliveries(now(), 1000, 10).await.unwrap();
        if due.is_empty() {
            return id.to_string();
        }
        for delivery in due {
            let outcome = DeliveryOutcome::Exhausted {
                error: "the receiver answered 503".into(),
            };
            store
                .settle_delivery(delivery.id, outcome, now())
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn webhooks_are_listed_shown_and_told_again() {
    let bolo = Bolo::start().await;
    let id = given_up(&bolo).await;
    let list = bolo.get("/webhooks/deliveries").await.ok();
    assert_eq!(
        (&list["total"], &list["page_number"], &list["has_more"]),
        (&json!(2), &json!(1), &json!(false))
    );
    let one = &list["data"][0];
    assert_eq!(
        (&one["event"], &one["execution_id"], &one["sequence"]),
        (&json!("busy"), &json!(id), &json!(2))
    );
    assert_eq!(
        (&one["state"], &one["tries"]),
        (&json!("exhausted"), &json!(1))
    );
    assert_eq!(
        (&one["error"], &one["next_try_at"], &one["body"]),
        (
            &json!("the receiver answered 503"),
            &Value::Null,
            &Value::Null
        )
    );

    let path = format!("/webhooks/deliveries/{}", one["id"].as_str().unwrap());
    let shown = bolo.get(&path).await.ok();
    assert_eq!(
        (&shown["body"]["event"], &shown["body"]["event_id"]),
        (&json!("busy"), &one["id"])
    );
    let again = bolo.post(&format!("{path}/replay"), json!({})).await.ok();
    assert_eq!(
        (&again["state"], &again["tries"]),
        (&json!("waiting"), &json!(0))
    );
    assert!(again["next_try_at"].is_string() && again["settled_at"].is_null());

    let filters = [
        ("state=exhausted", 1),
        ("state=waiting", 1),
        ("event=queued", 1),
        ("event=completed", 0),
        ("from=2020-01-01", 2),
        ("to=2020-01-01", 0),
        ("page_size=1", 2),
    ];
    for (query, total) in filters {
        let list = bolo
            .get(&format!("/webhooks/deliveries?{query}"))
            .await
            .ok();
        assert_eq!(list["total"], total, "{query}");
    }
    let list = bolo
        .get(&format!("/webhooks/deliveries?execution_id={id}"))
        .await
        .ok();
    assert_eq!(list["total"], 2);
    // What a webhook task sends.
    let record = bolo.record(id.parse().unwrap()).await;
    let url = "https://customer.example/facts".parse().unwrap();
    let store = &bolo.app.store;
    let told = store.tell_extracted(&record, 0, &url, "{}", 1000, now());
    told.await.unwrap();
    let list = bolo.get("/webhooks/deliveries?event=extraction").await.ok();
    assert_eq!(
        (&list["total"], &list["data"][0]["event"]),
        (&json!(1), &json!("extraction"))
    );
    for query in [
        "state=lost",
        "event=over",
        "execution_id=1",
        "from=yesterday",
        "page_size=0",
    ] {
        bolo.get(&format!("/webhooks/deliveries?{query}"))
            .await
            .error(400);
    }
    bolo.get("/webhooks/deliveries/1").await.error(404);
    bolo.get("/webhooks/deliveries/0190a8f8-0000-7000-8000-000000000000")
        .await
        .error(404);
}

#[tokio::test]
async fn a_span_of_time_is_told_again() {
    let bolo = Bolo::start().await;
    given_up(&bolo).await;
    let replay = async |body: Value| bolo.post("/webhooks/replay", body).await;
    assert_eq!(
        replay(json!({"from": "2020-01-01", "to": "2020-02-01"}))
            .await
            .ok()["replayed"],
        0
    );
    assert_eq!(
        replay(json!({"from": "2020-01-01", "state": "delivered"}))
            .await
            .ok()["replayed"],
        0
    );
    assert_eq!(
        replay(json!({"from": "2020-01-01"})).await.ok()["replayed"],
        2
    );
    assert_eq!(
        replay(json!({"from": "2020-01-01"})).await.ok()["replayed"],
        0
    );
    for body in [
        json!({}),
        json!({"from": "soon"}),
        json!({"from": "2020-01-01", "state": "waiting"}),
    ] {
        replay(body).await.error(400);
    }
}

#[tokio::test]
async fn receivers_that_fail_are_listed_and_one_that_is_off_is_switched_on() {
    let bolo = Bolo::start().await;
    given_up(&bolo).await;
    let failing = bolo.get("/webhooks/endpoints").await.ok();
    assert_eq!(failing[0]["url"], "https://customer.example/hook");
    assert!(failing[0]["failing_since"].is_string() && failing[0]["disabled_at"].is_null());
    let body = json!({"url": "https://customer.example/hook"});
    bolo.post("/webhooks/endpoints/enable", body)
        .await
        .error(404);
}

#[tokio::test]
async fn a_secret_is_shown_once_and_rotated() {
    let bolo = Bolo::start().await;
    let first = bolo.post("/webhooks/secret", json!({})).await.ok();
    let first = first["webhook_secret"].as_str().unwrap();
    assert!(first.starts_with("whsec_"));
    let second = bolo.post("/webhooks/secret", json!({})).await.ok();
    assert_ne!(second["webhook_secret"], first);
    let listed = bolo.get("/providers").await.ok();
    let tail = &first[first.len() - 2..];
    assert_eq!(listed[0]["provider_value"], format!("xxxxxxx{tail}"));
    let dropped = bolo.delete("/webhooks/secret/previous").await.ok();
    assert_eq!(dropped["state"], "deleted");
}
