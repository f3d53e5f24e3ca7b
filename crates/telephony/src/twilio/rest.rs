//! Twilio's REST interface: dial, look up, hang up. Source: wire-telephony.md §1.1-1.3, §6.1.
//!
//! One request a call, no retry: what to do about a failure is the caller's to say.

use bolo_execution::Direction;
use chrono::{DateTime, Utc};
use reqwest::{Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    FETCH_RULES,
    outcome::{outcome, refused_number},
};
use crate::{
    CallState, Credentials, Dial, Dialled, Error, LostDial, NotPlaced,
    http::{
        BUSY_RETRY, CLOCK_SLACK_MS, CONNECT_RETRY, MOST_PAGES, REQUEST_TIMEOUT, path_of, read_body,
        retry_after,
    },
};

const DEFAULT_BASE: &str = "https://api.twilio.com";
const VERSION: &str = "/2010-04-01";
const PAGE_SIZE: &str = "100";

pub(super) struct Rest {
    credentials: Credentials,
    /// Without version, without trailing slash.
    pub(super) base: String,
    pub(super) http: reqwest::Client,
}

/// A call, as far as we read it. Everything is nullable, and more fields come.
#[derive(Deserialize)]
struct Call {
    sid: String,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    from: Option<String>,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
    #[serde(default)]
    duration: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    calls: Vec<Call>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

/// Twilio's error body.
#[derive(Deserialize)]
pub(super) struct Refusal {
    #[serde(default)]
    pub(super) code: Option<u32>,
    #[serde(default)]
    message: Option<String>,
}

impl Rest {
    pub(super) fn new(
        credentials: Credentials,
        base: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        // The account stands in every path.
        if !is_sid(&credentials.account) {
            return Err(Error::Account(
                "TWILIO_ACCOUNT_SID is not the SID of an account".into(),
            ));
        }
        let base = base.unwrap_or(DEFAULT_BASE).trim_end_matches('/');
        Ok(Self {
            credentials,
            base: base.strip_suffix(VERSION).unwrap_or(base).to_owned(),
            http,
        })
    }

    pub(super) fn token(&self) -> &SecretString {
        &self.credentials.token
    }

    pub(super) async fn dial(&self, dial: &Dial) -> Dialled {
        let (ring, limit) = (
            dial.ring.as_secs().to_string(),
            dial.limit.as_secs().to_string(),
        );
        let with_rules = |url: &str| format!("{url}{FETCH_RULES}");
        let (answer, status) = (with_rules(&dial.answer_url), with_rules(&dial.status_url));
        let fallback = with_rules(&dial.fallback_url);
        let mut form = vec![
            ("To", dial.to.as_str()),
            ("From", dial.from.as_str()),
            ("Url", &answer),
            ("Method", "POST"),
            ("StatusCallback", &status),
            ("StatusCallbackMethod", "POST"),
            ("StatusCallbackEvent", "initiated"),
            ("StatusCallbackEvent", "ringing"),
            ("StatusCallbackEvent", "answered"),
            ("StatusCallbackEvent", "completed"),
            ("Timeout", &ring),
            ("TimeLimit", &limit),
        ];
        if !dial.fallback_url.is_empty() {
            form.extend([
                ("FallbackUrl", fallback.as_str()),
                ("FallbackMethod", "POST"),
            ]);
        }
        let machine = dial.machine_url.as_deref().map(with_rules);
        if let Some(url) = &machine {
            form.extend([
                ("MachineDetection", "Enable"),
                // Else the callee hears silence while Twilio listens.
                ("AsyncAmd", "true"),
                ("AsyncAmdStatusCallback", url),
                ("AsyncAmdStatusCallbackMethod", "POST"),
            ]);
        }
        let request = self.http.post(self.address("/Calls.json")).form(&form);
        match self.send(request).await {
            Ok(response) => classify(response).await,
            Err(error) if error.is_builder() => Dialled::Refused(NotPlaced::Account(format!(
                "Twilio: base_url can't be called: {error}"
            ))),
            // DNS, TCP or TLS: the request was never written.
            Err(error) if error.is_connect() => {
                let error = error.without_url();
                tracing::warn!(?error, "no connection to Twilio; the dial was not sent");
                Dialled::Refused(NotPlaced::Later(CONNECT_RETRY))
            }
            Err(error) => Dialled::Unknown(format!("Twilio did not answer the dial: {error}")),
        }
    }

    pub(super) async fn find_dial(&self, lost: &LostDial<'_>) -> Result<Option<CallState>, Error> {
        let LostDial {
            to,
            from,
            since,
            bound,
            ..
        } = *lost;
        let earliest = since - CLOCK_SLACK_MS;
        let day = DateTime::<Utc>::from_timestamp_millis(earliest)
            .unwrap_or_default()
            .format("%Y-%m-%d")
            .to_string();
        // A queued call has no start time, so the listing by day may leave it out.
        for filter in [("StartTime>", day.as_str()), ("Status", "queued")] {
            let query = [
                ("To", to.as_str()),
                ("From", from.as_str()),
                filter,
                ("PageSize", PAGE_SIZE),
            ];
            let found = self
                .list(&query, |call| {
                    call.direction
                        .as_deref()
                        .is_none_or(|direction| direction == "outbound-api")
                        && call.to.as_deref() == Some(to.as_str())
                        && call.from.as_deref() == Some(from.as_str())
                        && !bound.contains(&call.sid)
                        && call.created_since(earliest)
                })
                .await?;
            // The oldest: a later call between the same numbers belongs to a later dial.
            if let Some(call) = found
                .into_iter()
                .min_by_key(|call| call.created().unwrap_or(i64::MAX))
            {
                return Ok(Some(call.into_state()));
            }
        }
        Ok(None)
    }

    pub(super) async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        let request = self
            .http
            .post(self.call_address(call_id)?)
            .form(&[("Status", "completed")]);
        let response = self.send(request).await.map_err(unavailable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let refusal = read_refusal(response).await;
        // 21220: the call is over already. 404: so long over that it is forgotten.
        if status == StatusCode::NOT_FOUND || refusal.code == Some(21220) {
            return Ok(());
        }
        Err(fault(status, &refusal))
    }

    pub(super) async fn redirect(&self, call_id: &str, url: &str) -> Result<(), Error> {
        let request = self
            .http
            .post(self.call_address(call_id)?)
            .form(&[("Url", &*format!("{url}{FETCH_RULES}")), ("Method", "POST")]);
        let response = self.send(request).await.map_err(unavailable)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let refusal = read_refusal(response).await;
        // 21220: the call is over already.
        if status == StatusCode::NOT_FOUND || refusal.code == Some(21220) {
            return Err(Error::NotFound);
        }
        Err(fault(status, &refusal))
    }

    pub(super) async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        let request = self.http.get(self.call_address(call_id)?);
        Ok(self.read::<Call>(request).await?.into_state())
    }

    /// Every call of a listing that `keep` says, from all its pages.
    async fn list(
        &self,
        query: &[(&str, &str)],
        keep: impl Fn(&Call) -> bool,
    ) -> Result<Vec<Call>, Error> {
        let mut request = self.http.get(self.address("/Calls.json")).query(query);
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: Page = self.read(request).await?;
            found.extend(page.calls.into_iter().filter(&keep));
            let Some(next) = page.next_page_uri.filter(|next| !next.is_empty()) else {
                return Ok(found);
            };
            // Only its path: our credentials go to no other host, whatever the page says.
            request = self.http.get(format!("{}{}", self.base, path_of(&next)));
        }
        // To say "none" here could hide a call that rings.
        Err(Error::Unavailable(format!(
            "Twilio's list of calls has more than {MOST_PAGES} pages"
        )))
    }

    async fn read<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.send(request).await.map_err(unavailable)?;
        let status = response.status();
        if !status.is_success() {
            return Err(fault(status, &read_refusal(response).await));
        }
        let body = read_body(response).await.map_err(Error::Unavailable)?;
        serde_json::from_slice(&body)
            .map_err(|error| Error::Unavailable(format!("Twilio's answer is unreadable: {error}")))
    }

    pub(super) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, reqwest::Error> {
        request
            .basic_auth(
                &self.credentials.account,
                Some(self.credentials.token.expose_secret()),
            )
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
    }

    pub(super) fn address(&self, path: &str) -> String {
        format!(
            "{}{VERSION}/Accounts/{}{path}",
            self.base, self.credentials.account
        )
    }

    fn call_address(&self, call_id: &str) -> Result<String, Error> {
        if !is_sid(call_id) {
            return Err(Error::NotFound);
        }
        Ok(self.address(&format!("/Calls/{call_id}.json")))
    }
}

impl Call {
    /// Epoch ms.
    fn created(&self) -> Option<i64> {
        let text = self.date_created.as_deref()?;
        DateTime::parse_from_rfc2822(text)
            .or_else(|_| DateTime::parse_from_rfc3339(text))
            .ok()
            .map(|at| at.timestamp_millis())
    }

    /// A call just made may have no date yet. Twilio's dates have whole seconds.
    fn created_since(&self, earliest: i64) -> bool {
        match self.created() {
            Some(created) => created + 999 >= earliest,
            None => self.status.as_deref() == Some("queued"),
        }
    }

    fn into_state(self) -> CallState {
        let direction = match self.direction.as_deref() {
            Some("inbound") => Direction::Inbound,
            _ => Direction::Outbound,
        };
        let (change, hangup) = outcome(
            self.status.as_deref().unwrap_or_default(),
            None,
            None,
            direction,
        );
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

/// Accepted, refused or unknown, from the reply to a dial (§1.3, §6.1).
async fn classify(response: Response) -> Dialled {
    let status = response.status();
    if status.is_success() {
        return match read_body(response).await {
            Ok(body) => match serde_json::from_slice::<Call>(&body) {
                Ok(call) if !call.sid.is_empty() => Dialled::Accepted(call.sid),
                _ => Dialled::Unknown("Twilio took the dial but its answer is unreadable".into()),
            },
            Err(cause) => Dialled::Unknown(format!(
                "Twilio took the dial but its answer was cut off: {cause}"
            )),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Dialled::Refused(NotPlaced::Later(
            retry_after(&response).unwrap_or(BUSY_RETRY),
        ));
    }
    let refusal = read_refusal(response).await;
    let said = refusal.describe(status);
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Dialled::Refused(NotPlaced::Credentials(account_text(&said)));
    }
    match refusal.code {
        // 21204: "already initiated" may be our own.
        Some(21204) => Dialled::Unknown(said),
        Some(20429) => Dialled::Refused(NotPlaced::Later(BUSY_RETRY)),
        Some(code) if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            Dialled::Refused(match refused_number(code) {
                Some(hangup) => NotPlaced::Number(hangup),
                None => NotPlaced::Account(said),
            })
        }
        // A 5xx may come after the call was placed; a 4xx without Twilio's words is not Twilio's.
        _ => Dialled::Unknown(said),
    }
}

impl Refusal {
    fn describe(&self, status: StatusCode) -> String {
        match (self.code, &self.message) {
            (Some(code), Some(message)) => format!("Twilio error {code}: {message}"),
            (Some(code), None) => format!("Twilio error {code}"),
            (None, _) => format!("Twilio answered {}", status.as_u16()),
        }
    }

    /// The same, and what to mend where our account is at fault.
    pub(super) fn explain(&self, status: StatusCode) -> String {
        let said = self.describe(status);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => account_text(&said),
            _ => said,
        }
    }
}

fn fault(status: StatusCode, refusal: &Refusal) -> Error {
    let said = refusal.describe(status);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Account(account_text(&said)),
        StatusCode::NOT_FOUND => Error::NotFound,
        _ => Error::Unavailable(said),
    }
}

fn account_text(said: &str) -> String {
    format!("{said} (check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN)")
}

fn unavailable(error: reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::Account(format!("Twilio: base_url can't be called: {error}"));
    }
    Error::Unavailable(format!("Twilio could not be asked: {error}"))
}

async fn read_refusal(response: Response) -> Refusal {
    let body = read_body(response).await.unwrap_or_default();
    serde_json::from_slice(&body).unwrap_or(Refusal {
        code: None,
        message: None,
    })
}

/// Letters and digits only, so that it can stand in a path.
pub(super) fn is_sid(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
