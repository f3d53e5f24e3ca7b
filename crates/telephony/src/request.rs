//! A carrier's HTTP request as it came, and the form or query in it.

use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use url::form_urlencoded;

/// What a carrier's request consists of, for signatures and parsing. `url` is the configured public
/// base plus path and query exactly as received.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// Public address as the carrier requested it, `https://…` or `wss://…`.
    pub url: &'a str,
    /// Header lookup is case-insensitive.
    pub headers: &'a axum::http::HeaderMap,
    /// Raw body; empty for GET and upgrades.
    pub body: &'a [u8],
}

impl<'a> RequestParts<'a> {
    /// Names and values of the form or the JSON object of a POST, else of the query.
    pub fn fields(&self) -> Vec<(String, String)> {
        if self.content_type().eq_ignore_ascii_case("application/json") {
            return json_fields(self.body);
        }
        let text = if self.is_form() {
            self.body
        } else {
            self.query().as_bytes()
        };
        form_urlencoded::parse(text).into_owned().collect()
    }

    /// A POST whose body is a form.
    pub(crate) fn is_form(&self) -> bool {
        self.method.eq_ignore_ascii_case("POST")
            && self
                .content_type()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
    }

    fn content_type(&self) -> &'a str {
        let content = self.header(CONTENT_TYPE.as_str()).unwrap_or_default();
        content.split(';').next().unwrap_or_default().trim()
    }

    /// The query of the address, without its fragment.
    pub(crate) fn query(&self) -> &'a str {
        let url = self.url.split('#').next().unwrap_or_default();
        url.split_once('?').map_or("", |(_, query)| query)
    }

    /// A header's text.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Texts as they are, whatever else as JSON; what is null is left out.
fn json_fields(body: &[u8]) -> Vec<(String, String)> {
    let fields: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    fields
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        })
        .collect()
}

/// The first field of this name.
pub(crate) fn get<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}
