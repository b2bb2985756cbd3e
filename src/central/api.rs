//! `/api/v1`: what the pages show, as JSON. Every request is bound to the environment of its API key, or
//! to one of the person's who is signed in.

mod openapi;
mod caller;
mod request;
mod problem;
mod accounts;
mod keys;
mod operator;
mod machines;
mod machine_rules;
mod stats;
mod signals;
mod versions;
mod summaries;
mod drift;
mod health;
mod views;

use std::sync::Arc;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use axum::http::StatusCode;
use axum::{Json, Router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Central;
use super::conversation::{Conversation, Turn};
use super::store::{
    Agent, Entity, EntityKind, Event, EventFilter, Identity, Owner, Page, Session, SessionFilter,
};

use caller::Reader;
use openapi::about;
use problem::Problem;
use request::{At, Id, Paging, Params};

pub(super) use openapi::document;

/// The API's routes.
pub(super) fn router() -> Router<Arc<Central>> {
    Router::from(routes())
        .fallback(async || Problem::not_found("there is no such resource in /api/v1"))
        .method_not_allowed_fallback(async || Problem {
            status: StatusCode::METHOD_NOT_ALLOWED,
            title: "The method is not allowed",
            detail: "the header Allow names those that are".to_owned(),
        })
}

/// The same, with what the document says of them. Each is in it: there is no other way to add one.
fn routes() -> ApiRouter<Arc<Central>> {
    let inventory = ApiRouter::new()
        .api_route(
            "/agents",
            get_with(
                agents,
                about("agents", "The agents, the latest active first."),
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
                about("entities", "Tools, MCP tools, models and directories."),
            ),
        )
        .api_route(
            "/owners",
            get_with(owners, about("owners", "The people behind the agents.")),
        )
        .with_path_items(|item| item.tag("Inventory"));
    let records = ApiRouter::new()
        .api_route(
            "/events",
            get_with(events, about("events", "Events, the latest first.")),
        )
        .api_route(
            "/events/{id}",
            get_with(
                event,
                about(
                    "event",
                    "One event, with everything that was in the record.",
                ),
            ),
        )
        .api_route(
            "/sessions",
            get_with(
                sessions,
                about("sessions", "Sessions, the latest to start first."),
            ),
        )
        .api_route(
            "/sessions/{id}",
            get_with(
                session,
                about(
                    "session",
                    "One session with its turns, each with its events.",
                ),
            ),
        )
        .api_route(
            "/agents/{id}/events",
            get_with(
                agent_events,
                about("agentEvents", "One agent's events, the latest first."),
            ),
        )
        .api_route(
            "/agents/{id}/sessions",
            get_with(
                agent_sessions,
                about(
                    "agentSessions",
                    "One agent's sessions, the latest to start first.",
                ),
            ),
        )
        .with_path_items(|item| item.tag("Records"));
    let document = ApiRouter::new()
        .api_route(
            "/openapi.json",
            get_with(openapi::show, about("openapi", "This document.")),
        )
        .with_path_items(|item| item.tag("Document"));
    ApiRouter::new()
        .merge(records)
        .merge(inventory)
        .merge(machines::routes())
        .merge(machine_rules::routes())
        .merge(stats::routes())
        .merge(signals::routes())
        .merge(versions::routes())
        .merge(drift::routes())
        .merge(summaries::routes())
        .merge(health::routes())
        .merge(views::routes())
        .merge(accounts::routes())
        .merge(operator::routes())
        .merge(document)
}

type Answer<T> = Result<Json<T>, Problem>;

#[derive(Deserialize, JsonSchema)]
struct AgentQuery {
    /// Text in the name, the owner or the id.
    q: Option<String>,
}

async fn agents(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<AgentQuery>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Agent>> {
    Ok(Json(
        central
            .store
            .agents(scope, query.q.as_deref(), paging.into())
            .await?,
    ))
}

#[derive(Serialize, JsonSchema)]
struct AgentDetail {
    #[serde(flatten)]
    agent: Agent,
    /// Identity attributes that its records carried.
    identities: Vec<Identity>,
}

async fn agent(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<AgentDetail> {
    let agent = central
        .store
        .agent(scope, &id)
        .await?
        .ok_or_else(|| Problem::missing("agent", &id))?;
    let identities = central.store.identities(scope, &id).await?;
    Ok(Json(AgentDetail { agent, identities }))
}

async fn agent_events(
    Reader { central, sight, .. }: Reader,
    At(Id { id }): At<Id>,
    Params(filter): Params<EventFilter>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Event>> {
    let filter = EventFilter {
        agent: Some(id),
        ..filter
    };
    Ok(Json(
        central.store.events(&sight, &filter, paging.into()).await?,
    ))
}

#[derive(Deserialize, JsonSchema)]
struct EntityQuery {
    /// Only of this kind.
    kind: Option<EntityKind>,
}

async fn agent_entities(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
    Params(query): Params<EntityQuery>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Entity>> {
    Ok(Json(
        central
            .store
            .entities(scope, query.kind, Some(&id), paging.into())
            .await?,
    ))
}

async fn agent_sessions(
    Reader { central, scope, .. }: Reader,
    At(Id { id }): At<Id>,
    Params(filter): Params<SessionFilter>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Session>> {
    let filter = SessionFilter {
        agent: Some(id),
        ..filter
    };
    Ok(Json(
        central
            .store
            .sessions(scope, &filter, paging.into())
            .await?,
    ))
}

async fn entities(
    Reader { central, scope, .. }: Reader,
    Params(query): Params<EntityQuery>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Entity>> {
    Ok(Json(
        central
            .store
            .entities(scope, query.kind, None, paging.into())
            .await?,
    ))
}

async fn owners(
    Reader { central, scope, .. }: Reader,
    Params(paging): Params<Paging>,
) -> Answer<Page<Owner>> {
    Ok(Json(central.store.owners(scope, paging.into()).await?))
}

async fn sessions(
    Reader { central, scope, .. }: Reader,
    Params(filter): Params<SessionFilter>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Session>> {
    Ok(Json(
        central
            .store
            .sessions(scope, &filter, paging.into())
            .await?,
    ))
}

#[derive(Serialize, JsonSchema)]
struct SessionDetail {
    #[serde(flatten)]
    session: Session,
    /// Each prompt with everything that followed from it: the first 5000 events.
    turns: Vec<Turn>,
    /// Whether the session has more events: `/events?session=` has all of them.
    is_cut: bool,
}

async fn session(
    Reader {
        central,
        scope,
        sight,
        ..
    }: Reader,
    At(Id { id }): At<Id>,
) -> Answer<SessionDetail> {
    let session = central
        .store
        .session(scope, &id)
        .await?
        .ok_or_else(|| Problem::missing("session", &id))?;
    let read = central.store.session_events(&sight, &id).await?;
    Ok(Json(SessionDetail {
        session,
        turns: Conversation::build(read.events).turns,
        is_cut: read.is_cut,
    }))
}

async fn events(
    Reader { central, sight, .. }: Reader,
    Params(filter): Params<EventFilter>,
    Params(paging): Params<Paging>,
) -> Answer<Page<Event>> {
    Ok(Json(
        central.store.events(&sight, &filter, paging.into()).await?,
    ))
}

async fn event(Reader { central, sight, .. }: Reader, At(Id { id }): At<Id>) -> Answer<Event> {
    Ok(Json(
        central
            .store
            .event(&sight, &id)
            .await?
            .ok_or_else(|| Problem::missing("event", &id))?,
    ))
}
