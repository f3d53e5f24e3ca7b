//! ElevenLabs against a scripted server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::*;
use crate::testing::{LONG, Peer, RawServer, SocketServer, left_behind, response, tls};

fn spec() -> SynthesizerSpec {
    SynthesizerSpec {
        model: "eleven_turbo_v2_5".into(),
        voice_id: "V9/x".into(),
        language: "hi-IN".into(),
        speed: 1.0,
        options: serde_json::from_value(json!({"stability": 0.4, "enable_logging": false}))
            .unwrap(),
        format: Format::Mulaw8k,
    }
}

fn limits() -> Limits {
    Limits {
        connect: LONG,
        write: LONG,
        keep_alive: LONG,
        audio: LONG,
        final_after_all: LONG,
        final_after_some: LONG,
        close: LONG,
    }
}

const SHORT: Duration = Duration::from_millis(30);

type Live = Session<Speak, Spoken>;

fn elevenlabs(base: &str, limits: Limits) -> Elevenlabs {
    Elevenlabs::new(base, SecretString::from("sesame"), tls(), limits)
}

async fn open(limits: Limits) -> (Live, Peer, SocketServer) {
    let mut server = SocketServer::start().await;
    let session = elevenlabs(&server.base, limits)
        .open(&spec())
        .await
        .unwrap();
    let peer = server.peer().await;
    (session, peer, server)
}

async fn refused(spec: &SynthesizerSpec, status: &str, body: &str) -> Error {
    let server = RawServer::answering(response(status, "", body)).await;
    elevenlabs(&server.base, limits())
        .open(spec)
        .await
        .unwrap_err()
}

async fn say(session: &Live, context: u32, piece: u32, text: &str, last: bool) {
    let text = text.to_owned();
    session
        .input
        .send(Speak::Text {
            context,
            piece,
            text,
            last,
        })
        .await
        .unwrap();
}

async fn hear(session: &mut Live) -> Spoken {
    session.output.recv().await.unwrap().unwrap()
}

async fn failure(session: &mut Live) -> Error {
    loop {
        match session
            .output
            .recv()
            .await
            .expect("the session ended without an error")
        {
            Ok(_) => {}
            Err(error) => {
                assert!(session.output.recv().await.is_none());
                return error;
            }
        }
    }
}

/// Audio of 50 ms a character, with its times.
fn aligned(id: &str, text: &str) -> String {
    let count = text.chars().count();
    json!({"audio": STANDARD.encode(vec![1; count * 400]), "isFinal": null, "normalizedAlignment": null, "contextId": id,
        "alignment": {
            "chars": text.chars().map(String::from).collect::<Vec<_>>(),
            "charStartTimesMs": (0..count).map(|index| index * 50).collect::<Vec<_>>(),
            "charDurationsMs": vec![50; count],
        }})
    .to_string()
}

fn plain(id: &str) -> String {
    json!({"audio": STANDARD.encode([1; 80]), "contextId": id}).to_string()
}

fn last(id: &str) -> String {
    json!({"isFinal": true, "contextId": id}).to_string()
}

/// Takes the messages that open a context and say one piece.
async fn takes(peer: &mut Peer, id: &str, text: &str) {
    let begin = peer.json().await;
    assert_eq!(
        (&begin["text"], &begin["context_id"]),
        (&json!(" "), &json!(id))
    );
    assert_eq!(begin["voice_settings"]["stability"], 0.4);
    assert_eq!(
        peer.json().await,
        json!({"text": text, "context_id": id, "flush": true})
    );
}

fn closes(id: &str) -> Value {
    json!({"context_id": id, "close_context": true})
}

#[tokio::test]
async fn an_utterance_from_text_to_done() {
    let (mut session, mut peer, _server) = open(limits()).await;
    assert_eq!(
        peer.path,
        "/v1/text-to-speech/V9%2Fx/multi-stream-input?model_id=eleven_turbo_v2_5&output_format=ulaw_8000\
         &inactivity_timeout=180&sync_alignment=true&language_code=hi&enable_logging=false"
    );
    assert_eq!(peer.headers["xi-api-key"], "sesame");

    say(&session, 3, 0, "Hi you.", false).await;
    takes(&mut peer, "c1", "Hi you. ").await;
    peer.text(&aligned("c1", "Hi you. ")).await;
    match hear(&mut session).await {
        Spoken::Audio {
            context: 3,
            piece: 0,
            audio,
            words,
        } => {
            assert_eq!(audio.len(), 3200);
            assert_eq!(
                words,
                [("Hi".to_owned(), 0, 100), ("you.".to_owned(), 150, 350)]
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        hear(&mut session).await,
        Spoken::PieceDone {
            context: 3,
            piece: 0
        }
    );

    say(&session, 3, 1, "Bye.", false).await;
    assert_eq!(peer.json().await["text"], "Bye. ");
    say(&session, 3, 2, "", true).await;
    assert_eq!(peer.json().await, closes("c1"));
    peer.text("garbage").await;
    peer.text(r#"{"novelty":true}"#).await;
    peer.text(&aligned("c1", "Bye.")).await;
    peer.text(&last("c1")).await;
    assert!(matches!(
        hear(&mut session).await,
        Spoken::Audio { piece: 1, .. }
    ));
    for piece in [1, 2] {
        assert_eq!(
            hear(&mut session).await,
            Spoken::PieceDone { context: 3, piece }
        );
    }
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 3 });

    let Session {
        input,
        mut output,
        task: _task,
    } = session;
    drop(input);
    assert_eq!(peer.json().await, json!({"close_socket": true}));
    peer.close(1000, "").await;
    assert!(output.recv().await.is_none());
}

#[tokio::test]
async fn a_cancelled_utterance_is_never_heard_again() {
    let (mut session, mut peer, _server) = open(limits()).await;
    say(&session, 1, 0, "One.", false).await;
    takes(&mut peer, "c1", "One. ").await;
    session
        .input
        .send(Speak::Cancel { context: 1 })
        .await
        .unwrap();
    assert_eq!(peer.json().await, closes("c1"));
    say(&session, 1, 1, "Late.", true).await;
    say(&session, 2, 0, "Two.", true).await;
    takes(&mut peer, "c2", "Two. ").await;
    assert_eq!(peer.json().await, closes("c2"));
    peer.text(&aligned("c1", "One.")).await;
    peer.text(&last("c1")).await;
    peer.text(&aligned("c2", "Two.")).await;
    assert!(matches!(
        hear(&mut session).await,
        Spoken::Audio {
            context: 2,
            piece: 0,
            ..
        }
    ));
}

#[tokio::test]
async fn an_utterance_without_a_word_is_done_at_once() {
    let (mut session, mut peer, _server) = open(limits()).await;
    say(&session, 1, 0, "  ", false).await;
    say(&session, 1, 1, "", true).await;
    for piece in [0, 1] {
        assert_eq!(
            hear(&mut session).await,
            Spoken::PieceDone { context: 1, piece }
        );
    }
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 1 });
    say(&session, 2, 0, "Hi.", false).await;
    takes(&mut peer, "c1", "Hi. ").await;
}

#[tokio::test]
async fn a_final_that_is_lost_is_not_waited_for() {
    let after_all = Limits {
        final_after_all: SHORT,
        ..limits()
    };
    let (mut session, mut peer, _server) = open(after_all).await;
    say(&session, 1, 0, "Hi.", true).await;
    takes(&mut peer, "c1", "Hi. ").await;
    peer.text(&aligned("c1", "Hi.")).await;
    assert!(matches!(hear(&mut session).await, Spoken::Audio { .. }));
    assert_eq!(
        hear(&mut session).await,
        Spoken::PieceDone {
            context: 1,
            piece: 0
        }
    );
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 1 });

    let after_some = Limits {
        final_after_some: SHORT,
        ..limits()
    };
    let (mut session, mut peer, _server) = open(after_some).await;
    say(&session, 1, 0, "Hi.", true).await;
    takes(&mut peer, "c1", "Hi. ").await;
    peer.text(&plain("c1")).await;
    assert!(matches!(hear(&mut session).await, Spoken::Audio { .. }));
    assert_eq!(
        hear(&mut session).await,
        Spoken::PieceDone {
            context: 1,
            piece: 0
        }
    );
    assert_eq!(hear(&mut session).await, Spoken::Done { context: 1 });
}

#[tokio::test]
async fn text_that_brings_no_audio_is_a_timeout() {
    let short = Limits {
        audio: SHORT,
        ..limits()
    };
    let (mut session, mut peer, _server) = open(short).await;
    say(&session, 1, 0, "Hi.", false).await;
    takes(&mut peer, "c1", "Hi. ").await;
    let error = failure(&mut session).await;
    assert_eq!(error.kind, ErrorKind::Timeout);
    assert_eq!(
        error.to_string(),
        "elevenlabs synthesizer: no answer within 30 ms"
    );
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn pauses_are_bridged_in_every_open_context() {
    let short = Limits {
        keep_alive: SHORT,
        ..limits()
    };
    let (mut session, mut peer, _server) = open(short).await;
    assert_eq!(peer.json().await, json!({"text": ""}));
    say(&session, 1, 0, "Hi.", false).await;
    loop {
        let message = peer.json().await;
        if message == json!({"text": "Hi. ", "context_id": "c1", "flush": true}) {
            break;
        }
    }
    assert_eq!(peer.json().await, json!({"text": "", "context_id": "c1"}));
    peer.text(&aligned("c1", "Hi.")).await;
    assert!(matches!(hear(&mut session).await, Spoken::Audio { .. }));
}

#[tokio::test]
async fn what_was_begun_is_finished_when_no_more_input_comes() {
    let (session, mut peer, _server) = open(limits()).await;
    say(&session, 1, 0, "Hi.", false).await;
    takes(&mut peer, "c1", "Hi. ").await;
    let Session {
        input,
        mut output,
        task: _task,
    } = session;
    drop(input);
    assert_eq!(peer.json().await, closes("c1"));
    peer.text(&aligned("c1", "Hi.")).await;
    peer.text(&last("c1")).await;
    assert_eq!(peer.json().await, json!({"close_socket": true}));
    let mut facts = Vec::new();
    peer.close(1000, "").await;
    while let Some(fact) = output.recv().await {
        facts.push(fact.unwrap());
    }
    assert_eq!(facts.last(), Some(&Spoken::Done { context: 1 }));
}

#[tokio::test]
async fn dropping_the_session_closes_at_the_vendor() {
    let (session, mut peer, _server) = open(limits()).await;
    say(&session, 1, 0, "Hi.", false).await;
    takes(&mut peer, "c1", "Hi. ").await;
    drop(session);
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let error = refused(&spec(), "401 Unauthorized", "").await;
    assert_eq!(
        error.to_string(),
        "elevenlabs synthesizer: authentication failed (check ELEVENLABS_API_KEY)"
    );
    let quota = r#"{"detail":{"status":"quota_exceeded","message":"no credits"}}"#;
    assert_eq!(
        refused(&spec(), "401 Unauthorized", quota).await.kind,
        ErrorKind::Quota
    );
    let busy = r#"{"detail":{"status":"system_busy","message":"later"}}"#;
    assert_eq!(
        refused(&spec(), "429 Too Many Requests", busy).await.kind,
        ErrorKind::RateLimited
    );
    assert_eq!(
        refused(&spec(), "500 Oops", "").await.kind,
        ErrorKind::Server
    );
    let odd = SynthesizerSpec {
        format: Format::Pcm16 { rate: 11_025 },
        ..spec()
    };
    assert!(
        refused(&odd, "500 Oops", "")
            .await
            .to_string()
            .contains("11025 Hz")
    );
}

#[tokio::test]
async fn failures_in_the_session_are_told_apart() {
    for (message, kind) in [
        (
            r#"{"message":"You have 0 credits","error":"quota_exceeded","code":1008}"#,
            ErrorKind::Quota,
        ),
        (
            r#"{"message":"x","error":"voice_id_does_not_exist","code":1008}"#,
            ErrorKind::BadRequest,
        ),
        (
            r#"{"message":"Could not parse input message","error":"invalid_input_message","code":1008}"#,
            ErrorKind::BadRequest,
        ),
        (
            r#"{"message":"x","error":"input_timeout_exceeded","code":1008}"#,
            ErrorKind::Dropped,
        ),
    ] {
        let (mut session, mut peer, _server) = open(limits()).await;
        peer.text(message).await;
        assert_eq!(failure(&mut session).await.kind, kind, "{message}");
    }
    for (code, reason, kind) in [
        (1008, "invalid_api_key", ErrorKind::Auth),
        (1011, "", ErrorKind::Dropped),
        (1013, "", ErrorKind::RateLimited),
    ] {
        let (mut session, peer, _server) = open(limits()).await;
        peer.close(code, reason).await;
        assert_eq!(failure(&mut session).await.kind, kind, "{code}");
    }
    let (mut session, peer, _server) = open(limits()).await;
    peer.reset();
    assert_eq!(failure(&mut session).await.kind, ErrorKind::Dropped);
}

#[tokio::test] // wire-providers.md §4.2
async fn why_the_vendor_left_is_told_though_it_takes_no_more() {
    let words = json!({"message": "no more", "error": "quota_exceeded", "code": 1008}).to_string();
    let socket = left_behind(ORIGIN, &words).await;
    let (input, pieces) = mpsc::channel(INPUT_PIECES);
    let (facts, mut output) = mpsc::channel(OUTPUT_FACTS);
    // What is to be said goes before what is to be read.
    let say = Speak::Text {
        context: 1,
        piece: 0,
        text: "Hello.".into(),
        last: true,
    };
    input.send(say).await.unwrap();
    let speaking = session::Speaking::new(socket, pieces, facts, &spec(), limits());
    speaking.run().await;
    let error = output.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::Quota);
}
