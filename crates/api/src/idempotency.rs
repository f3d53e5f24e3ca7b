//! `Idempotency-Key`: a request that came with one before is answered as it was then, and has no effect
//! again; the same key with another request is 409 (api.md §7). Keys are remembered for a day.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, request::Parts},
    response::{IntoResponse, Response},
};
use bolo_execution::AccountId;
use bolo_store::{Once, Recalled};
use serde_json::Value;

use crate::{App, error::ApiError, time::now};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Tells an answer that is repeated.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const LONGEST: usize = 255;

/// The header of a request, if it came.
#[derive(Debug, Clone, Default)]
pub struct IdempotencyKey(Option<String>);

impl FromRequestParts<App> for IdempotencyKey {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(HEADER) else {
            return Ok(Self(None));
        };
        let plain = |key: &&str| !key.is_empty() && key.len() <= LONGEST;
        match value.to_str().ok().map(str::trim).filter(plain) {
            Some(key) => Ok(Self(Some(key.to_owned()))),
            None => Err(ApiError::field(
                "Idempotency-Key",
                format!("must be 1 to {LONGEST} visible ASCII characters"),
            )),
        }
    }
}

impl IdempotencyKey {
    /// Under which the request is made once, if it is. `body` is what must be the same when it is repeated.
    pub fn once(self, account: AccountId, operation: &'static str, body: &[u8]) -> Option<Once> {
        self.0.map(|key| Once::new(account, operation, &key, body))
    }
}

/// The answer that this request had before; `None` = it is new.
pub async fn replayed(app: &App, once: Option<&Once>) -> Result<Option<Response>, ApiError> {
    let Some(once) = once else {
        return Ok(None);
    };
    match app.store.recall(once, now()).await? {
        Recalled::New => Ok(None),
        Recalled::Other => Err(ApiError::KeyReused),
        Recalled::Answer(answer) => Ok(Some(again(answer))),
    }
}

fn again(answer: Value) -> Response {
    let mut response = Json(answer).into_response();
    response
        .headers_mut()
        .insert(REPLAYED, HeaderValue::from_static("true"));
    response
}
