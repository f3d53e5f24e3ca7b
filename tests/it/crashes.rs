//! The server dies in the middle of things.

use bolo_simulator::{caller::CallerScript, llm::Reply};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Database, World, agent};

#[rstest]
#[case::sqlite(Database::Sqlite)]
#[case::postgres(Database::Postgres)]
#[tokio::test]
async fn a_call_goes_on_after_the_server_was_killed(#[case] database: Database) {
    let mut world = World::start(database).await;
    world.fakes.llm.on("where is my order", Reply::text("It ships on Monday."));
    world.fakes.llm.on("thank you", Reply::text("You are welcome."));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.media_opened().await.unwrap();
    world.server.kill();
    let World { server, fakes } = world;
    let server = server.start_again().await;
    let world = World { server, fakes };
    // Either the carrier's next request found the new process, or the call ended before it was there.
    let over = tokio::select! {
        again = call.media_opened() => { again.unwrap(); false }
        ended = call.ended() => { ended.unwrap(); true }
    };
    if !over {
        call.says("thank you so much").await.unwrap();
        call.hears("You are welcome").await.unwrap();
        call.hangs_up().await.unwrap();
    }
    let record = world.server.until(&execution, "a terminal status", |record| {
        ["completed", "error", "failed"].contains(&record["status"].as_str().unwrap())
    }).await;
    let transcript = record["transcript"].as_str().unwrap();
    assert!(transcript.starts_with("assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday."), "{transcript}");
    if !over {
        assert!(transcript.contains("user: thank you so much"), "{transcript}");
        // The model was told what had been said before the crash.
        let asked = world.fakes.llm.requests();
        let history = asked.last().unwrap()["messages"].to_string();
        assert!(history.contains("where is my order"), "{history}");
    }
    assert_ne!(record["telephony_data"]["recording_url"], Value::Null);
    assert_eq!(world.fakes.twilio.ledger().placed(), 1);
    world.end(&["call"]).await;
}
