//! What every request goes through, from the outside in: trailing slash, request id and span, CORS, panics,
//! compression, body limit, time limit.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::{DefaultBodyLimit, MatchedPath, Request},
    http::{HeaderName, HeaderValue, Uri, header},
    middleware::{Next, from_fn},
    response::{IntoResponse, Response},
};
use tokio::time::Instant;
use tower::util::MapRequestLayer;
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, NotForContentType, Predicate, SizeAbove},
    },
    cors::{AllowHeaders, Any, CorsLayer},
    timeout::{RequestBodyDeadlineLayer, RequestBodyTimeoutLayer},
};
use tracing::{Instrument, field::Empty};

use crate::error::ApiError;

/// Names a request, in its answer and in the logs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bytes of an answer from which it is compressed: what fits into a packet arrives no sooner for it, and the
/// compressor needs 300 KiB.
const WORTH_COMPRESSING: u64 = 1400;

/// Time for a request's answer to begin. Carriers give up after 15 s.
const LIMIT: Duration = Duration::from_secs(30);

/// Time for an upload to come whole: 512 MiB at 1.2 Mbit/s. Without it a byte now and then would do.
const UPLOAD: Duration = Duration::from_secs(3600);

/// The layers of all routes, sockets included.
pub fn common(router: Router, max_body_bytes: usize) -> Router {
    let compressible = DefaultPredicate::new()
        .and(NotForContentType::const_new("audio/"))
        .and(SizeAbove::new(WORTH_COMPRESSING));
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods(Any)
        // Not `*`, which browsers don't take to include Authorization.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([
            REQUEST_ID,
            header::RETRY_AFTER,
            header::CONTENT_RANGE,
            header::CONTENT_LENGTH,
            header::ACCEPT_RANGES,
        ])
        .max_age(Duration::from_secs(3600));
    let router = router
        .layer(DefaultBodyLimit::max(max_body_bytes))
        .layer(
            CompressionLayer::new()
                .gzip(true)
                .compress_when(compressible),
        )
        .layer(CatchPanicLayer::custom(panicked))
        .layer(cors)
        .layer(from_fn(observe));
    // Around the router, because the path has to be mended before a route is chosen.
    let mend = MapRequestLayer::new(without_trailing_slash);
    Router::new().fallback_service(tower::Layer::layer(&mend, router))
}

/// Ends a request that takes too long. Not for sockets.
pub async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(LIMIT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::Unavailable("it took too long".to_owned()).into_response(),
    }
}

/// Ends the body of an upload that does not come on, or that comes too slowly.
pub fn limit_upload(wait: Duration) -> (RequestBodyTimeoutLayer, RequestBodyDeadlineLayer) {
    let each = RequestBodyTimeoutLayer::new(wait);
    (each, RequestBodyDeadlineLayer::new(UPLOAD))
}

/// `/v2/agent/` is `/v2/agent`. Never by redirect, which turns POST into GET in several clients. The pages
/// of `/docs/` are left alone: their links are relative.
fn without_trailing_slash(mut request: Request<Body>) -> Request<Body> {
    let uri = request.uri();
    let trimmed = uri.path().trim_end_matches('/');
    if trimmed.len() == uri.path().len() || trimmed.is_empty() || trimmed == "/docs" {
        return request;
    }
    let target = match uri.query() {
        Some(query) => format!("{trimmed}?{query}"),
        None => trimmed.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = target.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
}

/// One span and one line a request, with the route and not the path: paths of callbacks hold macs, queries
/// hold signatures. Headers are never logged.
async fn observe(matched: Option<MatchedPath>, mut request: Request, next: Next) -> Response {
    let route = matched
        .as_ref()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    let method = request.method().clone();
    let id = request_id(request.headers().get(REQUEST_ID));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let span =
        tracing::info_span!("request", %method, route, request_id = ?id, execution_id = Empty);
    let began = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let (took, status) = (began.elapsed(), response.status().as_u16());
    span.in_scope(|| tracing::debug!(status, ms = took.as_secs_f64() * 1000.0, "served"));
    let labels = [
        ("method", method.to_string()),
        ("route", route),
        ("status", status.to_string()),
    ];
    metrics::histogram!("bolo_http_request_seconds", &labels).record(took.as_secs_f64());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// The client's own id where it is short and plain, else a new one.
fn request_id(given: Option<&HeaderValue>) -> HeaderValue {
    let plain = |id: &&HeaderValue| {
        let bytes = id.as_bytes();
        (1..=64).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
    };
    given.filter(plain).cloned().unwrap_or_else(|| {
        HeaderValue::try_from(uuid::Uuid::now_v7().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("-"))
    })
}

fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    ApiError::Internal(format!("panic: {}", text.unwrap_or("without a message"))).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use axum::{
        body::to_bytes,
        extract::Multipart,
        http::StatusCode,
        routing::{get, post},
    };
    use futures_util::stream::unfold;
    use tower::ServiceExt;

    use super::*;
    use crate::form;

    #[test]
    fn only_a_trailing_slash_is_taken_away() {
        for (given, wanted) in [
            ("/v2/agent/", "/v2/agent"),
            ("/v2/agent//", "/v2/agent"),
            ("/v2/agent/?page=1", "/v2/agent?page=1"),
            ("/v2/agent?x=/", "/v2/agent?x=/"),
            ("/docs/", "/docs/"),
            ("/", "/"),
        ] {
            let request = Request::builder().uri(given).body(Body::empty()).unwrap();
            assert_eq!(without_trailing_slash(request).uri(), wanted);
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_500_in_json_that_tells_nothing() {
        let boom = get(|| async {
            if true {
                panic!("secret thing");
            }
        });
        let app = common(Router::new().route("/boom", boom), 1024);
        let response = app
            .oneshot(Request::get("/boom").body(Body::empty()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = to_bytes(response.into_body(), 4096).await.unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["error"], 500);
        assert!(!body.to_string().contains("secret"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_takes_too_long_is_503() {
        let never = get(std::future::pending::<()>);
        let router = Router::new()
            .route("/never", never)
            .route_layer(from_fn(limit_time));
        let request = Request::get("/never").body(Body::empty()).unwrap();
        let response = common(router, 1024).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()["retry-after"], "1");
    }

    /// How an upload is answered of which a byte comes each so many seconds.
    async fn dripped(pace: u64) -> StatusCode {
        let read = |mut form: Multipart| async move {
            while let Some(field) = form::next(&mut form, 0).await? {
                form::text(field, 0).await?;
            }
            Ok::<_, ApiError>(())
        };
        let router = Router::new()
            .route("/upload", post(read))
            .route_layer(limit_upload(Duration::from_secs(30)));
        let part = "--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
        let drops = unfold(part, move |part| async move {
            tokio::time::sleep(Duration::from_secs(pace)).await; // no-sleep-ok: virtual
            Some((Ok::<_, ApiError>(part), "x"))
        });
        let request = Request::post("/upload")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from_stream(drops))
            .unwrap();
        common(router, 1024)
            .oneshot(request)
            .await
            .unwrap()
            .status()
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_does_not_come_on_or_does_not_end_is_408() {
        let began = Instant::now();
        assert_eq!(dripped(31).await, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        assert_eq!(dripped(29).await, StatusCode::REQUEST_TIMEOUT);
        assert_eq!(began.elapsed(), Duration::from_secs(30) + UPLOAD);
    }

    #[test]
    fn a_request_id_is_kept_only_when_plain() {
        let kept = HeaderValue::from_static("abc-123");
        assert_eq!(request_id(Some(&kept)), kept);
        let odd = HeaderValue::from_static("a b\"c");
        assert_ne!(request_id(Some(&odd)), odd);
        assert_eq!(request_id(None).len(), 36);
    }
}
