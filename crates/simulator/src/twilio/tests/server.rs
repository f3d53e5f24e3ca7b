//! A server under test in miniature: fetches by form post, one media socket at a time, speaks lines
//! when told.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{
        Path, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{any, post},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    carrier::{FakeCarrier, Kind, Options},
    server, tone,
    twilio::signature,
};

pub const NUMBER: &str = "+14155550199";
pub const OWN: &str = "+14155550100";
pub const EXECUTION: &str = "0193fb5e-6a43-7c51-8f1f-0a3a54e7a001";

/// What the socket does with each message of the carrier.
#[derive(Debug)]
pub enum Say {
    Line(&'static str),
    Audio(Vec<u8>),
    Mark(&'static str),
    Clear,
    Raw(String),
    Close,
    Vanish,
}

pub struct Seen {
    /// `(what, form)` of every webhook whose signature was good.
    pub hooks: Vec<(String, Vec<(String, String)>)>,
    pub bad_signatures: usize,
    /// Documents to answer with, in order; the last one stays.
    pub documents: VecDeque<String>,
    /// Statuses to answer webhooks with before documents.
    pub failures: VecDeque<u16>,
    /// Everything the carrier sent on sockets.
    pub messages: Vec<Value>,
}

pub struct Server {
    pub url: String,
    pub seen: Arc<Mutex<Seen>>,
    pub say: mpsc::Sender<Say>,
    _server: server::Server,
}

#[derive(Clone)]
struct App {
    seen: Arc<Mutex<Seen>>,
    orders: Arc<tokio::sync::Mutex<mpsc::Receiver<Say>>>,
    url: Arc<Mutex<String>>,
    token: String,
}

/// A carrier and a server that know each other.
pub async fn pair(options: Options) -> (FakeCarrier, Server) {
    let twilio = FakeCarrier::start(Kind::Twilio, options).await.unwrap();
    let (say, orders) = mpsc::channel(64);
    let seen = Seen {
        hooks: Vec::new(),
        bad_signatures: 0,
        documents: VecDeque::new(),
        failures: VecDeque::new(),
        messages: Vec::new(),
    };
    let app = App {
        seen: Arc::new(Mutex::new(seen)),
        orders: Arc::new(tokio::sync::Mutex::new(orders)),
        url: Arc::default(),
        token: twilio.token().to_owned(),
    };
    let router = Router::new()
        .route("/{what}/{execution}", post(hook))
        .route("/media/{execution}", any(media))
        .with_state(app.clone());
    let server = server::Server::start(server::ANY, router, CancellationToken::new())
        .await
        .unwrap();
    let url = format!("http://{}", server.addr);
    app.url.lock().unwrap().clone_from(&url);
    let document = format!(
        "<Response><Connect><Stream url=\"ws://{0}/media/{EXECUTION}\" statusCallback=\"{url}/stream/{EXECUTION}\">\
         <Parameter name=\"eid\" value=\"7f1c\"/></Stream></Connect>\
         <Redirect>{url}/resume/{EXECUTION}?n=1&amp;k=2</Redirect></Response>",
        server.addr
    );
    app.seen.lock().unwrap().documents.push_back(document);
    (
        twilio,
        Server {
            url,
            seen: app.seen,
            say,
            _server: server,
        },
    )
}

async fn hook(
    State(app): State<App>,
    Path((what, _)): Path<(String, String)>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let form: Vec<(String, String)> = url::form_urlencoded::parse(&body).into_owned().collect();
    let url = format!("{}{}", app.url.lock().unwrap(), uri);
    let mut seen = app.seen.lock().unwrap();
    if headers["X-Twilio-Signature"] != signature::sign(&app.token, &url, &form) {
        seen.bad_signatures += 1;
        return StatusCode::FORBIDDEN.into_response();
    }
    seen.hooks.push((what.clone(), form));
    if ["status", "stream"].contains(&what.as_str()) {
        return StatusCode::NO_CONTENT.into_response();
    }
    if let Some(status) = seen.failures.pop_front() {
        return StatusCode::from_u16(status).unwrap().into_response();
    }
    let document = if what == "resume" && seen.documents.len() == 1 {
        "<Response><Hangup/></Response>".to_owned()
    } else if seen.documents.len() > 1 {
        seen.documents.pop_front().unwrap()
    } else {
        seen.documents[0].clone()
    };
    ([("Content-Type", "text/xml")], document).into_response()
}

async fn media(State(app): State<App>, headers: HeaderMap, upgrade: WebSocketUpgrade) -> Response {
    let url = format!(
        "{}/media/{EXECUTION}",
        app.url.lock().unwrap().replace("http", "ws")
    );
    if headers["X-Twilio-Signature"] != signature::sign(&app.token, &url, &[]) {
        app.seen.lock().unwrap().bad_signatures += 1;
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade
        .read_buffer_size(4096)
        .on_upgrade(|socket| talk(socket, app))
}

async fn talk(mut socket: WebSocket, app: App) {
    let mut orders = app.orders.lock().await;
    let mut sid = String::new();
    loop {
        let order = tokio::select! {
            message = socket.recv() => {
                let Some(Ok(message)) = message else { return };
                if let Message::Text(text) = message
                    && let Ok(value) = serde_json::from_str::<Value>(&text)
                {
                    if value["event"] == "start" {
                        sid = value["streamSid"].as_str().unwrap().to_owned();
                    }
                    app.seen.lock().unwrap().messages.push(value);
                }
                continue;
            }
            order = orders.recv(), if !sid.is_empty() => order,
        };
        let audio = |audio: &[u8]| json!({"event": "media", "streamSid": sid, "media": {"payload": STANDARD.encode(audio)}});
        let message = match order {
            None | Some(Say::Vanish) => return,
            Some(Say::Close) => {
                let _gone = socket.send(Message::Close(None)).await;
                return;
            }
            Some(Say::Line(text)) => audio(&tone::speak(text)).to_string(),
            Some(Say::Audio(bytes)) => audio(&bytes).to_string(),
            Some(Say::Mark(name)) => {
                json!({"event": "mark", "streamSid": sid, "mark": {"name": name}}).to_string()
            }
            Some(Say::Clear) => json!({"event": "clear", "streamSid": sid}).to_string(),
            Some(Say::Raw(text)) => text,
        };
        if socket.send(Message::text(message)).await.is_err() {
            return;
        }
    }
}

impl Server {
    /// Dials through the carrier's REST with plain form fields; HTTP status and body.
    pub async fn dial(&self, twilio: &FakeCarrier, extra: &[(&str, &str)]) -> (u16, Value) {
        let answer = format!("{}/answer/{EXECUTION}", self.url);
        let status = format!("{}/status/{EXECUTION}", self.url);
        let mut form = vec![
            ("To", NUMBER),
            ("From", OWN),
            ("Url", &*answer),
            ("StatusCallback", &*status),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
        ];
        form.retain(|(name, _)| !extra.iter().any(|(other, _)| name == other));
        form.extend(extra.iter().filter(|(_, value)| !value.is_empty()));
        request(twilio, "POST", "/Calls.json", &form).await
    }

    /// Statuses told by callbacks, in order of arrival, with their sequence numbers.
    pub fn statuses(&self) -> Vec<(String, String)> {
        let seen = self.seen.lock().unwrap();
        let field = |form: &[(String, String)], name: &str| {
            form.iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.clone())
                .unwrap_or_default()
        };
        seen.hooks
            .iter()
            .filter(|(what, _)| what == "status")
            .map(|(_, form)| (field(form, "CallStatus"), field(form, "SequenceNumber")))
            .collect()
    }

    pub fn hooks(&self) -> Vec<String> {
        self.seen
            .lock()
            .unwrap()
            .hooks
            .iter()
            .map(|(what, _)| what.clone())
            .collect()
    }

    /// Events of the media socket, `media` counted.
    pub fn events(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let mut events: Vec<String> = Vec::new();
        for message in &seen.messages {
            let event = message["event"].as_str().unwrap_or("?").to_owned();
            if events.last() != Some(&event) {
                events.push(event);
            }
        }
        events
    }
}

/// A REST request with the right credentials.
pub async fn request(
    twilio: &FakeCarrier,
    method: &str,
    path: &str,
    form: &[(&str, &str)],
) -> (u16, Value) {
    let url = format!(
        "{}/2010-04-01/Accounts/{}{path}",
        twilio.base_url(),
        twilio.account()
    );
    let client = crate::http::client().unwrap();
    let request = client
        .request(method.parse().unwrap(), url)
        .basic_auth(twilio.account(), Some(twilio.token()));
    let request = if form.is_empty() {
        request
    } else {
        request.form(form)
    };
    let response = request.send().await.unwrap();
    (
        response.status().as_u16(),
        response.json().await.unwrap_or_default(),
    )
}
