//! A proxy that answers as told.

#![allow(clippy::unwrap_used)]

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};

use super::*;

/// What it was asked, when it answers so.
async fn asked(answer: &str, user: &str) -> (Vec<String>, io::Result<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{user}{}", listener.local_addr().unwrap());
    let rules = Matcher::builder()
        .all(address)
        .no("intranet.example")
        .build();
    let target = "https://api.deepgram.com:443/".parse::<Uri>().unwrap();
    assert!(
        rules
            .intercept(&"https://stt.intranet.example/".parse().unwrap())
            .is_none()
    );
    let proxy = rules.intercept(&target).unwrap();
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        lines
    };
    tokio::join!(serving, through(&proxy, target))
}

#[tokio::test]
async fn a_tunnel_is_opened_by_name_and_with_the_proxys_password() {
    let (lines, stream) = asked("HTTP/1.1 200 OK\r\n\r\n", "ann:secret@").await;
    assert_eq!(lines[0], "CONNECT api.deepgram.com:443 HTTP/1.1");
    assert_eq!(lines[1], "Host: api.deepgram.com:443");
    assert_eq!(lines[2], "Proxy-Authorization: Basic YW5uOnNlY3JldA==");
    // The proxy has left; nothing of what it said is taken for the vendor's.
    let mut rest = Vec::new();
    stream.unwrap().read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test]
async fn a_proxy_that_refuses_says_why() {
    let refused = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
    let (lines, stream) = asked(refused, "").await;
    assert_eq!(lines.len(), 2, "{lines:?}");
    let error = stream.unwrap_err().to_string();
    assert!(error.contains("proxy authorization required"), "{error}");
}

#[tokio::test]
async fn a_proxy_of_another_kind_is_refused() {
    let rules = Matcher::builder().all("socks5://localhost:1080").build();
    let target = "https://api.deepgram.com:443/".parse::<Uri>().unwrap();
    let proxy = rules.intercept(&target).unwrap();
    let error = through(&proxy, target).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
}
