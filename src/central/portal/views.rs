//! Saved views: names for addresses of lists, one's own and those that are shared here.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{Html, Redirect};
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Of, Role, SavedView};
use crate::central::views::{NewView, ViewError};

use super::browse::{self, Spec, Tools, Wish};
use super::event_row::{Link, Stamp};
use super::failure::Failure;
use super::observability::{Pairs, read_query};
use super::shell::{Here, Section, Shell, draw};
use super::table::Head;
use super::text::Text;

#[derive(Template)]
#[template(path = "views.html", config = "src/central/portal/askama.toml")]
struct ViewsPage {
    shell: Shell,
    kit: Tools,
    heads: Vec<Head>,
    rows: Vec<ViewRow>,
    more: Option<String>,
}

struct ViewRow {
    id: String,
    link: Link,
    /// The list's address, as it can be read.
    address: Text,
    is_shared: bool,
    saved_by: Text,
    saved_at: Stamp,
    /// Whether whoever looks may forget it.
    is_deletable: bool,
}

/// What the form of a list sends.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
pub(super) struct Fields {
    name: String,
    address: String,
    shared: String,
}

/// Which view is meant.
#[derive(Deserialize)]
pub(super) struct Which {
    id: String,
}

/// The list of a person's views.
pub(super) fn spec(here: &Here) -> Spec {
    let (path, export) = (here.base.views(), here.base.export("views"));
    Spec {
        of: Of::Person(here.session.person.id.clone()),
        is_inventory: false,
        ..Spec::of::<SavedView>(path, export, ("view", "views"))
    }
}

/// Someone looks for a view.
pub(super) async fn list(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let spec = spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<SavedView>(&central, here.scope(), &spec, wish).await?;
    let heads = Head::all(&["Name", "Address", "For", "Saved by", "Saved"]);
    let views = selection.rows.iter();
    draw(&ViewsPage {
        heads: Head::sorted(heads, &selection.tools),
        rows: views.map(|view| ViewRow::new(&here, view)).collect(),
        shell: here.shell(Section::Views),
        kit: selection.tools,
        more: selection.more,
    })
}

/// Someone saves the list that they are looking at.
pub(super) async fn save(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(fields): Form<Fields>,
) -> Result<Redirect, Failure> {
    let below = here.base.below(&fields.address);
    let new = NewView {
        name: fields.name,
        address: below.ok_or(Failure::NotFound("list"))?.to_owned(),
        is_shared: !fields.shared.is_empty(),
    };
    central
        .save_view(&here.environment, new, here.role, &here.actor())
        .await?;
    Ok(Redirect::to(&here.base.views()))
}

/// Someone needs a view no more.
pub(super) async fn delete(
    here: Here,
    State(central): State<Arc<Central>>,
    Form(Which { id }): Form<Which>,
) -> Result<Redirect, Failure> {
    let deleted = central
        .delete_view(&here.environment, &id, here.role, &here.actor())
        .await?;
    match deleted {
        true => Ok(Redirect::to(&here.base.views())),
        false => Err(Failure::NotFound("view")),
    }
}

/// Where a view leads.
pub(super) fn link(here: &Here, view: &SavedView) -> Link {
    Link::new(here.base.at(&view.address), &view.name)
}

impl ViewRow {
    fn new(here: &Here, view: &SavedView) -> ViewRow {
        let is_own = view.person_id.as_ref() == Some(&here.session.person.id);
        let plain = percent_encoding::percent_decode_str(&view.address).decode_utf8_lossy();
        ViewRow {
            id: view.id.clone(),
            link: link(here, view),
            address: Text::name(&plain),
            is_shared: view.is_shared,
            saved_by: match is_own {
                true => Text::name("you"),
                false => Text::short(&view.saved_by),
            },
            saved_at: Stamp::brief(view.saved_at),
            is_deletable: is_own || (view.is_shared && here.role == Role::Owner),
        }
    }
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Failure {
        match error {
            ViewError::Unusable(why) => Failure::BadRequest(why),
            ViewError::NotShared => Failure::NotAllowed(Role::Admin.word()),
            ViewError::Full => Failure::BadRequest("You have 200 views here already: delete some."),
            ViewError::Store(error) => error.into(),
        }
    }
}
