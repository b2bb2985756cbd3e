//! `/api/v1/stats` and `/api/v1/metrics`: sums over time.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{MetricTotal, Page, Stats, StatsFilter};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::openapi::about;
use super::request::{List, Params, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/stats",
            get_with(
                stats,
                about(
                    "stats",
                    "Sums of events by hour or day, of everything, an agent or an entity.",
                ),
            ),
        )
        .api_route(
            "/metrics",
            get_with(metrics, about("metrics", "Sums of Claude's own metrics.")),
        )
        .with_path_items(|item| item.tag("Sums"))
}

async fn stats(
    Reader { central, scope, .. }: Reader,
    Params(filter): Params<StatsFilter>,
    Params(Place { cursor }): Params<Place>,
) -> Answer<Page<Stats>> {
    Ok(Json(central.store.stats(scope, &filter, cursor).await?))
}

#[derive(Deserialize, JsonSchema)]
struct Place {
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
struct Times {
    /// Points at or after this time.
    from: Option<Timestamp>,
    /// Points before this time.
    to: Option<Timestamp>,
}

async fn metrics(
    Reader { central, scope, .. }: Reader,
    Params(Times { from, to }): Params<Times>,
) -> Answer<List<MetricTotal>> {
    Ok(whole(central.store.metric_totals(scope, from, to).await?))
}
