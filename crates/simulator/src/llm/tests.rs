//! The wire of the fake model, seen by a plain client.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;

fn body(user: &str) -> Value {
    json!({
        "model": "gpt-4.1-mini",
        "stream": true,
        "stream_options": {"include_usage": true},
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": user}],
        "tools": [{"type": "function", "function": {"name": "end_call", "parameters": {}}}],
    })
}

async fn post(llm: &FakeLlm, body: &Value, key: &str) -> reqwest::Response {
    let client = crate::http::client().unwrap();
    let url = format!("{}/chat/completions", llm.base_url());
    client
        .post(url)
        .bearer_auth(key)
        .body(body.to_string())
        .send()
        .await
        .unwrap()
}

/// All of a stream's data lines, `[DONE]` as a string; and whether it broke off.
async fn events(response: reqwest::Response) -> (Vec<Value>, bool) {
    let (mut text, mut broke) = (String::new(), false);
    let mut stream = response.bytes_stream();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => text.push_str(std::str::from_utf8(&piece).unwrap()),
            Err(_) => {
                broke = true;
                break;
            }
        }
    }
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    let events =
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.into())));
    (events.collect(), broke)
}

fn said(events: &[Value]) -> String {
    events
        .iter()
        .filter_map(|event| event["choices"][0]["delta"]["content"].as_str())
        .collect()
}

async fn ask(llm: &FakeLlm, user: &str) -> (Vec<Value>, bool) {
    let response = post(llm, &body(user), "openai-test-key").await;
    assert_eq!(response.status(), 200);
    events(response).await
}

#[tokio::test]
async fn a_streamed_answer_has_the_shapes_of_the_wire() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.on_pattern(
        "order (\\w+)",
        Reply::text("Order $1 ships on Monday.").then_call("end_call", r#"{"reason":"done"}"#),
    )
    .unwrap();
    let response = post(&llm, &body("Where is my ORDER seven?"), "openai-test-key").await;
    assert_eq!(
        response.headers()["content-type"],
        "text/event-stream; charset=utf-8"
    );
    let (events, broke) = events(response).await;
    assert!(!broke);
    assert_eq!(
        events[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": "", "refusal": null})
    );
    assert_eq!(said(&events), "Order seven ships on Monday.");
    let calls: Vec<&Value> = events
        .iter()
        .filter(|event| event["choices"][0]["delta"]["tool_calls"].is_array())
        .collect();
    assert!(calls.len() >= 3);
    assert_eq!(
        calls[0]["choices"][0]["delta"]["tool_calls"][0]["function"],
        json!({"name": "end_call", "arguments": ""})
    );
    let arguments: String = calls
        .iter()
        .filter_map(|event| {
            event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"].as_str()
        })
        .collect();
    assert_eq!(
        serde_json::from_str::<Value>(&arguments).unwrap(),
        json!({"reason": "done"})
    );
    let [.., finish, usage, done] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(finish["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(
        (&usage["choices"], &usage["usage"]["completion_tokens"]),
        (&json!([]), &5.into())
    );
    assert_eq!(done, "[DONE]");
    let logged = llm.requests_reach(1).await.unwrap();
    assert_eq!(
        (&*logged[0].user, logged[0].tokens),
        ("Where is my ORDER seven?", 5)
    );
    assert_eq!(logged[0].tools(), ["end_call"]);
}

#[tokio::test]
async fn an_answer_at_once_and_the_limits() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    let mut body = body("one two three four");
    body["stream"] = false.into();
    body.as_object_mut().unwrap().remove("stream_options");
    body["max_tokens"] = 2.into();
    let answer: Value = post(&llm, &body, "openai-test-key")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "one two");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    body["max_tokens"] = Value::Null;
    body["stop"] = json!([" three"]);
    let answer: Value = post(&llm, &body, "openai-test-key")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["choices"][0]["message"]["content"], "one two");
    let mut asked = self::body("hi");
    asked.as_object_mut().unwrap().remove("stream_options");
    let (events, _) = events(post(&llm, &asked, "openai-test-key").await).await;
    assert!(
        events.iter().all(|event| event.get("usage").is_none()),
        "usage only if asked"
    );
}

#[tokio::test]
async fn keys_and_bad_bodies_are_refused() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    for (key, status, code) in [
        ("bad-key", 401, "invalid_api_key"),
        ("", 401, "invalid_api_key"),
        ("no-credit", 429, "insufficient_quota"),
        ("busy", 429, "rate_limit_exceeded"),
    ] {
        let response = post(&llm, &body("hi"), key).await;
        assert_eq!(response.status(), status);
        assert_eq!(
            response.headers().contains_key("retry-after"),
            key == "busy"
        );
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["code"], code);
    }
    for (field, value) in [
        ("model", Value::Null),
        ("messages", json!([])),
        ("tools", json!([])),
    ] {
        let mut bad = body("hi");
        bad[field] = value;
        let response = post(&llm, &bad, "openai-test-key").await;
        assert_eq!(response.status(), 400);
        assert_eq!(
            response.json::<Value>().await.unwrap()["error"]["param"],
            field
        );
    }
}

#[tokio::test]
async fn faults_of_the_queue_hit_one_request_each() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.fail_next([
        Fault::unauthorized(),
        Fault::too_many(2),
        Fault::server_error(),
    ]);
    for status in [401, 429, 500, 200] {
        assert_eq!(
            post(&llm, &body("hi"), "openai-test-key").await.status(),
            status
        );
    }
    let text = "one two three four";
    llm.fail_next([
        Fault::ResetAfter { tokens: 2 },
        Fault::CutShort { tokens: 2 },
        Fault::ErrorChunkAfter { tokens: 1 },
        Fault::Garbage {},
        Fault::NoDone {},
        Fault::NoUsage {},
        Fault::OneChunk {},
    ]);
    let (seen, broke) = ask(&llm, text).await;
    assert_eq!((said(&seen), broke), ("one two".into(), true));
    let (seen, broke) = ask(&llm, text).await;
    assert_eq!((said(&seen), broke), ("one two".into(), false));
    assert!(
        seen.iter()
            .all(|event| event["choices"][0]["finish_reason"].is_null())
    );
    let (seen, _) = ask(&llm, text).await;
    assert_eq!(seen.last().unwrap()["error"]["type"], "server_error");
    let (seen, _) = ask(&llm, text).await;
    assert!(seen.iter().any(|event| {
        event
            .as_str()
            .is_some_and(|text| text.starts_with("{\"id\""))
    }));
    assert_eq!(said(&seen), text);
    let (seen, _) = ask(&llm, text).await;
    assert_ne!(seen.last().unwrap(), "[DONE]");
    let (seen, _) = ask(&llm, text).await;
    assert!(seen.iter().all(|event| !event["usage"].is_object()));
    let (seen, _) = ask(&llm, text).await;
    assert_eq!(seen[1]["choices"][0]["delta"]["content"], text);
}

#[tokio::test]
async fn every_third_request_is_one_too_many() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.rate_limit_every(3);
    for status in [200, 200, 429, 200, 200, 429] {
        let response = post(&llm, &body("hi"), "openai-test-key").await;
        assert_eq!(response.status(), status);
    }
    llm.recover();
    for _ in 0..3 {
        let response = post(&llm, &body("hi"), "openai-test-key").await;
        assert_eq!(response.status(), 200);
    }
}

#[tokio::test]
async fn odd_dialects() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.on("bye", Reply::call("end_call", "{}"));
    llm.fail_next([
        Fault::OddChunks {},
        Fault::WholeToolCall {},
        Fault::Crumbs {},
    ]);
    let (seen, _) = ask(&llm, "hi there").await;
    assert_eq!(seen[1]["service_tier"], "on_demand");
    assert!(
        seen.iter()
            .any(|event| event["choices"][0]["finish_reason"] == "error")
    );
    let (seen, _) = ask(&llm, "bye").await;
    assert_eq!(
        seen[1]["choices"][0]["delta"]["tool_calls"][0],
        json!({"id": "", "function": {"name": "end_call", "arguments": "{}"}})
    );
    let response = post(&llm, &body("hi there"), "openai-test-key").await;
    let mut pieces = response.bytes_stream();
    let mut text = String::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap();
        assert_eq!(piece.len(), 1, "cut at every byte");
        text.push(char::from(piece[0]));
    }
    let lines = text
        .split("\r\n")
        .filter_map(|line| line.strip_prefix("data: "));
    let seen: Vec<Value> = lines
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    assert_eq!(said(&seen), "hi there");
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let llm = FakeLlm::start(Options::default()).await.unwrap();
    llm.fail_next([Fault::StallAfter { tokens: 2 }, Fault::NoHeaders {}]);
    let response = post(&llm, &body("one two three"), "openai-test-key").await;
    let mut stream = response.bytes_stream();
    let mut text = String::new();
    while !text.contains("two") {
        text.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    drop(stream);
    let aborted = |requests: &[Logged]| {
        (requests[0].outcome == Outcome::Aborted).then_some(requests[0].tokens)
    };
    assert_eq!(llm.shows(aborted).await, Some(2));

    let request = body("hi");
    tokio::select! {
        _ = post(&llm, &request, "openai-test-key") => panic!("silence was asked for"),
        arrived = llm.requests_reach(2) => assert!(arrived.is_some()),
    }
    // `select!` has dropped the request, and its connection with it.
    let aborted =
        |requests: &[Logged]| (requests.get(1)?.outcome == Outcome::Aborted).then_some(());
    llm.shows(aborted).await.unwrap();
}

#[tokio::test]
async fn the_demo_model_needs_no_key() {
    let llm = FakeLlm::demo().await.unwrap();
    let response = post(&llm, &body("Tuesday at ten"), "").await;
    let (seen, _) = events(response).await;
    assert!(said(&seen).contains("name"), "{}", said(&seen));
}

#[tokio::test]
async fn a_first_token_is_told_of_once() {
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let llm = FakeLlm::start(Options {
        observer: Some(Observer::new(move |begun| tell.try_send(begun).unwrap())),
        ..Options::default()
    })
    .await
    .unwrap();
    let (_, broke) = ask(&llm, "hello to you all").await;
    assert!(!broke);
    assert_eq!(&*told.try_recv().unwrap().text, "hello to you all");
    assert!(told.try_recv().is_err());
}
