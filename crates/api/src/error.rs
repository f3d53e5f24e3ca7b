//! What a client is told when a request can't be served. The only place with status codes of errors;
//! the body is always JSON: `{"error": 404, "message": "…", "detail": "…"}` (api.md §4), because some
//! clients read `message`, some `detail`, and some `error`.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bolo_agent::{Fault, Faults};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

/// Named for what the client can do about it.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Mend the request; each fault names its place.
    #[error("{}", summary(.0))]
    Invalid(Vec<FieldError>),
    /// Mend the document; each fault names its place. Where clients expect 422 for it.
    #[error("{}", summary(.0))]
    Unprocessable(Vec<FieldError>),
    /// Not from where things stand, for example stopping a call that is over.
    #[error("{0}")]
    NotPossible(String),
    /// Send a good key.
    #[error("Access denied: no API key, or one that is unknown or revoked")]
    Unauthorized,
    /// The key is good but may not do this; says why.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The carrier's signature does not fit.
    #[error("The request is not signed by the carrier's account")]
    BadSignature,
    /// There is no such thing in this account; names the thing.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A request with this `Idempotency-Key` asked for something else.
    #[error("Idempotency-Key: it came with another request within the last day")]
    KeyReused,
    /// Wait so many seconds.
    #[error("Too many requests; try again in {retry_after_s} s")]
    TooMany {
        /// Until the window ends.
        retry_after_s: u64,
    },
    /// There is nothing to stop.
    #[error("Batch is not queued or running")]
    BatchNotRunning,
    /// The address exists, but not with this method.
    #[error("This address does not take this method")]
    MethodNotAllowed,
    /// Send it again, and faster.
    #[error("The body did not come in time")]
    TooSlow,
    /// Send less; holds the limit in bytes.
    #[error("The body is larger than {0} bytes")]
    TooLarge(usize),
    /// Ask for a range inside the recording, which has this many bytes.
    #[error("The range lies outside the recording of {0} bytes")]
    BadRange(u64),
    /// Try again in a moment.
    #[error("The server can't answer just now; try again")]
    Unavailable(String),
    /// A fault of ours; its cause goes to the log and nowhere else.
    #[error("Internal server error")]
    Internal(String),
}

/// One fault of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Where: keys and indexes from the body's (or query's) root.
    #[schema(example = json!(["agent_config", "tasks", 0]))]
    pub loc: Vec<Step>,
    /// What is wrong and what would be right.
    #[schema(example = "field required")]
    pub msg: String,
}

/// One step of a path into a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Step {
    /// An object's key.
    Key(String),
    /// An array's index.
    Index(usize),
}

impl FieldError {
    /// A fault of one top-level field.
    pub fn new(field: &str, msg: impl Into<String>) -> Self {
        Self {
            loc: steps(field),
            msg: msg.into(),
        }
    }

    fn path(&self) -> String {
        self.loc
            .iter()
            .fold(String::new(), |path, step| match step {
                Step::Index(index) => format!("{path}[{index}]"),
                Step::Key(key) if path.is_empty() => key.clone(),
                Step::Key(key) => format!("{path}.{key}"),
            })
    }
}

/// Splits `tasks[0].tools_config` into its steps.
fn steps(path: &str) -> Vec<Step> {
    path.split(['.', '['])
        .filter(|part| !part.is_empty())
        .map(
            |part| match part.strip_suffix(']').and_then(|index| index.parse().ok()) {
                Some(index) => Step::Index(index),
                None => Step::Key(part.to_owned()),
            },
        )
        .collect()
}

fn summary(faults: &[FieldError]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .map(|fault| match fault.path() {
            path if path.is_empty() => fault.msg.clone(),
            path => format!("{path}: {}", fault.msg),
        })
        .collect();
    lines.join("; ")
}

impl ApiError {
    /// One fault of one field; `field` may be a path or empty for the body as a whole.
    pub fn field(field: &str, msg: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, msg)])
    }

    /// Says what was not found, where the store could not.
    pub fn naming(self, what: &'static str) -> Self {
        match self {
            Self::NotFound(_) => Self::NotFound(what),
            other => other,
        }
    }

    /// The only match on status codes.
    fn status(&self) -> StatusCode {
        match self {
            Self::Invalid(_) | Self::NotPossible(_) => StatusCode::BAD_REQUEST,
            Self::Unprocessable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) | Self::BadSignature => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::BatchNotRunning => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::KeyReused => StatusCode::CONFLICT,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRange(_) => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Unauthorized => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")))
            }
            Self::Unavailable(_) => Some((header::RETRY_AFTER, HeaderValue::from_static("1"))),
            Self::TooMany { retry_after_s } => {
                Some((header::RETRY_AFTER, HeaderValue::from(*retry_after_s)))
            }
            Self::BadRange(size) => HeaderValue::try_from(format!("bytes */{size}"))
                .ok()
                .map(|value| (header::CONTENT_RANGE, value)),
            _ => None,
        }
    }
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    /// The status code again.
    #[schema(example = 400)]
    pub error: u16,
    /// What is wrong, for people.
    #[schema(example = "recipient_phone_number: field required")]
    pub message: String,
    /// The same text: some clients read this field.
    pub detail: String,
    /// Every fault of the request, where it has several places to go wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<Vec<FieldError>>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match &self {
            Self::Internal(cause) => tracing::error!(%cause, "request failed"),
            Self::Unavailable(cause) => tracing::warn!(%cause, "request refused for now"),
            _ => {}
        }
        let (status, header, message) = (self.status(), self.header(), self.to_string());
        let errors = match self {
            Self::Invalid(faults) | Self::Unprocessable(faults) => Some(faults),
            _ => None,
        };
        let body = ErrorBody {
            error: status.as_u16(),
            detail: message.clone(),
            message,
            errors,
        };
        let mut response = (status, Json(body)).into_response();
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl From<Faults> for ApiError {
    fn from(faults: Faults) -> Self {
        Self::Invalid(
            faults
                .0
                .into_iter()
                .map(|Fault { path, message }| FieldError::new(&path, message))
                .collect(),
        )
    }
}

impl From<bolo_orchestrator::AskError> for ApiError {
    fn from(error: bolo_orchestrator::AskError) -> Self {
        use bolo_orchestrator::AskError as E;
        match error {
            E::NoModel(error) => Self::NotPossible(error.to_string()),
            E::Unavailable(cause) => Self::Unavailable(cause),
        }
    }
}

impl From<bolo_store::Error> for ApiError {
    fn from(error: bolo_store::Error) -> Self {
        use bolo_store::Error as E;
        match error {
            E::NotFound => Self::NotFound("Resource"),
            E::Illegal(illegal) => Self::NotPossible(illegal.to_string()),
            late @ E::Superseded => Self::NotPossible(late.to_string()),
            E::Conflict(what) => Self::Unavailable(format!("conflict: {what}")),
            E::TakenOver => Self::Unavailable(error.to_string()),
            E::Unavailable(cause) => Self::Unavailable(cause),
            E::Corrupt(cause) => Self::Internal(cause),
        }
    }
}

/// Says what was not found.
pub trait OrNotFound<T> {
    /// Turns "no such row" into 404 with the thing's name; other errors stay what they are.
    fn or_not_found(self, what: &'static str) -> Result<T, ApiError>;
}

impl<T> OrNotFound<T> for Result<T, bolo_store::Error> {
    fn or_not_found(self, what: &'static str) -> Result<T, ApiError> {
        self.map_err(|error| match error {
            bolo_store::Error::NotFound => ApiError::NotFound(what),
            other => other.into(),
        })
    }
}

/// The errors that every operation with a key can answer, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum Problems {
    /// Malformed JSON, a bad or missing field, or not possible from the present state.
    #[response(status = 400)]
    BadRequest(ErrorBody),
    /// No key, or one that is unknown or revoked.
    #[response(status = 401)]
    Unauthorized(ErrorBody),
    /// No such thing in this account.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// Too many requests in this minute; try again after `Retry-After` seconds.
    #[response(status = 429)]
    TooMany(ErrorBody),
    /// A fault of the server; nothing of its inside is shown.
    #[response(status = 500)]
    Internal(ErrorBody),
    /// Try again after `Retry-After` seconds.
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// What an operation answers to a key that may not do it, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum Forbidden {
    /// The key is good but may not do this.
    #[response(status = 403)]
    Forbidden(ErrorBody),
}

/// What an operation that takes `Idempotency-Key` can answer besides, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum KeyReused {
    /// A request with this `Idempotency-Key` asked for something else.
    #[response(status = 409)]
    KeyReused(ErrorBody),
}

/// What an operation answers to a document at fault, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum Unprocessable {
    /// The document is at fault; each fault names its place.
    #[response(status = 422)]
    Unprocessable(ErrorBody),
}

/// What an upload can be answered besides, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum TooSlow {
    /// The next bytes, or the whole, did not come in time.
    #[response(status = 408)]
    TooSlow(ErrorBody),
}

/// What an operation with a body can answer besides, for the OpenAPI document.
#[derive(IntoResponses)]
#[allow(dead_code, reason = "read by the derive only")]
pub enum TooLarge {
    /// The body is larger than the server takes.
    #[response(status = 413)]
    TooLarge(ErrorBody),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_steps_and_text_again() {
        let fault = FieldError::new("agent_config.tasks[0].tools_config", "missing");
        assert_eq!(
            fault.loc,
            [
                Step::Key("agent_config".into()),
                Step::Key("tasks".into()),
                Step::Index(0),
                Step::Key("tools_config".into())
            ]
        );
        assert_eq!(fault.path(), "agent_config.tasks[0].tools_config");
    }

    #[test]
    fn an_internal_error_shows_nothing_of_its_cause() {
        assert!(
            !ApiError::Internal("password of the database".into())
                .to_string()
                .contains("password")
        );
        assert!(
            !ApiError::Unavailable("10.0.0.7:5432 refused".into())
                .to_string()
                .contains("5432")
        );
    }
}
