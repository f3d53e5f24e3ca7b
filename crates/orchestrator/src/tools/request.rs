//! One request of a tool: built, sent, read within bounds, shown without secrets (R105-R107, R118, R119).

use std::time::Duration;

use bolo_agent::{Answers, Method, Request, Secret, Values, percent_encoded, plain};
use bolo_providers::PublicClient;
use futures_util::StreamExt;
use indexmap::IndexMap;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::fill;

/// Read of an answer.
const READ: usize = 1 << 20;
/// Given to the model.
const TOLD: usize = 32 << 10;
/// Characters of a failure's body that the model sees (R106).
const OF_FAILURE: usize = 500;
const FORM: &str = "application/x-www-form-urlencoded";

/// A request ready to be sent.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Of the query or the body, for the log.
    pub(super) sent: String,
    body: Option<String>,
}

impl Built {
    /// The request of a tool; else why there is none, for the model.
    pub(super) fn new(request: &Request, values: Values<'_>) -> Result<Self, String> {
        let param = fill(request.param.as_ref(), values)?;
        let mut url = request.url.fill(values);
        if request.method == Method::Get {
            for (name, value) in &param {
                url.push(if url.contains('?') { '&' } else { '?' });
                let value = percent_encoded(&plain(value));
                url.push_str(&format!("{}={value}", percent_encoded(name)));
            }
        }
        let url =
            Url::parse(&url).map_err(|error| format!("the tool's address is none: {error}"))?;
        let mut headers = headers(&request.headers, request.api_token.as_ref())?;
        let (body, sent) = match request.method {
            Method::Get => (None, Value::Object(param).to_string()),
            _ => {
                let body = body(&param, &mut headers);
                (Some(body.clone()), body)
            }
        };
        Ok(Self {
            sent,
            method: request.method,
            url,
            headers,
            body,
        })
    }

    /// A POST of JSON.
    pub(super) fn post(
        url: Url,
        param: &Map<String, Value>,
        given: &IndexMap<String, Secret>,
        api_token: Option<&Secret>,
    ) -> Result<Self, String> {
        let mut headers = headers(given, api_token)?;
        let body = body(param, &mut headers);
        Ok(Self {
            sent: body.clone(),
            method: Method::Post,
            url,
            headers,
            body: Some(body),
        })
    }

    /// The address for the log: without user and password, and without the query's values, which may be
    /// keys.
    pub(super) fn shown_url(&self) -> String {
        let mut url = self.url.clone();
        // These can't fail for http addresses.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let names: Vec<String> = url
            .query_pairs()
            .map(|(name, _)| format!("{name}=…"))
            .collect();
        url.set_query(None);
        match names.is_empty() {
            true => url.to_string(),
            false => format!("{url}?{}", names.join("&")),
        }
    }
}

fn headers(
    given: &IndexMap<String, Secret>,
    api_token: Option<&Secret>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let value = |name: &str, secret: &Secret| {
        HeaderValue::from_str(secret.expose())
            .map_err(|_| format!("the header {name} can't be sent"))
    };
    if let Some(token) = api_token {
        headers.insert(AUTHORIZATION, value("authorization", token)?);
    }
    for (name, secret) in given {
        let known = HeaderName::from_bytes(name.as_bytes());
        let known = known.map_err(|_| format!("the header {name} can't be sent"))?;
        headers.insert(known, value(name, secret)?);
    }
    Ok(headers)
}

/// JSON, or a form where the headers say so; nested values of a form are JSON text.
fn body(param: &Map<String, Value>, headers: &mut HeaderMap) -> String {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(FORM)) {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(param.iter().map(|(name, value)| (name, plain(value))));
        return form.finish();
    }
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    Value::Object(param.clone()).to_string()
}

/// Why a tool has no result; its text is for the model.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Failure {
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("blocked by policy")]
    Blocked,
    #[error("the tool's server could not be reached")]
    Network,
    #[error("status {0}: {1}")]
    Status(u16, String),
}

impl Failure {
    /// For logs of the server.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Timeout(_) => "timeout",
            Self::Blocked => "blocked by policy",
            Self::Network => "connection",
            Self::Status(..) => "status",
        }
    }

    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status, _) => Some(*status),
            _ => None,
        }
    }
}

/// Sends it once, whatever happens; status and text of the answer.
pub(super) async fn send(
    http: &PublicClient,
    built: Built,
    limit: Duration,
) -> Result<(u16, String), Failure> {
    let method = reqwest::Method::from_bytes(built.method.as_str().as_bytes());
    let request = http.request(method.unwrap_or(reqwest::Method::POST), built.url);
    let mut request = request
        .map_err(|_| Failure::Blocked)?
        .headers(built.headers);
    if let Some(body) = built.body {
        request = request.body(body);
    }
    tokio::time::timeout(limit, exchange(request))
        .await
        .unwrap_or(Err(Failure::Timeout(limit)))
}

async fn exchange(request: reqwest::RequestBuilder) -> Result<(u16, String), Failure> {
    let failed = |error: reqwest::Error| match PublicClient::refused(&error) {
        true => Failure::Blocked,
        false => Failure::Network,
    };
    let response = request.send().await.map_err(failed)?;
    let status = response.status();
    let mut bytes = Vec::new();
    let mut stream = response.bytes_stream();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(failed)?;
        bytes.extend_from_slice(&chunk[..chunk.len().min(READ - bytes.len())]);
        if bytes.len() == READ {
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    if status.is_success() {
        return Ok((status.as_u16(), cut(&text, TOLD).to_owned()));
    }
    // A redirect is not followed (R105): it is no answer either.
    let shown = text.chars().take(OF_FAILURE).collect();
    Err(Failure::Status(status.as_u16(), shown))
}

/// The beginning of a text, whole characters, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// What the model is told of an answer.
pub(super) fn told(answers: Answers, body: String) -> String {
    if answers == Answers::Slots && has_no_slot(&body) {
        return "No slot is free in that time.".to_owned();
    }
    match body.trim().is_empty() {
        true => "Done; the server sent no text.".to_owned(),
        false => body,
    }
}

/// A calendar's answer in which every list is empty (R118).
fn has_no_slot(body: &str) -> bool {
    fn is_empty(value: &Value) -> bool {
        match value {
            Value::Array(items) => items.iter().all(is_empty),
            Value::Object(members) => members.values().all(is_empty),
            Value::Null => true,
            _ => false,
        }
    }
    let value: Value = serde_json::from_str(body).unwrap_or_else(|_| body.into());
    let slots = value
        .get("data")
        .or_else(|| value.get("slots"))
        .unwrap_or(&value);
    is_empty(slots)
}

/// Headers for the log; what may be a key is hidden (R119).
pub(super) fn logged(headers: &HeaderMap) -> Value {
    let shown = headers.iter().map(|(name, value)| {
        let value = match is_secret(name.as_str()) {
            true => "***",
            false => value.to_str().unwrap_or("?"),
        };
        (name.to_string(), Value::String(value.to_owned()))
    });
    Value::Object(shown.collect())
}

fn is_secret(name: &str) -> bool {
    const KNOWN: [&str; 5] = [
        "authorization",
        "proxy-authorization",
        "x-api-key",
        "api-key",
        "cookie",
    ];
    let name = name.to_ascii_lowercase();
    KNOWN.contains(&name.as_str())
        || ["token", "secret", "key", "auth"]
            .iter()
            .any(|part| name.contains(part))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bolo_agent::{Agent, ToolAction, Variables};
    use serde_json::json;

    use super::*;

    /// The request of a tool with these params, called with these arguments.
    fn built(params: Value, arguments: Value) -> Result<Built, String> {
        let mut document = crate::bench::agent("", json!({}));
        document["agent_config"]["tasks"][0]["tools_config"]["api_tools"] = json!({
            "tools": [{"name": "t", "description": "d", "parameters": {}}], "tools_params": {"t": params},
        });
        let mut tools = Agent::parse(&document).unwrap().conversation.tools;
        let ToolAction::Request(request) = tools.remove(0).action else {
            return Err("a transfer".into());
        };
        let owned = json!({"call_sid": "CA1"});
        Built::new(
            &request,
            Values {
                owned: owned.as_object().unwrap(),
                arguments: arguments.as_object().unwrap(),
                variables: &Variables::default(),
            },
        )
    }

    #[test] // R105
    fn a_get_carries_its_values_in_the_query_each_encoded_once() {
        let params = json!({
            "method": "GET", "url": "https://h.example/a?cb=https%3A%2F%2Fx%2F",
            "param": {"q": "%(q)s", "sid": "%(call_sid)s", "tags": {"$var": "tags"}},
        });
        let built = built(params, json!({"q": "a b&c", "tags": ["x"]})).unwrap();
        assert_eq!(
            built.url.as_str(),
            "https://h.example/a?cb=https%3A%2F%2Fx%2F&q=a%20b%26c&sid=CA1&tags=%5B%22x%22%5D"
        );
        assert!(built.body.is_none() && built.headers.is_empty());
        assert_eq!(
            built.shown_url(),
            "https://h.example/a?cb=…&q=…&sid=…&tags=…"
        );
    }

    #[test] // R105
    fn others_carry_json_or_a_form() {
        let params = |headers: Value| {
            json!({
                "url": "https://u:p@h.example/", "method": "PUT", "param": {"a": "%(a)s", "b": {"$var": "b"}},
                "headers": headers, "api_token": "Bearer k",
            })
        };
        let arguments = json!({"a": "x y", "b": {"c": 1}});
        let as_json = built(params(json!({})), arguments.clone()).unwrap();
        assert_eq!(as_json.body.as_deref(), Some(r#"{"a":"x y","b":{"c":1}}"#));
        assert_eq!(as_json.headers[CONTENT_TYPE], "application/json");
        assert_eq!(as_json.headers[AUTHORIZATION], "Bearer k");
        assert_eq!(as_json.shown_url(), "https://h.example/");
        let form = json!({"content-type": "application/x-www-form-urlencoded"});
        let as_form = built(params(form), arguments).unwrap();
        assert_eq!(as_form.body.as_deref(), Some("a=x+y&b=%7B%22c%22%3A1%7D"));
    }

    #[test] // R119
    fn headers_that_may_hold_keys_are_hidden() {
        let names = [
            "Authorization",
            "Proxy-Authorization",
            "X-Api-Key",
            "api-key",
            "Cookie",
            "X-Auth-Token",
            "My-Secret",
        ];
        let mut headers = HeaderMap::new();
        for name in names.into_iter().chain(["X-Shop"]) {
            let name: HeaderName = name.parse().unwrap();
            headers.insert(name, HeaderValue::from_static("hush"));
        }
        let shown = logged(&headers).to_string();
        assert_eq!(shown.matches("hush").count(), 1, "{shown}");
        assert!(shown.contains(r#""x-shop":"hush""#), "{shown}");
    }

    #[test] // R118
    fn a_calendar_without_a_free_slot_says_so() {
        let none = "No slot is free in that time.";
        for empty in [
            r#"{"data":{}}"#,
            r#"{"slots":{"2026-11-26":[]}}"#,
            "[]",
            r#"{"data":null}"#,
        ] {
            assert_eq!(told(Answers::Slots, empty.into()), none, "{empty}");
        }
        let free = r#"{"status":"success","data":{"2026-11-26":[{"start":"10:00"}]}}"#;
        assert_eq!(told(Answers::Slots, free.into()), free);
        assert_eq!(told(Answers::Slots, "gateway down".into()), "gateway down");
        assert_eq!(told(Answers::Anything, "[]".into()), "[]");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
    }
}
