//! Dials: once, with everything in them, and what follows from each outcome.

use std::sync::Arc;

use axum::http::StatusCode;
use bolo_execution::{Change, Status};
use bolo_store::Facts;
use serde_json::json;
use tokio::sync::Notify;

use super::{
    carrier::Reply,
    lab::{Lab, agent_body},
};
use crate::clock::now_ms;

#[tokio::test]
async fn a_due_call_is_dialled_once_with_everything_in_it() {
    let mut lab = Lab::start().await;
    lab.work();
    let call = lab.create(lab.call()).await;
    let form = lab.carrier.dialled().await;
    assert_eq!(
        (form["To"].as_str(), form["From"].as_str()),
        ("+14155550100", "+14155550199")
    );
    assert_eq!(
        (form["Timeout"].as_str(), form["TimeLimit"].as_str()),
        ("45", "150")
    );
    let answer = format!(
        "https://bolo.example/telephony/twilio/answer/{}/1/",
        call.id
    );
    assert!(form["Url"].starts_with(&answer), "{}", form["Url"]);
    assert!(
        form["StatusCallback"].starts_with(&answer.replace("answer", "status")),
        "{}",
        form["StatusCallback"]
    );
    let told = lab.receiver.told(&call, "initiated").await;
    assert_eq!(
        told["telephony_data"]["provider_call_id"],
        "CA00000000000000000000000000000001"
    );
    assert_eq!(told["telephony_data"]["from_number"], "+14155550199");
    lab.rest().await;
    assert!(!lab.carrier.was_dialled_again());
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
}

#[tokio::test] // R113
async fn a_call_that_may_be_handed_over_is_not_cut_by_the_carrier() {
    let mut lab = Lab::start().await;
    let tools = json!({
        "tools": [{"name": "sales", "key": "transfer_call", "description": "To sales.", "parameters": {}}],
        "tools_params": {"sales": {"param": {"call_transfer_number": "+14155550177"}}},
    });
    let mut task = agent_body()["agent_config"]["tasks"][0]["tools_config"].clone();
    task["api_tools"] = tools;
    lab.change_agent("/agent_config/tasks/0/tools_config", task)
        .await;
    lab.work();
    lab.create(lab.call()).await;
    assert_eq!(lab.carrier.dialled().await["TimeLimit"], "14400");
}

#[tokio::test]
async fn a_scheduled_call_is_dialled_when_its_time_has_come() {
    let mut lab = Lab::start().await;
    lab.work();
    let due_at = now_ms() + 300;
    let mut new = lab.call();
    (new.status, new.due_at, new.from) = (Status::Scheduled, due_at, "+14155550177".into());
    let call = lab.create(new).await;
    assert_eq!(lab.carrier.dialled().await["From"], "+14155550177");
    assert!(now_ms() >= due_at);
    lab.receiver.told(&call, "queued").await;
    lab.receiver.told(&call, "initiated").await;
}

#[tokio::test]
async fn a_number_that_cannot_be_called_fails_the_call() {
    let mut lab = Lab::start().await;
    lab.carrier
        .replies([Reply::Refused(StatusCode::BAD_REQUEST, 21211)]);
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "failed").await;
    assert_eq!(told["telephony_data"]["hangup_code"], 2000);
    assert_eq!(told["telephony_data"]["hangup_by"], "Carrier");
    assert_eq!(told["error_message"], "Call recipient number invalid");
    lab.rest().await;
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
}

#[tokio::test]
async fn bad_credentials_are_an_error_that_names_them() {
    let mut lab = Lab::start().await;
    lab.carrier
        .replies([Reply::Refused(StatusCode::UNAUTHORIZED, 20003)]);
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert!(
        told["error_message"]
            .as_str()
            .unwrap()
            .contains("TWILIO_AUTH_TOKEN"),
        "{told}"
    );
    lab.rest().await;
    let log = lab.store.log_lines(lab.account, call.id).await.unwrap();
    assert!(
        log.iter()
            .any(|line| line.entry.data.contains("TWILIO_AUTH_TOKEN"))
    );
}

#[tokio::test]
async fn a_busy_carrier_is_asked_again() {
    let mut lab = Lab::start().await;
    let busy = || Reply::Refused(StatusCode::TOO_MANY_REQUESTS, 20429);
    lab.work();
    lab.carrier.replies([busy(), busy()]);
    let call = lab.create(lab.call()).await;
    for attempt in 1..=3 {
        let form = lab.carrier.dialled().await;
        assert!(
            form["Url"].contains(&format!("/{}/{attempt}/", call.id)),
            "{}",
            form["Url"]
        );
    }
    lab.receiver.told(&call, "initiated").await;
}

#[tokio::test]
async fn what_is_missing_is_named_before_anything_rings() {
    let mut lab = Lab::start().await;
    lab.work();
    let nobody = "/agent_config/tasks/0/tools_config/llm_agent/llm_config/provider";
    lab.change_agent(nobody, json!("groq")).await;
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert!(
        told["error_message"].as_str().unwrap().contains("groq"),
        "{told}"
    );

    lab.change_agent(nobody, json!("openai")).await;
    lab.store
        .remove_provider_key(lab.account, "TWILIO_PHONE_NUMBER")
        .await
        .unwrap();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert!(
        told["error_message"]
            .as_str()
            .unwrap()
            .contains("TWILIO_PHONE_NUMBER"),
        "{told}"
    );

    lab.store
        .remove_provider_key(lab.account, "TWILIO_AUTH_TOKEN")
        .await
        .unwrap();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert!(
        told["error_message"]
            .as_str()
            .unwrap()
            .contains("TWILIO_AUTH_TOKEN"),
        "{told}"
    );

    let mut new = lab.call();
    new.provider = "pigeon".into();
    let call = lab.create(new).await;
    let told = lab.receiver.told(&call, "error").await;
    assert!(
        told["error_message"].as_str().unwrap().contains("pigeon"),
        "{told}"
    );
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn a_call_stopped_while_its_dial_is_on_the_way_is_hung_up() {
    let mut lab = Lab::start().await;
    let gate = Arc::new(Notify::new());
    lab.carrier.replies([Reply::TakenAfter(gate.clone())]);
    lab.work();
    let call = lab.create(lab.call()).await;
    lab.carrier.dialled().await;
    lab.store
        .change(call.id, Change::StopAsked, Facts::default(), now_ms())
        .await
        .unwrap();
    gate.notify_one();
    let hung_up = lab.carrier.hung_up().await;
    lab.rest().await;
    let call = lab.read(&call).await;
    assert_eq!(
        (call.status, call.carrier_call_id),
        (Status::Stopped, Some(hung_up))
    );
    assert_eq!(lab.store.unsettled_dials(i64::MAX).await.unwrap().len(), 0);
}

#[tokio::test]
async fn a_callback_may_outrun_the_reply() {
    let mut lab = Lab::start().await;
    let gate = Arc::new(Notify::new());
    lab.carrier.replies([Reply::TakenAfter(gate.clone())]);
    lab.work();
    let call = lab.create(lab.call()).await;
    lab.carrier.dialled().await;
    lab.store
        .change(call.id, Change::Ringing, Facts::default(), now_ms())
        .await
        .unwrap();
    gate.notify_one();
    lab.rest().await;
    let call = lab.read(&call).await;
    assert_eq!(call.status, Status::Ringing);
    assert_eq!(
        call.carrier_call_id.as_deref(),
        Some("CA00000000000000000000000000000001")
    );
}

#[tokio::test]
async fn outside_the_recipients_hours_a_call_waits_for_them() {
    let mut lab = Lab::start().await;
    lab.work();
    // An hour that is neither this one nor the next, wherever the second hand stands.
    let hour = (chrono::Timelike::hour(&chrono::Utc::now()) + 3) % 23;
    let hours = json!({ "call_start_hour": hour, "call_end_hour": hour + 1 });
    lab.change_agent("/agent_config/calling_guardrails", hours)
        .await;
    let mut new = lab.call();
    new.user_data.insert("timezone".into(), json!("UTC"));
    let call = lab.create(new.clone()).await;
    lab.receiver.told(&call, "rescheduled").await;
    let call = lab.read(&call).await;
    assert!(call.due_at > now_ms());
    let opens = chrono::DateTime::from_timestamp_millis(call.due_at).unwrap();
    assert_eq!(
        (
            chrono::Timelike::hour(&opens),
            chrono::Timelike::minute(&opens)
        ),
        (hour, 0)
    );

    new.bypass_guardrails = true;
    let call = lab.create(new).await;
    lab.receiver.told(&call, "initiated").await;
}

#[tokio::test]
async fn a_claim_of_a_node_that_died_is_dialled_by_another() {
    let mut lab = Lab::start().await;
    let call = lab.create(lab.call()).await;
    let dead = lab.other_node().await;
    assert_eq!(
        dead.claim_due(now_ms() - 10_000, 1_000, 10)
            .await
            .unwrap()
            .len(),
        1
    );
    drop(dead);
    lab.work();
    lab.receiver.told(&call, "initiated").await;
    assert_eq!(lab.read(&call).await.attempt, 1);
}

#[tokio::test]
async fn what_a_node_alone_had_claimed_is_dialled_when_it_is_back() {
    let mut lab = Lab::start().await;
    let call = lab.create(lab.call()).await;
    let former = lab.other_node().await;
    let hour = 3_600_000;
    assert_eq!(former.claim_due(now_ms(), hour, 1).await.unwrap().len(), 1);
    drop(former);
    lab.work();
    lab.receiver.told(&call, "initiated").await;
}

#[tokio::test]
async fn a_carrier_that_stays_busy_is_given_up() {
    let mut lab = Lab::start().await;
    lab.settings.timings.postponed = std::time::Duration::ZERO;
    lab.carrier
        .replies((0..100).map(|_| Reply::Refused(StatusCode::TOO_MANY_REQUESTS, 20429)));
    lab.work();
    let call = lab.create(lab.call()).await;
    let told = lab.receiver.told(&call, "error").await;
    assert_eq!(
        told["error_message"],
        "twilio: the call was not taken in 12 attempts"
    );
}

#[tokio::test]
async fn while_draining_nothing_is_dialled_but_webhooks_go_out() {
    let mut lab = Lab::start().await;
    lab.work();
    lab.drain.cancel();
    let call = lab.create(lab.call()).await;
    lab.receiver.told(&call, "queued").await;
    lab.rest().await;
    assert_eq!(lab.read(&call).await.status, Status::Queued);
    assert!(!lab.carrier.was_dialled_again());
}

#[tokio::test]
async fn what_was_claimed_unheard_is_dialled_all_the_same() {
    let mut lab = Lab::start().await;
    let call = lab.create(lab.call()).await;
    // The answer never came to whoever dials.
    let hour = 3_600_000;
    assert_eq!(
        lab.store.claim_due(now_ms(), hour, 1).await.unwrap().len(),
        1
    );
    lab.work();
    lab.receiver.told(&call, "initiated").await;
}
