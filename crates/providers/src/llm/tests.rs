//! Answers of a scripted server, streamed and failed in every way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use std::time::Duration;

use futures_util::StreamExt;
use secrecy::SecretString;

use super::*;
use crate::{
    ErrorKind,
    testing::{LONG, RawServer, ask, plain_server, read_request, response, tls},
};

const HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
const SHORT: Duration = Duration::from_millis(30);

fn limits() -> Limits {
    Limits {
        first_token: LONG,
        between: LONG,
        total: LONG,
        usage: LONG,
    }
}

fn server(base: &str, limits: Limits) -> Server {
    let http = crate::http::client(&tls()).unwrap();
    let base = format!("{base}/v1");
    let key = Some(SecretString::from("sesame"));
    let openai = dialect("openai").unwrap();
    Server::new(openai, &base, "m", key, http, limits).unwrap()
}

async fn answer(raw: String, limits: Limits) -> Vec<Result<Delta, Error>> {
    let fake = RawServer::answering(raw).await;
    server(&fake.base, limits)
        .answer(ask("gpt-4.1-mini"))
        .collect()
        .await
}

fn events(events: &[&str]) -> String {
    events
        .iter()
        .map(|event| format!("data: {event}\n\n"))
        .collect()
}

async fn good(events: &str) -> Vec<Delta> {
    let all = answer(format!("{HEAD}{events}"), limits()).await;
    all.into_iter().map(Result::unwrap).collect()
}

/// What came before the error that ended the stream, and the error.
async fn bad(raw: String, limits: Limits) -> (Vec<Delta>, Error) {
    let mut all = answer(raw, limits).await;
    let error = all.pop().unwrap().unwrap_err();
    (all.into_iter().map(Result::unwrap).collect(), error)
}

/// Sends this and then nothing until the client leaves.
async fn stalling(text: &'static str) -> RawServer {
    RawServer::start(Box::new(move |mut stream, _| {
        Box::pin(async move {
            stream.write_all(text.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0]).await;
        })
    }))
    .await
}

fn text(text: &str) -> Delta {
    Delta::Text(text.into())
}

fn done(finish: &'static str, input: u64, output: u64, cached: u64, estimated: bool) -> Delta {
    Delta::Done {
        finish,
        input,
        output,
        cached,
        estimated,
    }
}

const HI: &str =
    r#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}],"usage":null}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":900,"completion_tokens":40,"prompt_tokens_details":{"cached_tokens":768}}}"#;

#[tokio::test]
async fn text_and_its_bill() {
    let role = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"obfuscation":"a9X"}"#;
    let there = r#"{"choices":[{"delta":{"content":" there"}}],"service_tier":"on_demand"}"#;
    let stream = events(&[role, HI, there, STOP, USAGE, "[DONE]"]);
    let expected = [
        text("Hi"),
        text(" there"),
        done("stop", 900, 40, 768, false),
    ];
    assert_eq!(good(&stream).await, expected);
    let busy = format!(
        ": PROCESSING\r\n\r\n{}event: keepalive\ndata: {{}}\n\n",
        stream.replace('\n', "\r\n")
    );
    assert_eq!(good(&busy).await, expected);
}

#[tokio::test]
async fn the_request_carries_key_and_body() {
    let fake = RawServer::start(Box::new(|mut stream, request| {
        Box::pin(async move {
            assert!(
                request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
                "{request}"
            );
            assert!(
                request.contains("authorization: Bearer sesame\r\n"),
                "{request}"
            );
            assert!(request.contains("\"stream\":true"), "{request}");
            let body = format!("{HEAD}{}", events(&[HI, STOP, "[DONE]"]));
            stream.write_all(body.as_bytes()).await.unwrap();
        })
    }))
    .await;
    let all: Vec<_> = server(&fake.base, limits())
        .answer(ask("gpt-4.1-mini"))
        .collect()
        .await;
    assert!(all.last().unwrap().is_ok());
}

#[tokio::test]
async fn without_a_key_no_authorization_is_sent() {
    let fake = RawServer::start(Box::new(|mut stream, request| {
        Box::pin(async move {
            let authorized = request.to_ascii_lowercase().contains("authorization");
            let body = response(
                if authorized {
                    "401 Unauthorized"
                } else {
                    "418 Teapot"
                },
                "",
                "{}",
            );
            stream.write_all(body.as_bytes()).await.unwrap();
        })
    }))
    .await;
    let http = crate::http::client(&tls()).unwrap();
    let ollama = dialect("ollama").unwrap();
    let ollama = Server::new(ollama, &fake.base, "m", None, http, limits()).unwrap();
    let all: Vec<_> = ollama.answer(ask("m")).collect().await;
    assert_eq!(all[0].as_ref().unwrap_err().kind, ErrorKind::BadRequest);
}

#[tokio::test]
async fn tool_calls_come_whole_and_before_the_end() {
    let stream = events(&[
        HI,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_9","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}}]}}]}"#,
        // Some servers say `stop`.
        STOP,
        "[DONE]",
    ]);
    let called = Called {
        id: "call_9".into(),
        name: "f".into(),
        arguments: "{\"a\":1}".into(),
    };
    let all = good(&stream).await;
    let calling = Delta::Calling("f".into());
    assert_eq!(all[..3], [text("Hi"), calling, Delta::Calls(vec![called])]);
    assert!(matches!(
        all[3],
        Delta::Done {
            finish: "tool_calls",
            estimated: true,
            ..
        }
    ));
}

#[tokio::test]
async fn thoughts_are_told_apart_from_text() {
    let thought = |field: &str| format!(r#"{{"choices":[{{"delta":{{"{field}":"hm"}}}}]}}"#);
    let stream = events(&[
        &thought("reasoning_content"),
        &thought("reasoning"),
        HI,
        STOP,
        USAGE,
    ]);
    let hm = Delta::Reasoning("hm".into());
    assert_eq!(good(&stream).await[..3], [hm.clone(), hm, text("Hi")]);
}

#[tokio::test]
async fn an_answer_without_a_bill_is_estimated() {
    // 11 characters asked, 2 answered; [DONE] is missing too.
    let odd = r#"{"choices":[{"delta":{},"finish_reason":"eos"}]}"#;
    assert_eq!(
        good(&events(&[HI, odd])).await,
        [text("Hi"), done("stop", 3, 1, 0, true)]
    );
    assert_eq!(
        good(&events(&[HI, "[DONE]"])).await,
        [text("Hi"), done("stop", 3, 1, 0, true)]
    );
}

#[tokio::test]
async fn other_ends_are_named() {
    for (reason, finish) in [
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("function_call", "tool_calls"),
    ] {
        let end = format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{reason}"}}]}}"#);
        assert_eq!(
            good(&events(&[&end, USAGE, "[DONE]"])).await,
            [done(finish, 900, 40, 768, false)]
        );
    }
}

#[tokio::test]
async fn garbage_passes_by() {
    let stream = events(&[
        "{",
        "nonsense",
        "[]",
        r#"{"choices":"x"}"#,
        HI,
        STOP,
        USAGE,
        "[DONE]",
    ]);
    assert_eq!(
        good(&stream).await,
        [text("Hi"), done("stop", 900, 40, 768, false)]
    );
}

#[tokio::test]
async fn an_answer_cut_off_is_dropped() {
    let (before, error) = bad(format!("{HEAD}{}", events(&[HI])), limits()).await;
    assert_eq!((before, error.kind), (vec![text("Hi")], ErrorKind::Dropped));
    let chunked = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{}\r\n",
        events(&[HI]).len(),
        events(&[HI])
    );
    let (before, error) = bad(chunked, limits()).await;
    assert_eq!((before, error.kind), (vec![text("Hi")], ErrorKind::Dropped));
}

#[tokio::test]
async fn a_failure_in_mid_stream_ends_it() {
    let error = r#"{"error":{"code":502,"message":"upstream"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]}"#;
    let (before, error) = bad(format!("{HEAD}{}", events(&[HI, error, HI])), limits()).await;
    assert_eq!((before, error.kind), (vec![text("Hi")], ErrorKind::Server));
    let top_level = r#"{"object":"error","message":"oops","code":500}"#;
    let (_, error) = bad(format!("{HEAD}{}", events(&[top_level])), limits()).await;
    assert_eq!(error.kind, ErrorKind::Server);
    let refusal = r#"{"choices":[{"delta":{"refusal":"I can't"}}]}"#;
    let (_, error) = bad(format!("{HEAD}{}", events(&[refusal])), limits()).await;
    assert_eq!(error.kind, ErrorKind::Content);
}

#[tokio::test]
async fn refusals_are_told_apart() {
    let refused = async |status: &str, headers: &str, body: &str| {
        bad(response(status, headers, body), limits()).await.1
    };
    let error = refused(
        "401 Unauthorized",
        "",
        r#"{"error":{"message":"Incorrect API key provided: sk-x","code":"invalid_api_key"}}"#,
    )
    .await;
    assert_eq!(
        error.to_string(),
        "openai llm: authentication failed (check OPENAI_API_KEY)"
    );
    let error = refused(
        "429 Too Many Requests",
        "retry-after-ms: 700\r\n",
        r#"{"error":{"code":"rate_limit_exceeded"}}"#,
    )
    .await;
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::RateLimited, Some(Duration::from_millis(700)))
    );
    let error = refused(
        "429 Too Many Requests",
        "",
        r#"{"error":{"code":"insufficient_quota"}}"#,
    )
    .await;
    assert_eq!(error.kind, ErrorKind::Quota);
    let error = refused("503 Busy", "retry-after: 1\r\n", "<html>").await;
    assert_eq!(
        (error.kind, error.retry_after),
        (ErrorKind::Server, Some(Duration::from_secs(1)))
    );
    assert_eq!(
        refused("302 Found", "location: http://elsewhere.example/\r\n", "")
            .await
            .kind,
        ErrorKind::BadRequest
    );
}

#[tokio::test]
async fn an_answer_in_one_piece_is_taken_too() {
    let json = "content-type: application/json\r\n";
    let whole = r#"{"choices":[{"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":1}}"#;
    let all = answer(response("200 OK", json, whole), limits()).await;
    let all: Vec<_> = all.into_iter().map(Result::unwrap).collect();
    assert_eq!(all, [text("Hi"), done("stop", 5, 1, 0, false)]);
    let (_, error) = bad(
        response("200 OK", json, r#"{"error":{"message":"no"}}"#),
        limits(),
    )
    .await;
    assert_eq!(error.kind, ErrorKind::Server);
    let (_, error) = bad(response("200 OK", json, "{}"), limits()).await;
    assert_eq!(error.kind, ErrorKind::Dropped);
}

#[tokio::test]
async fn a_server_that_stalls_is_left() {
    let stalled = async |script: &'static str, limits: Limits| {
        let fake = stalling(script).await;
        let all: Vec<_> = server(&fake.base, limits).answer(ask("m")).collect().await;
        all
    };
    let kind = |all: &[Result<Delta, Error>]| all.last().unwrap().as_ref().unwrap_err().kind;
    let first = Limits {
        first_token: SHORT,
        ..limits()
    };
    // Not even headers; headers only; comments and a role are no tokens.
    for script in [
        "",
        HEAD,
        concat!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
            ": wait\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"
        ),
    ] {
        assert_eq!(
            kind(&stalled(script, first).await),
            ErrorKind::Timeout,
            "{script}"
        );
    }
    let fake = stalling(HEAD).await;
    let mut thinks = ask("m");
    thinks.config.reasoning_effort = Some("high".into());
    let all: Vec<_> = server(&fake.base, first).answer(thinks).collect().await;
    let error = all[0].as_ref().unwrap_err();
    assert_eq!(error.cause, "no answer within 90 ms");
    const ONE: &str = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n"
    );
    let all = stalled(
        ONE,
        Limits {
            between: SHORT,
            ..limits()
        },
    )
    .await;
    assert_eq!((all.len(), kind(&all)), (2, ErrorKind::Timeout));
    let all = stalled(
        ONE,
        Limits {
            total: SHORT,
            ..limits()
        },
    )
    .await;
    assert_eq!(kind(&all), ErrorKind::Timeout);
    const FINISHED: &str = concat!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\n"
    );
    let all = stalled(
        FINISHED,
        Limits {
            usage: SHORT,
            ..limits()
        },
    )
    .await;
    assert!(matches!(
        all.last().unwrap(),
        Ok(Delta::Done {
            estimated: true,
            ..
        })
    ));
}

#[tokio::test]
async fn no_server_is_no_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let all: Vec<_> = server(&base, limits()).answer(ask("m")).collect().await;
    assert_eq!(all[0].as_ref().unwrap_err().kind, ErrorKind::Connect);
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn tls_with_a_server_that_knows_none_is_no_connection() {
    let (address, _plain) = plain_server().await;
    let base = format!("https://{address}");
    let all: Vec<_> = server(&base, limits()).answer(ask("m")).collect().await;
    assert_eq!(all[0].as_ref().unwrap_err().kind, ErrorKind::Connect);
}

#[tokio::test]
async fn two_resets_are_a_lost_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let resets = tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            #[allow(deprecated)] // closing with RST is the point
            stream.set_linger(Some(Duration::ZERO)).unwrap();
        }
    });
    let all: Vec<_> = server(&base, limits()).answer(ask("m")).collect().await;
    assert_eq!(all[0].as_ref().unwrap_err().kind, ErrorKind::Dropped);
    resets.await.unwrap();
}

#[tokio::test]
async fn dropping_the_stream_stops_the_server() {
    let (gone, left) = tokio::sync::oneshot::channel();
    let fake = RawServer::start(Box::new(|mut stream, _| {
        Box::pin(async move {
            stream
                .write_all(format!("{HEAD}{}", events(&[HI])).as_bytes())
                .await
                .unwrap();
            let _ = gone.send(stream.read(&mut [0]).await.unwrap_or(0));
        })
    }))
    .await;
    let mut stream = server(&fake.base, limits()).answer(ask("m"));
    assert_eq!(stream.next().await.unwrap().unwrap(), text("Hi"));
    drop(stream);
    assert_eq!(left.await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_serves_the_next_answer_too() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let fake = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            let body = events(&[HI, STOP, USAGE, "[DONE]"]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let reply = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    let server = server(&base, limits());
    for _ in 0..2 {
        let all: Vec<_> = server.answer(ask("m")).collect().await;
        assert!(all.last().unwrap().is_ok());
    }
    fake.await.unwrap();
}
