//! Exotel's REST interface: dial, look up. Source: wire-telephony.md §3.2, §6.1; the list of calls: Exotel's page
//! "Call Details API (v1)".
//!
//! One request a call, no retry: what to do about a failure is the caller's to say.

use bolo_execution::{Direction, E164, Hangup, HangupBy};
use chrono::{DateTime, Days, FixedOffset, NaiveDateTime};
use reqwest::{Response, StatusCode};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::DeserializeOwned};

use super::webhook::{number, outcome};
use crate::{
    CallState, Credentials, Dial, Dialled, Error, LostDial, NotPlaced,
    http::{
        BUSY_RETRY, CLOCK_SLACK_MS, CONNECT_RETRY, MOST_PAGES, REQUEST_TIMEOUT, path_of, read_body,
        retry_after,
    },
};

const DEFAULT_BASE: &str = "https://api.exotel.com";
/// Flows are called by this address, whatever the region.
const FLOWS: &str = "http://my.exotel.com";
/// Exotel lets no call last longer, s.
const LONGEST: u64 = 14_400;
/// Exotel's times are Indian, without saying so.
const ZONE_S: i32 = 5 * 3600 + 1800;

pub(super) struct Rest {
    credentials: Credentials,
    /// The user of REST.
    key: String,
    /// The flow that leads an outbound call.
    flow: String,
    /// Without trailing slash.
    base: String,
    http: reqwest::Client,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Call")]
    call: Call,
}

/// A call, as far as we read it. Everything is nullable, and more fields come.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Call {
    sid: String,
    #[serde(default)]
    status: Option<String>,
    /// Who was called first: the one we dialled.
    #[serde(default)]
    from: Option<String>,
    /// Our number.
    #[serde(default)]
    phone_number_sid: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
    #[serde(default)]
    duration: Option<String>,
    #[serde(default)]
    custom_field: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    calls: Vec<Call>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Metadata {
    #[serde(default)]
    next_page_uri: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Refusal {
    rest_exception: Fault,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Fault {
    #[serde(default)]
    message: String,
}

impl Rest {
    pub(super) fn new(
        credentials: Credentials,
        base: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        // Both stand in addresses.
        let spelt = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !text.is_empty() && text.bytes().all(fits)
        };
        let lacks = |what: &str| Error::Account(format!("exotel: {what}"));
        if !spelt(&credentials.account) {
            return Err(lacks("EXOTEL_ACCOUNT_SID is not the SID of an account"));
        }
        let key = credentials.user.clone();
        let key = key.ok_or_else(|| lacks("no EXOTEL_API_KEY"))?;
        let flow = credentials.route.clone().filter(|flow| spelt(flow));
        let flow = flow.ok_or_else(|| lacks("EXOTEL_OUTBOUND_APP_ID is not the id of a flow"))?;
        let host = credentials.host.as_deref().map(own_host).transpose();
        let host = host.map_err(|()| lacks("EXOTEL_DOMAIN is no host of Exotel's"))?;
        let base = base.or(host.as_deref()).unwrap_or(DEFAULT_BASE);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            credentials,
            key,
            flow,
            http,
        })
    }

    pub(super) async fn dial(&self, dial: &Dial) -> Dialled {
        let (ring, limit) = (
            dial.ring.as_secs().to_string(),
            dial.limit.as_secs().min(LONGEST).to_string(),
        );
        let flow = format!(
            "{FLOWS}/{}/exoml/start_voice/{}",
            self.credentials.account, self.flow
        );
        let form = [
            ("From", dial.to.as_str()),
            ("CallerId", dial.from.as_str()),
            ("Url", &flow),
            ("CallType", "trans"),
            ("TimeLimit", &limit),
            ("TimeOut", &ring),
            ("StatusCallback", &dial.status_url),
            ("StatusCallbackEvents[0]", "terminal"),
            ("StatusCallbackEvents[1]", "answered"),
            ("StatusCallbackContentType", "application/json"),
            ("CustomField", &dial.reference),
        ];
        let request = self.http.post(self.address("/Calls/connect.json"));
        match self.send(request.form(&form)).await {
            Ok(response) => classify(response).await,
            Err(error) if error.is_builder() => Dialled::Refused(NotPlaced::Account(format!(
                "Exotel: base_url can't be called: {error}"
            ))),
            // DNS, TCP or TLS: the request was never written.
            Err(error) if error.is_connect() => {
                let error = error.without_url();
                tracing::warn!(?error, "no connection to Exotel; the dial was not sent");
                Dialled::Refused(NotPlaced::Later(CONNECT_RETRY))
            }
            Err(error) => Dialled::Unknown(format!("Exotel did not answer the dial: {error}")),
        }
    }

    /// The list may leave calls out that are still up; their callbacks find the execution by themselves.
    pub(super) async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error> {
        let earliest = lost.since - CLOCK_SLACK_MS;
        let since = DateTime::from_timestamp_millis(earliest).unwrap_or_default();
        let zone = zone();
        let time = |time: Option<DateTime<chrono::Utc>>| {
            let time = time.unwrap_or(since).with_timezone(&zone);
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        };
        let end = time(since.checked_add_days(Days::new(1)));
        let created = format!("gte:{};lte:{end}", time(None));
        let query = [
            ("From", lost.to.as_str()),
            ("DateCreated", &created),
            ("SortBy", "DateCreated:asc"),
            ("PageSize", "100"),
        ];
        let mut request = self.http.get(self.address("/Calls.json")).query(&query);
        for _ in 0..MOST_PAGES {
            let page: Page = self.read(request).await?;
            // The oldest: a later call between the same numbers belongs to a later dial.
            let found = page.calls.into_iter().find(|call| call.is(lost, earliest));
            if let Some(call) = found {
                return Ok(Some(call.into_state()));
            }
            let Some(next) = page.metadata.next_page_uri.filter(|next| !next.is_empty()) else {
                return Ok(None);
            };
            // Only its path: our credentials go to no other host, whatever the page says.
            request = self.http.get(format!("{}{}", self.base, path_of(&next)));
        }
        // To say "none" here could hide a call that rings.
        Err(Error::Unavailable(format!(
            "Exotel's list of calls has more than {MOST_PAGES} pages"
        )))
    }

    pub(super) async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        match self.fetch(call_id).await {
            Err(Error::NotFound) => Ok(()),
            Ok(state) if state.hangup.is_some() => Ok(()),
            Ok(_) => Err(Error::Unsupported(
                "Exotel ends no call by request: it ends with its media socket",
            )),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        if call_id.is_empty() || !call_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(Error::NotFound);
        }
        let request = self
            .http
            .get(self.address(&format!("/Calls/{call_id}.json")));
        Ok(self.read::<Answer>(request).await?.call.into_state())
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.send(request).await.map_err(unavailable)?;
        let status = response.status();
        if !status.is_success() {
            let said = explain(status, refusal(response).await.as_deref());
            return Err(match status {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Account(said),
                StatusCode::NOT_FOUND => Error::NotFound,
                _ => Error::Unavailable(said),
            });
        }
        let body = read_body(response).await.map_err(Error::Unavailable)?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unavailable(format!("Exotel's answer is unreadable: {error}")))
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response, reqwest::Error> {
        request
            .basic_auth(&self.key, Some(self.credentials.token.expose_secret()))
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
    }

    fn address(&self, path: &str) -> String {
        let (base, account) = (&self.base, &self.credentials.account);
        format!("{base}/v1/Accounts/{account}{path}")
    }
}

impl Call {
    /// Whether this is the dial that was lost: by its `CustomField` where the list shows it.
    fn is(&self, lost: &LostDial<'_>, earliest: i64) -> bool {
        if lost.bound.contains(&self.sid) {
            return false;
        }
        if let Some(field) = self
            .custom_field
            .as_deref()
            .filter(|field| !field.is_empty())
        {
            return field == lost.reference;
        }
        let is = |found: &Option<String>, wanted: &E164| {
            found
                .as_deref()
                .is_some_and(|found| number(found) == wanted.as_str())
        };
        let outbound = self
            .direction
            .as_deref()
            .is_none_or(|word| word == "outbound-api");
        outbound
            && is(&self.from, lost.to)
            && is(&self.phone_number_sid, lost.from)
            && self
                .created()
                .is_some_and(|created| created + 999 >= earliest)
    }

    /// Epoch ms.
    fn created(&self) -> Option<i64> {
        let text = self.date_created.as_deref()?;
        let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
        Some(time.and_local_timezone(zone()).single()?.timestamp_millis())
    }

    fn into_state(self) -> CallState {
        let direction = match self.direction.as_deref() {
            Some("inbound") => Direction::Inbound,
            _ => Direction::Outbound,
        };
        // "in-progress" stands there from the dial on.
        let (change, hangup) = match self.status.as_deref() {
            Some("in-progress") | None => (None, None),
            Some(status) => outcome(status, direction),
        };
        CallState {
            duration_s: hangup
                .as_ref()
                .and(self.duration)
                .and_then(|text| text.parse().ok()),
            id: self.sid,
            change,
            hangup,
        }
    }
}

/// An account may choose among Exotel's hosts, not send us anywhere.
fn own_host(text: &str) -> Result<String, ()> {
    let host = text.trim().trim_start_matches("https://");
    let host = host.trim_start_matches('@').trim_end_matches('/');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if host.ends_with(".exotel.com") && host.bytes().all(fits) {
        Ok(format!("https://{host}"))
    } else {
        Err(())
    }
}

fn zone() -> FixedOffset {
    // Five and a half hours are an offset.
    FixedOffset::east_opt(ZONE_S).unwrap_or_else(|| chrono::Offset::fix(&chrono::Utc))
}

/// Accepted, refused or unknown, from the reply to a dial (§3.2, §6.1).
async fn classify(response: Response) -> Dialled {
    let status = response.status();
    if status.is_success() {
        return match read_body(response).await {
            Ok(body) => match serde_json::from_slice::<Answer>(&body) {
                Ok(Answer { call }) if !call.sid.is_empty() => Dialled::Accepted(call.sid),
                _ => Dialled::Unknown("Exotel took the dial but its answer is unreadable".into()),
            },
            Err(cause) => Dialled::Unknown(format!(
                "Exotel took the dial but its answer was cut off: {cause}"
            )),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Dialled::Refused(NotPlaced::Later(
            retry_after(&response).unwrap_or(BUSY_RETRY),
        ));
    }
    let text = refusal(response).await;
    let said = explain(status, text.as_deref());
    let Some(text) = text else {
        // A 4xx without Exotel's words is not Exotel's.
        return match status {
            StatusCode::UNAUTHORIZED => Dialled::Refused(NotPlaced::Credentials(said)),
            _ => Dialled::Unknown(said),
        };
    };
    let text = text.to_ascii_lowercase();
    // "Call to … cannot be made because of TRAI NDNC regulations"
    let forbidden = text.contains("ndnc") || text.contains("dnd");
    Dialled::Refused(match status {
        StatusCode::REQUEST_TIMEOUT => return Dialled::Unknown(said),
        _ if !status.is_client_error() => return Dialled::Unknown(said),
        _ if forbidden => NotPlaced::Number(hangup("Carrier declined", 3040)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NotPlaced::Credentials(said),
        // The one who is called stands in `From`.
        _ if text.contains("valid") && !text.contains("callerid") && text.contains("from") => {
            NotPlaced::Number(hangup("Call recipient number invalid", 2000))
        }
        _ => NotPlaced::Account(said),
    })
}

fn hangup(reason: &str, code: u16) -> Hangup {
    Hangup {
        by: HangupBy::Carrier,
        reason: reason.to_owned(),
        code,
    }
}

/// The text of an error body; `None` when the body is not Exotel's.
async fn refusal(response: Response) -> Option<String> {
    let body = read_body(response).await.ok()?;
    let refusal: Refusal = serde_json::from_slice(&body).ok()?;
    Some(refusal.rest_exception.message)
}

fn explain(status: StatusCode, text: Option<&str>) -> String {
    let said = match text {
        Some(text) => format!("Exotel answered {}: {text}", status.as_u16()),
        None => format!("Exotel answered {}", status.as_u16()),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            format!("{said} (check EXOTEL_ACCOUNT_SID, EXOTEL_API_KEY and EXOTEL_API_TOKEN)")
        }
        _ => said,
    }
}

fn unavailable(error: reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::Account(format!("Exotel: base_url can't be called: {error}"));
    }
    Error::Unavailable(format!("Exotel could not be asked: {error}"))
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
