//! Expected ends of turns (R41), over a transcriber that tells of them: the model is asked ahead, and the
//! caller hears only answers to what he said.

use bolo_simulator::{caller::CallerScript, hearing::Fault, llm::Reply};
use serde_json::{Value, json};

use crate::support::{Database, World, agent};

fn flux_agent() -> Value {
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["transcriber"] = json!({
        "provider": "deepgram",
        "model": "flux-general-en",
        "eot_threshold": 0.7,
        "eager_eot_threshold": 0.4,
        "eot_timeout_ms": 500,
    });
    agent
}

/// The last thing the caller said, as the model was asked it, for each request.
fn asked(world: &World) -> Vec<String> {
    let last = |request: &Value| {
        let messages = request["messages"].as_array().unwrap();
        messages.last().unwrap()["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    world.fakes.llm.requests().iter().map(last).collect()
}

#[tokio::test]
async fn an_expected_end_that_comes_true_is_asked_once() {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let (execution, call) = world.dial(&flux_agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday."
    );
    assert_eq!(asked(&world), ["where is my order"]);
    world.end(&[]).await;
}

#[tokio::test]
async fn of_an_expected_end_that_does_not_come_true_nothing_is_heard() {
    let world = World::start(Database::Sqlite).await;
    world.fakes.llm.on("book it", Reply::text("Wrong answer."));
    world
        .fakes
        .llm
        .on("book it for two", Reply::text("A table for two, then."));
    // After two words it takes the turn for over.
    world.fakes.deepgram.fail_next([Fault::Hasty]);
    let (execution, call) = world.dial(&flux_agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("book it for two please").await.unwrap();
    call.hears("A table for two").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: book it for two please\nassistant: A table for two, then."
    );
    let asked = asked(&world);
    assert_eq!(asked[0], "book it");
    assert_eq!(asked.last().unwrap(), "book it for two please");

    // The same call, decided again from its log.
    let replayed = world.server.setup().run(&["replay", &execution]);
    assert!(replayed.contains("all as recorded"), "{replayed}");
    world.end(&[]).await;
}
