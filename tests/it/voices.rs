//! Whole calls with other voices: over a socket with contexts, over one that knows no cancel, over one of a
//! single stream, and over HTTP.

use bolo_simulator::{
    caller::CallerScript,
    voices::{FakeVoice, Options, azure, cartesia, sarvam},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    calls::{barge_in, orders},
    support::{Database, World, agent},
};

/// The fake of a vendor, the settings that send the server to it, and an agent that speaks with it.
async fn vendor(provider: &str) -> (FakeVoice, [(String, String); 2], Value) {
    let options = Options::default();
    let (fake, config) = match provider {
        "cartesia" => (
            cartesia::start(options).await,
            json!({"voice": "Nila", "model": "sonic-3"}),
        ),
        "sarvam" => (
            sarvam::start(options).await,
            json!({"voice": "shubh", "model": "bulbul:v3"}),
        ),
        _ => (
            azure::start(options).await,
            json!({"voice": "en-US-JennyNeural", "model": "Neural"}),
        ),
    };
    let fake = fake.unwrap();
    let prefix = format!("BOLO_PROVIDERS__{}", provider.to_uppercase());
    let environment = [
        (format!("{prefix}__BASE_URL"), fake.base_url()),
        (format!("{prefix}__API_KEY"), fake.api_key().to_owned()),
    ];
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["synthesizer"] =
        json!({"provider": provider, "provider_config": config});
    (fake, environment, agent)
}

#[rstest]
#[case::contexts("cartesia")]
#[case::no_cancel("sarvam")]
#[case::http("azuretts")]
#[tokio::test]
async fn a_call_is_held_and_cut_in(#[case] provider: &str) {
    let (fake, environment, agent) = vendor(provider).await;
    let more: Vec<(&str, &str)> = environment
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let world = World::with(Database::Sqlite, &more).await;
    orders(&world);
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    let record = barge_in(&world, &execution, &call).await;
    assert_cut(&record);
    assert!(fake.characters() > 0);
    world.end(&[]).await;
}

#[tokio::test]
async fn a_stream_a_socket_is_cut_in() {
    let mut agent = agent();
    let synthesizer = &mut agent["agent_config"]["tasks"][0]["tools_config"]["synthesizer"];
    synthesizer["provider_config"]["endpoint"] = "stream-input".into();
    let world = World::start(Database::Sqlite).await;
    orders(&world);
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    let record = barge_in(&world, &execution, &call).await;
    assert_cut(&record);
    // One for the welcome, for the answer that was cut, and for the one after it.
    let elevenlabs = &world.fakes.elevenlabs;
    assert!(elevenlabs.sessions() >= 3, "{}", elevenlabs.sessions());
    assert!(elevenlabs.characters() > 0);
    world.end(&[]).await;
}

/// Of the answer only what was heard is remembered.
fn assert_cut(record: &Value) {
    let transcript = record["transcript"].as_str().unwrap();
    let lines: Vec<&str> = transcript.lines().collect();
    assert_eq!(lines[0], "assistant: Hello there.", "{transcript}");
    assert!(
        lines[2].starts_with("assistant: Your order") && !lines[2].contains("promised"),
        "{transcript}"
    );
    assert_eq!(
        lines[3..],
        ["user: no wait please", "assistant: All right."],
        "{transcript}"
    );
}
