//! Opening content: for admins, with a reason, for half an hour, one session or one list. Owners see content
//! anyway, viewers never.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use axum::Form;
use axum::extract::State;
use axum::response::Redirect;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{AuditEntry, Opened, Role};
use crate::event::Timestamp;

use super::address::without;
use super::failure::Failure;
use super::layout::Layout;
use super::shell::Here;

/// How long content is open.
const OPEN_FOR: Duration = Duration::from_secs(30 * 60);

/// Shortest reason, in characters.
const MIN_REASON: usize = 3;

/// The form that opens what a page hides.
#[derive(Template)]
#[template(path = "reveal.html", config = "src/central/portal/askama.toml")]
pub(super) struct RevealForm {
    action: String,
    form_token: String,
    field: &'static str,
    value: String,
}

// Its `Display` is `reveal.html`, which escapes.
impl HtmlSafe for RevealForm {}

impl RevealForm {
    /// The form for a session, where it would change anything.
    pub(super) fn of_session(here: &Here, id: &str) -> Option<RevealForm> {
        let is_hidden = !here.sight().shows(Some(id));
        RevealForm::new(here, "session", id).filter(|_| is_hidden)
    }

    /// The same for the list at an address.
    pub(super) fn of_list(here: &Here, address: &str) -> Option<RevealForm> {
        let is_hidden = !here.sight_of_list(address).shows(None);
        RevealForm::new(here, "list", address).filter(|_| is_hidden)
    }

    fn new(here: &Here, field: &'static str, value: &str) -> Option<RevealForm> {
        (here.role == Role::Admin).then(|| RevealForm {
            action: here.base.reveals(),
            form_token: here.session.form_token.clone(),
            field,
            value: value.to_owned(),
        })
    }
}

/// What the form sends.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Wanted {
    session: String,
    list: String,
    reason: String,
}

/// Someone opens content. The audit of it is on disk before any of it is shown.
pub(super) async fn open(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(wanted): Form<Wanted>,
) -> Result<Redirect, Failure> {
    here.require(Role::Admin)?;
    let reason = wanted.reason.trim();
    if here.role == Role::Admin && reason.chars().count() < MIN_REASON {
        return Err(Failure::BadRequest(
            "Say why the content is needed: the reason stands in the audit.",
        ));
    }
    let (opened, leads_to, records) = match &*wanted.session {
        "" => {
            let address = here.base.own(&wanted.list);
            let address = address.ok_or(Failure::NotFound("list"))?;
            let opened = Opened::List(without(address, &Layout::KEYS));
            (opened, address.to_owned(), None)
        }
        id => {
            let session = central.store.session(here.scope(), id).await?;
            let session = session.ok_or(Failure::NotFound("session"))?;
            let opened = Opened::Session(id.to_owned());
            (opened, here.base.session(id), Some(session.event_count))
        }
    };
    let (action, object) = match &opened {
        Opened::Session(id) => ("reveal.session", id),
        Opened::List(address) => ("reveal.list", address),
    };
    let entry = AuditEntry {
        became: records.map_or(String::new(), |records| format!("{records} records")),
        reason: reason.to_owned(),
        ..central.entry(&here.actor(), Some(&here.environment), action, &**object)
    };
    let open_for = i64::try_from(OPEN_FOR.as_nanos()).unwrap_or(i64::MAX);
    let expires_at = Timestamp(entry.time.0.saturating_add(open_for));
    central
        .store
        .reveal(
            here.scope(),
            &here.session.person.id,
            &opened,
            expires_at,
            &entry,
        )
        .await?;
    Ok(Redirect::to(&leads_to))
}
