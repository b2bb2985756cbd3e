//! What people did in the portal. Viewers see their own entries.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{AuditFilter, Audited, PageRequest, Role};

use super::{Tab, tabs};
use crate::central::portal::address::with_query;
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::observability::read_query;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::text::Text;

#[derive(Template)]
#[template(
    path = "settings_audit.html",
    config = "src/central/portal/askama.toml"
)]
struct AuditPage {
    shell: Shell,
    tabs: Vec<Tab>,
    action: String,
    export: String,
    own_only: bool,
    filters: Filters,
    rows: Vec<EntryView>,
    older: Option<String>,
}

struct EntryView {
    time: Stamp,
    person: Text,
    action: Text,
    object: Text,
    change: Option<(Text, Text)>,
    reason: Text,
    address: Text,
}

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::central::portal) struct Filters {
    person: String,
    action: String,
    object: String,
    cursor: String,
}

impl Filters {
    /// What the store is asked.
    pub(in crate::central::portal) fn for_store(&self) -> AuditFilter {
        AuditFilter {
            person: Some(self.person.clone()),
            action: Some(self.action.clone()),
            object: Some(self.object.clone()),
            ..AuditFilter::default()
        }
    }

    /// The address of these entries below a path.
    pub(in crate::central::portal) fn address(&self, path: &str, cursor: &str) -> String {
        with_query(
            path,
            &[
                ("person", &*self.person),
                ("action", &self.action),
                ("object", &self.object),
                ("cursor", cursor),
            ],
        )
    }
}

/// Whose entries somebody may see: everybody's, or one person's.
pub(in crate::central::portal) fn only(here: &Here) -> Option<&str> {
    (here.role == Role::Viewer).then_some(&*here.session.person.id)
}

/// Someone looks at what was done.
pub(in crate::central::portal) async fn page(
    here: Here,
    State(central): State<Arc<Central>>,
    filters: Result<Query<Filters>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let filters = read_query(filters)?;
    let wanted = PageRequest::new(Some(filters.cursor.clone()), None);
    let page = central
        .store
        .audited(here.scope(), only(&here), &filters.for_store(), wanted)
        .await?;
    let action = here.base.settings("audit");
    draw(&AuditPage {
        shell: here.shell(Section::Settings),
        tabs: tabs(&here, "audit"),
        export: filters.address(&here.base.settings("audit/export"), ""),
        own_only: only(&here).is_some(),
        rows: page.items.iter().map(EntryView::new).collect(),
        older: page
            .next_cursor
            .map(|cursor| filters.address(&action, &cursor)),
        action,
        filters,
    })
}

impl EntryView {
    fn new(entry: &Audited) -> EntryView {
        let has_changed = !entry.before.is_empty() || !entry.after.is_empty();
        EntryView {
            time: Stamp::brief(entry.time),
            person: Text::name(&entry.person),
            action: Text::name(&entry.action),
            object: Text::name(&entry.object),
            change: has_changed.then(|| (Text::name(&entry.before), Text::name(&entry.after))),
            reason: Text::name(&entry.reason),
            address: Text::name(&entry.address),
        }
    }
}
