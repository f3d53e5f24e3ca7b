//! What a log must never hold, however much is logged.

use bolo_simulator::{caller::CallerScript, deepgram, elevenlabs, llm::Reply};
use serde_json::json;

use crate::support::{Database, World, agent};

/// The longest run of characters that base64 may hold: audio on a wire, or a key.
fn longest_run(line: &str) -> &str {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)))
        .max_by_key(|run| run.len())
        .unwrap_or_default()
}

#[tokio::test]
async fn a_log_at_trace_holds_no_key_and_no_audio() {
    let world = World::with(Database::Sqlite, &[("RUST_LOG", "trace")]).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let own_key = "sk-an-account-of-its-own-0123456789";
    let key = json!({"provider_name": "OPENAI_API_KEY", "provider_value": own_key});
    world.server.post("/providers", key).await;
    // Faults tell more than good weather does: the connections that fail name their address.
    world
        .fakes
        .deepgram
        .fail_next([deepgram::Fault::Status(500)]);
    world
        .fakes
        .elevenlabs
        .fail_next([elevenlabs::Fault::Status(500)]);
    let (execution, call) = world.dial(&agent(), CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    // The fake knows the server's key only: this turn fails at the vendor, and is logged.
    call.agent_spoke().await.unwrap();
    call.hangs_up().await.unwrap();
    world.server.status(&execution, "completed").await;

    let log = world.server.log();
    assert!(log.contains(&execution), "not this call's log");
    assert!(
        log.contains("\"level\":\"DEBUG\"") || log.contains("\"level\":\"TRACE\""),
        "less is logged than was asked for:\n{log}"
    );
    let fakes = &world.fakes;
    let secrets = [
        ("the carrier's token", fakes.carrier.token()),
        ("the transcriber's key", fakes.deepgram.api_key()),
        ("the synthesizer's key", fakes.elevenlabs.api_key()),
        ("the model's key", fakes.llm.api_key()),
        ("the account's own key", own_key),
        ("the API key", world.server.key.as_str()),
    ];
    for line in log.lines() {
        for (what, secret) in secrets {
            assert!(!line.contains(secret), "{what} is logged: {line}");
        }
        // 20 ms of audio come to 216 characters of base64.
        let run = longest_run(line);
        assert!(
            run.len() < 200,
            "audio is logged, {} characters: {line}",
            run.len()
        );
        assert!(
            !line.contains("\"payload\\\""),
            "a media message is logged: {line}"
        );
        assert!(
            !line.contains("binary data") && !line.contains("b\"\\xff"),
            "a frame is logged: {line}"
        );
    }
}
