//! Every route of the service. The doors are apart: ingest takes tokens and nothing else, the API
//! takes API keys or the portal's sessions, the portal takes sessions and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::{Central, api, health, ingest, portal};

/// The whole service.
pub(super) fn router(central: Arc<Central>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::show_metrics))
        .nest("/api/v1", portal::protected(api::router(), &central))
        .merge(portal::router(&central))
        // `/` is a page to browsers, and an OTLP endpoint to clients whose endpoint has no path.
        .route("/", post(ingest::receive))
        .fallback(ingest::receive)
        .layer(ingest::catch_panics())
        .with_state(central)
}
