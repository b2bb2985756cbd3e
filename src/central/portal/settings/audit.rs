//! What people did in the portal. Viewers see their own entries.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{AuditFilter, AuditTally, Audited, PageRequest, Role};

use super::{Tab, tabs};
use crate::central::portal::address::with_query;
use crate::central::portal::browse::facet_of;
use crate::central::portal::event_row::Stamp;
use crate::central::portal::failure::Failure;
use crate::central::portal::filters::{Chip, as_field, time};
use crate::central::portal::observability::{FacetLink, FacetView, hover, read_query};
use crate::central::portal::preferences::Preferences;
use crate::central::portal::shell::{Here, Section, Shell, draw};
use crate::central::portal::text::{Text, visible};
use crate::event::Timestamp;
use crate::words;

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
    count: String,
    chips: Vec<Chip>,
    facets: Vec<FacetView>,
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

/// Values of a facet that are shown.
const MAX_VALUES: usize = 50;

/// A facet: its title, what narrows by it and what excludes, what is chosen, and how often each value is there.
type Kind<'a> = (
    &'static str,
    &'static str,
    &'static str,
    &'a str,
    &'a [(String, i64)],
);

/// Which entries are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::central::portal) struct Filters {
    person: String,
    #[serde(rename = "-person")]
    not_person: String,
    action: String,
    #[serde(rename = "-action")]
    not_action: String,
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
            not_person: Some(self.not_person.clone()),
            action: Some(self.action.clone()),
            not_action: Some(self.not_action.clone()),
            object: Some(self.object.clone()),
            from: time("From", &self.from)?,
            to: time("Until", &self.to)?,
        })
    }

    /// The address of these entries below a path.
    pub(in crate::central::portal) fn address(&self, path: &str, cursor: &str) -> String {
        let [person, not_person, action, not_action, object, from, to] = self.pairs();
        let cursor = ("cursor", cursor);
        with_query(
            path,
            &[
                person, not_person, action, not_action, object, from, to, cursor,
            ],
        )
    }

    fn pairs(&self) -> [(&'static str, &str); 7] {
        [
            ("person", &self.person),
            ("-person", &self.not_person),
            ("action", &self.action),
            ("-action", &self.not_action),
            ("object", &self.object),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    /// The address of the entries with this and all other filters, but for those of the same kind.
    fn with(&self, path: &str, key: &str, value: &str) -> String {
        let kind = key.trim_start_matches('-');
        let others = self.pairs().into_iter();
        let mut pairs: Vec<(&str, &str)> = others
            .filter(|(other, _)| other.trim_start_matches('-') != kind)
            .collect();
        pairs.push((key, value));
        with_query(path, &pairs)
    }

    /// The filters that are set, each with the address without it.
    fn chips(&self, path: &str) -> Vec<Chip> {
        let pairs = self.pairs();
        let set = pairs.iter().filter(|(_, value)| !value.is_empty());
        set.map(|(key, value)| {
            let others = pairs.iter().filter(|(other, _)| other != key);
            Chip {
                label: match key.trim_start_matches('-') {
                    "person" => "Person",
                    "action" => "Action",
                    "object" => "Object",
                    "from" => "From",
                    _ => "Until",
                }
                .to_owned(),
                value: visible(value),
                is_excluded: key.starts_with('-'),
                without: with_query(path, &others.copied().collect::<Vec<_>>()),
            }
        })
        .collect()
    }

    /// By what the entries can be narrowed.
    fn facets(&self, path: &str, tally: &AuditTally) -> Vec<FacetView> {
        let facet = |(title, only, not, chosen, counts): Kind<'_>| {
            let values = counts.iter().take(MAX_VALUES);
            let link = |(value, count): &(String, i64)| FacetLink {
                label: Text::short(value),
                hover: hover(value, value),
                term: None,
                count: words::count(*count),
                only: self.with(path, only, value),
                exclude: self.with(path, not, value),
                chosen: *chosen == *value,
            };
            facet_of(title, tally.entry_count, values.map(link).collect())
        };
        let kinds: [Kind<'_>; 2] = [
            ("Action", "action", "-action", &self.action, &tally.actions),
            ("Person", "person", "-person", &self.person, &tally.people),
        ];
        kinds.into_iter().filter_map(facet).collect()
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
        count: String::new(),
        chips: Vec::new(),
        facets: Vec::new(),
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
    let (store, scope) = (&central.store, here.scope());
    let (found, tally) = tokio::try_join!(
        store.audited(scope, only(&here), &wanted, of_page),
        store.audit_tally(scope, only(&here), &wanted),
    )?;
    page.filters = page.filters.settled(&wanted);
    page.times = (as_field(wanted.from), as_field(wanted.to));
    page.export = page
        .filters
        .address(&here.base.settings("audit/export"), "");
    let count = usize::try_from(tally.entry_count).unwrap_or(0);
    page.count = words::plural(count, "entry", "entries");
    page.chips = page.filters.chips(&page.action);
    page.facets = page.filters.facets(&page.action, &tally);
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
