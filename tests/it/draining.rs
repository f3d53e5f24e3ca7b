//! A server that is told to stop (R201).

use std::process::Command;

use bolo_simulator::{
    caller::{CallerScript, Event, Timed},
    llm::Reply,
};

use crate::support::{Database, OURS, World, agent};

#[tokio::test]
async fn a_stopping_server_finishes_its_call_and_turns_a_new_one_away() {
    let world = World::start(Database::Sqlite).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let (_, call) = world.ring(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();

    let id = world.server.create_agent(&agent()).await;
    let pid = world.server.pid().to_string();
    let told = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(told.success());
    world.server.says("stopping: no new calls").await;

    let url = format!("{}/inbound_call?agent_id={id}", world.server.base);
    let late = world
        .fakes
        .carrier
        .call_in_to("+14155550177", OURS, &url, CallerScript::default())
        .unwrap();
    assert_ne!(late.ended().await.unwrap(), "completed");
    let opened = |timed: &Timed| timed.event == Event::MediaOpened;
    assert!(!late.timeline().iter().any(opened), "{}", late.log());

    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.hangs_up().await.unwrap();
    world.end(&[]).await;
}
