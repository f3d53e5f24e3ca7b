//! What is done after a call: facts are drawn and sent, dispositions decided, and only then is it complete.

use bolo_simulator::{caller::CallerScript, llm::Reply};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, World, agent, receiver::Receiver};

fn task(kind: &str, tools: Value) -> Value {
    json!({ "task_type": kind, "tools_config": tools })
}

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn a_call_is_complete_when_its_facts_are_drawn_sent_and_its_outcome_decided(
    #[case] database: Database,
) {
    let world = World::start(database).await;
    let crm = Receiver::start(200, "").await;
    let mut agent = agent();
    let llm = json!({ "llm_config": { "provider": "openai", "model": "gpt-4.1-mini",
        "extraction_details": "order: what was ordered" } });
    let hook = json!({ "api_tools": { "webhookURL": format!("{}/facts", crm.base) } });
    let tasks = agent["agent_config"]["tasks"].as_array_mut().unwrap();
    tasks.push(task("extraction", json!({ "llm_agent": llm })));
    tasks.push(task("webhook", hook));
    let agent = world.server.create_agent(&world.of_carrier(&agent)).await;
    let disposition = json!({
        "agent_id": agent, "name": "Outcome", "question": "How did it end?", "category": "Orders",
        "is_objective": true, "is_subjective": true,
        "objective_options": [{ "value": "waiting", "condition": "The order has not come" }],
    });
    let key = Some(&*world.server.key);
    let made = world
        .server
        .send("POST", "/dispositions", key, Some(&disposition));
    assert_eq!(made.await.status, 201);
    let says = |heard: &str, reply: &'static str| world.fakes.llm.on(heard, Reply::text(reply));

    let number = crate::support::THEIRS;
    world.fakes.carrier.script(number, CallerScript::default());
    let execution = world.server.call(&agent, number).await;
    let call = world.fakes.carrier.dialled(number).await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    says("where is my order", "It ships on Monday.");
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    says("user: where is my order", r#"{"order": "a lamp"}"#);
    says(
        "Question: How did it end",
        r#"{"objective": "waiting", "subjective": "wants a lamp", "confidence": 0.7}"#,
    );
    call.hangs_up().await.unwrap();

    let complete = world.server.status(&execution, "completed").await;
    let found = &complete["extracted_data"];
    assert_eq!(found["order"], "a lamp", "{found}");
    let outcome = &found["Orders"]["Outcome"];
    assert_eq!(outcome["objective"], "waiting", "{found}");
    assert_eq!(outcome["subjective"], "wants a lamp");
    assert_eq!(outcome["confidence_label"], "Medium");
    assert_eq!(complete["extraction_webhook_status"], true);
    let sent = crm.requests();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].body, r#"{"order":"a lamp"}"#);
    world.end(&[]).await;
}
