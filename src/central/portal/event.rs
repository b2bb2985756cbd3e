//! One record, with everything that was in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use serde_json::Value;

use crate::central::Central;
use crate::central::store::Event;
use crate::event::content::Content;

use super::event_row::{EventRow, Stamp};
use super::failure::Failure;
use super::shell::{Here, Section, Shell, draw};
use super::text::{Passage, Text, visible};

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

struct ContentView {
    label: &'static str,
    passage: Passage,
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
