//! What an agent used: tools, MCP tools, models, directories.

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Html;
use serde::Deserialize;

use crate::central::Central;
use crate::central::store::{Agent, Entity, EntityKind, PageRequest};

use super::address::with_query;
use super::agents::{AgentHeader, find};
use super::event_row::Stamp;
use super::failure::Failure;
use super::observability::read_query;
use super::shell::{Here, Section, Shell, draw};
use super::text::Text;
use super::words;

/// Rows of a page.
const PAGE_ROWS: u32 = 100;

#[derive(Template)]
#[template(
    path = "agent_entities.html",
    config = "src/central/portal/askama.toml"
)]
struct AgentEntitiesPage {
    shell: Shell,
    agent: AgentHeader,
    kinds: Vec<KindLink>,
    rows: Vec<EntityRow>,
    more: Option<String>,
}

struct KindLink {
    label: &'static str,
    href: String,
    lit: bool,
}

struct EntityRow {
    kind: &'static str,
    icon: &'static str,
    name: Text,
    protocol: Option<&'static str>,
    first_seen: Stamp,
    last_seen: Stamp,
    uses: String,
    sessions: String,
    denied: String,
    was_denied: bool,
    events: String,
}

/// What the entities of an agent are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct EntitiesQuery {
    kind: Option<EntityKind>,
    cursor: String,
}

/// Someone looks at what an agent used.
pub(super) async fn of_agent(
    here: Here,
    State(central): State<Arc<Central>>,
    query: Result<Query<EntitiesQuery>, QueryRejection>,
) -> Result<Html<String>, Failure> {
    let query = read_query(query)?;
    let agent = find(&here, &central).await?;
    let page = central
        .store
        .entities(
            here.scope(),
            query.kind,
            Some(&agent.id),
            PageRequest::new(Some(query.cursor), Some(PAGE_ROWS)),
        )
        .await?;
    let action = here.base.agent(&agent.id, "entities");
    let kind = query.kind.map_or("", EntityKind::slug);
    draw(&AgentEntitiesPage {
        shell: here.shell(Section::Agents),
        agent: AgentHeader::new(&here, &agent, "entities"),
        kinds: kind_links(&action, query.kind),
        rows: page
            .items
            .iter()
            .map(|entity| EntityRow::new(&here, &agent, entity))
            .collect(),
        more: page
            .next_cursor
            .map(|cursor| with_query(&action, &[("kind", kind), ("cursor", &cursor)])),
    })
}

impl EntityRow {
    fn new(here: &Here, agent: &Agent, entity: &Entity) -> EntityRow {
        let filter = match entity.kind {
            EntityKind::Tool | EntityKind::McpTool => ("tool", entity.name.as_str()),
            EntityKind::Model => ("model", entity.name.as_str()),
            EntityKind::WorkingDirectory => ("dir", entity.name.as_str()),
        };
        let is_tool = matches!(entity.kind, EntityKind::Tool | EntityKind::McpTool);
        let denied = match entity.use_count.saturating_add(entity.denied_count) {
            asked if asked == 0 || !is_tool => "–".to_owned(),
            asked => format!("{:.0} %", entity.denied_count as f64 * 100.0 / asked as f64),
        };
        EntityRow {
            kind: kind_title(entity.kind),
            icon: kind_icon(entity.kind),
            name: Text::name(&entity.name),
            protocol: entity.protocol,
            first_seen: Stamp::brief(entity.first_seen),
            last_seen: Stamp::brief(entity.last_seen),
            uses: words::count(entity.use_count),
            sessions: words::count(entity.session_count),
            denied,
            was_denied: entity.denied_count > 0,
            events: with_query(&here.base.agent(&agent.id, "audit-logs"), &[filter]),
        }
    }
}

fn kind_links(action: &str, lit: Option<EntityKind>) -> Vec<KindLink> {
    let kinds = [
        ("All", None),
        ("Tools", Some(EntityKind::Tool)),
        ("MCP tools", Some(EntityKind::McpTool)),
        ("Models", Some(EntityKind::Model)),
        ("Directories", Some(EntityKind::WorkingDirectory)),
    ];
    kinds
        .into_iter()
        .map(|(label, kind)| KindLink {
            label,
            href: with_query(action, &[("kind", kind.map_or("", EntityKind::slug))]),
            lit: kind == lit,
        })
        .collect()
}

fn kind_title(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tool => "Tool",
        EntityKind::McpTool => "MCP tool",
        EntityKind::Model => "Model",
        EntityKind::WorkingDirectory => "Directory",
    }
}

fn kind_icon(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tool => "tool",
        EntityKind::McpTool => "plug",
        EntityKind::Model => "cloud",
        EntityKind::WorkingDirectory => "folder",
    }
}
