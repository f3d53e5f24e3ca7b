//! A model with the API of OpenAI that answers every question alike.

use axum::{Router, http::header, response::IntoResponse, routing::post};
use serde_json::json;

/// Its address.
pub async fn start() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(answer));
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn answer() -> impl IntoResponse {
    let verdict = json!({ "subjective": "He was glad.", "objective": "good", "confidence": 0.9,
        "reasoning_subjective": "He said so.", "reasoning_objective": "It went well." });
    let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": verdict.to_string() },
        "finish_reason": "stop" }] });
    let stream = format!("data: {chunk}\n\ndata: [DONE]\n\n");
    ([(header::CONTENT_TYPE, "text/event-stream")], stream)
}
