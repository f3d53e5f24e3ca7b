//! The fakes against a plain client: what only they can get wrong. The rest is in the suite of our clients
//! and the vendors' own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite;

use super::*;
use crate::{http, tone};

const LIMIT: Duration = Duration::from_secs(10);

/// Opens a path, says these texts, and hears until the vendor closes.
async fn ask(path: &str, key: (&'static str, &str), texts: &[Value]) -> (Vec<Value>, Option<u16>) {
    let ears = FakeEars::start(Options::default()).await.unwrap();
    let url = format!("ws://{}{path}", ears.addr());
    let headers = [(key.0, key.1.replace("KEY", ears.api_key()))];
    let mut socket = http::open_socket(&url, &headers, 8 << 10, LIMIT)
        .await
        .unwrap();
    for text in texts {
        let message = tungstenite::Message::text(text.to_string());
        socket.send(message).await.unwrap();
    }
    let mut heard = Vec::new();
    while let Some(message) = tokio::time::timeout(LIMIT, socket.next()).await.unwrap() {
        match message.unwrap() {
            tungstenite::Message::Text(text) => heard.push(serde_json::from_str(&text).unwrap()),
            tungstenite::Message::Close(frame) => {
                return (heard, frame.map(|frame| frame.code.into()));
            }
            _ => {}
        }
    }
    (heard, None)
}

#[tokio::test]
async fn scribe_closes_on_a_commit_of_too_little_audio() {
    let path = "/v1/speech-to-text/realtime?model_id=scribe_v2_realtime&audio_format=ulaw_8000";
    let commit = json!({"message_type": "input_audio_chunk", "audio_base_64": "", "commit": true});
    let (heard, code) = ask(path, ("xi-api-key", "KEY"), &[commit]).await;
    assert_eq!(heard[0]["message_type"], "session_started");
    assert_eq!(heard[1]["message_type"], "invalid_request");
    assert_eq!(code, Some(1008));
}

#[tokio::test]
async fn sarvam_wants_audio_in_files_of_the_sessions_rate() {
    let path = "/speech-to-text/ws?language-code=en-IN&model=saaras:v3&sample_rate=16000";
    let audio = json!({"audio": {"data": "UklGRgAAAAA=", "encoding": "audio/wav"}});
    let (heard, code) = ask(path, ("api-subscription-key", "KEY"), &[audio]).await;
    assert_eq!(heard[0]["type"], "error");
    assert_eq!(code, Some(1003));
}

#[tokio::test]
async fn soniox_is_told_the_key_in_the_first_message() {
    let config = |key: &str, delay: u32| {
        json!({"api_key": key, "model": "stt-rt-v5", "audio_format": "mulaw", "sample_rate": 8000,
            "max_endpoint_delay_ms": delay})
    };
    let none = ("accept", "*/*");
    let (heard, _) = ask("/transcribe-websocket", none, &[config("bad", 500)]).await;
    assert_eq!(heard[0]["error_code"], 401);
    let key = Options::default().api_key;
    let (heard, _) = ask("/transcribe-websocket", none, &[config(&key, 250)]).await;
    assert_eq!(heard[0]["error_code"], 400);
}

#[tokio::test]
async fn gladia_lets_in_by_token_only() {
    let (heard, code) = ask("/v2/live?token=guess", ("accept", "*/*"), &[]).await;
    assert!(heard.is_empty());
    assert_eq!(code, Some(4401));
}

#[test]
fn the_same_words_are_heard_at_any_rate() {
    let audio = tone::speak("hello there");
    for step in [1, 2, 3] {
        let mut listener = Listener::new(Sound::Pcm(step), Manners::default());
        let samples = audio.iter().flat_map(|byte| {
            let sample = g711::decode(*byte).to_le_bytes();
            std::iter::repeat_n(sample, step).flatten()
        });
        // In pieces that no step divides.
        for piece in samples.collect::<Vec<u8>>().chunks(434) {
            listener.hear(piece);
        }
        assert_eq!(listener.finish(), "hello there", "{step}");
    }
}
