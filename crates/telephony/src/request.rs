//! A carrier's HTTP request as it came, and the form or query in it.

use axum::http::header::CONTENT_TYPE;
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
    /// Names and values of the form of a POST, else of the query.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let text = if self.is_form() {
            self.body
        } else {
            self.query().as_bytes()
        };
        form_urlencoded::parse(text).into_owned().collect()
    }

    /// A POST whose body is a form.
    pub(crate) fn is_form(&self) -> bool {
        let kind = self
            .header(CONTENT_TYPE.as_str())
            .and_then(|content| content.split(';').next())
            .unwrap_or_default();
        self.method.eq_ignore_ascii_case("POST")
            && kind
                .trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
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

/// The first field of this name.
pub(crate) fn get<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}
