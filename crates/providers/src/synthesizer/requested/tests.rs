//! What each vendor over HTTP is asked, to the letter, and how requests follow one another.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
};

use super::*;
use crate::{
    synthesizer::{azure::Azure, openai::OpenAi, polly::Polly},
    testing::{LONG, read_request, tls},
};

fn spec(model: &str) -> SynthesizerSpec {
    SynthesizerSpec {
        model: model.into(),
        voice_id: "Mía".into(),
        language: "es-MX".into(),
        speed: 1.0,
        options: serde_json::Map::new(),
        format: Format::Mulaw8k,
    }
}

struct Server {
    listener: TcpListener,
    base: String,
}

impl Server {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, base }
    }

    /// The next request, and its connection.
    async fn request(&self) -> (String, TcpStream) {
        let (mut stream, _) = self.listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        (request, stream)
    }
}

type Live = Session<Speak, Spoken>;

async fn open(vendor: impl Vendor, spec: &SynthesizerSpec) -> Live {
    let http = crate::http::client(&tls()).unwrap();
    Requested::new(vendor, http, LONG).open(spec).await.unwrap()
}

fn openai(server: &Server) -> OpenAi {
    OpenAi {
        base_url: format!("{}/v1", server.base),
        key: SecretString::from("sesame"),
    }
}

#[tokio::test]
async fn a_connection_is_there_before_the_first_text() {
    let server = Server::start().await;
    let http = crate::http::client(&tls()).unwrap();
    let voice = Requested::new(openai(&server), http, LONG);
    let warming = tokio::spawn(voice.warm(&spec("tts-1")));
    let (request, mut stream) = server.request().await;
    assert!(request.starts_with("GET / HTTP/1.1"), "{request}");
    assert!(!request.contains("sesame"), "{request}");
    let nothing = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(nothing.as_bytes()).await.unwrap();
    warming.await.unwrap();
    let session = voice.open(&spec("tts-1")).await.unwrap();
    say(&session, 1, 0, "Hello.", true).await;
    let request = read_request(&mut stream).await;
    assert!(request.starts_with("POST /v1/audio/speech"), "{request}");
}

async fn say(session: &Live, context: u32, piece: u32, text: &str, last: bool) {
    let text = text.to_owned();
    let speak = Speak::Text {
        context,
        piece,
        text,
        last,
    };
    session.input.send(speak).await.unwrap();
}

fn body(request: &str) -> Value {
    serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// Begins an answer: a chunk of this many bytes.
async fn answer(stream: &mut TcpStream, bytes: usize) {
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    chunk(stream, bytes).await;
}

async fn chunk(stream: &mut TcpStream, bytes: usize) {
    let mut chunk = format!("{bytes:x}\r\n").into_bytes();
    chunk.extend(vec![0; bytes]);
    chunk.extend(b"\r\n");
    stream.write_all(&chunk).await.unwrap();
}

#[tokio::test]
async fn openai_is_asked_for_samples() {
    let server = Server::start().await;
    let mut spec = spec("gpt-4o-mini-tts");
    spec.options
        .insert("instructions".into(), "Be kind.".into());
    let session = open(openai(&server), &spec).await;
    say(&session, 1, 0, "Hola.", true).await;
    let (request, _stream) = server.request().await;
    assert!(
        request.starts_with("POST /v1/audio/speech HTTP/1.1\r\n"),
        "{request}"
    );
    assert!(
        request.contains("authorization: Bearer sesame\r\n"),
        "{request}"
    );
    assert_eq!(
        body(&request),
        json!({"model": "gpt-4o-mini-tts", "voice": "Mía", "input": "Hola.",
            "response_format": "pcm", "speed": 1.0, "instructions": "Be kind."})
    );
}

#[tokio::test]
async fn azure_is_asked_in_ssml() {
    let server = Server::start().await;
    let azure = Azure {
        base_url: server.base.clone(),
        key: SecretString::from("sesame"),
    };
    let mut spec = spec("Neural");
    spec.voice_id = "Dalia".into();
    spec.speed = 1.1;
    let session = open(azure, &spec).await;
    say(&session, 1, 0, "1 < 2 & \"3\".", true).await;
    let (request, _stream) = server.request().await;
    assert!(
        request.starts_with("POST /cognitiveservices/v1 HTTP/1.1\r\n"),
        "{request}"
    );
    for header in [
        "ocp-apim-subscription-key: sesame",
        "content-type: application/ssml+xml",
        "x-microsoft-outputformat: raw-8khz-8bit-mono-mulaw",
        "user-agent: bolo/",
    ] {
        assert!(request.contains(header), "{header}: {request}");
    }
    assert!(request.ends_with(
        "<speak version=\"1.0\" xmlns=\"http://www.w3.org/2001/10/synthesis\" xml:lang=\"es-MX\">\
         <voice name=\"es-MX-DaliaNeural\"><prosody rate=\"1.1\">1 &lt; 2 &amp; &quot;3&quot;.\
         </prosody></voice></speak>"
    ), "{request}");
}

#[tokio::test]
async fn polly_is_asked_under_signature() {
    let server = Server::start().await;
    let polly = Polly {
        base_url: server.base.clone(),
        region: "eu-west-1".into(),
        key_id: "AKID".into(),
        secret: SecretString::from("sesame"),
    };
    let session = open(polly, &spec("neural")).await;
    say(&session, 1, 0, "Hola.", true).await;
    let (request, _stream) = server.request().await;
    assert!(
        request.starts_with("POST /v1/speech HTTP/1.1\r\n"),
        "{request}"
    );
    let authorization = request
        .lines()
        .find(|line| line.starts_with("authorization: "))
        .unwrap();
    assert!(
        authorization.contains("AWS4-HMAC-SHA256 Credential=AKID/"),
        "{authorization}"
    );
    assert!(
        authorization.contains(
            "/eu-west-1/polly/aws4_request, SignedHeaders=content-type;host;x-amz-date, "
        ),
        "{authorization}"
    );
    assert!(!request.contains("sesame"));
    assert_eq!(
        body(&request),
        json!({"Engine": "neural", "LanguageCode": "es-MX", "OutputFormat": "pcm",
            "SampleRate": "8000", "Text": "Hola.", "TextType": "text", "VoiceId": "Mia"})
    );
}

#[tokio::test]
async fn the_next_is_asked_for_while_the_former_still_comes() {
    let server = Server::start().await;
    let mut session = open(openai(&server), &spec("tts-1")).await;
    say(&session, 1, 0, "One.", false).await;
    say(&session, 1, 1, "Two.", false).await;
    say(&session, 1, 2, "Three.", true).await;
    let (first, mut one) = server.request().await;
    assert_eq!(body(&first)["input"], "One.");
    answer(&mut one, 4800).await;
    assert!(matches!(
        session.output.recv().await,
        Some(Ok(Spoken::Audio { piece: 0, .. }))
    ));
    // The first still comes.
    let (second, mut two) = server.request().await;
    assert_eq!(body(&second)["input"], "Two.");
    // Its audio waits for its turn, whatever comes first.
    answer(&mut two, 4800).await;
    chunk(&mut one, 4800).await;
    one.write_all(b"0\r\n\r\n").await.unwrap();
    let mut pieces = Vec::new();
    while let Some(fact) = session.output.recv().await {
        match fact.unwrap() {
            Spoken::Audio { piece, .. } => pieces.push(piece),
            Spoken::PieceDone { piece, .. } => {
                assert_eq!(piece, 0);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(pieces.iter().all(|piece| *piece == 0), "{pieces:?}");
    let (third, _three) = server.request().await;
    assert_eq!(body(&third)["input"], "Three.");
}

#[tokio::test]
async fn a_sentence_is_asked_for_whole() {
    let server = Server::start().await;
    let session = open(openai(&server), &spec("tts-1")).await;
    say(&session, 1, 0, "Well, my friend,", false).await;
    say(&session, 1, 1, "no.", false).await;
    let (request, _stream) = server.request().await;
    assert_eq!(body(&request)["input"], "Well, my friend, no.");
    // What never ends is not waited for.
    let session = open(openai(&server), &spec("tts-1")).await;
    say(&session, 1, 0, "Well, my friend,", false).await;
    let (request, _stream) = server.request().await;
    assert_eq!(body(&request)["input"], "Well, my friend,");
}

#[tokio::test]
async fn a_cancel_closes_the_request() {
    let server = Server::start().await;
    let mut session = open(openai(&server), &spec("tts-1")).await;
    say(&session, 1, 0, "One.", true).await;
    let (_, mut one) = server.request().await;
    answer(&mut one, 4800).await;
    assert!(matches!(
        session.output.recv().await,
        Some(Ok(Spoken::Audio { .. }))
    ));
    session
        .input
        .send(Speak::Cancel { context: 1 })
        .await
        .unwrap();
    let mut rest = [0; 16];
    let read = tokio::io::AsyncReadExt::read(&mut one, &mut rest).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn a_vendor_that_makes_no_sound_does_not_know_the_voice() {
    let server = Server::start().await;
    let mut session = open(openai(&server), &spec("tts-1")).await;
    say(&session, 1, 0, "One.", true).await;
    let (_, mut stream) = server.request().await;
    let empty = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(empty).await.unwrap();
    let error = session.output.recv().await.unwrap().unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadRequest);
}
