//! A call through the relay.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::{
    carrier::{self, FakeCarrier, Kind},
    deepgram::{self, FakeDeepgram},
    elevenlabs::{self, FakeElevenlabs},
    llm::{self, FakeLlm, Reply},
};

#[tokio::test]
async fn a_relayed_call_answers_and_can_be_interrupted() {
    let twilio = FakeCarrier::start(Kind::Twilio, carrier::Options::default())
        .await
        .unwrap();
    let deepgram = FakeDeepgram::start(deepgram::Options::default())
        .await
        .unwrap();
    let elevenlabs = FakeElevenlabs::start(elevenlabs::Options::default())
        .await
        .unwrap();
    let llm = FakeLlm::start(llm::Options::default()).await.unwrap();
    llm.on(
        "my order",
        Reply::text("Your order ships on Monday. It comes by post."),
    );
    let relay = Relay::start(Options {
        addr: server::ANY,
        twilio: (
            twilio.base_url(),
            twilio.account().to_owned(),
            twilio.token().to_owned(),
            twilio.options().numbers[0].phone_number.clone(),
        ),
        deepgram: (deepgram.base_url(), deepgram.api_key().to_owned()),
        elevenlabs: (elevenlabs.base_url(), elevenlabs.api_key().to_owned()),
        llm: (llm.base_url(), llm.api_key().to_owned()),
    })
    .await
    .unwrap();
    let client = http::client().unwrap();
    let placed: Value = client
        .post(format!("{}/call", relay.base_url()))
        .json(&json!({"agent_id": "relay", "recipient_phone_number": "+14155550199"}))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let call = twilio.dialled("+14155550199").await.unwrap();
    call.hears("how can I help you").await.unwrap();
    call.says("Where is my order?").await.unwrap();
    call.hears("your order ships").await.unwrap();
    call.says("no wait please").await.unwrap();
    call.sees_clear().await.unwrap();
    call.hears("no wait please").await.unwrap();
    assert!(
        !call.heard_text().contains("by post"),
        "{}",
        call.heard_text()
    );
    assert_eq!(call.hangs_up().await.unwrap(), "completed");
    let url = format!(
        "{}/executions/{}",
        relay.base_url(),
        placed["execution_id"].as_str().unwrap()
    );
    twilio
        .ledger_shows(|ledger| ledger.webhooks_of(call.id(), "status").pop())
        .await
        .unwrap();
    let shown: Value = client.get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown["status"], "completed");
    assert_eq!(call.warnings(), [""; 0]);
}
