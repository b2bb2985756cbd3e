//! `/api/v1/metrics/messages` and `/api/v1/traces`: metrics and spans as they came.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Page, ReceivedSignal, SignalFilter};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::request::{Paging, Params};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/metrics/messages",
            get_with(
                metrics,
                about(
                    "metricMessages",
                    "Metrics as they came, whole, the latest first. A search by name reads 20000 messages \
                     at most: a page may have fewer rows than asked for, or none, and go on.",
                ),
            ),
        )
        .api_route(
            "/traces",
            get_with(
                traces,
                about(
                    "traces",
                    "Spans as they came, whole, the latest to start first; those of one trace at once. A \
                     search by name goes on as that of metrics does.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Records"))
}

#[derive(Deserialize, JsonSchema)]
struct MetricParams {
    /// Only metrics of this name: `claude_code.token.usage`, …
    name: Option<String>,
    /// Messages whose latest point is at or after this time.
    from: Option<Timestamp>,
    /// Messages whose latest point is before this time.
    to: Option<Timestamp>,
}

async fn metrics(
    Reader { central, sight, .. }: Reader,
    Params(MetricParams { name, from, to }): Params<MetricParams>,
    Params(paging): Params<Paging>,
) -> Answer<Page<ReceivedSignal>> {
    let filter = SignalFilter {
        name,
        trace: None,
        from,
        to,
    };
    let signals = central
        .store
        .signals(&sight, Signal::Metrics, &filter, paging.into());
    Ok(Json(signals.await?))
}

#[derive(Deserialize, JsonSchema)]
struct TraceParams {
    /// Only spans of this trace: its id, 32 hexadecimal digits.
    trace: Option<String>,
    /// Only spans of this name: `claude_code.tool`, …
    name: Option<String>,
    /// Messages whose earliest span starts at or after this time.
    from: Option<Timestamp>,
    /// Messages whose earliest span starts before this time.
    to: Option<Timestamp>,
}

async fn traces(
    Reader { central, sight, .. }: Reader,
    Params(params): Params<TraceParams>,
    Params(paging): Params<Paging>,
) -> Answer<Page<ReceivedSignal>> {
    let filter = SignalFilter {
        name: params.name,
        trace: params.trace,
        from: params.from,
        to: params.to,
    };
    let signals = central
        .store
        .signals(&sight, Signal::Traces, &filter, paging.into());
    Ok(Json(signals.await?))
}
