//! One's own API keys: they may do what the person may, or less, and end with the membership.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::accounts::check_name;
use crate::central::store::{ApiKey, AuditEntry, Of, Role};
use crate::event::{DAY, Timestamp};

use super::{Tab, tabs};
use crate::central::portal::browse::{self, Spec, Tools, Wish};
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::{Pairs, read_query};
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::table::Head;
use crate::central::portal::text::Text;

/// Days that a key may be good for.
const DAYS: [i64; 4] = [7, 30, 90, 365];

#[derive(Template)]
#[template(path = "settings_keys.html", config = "src/central/portal/askama.toml")]
struct KeysPage {
    shell: Shell,
    tabs: Vec<Tab>,
    action: String,
    /// A key that was just made: shown now, and never again.
    made: Option<String>,
    roles: Vec<&'static str>,
    days: [i64; 4],
    kit: Tools,
    heads: Vec<Head>,
    rows: Vec<KeyView>,
    more: Option<String>,
}

struct KeyView {
    id: String,
    name: Text,
    role: &'static str,
    made: Stamp,
    expires: Option<Stamp>,
    used: Option<Stamp>,
}

/// What the form for a new key sends.
#[derive(Deserialize)]
pub(in crate::central::portal) struct NewKey {
    #[serde(default)]
    name: String,
    role: Role,
    days: i64,
}

/// Which key is meant.
#[derive(Deserialize)]
pub(in crate::central::portal) struct Which {
    id: String,
}

/// The list of one's own keys.
pub(in crate::central::portal) fn spec(here: &Here) -> Spec {
    let (path, export) = (here.base.settings("keys"), here.base.export("keys"));
    let all = Spec::of::<ApiKey>(path, export, ("key", "keys"));
    Spec {
        of: Of::Person(here.session.person.id.clone()),
        facets: all.without("whose"),
        is_inventory: false,
        ..all
    }
}

/// Someone looks at their keys.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let wish = Wish::read(&spec(&here), read_query(pairs)?)?;
    draw_with(&here, &central, wish, None).await
}

/// Someone makes a key. Its page is the only place where it ever stands.
pub(in crate::central::portal) async fn make(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(new): Form<NewKey>,
) -> Result<Html<String>, Failure> {
    check_name(&new.name).map_err(Failure::BadRequest)?;
    here.require(new.role)?;
    if !DAYS.contains(&new.days) {
        return Err(Failure::BadRequest("Choose how long the key is good."));
    }
    let entry = AuditEntry {
        became: format!("{}, {} days", new.role.word(), new.days),
        ..central.entry(
            &here.actor(),
            Some(&here.environment),
            "api_key.made",
            &*new.name,
        )
    };
    let expires_at = Timestamp(entry.time.0.saturating_add(new.days * DAY));
    let person = &here.session.person.id;
    let key = central
        .create_personal_key(here.scope(), person, new.role, expires_at, &entry)
        .await?;
    draw_with(
        &here,
        &central,
        Wish::default(),
        Some(key.expose().to_owned()),
    )
    .await
}

/// Someone deletes a key of theirs.
pub(in crate::central::portal) async fn delete(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(Which { id }): Form<Which>,
) -> Result<Redirect, Failure> {
    let entry = central.entry(
        &here.actor(),
        Some(&here.environment),
        "api_key.deleted",
        &*id,
    );
    let person = &here.session.person.id;
    let deleted = central
        .store
        .delete_personal_key(here.scope(), person, &id, &entry)
        .await?;
    match deleted {
        true => Ok(Redirect::to(&here.base.settings("keys"))),
        false => Err(Failure::NotFound("key")),
    }
}

async fn draw_with(
    here: &Here,
    central: &Central,
    wish: Wish,
    made: Option<String>,
) -> Result<Html<String>, Failure> {
    let keys = browse::select::<ApiKey>(central, here.scope(), &spec(here), wish).await?;
    let rows = keys.rows.iter().map(|key| KeyView {
        id: key.id.clone(),
        name: Text::name(&key.name),
        role: key.role,
        made: Stamp::brief(key.created_at),
        expires: key.expires_at.map(Stamp::brief),
        used: key.last_used.map(Stamp::brief),
    });
    draw(&KeysPage {
        rows: rows.collect(),
        heads: Head::sorted(
            Head::all(&["Name", "Role", "Made", "Expires", "Last used"]),
            &keys.tools,
        ),
        kit: keys.tools,
        more: keys.more,
        shell: here.shell(Section::Settings),
        tabs: tabs(here, "keys"),
        action: here.base.settings("keys"),
        made,
        roles: [Role::Viewer, Role::Admin, Role::Owner]
            .into_iter()
            .filter(|role| *role <= here.role)
            .map(Role::word)
            .collect(),
        days: DAYS,
    })
}
