//! A fake ElevenLabs: the sockets of wire-providers.md §4.1 and §4.2. It speaks in tones
//! ([`crate::tone`]), so that whoever listens can tell which words were heard.

mod context;
mod session;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, Query, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use crate::{Error, FakeVendor, Jitter, Observer, coming::TooMany, server, vendor};

/// How a fake ElevenLabs is set up; the defaults suit tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in.
    pub api_key: String,
    /// From the text that triggers a generation to its first audio. Default 0.
    pub first_byte: Duration,
    /// How that scatters. Default: not at all.
    pub jitter: Jitter,
    /// How much faster than real time audio is sent. Default 20; the vendor's is about 3.
    pub speed: f64,
    /// Is told of each generation's first audio.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: "elevenlabs-test-key".into(),
            first_byte: Duration::ZERO,
            jitter: Jitter::default(),
            speed: 20.0,
            observer: None,
        }
    }
}

/// What goes wrong with one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The upgrade is refused with this status.
    Status(u16),
    /// Let in, then told of a wrong key and closed with 1008, at the first text.
    AuthMessage,
    /// Let in, then told that the quota is used up and closed with 1008, at the first text.
    QuotaMessage,
    /// Sends no audio at all, and keeps the socket open.
    Stall,
    /// The connection is lost without a close frame after so many audio messages.
    LostAfter(u32),
    /// Sends no more after so many audio messages, and keeps the socket open.
    StallAfter(u32),
    /// Closed with this code after so many audio messages.
    CloseAfter(u32, u16),
    /// Reports a failure of its own after so many audio messages, and closes.
    FailsAfter(u32),
    /// The connection is taken, and nothing ever answers.
    HalfOpen,
    /// Each audio message is preceded by one nobody has heard of.
    UnknownMessages,
    /// Its first audio comes so much later, ms.
    DelayFirst(u64),
    /// Sends nothing after so many audio messages, for so long, ms; then the rest.
    PausesAfter(u32, u64),
    /// Reads nothing after the first text, for so long, ms.
    Deaf(u64),
    /// Each audio message is preceded by one of a context nobody knows.
    WrongContext,
    /// Never sends `isFinal`.
    NeverFinal,
    /// Each audio message is preceded by text that is no JSON.
    Garbage,
}

impl TooMany for Fault {
    fn too_many() -> Self {
        Self::Status(429)
    }
}

/// The fake and its sessions.
type Desk = vendor::Desk<Options, Fault>;

/// A running fake. Stops with its sessions when dropped.
pub type FakeElevenlabs = FakeVendor<Options, Fault>;

impl FakeElevenlabs {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        Self::serve(options.addr, options, |desk| {
            Router::new()
                .route("/v1/text-to-speech/{voice}/multi-stream-input", get(speak))
                .route("/v1/text-to-speech/{voice}/stream-input", get(speak))
                .with_state(desk)
        })
        .await
    }

    /// `ws://127.0.0.1:<port>`: stands in for `wss://api.elevenlabs.io`.
    pub fn base_url(&self) -> String {
        format!("ws://{}", self.addr())
    }

    /// The key that is let in.
    pub fn api_key(&self) -> &str {
        &self.options().api_key
    }

    /// Characters spoken: what the vendor would bill.
    pub fn characters(&self) -> u64 {
        self.billed()
    }
}

#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    output_format: String,
    #[serde(default)]
    inactivity_timeout: Option<u64>,
}

async fn speak(
    State(desk): State<Arc<Desk>>,
    Path(voice): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let fault = match vendor::refusal(&headers) {
        Some(402) => Some(Fault::QuotaMessage),
        Some(status) => Some(Fault::Status(status)),
        None => desk.next_fault(),
    };
    if fault == Some(Fault::HalfOpen) {
        desk.session(std::future::pending()).await;
    }
    let given = headers
        .get("xi-api-key")
        .and_then(|value| value.to_str().ok());
    let refused = match &fault {
        Some(Fault::Status(status)) => Some(*status),
        Some(Fault::QuotaMessage) => None,
        _ if given.is_some_and(|key| key != desk.options.api_key) => Some(401),
        // The fake speaks mu-law only.
        _ if asked.output_format != "ulaw_8000" || voice.is_empty() => Some(403),
        _ => None,
    };
    if let Some(status) = refused {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        return status.into_response();
    }
    let key_given = given.is_some();
    let inactivity = Duration::from_secs(asked.inactivity_timeout.unwrap_or(20).min(180));
    let single = uri.path().ends_with("/stream-input");
    let session = session::Session::new(desk.clone(), fault, key_given, inactivity, single);
    desk.upgrade(upgrade, |socket| session.run(socket))
}

#[cfg(test)]
mod tests;
