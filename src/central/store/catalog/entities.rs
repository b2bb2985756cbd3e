//! Tools, MCP tools, models and directories: of an environment, or of one agent.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::store::StoreError;
use crate::central::store::query::{Query, Row};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Facet, Of, Rows, Values};

/// What kind of thing an entity is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A built-in tool, such as `Bash`.
    Tool,
    /// A tool of an MCP server, named `<server>:<tool>`.
    McpTool,
    /// A model that was invoked.
    Model,
    /// A directory that the person gave to the client.
    WorkingDirectory,
}

impl EntityKind {
    /// All of them.
    pub const ALL: [EntityKind; 4] = [
        EntityKind::Tool,
        EntityKind::McpTool,
        EntityKind::Model,
        EntityKind::WorkingDirectory,
    ];

    /// The name in addresses, in the API and in the store.
    pub fn slug(self) -> &'static str {
        match self {
            EntityKind::Tool => "tool",
            EntityKind::McpTool => "mcp_tool",
            EntityKind::Model => "model",
            EntityKind::WorkingDirectory => "working_directory",
        }
    }

    /// The kind with this name.
    pub fn from_slug(slug: &str) -> Option<EntityKind> {
        EntityKind::ALL.into_iter().find(|kind| kind.slug() == slug)
    }
}

/// A tool, MCP tool, model or directory, in an environment or for one agent.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Entity {
    /// What it is.
    pub kind: EntityKind,
    /// Its name, unique within the kind.
    pub name: String,
    /// `MCP` for MCP tools.
    pub protocol: Option<&'static str>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Events that name it.
    pub event_count: i64,
    /// Times it was used: tool results, model requests.
    pub use_count: i64,
    /// Permission decisions against it.
    pub denied_count: i64,
    /// Agents that used it.
    pub agent_count: i64,
    /// Sessions that used it.
    pub session_count: i64,
}

impl Cataloged for Entity {
    const CATALOG: Catalog<Entity> = Catalog {
        facets: &[
            Facet {
                name: "kind",
                title: "Kind",
                about: "What it is.",
                one_of: &["tool", "mcp_tool", "model", "working_directory"],
                values: Values::One("l.kind"),
            },
            Facet {
                name: "mcp",
                title: "MCP server",
                about: "The MCP server that it is a tool of.",
                one_of: &[],
                values: Values::One("l.server"),
            },
            Facet {
                name: "denials",
                title: "Denials",
                about: "Whether anybody ever said no to it. Models and directories are not asked for.",
                one_of: &["denied at times", "never denied"],
                values: Values::One("l.denials"),
            },
        ],
        searches: "Name",
        of: &[],
        columns: &[
            ("name", "lower(l.name)"),
            ("kind", "l.kind"),
            ("first-seen", "l.first_seen"),
            ("last-seen", "l.last_seen"),
            ("events", "l.event_count"),
            ("uses", "l.use_count"),
            ("agents", "l.agents"),
            ("sessions", "l.sessions"),
            ("denied", "l.denied_share"),
        ],
        order: "-events",
        texts: &["l.name"],
        key: &["l.kind", "l.name"],
        rows: Rows::Selected(
            "l.kind, l.name, l.first_seen, l.last_seen, l.event_count, l.use_count, l.denied_count,
            l.agents, l.sessions",
            read,
        ),
        source,
        key_of: |entity| vec![entity.kind.slug(), &entity.name],
    };
}

fn source(query: &mut Query, of: &Of, _: Timestamp) {
    let (agents, sessions, table) = match of {
        Of::Agent(agent) => {
            let agent = query.name(agent.as_str());
            let sessions = format!(
                "(SELECT count(*) FROM sessions s JOIN session_entities n ON n.tenant = s.tenant
                     AND n.environment = s.environment AND n.session = s.id
                     WHERE s.tenant = t.tenant AND s.environment = t.environment AND s.agent = {agent}
                         AND n.kind = t.kind AND n.name = t.name)"
            );
            let table = format!(
                "agent_entities t WHERE t.tenant = $1 AND t.environment = $2 AND t.agent = {agent}"
            );
            ("CAST(1 AS bigint)", sessions, table)
        }
        Of::Environment | Of::Entity(..) | Of::Person(_) => (
            "coalesce(u.agent_count, 0)",
            "coalesce(u.session_count, 0)".to_owned(),
            "entities t LEFT JOIN used_by u ON u.tenant = t.tenant AND u.environment = t.environment
                 AND u.subject = t.kind AND u.name = t.name
             WHERE t.tenant = $1 AND t.environment = $2"
                .to_owned(),
        ),
    };
    query.push(&format!(
        "(SELECT t.kind, t.name, t.first_seen, t.last_seen, t.event_count, t.use_count, t.denied_count,
             CASE WHEN t.kind = 'mcp_tool' AND strpos(t.name, ':') > 0
                 THEN substr(t.name, 1, strpos(t.name, ':') - 1) END AS server,
             CASE WHEN t.kind NOT IN ('tool', 'mcp_tool') THEN NULL
                 WHEN t.denied_count > 0 THEN 'denied at times' ELSE 'never denied' END AS denials,
             CASE WHEN t.kind IN ('tool', 'mcp_tool') AND t.use_count + t.denied_count > 0
                 THEN t.denied_count * 1000 / (t.use_count + t.denied_count)
                 ELSE 0 END AS denied_share,
             {agents} AS agents, {sessions} AS sessions
         FROM {table}) l"
    ));
}

fn read(mut row: Row) -> Result<Entity, StoreError> {
    let kind: String = row.take(0)?;
    let kind = EntityKind::from_slug(&kind)
        .ok_or_else(|| StoreError::Unavailable(format!("{kind:?} is no kind of entity")))?;
    Ok(Entity {
        kind,
        name: row.take(1)?,
        protocol: (kind == EntityKind::McpTool).then_some("MCP"),
        first_seen: row.take(2)?,
        last_seen: row.take(3)?,
        event_count: row.take(4)?,
        use_count: row.take(5)?,
        denied_count: row.take(6)?,
        agent_count: row.take(7)?,
        session_count: row.take(8)?,
    })
}
