//! While the phone rings: what a call's first turn needs is connected then (R3, R95).

use std::time::Duration;

use bolo_simulator::{caller::CallerScript, carrier::Kind, llm::Reply};
use rstest::rstest;
use tokio::time::Instant;

use crate::support::{DEADLINE, Database, Fakes, World, agent, cluster::Cluster};

/// Longer than any test waits: it rings until the test ends it.
const FOR_EVER: u64 = 10 * DEADLINE.as_millis() as u64;

async fn until(what: &str, world: &World, look: impl Fn(&Fakes) -> bool) {
    let started = Instant::now();
    while !look(&world.fakes) {
        assert!(
            started.elapsed() < DEADLINE,
            "{what}: {}",
            world.server.log()
        );
        tokio::time::sleep(Duration::from_millis(10)).await; // no-sleep-ok: polling a condition under a deadline
    }
}

/// The welcome is rendered over a connection of its own, which then ends; the call's own is left.
fn is_set_up(fakes: &Fakes) -> bool {
    let (ears, voice) = (&fakes.deepgram, &fakes.elevenlabs);
    (ears.open_sessions(), fakes.llm.connections()) == (1, 1)
        && (voice.sessions(), voice.open_sessions()) == (2, 1)
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn vendors_are_connected_while_it_rings_and_left_when_nobody_picks_up(#[case] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let script = CallerScript {
        ring_ms: FOR_EVER,
        ..CallerScript::default()
    };
    let (execution, call) = world.dial(&agent(), script).await;
    until("not connected", &world, is_set_up).await;
    // Without a question to the model, and without a word to hear.
    assert!(world.fakes.llm.requests().is_empty());
    call.reaches("ringing").await.unwrap();
    assert_eq!(call.status(), "ringing");
    call.hangs_up().await.unwrap();
    world
        .server
        .until(&execution, "its end", |record| {
            record["telephony_data"]["hangup_reason"].is_string()
        })
        .await;
    until("still connected", &world, |fakes| {
        fakes.deepgram.open_sessions() + fakes.elevenlabs.open_sessions() == 0
    })
    .await;
    world.end(&[]).await;
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn the_call_uses_what_was_connected_while_it_rang(#[case] carrier: Kind) {
    let world = World::on(carrier, Database::Sqlite).await;
    let reply = Reply::text("Your order ships on Monday.");
    world.fakes.llm.on("where is my order", reply);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    call.hears("Your order ships on").await.unwrap();
    let Fakes {
        deepgram,
        elevenlabs,
        llm,
        ..
    } = &world.fakes;
    assert!(!llm.requests().is_empty());
    assert_eq!((deepgram.sessions(), llm.connections()), (1, 1));
    assert_eq!(elevenlabs.sessions(), 2);
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;
    world.end(&[]).await;
}

#[rstest]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn a_call_whose_media_reaches_another_node_than_dialled_it_is_held(#[case] carrier: Kind) {
    const ROLES: &str = "BOLO_SERVER__ROLES";
    let fakes = Fakes::start(carrier).await;
    // The balancer gives the first node all that comes in; the second dials.
    let mut cluster = Cluster::start(fakes, 0, &[]).await;
    (cluster.add_node_with(&[(ROLES, r#"["api", "media"]"#)])).await;
    cluster.add_node().await;
    cluster.fakes.carrier.set_up_for(&cluster.balancer.base);
    let (execution, call) = cluster.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    assert_eq!(cluster.runner().await.0, 0);
    call.hangs_up().await.unwrap();
    cluster.nodes[0].status(&execution, "completed").await;
    cluster.end(&[]).await;
}
