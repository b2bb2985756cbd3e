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
use crate::central::portal::filters::{as_field, time};
use crate::central::portal::observability::read_query;
use crate::central::portal::preferences::Preferences;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::text::Text;
use crate::event::Timestamp;

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
    /// From and until, as fields have them.
    times: (String, String),
    zone: String,
    /// What of the filters cannot be read.
    problem: Option<String>,
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
    /// A time as addresses have it, or as a field has it.
    from: String,
    to: String,
    cursor: String,
}

impl Filters {
    /// What the store is asked.
    ///
    /// # Errors
    /// When a time cannot be read; the words say how one is written.
    pub(in crate::central::portal) fn for_store(&self) -> Result<AuditFilter, String> {
        Ok(AuditFilter {
            person: Some(self.person.clone()),
            action: Some(self.action.clone()),
            object: Some(self.object.clone()),
            from: time("From", &self.from)?,
            to: time("Until", &self.to)?,
        })
    }

    /// The address of these entries below a path.
    pub(in crate::central::portal) fn address(&self, path: &str, cursor: &str) -> String {
        with_query(
            path,
            &[
                ("person", &*self.person),
                ("action", &self.action),
                ("object", &self.object),
                ("from", &self.from),
                ("to", &self.to),
                ("cursor", cursor),
            ],
        )
    }

    /// With its times as they are whatever zone the next reader has.
    fn settled(self, wanted: &AuditFilter) -> Filters {
        let text = |time: Option<Timestamp>| time.map_or(String::new(), |time| time.to_string());
        Filters {
            from: text(wanted.from),
            to: text(wanted.to),
            ..self
        }
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
    let action = here.base.settings("audit");
    let mut page = AuditPage {
        shell: here.shell(Section::Settings),
        tabs: tabs(&here, "audit"),
        action,
        export: String::new(),
        own_only: only(&here).is_some(),
        times: (filters.from.clone(), filters.to.clone()),
        zone: Preferences::current().zone_name,
        problem: None,
        rows: Vec::new(),
        older: None,
        filters,
    };
    let wanted = match page.filters.for_store() {
        Ok(wanted) => wanted,
        Err(problem) => {
            page.problem = Some(problem);
            return draw(&page);
        }
    };
    let of_page = PageRequest::new(Some(page.filters.cursor.clone()), None);
    let found = central
        .store
        .audited(here.scope(), only(&here), &wanted, of_page);
    let found = found.await?;
    page.filters = page.filters.settled(&wanted);
    page.times = (as_field(wanted.from), as_field(wanted.to));
    page.export = page
        .filters
        .address(&here.base.settings("audit/export"), "");
    page.rows = found.items.iter().map(EntryView::new).collect();
    let older = found.next_cursor;
    page.older = older.map(|cursor| page.filters.address(&page.action, &cursor));
    draw(&page)
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
