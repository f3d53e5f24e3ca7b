//! The fake against a plain client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::{http, tone};

const LIMIT: Duration = Duration::from_secs(5);

async fn open(
    elevenlabs: &FakeElevenlabs,
    key: &str,
) -> Result<http::Socket, tokio_tungstenite::tungstenite::Error> {
    let url = format!(
        "{}/v1/text-to-speech/v1/multi-stream-input?model_id=eleven_flash_v2_5&output_format=ulaw_8000",
        elevenlabs.base_url()
    );
    http::open_socket(&url, &[("xi-api-key", key.to_owned())], 16 << 10, LIMIT).await
}

async fn send(socket: &mut http::Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .unwrap();
}

async fn next(socket: &mut http::Socket) -> Option<Result<Value, u16>> {
    loop {
        match tokio::time::timeout(LIMIT, socket.next())
            .await
            .unwrap()?
            .ok()?
        {
            Message::Text(text) => return Some(Ok(serde_json::from_str(&text).unwrap())),
            Message::Close(frame) => return frame.map(|frame| Err(frame.code.into())),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_context_is_spoken_and_ends_when_it_is_closed() {
    let (tell, mut told) = tokio::sync::mpsc::channel(8);
    let elevenlabs = FakeElevenlabs::start(Options {
        observer: Some(Observer::new(move |begun| tell.try_send(begun).unwrap())),
        ..Options::default()
    })
    .await
    .unwrap();
    let mut socket = open(&elevenlabs, elevenlabs.api_key()).await.unwrap();
    send(&mut socket, json!({"text": " ", "context_id": "c1"})).await;
    send(
        &mut socket,
        json!({"text": "Your order ships on Monday. ", "context_id": "c1"}),
    )
    .await;
    send(&mut socket, json!({"context_id": "c1", "flush": true})).await;
    send(
        &mut socket,
        json!({"context_id": "c1", "close_context": true}),
    )
    .await;
    let (mut audio, mut characters) = (Vec::new(), String::new());
    loop {
        let message = next(&mut socket).await.unwrap().unwrap();
        assert_eq!(message["contextId"], "c1");
        if message["isFinal"] == true {
            break;
        }
        audio.extend(
            BASE64_STANDARD
                .decode(message["audio"].as_str().unwrap())
                .unwrap(),
        );
        let chars = message["alignment"]["chars"].as_array().unwrap();
        characters.extend(chars.iter().map(|character| character.as_str().unwrap()));
    }
    assert_eq!(audio, tone::speak("Your order ships on Monday."));
    assert_eq!(characters, "Your order ships on Monday.");
    assert_eq!(elevenlabs.characters(), 27);
    let begun = told.try_recv().unwrap();
    assert_eq!(&*begun.text, "Your order ships on Monday.");
    assert!(told.try_recv().is_err());
}

#[tokio::test]
async fn wrong_keys_and_wrong_formats_are_refused() {
    let elevenlabs = FakeElevenlabs::start(Options::default()).await.unwrap();
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = open(&elevenlabs, "bad").await
    else {
        panic!("let in");
    };
    assert_eq!(response.status().as_u16(), 401);
    elevenlabs.fail_next([Fault::QuotaMessage]);
    let mut socket = open(&elevenlabs, elevenlabs.api_key()).await.unwrap();
    send(&mut socket, json!({"text": " ", "context_id": "c1"})).await;
    assert_eq!(
        next(&mut socket).await.unwrap().unwrap()["error"],
        "quota_exceeded"
    );
    assert_eq!(next(&mut socket).await, Some(Err(1008)));
}

#[tokio::test]
async fn a_connection_can_be_lost_in_mid_sentence() {
    let elevenlabs = FakeElevenlabs::start(Options::default()).await.unwrap();
    elevenlabs.fail_next([Fault::LostAfter(1)]);
    let mut socket = open(&elevenlabs, elevenlabs.api_key()).await.unwrap();
    send(
        &mut socket,
        json!({"text": "Your order ships on Monday. ", "context_id": "c1", "flush": true}),
    )
    .await;
    assert!(next(&mut socket).await.unwrap().is_ok());
    assert_eq!(next(&mut socket).await, None);
}
