//! `GET /audit`, and the layer that writes it: every write through the API and every access to a
//! recording; who, when, what, from where.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

use axum::{
    Json,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::Response,
};
use bolo_execution::AccountId;
use bolo_store::Audited;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::{
    App,
    error::{ApiError, Problems},
    extract::{Caller, Params},
    middleware::REQUEST_ID,
    paging::{Envelope, Paging, PagingParams},
    time::{iso, now, parse},
    values::Time,
};

/// Longest text that is kept of what a stranger chose.
const LONGEST: usize = 500;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Who turned out to stand behind a request: filled in by whatever let him in, read when it is over.
#[derive(Debug, Clone, Default)]
pub struct Visitor(Arc<OnceLock<(AccountId, Option<Uuid>)>>);

impl Visitor {
    /// An account's request, with a key or by a signed link.
    pub fn is(&self, account: AccountId, key: Option<Uuid>) {
        let _ = self.0.set((account, key)); // the first to say it was asked first
    }
}

/// Writes the line of a request that changed something, or gave out a recording.
pub async fn write(
    State(app): State<App>,
    matched: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let route = matched.as_str().to_owned();
    let reads = matches!(method, Method::GET | Method::HEAD | Method::OPTIONS);
    if reads && !route.starts_with("/recordings/") {
        return next.run(request).await;
    }
    let visitor = Visitor::default();
    request.extensions_mut().insert(visitor.clone());
    let remote = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(address)| address.ip().to_string());
    let path = short(request.uri().path());
    let request_id = text(request.headers(), REQUEST_ID.as_str()).unwrap_or_default();
    let forwarded_for = text(request.headers(), "x-forwarded-for");
    let response = next.run(request).await;
    let Some((account, key)) = visitor.0.get().copied() else {
        return response; // nobody was let in
    };
    let line = Audited {
        id: Uuid::now_v7(),
        account,
        key,
        at: now(),
        method: method.to_string(),
        route,
        path,
        status: response.status().as_u16(),
        request_id,
        remote,
        forwarded_for,
    };
    // What was done is done: the client is told so even where its line could not be written.
    if let Err(error) = app.store.audit(&line).await {
        tracing::error!(%error, ?line, "a line of the audit log is lost");
    }
    response
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(short)
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

/// A request that was served.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditLine {
    /// Of the line.
    #[schema(format = Uuid)]
    id: String,
    /// When it was answered.
    #[schema(format = DateTime)]
    created_at: String,
    /// Id of the API key; null for a recording heard through a signed link.
    #[schema(format = Uuid)]
    key_id: Option<String>,
    /// What was asked.
    #[schema(example = "DELETE")]
    method: String,
    /// The operation.
    #[schema(example = "/v2/agent/{agent_id}")]
    route: String,
    /// The path, without its query.
    #[schema(example = "/v2/agent/0192f0c1-0000-7000-8000-000000000000")]
    path: String,
    /// The answer's status code.
    #[schema(example = 200)]
    status: u16,
    /// `X-Request-Id` of the answer.
    request_id: String,
    /// Address of the peer, which may be a proxy.
    #[schema(example = "203.0.113.7")]
    remote: Option<String>,
    /// `X-Forwarded-For` as it came; anybody may have written it where no proxy does.
    forwarded_for: Option<String>,
}

/// Lists what was written through the API and which recordings were heard, newest first.
#[utoipa::path(get, path = "/audit", tag = "System", params(PagingParams,
        ("from" = inline(Option<Time>), Query, description = "Not before; ISO 8601"),
        ("to" = inline(Option<Time>), Query, description = "Not after; ISO 8601")),
    responses((status = 200, description = "A page", body = Envelope<AuditLine>), Problems))]
async fn list(
    State(app): State<App>,
    caller: Caller,
    params: Params,
) -> Result<Json<Envelope<AuditLine>>, ApiError> {
    let paging = Paging::read(&params)?;
    let time = |name: &'static str, default: i64| match params.get(&[name]) {
        None => Ok(default),
        Some((name, text)) => parse(text)
            .map(|(at, _)| at)
            .ok_or_else(|| ApiError::field(name, "must be a time like 2026-01-31T12:00:00Z")),
    };
    let span = (time("from", 0)?, time("to", i64::MAX)?);
    let (lines, total) = app
        .store
        .audited(caller.account, span, paging.number, paging.size)
        .await?;
    let lines = lines.into_iter().map(|line| AuditLine {
        id: line.id.to_string(),
        created_at: iso(line.at),
        key_id: line.key.map(|key| key.to_string()),
        method: line.method,
        route: line.route,
        path: line.path,
        status: line.status,
        request_id: line.request_id,
        remote: line.remote,
        forwarded_for: line.forwarded_for,
    });
    Ok(Json(Envelope::new(paging, total, lines.collect())))
}
