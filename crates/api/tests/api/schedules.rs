//! Batches over HTTP: scheduled, stopped, counted, deleted.

use axum::{body::Body, http::Request};
use bolo_execution::{AgentId, Change, ExecutionId};
use bolo_store::Facts;
use serde_json::{Value, json};

use crate::bolo::Bolo;

#[tokio::test]
async fn a_batch_is_scheduled_in_every_spelling() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let id = bolo
        .upload(agent, b"contact_number\n+14155550100\n+14155550101")
        .await;
    let path = format!("/batches/{id}/schedule");
    let scheduled_at = |batch: &Value| batch["scheduled_at"].as_str().unwrap().to_owned();
    for text in [
        "2099-06-04T22:40:00.000Z",
        "2099-06-05 04:10:00+05:30",
        "2099-06-05T04:10:00+05:30",
        "\"2099-06-04T22:40:00.000Z\"",
        "2099-06-04T22:40:00",
    ] {
        let answer = bolo.schedule(&id, text).await.ok();
        assert_eq!(
            answer,
            json!({"message": "success", "state": "scheduled", "batch_id": id})
        );
        let batch = bolo.get(&format!("/batches/{id}")).await.ok();
        assert_eq!(scheduled_at(&batch), "2099-06-04T22:40:00.000Z", "{text}");
        assert_eq!(batch["status"], "scheduled");
        assert_eq!(batch["state"], "scheduled");
        assert_eq!(batch["execution_status"], json!({"scheduled": 2}));
        assert_eq!(batch["bypass_call_guardrails"], false);
    }
    let json = json!({"scheduled_at": "2099-01-01T00:00:00Z", "bypass_call_guardrails": true});
    bolo.post(&path, json).await.ok();
    let batch = bolo.get(&format!("/batches/{id}")).await.ok();
    assert_eq!(scheduled_at(&batch), "2099-01-01T00:00:00.000Z");
    assert_eq!(batch["bypass_call_guardrails"], true);

    for (path, body) in [
        (path.clone(), "time=2099-01-02T00%3A00%3A00Z".to_owned()),
        (
            "/batches/schedule".to_owned(),
            format!("scheduled_at=2099-01-02T00:00:00Z&batch_id={id}"),
        ),
        (
            format!("/batches/schedule/?batch_id={}", uuid_of(&id)),
            "scheduled_at=2099-01-02T00:00:00Z&bypass_call_guardrails=False".to_owned(),
        ),
    ] {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", bolo.key))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(body))
            .unwrap();
        bolo.send(request).await.ok();
        let batch = bolo.get(&format!("/batches/{id}")).await.ok();
        assert_eq!(scheduled_at(&batch), "2099-01-02T00:00:00.000Z");
    }

    assert!(
        bolo.schedule(&id, "tomorrow")
            .await
            .error(400)
            .contains("scheduled_at")
    );
    let nothing = bolo.post_form(&path, &[]).await.error(400);
    assert_eq!(nothing, "scheduled_at: field required");
    let fields: [(&str, &[u8]); 2] = [
        ("scheduled_at", b"2099-01-02T00:00:00Z"),
        ("bypass_call_guardrails", b"perhaps"),
    ];
    bolo.post_form(&path, &fields).await.error(400);
    let nameless = bolo.post("/batches/schedule", json!({"scheduled_at": "2099-01-02"}));
    assert_eq!(nameless.await.error(400), "batch_id: field required");

    // A time in the past is now: it runs, and can't be scheduled again.
    bolo.schedule(&id, "2020-01-01T00:00:00Z").await.ok();
    let batch = bolo.get(&format!("/batches/{id}")).await.ok();
    assert_eq!(
        (&batch["status"], &batch["state"]),
        (&json!("queued"), &json!("running"))
    );
    bolo.schedule(&id, "2099-01-01T00:00:00Z").await.error(400);
}

/// The same id with dashes.
fn uuid_of(id: &str) -> String {
    id.parse::<AgentId>().unwrap().to_string()
}

#[tokio::test]
async fn hosted_rules_of_time_are_kept_on_demand() {
    let bolo = Bolo::start_with(|settings| settings.strict_compat = true).await;
    let agent = bolo.new_agent().await;
    let id = bolo.upload(agent, b"contact_number\n+14155550100").await;
    let soon = bolo.schedule(&id, "2020-01-01T00:00:00+00:00").await;
    assert_eq!(
        soon.error(400),
        "Scheduled time should be atleast 2 minutes in the future"
    );
    bolo.schedule(&id, "2099-01-01T00:00:00Z").await.error(400);
    bolo.schedule(&id, "2099-01-01T00:01:00+00:00").await.ok();
    let batch = bolo.get(&format!("/batches/{id}")).await.ok();
    assert_eq!(batch["scheduled_at"], "2099-01-01T00:10:00.000Z");
}

#[tokio::test]
async fn a_batch_is_counted_stopped_and_deleted() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let table = b"contact_number\n+14155550100\n+14155550101\n+14155550102\n+14155550103";
    let id = bolo.upload(agent, table).await;
    let stop = format!("/batches/{id}/stop");
    let refused = bolo.post_empty(&stop).await.error(404);
    assert_eq!(refused, "Batch is not queued or running");
    bolo.schedule(&id, "2020-01-01T00:00:00Z").await.ok();

    let calls = bolo.get(&format!("/batches/{id}/executions")).await.ok();
    let ids: Vec<ExecutionId> = (calls.as_array().unwrap().iter())
        .map(|call| call["id"].as_str().unwrap().parse().unwrap())
        .collect();
    for (id, changes) in [
        (ids[0], vec![Change::Due, Change::NoAnswer]),
        (
            ids[1],
            vec![Change::Due, Change::CarrierAccepted, Change::Answered],
        ),
    ] {
        for change in changes {
            bolo.change(id, change, Facts::default()).await;
        }
    }
    bolo.post_empty(&stop).await.ok();
    let batch = bolo.get(&format!("/batches/{id}")).await.ok();
    assert_eq!(
        batch["execution_status"],
        json!({"in-progress": 1, "no-answer": 1, "stopped": 2})
    );
    assert_eq!(
        (&batch["status"], &batch["state"]),
        (&json!("stopped"), &json!("stopped"))
    );
    for (count, calls) in [
        ("queued_count", 0),
        ("in_progress_count", 1),
        ("completed_count", 0),
        ("failed_count", 0),
        ("no_answer_count", 1),
        ("busy_count", 0),
        ("stopped_count", 2),
    ] {
        assert_eq!(batch[count], calls, "{count}");
    }
    bolo.post_empty(&stop).await.error(404);

    let page = bolo
        .get(&format!("/batch/{id}/executions?page_number=1&page_size=3"))
        .await
        .ok();
    assert_eq!(
        (&page["total"], &page["has_more"]),
        (&json!(4), &json!(true))
    );
    assert_eq!(page["data"].as_array().unwrap().len(), 3);
    let bare = bolo
        .get(&format!(
            "/batches/{id}/executions?status=stopped&page_size=1"
        ))
        .await
        .ok();
    assert_eq!(bare.as_array().unwrap().len(), 1);
    let of_agent = bolo
        .get(&format!("/v2/agent/{agent}/executions?batch_id={id}"))
        .await
        .ok();
    assert_eq!(of_agent["total"], 4);

    let newer = bolo.upload(agent, b"contact_number\n+14155550100").await;
    let all = bolo.get(&format!("/batches/{agent}/all")).await.ok();
    let listed: Vec<&str> = (all.as_array().unwrap().iter())
        .map(|batch| batch["batch_id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [newer.as_str(), id.as_str()]);
    assert_eq!(all[1], batch, "the list shows what one batch shows");

    let deleted = bolo.delete(&format!("/batches/{id}")).await.ok();
    assert_eq!(
        (&deleted["message"], &deleted["state"]),
        (&json!("success"), &json!("deleted"))
    );
    bolo.get(&format!("/batches/{id}")).await.error(404);
    bolo.get(&format!("/batches/{id}/executions"))
        .await
        .error(404);
    bolo.delete(&format!("/batches/{id}")).await.error(404);
    bolo.get(&format!("/executions/{}", ids[0])).await.ok();
}

#[tokio::test]
async fn a_strangers_batch_is_not_there() {
    let bolo = Bolo::start().await;
    let agent = bolo.new_agent().await;
    let id = bolo.upload(agent, b"contact_number\n+14155550100").await;
    let stranger = bolo.stranger().await;
    for (method, path) in [
        ("GET", format!("/batches/{id}")),
        ("DELETE", format!("/batches/{id}")),
        ("GET", format!("/batches/{id}/executions")),
        ("GET", format!("/batches/{id}/rejected")),
        ("POST", format!("/batches/{id}/stop")),
        ("POST", format!("/batches/{id}/schedule?")),
        ("GET", format!("/batches/{agent}/all")),
    ] {
        let body = json!({"scheduled_at": "2099-01-01"});
        let body = (method == "POST").then_some(&body);
        bolo.request(&stranger, method, &path, body)
            .await
            .error(404);
    }
    bolo.get("/batches/not-an-id").await.error(404);
}
