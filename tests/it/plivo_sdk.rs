//! Plivo's own SDKs as peers: judges of our signatures, and a client of our fake.

use bolo_simulator::{
    carrier::{FakeCarrier, Kind, Options},
    plivo::signature,
    twilio,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{
    Database, OURS, THEIRS, World, agent,
    peer::{node, python},
};

const SCRIPT: &str = "plivo_peer.py";

type Form = Vec<(String, String)>;

/// Requests as a carrier may make them: method, address, form.
fn requests() -> Vec<(&'static str, String, Form)> {
    let base = "https://bolo.example.com:8443/telephony/plivo/answer/1";
    let form = [
        ("CallUUID", "8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d"),
        ("From", "14155550100"),
        ("Empty", ""),
        ("Ünïcode", "grüße 😀"),
    ];
    let form: Form = form
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    vec![
        ("POST", base.to_owned(), form.clone()),
        ("POST", format!("{base}?z=a%20b&eid=7f1c&k="), form),
        ("GET", format!("{base}?b=2&a=1&b=1"), Vec::new()),
    ]
}

fn object(form: &[(String, String)]) -> Value {
    form.iter()
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect()
}

/// Each request once as signed by the fake, once with its signature spoilt.
fn signed(token: &str) -> String {
    let mut lines = String::new();
    for (method, url, form) in requests() {
        let nonce = signature::nonce(7);
        let good = signature::sign(token, &url, &form, &nonce);
        for signature in [good.clone(), good.replace(&good[..4], "AAAA")] {
            let line = json!({"carrier": "plivo", "token": token, "method": method, "url": url,
                "nonce": nonce, "params": object(&form), "signature": signature});
            lines += &format!("{line}\n");
        }
    }
    lines
}

fn verdicts(count: usize) -> Vec<&'static str> {
    ["true", "false"].repeat(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_places_fetches_lists_and_ends_calls_on_the_fake() {
    let fake = FakeCarrier::start(Kind::Plivo, Options::default())
        .await
        .unwrap();
    fake.script(
        THEIRS,
        bolo_simulator::caller::CallerScript {
            ring_ms: 60_000,
            ..Default::default()
        },
    );
    let (base, account, token) = (fake.base_url(), fake.account(), fake.token());
    let answer = tokio::task::spawn_blocking(move || {
        let url = "http://127.0.0.1:9/x";
        python(
            SCRIPT,
            &["client", &base, account, token, THEIRS, OURS, url],
            "",
        )
    });
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["placed"], "call fired");
    assert_eq!(answer["live"], answer["call"]);
    assert_eq!(answer["status"], "ringing");
    assert_eq!(answer["cause"], 1000);
    for what in ["listed", "ended", "recorded"] {
        assert_eq!(answer[what], true, "{what}: {answer}");
    }
    assert_eq!(fake.ledger().placed(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sdk_finds_buys_and_releases_a_number_on_the_fake() {
    const NEW: &str = "+14155550121";
    let fake = FakeCarrier::start(Kind::Plivo, Options::default())
        .await
        .unwrap();
    let (base, account, token) = (fake.base_url(), fake.account(), fake.token());
    let answer = tokio::task::spawn_blocking(move || {
        let url = "http://127.0.0.1:9/x";
        python(SCRIPT, &["numbers", &base, account, token, NEW, url], "")
    });
    let answer: Value = serde_json::from_str(&answer.await.unwrap()).unwrap();
    assert_eq!(answer["found"], json!([NEW, "+14155550122"]));
    assert_eq!(answer["bought"], "fulfilled");
    assert_eq!(answer["pointed"], true);
    assert_eq!(answer["listed"], true);
    assert_eq!(answer["left"], json!([OURS]));
    assert_eq!(fake.ledger().purchases(), [NEW]);
}

#[test]
fn the_sdk_accepts_the_fakes_signatures() {
    let token = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk";
    let answer = python(SCRIPT, &["verify", token], &signed(token));
    let found: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(found, verdicts(requests().len()));
}

#[test]
fn the_sdks_for_node_accept_the_fakes_signatures() {
    let mut lines = signed("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNk");
    let token = "12345678901234567890123456789012";
    for (_, url, form) in requests() {
        let good = twilio::signature::sign(token, &url, &form);
        for signature in [good.as_str(), "AAAA"] {
            let line = json!({"carrier": "twilio", "token": token, "url": url, "params": object(&form),
                "signature": signature});
            lines += &format!("{line}\n");
        }
    }
    let answer = node("judge.js", &[], &lines);
    let found: Vec<&str> = answer.split_whitespace().collect();
    assert_eq!(found, verdicts(2 * requests().len()));
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
    let world = World::on(Kind::Plivo, Database::Sqlite).await;
    let agent = world.server.create_agent(&agent()).await;
    let url = format!("{}/inbound_call?agent_id={agent}", world.server.base);
    let carrier = &world.fakes.carrier;
    let form = [
        ("CallUUID", "8e4b2c1a-5d6f-4a7b-9c8d-0e1f2a3b4c5d"),
        ("ParentAuthID", carrier.account()),
        ("From", THEIRS.trim_start_matches('+')),
        ("To", OURS.trim_start_matches('+')),
        ("CallStatus", "ringing"),
        ("Event", "StartApp"),
        ("Direction", "inbound"),
    ];
    let params = form.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let nonce = signature::nonce(7);
    let token = carrier.token();
    let line = json!({"carrier": "plivo", "token": token, "method": "POST", "url": url,
        "nonce": nonce, "params": object(&params)});
    let made: String = serde_json::from_str(&sign(token, &line.to_string())).unwrap();
    let post = |signature: &str, form: &[(&str, &str)]| {
        let request = reqwest::Client::new()
            .post(&url)
            .header("x-plivo-signature-v3", signature)
            .header("x-plivo-signature-v3-nonce", &nonce)
            .form(form);
        async move { request.send().await.unwrap() }
    };
    let spoilt = format!("AAAA{}", &made[4..]);
    assert_eq!(post(&spoilt, &form).await.status().as_u16(), 403);
    let mut other = form;
    other[2].1 = "14155550198";
    assert_eq!(post(&made, &other).await.status().as_u16(), 403);
    let answer = post(&made, &form).await;
    assert_eq!(answer.status().as_u16(), 200);
    let document = answer.text().await.unwrap();
    assert!(
        document.contains("<Stream bidirectional=\"true\"") && document.contains("<Redirect"),
        "{document}"
    );
    world.server.stop_cleanly(&["signature"]).await;
}
