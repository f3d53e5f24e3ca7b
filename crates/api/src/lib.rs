//! HTTP: the REST surface by resource, carrier callbacks, media sockets, OpenAPI. JSON names and status
//! codes live here and nowhere else.
//!
//! Each resource is a file with its `routes()`, its shapes and its handlers; `telephony/` is what carriers
//! call; `middleware` what every request goes through.
//!
//! **Invariant:** every handler gets its account from the key (the `Caller` extractor) and hands it to
//! every query; the only unauthenticated routes are health, docs and the signed carrier callbacks.

mod agents;
mod audit;
mod batch_guard;
mod batches;
mod call_request;
mod calls;
mod custom_models;
mod disposition_schemas;
mod dispositions;
mod docs;
mod drain;
mod error;
mod execution_filter;
mod executions;
mod extract;
mod extractions;
mod form;
mod idempotency;
mod inbound_setup;
mod ingest_lists;
mod json_stream;
mod knowledgebases;
mod links;
mod middleware;
mod number_market;
mod paging;
mod phone_numbers;
mod providers;
mod rates;
mod recordings;
mod schemas;
mod sip_trunks;
mod sub_account_usage;
mod sub_accounts;
mod system;
mod telephony;
mod time;
mod trunk_schemas;
mod user;
mod values;
mod violations;
mod voices;
mod web_call;
mod webhooks;

use axum::{
    Router,
    middleware::{from_fn, from_fn_with_state},
};
use bolo_orchestrator::Calls;
use bolo_store::Store;
use bolo_telephony::{Callbacks, Carriers};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;

pub use drain::Draining;
pub use rates::{PerMinute, Rates};

/// What handlers need. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The truth.
    pub store: Store,
    /// Takes accepted media sockets.
    pub calls: Calls,
    /// Parses and verifies carrier requests; hangs up.
    pub carriers: Carriers,
    /// Our own addresses.
    pub callbacks: Callbacks,
    /// Renders `/metrics`; `None` = 404.
    pub metrics: Option<metrics_exporter_prometheus::PrometheusHandle>,
    /// Switched on by the binary before it ends; its `finished` waits for hang-ups under way.
    pub draining: Draining,
    /// How many requests an account may send.
    pub rates: std::sync::Arc<Rates>,
    /// Settings.
    pub settings: std::sync::Arc<Settings>,
}

/// Settings of the HTTP side.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Refuse carrier requests with a bad signature.
    pub verify_signatures: bool,
    /// `POST /call/{id}/stop` hangs up calls in flight too.
    pub stop_inflight: bool,
    /// Lists of sub-accounts show only the end of their keys.
    pub mask_sub_account_keys: bool,
    /// Largest body, bytes.
    pub max_body_bytes: usize,
    /// Largest body of an upload, bytes.
    pub max_upload_bytes: usize,
    /// How long the next bytes of an upload may take.
    pub upload_wait: std::time::Duration,
    /// Where uploads lie while they are read.
    pub uploads: std::path::PathBuf,
    /// The hosted service's rules where ours are laxer (api.md §9).
    pub strict_compat: bool,
}

/// All routes of the server.
///
/// Serve it on a listener whose connections have `TCP_NODELAY` set (`listener.tap_io(|tcp| …)`): axum does
/// not set it, and without it the kernel holds small audio frames back. With `ConnectInfo<SocketAddr>` the
/// audit log says from where a request came.
pub fn router(app: App) -> Router {
    let max_body_bytes = app.settings.max_body_bytes;
    let (rest, mut document) = documented().split_for_parts();
    let (uploads, more) = batches::uploads(app.settings.max_upload_bytes).split_for_parts();
    document.merge(more);
    let audited = from_fn_with_state(app.clone(), audit::write);
    let uploads = uploads
        .route_layer(audited.clone())
        .route_layer(middleware::limit_upload(app.settings.upload_wait));
    let rest = rest
        .route_layer(audited)
        .merge(telephony::callbacks())
        .route_layer(from_fn(middleware::limit_time));
    let all = rest
        .merge(uploads)
        .merge(telephony::sockets())
        .merge(web_call::sockets())
        .fallback(|| async { error::ApiError::NotFound("Address") })
        .method_not_allowed_fallback(|| async { error::ApiError::MethodNotAllowed })
        .with_state(app)
        .merge(docs::routes(docs::finished(document)));
    middleware::common(all, max_body_bytes)
}

/// The OpenAPI document, from the code.
pub fn openapi() -> utoipa::openapi::OpenApi {
    docs::finished(documented().merge(batches::uploads(0)).into_openapi())
}

fn documented() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::Frame::openapi())
        .merge(agents::routes())
        .merge(calls::routes())
        .merge(executions::routes())
        .merge(batches::routes())
        .merge(recordings::routes())
        .merge(knowledgebases::routes())
        .merge(providers::routes())
        .merge(user::routes())
        .merge(sub_accounts::routes())
        .merge(audit::routes())
        .merge(webhooks::routes())
        .merge(batch_guard::routes())
        .merge(custom_models::routes())
        .merge(extractions::routes())
        .merge(dispositions::routes())
        .merge(phone_numbers::routes())
        .merge(inbound_setup::routes())
        .merge(ingest_lists::routes())
        .merge(sip_trunks::routes())
        .merge(web_call::routes())
        .merge(voices::routes())
        .merge(violations::routes())
        .merge(system::routes())
}
