//! Twilio's own Python SDK as a peer: a judge of our signatures and a client of our fake.

use bolo_simulator::{
    caller::CallerScript,
    carrier::{FakeCarrier, Kind, Options},
    twilio::signature,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Database, OURS, THEIRS, World, agent,
    peer::{node, python},
};

const SCRIPT: &str = "twilio_peer.py";

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_places_fetches_lists_and_ends_calls_on_the_fake() {
    let fake = FakeCarrier::start(Kind::Twilio, Options::default())
        .await
        .unwrap();
    // It rings until it is ended.
    let rings = CallerScript {
        ring_ms: 60_000,
        ..CallerScript::default()
    };
    fake.script(THEIRS, rings);
    let (base, account, token) = (fake.base_url(), fake.account(), fake.token());
    let answer = tokio::task::spawn_blocking(move || {
        let arguments = [
            "client",
            &base,
            account,
            token,
            THEIRS,
            OURS,
            "http://127.0.0.1:9/x",
        ];
        python(SCRIPT, &arguments, "")
    });
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["placed"], "queued");
    assert_eq!(answer["fetched"], answer["sid"]);
    assert_eq!(answer["listed"], true);
    // A call that has not been answered is cancelled by it.
    assert!(["completed", "canceled"].contains(&answer["ended"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_finds_buys_and_releases_a_number_on_the_fake() {
    const NEW: &str = "+14155550121";
    let fake = FakeCarrier::start(Kind::Twilio, Options::default())
        .await
        .unwrap();
    let (base, account, token) = (fake.base_url(), fake.account(), fake.token());
    let answer = tokio::task::spawn_blocking(move || {
        let url = "http://127.0.0.1:9/x";
        python(SCRIPT, &["numbers", &base, account, token, NEW, url], "")
    });
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["found"], json!([NEW, "+14155550122"]));
    assert_eq!(answer["bought"], NEW);
    assert_eq!(answer["pointed"], "http://127.0.0.1:9/x");
    assert_eq!(answer["released"], true);
    assert_eq!(answer["listed"], true);
    assert_eq!(answer["left"], json!([OURS]));
    assert_eq!(fake.ledger().purchases(), [NEW]);
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
    assert_eq!(python(SCRIPT, &["verify", token], &line).trim(), "true");
    let wrong = json!({"url": url, "params": params, "signature": "AAAA"}).to_string();
    assert_eq!(python(SCRIPT, &["verify", token], &wrong).trim(), "false");
}

fn by_python(token: &str, line: &str) -> String {
    python(SCRIPT, &["sign", token], line)
}

fn by_node(_: &str, line: &str) -> String {
    node("judge.js", &["sign"], line)
}

#[rstest]
#[case::python(by_python)]
#[case::node(by_node)]
#[tokio::test(flavor = "multi_thread")]
async fn the_server_accepts_the_sdks_signatures(#[case] sign: fn(&str, &str) -> String) {
    let world = World::start(Database::Sqlite).await;
    let agent = world.server.create_agent(&agent()).await;
    let url = format!("{}/inbound_call?agent_id={agent}", world.server.base);
    let (account, token) = (world.fakes.carrier.account(), world.fakes.carrier.token());
    let form = [
        ("CallSid", format!("CA{}", "7".repeat(32))),
        ("AccountSid", account.to_owned()),
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
    let line = json!({"carrier": "twilio", "token": token, "url": url, "params": params});
    let signature: String = serde_json::from_str(&sign(token, &line.to_string())).unwrap();
    let post = |signature: &str, form: &[(&str, String)]| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("x-twilio-signature", signature)
            .form(form);
        async move { request.send().await.unwrap() }
    };
    let spoilt = format!("AAAA{}", &signature[4..]);
    assert_eq!(post(&spoilt, &form).await.status().as_u16(), 403);
    let mut other = form.clone();
    other[2].1 = "+14155550198".to_owned();
    assert_eq!(post(&signature, &other).await.status().as_u16(), 403);
    let answer = post(&signature, &form).await;
    assert_eq!(answer.status().as_u16(), 200);
    let document = answer.text().await.unwrap();
    assert!(
        document.contains("<Connect><Stream") && document.contains("<Redirect"),
        "{document}"
    );
    world.server.stop_cleanly(&["signature"]).await;
}
