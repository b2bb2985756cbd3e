//! Inventory → Tools, MCP tools, Models, Directories, Owners: lists, and for one thing who else uses it.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use crate::central::Central;
use crate::central::store::{Entity, EntityKind, EntityUser, Of, Owner, Pick, Qualifier, Term};

use super::address::with_query;
use super::browse::{self, Spec, Wish};
use super::event_row::{Link, Stamp, Tag};
use super::failure::Failure;
use super::observability::{Pairs, read_query};
use super::shell::{Here, Section, draw};
use super::table::{Cell, Fact, Head, Row, Table, TablePage};
use super::text::{Text, visible};
use super::words;

/// What is different between the lists of entities.
pub(super) struct Kind {
    pub(super) kind: EntityKind,
    segment: &'static str,
    title: &'static str,
    lead: &'static str,
    empty: &'static str,
    section: Section,
}

/// Why the server of an MCP tool has no name.
const UNNAMED: &str = "A server that the client did not name: OTEL_LOG_TOOL_DETAILS was off";

const KINDS: [Kind; 4] = [
    Kind {
        kind: EntityKind::Tool,
        segment: "tools",
        title: "Tools",
        lead: "Built-in tools that agents used, most named first.",
        empty: "No event names a tool yet.",
        section: Section::Tools,
    },
    Kind {
        kind: EntityKind::McpTool,
        segment: "mcp-tools",
        title: "MCP tools",
        lead: "Tools of MCP servers, by server.",
        empty: "No event names one. Clients name MCP servers and their tools only where OTEL_LOG_TOOL_DETAILS is on.",
        section: Section::McpTools,
    },
    Kind {
        kind: EntityKind::Model,
        segment: "models",
        title: "Models",
        lead: "Models that were invoked, most named first.",
        empty: "No request to a model has arrived yet.",
        section: Section::Models,
    },
    Kind {
        kind: EntityKind::WorkingDirectory,
        segment: "directories",
        title: "Directories",
        lead: "Directories that people gave to the client. Only Cowork says them.",
        empty: "No event names one: directories come from Cowork sessions alone.",
        section: Section::Directories,
    },
];

/// A list of entities.
pub(super) fn spec(here: &Here, kind: &'static Kind) -> Spec {
    let nouns = match kind.kind {
        EntityKind::Tool => ("tool", "tools"),
        EntityKind::McpTool => ("MCP tool", "MCP tools"),
        EntityKind::Model => ("model", "models"),
        EntityKind::WorkingDirectory => ("directory", "directories"),
    };
    let path = here.base.inventory(kind.segment);
    let export = here.base.export(kind.segment);
    let all = Spec::of::<Entity>(path, export, nouns);
    Spec {
        facets: all.without(KIND),
        fixed: vec![Pick {
            facet: KIND,
            value: kind.kind.slug().to_owned(),
            is_excluded: false,
        }],
        order: match kind.kind {
            EntityKind::McpTool => "name",
            _ => "",
        },
        ..all
    }
}

/// The facet of which a list of one kind has one value.
const KIND: &str = "kind";

/// The list of owners.
pub(super) fn owners_spec(here: &Here) -> Spec {
    let (path, export) = (here.base.inventory("owners"), here.base.export("owners"));
    Spec::of::<Owner>(path, export, ("owner", "owners"))
}

/// The list of the agents that used a thing.
pub(super) fn users_spec(here: &Here, kind: &'static Kind, name: &str) -> Spec {
    let path = here.base.entity(kind.segment, name);
    let export = format!("{path}/export");
    Spec {
        of: Of::Entity(kind.kind, name.to_owned()),
        ..Spec::of::<EntityUser>(path, export, ("agent", "agents"))
    }
}

/// Someone looks which tools, models or directories there are.
pub(super) async fn entities(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let kind = kind_of(here.param("kind"))?;
    let spec = spec(&here, kind);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<Entity>(&central, here.scope(), &spec, wish).await?;
    let is_by_server = kind.kind == EntityKind::McpTool && !selection.tools.is_sorted();
    let mut server = None;
    let mut rows = Vec::new();
    for entity in &selection.rows {
        let of = server_of(&entity.name);
        let begins = is_by_server && server.replace(of) != Some(of);
        rows.push(Row {
            group: begins.then(|| match is_named(of) {
                true => visible(of),
                false => UNNAMED.to_owned(),
            }),
            cells: entity_cells(&here, entity),
        });
    }
    let heads = Head::all(&[
        "Name",
        "First seen",
        "Last seen",
        "#Uses",
        "#Agents",
        "#Sessions",
        "#Denied",
    ]);
    draw(&TablePage {
        shell: here.shell(kind.section),
        title: kind.title.to_owned(),
        crumb: None,
        lead: kind.lead.to_owned(),
        facts: Vec::new(),
        remarks: Vec::new(),
        actions: Vec::new(),
        tables: vec![Table {
            heading: None,
            caption: kind.title,
            columns: Head::sorted(heads, &selection.tools),
            rows,
            empty: kind.empty,
        }],
        more: selection.more,
        tools: Some(selection.tools),
        below: Vec::new(),
    })
}

/// Someone asks who else uses a thing.
pub(super) async fn entity(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let kind = kind_of(here.param("kind"))?;
    let name = here.param("name");
    let entity = central.store.entity(here.scope(), kind.kind, name).await?;
    let entity = entity.ok_or(Failure::NotFound("entity"))?;
    let spec = users_spec(&here, kind, name);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<EntityUser>(&central, here.scope(), &spec, wish).await?;
    let term = Term::new(qualifier_of(kind.kind), name).to_string();
    let events = here.base.observability();
    let heads = Head::all(&[
        "Agent",
        "Owner",
        "First used",
        "Last used",
        "#Uses",
        "#Denied",
    ]);
    draw(&TablePage {
        shell: here.shell(kind.section),
        title: visible(name),
        crumb: Some((here.base.inventory(kind.segment), kind.title)),
        lead: "Who uses it, and since when.".to_owned(),
        facts: vec![
            fact("First seen", Cell::Stamp(Stamp::brief(entity.first_seen))),
            fact("Last seen", Cell::Stamp(Stamp::brief(entity.last_seen))),
            fact("Uses", Cell::Words(words::count(entity.use_count))),
            fact("Agents", Cell::Words(words::count(entity.agent_count))),
            fact("Sessions", Cell::Words(words::count(entity.session_count))),
            fact("Denied", denied(&entity)),
        ],
        remarks: match kind.kind == EntityKind::McpTool && !is_named(server_of(name)) {
            true => vec![Tag::new("unknown", "", UNNAMED)],
            false => Vec::new(),
        },
        actions: vec![
            (with_query(&events, &[("q", &term)]), "Events"),
            (
                with_query(&events, &[("type", "session"), ("q", &term)]),
                "Sessions",
            ),
        ],
        tables: vec![Table {
            heading: None,
            caption: "Agents that used it, the latest first",
            columns: Head::sorted(heads, &selection.tools),
            rows: selection
                .rows
                .iter()
                .map(|user| user_row(&here, user))
                .collect(),
            empty: "No record that names it says whose it is.",
        }],
        more: selection.more,
        tools: Some(selection.tools),
        below: Vec::new(),
    })
}

/// Someone looks whose agents there are.
pub(super) async fn owners(
    here: Here,
    State(central): State<Arc<Central>>,
    pairs: Pairs,
) -> Result<Html<String>, Failure> {
    let spec = owners_spec(&here);
    let wish = Wish::read(&spec, read_query(pairs)?)?;
    let selection = browse::select::<Owner>(&central, here.scope(), &spec, wish).await?;
    let heads = Head::all(&[
        "Owner",
        "Known by",
        "Agent ids",
        "First seen",
        "Last seen",
        "#Events",
    ]);
    draw(&TablePage {
        shell: here.shell(Section::Owners),
        title: "Owners".to_owned(),
        crumb: None,
        lead: "The people behind agents, by e-mail, or by the client's raw id where there is none."
            .to_owned(),
        facts: Vec::new(),
        remarks: Vec::new(),
        actions: Vec::new(),
        tables: vec![Table {
            heading: None,
            caption: "Owners, latest activity first",
            columns: Head::sorted(heads, &selection.tools),
            rows: selection
                .rows
                .iter()
                .map(|owner| owner_row(&here, owner))
                .collect(),
            empty: "Owners appear with the first event that Claude sends.",
        }],
        more: selection.more,
        tools: Some(selection.tools),
        below: Vec::new(),
    })
}

/// Where the page of an entity is.
pub(super) fn entity_link(here: &Here, entity: &Entity) -> Link {
    let kind = KINDS.iter().find(|kind| kind.kind == entity.kind);
    let segment = kind.map_or("tools", |kind| kind.segment);
    Link::new(here.base.entity(segment, &entity.name), &entity.name)
}

/// What people call a kind of entity.
pub(super) fn singular(kind: EntityKind) -> &'static str {
    match kind {
        EntityKind::Tool => "tool",
        EntityKind::McpTool => "MCP tool",
        EntityKind::Model => "model",
        EntityKind::WorkingDirectory => "directory",
    }
}

pub(super) fn fact(title: &'static str, value: Cell) -> Fact {
    Fact { title, value }
}

pub(super) fn kind_of(segment: &str) -> Result<&'static Kind, Failure> {
    let found = KINDS.iter().find(|kind| kind.segment == segment);
    found.ok_or(Failure::NotFound("page"))
}

fn qualifier_of(kind: EntityKind) -> Qualifier {
    match kind {
        EntityKind::Tool | EntityKind::McpTool => Qualifier::Tool,
        EntityKind::Model => Qualifier::Model,
        EntityKind::WorkingDirectory => Qualifier::Dir,
    }
}

/// Whether the client named an MCP server, and did not only say that there is one.
fn is_named(server: &str) -> bool {
    !server.is_empty() && server != "custom"
}

/// The MCP server of a tool that is named `server:tool`.
fn server_of(name: &str) -> &str {
    name.split_once(':').map_or("", |(server, _)| server)
}

fn entity_cells(here: &Here, entity: &Entity) -> Vec<Cell> {
    vec![
        Cell::Link(entity_link(here, entity)),
        Cell::Stamp(Stamp::brief(entity.first_seen)),
        Cell::Stamp(Stamp::brief(entity.last_seen)),
        Cell::Words(words::count(entity.use_count)),
        Cell::Words(words::count(entity.agent_count)),
        Cell::Words(words::count(entity.session_count)),
        denied(entity),
    ]
}

pub(super) fn denied(entity: &Entity) -> Cell {
    let is_tool = matches!(entity.kind, EntityKind::Tool | EntityKind::McpTool);
    let asked = entity.use_count.saturating_add(entity.denied_count);
    if !is_tool || asked == 0 {
        return Cell::Nothing;
    }
    let share = format!("{:.0} %", entity.denied_count as f64 * 100.0 / asked as f64);
    match entity.denied_count {
        0 => Cell::Words(share),
        _ => Cell::Tags(vec![Tag::new("deny", "danger", share)]),
    }
}

fn user_row(here: &Here, user: &EntityUser) -> Row {
    let agent = here.base.agent(&user.agent_id, "audit-logs");
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(agent, &user.agent_name)),
            Cell::Name(Text::short(&user.owner)),
            Cell::Stamp(Stamp::brief(user.first_seen)),
            Cell::Stamp(Stamp::brief(user.last_seen)),
            Cell::Words(words::count(user.use_count)),
            Cell::Words(words::count(user.denied_count)),
        ],
    }
}

fn owner_row(here: &Here, owner: &Owner) -> Row {
    let term = Term::new(Qualifier::User, owner.owner.as_str()).to_string();
    let events = with_query(&here.base.observability(), &[("q", &term)]);
    let agents = owner
        .agent_ids
        .iter()
        .map(|id| Link::new(here.base.agent(id, "owner"), id));
    Row {
        group: None,
        cells: vec![
            Cell::Link(Link::new(events, &owner.owner)),
            Cell::Words(
                if owner.user_email.is_some() {
                    "e-mail"
                } else {
                    "raw id, no e-mail"
                }
                .to_owned(),
            ),
            Cell::Links(agents.collect()),
            Cell::Stamp(Stamp::brief(owner.first_seen)),
            Cell::Stamp(Stamp::brief(owner.last_seen)),
            Cell::Words(words::count(owner.event_count)),
        ],
    }
}
