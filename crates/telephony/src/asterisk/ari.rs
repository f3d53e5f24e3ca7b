//! Asterisk's REST interface: originate, look up, hang up. Sources: wire-telephony.md §3.3, §6.1; Asterisk's
//! "Channels REST API".
//!
//! A call is a `Local` channel whose far half dials the trunk and whose near half, once answered, asks us what
//! to do. The dialplan's variables carry what both need.

use bolo_execution::Change;
use reqwest::{Method, Response, StatusCode};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use crate::{
    CallState, Credentials, Dial, Dialled, Error, LostDial, NotPlaced, Trunk,
    http::{BUSY_RETRY, CONNECT_RETRY, REQUEST_TIMEOUT, read_body, retry_after},
};

const DEFAULT_BASE: &str = "http://127.0.0.1:8088";
/// The trunk's own limit comes first.
const RING_SLACK_S: u64 = 5;

pub(super) struct Ari {
    credentials: Credentials,
    /// Name among Asterisk's endpoints of the trunk of calls that name none.
    trunk: Option<String>,
    /// Without trailing slash.
    base: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Channel {
    id: String,
    #[serde(default)]
    state: String,
}

#[derive(Deserialize)]
struct Refusal {
    message: String,
}

impl Ari {
    pub(super) fn new(
        credentials: Credentials,
        base: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        let trunk = credentials.route.clone().filter(|trunk| !trunk.is_empty());
        if trunk.as_deref().is_some_and(|trunk| !is_endpoint(trunk)) {
            return Err(Error::Account(
                "sip-trunk: telephony.sip-trunk.trunk is not the name of an endpoint".into(),
            ));
        }
        Ok(Self {
            credentials,
            trunk,
            base: base
                .unwrap_or(DEFAULT_BASE)
                .trim_end_matches('/')
                .to_owned(),
            http,
        })
    }

    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(super) async fn dial(&self, dial: &Dial) -> Dialled {
        let id = channel_id(&dial.reference);
        let trunk = dial.trunk.as_ref();
        let endpoint = trunk.map(|trunk| &trunk.endpoint).or(self.trunk.as_ref());
        let Some(endpoint) = endpoint.filter(|endpoint| is_endpoint(endpoint)) else {
            return Dialled::Refused(NotPlaced::Account(format!(
                "sip-trunk: {} belongs to no trunk; add it to one (POST /sip-trunks/trunks/…/numbers) or name one \
                 in telephony.sip-trunk.trunk",
                dial.from
            )));
        };
        let to = match trunk {
            Some(Trunk { plus: false, .. }) => dial.to.as_str().trim_start_matches('+'),
            _ => dial.to.as_str(),
        };
        let body = json!({
            "endpoint": format!("Local/{to}@bolo-out/n"),
            "context": "bolo-call",
            "extension": "s",
            "priority": 1,
            "callerId": dial.from.as_str(),
            "timeout": dial.ring.as_secs() + RING_SLACK_S,
            // Two underscores: the far half inherits them.
            "variables": {
                "__BOLO_ID": id,
                "__BOLO_TRUNK": endpoint,
                "__BOLO_FROM": dial.from.as_str(),
                "__BOLO_RING": dial.ring.as_secs().to_string(),
                "__BOLO_LIMIT": dial.limit.as_secs().to_string(),
                "__BOLO_ANSWER": dial.answer_url,
                "__BOLO_STATUS": dial.status_url,
            },
        });
        let request = self.request(Method::POST, &format!("/channels/{id}"));
        match self.send(request.json(&body)).await {
            Ok(response) => classify(response).await,
            Err(error) if error.is_builder() => Dialled::Refused(NotPlaced::Account(format!(
                "Asterisk: base_url can't be called: {error}"
            ))),
            // DNS, TCP or TLS: the request was never written.
            Err(error) if error.is_connect() => {
                let error = error.without_url();
                tracing::warn!(?error, "no connection to Asterisk; the dial was not sent");
                Dialled::Refused(NotPlaced::Later(CONNECT_RETRY))
            }
            Err(error) => Dialled::Unknown(format!("Asterisk did not answer the dial: {error}")),
        }
    }

    pub(super) async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error> {
        let id = channel_id(lost.reference);
        if lost.bound.iter().any(|bound| bound == id) {
            return Ok(None);
        }
        match self.fetch(id).await {
            Ok(state) => Ok(Some(state)),
            Err(Error::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        let request = self.request(Method::DELETE, &channel_path(call_id)?);
        let response = self.send(request).await.map_err(unavailable)?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // Over.
            StatusCode::NOT_FOUND => Ok(()),
            status => Err(fault(status, refusal(response).await)),
        }
    }

    /// Asterisk forgets a channel with its end.
    pub(super) async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        let request = self.request(Method::GET, &channel_path(call_id)?);
        let response = self.send(request).await.map_err(unavailable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(fault(status, refusal(response).await));
        }
        let body = read_body(response).await.map_err(Error::Unavailable)?;
        let channel: Channel = serde_json::from_slice(&body).map_err(|error| {
            Error::Unavailable(format!("Asterisk's answer is unreadable: {error}"))
        })?;
        Ok(CallState {
            id: channel.id,
            change: match channel.state.as_str() {
                "Ring" | "Ringing" | "Dialing" => Some(Change::Ringing),
                "Up" => Some(Change::Answered),
                _ => None,
            },
            hangup: None,
            duration_s: None,
        })
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http
            .request(method, format!("{}/ari{path}", self.base))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, reqwest::Error> {
        let Credentials { account, token, .. } = &self.credentials;
        request
            .basic_auth(account, Some(token.expose_secret()))
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
    }
}

/// `execution.attempt.mac` → `execution.attempt`: names of channels are seen by many, the mac is not theirs.
fn channel_id(reference: &str) -> &str {
    reference.rsplit_once('.').map_or(reference, |(id, _)| id)
}

fn channel_path(id: &str) -> Result<String, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if id.is_empty() || id.starts_with('.') || !id.bytes().all(fits) {
        return Err(Error::NotFound);
    }
    Ok(format!("/channels/{id}"))
}

/// It stands in a dial string.
fn is_endpoint(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    !name.is_empty() && name.bytes().all(fits)
}

/// Accepted, refused or unknown, from the reply to a dial (§6.1).
async fn classify(response: Response) -> Dialled {
    let status = response.status();
    if status.is_success() {
        return match read_body(response).await {
            Ok(body) => match serde_json::from_slice::<Channel>(&body) {
                Ok(channel) if !channel.id.is_empty() => Dialled::Accepted(channel.id),
                _ => Dialled::Unknown("Asterisk took the dial but its answer is unreadable".into()),
            },
            Err(cause) => Dialled::Unknown(format!(
                "Asterisk took the dial but its answer was cut off: {cause}"
            )),
        };
    }
    if matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) && let Some(wait) = retry_after(&response)
    {
        return Dialled::Refused(NotPlaced::Later(wait.max(BUSY_RETRY)));
    }
    let text = refusal(response).await;
    let said = explain(status, text.as_deref());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Dialled::Refused(NotPlaced::Credentials(said))
        }
        // The id is taken: by a dial of this very attempt.
        StatusCode::CONFLICT | StatusCode::REQUEST_TIMEOUT => Dialled::Unknown(said),
        // What Asterisk can't read; whether the number exists it learns later.
        status if status.is_client_error() && text.is_some() => {
            Dialled::Refused(NotPlaced::Account(said))
        }
        _ => Dialled::Unknown(said),
    }
}

/// The text of an error body; `None` when the body is not Asterisk's.
async fn refusal(response: Response) -> Option<String> {
    let body = read_body(response).await.ok()?;
    let refusal: Refusal = serde_json::from_slice(&body).ok()?;
    Some(refusal.message)
}

fn explain(status: StatusCode, text: Option<&str>) -> String {
    let said = match text {
        Some(text) => format!("Asterisk answered {}: {text}", status.as_u16()),
        None => format!("Asterisk answered {}", status.as_u16()),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{said} (check account and token of telephony.sip-trunk)")
        }
        _ => said,
    }
}

fn fault(status: StatusCode, text: Option<String>) -> Error {
    let said = explain(status, text.as_deref());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Account(said),
        StatusCode::NOT_FOUND => Error::NotFound,
        _ => Error::Unavailable(said),
    }
}

fn unavailable(error: reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::Account(format!("Asterisk: base_url can't be called: {error}"));
    }
    Error::Unavailable(format!("Asterisk could not be asked: {error}"))
}
