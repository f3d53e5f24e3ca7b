//! SIP trunks of an account, carried by an Asterisk (api.md §18).

use bolo_simulator::{asterisk::TRUNK, caller::CallerScript, carrier::Kind};
use serde_json::{Value, json};

use crate::support::{Database, Fakes, OURS, THEIRS, World, agent};

fn trunk() -> Value {
    json!({
        "name": TRUNK, "provider": "acme", "auth_type": "ip-based",
        "ip_identifiers": [{"ip_address": "198.51.100.7"}],
        "gateways": [{"gateway_address": "sip.acme.example"}],
        "phone_numbers": [{"phone_number": OURS, "name": "Desk"}],
    })
}

async fn create(world: &World) -> Value {
    let key = world.server.key.clone();
    let body = trunk();
    let created = world
        .server
        .send("POST", "/sip-trunks/trunks", Some(&key), Some(&body));
    let created = created.await;
    assert_eq!(created.status, 201, "{}", created.body);
    created.body
}

/// An agent that names no carrier calls from a number of the trunk.
async fn calls(world: &World) -> String {
    let agent = world.server.create_agent(&agent()).await;
    let call = json!({
        "agent_id": agent, "recipient_phone_number": THEIRS, "from_phone_number": OURS,
    });
    let placed = world.server.post("/call", call).await;
    placed["execution_id"].as_str().unwrap().to_owned()
}

/// An Asterisk that no trunk of its own is named for.
async fn world() -> World {
    let fakes = Fakes::start(Kind::SipTrunk).await;
    World::around(fakes, Database::Sqlite, &[("SIP_TRUNK_NAME", "")]).await
}

#[tokio::test]
async fn a_call_from_a_number_of_a_trunk_goes_out_by_that_trunk() {
    let world = world().await;
    let created = create(&world).await;
    let execution = calls(&world).await;
    let call = world.fakes.carrier.dialled(THEIRS).await.unwrap();
    assert_eq!(call.from(), OURS);
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    assert_eq!(record["provider"], "sip-trunk");

    // Switched off, it places no more.
    let path = format!("/sip-trunks/trunks/{}", created["id"].as_str().unwrap());
    let off = json!({ "is_active": false });
    let key = world.server.key.clone();
    let changed = world
        .server
        .send("PATCH", &path, Some(&key), Some(&off))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let execution = calls(&world).await;
    let record = world.server.status(&execution, "error").await;
    assert_eq!(
        record["error_message"],
        format!("the SIP trunk {TRUNK:?} is switched off (is_active)")
    );
    world.end(&["call failed"]).await;
}

#[tokio::test]
async fn a_trunk_takes_calls_when_it_is_told_to() {
    let world = world().await;
    let created = create(&world).await;
    let agent = world.server.create_agent(&world.of_carrier(&agent())).await;
    let url = format!("{}/inbound_call?agent_id={agent}", world.server.base);
    let rings = || {
        let script = CallerScript::default();
        let carrier = &world.fakes.carrier;
        carrier.call_in_to(THEIRS, OURS, &url, script).unwrap()
    };
    let refused = rings();
    refused.ended().await.unwrap();
    let path = format!("/v2/agent/{agent}/executions");
    let calls = world.server.get(&path).await;
    let why = format!("the SIP trunk {TRUNK:?} takes no calls (is_active, inbound_enabled)");
    assert_eq!(calls["data"][0]["error_message"], why);
    assert_eq!(calls["data"][0]["status"], "canceled");

    let path = format!("/sip-trunks/trunks/{}", created["id"].as_str().unwrap());
    let open = json!({ "inbound_enabled": true });
    let key = world.server.key.clone();
    world
        .server
        .send("PATCH", &path, Some(&key), Some(&open))
        .await;
    let call = rings();
    call.hears("Hello there").await.unwrap();
    call.hangs_up().await.unwrap();
    world.end(&[]).await;
}

#[tokio::test]
async fn a_trunk_without_an_asterisk_ends_its_calls_at_once_and_says_why() {
    let world = World::start(Database::Sqlite).await;
    create(&world).await;
    let execution = calls(&world).await;
    let record = world.server.status(&execution, "error").await;
    let why = record["error_message"].as_str().unwrap();
    assert!(
        why.starts_with("no Asterisk is set up that carries SIP trunks: "),
        "{why}"
    );
    world.end(&["call failed"]).await;
}
