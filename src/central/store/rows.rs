//! What the store answers: the values that the API serves as JSON and the pages draw.

mod events;
mod machines;
mod accounts;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use accounts::{Installation, Integration, Token};
pub use events::{Event, EventFilter, SessionFilter};
pub use machines::{Dropped, Machine, SeqRange};

use crate::event::Timestamp;

/// The tenant and environment that every query is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope {
    /// Key of the tenant.
    pub tenant: i64,
    /// Key of the environment, unique over all tenants.
    pub environment: i64,
}

/// One page of a list, and where the next one begins.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Page<T> {
    /// The rows, in the list's order.
    pub items: Vec<T>,
    /// Hand this back as `cursor` to go on; `None` at the end.
    pub next_cursor: Option<String>,
}

/// An environment with its tenant, as the portal's address names them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Environment {
    /// Key for queries; not shown.
    #[serde(skip)]
    pub scope: Scope,
    /// The tenant's name in addresses: lower case, no spaces.
    pub tenant: String,
    /// The environment's name in addresses.
    pub environment: String,
    /// The id that tokens carry as `tid`.
    pub tenant_id: String,
    /// The id that tokens carry as `eid`.
    pub environment_id: String,
}

/// A person's Claude, as the inventory lists it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Agent {
    /// Stable id, derived from the identity, the same after a rebuild.
    pub id: String,
    /// `Cowork/<part of the e-mail before @>`, or `Cowork/<user.id>`.
    pub name: String,
    /// The e-mail, else the raw id.
    pub owner: String,
    /// The e-mail, trimmed and in lower case.
    pub user_email: Option<String>,
    /// The latest `user.id` seen: an installation, not a person.
    pub user_id: Option<String>,
    /// The latest `service.name`: `claude-code`, `cowork`, …
    pub service: Option<String>,
    /// Version of the client in its latest record.
    pub client_version: Option<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Events stored.
    pub event_count: i64,
    /// Sessions seen.
    pub session_count: i64,
    /// Built-in tools used.
    pub tool_count: i64,
    /// MCP tools used.
    pub mcp_tool_count: i64,
    /// Models invoked.
    pub model_count: i64,
    /// The client's own estimate, in US dollars.
    pub cost_usd: f64,
}

/// An owner: the person, or the raw id, behind one or more agents.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Owner {
    /// The e-mail, else the raw id.
    pub owner: String,
    /// The e-mail, when there is one.
    pub user_email: Option<String>,
    /// The ids of the owner's agents.
    pub agent_ids: Vec<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Events stored.
    pub event_count: i64,
}

/// An identity attribute that records of one agent carried.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Identity {
    /// Attribute key, such as `user.account_uuid` or `process.owner`.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
}

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

/// One session, summed up.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Session {
    /// The client's `session.id`.
    pub id: String,
    /// The agent it belongs to; a session may have none when no record says who.
    pub agent_id: Option<String>,
    /// That agent's name.
    pub agent_name: Option<String>,
    /// That agent's owner.
    pub owner: Option<String>,
    /// Time of the first record: today's clients send no `session_start`.
    pub started_at: Timestamp,
    /// Time of the latest record.
    pub ended_at: Timestamp,
    /// Distinct `prompt.id`s.
    pub turn_count: i64,
    /// Events stored.
    pub event_count: i64,
    /// Tool results.
    pub tool_count: i64,
    /// Permission decisions that said no.
    pub denied_count: i64,
    /// API errors, refusals and failed tools.
    pub error_count: i64,
    /// Model requests.
    pub request_count: i64,
    /// Tokens sent to the model, without cached ones.
    pub input_tokens: i64,
    /// Tokens the model wrote.
    pub output_tokens: i64,
    /// Tokens read from the prompt cache.
    pub cache_read_tokens: i64,
    /// Tokens written to the prompt cache.
    pub cache_creation_tokens: i64,
    /// The client's own estimate, in US dollars.
    pub cost_usd: f64,
    /// Secrets that the edge took out.
    pub redaction_count: i64,
    /// Version of the client in its latest record.
    pub client_version: Option<String>,
    /// The latest `service.name`.
    pub service: Option<String>,
    /// Models invoked, by name.
    pub models: Vec<String>,
    /// Tools and MCP tools, by name.
    pub tools: Vec<String>,
    /// Working directories, by path.
    pub directories: Vec<String>,
    /// Ids of the edges that its records came through.
    pub machines: Vec<String>,
}
