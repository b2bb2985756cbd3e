//! What a security team sees: pages of HTML from the server, each a paragraph of code that
//! says who asks, what for, does it and answers.
//!
//! * Pages work without JavaScript; the modules in `assets` only add comfort.
//! * Text from records goes through `text`, which makes the unseen visible; the templates
//!   escape the rest, and nothing in them is marked as safe.
//! * Every answer carries the headers of `headers`; until people can sign in, `guard`
//!   lets only the machine itself in.
//! * A page never says more than its address: filters, tab, turn and cursor stand in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::middleware;
use axum::response::Redirect;
use axum::routing::{get, post};

use crate::central::Central;
use crate::words;

use address::Base;
use failure::Failure;
use shell::Here;

mod guard;
mod headers;
mod failure;
mod shell;
mod overview;
mod integrations;
mod agents;
mod inventory;
mod machines;
mod table;
mod entities;
mod observability;
mod export;
mod live;
mod session;
mod event;
mod turn_view;
mod facts;
mod event_row;
mod phrase;
mod filters;
mod histogram;
mod preferences;
mod address;
mod text;
mod assets;

/// The pages, for a router whose state is the service. Requests must carry their peer as
/// `ConnectInfo<SocketAddr>`; without it every page is refused.
pub(super) fn router() -> Router<Arc<Central>> {
    let environment = Router::new()
        .route("/", get(overview::show))
        .route("/inventory/agents", get(agents::list))
        .route("/inventory/agents/{agent}", get(agents::first_tab))
        .route(
            "/inventory/agents/{agent}/audit-logs",
            get(agents::audit_logs),
        )
        .route("/inventory/agents/{agent}/sessions", get(agents::sessions))
        .route(
            "/inventory/agents/{agent}/entities",
            get(entities::of_agent),
        )
        .route("/inventory/agents/{agent}/owner", get(agents::owner))
        .route("/inventory/machines", get(machines::list))
        .route("/inventory/machines/{machine}", get(machines::show))
        .route("/inventory/owners", get(inventory::owners))
        .route("/inventory/{kind}", get(inventory::entities))
        .route("/inventory/{kind}/{name}", get(inventory::entity))
        .route("/observability", get(observability::list))
        .route("/observability/export", post(export::environment))
        .route("/observability/live", get(live::environment))
        .route(
            "/inventory/agents/{agent}/audit-logs/export",
            post(export::agent_events),
        )
        .route(
            "/inventory/agents/{agent}/audit-logs/live",
            get(live::agent),
        )
        .route(
            "/inventory/agents/{agent}/sessions/export",
            post(export::agent_sessions),
        )
        .route("/sessions/{session}", get(session::show))
        .route("/events/{event}", get(event::show))
        .route("/integrations", get(integrations::list))
        .route(
            "/integrations/claude-cowork/install",
            get(integrations::install_page).post(integrations::install),
        )
        .route(
            "/integrations/claude-cowork/tokens/{token}/revoke",
            post(integrations::revoke),
        )
        .route("/{*unknown}", get(not_found));
    Router::new()
        .route("/", get(home))
        .route("/t/{tenant}/{environment}", get(environment_without_slash))
        .nest("/t/{tenant}/{environment}/", environment)
        .route("/assets/{version}/{file}", get(assets::file))
        .route("/preferences", post(preferences::set))
        .layer(middleware::from_fn(preferences::of_request))
        .layer(middleware::from_fn(guard::local_only))
        .layer(middleware::from_fn(guard::own_changes_only))
        .layer(middleware::from_fn(headers::on_every_answer))
}

/// Someone opens an address below an environment that no page has.
async fn not_found() -> Failure {
    Failure::NotFound("page")
}

/// Someone opens the portal: to the first environment.
async fn home(State(central): State<Arc<Central>>) -> Result<Redirect, Failure> {
    let environments = central.store.environments().await?;
    let first = environments.first().ok_or(Failure::NoEnvironment)?;
    Ok(Redirect::to(&Base::of(first).overview()))
}

/// Someone opens an environment by an address without its slash.
async fn environment_without_slash(here: Here) -> Redirect {
    Redirect::to(&here.base.overview())
}
