//! What pages show beside their rows: by what events can be narrowed, who uses an entity, an agent's days; and who
//! may see an environment, and for how long it keeps its records.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::store::{EventFilter, Facet, Member, Page, Retention, Role, Stats};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::inventory::listed;
use super::narrow::Narrow;
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id, List, Paging, Params, whole};

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    let records = ApiRouter::new()
        .api_route(
            "/events/facets",
            get_with(
                facets,
                about(
                    "eventFacets",
                    "How many events a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Records"));
    let inventory = ApiRouter::new()
        .api_route(
            "/agents/{id}/days",
            get_with(
                days,
                about(
                    "agentDays",
                    "Sums of what one agent did, by day of UTC, the latest first.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Inventory"));
    let settings = ApiRouter::new()
        .api_route(
            "/people",
            get_with(
                people,
                about(
                    "people",
                    "Who may see this environment, and as what, by name unless sorted. For owners.",
                ),
            ),
        )
        .api_route(
            "/retention",
            get_with(
                retention,
                about(
                    "retention",
                    "How long this environment keeps its records; null is for ever.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Settings"));
    records.merge(inventory).merge(settings)
}

#[derive(Serialize, JsonSchema)]
struct Facets {
    /// How many events there are, as far as they were counted.
    event_count: usize,
    /// Whether there are no more.
    is_exact: bool,
    /// By what they can be narrowed.
    facets: Vec<FacetOf>,
}

#[derive(Serialize, JsonSchema)]
struct FacetOf {
    /// The word that narrows by it in a query: `tool` in `tool:Bash`.
    qualifier: &'static str,
    /// Of how many events, the latest, the counts are.
    of: usize,
    /// The values, the most frequent first.
    values: Vec<ValueOf>,
}

#[derive(Serialize, JsonSchema)]
struct ValueOf {
    /// As the query takes it.
    value: String,
    /// As people say it.
    label: String,
    /// Events with it.
    event_count: usize,
}

impl From<Facet> for FacetOf {
    fn from(facet: Facet) -> FacetOf {
        let values = facet.values.into_iter().map(|value| ValueOf {
            value: value.value,
            label: value.label,
            event_count: value.count,
        });
        FacetOf {
            qualifier: facet.qualifier.word(),
            of: facet.of,
            values: values.collect(),
        }
    }
}

async fn facets(
    Reader { central, sight, .. }: Reader,
    Params(filter): Params<EventFilter>,
) -> Answer<Facets> {
    let survey = central.store.survey(&sight, &filter).await?;
    Ok(Json(Facets {
        event_count: survey.count,
        is_exact: survey.is_exact,
        facets: survey.facets.into_iter().map(FacetOf::from).collect(),
    }))
}

#[derive(Deserialize, JsonSchema)]
struct DaysQuery {
    /// From the day of this time on; the last 30 days unless given.
    from: Option<Timestamp>,
}

async fn days(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
    Params(query): Params<DaysQuery>,
) -> Answer<List<Stats>> {
    let store = &central.store;
    let agent = store.agent(scope, &id, Timestamp::now()).await?;
    agent.ok_or_else(|| Problem::missing("agent", &id))?;
    let from = query.from.unwrap_or(Timestamp::now().days_before(30));
    Ok(whole(store.days_of_agent(scope, &id, from).await?))
}

async fn people(
    Reader {
        central,
        scope,
        role,
        ..
    }: Reader,
    Narrow { criteria, .. }: Narrow<Member>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Member>> {
    if role < Role::Owner {
        return Err(Problem::forbidden("only owners see who the people are"));
    }
    listed(&central, scope, &criteria, paging).await
}

async fn retention(Reader { central, scope, .. }: Reader) -> Answer<Retention> {
    Ok(Json(central.store.retention_of(scope).await?))
}
