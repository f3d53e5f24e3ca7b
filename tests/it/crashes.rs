//! The server dies in the middle of things.

use bolo_simulator::{
    caller::{CallHandle, CallerScript},
    carrier::{Delays, Kind},
    llm::Reply,
};
use rstest::rstest;
use serde_json::Value;

use crate::support::{Database, Fakes, World, agent};

/// What was said before the crash.
const BEFORE: &str =
    "assistant: Hello there.\nuser: where is my order\nassistant: It ships on Monday.";

/// A call that is in the middle of its conversation.
async fn talking(world: &World) -> (String, CallHandle) {
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    world
        .fakes
        .llm
        .on("thank you", Reply::text("You are welcome."));
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.media_opened().await.unwrap();
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("It ships on Monday").await.unwrap();
    call.agent_stopped().await.unwrap();
    (execution, call)
}

async fn killed_and_started(mut world: World) -> World {
    world.server.kill();
    let World { server, fakes } = world;
    World {
        server: server.start_again().await,
        fakes,
    }
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn a_call_goes_on_after_the_server_was_killed(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    // A carrier that needs a while to notice: the new process is there when it asks.
    let fakes = Fakes::with(
        carrier,
        Delays {
            reset_ms: 8000,
            ..Delays::default()
        },
    )
    .await;
    let world = World::around(fakes, database, &[]).await;
    let (execution, call) = talking(&world).await;
    let world = killed_and_started(world).await;
    call.media_opened().await.unwrap();
    call.agent_spoke().await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("thank you so much").await.unwrap();
    call.hears("You are welcome").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    let transcript = record["transcript"].as_str().unwrap();
    // The last word may not have been known as heard when the server died; then it is said again.
    let known = BEFORE.rsplit_once(' ').unwrap().0;
    assert!(transcript.starts_with(known), "{transcript}");
    assert!(
        transcript.ends_with("user: thank you so much\nassistant: You are welcome."),
        "{transcript}"
    );
    // The model was told what had been said before the crash.
    let asked = world.fakes.llm.requests();
    let history = asked.last().unwrap()["messages"].to_string();
    assert!(
        history.contains("where is my order") && history.contains("It ships on"),
        "{history}"
    );
    assert_ne!(record["telephony_data"]["recording_url"], Value::Null);
    assert_eq!(world.fakes.carrier.ledger().placed(), 1);
    world.end(&["call"]).await;
}

#[rstest]
#[case::sqlite(Kind::Twilio, Database::Sqlite)]
#[case::postgres(Kind::Twilio, Database::Postgres)]
#[case::plivo(Kind::Plivo, Database::Sqlite)]
#[case::vobiz(Kind::Vobiz, Database::Sqlite)]
#[case::exotel(Kind::Exotel, Database::Sqlite)]
#[case::sip_trunk(Kind::SipTrunk, Database::Sqlite)]
#[tokio::test]
async fn a_call_whose_carrier_gave_up_after_a_crash_ends_with_what_was_said(
    #[case] carrier: Kind,
    #[case] database: Database,
) {
    let fakes = Fakes::with(
        carrier,
        Delays {
            reset_ms: 0,
            ..Delays::default()
        },
    )
    .await;
    let world = World::around(fakes, database, &[("BOLO_LIMITS__ORPHAN_S", "1")]).await;
    let (execution, call) = talking(&world).await;
    let mut world = world;
    world.server.kill();
    // Nobody answers the carrier's request for a document, so it ends the call.
    call.ended().await.unwrap();
    let World { server, fakes } = world;
    let world = World {
        server: server.start_again().await,
        fakes,
    };
    let record = world
        .server
        .until(&execution, "a terminal status", |record| {
            record["status"] == "completed"
        })
        .await;
    // The last word may not have been known as heard when the server died.
    let known = BEFORE.rsplit_once(' ').unwrap().0;
    assert!(
        record["transcript"].as_str().unwrap().starts_with(known),
        "{record:#}"
    );
    assert_ne!(record["telephony_data"]["recording_url"], Value::Null);
    assert_eq!(world.fakes.carrier.ledger().placed(), 1);
    world.end(&["call"]).await;
}
