//! Agents, owners, and what agents use: lists that are narrowed and sorted as their pages are.

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::Central;
use crate::central::identity::KnownIdentity;
use crate::central::store::{
    Agent, Cataloged, Criteria, Entity, EntityKind, EntityUser, Of, Owner, Page, PageRequest, Scope,
};
use crate::event::Timestamp;

use super::Answer;
use super::caller::Reader;
use super::narrow::{Facets, Narrow, Which};
use super::openapi::about;
use super::problem::Problem;
use super::request::{At, Id, Paging, Params};

/// Agents of one entity that its own answer names.
const USERS: u32 = 500;

pub(super) fn routes() -> ApiRouter<Arc<Central>> {
    ApiRouter::new()
        .api_route(
            "/agents",
            get_with(
                agents,
                about("agents", "The agents, the latest active first unless sorted."),
            ),
        )
        .api_route(
            "/agents/facets",
            get_with(
                facets::<Agent>,
                about(
                    "agentFacets",
                    "How many agents a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .api_route(
            "/agents/{id}",
            get_with(
                agent,
                about(
                    "agent",
                    "One agent, with the identities that its records carried.",
                ),
            ),
        )
        .api_route(
            "/agents/{id}/entities",
            get_with(
                agent_entities,
                about(
                    "agentEntities",
                    "What one agent used: tools, MCP tools, models, directories.",
                ),
            ),
        )
        .api_route(
            "/entities",
            get_with(
                entities,
                about(
                    "entities",
                    "Tools, MCP tools, models and directories, the most named first unless sorted.",
                ),
            ),
        )
        .api_route(
            "/entities/facets",
            get_with(
                facets::<Entity>,
                about(
                    "entityFacets",
                    "How many entities a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .api_route(
            "/entity",
            get_with(
                entity,
                about(
                    "entity",
                    "One tool, MCP tool, model or directory, and the agents that used it.",
                ),
            ),
        )
        .api_route(
            "/entity/users",
            get_with(
                users,
                about(
                    "entityUsers",
                    "The agents that used one tool, MCP tool, model or directory, the latest first unless \
                     sorted.",
                ),
            ),
        )
        .api_route(
            "/owners",
            get_with(
                owners,
                about(
                    "owners",
                    "The people behind the agents, the latest active first unless sorted.",
                ),
            ),
        )
        .api_route(
            "/owners/facets",
            get_with(
                facets::<Owner>,
                about(
                    "ownerFacets",
                    "How many owners a filter has, and by what they can be narrowed, with counts.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Inventory"))
}

/// A page of what is asked for.
pub(super) async fn listed<T: Cataloged>(
    central: &Central,
    scope: Scope,
    criteria: &Criteria,
    paging: Paging,
) -> Answer<Page<T>> {
    let now = Timestamp::now();
    let store = &central.store;
    Ok(Json(store.list(scope, criteria, now, paging.into()).await?))
}

/// How many rows a list has, and by what it can be narrowed.
pub(super) async fn facets<T: Cataloged>(
    Reader { central, scope, .. }: Reader,
    Which(narrow): Which<T>,
) -> Answer<Facets> {
    let (store, now) = (&central.store, Timestamp::now());
    let tally = store.tally::<T>(scope, &narrow.criteria, now).await?;
    Ok(Json(Facets::of::<T>(tally)))
}

async fn agents(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<Agent>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Agent>> {
    listed(&central, scope, &criteria, paging).await
}

#[derive(Serialize, JsonSchema)]
struct AgentDetail {
    #[serde(flatten)]
    agent: Agent,
    /// Identity attributes that its records carried.
    identities: Vec<KnownIdentity>,
}

async fn agent(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<AgentDetail> {
    let store = &central.store;
    let agent = store.agent(scope, &id, Timestamp::now()).await?;
    let agent = agent.ok_or_else(|| Problem::missing("agent", &id))?;
    let identities = central.identities(scope, &agent).await?;
    Ok(Json(AgentDetail { agent, identities }))
}

async fn agent_entities(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
    Narrow { criteria, .. }: Narrow<Entity>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Entity>> {
    let criteria = Criteria {
        of: Of::Agent(id),
        ..criteria
    };
    listed(&central, scope, &criteria, paging).await
}

async fn entities(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<Entity>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Entity>> {
    listed(&central, scope, &criteria, paging).await
}

#[derive(Deserialize, JsonSchema)]
struct EntityQuery {
    /// What it is.
    kind: EntityKind,
    /// Its name.
    name: String,
}

#[derive(Serialize, JsonSchema)]
struct EntityDetail {
    #[serde(flatten)]
    entity: Entity,
    /// The agents that used it, the latest 500 first; `/entity/users` has all.
    users: Vec<EntityUser>,
}

async fn entity(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<EntityQuery>,
) -> Answer<EntityDetail> {
    let store = &central.store;
    let entity = store.entity(scope, query.kind, &query.name).await?;
    let entity = entity.ok_or_else(|| Problem::missing("entity", &query.name))?;
    let all = Criteria {
        of: Of::Entity(query.kind, query.name),
        ..Criteria::default()
    };
    let page = PageRequest::new(None, Some(USERS));
    let users = store.list(scope, &all, Timestamp::now(), page).await?;
    Ok(Json(EntityDetail {
        entity,
        users: users.items,
    }))
}

async fn users(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<EntityQuery>,
    Narrow { criteria, .. }: Narrow<EntityUser>,
    Params(paging): Params<Paging>,
) -> Answer<Page<EntityUser>> {
    let criteria = Criteria {
        of: Of::Entity(query.kind, query.name),
        ..criteria
    };
    listed(&central, scope, &criteria, paging).await
}

async fn owners(
    Reader { central, scope, .. }: Reader,
    Narrow { criteria, .. }: Narrow<Owner>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Owner>> {
    listed(&central, scope, &criteria, paging).await
}
