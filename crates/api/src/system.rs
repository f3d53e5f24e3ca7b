//! What operators and load balancers ask: alive, ready, figures. Source: operator.md "Served besides".

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{App, error::ApiError};

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health))
        .routes(routes!(ready))
        .routes(routes!(metrics))
}

/// How the process is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Condition {
    /// `ok`, `ready`, or why not.
    #[schema(example = "ok")]
    status: &'static str,
}

/// The process is up.
#[utoipa::path(get, path = "/health", tag = "System", security(()),
    responses((status = 200, description = "Up", body = Condition)))]
async fn health() -> Json<Condition> {
    Json(Condition { status: "ok" })
}

/// The process can serve: the database answers, its migrations are applied, it may take another call
/// (`limits.max_calls`), and it is not about to end.
#[utoipa::path(get, path = "/ready", tag = "System", security(()),
    responses((status = 200, description = "Ready", body = Condition),
        (status = 503, description = "Not ready, and why", body = Condition)))]
async fn ready(State(app): State<App>) -> Response {
    let problem = match (
        app.draining.is_on(),
        app.store.ping().await,
        app.store.pending_migrations().await,
    ) {
        (true, ..) => Some("draining"),
        (_, Ok(()), Ok(0)) if !app.calls.has_room() => Some("full"),
        (_, Err(error), _) | (_, _, Err(error)) => {
            tracing::warn!(%error, "not ready");
            Some("the database does not answer")
        }
        (_, _, Ok(1..)) => Some("migrations wait to be applied"),
        _ => None,
    };
    match problem {
        None => Json(Condition { status: "ready" }).into_response(),
        Some(status) => {
            (StatusCode::SERVICE_UNAVAILABLE, Json(Condition { status })).into_response()
        }
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "System", security(()),
    responses((status = 200, description = "Figures", content_type = "text/plain", body = String),
        (status = 404, description = "Figures are switched off", body = crate::error::ErrorBody)))]
async fn metrics(State(app): State<App>) -> Result<Response, ApiError> {
    let handle = app.metrics.as_ref().ok_or(ApiError::NotFound("Resource"))?;
    let tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    metrics::gauge!("bolo_tasks").set(tasks as f64);
    Ok((
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        handle.render(),
    )
        .into_response())
}
