//! HTTP: the REST surface by resource, carrier callbacks, media sockets, OpenAPI. JSON names and status
//! codes live here and nowhere else.
//!
//! **Invariant:** every handler gets its account from the key ([`Caller`] extractor) and hands it to
//! every query; the only unauthenticated routes are health, docs and the signed carrier callbacks.

use bolo_orchestrator::Calls;
use bolo_store::Store;
use bolo_telephony::{Callbacks, Carriers};

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
    /// Largest body, bytes.
    pub max_body_bytes: usize,
}

/// All routes of the server.
pub fn router(app: App) -> axum::Router {
    axum::Router::new().with_state(app)
}

/// The OpenAPI document, from the code.
pub fn openapi() -> utoipa::openapi::OpenApi {
    utoipa::openapi::OpenApi::default()
}
