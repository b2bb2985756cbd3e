//! `/api/v1/metrics/messages` and `/api/v1/traces`: metrics and spans as they came, in lists and one by one.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Page, ReceivedSignal, Sight, SignalFilter};
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id, Paging, Params};

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
            "/metrics/messages/{id}",
            get_with(
                metric_message,
                about("metricMessage", "One message of metrics as it came."),
            ),
        )
        .api_route(
            "/traces/{id}",
            get_with(
                spans,
                about("spans", "One message of spans as it came, by its own id."),
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

async fn metric_message(
    Reader { central, sight, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<ReceivedSignal> {
    one(&central, &sight, Signal::Metrics, &id).await
}

async fn spans(
    Reader { central, sight, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<ReceivedSignal> {
    one(&central, &sight, Signal::Traces, &id).await
}

async fn one(central: &Central, sight: &Sight, signal: Signal, id: &str) -> Answer<ReceivedSignal> {
    let found = central.store.signal(sight, signal, id).await?;
    found
        .map(Json)
        .ok_or_else(|| Problem::missing("message", id))
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
