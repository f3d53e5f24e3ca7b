//! What a log must never hold, however much is logged.

use base64::{Engine, engine::general_purpose::STANDARD};
use bolo_simulator::{caller::CallerScript, carrier::Kind, deepgram, elevenlabs, llm::Reply};
use futures_util::{SinkExt, StreamExt};
use rstest::rstest;
use serde_json::{Value, json};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::{DEADLINE, Database, Fakes, World, agent, receiver::Receiver};

/// The longest run of characters that base64 may hold: audio on a wire, or a key.
fn longest_run(line: &str) -> &str {
    line.split(|c: char| !(c.is_ascii_alphanumeric() || "+/=".contains(c)))
        .max_by_key(|run| run.len())
        .unwrap_or_default()
}

/// The longest list of bytes as Rust prints it for debugging: `[255, 255, 127]` has three.
fn longest_list(line: &str) -> usize {
    let items = line.split(", ").map(|item| {
        let item = item.trim_matches(|c: char| !c.is_ascii_digit());
        item.parse::<u8>().is_ok()
    });
    let (mut longest, mut run) = (0, 0);
    for is_byte in items {
        run = if is_byte { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

#[test]
fn a_list_of_bytes_is_seen() {
    let audio = format!("read {:?} of it", vec![0xff_u8; 160]);
    assert_eq!(longest_list(&audio), 160);
    assert_eq!(longest_list("[300, 1, 2, 30, x]"), 3);
}

/// A page calls the agent and hears it; the token in its address.
async fn web_call(world: &World, agent: &str) -> String {
    let wanted = json!({"agent_id": agent});
    let session = world.server.post("/web-call/session", wanted).await;
    let url = session["wss_url"].as_str().unwrap();
    let (mut socket, _) = connect_async(url).await.unwrap();
    let init = Message::text(json!({"type": "init"}).to_string());
    socket.send(init).await.unwrap();
    let heard = async {
        while let Some(message) = socket.next().await {
            let message: Value = serde_json::from_str(message.unwrap().to_text().unwrap()).unwrap();
            if message["type"] == "audio" {
                return;
            }
        }
        panic!("the page heard nothing");
    };
    tokio::time::timeout(DEADLINE, heard).await.unwrap();
    drop(socket);
    let run = session["run_id"].as_str().unwrap();
    world.server.status(run, "completed").await;
    url.split_once("auth_token=").unwrap().1.to_owned()
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_log_at_trace_holds_no_key_and_no_audio(#[case] carrier: Kind) {
    let fakes = Fakes::start(carrier).await;
    let world = World::around(fakes, Database::Sqlite, &[("RUST_LOG", "trace")]).await;
    world
        .fakes
        .llm
        .on("where is my order", Reply::text("It ships on Monday."));
    let own_key = "sk-an-account-of-its-own-0123456789";
    let key = json!({"provider_name": "OPENAI_API_KEY", "provider_value": own_key});
    world.server.post("/providers", key).await;
    let signs = world.server.post("/webhooks/secret", json!({})).await;
    let signs = signs["webhook_secret"].as_str().unwrap();
    let receiver = Receiver::start(200, "").await;
    let mut agent = agent();
    agent["agent_config"]["webhook_url"] = receiver.base.clone().into();
    // Faults tell more than good weather does: the connections that fail name their address.
    world
        .fakes
        .deepgram
        .fail_next([deepgram::Fault::Status(500)]);
    world
        .fakes
        .elevenlabs
        .fail_next([elevenlabs::Fault::Status(500)]);
    let (execution, call) = world.dial(&agent, CallerScript::default()).await;
    call.hears("Hello there").await.unwrap();
    call.agent_stopped().await.unwrap();
    call.says("where is my order").await.unwrap();
    // The fake knows the server's key only: this turn fails at the vendor, and is logged.
    call.agent_spoke().await.unwrap();
    call.hangs_up().await.unwrap();
    let record = world.server.status(&execution, "completed").await;
    let token = web_call(&world, record["agent_id"].as_str().unwrap()).await;
    receiver.requests_reach(1).await;

    let log = world.server.log();
    assert!(log.contains(&execution), "not this call's log");
    assert!(
        log.contains("\"level\":\"DEBUG\"") || log.contains("\"level\":\"TRACE\""),
        "less is logged than was asked for:\n{log}"
    );
    let fakes = &world.fakes;
    let dialled = &fakes.carrier.ledger().dials()[0].url;
    let address = dialled.split('#').next().unwrap();
    let mac = address.rsplit('/').next().unwrap();
    assert_eq!(mac.len(), 16, "{dialled}");
    let pair = format!("{}:{}", fakes.carrier.account(), fakes.carrier.token());
    let secrets = [
        ("the carrier's token", fakes.carrier.token()),
        ("the carrier's basic auth", &STANDARD.encode(pair)),
        ("the mac of callbacks", mac),
        ("the token of a web call", &token),
        ("the secret of webhooks", signs),
        ("its key", signs.strip_prefix("whsec_").unwrap()),
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
        assert!(longest_list(line) < 40, "bytes are logged: {line}");
    }
}
