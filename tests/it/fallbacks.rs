//! Vendors that refuse, and others that take their place in the same call (R193-R195).

use bolo_simulator::{
    assembly::{self, FakeAssembly},
    caller::CallerScript,
    deepgram, elevenlabs,
    llm::{self, FakeLlm, Fault, Reply},
    voices::{self, azure, cartesia},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Database, THEIRS, World, agent};

/// Where the fallbacks stand.
#[derive(Debug, Clone, Copy)]
enum Of {
    Agent,
    Account,
}

/// One whole conversation, in which nothing is missing; its record.
async fn converse(world: &World, agent: &Value) -> Value {
    let (execution, call) = world.dial(agent, CallerScript::default()).await;
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
    assert_eq!(record["error_message"], Value::Null);
    record
}

#[rstest]
#[case::of_the_agent(Database::Sqlite, Of::Agent)]
#[case::of_the_account(Database::Postgres, Of::Account)]
#[tokio::test]
async fn a_call_whose_vendors_all_refuse_is_held_by_others(
    #[case] database: Database,
    #[case] of: Of,
) {
    let ears = FakeAssembly::start(assembly::Options::default())
        .await
        .unwrap();
    let voice = cartesia::start(voices::Options::default()).await.unwrap();
    let mind = FakeLlm::start(llm::Options::default()).await.unwrap();
    mind.on("where is my order", Reply::text("It ships on Monday."));
    let environment = [
        ("BOLO_PROVIDERS__ASSEMBLY__BASE_URL", ears.base_url()),
        (
            "BOLO_PROVIDERS__ASSEMBLY__API_KEY",
            ears.api_key().to_owned(),
        ),
        ("BOLO_PROVIDERS__CARTESIA__BASE_URL", voice.base_url()),
        (
            "BOLO_PROVIDERS__CARTESIA__API_KEY",
            voice.api_key().to_owned(),
        ),
        ("BOLO_PROVIDERS__GROQ__BASE_URL", mind.base_url()),
        ("BOLO_PROVIDERS__GROQ__API_KEY", mind.api_key().to_owned()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    let world = World::with(database, &environment).await;
    let fallbacks = json!({
        "transcriber": {"provider": "assembly", "model": "universal-streaming-english", "language": "en"},
        "synthesizer": {"provider": "cartesia", "provider_config": {"voice": "Nila", "voice_id": "n1", "model": "sonic-3"}},
        "llm_config": {"provider": "groq", "model": "llama-3.3-70b-versatile"},
    });
    let mut agent = agent();
    match of {
        Of::Agent => {
            agent["agent_config"]["tasks"][0]["tools_config"]["fallbacks"] = fallbacks;
        }
        Of::Account => {
            let file = world.server.folder().join("fallbacks.json");
            std::fs::write(&file, fallbacks.to_string()).unwrap();
            let file = file.display().to_string();
            let set = ["account", "set", "default", "--fallbacks", &file];
            world.server.setup().run(&set);
        }
    }
    // Who refuses a key refuses it for the whole call.
    let fakes = &world.fakes;
    fakes
        .deepgram
        .fail_next(vec![deepgram::Fault::Status(401); 50]);
    fakes
        .elevenlabs
        .fail_next(vec![elevenlabs::Fault::Status(401); 50]);
    let refused = Fault::Status {
        status: 401,
        retry_after_s: None,
    };
    fakes.llm.fail_next(vec![refused; 50]);

    let record = converse(&world, &agent).await;
    assert_eq!(ears.sessions(), 1);
    // Who worked is who is counted.
    let usage = &record["usage_breakdown"];
    let names = |key: &str| -> Vec<String> {
        let parts = usage[key].as_object().unwrap();
        parts.keys().cloned().collect()
    };
    assert_eq!(names("synthesizers"), ["cartesia:sonic-3"], "{usage:#}");
    assert_eq!(
        names("transcribers"),
        ["assembly:universal-streaming-english"]
    );
    assert_eq!(names("llm_model"), ["llama-3.3-70b-versatile"]);
    assert_eq!(usage["synthesizer_model"], "cartesia:sonic-3");
    let spoken = &usage["synthesizers"]["cartesia:sonic-3"]["characters"];
    assert_eq!(spoken.as_f64(), usage["synthesizer_characters"].as_f64());
    // Others take over, so that the refused keys keep nobody from being called (R196).
    let agent = record["agent_id"].as_str().unwrap();
    for _ in 0..2 {
        let again = world.server.call(agent, THEIRS).await;
        let call = fakes.carrier.dialled(THEIRS).await.unwrap();
        call.hears("Hello there").await.unwrap();
        call.says("where is my order").await.unwrap();
        call.hears("It ships on Monday").await.unwrap();
        call.hangs_up().await.unwrap();
        world.server.status(&again, "completed").await;
    }
    world
        .end(&["takes over", "rendered ahead", "model server refused"])
        .await;
}

/// Most transcribers tell a wrong key only to who is connected, voices their quota; a voice over HTTP
/// refuses each sentence.
#[rstest]
#[case::over_a_socket(Database::Sqlite, "elevenlabs")]
#[case::over_http(Database::Postgres, "azuretts")]
#[tokio::test] // R193, R195
async fn vendors_that_refuse_only_after_they_let_in_are_replaced(
    #[case] database: Database,
    #[case] own_voice: &str,
) {
    let ears = FakeAssembly::start(assembly::Options::default())
        .await
        .unwrap();
    let other = cartesia::start(voices::Options::default()).await.unwrap();
    let over_http = azure::start(voices::Options::default()).await.unwrap();
    let (ears_url, other_url, http_url) = (ears.base_url(), other.base_url(), over_http.base_url());
    let world = World::with(
        database,
        &[
            ("BOLO_PROVIDERS__ASSEMBLY__BASE_URL", &ears_url),
            ("BOLO_PROVIDERS__ASSEMBLY__API_KEY", "of-somebody-else"),
            ("BOLO_PROVIDERS__AZURETTS__BASE_URL", &http_url),
            ("BOLO_PROVIDERS__AZURETTS__API_KEY", "of-somebody-else"),
            ("BOLO_PROVIDERS__CARTESIA__BASE_URL", &other_url),
            ("BOLO_PROVIDERS__CARTESIA__API_KEY", other.api_key()),
        ],
    )
    .await;
    let fakes = &world.fakes;
    fakes
        .elevenlabs
        .fail_next(vec![elevenlabs::Fault::QuotaMessage; 50]);
    fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let mut agent = agent();
    let tools = &mut agent["agent_config"]["tasks"][0]["tools_config"];
    tools["fallbacks"] = json!({
        "transcriber": tools["transcriber"],
        "synthesizer": {"provider": "cartesia", "provider_config": {"voice": "Nila", "voice_id": "n1", "model": "sonic-3"}},
    });
    tools["transcriber"] =
        json!({"provider": "assembly", "model": "universal-streaming-english", "language": "en"});
    if own_voice == "azuretts" {
        tools["synthesizer"] = json!({"provider": own_voice, "provider_config": {"voice": "en-US-JennyNeural", "model": "Neural"}});
    }

    let record = converse(&world, &agent).await;
    assert_eq!(fakes.deepgram.sessions(), 1);
    assert_eq!(
        record["usage_breakdown"]["synthesizer_model"],
        "cartesia:sonic-3"
    );
    world
        .end(&[
            "takes over",
            "rendered ahead",
            "reports a failure",
            "refuses a request",
        ])
        .await;
}

#[tokio::test]
async fn fallbacks_that_make_no_sense_are_refused_by_name() {
    let world = World::start(Database::Sqlite).await;
    let mut agent = agent();
    agent["agent_config"]["tasks"][0]["tools_config"]["fallbacks"] =
        json!({"transcriber": {"provider": "nobody"}, "synthesizer": {}});
    let key = world.server.key.clone();
    let answer = world
        .server
        .send("POST", "/v2/agent", Some(&key), Some(&agent))
        .await;
    assert_eq!(answer.status, 400);
    let text = answer.body.to_string();
    for path in [
        "fallbacks.transcriber.provider",
        "fallbacks.synthesizer.provider",
    ] {
        assert!(text.contains(path), "{path} is not named: {text}");
    }
    world.end(&[]).await;
}
