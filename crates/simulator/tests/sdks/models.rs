//! SDKs of vendors of models.

use bolo_simulator::llm::{FakeLlm, Options, Reply};
use serde_json::{Value, json};

use super::python;

async fn ask(fake: &FakeLlm, vendor: &str, key: &str) -> Value {
    let arguments = [vendor, &fake.address(), key];
    python("models.py", arguments.map(str::to_owned).into()).await
}

/// A question, a tool call, its result and another question; then the wrong key.
async fn judged(vendor: &str, finish: [&str; 2], refused: u16) {
    let fake = FakeLlm::start(Options::default()).await.unwrap();
    let reply = Reply::text("One moment.").then_call("track", "{\"order\": 7}");
    fake.on("where is my order", reply);
    fake.on("and now", Reply::text("It comes on Monday."));
    let came = ask(&fake, vendor, fake.api_key()).await;
    let texts = json!(["One moment.", "It comes on Monday."]);
    assert_eq!(came["text"], texts, "{came}");
    assert_eq!(came["call"], json!(["track", {"order": 7}]));
    assert_eq!(came["finish"], json!(finish));
    let tokens = |index: usize| came["tokens"][index].as_u64().unwrap();
    assert!(tokens(0) > 5 && tokens(1) == 4, "{came}");
    assert_eq!(ask(&fake, vendor, "bad-key").await["refused"], refused);
}

#[tokio::test]
async fn openai() {
    judged("openai", ["tool_calls", "stop"], 401).await;
}

#[tokio::test]
async fn azure() {
    judged("azure", ["tool_calls", "stop"], 401).await;
}

#[tokio::test]
async fn anthropic() {
    judged("anthropic", ["tool_use", "end_turn"], 401).await;
}

#[tokio::test]
async fn google() {
    judged("google", ["STOP", "STOP"], 400).await;
}
