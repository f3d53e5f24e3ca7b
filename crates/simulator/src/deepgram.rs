//! A fake Deepgram: nova on `/v1/listen` and flux on `/v2/listen`, wire-providers.md §1. It recognises
//! tone-coded audio ([`crate::tone`]) word by word and keeps time by the audio, as the vendor does.

mod flux;
mod nova;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, State, WebSocketUpgrade},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Deserialize;
use serde_json::json;

pub use crate::hearing::{Fault, Observer, Sent};
use crate::{
    Error, FakeVendor, Jitter,
    hearing::{self, Pace},
    jitter::Dice,
    server, vendor,
};

/// How a fake Deepgram is set up; the defaults suit tests.
#[derive(Clone)]
pub struct Options {
    /// Where to listen; default `127.0.0.1:0`.
    pub addr: SocketAddr,
    /// The one key that is let in.
    pub api_key: String,
    /// How long a result takes after the audio that caused it. Default 0.
    pub result_delay: Duration,
    /// How that scatters. Default: not at all.
    pub jitter: Jitter,
    /// Speech between two interims, ms. Default 200.
    pub interim_ms: u64,
    /// Told of every text sent, the moment it is sent.
    pub observer: Option<Observer>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            addr: server::ANY,
            api_key: "deepgram-test-key".into(),
            result_delay: Duration::ZERO,
            jitter: Jitter::default(),
            interim_ms: 200,
            observer: None,
        }
    }
}

impl Options {
    fn pace(&self, dice: Dice) -> Pace {
        Pace {
            delay: self.result_delay,
            dice,
            observer: self.observer.clone(),
        }
    }
}

/// The fake and its sessions.
type Desk = vendor::Desk<Options, Fault>;

/// A running fake. Stops with its sessions when dropped.
pub type FakeDeepgram = FakeVendor<Options, Fault>;

impl FakeDeepgram {
    /// Starts it. `Error::Listen` if the address is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        Self::serve(options.addr, options, |desk| {
            Router::new()
                .route("/v1/listen", get(listen))
                .route("/v2/listen", get(listen_to_turns))
                .with_state(desk)
        })
        .await
    }

    /// `ws://127.0.0.1:<port>`: stands in for `wss://api.deepgram.com`.
    pub fn base_url(&self) -> String {
        format!("ws://{}", self.addr())
    }

    /// The key that is let in.
    pub fn api_key(&self) -> &str {
        &self.options().api_key
    }

    /// Audio heard in all sessions, ms: what the vendor would bill.
    pub fn billed_ms(&self) -> u64 {
        self.billed()
    }
}

/// The query, as far as it changes what the fake does.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Asked {
    pub model: Option<String>,
    #[serde(default)]
    pub encoding: String,
    #[serde(default)]
    pub sample_rate: u32,
    #[serde(default)]
    pub interim_results: bool,
    #[serde(default)]
    pub endpointing: Option<String>,
    #[serde(default)]
    pub utterance_end_ms: Option<u64>,
    #[serde(default)]
    pub vad_events: bool,
}

async fn listen(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mut dice = desk.dice(desk.options.jitter);
    let request_id = dice.id();
    let fault = match admit(&desk, &headers, &request_id) {
        Ok(fault) => fault,
        Err(refusal) => return *refusal,
    };
    let known_model = asked
        .model
        .as_deref()
        .is_some_and(|model| model.starts_with("nova-"));
    let known_audio = matches!(
        (asked.encoding.as_str(), asked.sample_rate),
        ("mulaw" | "linear16", 8000)
    );
    if !known_model || !known_audio {
        return bad_request("unsupported model or audio", &request_id);
    }
    let never_ends = fault == Some(Fault::NeverEnds);
    let interim_ms = desk.options.interim_ms;
    let wire = nova::Nova::new(&asked, interim_ms, never_ends, request_id.clone());
    let_in(desk, upgrade, wire, (fault, dice), &request_id)
}

async fn listen_to_turns(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let mut dice = desk.dice(desk.options.jitter);
    let request_id = dice.id();
    let fault = match admit(&desk, &headers, &request_id) {
        Ok(fault) => fault,
        Err(refusal) => return *refusal,
    };
    let wishes = match flux::Wishes::read(&query) {
        Ok(wishes) => wishes,
        Err(why) => return bad_request(&why, &request_id),
    };
    let (never_ends, hasty) = (fault == Some(Fault::NeverEnds), fault == Some(Fault::Hasty));
    let wire = flux::Flux::new(wishes, never_ends, hasty, request_id.clone());
    let_in(desk, upgrade, wire, (fault, dice), &request_id)
}

/// What goes wrong with this connection; or why there will be none.
fn admit(
    desk: &Desk,
    headers: &HeaderMap,
    request_id: &str,
) -> Result<Option<Fault>, Box<Response>> {
    let fault = hearing::next_fault(desk, headers);
    if let Some(Fault::Status(status)) = fault {
        let (code, text) = match status {
            402 => (
                "ASR_PAYMENT_REQUIRED",
                "Project does not have enough credits.",
            ),
            429 => ("TOO_MANY_REQUESTS", "Too many requests."),
            _ => ("INTERNAL_SERVER_ERROR", "Something went wrong."),
        };
        return Err(Box::new(refuse(status, code, text, request_id)));
    }
    let expected = format!("Token {}", desk.options.api_key);
    let given = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if given != Some(expected.as_str()) {
        let refusal = refuse(401, "INVALID_AUTH", "Invalid credentials.", request_id);
        return Err(Box::new(refusal));
    }
    Ok(fault)
}

fn let_in(
    desk: Arc<Desk>,
    upgrade: WebSocketUpgrade,
    wire: impl hearing::Wire + 'static,
    (fault, dice): (Option<Fault>, Dice),
    request_id: &str,
) -> Response {
    let (of_session, pace) = (desk.clone(), desk.options.pace(dice));
    let mut response = desk.upgrade(upgrade, move |socket| {
        hearing::run(of_session, wire, fault, pace, socket)
    });
    if let Ok(value) = request_id.parse() {
        response.headers_mut().insert("dg-request-id", value);
    }
    response
}

fn bad_request(why: &str, request_id: &str) -> Response {
    let message = format!("Bad Request: {why}");
    refuse(400, "Bad Request", &message, request_id)
}

fn refuse(status: u16, code: &str, message: &str, request_id: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = json!({"err_code": code, "err_msg": message, "request_id": request_id});
    (
        status,
        [
            ("dg-error", message.to_owned()),
            ("dg-request-id", request_id.to_owned()),
        ],
        axum::Json(body),
    )
        .into_response()
}

#[cfg(test)]
mod tests;
