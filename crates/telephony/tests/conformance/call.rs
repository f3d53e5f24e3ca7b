//! A whole call: a small server with nothing but this crate between it and the carrier.

use std::sync::{
    Arc,
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
    caller::{CallerScript, Outcome},
    carrier::{CallFaults, FakeCarrier, Kind, Options},
    tone,
};
use bolo_telephony::{
    CallReference, CallbackKind, Callbacks, Carrier, CarrierAccount, Dialled, Error, Frame,
    Instruction, MediaCommand, MediaEvent, RequestParts, StatusEvent,
};
use rstest::rstest;
use secrecy::SecretString;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::task::AbortOnDropHandle;

use crate::{TO, account, dial};

/// What reached the server.
#[derive(Debug)]
enum Seen {
    Answer(Direction),
    Resume,
    Status(StatusEvent),
    Media(MediaEvent),
    /// Wrong mac or signature.
    Refused,
}

#[derive(Clone)]
struct Server {
    carrier: Arc<dyn Carrier>,
    callbacks: Callbacks,
    /// A flow has asked already.
    answered: Arc<AtomicBool>,
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

    fn url(&self, kind: CallbackKind, execution: ExecutionId, attempt: i64) -> String {
        self.callbacks
            .url(kind, self.carrier.name(), execution, attempt)
    }

    async fn tell(&self, seen: Seen) {
        self.seen.send(seen).await.unwrap();
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
        let Some(event) = read.unwrap() else {
            continue;
        };
        if matches!(event, MediaEvent::Start { .. }) {
            let audio = MediaCommand::Audio(tone::speak("hello there").into());
            let mut frames = Vec::new();
            for command in [audio, MediaCommand::Mark("1:0".into())] {
                wire.encode(&command, &mut frames);
            }
            for frame in frames {
                let message = match frame {
                    Frame::Text(text) => Message::text(text),
                    Frame::Binary(bytes) => Message::Binary(bytes),
                };
                socket.send(message).await.unwrap();
            }
        }
        if !matches!(event, MediaEvent::Audio { .. }) {
            server.tell(Seen::Media(event)).await;
        }
    }
}

struct World {
    fake: FakeCarrier,
    account: CarrierAccount,
    server: Server,
    seen: mpsc::Receiver<Seen>,
    _task: AbortOnDropHandle<()>,
}

impl World {
    async fn start(carrier: Kind) -> Self {
        let fake = FakeCarrier::start(carrier, Options::default())
            .await
            .unwrap();
        let account = account(&fake);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let public_url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, seen) = mpsc::channel(64);
        let server = Server {
            carrier: account.carrier.clone(),
            callbacks: Callbacks::new(public_url.clone(), SecretString::from("key")),
            answered: Arc::default(),
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

    async fn dial(&self) -> String {
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

    async fn next(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// Everything until the status that ends the call.
    async fn until_over(&mut self) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = self.next().await;
            let over = matches!(&seen, Seen::Status(event) if event.hangup.is_some());
            all.push(seen);
            if over {
                return all;
            }
        }
    }
}

fn changes(all: &[Seen]) -> Vec<Option<Change>> {
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

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn a_call_from_dial_to_hang_up(#[case] carrier: Kind) {
    let mut world = World::start(carrier).await;
    let id = world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    assert_eq!(caller.id(), id);
    caller.hears("hello there").await.unwrap();
    caller.presses("7").await.unwrap();
    let mut all = Vec::new();
    // The key may come before the greeting has been played to its end.
    for wanted in [MediaEvent::Dtmf('7'), MediaEvent::Mark("1:0".into())] {
        while !all
            .iter()
            .any(|seen| matches!(seen, Seen::Media(event) if *event == wanted))
        {
            all.push(world.next().await);
        }
    }
    match world.account.carrier.hang_up(&id).await {
        Ok(()) => {}
        // Then somebody else must.
        Err(Error::Unsupported(_)) if carrier == Kind::Exotel => {
            caller.hangs_up().await.unwrap();
        }
        Err(error) => panic!("{error}"),
    }
    assert_eq!(caller.ended().await.unwrap(), "completed");
    all.extend(world.until_over().await);

    assert!(
        !all.iter().any(|seen| matches!(seen, Seen::Refused)),
        "{all:#?}"
    );
    assert_eq!(
        all.iter()
            .filter(|seen| matches!(seen, Seen::Answer(Direction::Outbound)))
            .count(),
        1
    );
    let media: Vec<&MediaEvent> = all
        .iter()
        .filter_map(|seen| match seen {
            Seen::Media(event) => Some(event),
            _ => None,
        })
        .collect();
    let MediaEvent::Start {
        call_id,
        parameters,
        ..
    } = media[0]
    else {
        panic!("{media:?}")
    };
    // That of Asterisk's socket is of another channel.
    let told = if carrier == Kind::SipTrunk { "" } else { &id };
    assert_eq!(call_id, told);
    let given = [("note".to_owned(), "a <b> & \"c\"".to_owned())];
    // An applet's answer and a line for the dialplan have no room for them.
    let given = match carrier {
        Kind::Exotel | Kind::SipTrunk => &[][..],
        _ => &given,
    };
    assert_eq!(parameters, given);
    let told: &[Option<Change>] = match carrier {
        Kind::Twilio => &[
            None,
            Some(Change::Ringing),
            Some(Change::Answered),
            Some(Change::MediaEnded),
        ],
        Kind::Plivo | Kind::Vobiz => &[Some(Change::Ringing), Some(Change::MediaEnded)],
        Kind::Exotel => &[Some(Change::Answered), Some(Change::MediaEnded)],
        Kind::SipTrunk => &[Some(Change::MediaEnded)],
    };
    assert_eq!(changes(&all), told);
    assert!(caller.warnings().is_empty(), "{:?}", caller.warnings());
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn a_call_that_does_not_get_through(#[case] carrier: Kind) {
    for (outcome, change, code) in [
        (Outcome::Busy, Change::Busy, 3010),
        (Outcome::NoAnswer, Change::NoAnswer, 3000),
        (Outcome::Reject, Change::Busy, 3020),
        (Outcome::Invalid, Change::CarrierFailed, 2000),
        (Outcome::Congestion, Change::CarrierFailed, 3090),
    ] {
        // Exotel has fewer words for it.
        let code = match (carrier, code) {
            (Kind::Exotel, 3020) => 3010,
            (Kind::Exotel, 2000 | 3090) => 5020,
            _ => code,
        };
        let mut world = World::start(carrier).await;
        world.fake.script(TO, CallerScript::fails(outcome));
        world.dial().await;
        let all = world.until_over().await;
        assert!(
            !all.iter()
                .any(|seen| matches!(seen, Seen::Refused | Seen::Answer(_))),
            "{all:#?}"
        );
        let Some(Seen::Status(event)) = all.last() else {
            panic!("{all:#?}")
        };
        assert_eq!(
            (event.change, event.hangup.as_ref().unwrap().code),
            (Some(change), code)
        );
    }
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::exotel(Kind::Exotel)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn a_socket_that_breaks_brings_the_carrier_back(#[case] carrier: Kind) {
    let mut world = World::start(carrier).await;
    world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("hello there").await.unwrap();
    caller.drops_socket(true).await.unwrap();
    let all = world.until_over().await;
    assert!(
        all.iter().any(|seen| matches!(seen, Seen::Resume)),
        "{all:#?}"
    );
}

/// What a node that vanished leaves behind: a socket that nobody serves.
#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[tokio::test]
async fn a_talking_call_is_told_to_go_on_elsewhere(#[case] carrier: Kind) {
    let mut world = World::start(carrier).await;
    let id = world.dial().await;
    let caller = world.fake.dialled(TO).await.unwrap();
    caller.hears("hello there").await.unwrap();
    let resume = world
        .server
        .url(CallbackKind::Resume, ExecutionId::new(), 1);
    world.account.carrier.redirect(&id, &resume).await.unwrap();
    let all = world.until_over().await;
    assert!(
        all.iter().any(|seen| matches!(seen, Seen::Resume)),
        "{all:#?}"
    );
    let over = world.account.carrier.redirect(&id, &resume).await;
    assert!(
        matches!(over, Err(bolo_telephony::Error::NotFound)),
        "{over:?}"
    );
}

#[rstest]
#[case::twilio(Kind::Twilio)]
#[case::plivo(Kind::Plivo)]
#[case::vobiz(Kind::Vobiz)]
#[case::sip_trunk(Kind::SipTrunk)]
#[tokio::test]
async fn forged_requests_are_refused(#[case] carrier: Kind) {
    let mut world = World::start(carrier).await;
    let faults = CallFaults {
        bad_signature: true,
        ..CallFaults::default()
    };
    world
        .fake
        .script(TO, CallerScript::default().with_faults(faults));
    world.dial().await;
    assert!(matches!(world.next().await, Seen::Refused));
}
