//! Calls: placed and stopped.

use bolo_execution::Change;
use bolo_store::{Command, Facts};
use serde_json::{Value, json};

use crate::bolo::Bolo;

async fn place(bolo: &Bolo, more: Value) -> Value {
    let agent = bolo.new_agent().await;
    let mut body =
        json!({ "agent_id": agent.to_string(), "recipient_phone_number": "+10123456789" });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    bolo.post("/call", body).await.ok()
}

#[tokio::test]
async fn a_call_is_queued_and_all_four_ids_are_one() {
    let bolo = Bolo::start().await;
    let placed = place(
        &bolo,
        json!({ "user_data": { "name": "Bruce" }, "from_phone_number": "+19876543007" }),
    )
    .await;
    assert_eq!(
        (&placed["message"], &placed["status"]),
        (&json!("done"), &json!("queued"))
    );
    let id = &placed["execution_id"];
    for key in ["run_id", "call_id", "id"] {
        assert_eq!(&placed[key], id, "{key}");
    }
    let record = bolo.record(id.as_str().unwrap().parse().unwrap()).await;
    assert_eq!(
        (record.to.as_str(), record.from.as_str()),
        ("+10123456789", "+19876543007")
    );
    assert_eq!(record.user_data["name"], "Bruce");
    assert_eq!(record.provider, "twilio");
    // The worker is woken at once, not at its next round.
    bolo.app
        .store
        .signals()
        .worker_woken(bolo_store::Work::Dials)
        .await;
}

#[tokio::test]
async fn a_time_to_come_schedules_and_a_time_gone_by_is_now() {
    let bolo = Bolo::start().await;
    let placed = place(
        &bolo,
        json!({ "scheduled_at": "2100-01-01T00:00:00+05:30" }),
    )
    .await;
    assert_eq!(placed["status"], "scheduled");
    let record = bolo
        .record(placed["id"].as_str().unwrap().parse().unwrap())
        .await;
    assert_eq!(record.due_at, 4_102_425_000_000);
    // The public document's sample.
    assert_eq!(
        place(&bolo, json!({ "scheduled_at": "2025-08-21T10:35:00" })).await["status"],
        "queued"
    );
}

#[tokio::test]
async fn what_retries_need_is_kept_as_sent() {
    let bolo = Bolo::start().await;
    let config = json!({ "enabled": true, "max_retries": 2, "retry_on_statuses": ["busy"] });
    let placed = place(
        &bolo,
        json!({ "retry_config": config, "bypass_call_guardrails": true,
        "agent_data": { "voice_id": "other" } }),
    )
    .await;
    let record = bolo
        .record(placed["id"].as_str().unwrap().parse().unwrap())
        .await;
    assert_eq!(record.retry_config, Some(config));
    assert!(record.bypass_guardrails);
    assert_eq!(record.voice_id.as_deref(), Some("other"));
}

#[tokio::test]
async fn a_faulty_body_is_400_and_names_every_field() {
    let bolo = Bolo::start().await;
    let reply = bolo
        .post(
            "/call",
            json!({ "recipient_phone_number": "911", "scheduled_at": 5 }),
        )
        .await;
    reply.error(400);
    let named: Vec<Value> = reply.json()["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["loc"].clone())
        .collect();
    assert_eq!(
        named,
        [
            json!(["agent_id"]),
            json!(["recipient_phone_number"]),
            json!(["scheduled_at"])
        ]
    );
}

#[tokio::test]
async fn an_unknown_agent_is_404() {
    let bolo = Bolo::start().await;
    let body = json!({ "agent_id": uuid::Uuid::new_v4().to_string(), "recipient_phone_number": "+10123456789" });
    assert_eq!(bolo.post("/call", body).await.error(404), "Agent not found");
}

#[tokio::test]
async fn a_waiting_call_stops_without_a_word_to_the_carrier() {
    let bolo = Bolo::start().await;
    let id = bolo.new_call(bolo.new_agent().await).await;
    let stopped = bolo.post_empty(&format!("/call/{id}/stop")).await.ok();
    assert_eq!(
        stopped,
        json!({ "message": "done", "status": "stopped", "execution_id": id.to_string() })
    );
    assert_eq!(bolo.status(id).await, "stopped");
    assert!(bolo.record(id).await.hangup.is_none());
    assert!(bolo.twilio.ended().is_empty());
    let message = bolo
        .post_empty(&format!("/call/{id}/stop"))
        .await
        .error(400);
    assert!(message.contains("stopped"), "{message}");
}

#[tokio::test]
async fn a_ringing_call_that_no_node_runs_is_hung_up_at_the_carrier() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA7").await;
    bolo.post_empty(&format!("/call/stop/{id}")).await.ok();
    bolo.twilio.hung_up("CA7").await;
    let record = bolo.record(id).await;
    assert_eq!(record.status.to_string(), "stopped");
    assert_eq!(record.hangup.unwrap().reason, "api_stopped");
}

#[tokio::test]
async fn a_live_call_is_told_and_the_carrier_is_not() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA8").await;
    bolo.change(id, Change::Answered, Facts::default()).await;
    let mut commands = bolo.app.store.signals().register(id);
    bolo.post_empty(&format!("/call/{id}/stop")).await.ok();
    assert_eq!(commands.recv().await, Some(Command::Stop));
    assert_eq!(bolo.status(id).await, "stopped");
    assert!(bolo.twilio.ended().is_empty());
}

#[tokio::test]
async fn a_call_that_ended_can_not_be_stopped() {
    let bolo = Bolo::start().await;
    let id = bolo.dialled(bolo.new_agent().await, "CA9").await;
    bolo.change(id, Change::Answered, Facts::default()).await;
    bolo.change(id, Change::MediaEnded, Facts::default()).await;
    bolo.post_empty(&format!("/call/{id}/stop"))
        .await
        .error(400);
    assert_eq!(bolo.status(id).await, "call-disconnected");
}

#[tokio::test]
async fn an_operator_can_keep_calls_in_flight_from_being_stopped() {
    let bolo = Bolo::start_with(|settings| settings.stop_inflight = false).await;
    let agent = bolo.new_agent().await;
    let id = bolo.dialled(agent, "CA1").await;
    bolo.post_empty(&format!("/call/{id}/stop"))
        .await
        .error(400);
    assert_eq!(bolo.status(id).await, "initiated");
    let waiting = bolo.new_call(agent).await;
    bolo.post_empty(&format!("/call/{waiting}/stop")).await.ok();
}
