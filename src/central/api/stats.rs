//! `/api/v1/stats` and `/api/v1/metrics`: sums over time.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{MetricTotal, Stats, StatsFilter};
use crate::event::Timestamp;

use super::{Answer, List, Params, Reader, whole};

pub(super) fn router() -> Router<Arc<Central>> {
    Router::new()
        .route("/stats", get(stats))
        .route("/metrics", get(metrics))
}

async fn stats(
    Reader { central, scope, .. }: Reader,
    Params(filter): Params<StatsFilter>,
) -> Answer<List<Stats>> {
    Ok(whole(central.store.stats(scope, filter).await?))
}

#[derive(Deserialize)]
struct Times {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

async fn metrics(
    Reader { central, scope, .. }: Reader,
    Params(Times { from, to }): Params<Times>,
) -> Answer<List<MetricTotal>> {
    Ok(whole(central.store.metric_totals(scope, from, to).await?))
}
