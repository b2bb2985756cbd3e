//! `/api/v1`: what the pages show, as JSON. Every request is bound to the environment of its API key, or
//! to one of the person's who is signed in.

mod caller;
mod accounts;
mod operator;
mod machines;
mod stats;

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Central;
use super::conversation::{Conversation, Turn};
use super::store::{
    Agent, Entity, EntityKind, Event, EventFilter, Identity, Owner, Page, PageRequest, Session,
    SessionFilter, StoreError,
};
use super::tenancy::TenancyError;

use caller::Reader;

/// Longest body of a request, in bytes.
const MAX_FIELDS: usize = 64 << 10;

/// The API's routes.
pub(super) fn router() -> Router<Arc<Central>> {
    Router::new()
        .route("/agents", get(agents))
        .route("/agents/{id}", get(agent))
        .route("/agents/{id}/events", get(agent_events))
        .route("/agents/{id}/entities", get(agent_entities))
        .route("/agents/{id}/sessions", get(agent_sessions))
        .route("/entities", get(entities))
        .route("/owners", get(owners))
        .route("/sessions", get(sessions))
        .route("/sessions/{id}", get(session))
        .route("/events", get(events))
        .route("/events/{id}", get(event))
        .merge(machines::router())
        .merge(accounts::router())
        .merge(operator::router())
        .merge(stats::router())
        .fallback(async || Problem::not_found("there is no such resource in /api/v1"))
}

type Answer<T> = Result<Json<T>, Problem>;

/// A list that comes whole.
#[derive(Serialize)]
struct List<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

fn whole<T>(items: Vec<T>) -> Json<List<T>> {
    Json(List {
        items,
        next_cursor: None,
    })
}

#[derive(Deserialize)]
struct Paging {
    cursor: Option<String>,
    limit: Option<u32>,
}

impl From<Paging> for PageRequest {
    fn from(paging: Paging) -> PageRequest {
        PageRequest::new(paging.cursor, paging.limit)
    }
}

#[derive(Deserialize)]
struct AgentQuery {
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

#[derive(Serialize)]
struct AgentDetail {
    #[serde(flatten)]
    agent: Agent,
    identities: Vec<Identity>,
}

async fn agent(
    Reader { central, scope, .. }: Reader,
    Path(id): Path<String>,
) -> Answer<AgentDetail> {
    let agent = central
        .store
        .agent(scope, &id)
        .await?
        .ok_or_else(|| missing("agent", &id))?;
    let identities = central.store.identities(scope, &id).await?;
    Ok(Json(AgentDetail { agent, identities }))
}

async fn agent_events(
    Reader { central, sight, .. }: Reader,
    Path(id): Path<String>,
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

#[derive(Deserialize)]
struct EntityQuery {
    kind: Option<EntityKind>,
}

async fn agent_entities(
    Reader { central, scope, .. }: Reader,
    Path(id): Path<String>,
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
    Path(id): Path<String>,
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

#[derive(Serialize)]
struct SessionDetail {
    #[serde(flatten)]
    session: Session,
    turns: Vec<Turn>,
}

async fn session(
    Reader {
        central,
        scope,
        sight,
        ..
    }: Reader,
    Path(id): Path<String>,
) -> Answer<SessionDetail> {
    let session = central
        .store
        .session(scope, &id)
        .await?
        .ok_or_else(|| missing("session", &id))?;
    let events = central.store.session_events(&sight, &id).await?;
    Ok(Json(SessionDetail {
        session,
        turns: Conversation::build(events).turns,
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

async fn event(Reader { central, sight, .. }: Reader, Path(id): Path<String>) -> Answer<Event> {
    Ok(Json(
        central
            .store
            .event(&sight, &id)
            .await?
            .ok_or_else(|| missing("event", &id))?,
    ))
}

/// The query's parameters; a wrong one is a problem that names it.
struct Params<T>(T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<Arc<Central>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        central: &Arc<Central>,
    ) -> Result<Params<T>, Problem> {
        match Query::<T>::from_request_parts(parts, central).await {
            Ok(Query(params)) => Ok(Params(params)),
            Err(rejection) => Err(Problem {
                status: StatusCode::BAD_REQUEST,
                title: "A parameter cannot be read",
                detail: rejection.body_text(),
            }),
        }
    }
}

/// A request's body; none at all is the value's default.
struct Fields<T>(T);

impl<T: serde::de::DeserializeOwned + Default> FromRequest<Arc<Central>> for Fields<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Central>) -> Result<Fields<T>, Problem> {
        let body = axum::body::to_bytes(request.into_body(), MAX_FIELDS).await;
        let body =
            body.map_err(|_| Problem::unusable("the body did not arrive, or is too long"))?;
        if body.is_empty() {
            return Ok(Fields(T::default()));
        }
        serde_json::from_slice(&body).map(Fields).map_err(|error| {
            Problem::unusable(format!("the body is not what is asked for: {error}"))
        })
    }
}

/// An error as RFC 9457 writes it.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

impl Problem {
    fn unusable(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::BAD_REQUEST,
            title: "The request cannot be used",
            detail: detail.into(),
        }
    }

    fn forbidden(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::FORBIDDEN,
            title: "The role may not do that",
            detail: detail.into(),
        }
    }

    fn not_found(detail: impl Into<String>) -> Problem {
        Problem {
            status: StatusCode::NOT_FOUND,
            title: "Not found",
            detail: detail.into(),
        }
    }
}

fn missing(kind: &str, id: &str) -> Problem {
    Problem::not_found(format!("there is no {kind} {id:?} in this environment"))
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::BadCursor => Problem {
                status: StatusCode::BAD_REQUEST,
                title: "The cursor cannot be read",
                detail: error.to_string(),
            },
            StoreError::ContentHidden => Problem {
                status: StatusCode::FORBIDDEN,
                title: "Content is hidden by your role",
                detail: error.to_string(),
            },
            StoreError::BadQuery(reason) => Problem {
                status: StatusCode::BAD_REQUEST,
                title: "The filter cannot be read",
                detail: reason,
            },
            StoreError::Unavailable(reason) => {
                tracing::error!(reason, "a request for the API failed");
                Problem {
                    status: StatusCode::SERVICE_UNAVAILABLE,
                    title: "The store is not available",
                    detail: "try again shortly; the service's log says why".to_owned(),
                }
            }
        }
    }
}

impl From<TenancyError> for Problem {
    fn from(error: TenancyError) -> Problem {
        match error {
            TenancyError::Store(error) => error.into(),
            TenancyError::Missing(_) => Problem::not_found(error.to_string()),
            TenancyError::BadName(_) => Problem::unusable(error.to_string()),
            TenancyError::Taken(_) => Problem {
                status: StatusCode::CONFLICT,
                title: "The name is taken",
                detail: error.to_string(),
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.title,
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"fieldpost\""),
            );
        }
        response
    }
}
