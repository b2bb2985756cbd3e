//! One record, with everything that was in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use serde_json::Value;

use crate::central::Central;
use crate::central::conversation::decision_of;
use crate::central::identity::{Basis, OBSERVED};
use crate::central::store::{Event, Qualifier, Sight, StoreError, Term};
use crate::event::content::Content;

use super::event_row::{EventRow, Stamp, machine_name};
use super::failure::Failure;
use super::filters::{Filters, title_of};
use super::shell::{Here, Section, Shell, draw};
use super::text::{Passage, Text, visible};

/// A record beside a list.
pub(super) struct Panel {
    pub(super) row: EventRow,
    pub(super) name: Text,
    pub(super) id: Text,
    pub(super) received: Stamp,
    pub(super) content: Option<ContentView>,
    pub(super) tab: &'static str,
    pub(super) tabs: Vec<PanelTab>,
    pub(super) values: Vec<PanelValue>,
    pub(super) context: Vec<EventRow>,
    pub(super) identity: Vec<IdentityValue>,
    pub(super) raw: Passage,
    pub(super) close: String,
    pub(super) page: String,
}

/// One of a panel's views.
pub(super) struct PanelTab {
    pub(super) title: &'static str,
    pub(super) href: String,
    pub(super) lit: bool,
}

/// A value that the list can be narrowed to, or rid of.
pub(super) struct PanelValue {
    pub(super) title: &'static str,
    pub(super) value: Text,
    /// As it is, to be copied.
    pub(super) whole: String,
    pub(super) only: String,
    pub(super) exclude: String,
}

/// Who a record says it is about, and who says so.
pub(super) struct IdentityValue {
    pub(super) key: Text,
    pub(super) value: Text,
    /// `asserted` by the client, or `observed` by the edge.
    pub(super) basis: &'static str,
}

/// Tabs of a panel: name in addresses, title.
const TABS: [(&str, &str); 4] = [
    ("", "Summary"),
    ("context", "Context"),
    ("raw", "Raw JSON"),
    ("identity", "Identity"),
];

/// Records before and after one that its context shows.
const CONTEXT: usize = 20;

/// Identity attributes that clients set.
const ASSERTED: [&str; 8] = [
    "user.email",
    "user.id",
    "user.account_uuid",
    "user.account_id",
    "organization.id",
    "enduser.id",
    "identity.source",
    "user.groups",
];

#[derive(Template)]
#[template(path = "event.html", config = "src/central/portal/askama.toml")]
struct EventPage {
    shell: Shell,
    title: String,
    row: EventRow,
    name: Text,
    id: Text,
    activity: &'static str,
    received: Stamp,
    machine: Option<Passage>,
    content: Option<ContentView>,
    record: Vec<Field>,
    resource: Vec<Field>,
    scope: Text,
    raw: Passage,
}

/// The text that a record is about.
pub(super) struct ContentView {
    pub(super) label: &'static str,
    pub(super) passage: Passage,
}

struct Field {
    key: Text,
    value: Passage,
}

/// Someone looks at one record.
pub(super) async fn show(
    here: Here,
    State(central): State<Arc<Central>>,
) -> Result<Html<String>, Failure> {
    let event = central
        .store
        .event(&here.sight(), here.param("event"))
        .await?;
    let event = event.ok_or(Failure::NotFound("record"))?;
    draw(&EventPage {
        shell: here.shell(Section::Events),
        title: visible(&event.name),
        row: EventRow::new(&here.base, &event),
        name: Text::name(&event.name),
        id: Text::name(&event.id),
        activity: event.activity.title(),
        received: Stamp::of(event.received_at),
        machine: machine(&event),
        content: content(&event),
        record: fields(&event.attributes),
        resource: fields(&event.resource),
        scope: Text::name(format!("{} {}", event.scope_name, event.scope_version).trim()),
        raw: raw(&event),
    })
}

impl Panel {
    /// The record that a list's address opens, as far as `sight` shows it; `None` when there is none of this id.
    pub(super) async fn read(
        here: &Here,
        central: &Central,
        sight: &Sight,
        filters: &Filters,
        path: &str,
    ) -> Result<Option<Panel>, StoreError> {
        let event = central.store.event(sight, &filters.event).await?;
        let Some(event) = event else { return Ok(None) };
        let known = TABS.iter().find(|(slug, _)| *slug == filters.tab);
        let (tab, _) = known.copied().unwrap_or(TABS[0]);
        let session = event.session_id.as_deref().filter(|_| tab == "context");
        let context = match session {
            None => Vec::new(),
            Some(session) => {
                let read = central.store.session_events(&here.sight(), session).await?;
                let events = read.events;
                // Of a session that is read in part, what is not read has no context here.
                let place = events.iter().position(|other| other.id == event.id);
                let around = place.map_or(&[][..], |place| {
                    let end = events.len().min(place + CONTEXT + 1);
                    &events[place.saturating_sub(CONTEXT)..end]
                });
                around
                    .iter()
                    .map(|other| EventRow::new(&here.base, other).opened_in(filters, path))
                    .collect()
            }
        };
        Ok(Some(Panel {
            row: EventRow::new(&here.base, &event),
            name: Text::name(&event.name),
            id: Text::name(&event.id),
            received: Stamp::of(event.received_at),
            content: content(&event),
            tab,
            tabs: TABS
                .iter()
                .map(|(slug, title)| PanelTab {
                    title,
                    href: filters.opened(&event.id, slug).address(path),
                    lit: *slug == tab,
                })
                .collect(),
            values: values(&event, filters, path),
            context,
            identity: identity(&event),
            raw: raw(&event),
            close: filters.opened("", "").address(path),
            page: here.base.event(&event.id),
        }))
    }
}

fn values(event: &Event, filters: &Filters, path: &str) -> Vec<PanelValue> {
    let machine = machine_name(event);
    let email = event.text("user.email").map(str::to_lowercase);
    let mut pairs = vec![
        (Qualifier::Type, Some(event.activity.slug())),
        (
            Qualifier::Agent,
            email.as_deref().or(event.agent_id.as_deref()),
        ),
        (Qualifier::Tool, event.tool.as_deref()),
        (Qualifier::Model, event.model.as_deref()),
        (Qualifier::Session, event.session_id.as_deref()),
        (Qualifier::Machine, machine.as_deref()),
        (Qualifier::Version, Some(event.scope_version.as_str())),
    ];
    if let Some((decision, source)) = decision_of(event) {
        pairs.push((
            Qualifier::Decision,
            Some(decision).filter(|it| matches!(*it, "accept" | "reject")),
        ));
        pairs.push((Qualifier::Source, source));
    }
    let given = pairs
        .into_iter()
        .filter_map(|(qualifier, value)| Some((qualifier, value.filter(|it| !it.is_empty())?)));
    given
        .map(|(qualifier, value)| {
            let term = Term::new(qualifier, value);
            PanelValue {
                title: title_of(qualifier),
                value: Text::short(value),
                whole: value.to_owned(),
                only: filters.with_term(term.clone()).address(path),
                exclude: filters.with_term(term.excluded()).address(path),
            }
        })
        .collect()
}

fn identity(event: &Event) -> Vec<IdentityValue> {
    let by_edge = event.machine_id.is_some();
    let found = ASSERTED.iter().chain(&OBSERVED).filter_map(|key| {
        let value = event
            .attributes
            .get(*key)
            .or_else(|| event.resource.get(*key))?;
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        Some(IdentityValue {
            key: Text::name(key),
            value: Text::name(&text),
            basis: Basis::of(key, by_edge).word(),
        })
    });
    found.collect()
}

/// A record as JSON, for a fold.
pub(super) fn raw(event: &Event) -> Passage {
    Passage::plain(&serde_json::to_string_pretty(event).unwrap_or_default())
}

fn machine(event: &Event) -> Option<Passage> {
    let id = event.machine_id.as_deref()?;
    let number = event
        .machine_seq
        .map_or(String::new(), |number| format!(", its record {number}"));
    Some(Passage::plain(&format!("{id}{number}")))
}

fn content(event: &Event) -> Option<ContentView> {
    let (label, content) = match event.name.as_str() {
        "user_prompt" => ("Prompt", Content::prompt(&event.attributes)),
        "assistant_response" => ("Response", Content::response(&event.attributes)),
        "tool_result" => ("Argument", Content::tool_argument(&event.attributes)),
        "api_request_body" | "api_response_body" => ("Body", Content::raw_body(&event.attributes)),
        _ => return None,
    };
    Some(ContentView {
        label,
        passage: Passage::new(&content),
    })
}

fn fields(attributes: &BTreeMap<String, Value>) -> Vec<Field> {
    attributes
        .iter()
        .map(|(key, value)| Field {
            key: Text::name(key),
            value: match value {
                Value::String(text) => Passage::plain(text),
                other => Passage::plain(&other.to_string()),
            },
        })
        .collect()
}
