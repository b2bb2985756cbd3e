//! What the store answers: the values that the API serves as JSON and the pages draw.

mod events;
mod machines;
mod accounts;

use schemars::JsonSchema;
use serde::Serialize;

pub use accounts::{Installation, Integration, Token, TokenLife};
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
