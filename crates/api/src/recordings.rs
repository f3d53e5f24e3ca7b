//! `/recordings/call/{id}`: the sound of a call, whole or in part. Source: api.md §1 row 52, §8.

use std::ops::Range;

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::get,
};
use bolo_execution::ExecutionId;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    App,
    audit::Visitor,
    error::{ApiError, ErrorBody, OrNotFound, Problems},
    extract::{Caller, Id, Params, PathId},
    links,
    time::{iso, now},
};

const DEFAULT_LINK_S: i64 = 3600;
const LONGEST_LINK_S: i64 = 7 * 86_400;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(play))
        .routes(routes!(link))
        .route("/recordings/transfer/{execution_id}", get(transferred))
}

/// Who may hear a recording: its account's key, or a link that was signed for it.
struct Listener(ExecutionId);

impl FromRequestParts<App> for Listener {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let Ok(params) = Params::from_request_parts(parts, app).await;
        let id = Id::<ExecutionId>::from_request_parts(parts, app).await;
        let record = match (params.get(&["expires"]), params.get(&["sig"])) {
            (Some((_, expires)), Some((_, signature))) => {
                let Id(id) = id?;
                if !links::opens(&app.callbacks, id, expires, signature, now() / 1000) {
                    return Err(ApiError::Unauthorized);
                }
                let record = app.store.execution_unscoped(id).await;
                if let (Ok(record), Some(visitor)) = (&record, parts.extensions.get::<Visitor>()) {
                    visitor.is(record.account, None);
                }
                record
            }
            _ => {
                let caller = Caller::from_request_parts(parts, app).await?;
                app.store.execution(caller.account, id?.0).await
            }
        };
        let record = record.or_not_found(ExecutionId::NAME)?;
        if record.has_recording {
            Ok(Self(record.id))
        } else {
            Err(ApiError::NotFound("Recording"))
        }
    }
}

/// The sound of a transfer's leg, which is the carrier's: no call has one here. Not in the OpenAPI document,
/// because it has no good answer.
async fn transferred(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
) -> Result<Response, ApiError> {
    let record = app.store.execution(caller.account, id).await;
    record.or_not_found(ExecutionId::NAME)?;
    Err(ApiError::NotFound("Recording of the transfer"))
}

/// Plays a call's recording: WAV, the caller left and the agent right.
///
/// Takes one `Range`. Opens with the account's key, or with a signed link. What is said after a transfer is
/// between the carrier's ends and not recorded here: `/recordings/transfer/{execution_id}` answers 404.
#[utoipa::path(get, path = "/recordings/call/{execution_id}", tag = "Recordings",
    params(("execution_id" = uuid::Uuid, Path, description = "The call"),
        ("expires" = Option<i64>, Query, description = "Of a signed link"),
        ("sig" = Option<String>, Query, description = "Of a signed link"),
        ("range" = Option<String>, Header, description = "`bytes=0-1023`")),
    responses((status = 200, description = "The whole recording", content_type = "audio/wav", body = [u8]),
        (status = 206, description = "The range asked for", content_type = "audio/wav", body = [u8]),
        (status = 416, description = "The range lies outside the recording", body = ErrorBody), Problems),
    security(("bearer" = []), ()))]
async fn play(
    State(app): State<App>,
    listener: Listener,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let Listener(id) = listener;
    let recordings = app.store.recordings();
    let size = recordings.size(id).await.or_not_found("Recording")?;
    let tag = format!("\"{}-{size}\"", id.0.simple());
    let range = match headers
        .get(header::RANGE)
        .and_then(|value| value.to_str().ok())
    {
        // A recording never changes, so its tag is the only validator.
        Some(text)
            if headers
                .get(header::IF_RANGE)
                .is_none_or(|asked| asked.as_bytes() == tag.as_bytes()) =>
        {
            range_of(text, size)?
        }
        _ => None,
    };
    let length = range.as_ref().map_or(size, |range| range.end - range.start);
    let status = if range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    };
    let body = if method == Method::HEAD {
        Body::empty()
    } else {
        Body::from_stream(
            recordings
                .read(id, range.clone())
                .await
                .or_not_found("Recording")?,
        )
    };
    let mut response = (status, body).into_response();
    let answer = response.headers_mut();
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            answer.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, "audio/wav".to_owned());
    set(header::ACCEPT_RANGES, "bytes".to_owned());
    set(header::CONTENT_LENGTH, length.to_string());
    set(
        header::CONTENT_DISPOSITION,
        format!("inline; filename=\"{id}.wav\""),
    );
    set(header::CACHE_CONTROL, "private, max-age=86400".to_owned());
    set(header::ETAG, tag);
    if let Some(Range { start, end }) = range {
        set(
            header::CONTENT_RANGE,
            format!("bytes {start}-{}/{size}", end - 1),
        );
    }
    Ok(response)
}

/// The one range of a `Range` header; `None` = send all: no bytes, several ranges, or unreadable, as
/// RFC 9110 §14.2 allows.
fn range_of(text: &str, size: u64) -> Result<Option<Range<u64>>, ApiError> {
    let Some((first, last)) = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|spec| spec.split_once('-'))
    else {
        return Ok(None);
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(tail)) if first.is_empty() => size.saturating_sub(tail)..size,
        _ => return Ok(None),
    };
    if range.start < range.end {
        Ok(Some(range))
    } else {
        Err(ApiError::BadRange(size))
    }
}

/// A link that opens a recording without a key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Link {
    /// The address.
    url: String,
    /// Until when it opens.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// Makes a link that opens a recording without a key, for a while.
#[utoipa::path(get, path = "/recordings/call/{execution_id}/link", tag = "Recordings",
    params(("execution_id" = uuid::Uuid, Path, description = "The call"),
        ("expires_in" = Option<i64>, Query, description = "Seconds, from 1 to 604800; default 3600")),
    responses((status = 200, description = "The link", body = Link), Problems))]
async fn link(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id<ExecutionId>,
    params: Params,
) -> Result<Json<Link>, ApiError> {
    let seconds = match params.get(&["expires_in"]) {
        None => DEFAULT_LINK_S,
        Some((name, text)) => match text.parse() {
            Ok(seconds @ 1..=LONGEST_LINK_S) => seconds,
            _ => {
                return Err(ApiError::field(
                    name,
                    format!("must be seconds from 1 to {LONGEST_LINK_S}"),
                ));
            }
        },
    };
    let record = app
        .store
        .execution(caller.account, id)
        .await
        .or_not_found(ExecutionId::NAME)?;
    if !record.has_recording {
        return Err(ApiError::NotFound("Recording"));
    }
    let expires = now() / 1000 + seconds;
    let base = app.callbacks.public_url();
    let url = format!(
        "{base}/recordings/call/{id}?{}",
        links::query(&app.callbacks, id, expires)
    );
    Ok(Json(Link {
        url,
        expires_at: iso(expires * 1000),
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_range_is_read_as_the_rfc_says() {
        for (text, range) in [
            ("bytes=0-99", Some(0..100)),
            ("bytes=0-", Some(0..1000)),
            ("bytes=900-5000", Some(900..1000)),
            ("bytes=-100", Some(900..1000)),
            ("bytes=-5000", Some(0..1000)),
            ("bytes=999-999", Some(999..1000)),
            ("bytes=0-1,5-6", None),
            ("bytes=9-1", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
            ("bytes=-", None),
        ] {
            assert_eq!(range_of(text, 1000).unwrap(), range, "{text}");
        }
        for text in ["bytes=1000-", "bytes=2000-3000", "bytes=-0"] {
            assert!(
                matches!(range_of(text, 1000), Err(ApiError::BadRange(1000))),
                "{text}"
            );
        }
    }
}
