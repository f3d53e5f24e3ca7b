//! A small server with nothing but this crate between it and the carrier.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        OriginalUri, Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use bolo_execution::{Change, Direction, ExecutionId};
use bolo_simulator::{
    caller::CallerScript,
    carrier::{CallFaults, FakeCarrier, Kind, Options},
    tone,
};
use bolo_telephony::{
    AnsweredBy, CallReference, CallbackKind, Callbacks, Carrier, CarrierAccount, Dialled, Frame,
    Instruction, MediaCommand, MediaEvent, MediaWire, RequestParts, StatusEvent,
};
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::{TO, account, dial};

/// What a server greets with that has no more to say.
const GREETING: &str = "hello there";
/// Whoever presses it cuts the greeting short.
pub(crate) const CUT: &str = "*";

/// What reached the server.
#[derive(Debug)]
pub(crate) enum Seen {
    Answer(Direction),
    Resume,
    Status(StatusEvent),
    Media(MediaEvent),
    AnsweredBy(AnsweredBy),
    /// A message of the socket that makes no sense.
    Garbage,
    /// The socket is closed.
    Gone,
    /// Wrong mac or signature.
    Refused,
}

#[derive(Clone)]
pub(crate) struct Server {
    carrier: Arc<dyn Carrier>,
    greeting: &'static str,
    callbacks: Callbacks,
    /// A flow has asked already.
    answered: Arc<AtomicBool>,
    /// When each message of audio was spoken, ms since the stream's start.
    heard: Arc<Mutex<Vec<u64>>>,
    seen: mpsc::Sender<Seen>,
}

type Ours = Path<(String, String, ExecutionId, i64, String)>;

/// A flow's one address: what is asked is told by the call's reference, and by what was asked before.
async fn flow(
    state: State<Server>,
    uri: OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let ours = CallReference::in_query(uri.query().unwrap()).unwrap();
    let again = state.answered.swap(true, Ordering::Relaxed);
    let kind = if again { "resume" } else { "answer" };
    let name = state.carrier.name().to_owned();
    let path = Path((
        name,
        kind.to_owned(),
        ours.execution,
        ours.attempt,
        ours.mac,
    ));
    callback(state, path, uri, method, headers, body).await
}

impl Server {
    fn accepts(&self, method: &Method, url: &str, headers: &HeaderMap, body: &[u8]) -> bool {
        self.carrier.verify(RequestParts {
            method: method.as_str(),
            url,
            headers,
            body,
        })
    }

    pub(crate) fn url(&self, kind: CallbackKind, execution: ExecutionId, attempt: i64) -> String {
        self.callbacks
            .url(kind, self.carrier.name(), execution, attempt)
    }

    async fn tell(&self, seen: Seen) {
        // A test that has seen enough does not listen.
        let _ = self.seen.send(seen).await;
    }
}

async fn callback(
    State(server): State<Server>,
    Path((_, kind, execution, attempt, mac)): Ours,
    OriginalUri(uri): OriginalUri,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let url = format!("{}{uri}", server.callbacks.public_url());
    let ours = server
        .callbacks
        .check(server.carrier.name(), execution, attempt, &mac);
    if !ours || !server.accepts(&method, &url, &headers, &body) {
        server.tell(Seen::Refused).await;
        return StatusCode::FORBIDDEN.into_response();
    }
    let parts = RequestParts {
        method: method.as_str(),
        url: &url,
        headers: &headers,
        body: &body,
    };
    let instruction = match kind.as_str() {
        "status" => {
            let event = server.carrier.parse_status(parts).unwrap();
            server.tell(Seen::Status(event)).await;
            return StatusCode::OK.into_response();
        }
        "amd" => {
            let found = server.carrier.parse_answered_by(parts).unwrap();
            server.tell(Seen::AnsweredBy(found)).await;
            return StatusCode::OK.into_response();
        }
        "stream" => return StatusCode::OK.into_response(),
        "resume" => {
            server.tell(Seen::Resume).await;
            Instruction::HangUp
        }
        _ => {
            let webhook = server.carrier.parse_webhook(parts).unwrap();
            server.tell(Seen::Answer(webhook.direction)).await;
            Instruction::Stream {
                socket_url: server.url(CallbackKind::Media, execution, attempt),
                resume_url: server.url(CallbackKind::Resume, execution, attempt),
                status_url: server.url(CallbackKind::Stream, execution, attempt),
                parameters: vec![("note".into(), "a <b> & \"c\"".into())],
            }
        }
    };
    let (document, content) = server.carrier.render(&instruction);
    ([("content-type", content)], document).into_response()
}

async fn media(
    State(server): State<Server>,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let url = format!(
        "{}{uri}",
        server.callbacks.public_url().replacen("http", "ws", 1)
    );
    if !server.accepts(&Method::GET, &url, &headers, &[]) {
        server.tell(Seen::Refused).await;
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.on_upgrade(|socket| talk(server, socket))
}

/// Greets, then tells what comes.
async fn talk(server: Server, mut socket: WebSocket) {
    let mut wire = server.carrier.media();
    while let Some(Ok(message)) = socket.recv().await {
        let read = match message {
            Message::Text(text) => wire.decode(&text),
            Message::Binary(bytes) => wire.decode_binary(bytes),
            _ => continue,
        };
        let event = match read {
            Ok(Some(event)) => event,
            Ok(None) => continue,
            Err(_) => {
                server.tell(Seen::Garbage).await;
                continue;
            }
        };
        match &event {
            MediaEvent::Audio { timestamp_ms, .. } => {
                server.heard.lock().unwrap().push(*timestamp_ms);
                continue;
            }
            MediaEvent::Start { .. } => {
                let greeting = speech(server.greeting, "1:0");
                send(&mut socket, wire.as_mut(), &greeting).await;
            }
            MediaEvent::Dtmf('*') => {
                let [audio, mark, end] = speech("all right", "2:0");
                let answer = [MediaCommand::Clear, audio, mark, end];
                send(&mut socket, wire.as_mut(), &answer).await;
            }
            _ => {}
        }
        server.tell(Seen::Media(event)).await;
    }
    server.tell(Seen::Gone).await;
}

fn speech(text: &str, mark: &str) -> [MediaCommand; 3] {
    let audio = MediaCommand::Audio(tone::speak(text).into());
    [audio, MediaCommand::Mark(mark.into()), MediaCommand::Flush]
}

async fn send(socket: &mut WebSocket, wire: &mut dyn MediaWire, commands: &[MediaCommand]) {
    let mut frames = Vec::new();
    for command in commands {
        wire.encode(command, &mut frames);
    }
    for frame in frames {
        let message = match frame {
            Frame::Text(text) => Message::text(text),
            Frame::Binary(bytes) => Message::Binary(bytes),
        };
        socket.send(message).await.unwrap();
    }
}

pub(crate) struct World {
    pub(crate) fake: FakeCarrier,
    pub(crate) account: CarrierAccount,
    pub(crate) server: Server,
    seen: mpsc::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl World {
    pub(crate) async fn start(carrier: Kind) -> Self {
        Self::greeting(carrier, GREETING).await
    }

    /// A carrier that does something wrong.
    pub(crate) async fn with(carrier: Kind, faults: CallFaults) -> Self {
        let world = Self::start(carrier).await;
        let script = CallerScript::default().with_faults(faults);
        world.fake.script(TO, script);
        world
    }

    /// A server that says something else at first.
    pub(crate) async fn greeting(carrier: Kind, greeting: &'static str) -> Self {
        let fake = FakeCarrier::start(carrier, Options::default())
            .await
            .unwrap();
        let account = account(&fake);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::channel(64);
        let server = Server {
            carrier: account.carrier.clone(),
            greeting,
            callbacks: Callbacks::new(public_url.clone(), SecretString::from("key")),
            answered: Arc::default(),
            heard: Arc::default(),
            seen: sender,
        };
        fake.set_up_for(&public_url);
        let app = Router::new()
            .route(
                "/telephony/{carrier}/{kind}/{execution}/{attempt}/{mac}",
                any(callback),
            )
            .route("/telephony/{carrier}/flow", any(flow))
            .route("/media/{carrier}", get(media))
            .route("/media/{carrier}/{execution}/{attempt}/{mac}", get(media))
            .with_state(server.clone());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            fake,
            account,
            server,
            seen,
            _task: AbortOnDropHandle::new(task),
        }
    }

    pub(crate) async fn dial(&self) -> String {
        let execution = ExecutionId::new();
        let url = |kind| self.server.url(kind, execution, 1);
        let mut dial = dial(
            &self.account,
            url(CallbackKind::Answer),
            url(CallbackKind::Status),
        );
        let callbacks = &self.server.callbacks;
        dial.reference = callbacks.reference(self.account.carrier.name(), execution, 1);
        match self.account.carrier.dial(&dial).await {
            Dialled::Accepted(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// When the caller's audio was spoken, in the order in which it came.
    pub(crate) fn heard(&self) -> Vec<u64> {
        self.server.heard.lock().unwrap().clone()
    }

    pub(crate) async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Everything until the status that ends the call.
    pub(crate) async fn until_over(&mut self) -> Vec<Seen> {
        self.until(is_over).await
    }

    /// Everything until this came, too.
    pub(crate) async fn until(&mut self, is: impl Fn(&Seen) -> bool) -> Vec<Seen> {
        let mut all = Vec::new();
        while !all.last().is_some_and(&is) {
            all.push(self.next().await);
        }
        all
    }
}

pub(crate) fn is_mark(seen: &Seen, name: &str) -> bool {
    matches!(seen, Seen::Media(MediaEvent::Mark(mark)) if mark == name)
}

/// The status that ends the call.
pub(crate) fn is_over(seen: &Seen) -> bool {
    matches!(seen, Seen::Status(event) if event.hangup.is_some())
}

pub(crate) fn changes(all: &[Seen]) -> Vec<Option<Change>> {
    let mut events: Vec<&StatusEvent> = all
        .iter()
        .filter_map(|seen| match seen {
            Seen::Status(event) => Some(event),
            _ => None,
        })
        .collect();
    events.sort_by_key(|event| event.sequence);
    events.iter().map(|event| event.change).collect()
}
