//! `/api/v1`: what the pages show, as JSON. Every request is bound to the environment of its API key, or
//! to one of the person's who is signed in.

mod openapi;
mod caller;
mod request;
mod narrow;
mod problem;
mod inventory;
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
use serde::Serialize;

use super::Central;
use super::conversation::{Conversation, Turn};
use super::store::{Event, EventFilter, Page, Session, SessionFilter};

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
        .merge(inventory::routes())
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
