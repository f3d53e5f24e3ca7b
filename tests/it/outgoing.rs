//! Vendors that a server reaches only in the way of its operator's own network: certificates that he vouches for, and a
//! proxy.

use std::collections::HashMap;

use bolo_simulator::{
    caller::CallerScript,
    carrier::{Delays, Kind},
    llm::Reply,
};
use serde_json::Value;

use crate::support::{
    Database, Fakes, Setup, THEIRS, World, agent,
    tls::{Front, Identity, Proxy},
};

/// Says where vendors are.
const PLACES: [&str; 3] = [
    "BOLO_PROVIDERS__DEEPGRAM__BASE_URL",
    "BOLO_PROVIDERS__ELEVENLABS__BASE_URL",
    "BOLO_PROVIDERS__OPENAI__BASE_URL",
];

/// The three vendors behind TLS, in the order of [`PLACES`].
async fn behind(identity: &Identity, fakes: &Fakes) -> [Front; 3] {
    [
        identity.before(&fakes.deepgram.base_url()).await,
        identity.before(&fakes.elevenlabs.base_url()).await,
        identity.before(&fakes.llm.base_url()).await,
    ]
}

/// A whole conversation with the agent, who exists.
async fn converse(world: &World, agent: &str) -> Value {
    let carrier = &world.fakes.carrier;
    carrier.script(THEIRS, CallerScript::default());
    let execution = world.server.call(agent, THEIRS).await;
    let call = carrier.dialled(THEIRS).await.unwrap();
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
    record
}

async fn fakes() -> Fakes {
    let fakes = Fakes::with(Kind::Twilio, Delays::default()).await;
    fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    fakes
}

#[tokio::test]
async fn vendors_behind_the_operators_own_certificate_know_the_server_again() {
    let identity = Identity::of(&["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let ca = identity.write(folder.path());
    let fakes = fakes().await;
    let fronts = behind(&identity, &fakes).await;
    let here = fronts.each_ref().map(Front::here);
    let mut more = vec![("BOLO_SECURITY__CA_FILE", ca.as_str())];
    more.extend(PLACES.into_iter().zip(here.iter().map(String::as_str)));
    let world = World::around(fakes, Database::Sqlite, &more).await;

    let agent = world.server.create_agent(&world.of_carrier(&agent())).await;
    converse(&world, &agent).await;
    let (whole, _) = identity.handshakes();
    assert!((1..=4).contains(&whole), "{whole}");
    // The next call's connections are new, their sessions are not.
    converse(&world, &agent).await;
    let (later, resumed) = identity.handshakes();
    assert_eq!(later, whole);
    assert!(resumed > 0);
    world.end(&[]).await;
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_named() {
    let identity = Identity::of(&["127.0.0.1"]);
    let fakes = fakes().await;
    let fronts = behind(&identity, &fakes).await;
    let here = fronts.each_ref().map(Front::here);
    let more: Vec<_> = PLACES
        .into_iter()
        .zip(here.iter().map(String::as_str))
        .collect();
    let world = World::around(fakes, Database::Sqlite, &more).await;

    let (execution, _call) = world.dial(&agent(), CallerScript::default()).await;
    let record = world.server.until(&execution, "an end", |record| {
        record["error_message"].is_string()
    });
    let record = record.await;
    let message = record["error_message"].as_str().unwrap();
    assert!(message.contains("could not connect"), "{message}");
    let log = world.server.log();
    for loud in [
        "no trust in the vendor's server",
        "no connection to the model server",
    ] {
        let line = log
            .lines()
            .find(|line| line.contains(loud))
            .unwrap_or_default();
        assert!(line.contains("UnknownIssuer"), "{loud}: {line}\n{log}");
    }
    assert_eq!(identity.handshakes(), (0, 0));
}

#[tokio::test]
async fn vendors_are_reached_through_the_proxy_of_the_environment() {
    let names = ["ears.example", "voice.example", "mind.example"];
    let identity = Identity::of(&names);
    let folder = tempfile::tempdir().unwrap();
    let ca = identity.write(folder.path());
    let fakes = fakes().await;
    let fronts = behind(&identity, &fakes).await;
    let ways: HashMap<_, _> = names
        .iter()
        .zip(&fronts)
        .map(|(name, front)| (format!("{name}:8443"), front.address))
        .collect();
    let mut known: Vec<String> = ways.keys().cloned().collect();
    known.sort();
    let proxy = Proxy::start(ways, "Basic Ym9sbzpnZWhlaW0=").await;
    let address = format!("http://bolo:geheim@{}", proxy.address);
    let there = [0, 1, 2].map(|at| fronts[at].at(names[at], 8443));
    let mut more = vec![
        ("BOLO_SECURITY__CA_FILE", ca.as_str()),
        ("HTTPS_PROXY", &address),
        ("RUST_LOG", "bolo=trace"),
    ];
    more.extend(PLACES.into_iter().zip(there.iter().map(String::as_str)));
    let world = World::around(fakes, Database::Sqlite, &more).await;

    let agent = world.server.create_agent(&world.of_carrier(&agent())).await;
    converse(&world, &agent).await;
    assert_eq!(proxy.asked(), known);
    assert!(!world.server.log().contains("geheim"));
    world.end(&[]).await;
}

#[tokio::test]
async fn a_file_without_certificates_keeps_the_server_from_starting() {
    let setup = Setup::new(Database::Sqlite, Vec::new()).await;
    let path = setup.folder.path().join("own.pem");
    for (text, why) in [
        (None, "No such file"),
        (
            Some("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
            "holds no certificate",
        ),
        (
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "certificate",
        ),
    ] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let mut serve = setup.command(&["serve"]);
        let ended = serve.env("BOLO_SECURITY__CA_FILE", &path).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr);
        assert!(!ended.status.success());
        assert!(
            said.contains("security.ca_file") && said.contains(why),
            "{said}"
        );
    }
}
