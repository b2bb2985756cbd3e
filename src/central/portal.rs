//! What a security team sees: pages of HTML from the server, each a paragraph of code that
//! says who asks, what for, does it and answers.
//!
//! * Pages work without JavaScript; the modules in `assets` only add comfort.
//! * Text from records goes through `text`, which makes the unseen visible; the templates
//!   escape the rest, and nothing in them is marked as safe.
//! * Every answer carries the headers of `headers`; `guard` lets in whoever is signed in, and
//!   `shell` only to environments that they are members of.
//! * A page never says more than its address: filters, tab, turn and cursor stand in it.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::middleware;
use axum::response::Redirect;
use axum::routing::{get, post};

use crate::central::people::SignedIn;
use crate::central::{Central, request_id};
use crate::words;

use address::Base;
use failure::Failure;
use shell::Here;

mod guard;
mod headers;
mod failure;
mod shell;
mod sign_in;
mod single_sign_on;
mod settings;
mod reveal;
mod overview;
mod integrations;
mod reference;
mod go;
mod agents;
mod inventory;
mod machines;
mod retire;
mod versions;
mod drift;
mod table;
mod entities;
mod observability;
mod browse;
mod export;
mod live;
mod views;
mod session;
mod event;
mod signals;
mod turn_view;
mod facts;
mod event_row;
mod phrase;
mod filters;
mod layout;
mod histogram;
mod preferences;
mod address;
mod text;
mod assets;

/// The pages, for a router whose state is the service. Requests must carry their peer as
/// `ConnectInfo<SocketAddr>`; without it every page is refused.
pub(super) fn router(central: &Arc<Central>) -> Router<Arc<Central>> {
    let environment = Router::new()
        .route("/", get(overview::show))
        .route("/inventory/agents", get(agents::list))
        .route("/inventory/agents/{agent}", get(agents::first_tab))
        .route(
            "/inventory/agents/{agent}/overview",
            get(agents::overview::show),
        )
        .route(
            "/inventory/agents/{agent}/health",
            get(agents::health::show),
        )
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
        .route(
            "/inventory/machines/{machine}/retire",
            get(retire::page).post(retire::decide),
        )
        .route("/inventory/versions", get(versions::show))
        .route("/inventory/drift", get(drift::show))
        .route("/inventory/owners", get(inventory::owners))
        .route("/inventory/{kind}", get(inventory::entities))
        .route("/inventory/{kind}/{name}", get(inventory::entity))
        .route("/observability", get(observability::list))
        .route("/observability/export", post(export::environment))
        .route("/observability/live", get(live::environment))
        .route(
            "/observability/values",
            get(observability::values::environment),
        )
        .route(
            "/inventory/agents/{agent}/audit-logs/export",
            post(export::agent_events),
        )
        .route(
            "/inventory/agents/{agent}/audit-logs/live",
            get(live::agent),
        )
        .route(
            "/inventory/agents/{agent}/audit-logs/values",
            get(observability::values::agent),
        )
        .route(
            "/inventory/agents/{agent}/sessions/export",
            post(export::agent_sessions),
        )
        .route(
            "/inventory/agents/{agent}/entities/export",
            post(export::agent_entities),
        )
        .route("/inventory/{kind}/{name}/export", post(export::users))
        .route("/exports/{list}", post(export::of_inventory))
        .route("/sessions/{session}", get(session::show))
        .route("/sessions/{session}/export", post(export::session::export))
        .route("/events/{event}", get(event::show))
        .route("/signals/{signal}", get(signals::list))
        .route("/signals/{signal}/export", post(export::signals))
        .route("/signals/{signal}/{message}", get(signals::show))
        .route("/integrations", get(integrations::list))
        .route(
            "/integrations/claude-cowork/install",
            get(integrations::install_page).post(integrations::install),
        )
        .route(
            "/integrations/claude-cowork/tokens",
            get(integrations::tokens_page),
        )
        .route(
            "/integrations/claude-cowork/tokens/{token}",
            get(integrations::token),
        )
        .route(
            "/integrations/claude-cowork/tokens/{token}/revoke",
            post(integrations::revoke),
        )
        .route("/views", get(views::list).post(views::save))
        .route("/views/delete", post(views::delete))
        .route("/go", get(go::show))
        .route("/api", get(reference::show))
        .route("/reveals", post(reveal::open))
        .route("/settings/account", get(settings::account::page))
        .route(
            "/settings/account/password",
            post(settings::account::change_password),
        )
        .route(
            "/settings/keys",
            get(settings::keys::page).post(settings::keys::make),
        )
        .route("/settings/keys/delete", post(settings::keys::delete))
        .route(
            "/settings/people",
            get(settings::people::page).post(settings::people::add),
        )
        .route("/settings/people/role", post(settings::people::change_role))
        .route("/settings/people/link", post(settings::people::link))
        .route("/settings/people/remove", post(settings::people::remove))
        .route("/settings/audit", get(settings::audit::page))
        .route("/settings/audit/export", post(export::audit))
        .route(
            "/settings/machines",
            get(settings::machines::page).post(settings::machines::change),
        )
        .route(
            "/settings/retention",
            get(settings::retention::page).post(settings::retention::change),
        )
        .route("/{*unknown}", get(not_found));
    let inside = Router::new()
        .route("/", get(home))
        .route("/t/{tenant}/{environment}", get(environment_without_slash))
        .nest("/t/{tenant}/{environment}/", environment)
        .route("/sign-out", post(sign_in::leave))
        .route("/sign-out/everywhere", post(sign_in::leave_everywhere))
        .route("/preferences", post(preferences::set))
        .route("/preferences/lists", post(observability::lay_out))
        .layer(middleware::from_fn_with_state(
            Arc::clone(central),
            guard::signed_in,
        ));
    let door = Router::new()
        .route("/sign-in", get(sign_in::page).post(sign_in::enter))
        .route(
            "/sign-in/link/{secret}",
            get(sign_in::link_page).post(sign_in::enter_by_link),
        )
        .route("/sign-in/sso", get(single_sign_on::begin))
        .route("/sign-in/sso/callback", get(single_sign_on::callback))
        .route("/sign-in/sso/sign-out", get(single_sign_on::leave))
        .route("/assets/{version}/{file}", get(assets::file))
        .layer(DefaultBodyLimit::max(guard::MAX_FORM));
    inside
        .merge(door)
        .layer(middleware::from_fn(preferences::of_request))
        .layer(middleware::from_fn(guard::own_changes_only))
        .layer(middleware::from_fn(request_id::numbered))
        .layer(middleware::from_fn_with_state(
            Arc::clone(central),
            headers::on_every_answer,
        ))
}

/// Gives every answer of `router` the headers that those of the portal have, and its request's number.
pub(super) fn protected<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    central: &Arc<Central>,
) -> Router<S> {
    router
        .layer(middleware::from_fn(request_id::numbered))
        .layer(middleware::from_fn_with_state(
            Arc::clone(central),
            headers::on_every_answer,
        ))
}

/// Someone opens an address below an environment that no page has.
async fn not_found() -> Failure {
    Failure::NotFound("page")
}

/// Someone opens the portal: to the first environment that is theirs.
async fn home(
    State(central): State<Arc<Central>>,
    Extension(session): Extension<SignedIn>,
) -> Result<Redirect, Failure> {
    let memberships = central.store.memberships(&session.person.id).await?;
    let first = memberships.first().ok_or(Failure::NoMembership)?;
    Ok(Redirect::to(&Base::of(&first.environment).overview()))
}

/// Someone opens an environment by an address without its slash.
async fn environment_without_slash(here: Here) -> Redirect {
    Redirect::to(&here.base.overview())
}
