//! The fake against a plain client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{g711, http, tone};

const LIMIT: Duration = Duration::from_secs(5);

async fn open(
    deepgram: &FakeDeepgram,
    key: &str,
) -> Result<http::Socket, tokio_tungstenite::tungstenite::Error> {
    let url = format!(
        "{}/v1/listen?model=nova-3&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true\
         &endpointing=250&utterance_end_ms=1000&vad_events=true",
        deepgram.base_url()
    );
    http::open_socket(
        &url,
        &[("authorization", format!("Token {key}"))],
        8 << 10,
        LIMIT,
    )
    .await
}

async fn say(socket: &mut http::Socket, text: &str, silence_ms: u64) {
    let mut audio = tone::speak(text);
    audio.resize(audio.len() + g711::bytes(silence_ms), g711::SILENCE);
    for frame in audio.chunks(g711::FRAME) {
        socket.send(Message::binary(frame.to_vec())).await.unwrap();
    }
}

async fn messages_until_end(socket: &mut http::Socket) -> (Vec<Value>, Option<u16>) {
    let mut messages = Vec::new();
    while let Some(message) = tokio::time::timeout(LIMIT, socket.next()).await.unwrap() {
        match message.unwrap() {
            Message::Text(text) => messages.push(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => return (messages, frame.map(|frame| frame.code.into())),
            _ => {}
        }
    }
    (messages, None)
}

#[tokio::test]
async fn a_turn_is_heard_word_by_word_and_billed_by_its_audio() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    let mut socket = open(&deepgram, deepgram.api_key()).await.unwrap();
    say(&mut socket, "where is my order", 1500).await;
    socket
        .send(Message::text(r#"{"type":"KeepAlive"}"#))
        .await
        .unwrap();
    socket
        .send(Message::text(r#"{"type":"CloseStream"}"#))
        .await
        .unwrap();
    let (messages, code) = messages_until_end(&mut socket).await;
    let kinds: Vec<&str> = messages
        .iter()
        .map(|message| message["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.first(), Some(&"SpeechStarted"));
    assert_eq!(kinds[kinds.len() - 2..], ["UtteranceEnd", "Metadata"]);
    let results: Vec<&Value> = messages
        .iter()
        .filter(|message| message["type"] == "Results")
        .collect();
    let last = results.last().unwrap();
    assert_eq!(
        last["channel"]["alternatives"][0]["transcript"],
        "where is my order"
    );
    assert_eq!(
        (&last["is_final"], &last["speech_final"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert!(results.len() > 2, "interims came: {results:?}");
    let billed = messages.last().unwrap()["duration"].as_f64().unwrap();
    // 17 characters of 65 ms and 1500 ms of silence, in whole frames.
    assert!((billed - 2.6).abs() < 0.021, "{billed}");
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn a_busy_key_is_told_to_wait() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    let error = open(&deepgram, "busy").await.unwrap_err();
    let tokio_tungstenite::tungstenite::Error::Http(response) = error else {
        panic!("{error}");
    };
    assert_eq!(response.status().as_u16(), 429);
    assert_eq!(response.headers()["retry-after"], "1");
}

#[tokio::test]
async fn every_second_connection_is_one_too_many() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    deepgram.rate_limit_every(2);
    for refused in [false, true, false, true] {
        let opened = open(&deepgram, deepgram.api_key()).await;
        assert_eq!(opened.is_err(), refused);
    }
    deepgram.recover();
    for _ in 0..2 {
        assert!(open(&deepgram, deepgram.api_key()).await.is_ok());
    }
}

#[tokio::test]
async fn finals_come_twice_where_that_is_asked_for() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    deepgram.fail_next([Fault::DoubleFinals]);
    let mut socket = open(&deepgram, deepgram.api_key()).await.unwrap();
    say(&mut socket, "yes", 500).await;
    socket
        .send(Message::text(r#"{"type":"CloseStream"}"#))
        .await
        .unwrap();
    let (messages, _) = messages_until_end(&mut socket).await;
    let ends = messages
        .iter()
        .filter(|message| message["speech_final"] == true);
    assert_eq!(ends.count(), 2);
}

#[tokio::test]
async fn a_wrong_key_is_refused_at_the_upgrade() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = open(&deepgram, "bad").await
    else {
        panic!("let in");
    };
    assert_eq!(response.status().as_u16(), 401);
    assert!(response.headers().contains_key("dg-error"));
    deepgram.fail_next([Fault::Status(429)]);
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) =
        open(&deepgram, deepgram.api_key()).await
    else {
        panic!("let in");
    };
    assert_eq!(response.status().as_u16(), 429);
}

#[tokio::test]
async fn a_connection_can_be_lost_or_closed_in_the_middle() {
    let deepgram = FakeDeepgram::start(Options::default()).await.unwrap();
    let reason = "NET-0000".to_owned();
    deepgram.fail_next([Fault::CloseAfter {
        ms: 400,
        code: 1011,
        reason,
    }]);
    let mut socket = open(&deepgram, deepgram.api_key()).await.unwrap();
    say(&mut socket, "hello", 200).await;
    let (_, code) = messages_until_end(&mut socket).await;
    assert_eq!(code, Some(1011));
}
