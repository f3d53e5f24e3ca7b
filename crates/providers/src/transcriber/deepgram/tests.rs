//! Deepgram against a scripted server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::{
    ErrorKind, HeardEnd,
    testing::{LONG, Peer, RawServer, SocketServer, plain_server, response, tls},
};

fn spec() -> TranscriberSpec {
    TranscriberSpec {
        model: "nova-3".into(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: vec!["Bolo".into(), " Plivo one ".into(), String::new()],
        format: Format::Mulaw8k,
        execution: "4c06b4d1-4096-4561-919a-4f94539c8d4a".into(),
    }
}

fn limits() -> Limits {
    Limits {
        connect: LONG,
        usable: LONG,
        write: LONG,
        keep_alive: LONG,
        close: LONG,
    }
}

fn deepgram(base: &str, limits: Limits) -> Deepgram {
    Deepgram::new(base, SecretString::from("sesame"), tls(), limits, None)
}

type Live = Session<Hear, Heard>;

async fn open(limits: Limits) -> (Live, Peer, SocketServer) {
    let mut server = SocketServer::start().await;
    let session = deepgram(&server.base, limits).open(&spec()).await.unwrap();
    let peer = server.peer().await;
    (session, peer, server)
}

async fn refused(status: &str, headers: &str, body: &str) -> Error {
    let server = RawServer::answering(response(status, headers, body)).await;
    deepgram(&server.base, limits())
        .open(&spec())
        .await
        .unwrap_err()
}

async fn hear(session: &mut Live) -> Heard {
    session.output.recv().await.unwrap().unwrap()
}

/// Everything to the session's end, which is this error.
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

fn audio(count: usize) -> Hear {
    Hear::Audio(Bytes::from(vec![0xFF; count]))
}

fn results(text: &str, is_final: bool, speech_final: bool) -> String {
    serde_json::json!({"type": "Results", "is_final": is_final, "speech_final": speech_final,
        "channel": {"alternatives": [{"transcript": text}]}})
    .to_string()
}

#[tokio::test]
async fn a_session_from_the_first_word_to_the_bill() {
    let (mut session, mut peer, _server) = open(limits()).await;
    assert_eq!(
        peer.path,
        "/v1/listen?model=nova-3&language=en&encoding=mulaw&sample_rate=8000&channels=1&interim_results=true\
         &endpointing=250&utterance_end_ms=1000&vad_events=true&smart_format=true&filler_words=true\
         &keyterm=Bolo&keyterm=Plivo+one&extra=run_id%3A4c06b4d1-4096-4561-919a-4f94539c8d4a\
         &tag=4c06b4d1-4096-4561-919a-4f94539c8d4a"
    );
    assert_eq!(peer.headers["authorization"], "Token sesame");

    session.input.send(audio(160)).await.unwrap();
    session.input.send(audio(0)).await.unwrap();
    session.input.send(audio(40)).await.unwrap();
    for count in [160, 40] {
        assert_eq!(peer.next().await, Some(Message::binary(vec![0xFF; count])));
    }
    peer.text(r#"{"type":"SpeechStarted","timestamp":0.1}"#)
        .await;
    peer.text("garbage").await;
    peer.text(r#"{"type":"Novelty"}"#).await;
    peer.text(&results("hello", false, false)).await;
    peer.text(&results("hello there", true, true)).await;
    assert_eq!(hear(&mut session).await, Heard::SpeechStarted);
    assert_eq!(hear(&mut session).await, Heard::Interim("hello".into()));
    let end = Heard::TurnEnd {
        text: "hello there".into(),
        why: HeardEnd::SpeechFinal,
    };
    assert_eq!(hear(&mut session).await, end);

    session.input.send(Hear::Finish).await.unwrap();
    assert_eq!(
        peer.json().await,
        serde_json::json!({"type": "CloseStream"})
    );
    peer.text(&results("bye", true, false)).await;
    peer.text(r#"{"type":"Metadata","duration":12.5}"#).await;
    peer.close(1000, "").await;
    assert_eq!(hear(&mut session).await, Heard::Final("bye".into()));
    assert_eq!(hear(&mut session).await, Heard::Billed(12.5));
    assert!(session.output.recv().await.is_none());
}

#[tokio::test]
async fn either_family_of_models_is_told_of_the_call_and_of_an_opt_out() {
    let settings = bolo_agent::Flux {
        eot_threshold: 0.7,
        eager_eot_threshold: None,
        eot_timeout_ms: 500,
        language_hints: Vec::new(),
    };
    for flux in [None, Some(settings)] {
        let mut server = SocketServer::start().await;
        let key = SecretString::from("sesame");
        let deepgram = Deepgram::new(&server.base, key, tls(), limits(), flux).opted_out(true);
        let spec = spec();
        let (session, peer) = tokio::join!(deepgram.open(&spec), async {
            let mut peer = server.peer().await;
            peer.text(r#"{"type":"Connected","sequence_id":0}"#).await;
            peer
        });
        session.unwrap();
        let wishes = "&mip_opt_out=true&tag=4c06b4d1-4096-4561-919a-4f94539c8d4a";
        assert!(peer.path.ends_with(wishes), "{}", peer.path);
    }
}

#[tokio::test]
async fn the_query_follows_model_language_and_format() {
    let spec = TranscriberSpec {
        model: "nova-2-phonecall".into(),
        language: "multi-hi".into(),
        endpointing_ms: 1500,
        format: Format::Pcm16 { rate: 16_000 },
        ..spec()
    };
    let url = listen_url("wss://eu.example/dg/", &spec).unwrap();
    assert_eq!(url.path(), "/dg/v1/listen");
    let query: Vec<_> = url.query_pairs().into_owned().collect();
    let get = |name: &str| {
        query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(
        (get("language"), get("filler_words")),
        (Some("multi"), None)
    );
    assert_eq!(
        (get("encoding"), get("sample_rate")),
        (Some("linear16"), Some("16000"))
    );
    assert_eq!(
        (get("endpointing"), get("utterance_end_ms")),
        (Some("1500"), Some("1500"))
    );
    assert_eq!((get("keywords"), get("keyterm")), (Some("Bolo"), None));
    let id = format!("run_id:{}", spec.execution);
    assert_eq!(get("extra"), Some(id.as_str()));
}

#[tokio::test]
async fn silence_is_bridged_with_keep_alives() {
    let short = Limits {
        keep_alive: Duration::from_millis(20),
        ..limits()
    };
    let (_session, mut peer, _server) = open(short).await;
    for _ in 0..2 {
        assert_eq!(peer.json().await, serde_json::json!({"type": "KeepAlive"}));
    }
}

#[tokio::test]
async fn dropping_the_session_closes_at_the_vendor() {
    let (session, mut peer, _server) = open(limits()).await;
    session.input.send(audio(160)).await.unwrap();
    assert!(peer.next().await.is_some());
    drop(session);
    assert_eq!(peer.next().await, None);
}

#[tokio::test]
async fn dropping_the_input_alone_finishes() {
    let (session, mut peer, _server) = open(limits()).await;
    let Session {
        input,
        mut output,
        task: _task,
    } = session;
    drop(input);
    assert_eq!(
        peer.json().await,
        serde_json::json!({"type": "CloseStream"})
    );
    peer.close(1000, "").await;
    assert_eq!(output.recv().await.unwrap().unwrap(), Heard::Billed(0.0));
    assert!(output.recv().await.is_none());
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let invalid =
        r#"{"err_code":"INVALID_AUTH","err_msg":"Invalid credentials.","request_id":"uuid"}"#;
    let error = refused("401 Unauthorized", "dg-error: no\r\n", invalid).await;
    assert_eq!(
        error.to_string(),
        "deepgram transcriber: authentication failed (check DEEPGRAM_API_KEY)"
    );
    assert_eq!(error.kind, ErrorKind::Auth);

    let error = refused(
        "402 Payment Required",
        "",
        r#"{"err_code":"ASR_PAYMENT_REQUIRED"}"#,
    )
    .await;
    assert_eq!(error.kind, ErrorKind::Quota);

    let error = refused("429 Too Many Requests", "retry-after: 3\r\n", "{}").await;
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::RateLimited, Some(Duration::from_secs(3)))
    );

    let error = refused(
        "400 Bad Request",
        "",
        r#"{"err_code":"Bad Request","err_msg":"Bad Request: no such model"}"#,
    )
    .await;
    assert_eq!(error.kind, ErrorKind::BadRequest);
    assert!(error.to_string().contains("no such model"), "{error}");

    assert_eq!(
        refused("503 Service Unavailable", "", "<html>").await.kind,
        ErrorKind::Server
    );
}

#[tokio::test]
async fn no_server_and_no_websocket_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("ws://{}", listener.local_addr().unwrap());
    let short = Limits {
        connect: Duration::from_millis(50),
        ..limits()
    };
    // Accepts and says nothing.
    assert_eq!(
        deepgram(&base, short).open(&spec()).await.unwrap_err().kind,
        ErrorKind::Connect
    );
    drop(listener);
    assert_eq!(
        deepgram(&base, limits())
            .open(&spec())
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Connect
    );
    let (address, _plain) = plain_server().await;
    let base = format!("wss://{address}");
    let error = deepgram(&base, limits()).open(&spec()).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Connect,
        "TLS with a server that knows none"
    );
    let server = RawServer::answering("nonsense\r\n\r\n").await;
    assert_eq!(
        deepgram(&server.base, limits())
            .open(&spec())
            .await
            .unwrap_err()
            .kind,
        ErrorKind::Connect
    );
    assert_eq!(
        deepgram("nonsense", limits())
            .open(&spec())
            .await
            .unwrap_err()
            .kind,
        ErrorKind::BadRequest
    );
}

#[tokio::test]
async fn what_was_sent_is_billed_when_the_connection_breaks() {
    let (mut session, mut peer, _server) = open(limits()).await;
    session.input.send(audio(4000)).await.unwrap();
    assert!(peer.next().await.is_some());
    peer.reset();
    assert_eq!(hear(&mut session).await, Heard::Billed(0.5));
    assert_eq!(failure(&mut session).await.kind, ErrorKind::Dropped);
}

#[tokio::test]
async fn closes_are_told_apart() {
    for (code, reason, kind) in [
        (1011, "NET-0001", ErrorKind::Dropped),
        (1011, "NET-0000", ErrorKind::Dropped),
        (1008, "DATA-0000", ErrorKind::BadRequest),
        (1013, "", ErrorKind::RateLimited),
        (1000, "", ErrorKind::Dropped),
    ] {
        let (mut session, peer, _server) = open(limits()).await;
        peer.close(code, reason).await;
        assert_eq!(failure(&mut session).await.kind, kind, "{code} {reason}");
    }
}

#[tokio::test]
async fn an_error_message_ends_the_session() {
    let (mut session, mut peer, _server) = open(limits()).await;
    peer.text(r#"{"type":"Error","variant":"SchemaError","description":"x"}"#)
        .await;
    peer.text(&results("still here", false, false)).await;
    assert_eq!(
        hear(&mut session).await,
        Heard::Interim("still here".into())
    );
    peer.text(r#"{"type":"Error","description":"x"}"#).await;
    assert_eq!(failure(&mut session).await.kind, ErrorKind::Server);
}

#[tokio::test]
async fn a_vendor_that_does_not_finish_is_left() {
    let short = Limits {
        close: Duration::from_millis(20),
        ..limits()
    };
    let (mut session, mut peer, _server) = open(short).await;
    session.input.send(Hear::Finish).await.unwrap();
    assert_eq!(hear(&mut session).await, Heard::Billed(0.0));
    assert!(session.output.recv().await.is_none());
    peer.stall().await;
}
