//! What an agent used: tools, MCP tools, models, directories.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{Agent, Entity, EntityKind, Of};

use super::address::with_query;
use super::agents::{AgentHeader, find};
use super::browse::{self, Spec, Tools, Wish};
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::inventory::{denied, singular};
use super::observability::{Pairs, read_query};
use super::shell::{Here, Section, Shell, draw};
use super::table::{Cell, Head, Row, Table};
use super::words;

#[derive(Template)]
#[template(
    path = "agent_entities.html",
    config = "src/central/portal/askama.toml"
)]
struct AgentEntitiesPage {
    shell: Shell,
    agent: AgentHeader,
    kit: Tools,
    tables: Vec<Table>,
    more: Option<String>,
}

/// The list of what an agent used.
pub(super) fn spec(here: &Here, agent: &Agent) -> Spec {
    let path = here.base.agent(&agent.id, "entities");
    let export = here.base.agent(&agent.id, "entities/export");
    Spec {
        of: Of::Agent(agent.id.clone()),
        ..Spec::of::<Entity>(path, export, ("entity", "entities"))
    }
}

/// Someone looks at what an agent used.
pub(super) async fn of_agent(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let agent = find(&here, &central).await?;
    let spec = spec(&here, &agent);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<Entity>(&central, here.scope(), &spec, wish).await?;
    let heads = Head::all(&[
        "Name",
        "Kind",
        "First seen",
        "Last seen",
        "#Uses",
        "#Sessions",
        "#Denied",
    ]);
    draw(&AgentEntitiesPage {
        shell: here.shell(Section::Agents),
        agent: AgentHeader::new(&here, &agent, "entities"),
        tables: vec![Table {
            heading: None,
            caption: "What this agent used, most named first",
            columns: Head::sorted(heads, &selection.tools),
            rows: selection
                .rows
                .iter()
                .map(|entity| row(&here, &agent, entity))
                .collect(),
            empty: "No event of this agent names a tool, a model or a directory. Names of MCP servers and tools \
                    are exported only where OTEL_LOG_TOOL_DETAILS is on; directories come from Cowork \
                    sessions alone.",
        }],
        more: selection.more,
        kit: selection.tools,
    })
}

fn row(here: &Here, agent: &Agent, entity: &Entity) -> Row {
    let filter = match entity.kind {
        EntityKind::Tool | EntityKind::McpTool => ("tool", entity.name.as_str()),
        EntityKind::Model => ("model", entity.name.as_str()),
        EntityKind::WorkingDirectory => ("dir", entity.name.as_str()),
    };
    let events = with_query(&here.base.agent(&agent.id, "audit-logs"), &[filter]);
    // What tells an MCP tool from another is its protocol.
    let kind = match entity.kind {
        EntityKind::McpTool => EntityKind::Tool,
        kind => kind,
    };
    let kind = Tag::new(icon(kind), "", singular(kind));
    let protocol = entity
        .protocol
        .map(|protocol| Tag::new("plug", "", protocol));
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(events, &entity.name)),
            Cell::Tags(std::iter::once(kind).chain(protocol).collect()),
            Cell::Stamp(Stamp::brief(entity.first_seen)),
            Cell::Stamp(Stamp::brief(entity.last_seen)),
            Cell::Words(words::count(entity.use_count)),
            Cell::Words(words::count(entity.session_count)),
            denied(entity),
        ],
    }
}

fn icon(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tool | EntityKind::McpTool => "tool",
        EntityKind::Model => "cloud",
        EntityKind::WorkingDirectory => "folder",
    }
}
