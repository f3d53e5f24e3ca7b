//! Tasks after a call: each once, in order, across a crash, and none can hold up the record.

use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::post};
use bolo_execution::{Change, Record, Usage};
use bolo_simulator::llm::{FakeLlm, Fault, Options, Reply};
use bolo_store::{Draft, Facts, Kind, StepDone, ToldFilter};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::lab::{Lab, agent_body, in_time, serve};
use crate::clock::now_ms;

const TRANSCRIPT: &str = "assistant: Hello\nuser: where is my order twelve";

fn task(kind: &str, more: Value) -> Value {
    let mut agent = json!({ "llm_config": { "provider": "openai", "model": "gpt-4.1-mini" } });
    let llm = agent["llm_config"].as_object_mut().unwrap();
    llm.extend(more.as_object().unwrap().clone());
    json!({ "task_type": kind, "tools_config": { "llm_agent": agent } })
}

fn webhook(url: &str) -> Value {
    json!({ "task_type": "webhook", "tools_config": { "api_tools": { "webhookURL": url } } })
}

async fn model(lab: &mut Lab) -> FakeLlm {
    let options = Options {
        api_key: None,
        ..Options::default()
    };
    let llm = FakeLlm::start(options).await.unwrap();
    lab.vendors.get_mut("openai").unwrap().base_url = Some(llm.base_url());
    llm
}

/// A call with these tasks that has ended.
async fn ended(lab: &mut Lab, tasks: &[Value], transcript: &str) -> Record {
    let mut body = agent_body();
    let all = body["agent_config"]["tasks"].as_array_mut().unwrap();
    all.extend(tasks.iter().cloned());
    ended_of(lab, &body, transcript).await
}

/// A call of a new agent that has ended, its transcript and its costs written.
async fn ended_of(lab: &mut Lab, body: &Value, transcript: &str) -> Record {
    lab.agent = lab
        .store
        .create_agent(lab.account, body, now_ms())
        .await
        .unwrap()
        .id;
    let call = lab.create(lab.call()).await;
    for change in [
        Change::CarrierAccepted,
        Change::Answered,
        Change::MediaEnded,
    ] {
        let facts = Facts {
            transcript: Some(transcript.to_owned()),
            usage: Some(Usage::default()),
            ..Facts::default()
        };
        lab.store
            .change(call.id, change, facts, now_ms())
            .await
            .unwrap();
    }
    lab.store.begin_post_call(call.id, now_ms()).await.unwrap();
    call
}

/// A receiver of what was extracted.
async fn receiver(statuses: &[StatusCode]) -> (String, mpsc::Receiver<Value>) {
    let (told, inbox) = mpsc::channel(10);
    let (answers, next) = mpsc::channel(10);
    for status in statuses {
        answers.try_send(*status).unwrap();
    }
    let next = std::sync::Arc::new(tokio::sync::Mutex::new(next));
    type Shared = (
        mpsc::Sender<Value>,
        std::sync::Arc<tokio::sync::Mutex<mpsc::Receiver<StatusCode>>>,
    );
    let take = |State((told, next)): State<Shared>, body: String| async move {
        told.send(serde_json::from_str(&body).unwrap())
            .await
            .unwrap();
        next.lock().await.try_recv().unwrap_or(StatusCode::OK)
    };
    let router = Router::new()
        .route("/", post(take))
        .with_state((told, next));
    (serve(router).await + "/", inbox)
}

#[tokio::test]
async fn facts_are_drawn_and_sent_before_the_call_is_complete() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.on("order twelve", Reply::text("```json\n{\"order\": 12}\n```"));
    let (url, mut told) = receiver(&[StatusCode::BAD_GATEWAY]).await;
    let tasks = [
        task(
            "extraction",
            json!({ "extraction_details": "order: its number" }),
        ),
        webhook(&url),
    ];
    let call = ended(&mut lab, &tasks, TRANSCRIPT).await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["extracted_data"], json!({ "order": 12 }));
    assert_eq!(complete["extraction_webhook_status"], true);
    // The first try was refused.
    assert_eq!(in_time(told.recv()).await.unwrap(), json!({ "order": 12 }));
    assert_eq!(in_time(told.recv()).await.unwrap(), json!({ "order": 12 }));
    let asked = &llm.requests()[0];
    let system = asked["messages"][0]["content"].as_str().unwrap();
    assert!(system.contains("order: its number"), "{system}");
    assert_eq!(asked["response_format"]["type"], "json_object");
    // The tokens are the call's, and are paid for.
    let used = &complete["usage_breakdown"]["llm_model"]["gpt-4.1-mini"]["input"];
    assert!(used.as_u64().unwrap() > 0);
    assert_eq!(complete["cost_breakdown"]["llm"].as_f64(), used.as_f64());
}

#[tokio::test]
async fn a_call_is_summed_up() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.on("order twelve", Reply::text("A user asked for their order."));
    let call = ended(&mut lab, &[task("summarization", json!({}))], TRANSCRIPT).await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["summary"], "A user asked for their order.");
    assert_eq!(complete["extraction_webhook_status"], Value::Null);
}

#[tokio::test]
async fn what_a_dead_worker_has_done_is_not_done_again() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.on("order twelve", Reply::text("A summary."));
    let tasks = [
        task("extraction", json!({})),
        task("summarization", json!({})),
    ];
    let call = ended(&mut lab, &tasks, TRANSCRIPT).await;
    // It did one step and died with its claim.
    let claimed = lab.store.claim_post_calls(now_ms(), 200, 5).await.unwrap();
    assert_eq!(claimed[0].post_call_step, Some(0));
    let done = || StepDone {
        extracted: Some(json!({ "order": 12 })),
        ..StepDone::default()
    };
    lab.store
        .finish_step(call.id, 0, done(), now_ms())
        .await
        .unwrap();
    lab.store
        .finish_step(call.id, 0, done(), now_ms())
        .await
        .unwrap_err();
    lab.settings.timings.poll = Duration::from_millis(20);
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(
        (&complete["extracted_data"]["order"], &complete["summary"]),
        (&json!(12), &json!("A summary."))
    );
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn a_task_that_fails_leaves_its_field_empty_and_the_call_is_complete() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.fail_next([Fault::Status {
        status: 500,
        retry_after_s: None,
    }]);
    llm.on("order twelve", Reply::text("I can't say."));
    let (url, _told) = receiver(&[StatusCode::NOT_FOUND; 8]).await;
    let tasks = [
        task("summarization", json!({})),
        task("extraction", json!({})),
        webhook(&url),
    ];
    let call = ended(&mut lab, &tasks, TRANSCRIPT).await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(
        (&complete["summary"], &complete["extracted_data"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(complete["extraction_webhook_status"], false);
    // What is no JSON was asked for three times.
    assert_eq!(llm.requests().len(), 4);
    let log = lab.store.log_lines(lab.account, call.id).await.unwrap();
    assert!(!log.is_empty());
}

#[tokio::test] // R186
async fn what_a_model_said_before_it_failed_is_paid_for() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.fail_next([
        Fault::ResetAfter { tokens: 4 },
        Fault::ResetAfter { tokens: 4 },
    ]);
    llm.on("order twelve", Reply::text("A user asked for their order."));
    let call = ended(&mut lab, &[task("summarization", json!({}))], TRANSCRIPT).await;
    disposition(&lab, "Outcome", "gpt-4.1-mini").await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["summary"], Value::Null);
    assert_eq!(complete["extracted_data"], Value::Null);
    let used = &complete["usage_breakdown"]["llm_model"]["gpt-4.1-mini"];
    // "A user asked for" twice: 16 characters each.
    assert_eq!(
        (&used["output"], &used["estimated"]),
        (&json!(8), &json!(true))
    );
    assert!(used["input"].as_u64().unwrap() > 0);
    assert_eq!(llm.requests().len(), 2);
}

#[tokio::test]
async fn of_a_silent_caller_nothing_is_drawn() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    let call = ended(
        &mut lab,
        &[task("extraction", json!({}))],
        "assistant: Hello",
    )
    .await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["extracted_data"], Value::Null);
    assert!(llm.requests().is_empty());
}

/// What an agent asks of each call, answered by this model.
async fn disposition(lab: &Lab, name: &str, model: &str) {
    let body = json!({
        "name": name, "question": format!("{name}?"), "category": "Orders", "model": model,
        "is_objective": true, "objective_options": [
            { "value": "late", "condition": "it has not come" },
            { "value": "fine", "condition": "it has come" },
        ],
    });
    lab.store
        .create_dispositions(
            lab.account,
            vec![Draft { key: None, body }],
            &[lab.agent],
            now_ms(),
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn dispositions_are_decided_after_the_tasks_and_stand_beside_what_these_found() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.on("order twelve", Reply::text("{\"order\": 12}"));
    llm.on(
        "Outcome?",
        Reply::text("{\"objective\": \"late\", \"confidence\": 0.9}"),
    );
    let (url, mut told) = receiver(&[]).await;
    let tasks = [task("extraction", json!({})), webhook(&url)];
    let call = ended(&mut lab, &tasks, TRANSCRIPT).await;
    disposition(&lab, "Outcome", "gpt-4.1-mini").await;
    // Its model can't be reached: it stays undecided, and nothing else does.
    let nowhere = json!({ "custom_model_url": "http://127.0.0.1:1/v1" });
    lab.store
        .put_document(lab.account, Kind::Model, "nobody", &nowhere, now_ms())
        .await
        .unwrap();
    disposition(&lab, "Mood", "nobody").await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    let found = &complete["extracted_data"];
    assert_eq!(found["order"], 12);
    assert_eq!(found["Orders"]["Outcome"]["objective"], "late");
    assert_eq!(found["Orders"]["Outcome"]["confidence_label"], "High");
    assert_eq!(found["Orders"].get("Mood"), None);
    assert_eq!(in_time(told.recv()).await.unwrap(), json!({ "order": 12 }));
    let log = lab.store.log_lines(lab.account, call.id).await.unwrap();
    let log = format!("{log:?}");
    assert!(log.contains("Mood") && !log.contains("Outcome"), "{log}");
    // Two questions were answered and are paid for.
    let used = &complete["usage_breakdown"]["llm_model"]["gpt-4.1-mini"]["input"];
    assert_eq!(llm.requests().len(), 2);
    assert_eq!(complete["cost_breakdown"]["llm"].as_f64(), used.as_f64());
}

#[tokio::test]
async fn custom_questions_are_asked_where_no_disposition_is_linked() {
    for is_linked in [false, true] {
        asks_custom_questions_unless(is_linked).await;
    }
}

async fn asks_custom_questions_unless(is_linked: bool) {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.on("order twelve", Reply::text("{\"interested\": \"Yes\"}"));
    llm.on("Outcome?", Reply::text("{\"objective\": \"late\"}"));
    let questions = "1. interested:\n[- What to Extract: interest\n- Expected Response: Yes or No]";
    let mut body = agent_body();
    body["agent_config"]["gpt_assistants"] =
        json!([{ "assistant_id": "asst_1", "custom_questions": questions }]);
    let call = ended_of(&mut lab, &body, TRANSCRIPT).await;
    if is_linked {
        disposition(&lab, "Outcome", "gpt-4.1-mini").await;
    }
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    let found = &complete["extracted_data"];
    let asked = llm.requests();
    assert_eq!(asked.len(), 1);
    let system = asked[0]["messages"][0]["content"].as_str().unwrap();
    assert_eq!(system.contains(questions), !is_linked, "{system}");
    if is_linked {
        assert_eq!(found["Orders"]["Outcome"]["objective"], "late");
    } else {
        assert_eq!(found, &json!({ "interested": "Yes" }));
    }
}

#[tokio::test]
async fn a_model_that_fails_decides_nothing_and_the_call_is_complete() {
    let mut lab = Lab::start().await;
    let llm = model(&mut lab).await;
    llm.fail_next([Fault::Status {
        status: 500,
        retry_after_s: None,
    }]);
    let call = ended(&mut lab, &[], TRANSCRIPT).await;
    disposition(&lab, "Outcome", "gpt-4.1-mini").await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["extracted_data"], Value::Null);
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn a_receiver_that_takes_it_late_does_not_hold_up_the_record() {
    let mut lab = Lab::start().await;
    let (url, mut told) = receiver(&[StatusCode::BAD_GATEWAY]).await;
    lab.settings.timings.webhook_task = Duration::from_millis(100);
    lab.settings.timings.poll = Duration::from_millis(20);
    lab.settings.timings.webhook_retries = vec![Duration::from_secs(3600)];
    let call = ended(&mut lab, &[webhook(&url)], TRANSCRIPT).await;
    lab.work();
    let complete = lab.receiver.told(&call, "completed").await;
    assert_eq!(complete["extraction_webhook_status"], false);
    in_time(told.recv()).await.unwrap();
    // It waits among the webhooks, and what became of it is in the record when it was taken.
    let filter = ToldFilter {
        execution: Some(call.id),
        state: Some("waiting"),
        ..ToldFilter::default()
    };
    let (waiting, _) = lab.store.told(lab.account, &filter, 1, 10).await.unwrap();
    let task = waiting
        .iter()
        .find(|told| told.status == "extraction")
        .unwrap();
    lab.store
        .settle_delivery(task.id, bolo_store::DeliveryOutcome::Delivered, now_ms())
        .await
        .unwrap();
    let record = lab.store.execution_unscoped(call.id).await.unwrap();
    assert_eq!(record.extraction_webhook_status, Some(true));
}
