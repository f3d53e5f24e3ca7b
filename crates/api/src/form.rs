//! Bodies that clients send as a form of either kind or as JSON: all are read as names and texts.

use std::{error::Error, iter::successors};

use axum::{
    extract::{FromRequest, Multipart, Request, multipart},
    http::header,
};
use serde_json::Value;
use tower_http::timeout::TimeoutError;

use crate::{
    App,
    error::ApiError,
    extract::{Body, read_json},
};

/// The longest text of one field, bytes.
const LONGEST: usize = 64 * 1024;

/// The fields of a form, in their order.
#[derive(Debug, Default)]
pub struct Form(pub Vec<(String, String)>);

impl Form {
    /// The first value under the first of these names that is there. A value that says nothing counts as absent.
    pub fn get(&self, names: &[&'static str]) -> Option<(&'static str, &str)> {
        names.iter().find_map(|name| {
            let (_, value) =
                (self.0.iter()).find(|(key, value)| key == name && !is_nothing(unquoted(value)))?;
            Some((*name, unquoted(value)))
        })
    }
}

/// `curl --form 'scheduled_at="…"'` sends the quotes.
pub fn unquoted(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text)
        .trim()
}

/// `null` is what browsers make of none.
pub fn is_nothing(text: &str) -> bool {
    text.is_empty() || text == "null"
}

impl FromRequest<App> for Form {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/") {
            let mut form = parts(request, app).await?;
            let mut fields = Vec::new();
            while let Some(field) = next(&mut form, app.settings.max_body_bytes).await? {
                let name = field.name().unwrap_or_default().to_owned();
                fields.push((name, text(field, app.settings.max_body_bytes).await?));
            }
            return Ok(Self(fields));
        }
        let Body(bytes) = Body::from_request(request, app).await?;
        let is_json = bytes.trim_ascii_start().starts_with(b"{");
        if !is_json {
            let fields = url::form_urlencoded::parse(&bytes);
            return Ok(Self(fields.into_owned().collect()));
        }
        let fields: serde_json::Map<String, Value> = read_json(&bytes)?;
        let texts = fields.into_iter().filter_map(|(name, value)| match value {
            Value::Null => None,
            Value::String(text) => Some((name, text)),
            other => Some((name, other.to_string())),
        });
        Ok(Self(texts.collect()))
    }
}

/// The parts of a multipart body.
pub async fn parts(request: Request, app: &App) -> Result<Multipart, ApiError> {
    Multipart::from_request(request, app)
        .await
        .map_err(|error| ApiError::field("", format!("not a form: {}", error.body_text())))
}

/// The next part; `limit` is the body's.
pub async fn next(
    form: &mut Multipart,
    limit: usize,
) -> Result<Option<multipart::Field<'_>>, ApiError> {
    form.next_field()
        .await
        .map_err(|error| broken(&error, limit))
}

/// The text of a part that is no file.
pub async fn text(mut field: multipart::Field<'_>, limit: usize) -> Result<String, ApiError> {
    let name = field.name().unwrap_or_default().to_owned();
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, limit))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST {
            return Err(ApiError::field(&name, "is longer than 64 KiB"));
        }
    }
    String::from_utf8(bytes).map_err(|_| ApiError::field(&name, "must be UTF-8"))
}

/// A body that can't be read on.
pub fn broken(error: &multipart::MultipartError, limit: usize) -> ApiError {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        ApiError::TooLarge(limit)
    } else if successors(error.source(), |&error| error.source())
        .any(|error| error.is::<TimeoutError>())
    {
        ApiError::TooSlow
    } else {
        ApiError::field("", format!("malformed form: {}", error.body_text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_around_a_value_and_empty_values_are_nothing() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let form = Form(vec![
            field("a", " \"x\" "),
            field("b", "\"\""),
            field("b", "null"),
            field("c", "say \"hi\""),
        ]);
        assert_eq!(form.get(&["b", "a"]), Some(("a", "x")));
        assert_eq!(form.get(&["b"]), None);
        assert_eq!(form.get(&["c"]), Some(("c", "say \"hi\"")));
    }
}
