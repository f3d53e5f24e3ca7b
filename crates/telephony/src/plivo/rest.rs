//! The REST interface of Plivo's wire: dial, look up, hang up. Source: wire-telephony.md §2.1, §2.2, §3.1, §6.1.
//!
//! One request a call, no retry: what to do about a failure is the caller's to say. (Plivo's own Python SDK
//! repeats a dial after a 5xx, which may be a second phone call.)

use bolo_execution::{Hangup, HangupBy};
use chrono::{DateTime, Days, Utc};
use reqwest::{Method, Response, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    calls::{Cdr, Live, digits},
    dialect::Dialect,
};
use crate::{
    CallState, Credentials, Dial, Dialled, Error, LostDial, NotPlaced,
    http::{
        BUSY_RETRY, CLOCK_SLACK_MS, CONNECT_RETRY, MOST_PAGES, REQUEST_TIMEOUT, path_of, read_body,
        retry_after,
    },
};

/// Where a call stands before it is over, in the order of its life: asked in this order, none slips through.
const OPEN: [&str; 2] = ["queued", "live"];
/// The most that a page holds.
pub(super) const PAGE_SIZE: &str = "20";

pub(super) struct Rest {
    dialect: Dialect,
    credentials: Credentials,
    /// Without version, without trailing slash.
    pub(super) base: String,
    pub(super) http: reqwest::Client,
}

/// The answer to a dial. Several destinations would have several ids; ours has one.
#[derive(Deserialize)]
struct Fired {
    request_uuid: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Ids of calls that ring or talk, or wait to be dialled.
#[derive(Deserialize)]
struct Ids {
    calls: Vec<String>,
}

#[derive(Deserialize)]
struct Page {
    objects: Vec<Cdr>,
    meta: Meta,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(default)]
    next: Option<String>,
}

/// Vobiz's list of records.
#[derive(Deserialize)]
struct Records {
    data: Vec<Cdr>,
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    #[serde(default)]
    has_next: bool,
}

/// Vobiz's record.
#[derive(Deserialize)]
struct Recorded {
    data: Cdr,
}

impl Rest {
    pub(super) fn new(
        dialect: Dialect,
        credentials: Credentials,
        base: Option<&str>,
        http: reqwest::Client,
    ) -> Result<Self, Error> {
        // The account stands in every path.
        if !dialect.is_account(&credentials.account) {
            let [id, _] = dialect.keys();
            return Err(Error::Account(format!("{id} is not the id of an account")));
        }
        let base = base.unwrap_or(dialect.base()).trim_end_matches('/');
        let base = base.strip_suffix(dialect.version()).unwrap_or(base);
        Ok(Self {
            dialect,
            credentials,
            base: base.to_owned(),
            http,
        })
    }

    pub(super) fn token(&self) -> &SecretString {
        &self.credentials.token
    }

    pub(super) async fn dial(&self, dial: &Dial) -> Dialled {
        let with_rules = |url: &str| format!("{url}{}", self.dialect.fetch_rules());
        let status = with_rules(&dial.status_url);
        let mut body = json!({
            "from": digits(&dial.from),
            "to": digits(&dial.to),
            "answer_url": with_rules(&dial.answer_url),
            "answer_method": "POST",
            "ring_url": status,
            "ring_method": "POST",
            // Without one the answer address is told of the end.
            "hangup_url": status,
            "hangup_method": "POST",
            "ring_timeout": dial.ring.as_secs(),
            "time_limit": dial.limit.as_secs(),
        });
        if !dial.fallback_url.is_empty() {
            body["fallback_url"] = with_rules(&dial.fallback_url).into();
            body["fallback_method"] = "POST".into();
        }
        if let Some(url) = &dial.machine_url {
            // A text; the call goes on meanwhile.
            body["machine_detection"] = "true".into();
            body["machine_detection_url"] = with_rules(url).into();
            body["machine_detection_method"] = "POST".into();
        }
        let request = self.request(Method::POST, "/Call/").json(&body);
        let carrier = self.dialect.title();
        match self.send(request).await {
            Ok(response) => classify(self.dialect, response).await,
            Err(error) if error.is_builder() => Dialled::Refused(NotPlaced::Account(format!(
                "{carrier}: base_url can't be called: {error}"
            ))),
            // DNS, TCP or TLS: the request was never written.
            Err(error) if error.is_connect() => {
                let error = error.without_url();
                tracing::warn!(
                    ?error,
                    carrier,
                    "no connection to the carrier; the dial was not sent"
                );
                Dialled::Refused(NotPlaced::Later(CONNECT_RETRY))
            }
            Err(error) => Dialled::Unknown(format!("{carrier} did not answer the dial: {error}")),
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
        let pair = [
            ("from_number", digits(from)),
            ("to_number", digits(to)),
            ("call_direction", "outbound"),
        ];
        for status in OPEN {
            let path = self.dialect.open_list(status);
            let request = self.request(Method::GET, path).query(&pair);
            let ids: Ids = self.read(request.query(&[("status", status)])).await?;
            for id in ids.calls.iter().filter(|id| !bound.contains(id)) {
                match self.open(id, status).await {
                    Ok(call) if call.is(to, from, earliest) => return Ok(Some(call.into_state())),
                    // Further on meanwhile.
                    Ok(_) | Err(Error::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let ours = |call: &Cdr| call.is(to, from, earliest) && !bound.contains(&call.call_uuid);
        let since = DateTime::<Utc>::from_timestamp_millis(earliest).unwrap_or_default();
        let found = match self.dialect {
            Dialect::Plivo => {
                let time = since.format("%Y-%m-%d %H:%M:%S").to_string();
                let filter = [("end_time__gte", time.as_str()), ("limit", PAGE_SIZE)];
                let request = self.request(Method::GET, "/Call/").query(&pair);
                self.list(request.query(&filter), ours).await?
            }
            Dialect::Vobiz => self.records(&pair, since, ours).await?,
        };
        // The oldest: a later call between the same numbers belongs to a later dial.
        Ok(found
            .into_iter()
            .min_by_key(|call| call.initiated().unwrap_or(i64::MAX))
            .map(|call| call.into_state(self.dialect)))
    }

    /// A call that rings or talks is ended; one that still waits is taken out of the queue.
    pub(super) async fn hang_up(&self, call_id: &str) -> Result<(), Error> {
        let id = path_id(call_id)?;
        for path in self.dialect.hang_up(id) {
            let request = self.request(Method::DELETE, &path);
            let response = self.send(request).await.map_err(|e| self.unavailable(e))?;
            let status = response.status();
            if status.is_success() {
                return Ok(());
            }
            if status != StatusCode::NOT_FOUND {
                return Err(fault(self.dialect, status, refusal(response).await));
            }
        }
        // Neither live nor queued: over.
        Ok(())
    }

    pub(super) async fn redirect(&self, call_id: &str, url: &str) -> Result<(), Error> {
        let path = format!("/Call/{}/", path_id(call_id)?);
        let url = format!("{url}{}", self.dialect.fetch_rules());
        let body = json!({"legs": "aleg", "aleg_url": url, "aleg_method": "POST"});
        let request = self.request(Method::POST, &path).json(&body);
        let response = self
            .send(request)
            .await
            .map_err(|error| self.unavailable(error))?;
        let status = response.status();
        match status {
            _ if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(Error::NotFound),
            _ => Err(fault(self.dialect, status, refusal(response).await)),
        }
    }

    pub(super) async fn fetch(&self, call_id: &str) -> Result<CallState, Error> {
        let id = path_id(call_id)?;
        for status in OPEN {
            match self.open(id, status).await {
                Ok(call) => return Ok(call.into_state()),
                Err(Error::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        let request = self.request(Method::GET, &self.dialect.record(id));
        let record = match self.dialect {
            Dialect::Plivo => self.read(request).await?,
            Dialect::Vobiz => self.read::<Recorded>(request).await?.data,
        };
        Ok(record.into_state(self.dialect))
    }

    /// A call that is live or queued; `NotFound` when it is not.
    async fn open(&self, call_id: &str, status: &str) -> Result<Live, Error> {
        let path = self.dialect.open_call(path_id(call_id)?, status);
        let request = self.request(Method::GET, &path);
        self.read(request.query(&[("status", status)])).await
    }

    /// Every record of a listing that `keep` says, from all its pages.
    async fn list(
        &self,
        mut request: reqwest::RequestBuilder,
        keep: impl Fn(&Cdr) -> bool,
    ) -> Result<Vec<Cdr>, Error> {
        let mut found = Vec::new();
        for _ in 0..MOST_PAGES {
            let page: Page = self.read(request).await?;
            found.extend(page.objects.into_iter().filter(&keep));
            let Some(next) = page.meta.next.filter(|next| !next.is_empty()) else {
                return Ok(found);
            };
            // Only its path: our credentials go to no other host, whatever the page says.
            request = self.http.get(format!("{}{}", self.base, path_of(&next)));
        }
        Err(self.too_many())
    }

    /// The same of Vobiz's records, which are filtered by the day.
    async fn records(
        &self,
        pair: &[(&str, &str)],
        since: DateTime<Utc>,
        keep: impl Fn(&Cdr) -> bool,
    ) -> Result<Vec<Cdr>, Error> {
        // Both ends must be said; what zone the days are in, is not.
        let day =
            |days: Option<DateTime<Utc>>| days.unwrap_or(since).format("%Y-%m-%d").to_string();
        let start = day(since.checked_sub_days(Days::new(1)));
        let end = day(since.checked_add_days(Days::new(2)));
        let mut found = Vec::new();
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let filter = [
                ("start_date", start.as_str()),
                ("end_date", &end),
                ("per_page", "100"),
                ("page", &page),
            ];
            let request = self.request(Method::GET, "/cdr").query(pair);
            let records: Records = self.read(request.query(&filter)).await?;
            found.extend(records.data.into_iter().filter(&keep));
            if !records.pagination.has_next {
                return Ok(found);
            }
        }
        Err(self.too_many())
    }

    /// To say "none" could hide a call that rings.
    fn too_many(&self) -> Error {
        let carrier = self.dialect.title();
        Error::Unavailable(format!(
            "{carrier}'s list of calls has more than {MOST_PAGES} pages"
        ))
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, Error> {
        let response = self.send(request).await.map_err(|e| self.unavailable(e))?;
        let status = response.status();
        if !status.is_success() {
            return Err(fault(self.dialect, status, refusal(response).await));
        }
        let body = read_body(response).await.map_err(Error::Unavailable)?;
        serde_json::from_slice(&body).map_err(|error| {
            let carrier = self.dialect.title();
            Error::Unavailable(format!("{carrier}'s answer is unreadable: {error}"))
        })
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let (base, account) = (&self.base, &self.credentials.account);
        let version = self.dialect.version();
        let address = format!("{base}{version}/Account/{account}{path}");
        self.http.request(method, address)
    }

    pub(super) async fn send(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, reqwest::Error> {
        self.dialect
            .authorize(request, &self.credentials)
            .timeout(REQUEST_TIMEOUT)
            .send()
            .await
            .map_err(reqwest::Error::without_url)
    }

    fn unavailable(&self, error: reqwest::Error) -> Error {
        let carrier = self.dialect.title();
        if error.is_builder() {
            return Error::Account(format!("{carrier}: base_url can't be called: {error}"));
        }
        Error::Unavailable(format!("{carrier} could not be asked: {error}"))
    }
}

/// Accepted, refused or unknown, from the reply to a dial (§2.1, §6.1).
async fn classify(dialect: Dialect, response: Response) -> Dialled {
    let carrier = dialect.title();
    let status = response.status();
    if status.is_success() {
        return match read_body(response).await {
            Ok(body) => match serde_json::from_slice::<Fired>(&body)
                .ok()
                .and_then(Fired::id)
            {
                Some(id) => Dialled::Accepted(id),
                None => Dialled::Unknown(format!(
                    "{carrier} took the dial but its answer names no call"
                )),
            },
            Err(cause) => Dialled::Unknown(format!(
                "{carrier} took the dial but its answer was cut off: {cause}"
            )),
        };
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Dialled::Refused(NotPlaced::Later(
            retry_after(&response).unwrap_or(BUSY_RETRY),
        ));
    }
    let text = refusal(response).await;
    let said = dialect.explain(status, text.as_deref());
    let Some(text) = text else {
        // A 4xx without the carrier's words is not the carrier's.
        return match status {
            StatusCode::UNAUTHORIZED => Dialled::Refused(NotPlaced::Credentials(said)),
            _ => Dialled::Unknown(said),
        };
    };
    let text = text.to_ascii_lowercase();
    Dialled::Refused(match status {
        // India: too many calls at once (code 5030).
        StatusCode::FORBIDDEN if text.contains("limit") => NotPlaced::Later(BUSY_RETRY),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => NotPlaced::Credentials(said),
        StatusCode::REQUEST_TIMEOUT => return Dialled::Unknown(said),
        status if status.is_client_error() && is_about_number(&text) => NotPlaced::Number(Hangup {
            by: HangupBy::Carrier,
            reason: "Call recipient number invalid".to_owned(),
            code: 2000,
        }),
        status if status.is_client_error() => NotPlaced::Account(said),
        // A 5xx may come after the call was placed.
        _ => return Dialled::Unknown(said),
    })
}

impl Fired {
    fn id(self) -> Option<String> {
        let id = match self.request_uuid {
            OneOrMany::One(id) => id,
            OneOrMany::Many(ids) => ids.into_iter().next()?,
        };
        (!id.is_empty()).then_some(id)
    }
}

/// There are texts where others have codes: whether one is about the number called.
fn is_about_number(text: &str) -> bool {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| matches!(word, "to" | "to_number" | "destination"))
        && text.contains("valid")
        && !text.contains("from")
}

/// The text of an error body; `None` when the body is not the carrier's.
async fn refusal(response: Response) -> Option<String> {
    error_text(&read_body(response).await.ok()?)
}

pub(super) fn error_text(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    match body.get("error").or_else(|| body.get("message"))? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn fault(dialect: Dialect, status: StatusCode, text: Option<String>) -> Error {
    let said = dialect.explain(status, text.as_deref());
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Account(said),
        StatusCode::NOT_FOUND => Error::NotFound,
        _ => Error::Unavailable(said),
    }
}

/// A UUID, fit for a path.
fn path_id(text: &str) -> Result<&str, Error> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if !text.is_empty() && text.bytes().all(fits) {
        Ok(text)
    } else {
        Err(Error::NotFound)
    }
}

#[cfg(test)]
#[path = "rest_tests.rs"]
mod tests;
