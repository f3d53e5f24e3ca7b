//! Scripted servers for the vendors' tests: a socket or a connection that does as the test says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use bolo_agent::LlmConfig;
use futures_util::{SinkExt, StreamExt, stream::BoxStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Ask, AskMessage, Delta, Error, Llm, ToolChoice,
    error::Origin,
    socket::{self, Socket},
};

/// A limit for what must not happen in a test that goes well.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// What the agent wishes where a test has no wish.
pub(crate) fn transcriber_spec() -> crate::TranscriberSpec {
    crate::TranscriberSpec {
        model: String::new(),
        language: "en".into(),
        endpointing_ms: 250,
        keywords: Vec::new(),
        format: bolo_audio::Format::Mulaw8k,
        execution: String::new(),
    }
}

/// What leads to a vendor at this address.
pub(crate) fn access(base: &str, limits: crate::transcriber::Limits) -> crate::transcriber::Access {
    let tls = tls();
    crate::transcriber::Access {
        base_url: base.to_owned(),
        key: secrecy::SecretString::from("sesame"),
        http: crate::http::client(&tls).unwrap(),
        tls,
        limits,
    }
}

pub(crate) fn tls() -> Arc<rustls::ClientConfig> {
    crate::http::tls_config(&[]).unwrap()
}

/// The server's end of one socket.
pub(crate) struct Peer {
    socket: WebSocketStream<TcpStream>,
    /// Path and query of the upgrade.
    pub(crate) path: String,
    pub(crate) headers: tokio_tungstenite::tungstenite::http::HeaderMap,
}

impl Peer {
    pub(crate) async fn text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn binary(&mut self, bytes: &[u8]) {
        let message = Message::binary(bytes.to_vec());
        self.socket.send(message).await.unwrap();
    }

    /// The next message; `None` when the client has left.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.socket.next().await? {
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(message) => return Some(message),
            }
        }
    }

    /// The next text, read as JSON.
    pub(crate) async fn json(&mut self) -> serde_json::Value {
        match self.next().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text: {other:?}"),
        }
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: CloseCode::from(code),
            reason: reason.to_owned().into(),
        };
        self.socket.send(Message::Close(Some(frame))).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// Ends the connection with a reset, as a crash does.
    pub(crate) fn reset(self) {
        #[allow(deprecated)] // closing with RST is the point
        self.socket
            .get_ref()
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Keeps the socket open and silent until the client leaves.
    pub(crate) async fn stall(&mut self) {
        while self.next().await.is_some() {}
    }
}

/// Our end of a socket whose vendor said this, left, and takes no more.
pub(crate) async fn left_behind(origin: Origin, words: &str) -> Socket {
    let mut server = SocketServer::start().await;
    let url = socket::address(origin, &server.base, &["x"]).unwrap();
    let refused = |refusal: socket::Refusal| refusal.error(origin);
    let tls = tls();
    let connecting = socket::connect(origin, &url, &[], &tls, (LONG, LONG), refused);
    let (socket, mut peer) = tokio::join!(connecting, server.peer());
    let mut socket = socket.unwrap();
    peer.text(words).await;
    peer.reset();
    while socket.send(Message::text("are you there?")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    socket
}

/// A server that accepts one socket and hands its end to the test.
pub(crate) struct SocketServer {
    pub(crate) base: String,
    peers: mpsc::Receiver<Peer>,
    _task: AbortOnDropHandle<()>,
}

impl SocketServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (sender, peers) = mpsc::channel(4);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::new(Mutex::new(None));
                let keep = seen.clone();
                #[allow(clippy::result_large_err)] // the library's signature
                let callback = move |request: &Request, response: Response| {
                    *keep.lock().unwrap() =
                        Some((request.uri().to_string(), request.headers().clone()));
                    Ok(response)
                };
                let socket = accept_hdr_async(stream, callback).await.unwrap();
                let (path, headers) = seen.lock().unwrap().take().unwrap();
                sender
                    .send(Peer {
                        socket,
                        path,
                        headers,
                    })
                    .await
                    .unwrap();
            }
        });
        Self {
            base,
            peers,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) async fn peer(&mut self) -> Peer {
        self.peers.recv().await.unwrap()
    }
}

type Act = Box<dyn FnOnce(TcpStream, String) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// A server that reads one request and then does with the connection as `act` says.
pub(crate) struct RawServer {
    pub(crate) base: String,
    _task: AbortOnDropHandle<()>,
}

impl RawServer {
    pub(crate) async fn start(act: Act) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = read_request(&mut stream).await;
            act(stream, request).await;
        });
        Self {
            base,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Answers with this text and closes.
    pub(crate) async fn answering(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::start(Box::new(move |mut stream, _| {
            Box::pin(async move {
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            })
        }))
        .await
    }
}

/// The address of a server that answers whatever comes first, a TLS greeting too, with plain text.
pub(crate) async fn plain_server() -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    (address, AbortOnDropHandle::new(task))
}

/// Head and body of a request.
pub(crate) async fn read_request(stream: &mut TcpStream) -> String {
    try_read_request(stream).await.expect("the client left")
}

/// Likewise; `None` when the client has left.
pub(crate) async fn try_read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text);
            }
        }
        if count == 0 {
            return None;
        }
    }
}

/// A response with these headers (each with its line end) and body, after which the connection closes.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What a scripted model says, and after what time.
pub(crate) type ScriptedAnswer = (Duration, Vec<Result<Delta, Error>>);

/// A model that answers from a script, each answer beginning after its delay, and counts its requests.
#[derive(Default)]
pub(crate) struct ScriptedLlm {
    pub(crate) name: &'static str,
    answers: Mutex<std::collections::VecDeque<ScriptedAnswer>>,
    pub(crate) asked: Mutex<Vec<Ask>>,
}

impl ScriptedLlm {
    pub(crate) fn new(
        name: &'static str,
        answers: impl IntoIterator<Item = ScriptedAnswer>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            answers: Mutex::new(answers.into_iter().collect()),
            ..Self::default()
        })
    }
}

impl Llm for ScriptedLlm {
    fn name(&self) -> &'static str {
        self.name
    }

    fn answer(&self, ask: Ask) -> BoxStream<'static, Result<Delta, Error>> {
        self.asked.lock().unwrap().push(ask);
        let (delay, deltas) = self.answers.lock().unwrap().pop_front().unwrap();
        futures_util::stream::once(tokio::time::sleep(delay))
            .flat_map(move |()| futures_util::stream::iter(deltas.clone()))
            .boxed()
    }
}

/// What ends an answer of so many tokens.
pub(crate) fn done(input: u64) -> Delta {
    Delta::Done {
        finish: "stop",
        input,
        output: 1,
        cached: 0,
        estimated: false,
    }
}

/// A question to a model.
pub(crate) fn ask(model: &str) -> Ask {
    Ask {
        config: LlmConfig {
            provider: "openai".into(),
            model: model.into(),
            family: None,
            max_tokens: 150,
            temperature: 0.7,
            top_p: None,
            top_k: None,
            min_p: None,
            presence_penalty: None,
            frequency_penalty: None,
            stop: Vec::new(),
            request_json: false,
            base_url: None,
            reasoning_effort: None,
            verbosity: None,
            responses: false,
        },
        temperature: 0.1,
        messages: vec![said("system", "Be brief."), said("user", "Hi")],
        tools: Vec::new(),
        tool_choice: ToolChoice::Auto,
        json: false,
        cache_key: "agent-1".into(),
        sent: Default::default(),
    }
}

/// A message of a history.
pub(crate) fn said(role: &'static str, text: &str) -> AskMessage {
    AskMessage {
        role,
        content: Some(text.into()),
        tool_calls: Vec::new(),
        tool_call_id: None,
    }
}
