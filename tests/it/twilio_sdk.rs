//! Twilio's own Python SDK as a peer: a judge of our signatures and a client of our fake.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use bolo_simulator::twilio::{FakeTwilio, Options, signature};
use serde_json::{Value, json};

use crate::support::{Database, OURS, THEIRS, World, agent};

fn python(arguments: &[&str], input: &str) -> String {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/it/sdk/twilio_peer.py"
    );
    let mut command = Command::new("python3");
    command
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if let Ok(path) = std::env::var("BOLO_TEST_PYTHONPATH") {
        command.env("PYTHONPATH", path);
    }
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "the SDK failed; `tests/run` installs it (PyPI: twilio)"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_places_fetches_lists_and_ends_calls_on_the_fake() {
    let fake = FakeTwilio::start(Options::default()).await.unwrap();
    let options = fake.options().clone();
    let base = fake.base_url();
    let answer = tokio::task::spawn_blocking(move || {
        let arguments = [
            "client",
            &base,
            &options.account_sid,
            &options.auth_token,
            THEIRS,
            OURS,
            "http://127.0.0.1:9/x",
        ];
        python(&arguments, "")
    });
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["placed"], "queued");
    assert_eq!(answer["fetched"], answer["sid"]);
    assert_eq!(answer["listed"], true);
    // A call that has not been answered is cancelled by it.
    assert!(["completed", "canceled"].contains(&answer["ended"].as_str().unwrap()));
}

#[test]
fn the_sdk_accepts_the_fakes_signatures() {
    let token = "12345678901234567890123456789012";
    let url = "https://bolo.example.com/telephony/twilio/answer/1?x=1";
    let form = [
        ("CallSid", "CA1"),
        ("From", "+14155550100"),
        ("Empty", ""),
        ("Ünïcode", "grüße 😀"),
    ];
    let form: Vec<(String, String)> = form
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let params: Value = form
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    let signature = signature::sign(token, url, &form);
    let line = json!({"url": url, "params": params, "signature": signature}).to_string();
    assert_eq!(python(&["verify", token], &line).trim(), "true");
    let wrong = json!({"url": url, "params": params, "signature": "AAAA"}).to_string();
    assert_eq!(python(&["verify", token], &wrong).trim(), "false");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_accepts_the_sdks_signatures() {
    let world = World::start(Database::Sqlite).await;
    let agent = world.server.create_agent(&agent()).await;
    let url = format!("{}/inbound_call?agent_id={agent}", world.server.base);
    let options = world.fakes.twilio.options();
    let form = [
        ("CallSid", format!("CA{}", "7".repeat(32))),
        ("AccountSid", options.account_sid.clone()),
        ("From", THEIRS.to_owned()),
        ("To", OURS.to_owned()),
        ("CallStatus", "ringing".to_owned()),
        ("Direction", "inbound".to_owned()),
        ("ApiVersion", "2010-04-01".to_owned()),
    ];
    let params: Value = form
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect();
    let line = json!({"url": url, "params": params}).to_string();
    let signature: String =
        serde_json::from_str(&python(&["sign", &options.auth_token], &line)).unwrap();
    let post = |signature: String| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("x-twilio-signature", signature)
            .form(&form);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(post("AAAA".to_owned()).await.status().as_u16(), 403);
    let answer = post(signature).await;
    assert_eq!(answer.status().as_u16(), 200);
    let document = answer.text().await.unwrap();
    assert!(
        document.contains("<Connect><Stream") && document.contains("<Redirect"),
        "{document}"
    );
    world.server.stop_cleanly(&["signature"]).await;
}
