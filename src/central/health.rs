//! How the service is, for whoever watches it: `/healthz`, `/readyz`, `/metrics`.
//!
//! The first two are for everybody, since load balancers ask them. `/metrics` is for the machine itself
//! and for holders of an operator's key: it tells how many machines there are, and how they fare.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::Mutex;

use crate::http::otlp::Refusal;
use crate::metrics::CONTENT_TYPE;

use super::store::Access;
use super::{Central, guard, metrics};

/// Time for which it is taken as known whether the store can write.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// Time for the store to write something tiny.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What was found out last about the store.
#[derive(Default)]
pub(super) struct Readiness(Mutex<Option<(Instant, Result<(), String>)>>);

/// It runs.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// It takes records; 503 with the reason when it does not.
pub(super) async fn readyz(State(central): State<Arc<Central>>) -> Response {
    match central.readiness().await {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

/// Numbers, for Prometheus.
pub(super) async fn show_metrics(
    State(central): State<Arc<Central>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Response {
    if !guard::is_this_machine(peer, &headers) {
        match central.access(&headers).await {
            Ok(Some(key)) if key.access == Access::Operator => {}
            Ok(_) => {
                let message = "metrics are for this machine itself, and for an operator's key: \
                               fieldpost central api-key --role operator";
                return Refusal::new(StatusCode::FORBIDDEN, message).into_response();
            }
            Err(error) => {
                tracing::error!(%error, "a key could not be looked up");
                return Refusal::unavailable("the store cannot be asked right now").into_response();
            }
        }
    }
    let page = metrics::text(&central).await;
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], page).into_response()
}

impl Central {
    /// Whether records can be stored, as of less than a second ago; else why not.
    pub(super) async fn readiness(&self) -> Result<(), String> {
        // One asks the store, the others wait for what it finds.
        let mut known = self.readiness.0.lock().await;
        if let Some((at, outcome)) = &*known
            && at.elapsed() < KNOWN_FOR
        {
            return outcome.clone();
        }
        let probe = tokio::time::timeout(PROBE_TIMEOUT, self.store.check_writable()).await;
        let outcome = match probe {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        };
        if let Err(reason) = &outcome {
            tracing::warn!(reason, "the store cannot write");
        }
        *known = Some((Instant::now(), outcome.clone()));
        outcome
    }
}
