//! Keys of the phone (R162), over each carrier's own wire.

use bolo_simulator::{caller::CallerScript, carrier::Kind, llm::Reply};
use rstest::rstest;
use serde_json::json;

use crate::support::{Database, World, agent_with};

#[rstest]
#[tokio::test]
async fn keys_are_a_turn_behind_a_hash_and_behind_a_pause(
    #[values(Kind::Twilio, Kind::Plivo, Kind::Vobiz, Kind::Exotel, Kind::SipTrunk)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    let llm = &world.fakes.llm;
    let order = Reply::text("It ships on Monday.");
    llm.on_pattern("^dtmf_number: 4711$", order).unwrap();
    let number = Reply::text("We will call you back.");
    llm.on_pattern("^dtmf_number: 30$", number).unwrap();
    let agent = agent_with(json!({"dtmf_enabled": true}));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    // What was pressed before a star is forgotten.
    call.presses("22*4711#").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.presses("30").await.unwrap();
    call.hears("We will call you back").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: dtmf_number: 4711\nassistant: It ships on Monday.\n\
         user: dtmf_number: 30\nassistant: We will call you back."
    );
    world.end(&[]).await;
}

#[rstest]
#[tokio::test]
async fn keys_that_an_agent_has_no_use_for_are_no_turn(
    #[values(Kind::Twilio, Kind::Plivo)] carrier: Kind,
) {
    let world = World::on(carrier, Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let agent = agent_with(json!({}));
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.presses("4711#").await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(
        record["transcript"],
        "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday."
    );
    world.end(&[]).await;
}
