//! The fake against a plain client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::http;

async fn ask(llm: &FakeLlm, key: &str, body: &Value) -> (u16, String) {
    let client = http::client().unwrap();
    let url = format!("{}/chat/completions", llm.base_url());
    let answer = client
        .post(url)
        .bearer_auth(key)
        .body(body.to_string())
        .send()
        .await
        .unwrap();
    (
        answer.status().as_u16(),
        answer
            .text()
            .await
            .unwrap_or_else(|error| format!("broken: {error}")),
    )
}

fn body(text: &str) -> Value {
    json!({"model": "gpt-4.1-mini", "stream": true, "stream_options": {"include_usage": true},
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": text}]})
}

/// Chunks of a stream, without the `data: ` before them.
fn chunks(text: &str) -> Vec<&str> {
    text.split("\n\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .collect()
}

#[tokio::test]
async fn an_answer_is_streamed_in_exact_chunks_with_usage_and_done() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.on(
        "my order",
        Reply::text("It ships on Monday.").then_call("end_call", "{\"a\":1}"),
    );
    let (status, text) = ask(&llm, llm.api_key(), &body("Where is my order?")).await;
    assert_eq!(status, 200);
    let chunks = chunks(&text);
    assert_eq!(chunks.last(), Some(&"[DONE]"));
    let parsed: Vec<Value> = chunks[..chunks.len() - 1]
        .iter()
        .map(|chunk| serde_json::from_str(chunk).unwrap())
        .collect();
    let said: String = parsed
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, "It ships on Monday.");
    let arguments: String = parsed
        .iter()
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(arguments, "{\"a\":1}");
    let finish = parsed
        .iter()
        .find_map(|chunk| chunk["choices"][0]["finish_reason"].as_str());
    assert_eq!(finish, Some("tool_calls"));
    assert_eq!(parsed.last().unwrap()["choices"], json!([]));
    assert!(
        parsed.last().unwrap()["usage"]["completion_tokens"]
            .as_u64()
            .unwrap()
            > 3
    );
    assert_eq!(llm.requests().len(), 1);
}

#[tokio::test]
async fn refusals_and_breaks_are_those_of_the_wire() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    assert_eq!(ask(&llm, "bad", &body("x")).await.0, 401);
    llm.fail_next([
        Fault::Status {
            status: 429,
            retry_after_s: Some(1),
        },
        Fault::ResetAfter { tokens: 1 },
    ]);
    assert_eq!(ask(&llm, llm.api_key(), &body("x")).await.0, 429);
    let (_, text) = ask(&llm, llm.api_key(), &body("one two three")).await;
    assert!(text.starts_with("broken"), "{text}");
    let (_, text) = ask(&llm, llm.api_key(), &body("fine again")).await;
    assert!(text.contains("[DONE]"));
}
