//! Sessions against a scripted server: what no fake does, and what only a real voice shows.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use bolo_simulator::clips;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{
    Error, ErrorKind, Hear, Heard, HeardEnd, Session, Transcriber, TranscriberSpec,
    testing::{LONG, Peer, SocketServer, access, transcriber_spec},
    transcriber::{Limits, openai::OpenAi, scribe::Scribe, soniox::Soniox},
};

fn limits() -> Limits {
    Limits {
        connect: LONG,
        usable: LONG,
        write: LONG,
        keep_alive: LONG,
        close: LONG,
    }
}

/// A session, and the vendor's end of it after `script`.
async fn open(
    transcriber: impl Transcriber,
    spec: TranscriberSpec,
    mut server: SocketServer,
    script: impl AsyncFnOnce(&mut Peer),
) -> (Result<Session<Hear, Heard>, Error>, Peer) {
    tokio::join!(transcriber.open(&spec), async {
        let mut peer = server.peer().await;
        script(&mut peer).await;
        peer
    })
}

async fn hear(session: &mut Session<Hear, Heard>) -> Heard {
    session.output.recv().await.unwrap().unwrap()
}

#[tokio::test] // runtime.md R36
async fn silence_behind_a_voice_ends_the_turn_where_the_vendor_does_not() {
    let server = SocketServer::start().await;
    let spec = TranscriberSpec {
        model: "gpt-live-transcribe".into(),
        endpointing_ms: 900,
        ..transcriber_spec()
    };
    let openai = OpenAi::new(access(&server.base, limits()), Default::default());
    let (session, mut peer) = open(openai, spec, server, async |peer| {
        peer.text(r#"{"type":"session.created"}"#).await;
        let update = peer.json().await;
        let input = &update["session"]["audio"]["input"];
        assert_eq!(input["turn_detection"], Value::Null);
        peer.text(r#"{"type":"session.updated"}"#).await;
    })
    .await;
    let mut session = session.unwrap();

    let mut audio = clips::clip("turn04").unwrap();
    let spoken = audio.len();
    audio.resize((audio.len() + 16_000).next_multiple_of(160), 0xFF);
    let input = session.input.clone();
    let say = async {
        for frame in audio.chunks(160) {
            let frame = Hear::Audio(Bytes::copy_from_slice(frame));
            input.send(frame).await.unwrap();
        }
    };
    // Audio that had come when the segment was to be closed.
    let commit = async {
        let mut heard = 0;
        loop {
            let message = peer.json().await;
            match message["type"].as_str() {
                Some("input_audio_buffer.append") => {
                    heard += message["audio"].as_str().unwrap().len() / 4 * 3;
                }
                Some("input_audio_buffer.commit") => break heard,
                other => panic!("{other:?}"),
            }
        }
    };
    let (heard, ()) = tokio::join!(commit, say);
    assert!(heard > spoken, "in the silence: {heard} of {spoken}");
    let ms_late = (heard - spoken) / 8;
    assert!(ms_late < 1500, "{ms_late}");
    assert_eq!(hear(&mut session).await, Heard::SpeechStarted);

    let completed = "conversation.item.input_audio_transcription.completed";
    let completed = json!({"type": completed, "item_id": "a", "transcript": "my order is late"});
    peer.text(&completed.to_string()).await;
    let text = loop {
        match hear(&mut session).await {
            Heard::SpeechStarted => {}
            Heard::Final(text) => break text,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(text, "my order is late");
    let why = HeardEnd::SpeechFinal;
    let text = String::new();
    assert_eq!(hear(&mut session).await, Heard::TurnEnd { text, why });
}

#[tokio::test] // wire-providers.md §7.2
async fn open_is_not_usable() {
    let short = Limits {
        usable: Duration::from_millis(30),
        ..limits()
    };
    let server = SocketServer::start().await;
    let scribe = Scribe::new(access(&server.base, short));
    let (session, _peer) = open(scribe, transcriber_spec(), server, async |_| {}).await;
    assert_eq!(session.unwrap_err().kind, ErrorKind::Timeout);

    let server = SocketServer::start().await;
    let soniox = Soniox::new(access(&server.base, limits()));
    let (session, _peer) = open(soniox, transcriber_spec(), server, async |peer| {
        assert_eq!(peer.json().await["api_key"], "sesame");
        peer.text(r#"{"tokens":[],"error_code":402,"error_message":"no balance"}"#)
            .await;
    })
    .await;
    assert_eq!(session.unwrap_err().kind, ErrorKind::Quota);
}

#[tokio::test]
async fn last_words_come_before_the_bill_and_the_goodbye() {
    let server = SocketServer::start().await;
    let scribe = Scribe::new(access(&server.base, limits()));
    let (session, mut peer) = open(scribe, transcriber_spec(), server, async |peer| {
        peer.text(r#"{"message_type":"session_started","session_id":"x"}"#)
            .await;
    })
    .await;
    let mut session = session.unwrap();
    let audio = Hear::Audio(Bytes::from(vec![0xFF; 160]));
    session.input.send(audio).await.unwrap();
    session.input.send(Hear::Finish).await.unwrap();
    // The frame that was held back, then the commit.
    let frame = peer.json().await;
    assert_eq!(frame["audio_base_64"].as_str().unwrap().len(), 216);
    assert_eq!(peer.json().await["commit"], true);
    for text in ["bye", ""] {
        let committed = json!({"message_type": "committed_transcript", "text": text});
        peer.text(&committed.to_string()).await;
    }
    let (text, why) = ("bye".to_owned(), HeardEnd::SpeechFinal);
    assert_eq!(hear(&mut session).await, Heard::TurnEnd { text, why });
    assert_eq!(hear(&mut session).await, Heard::SpeechEnded);
    assert_eq!(hear(&mut session).await, Heard::Billed(0.02));
    assert!(session.output.recv().await.is_none());
    assert_eq!(peer.next().await, None);
}
