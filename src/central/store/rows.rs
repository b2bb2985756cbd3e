//! What the store answers: the values that the API serves as JSON and the pages draw.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::content::Content;
use crate::event::{Activity, Timestamp};

use super::{EntityKind, MachineState};

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

/// Where a machine's records stand.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Machine {
    /// The edge's id.
    pub id: String,
    /// `host.name` in its latest record.
    pub host_name: Option<String>,
    /// `os.type` and `os.version`.
    pub os: Option<String>,
    /// The edge's version in its latest record.
    pub edge_version: Option<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Time of the latest heartbeat.
    pub last_heartbeat: Option<Timestamp>,
    /// Records waiting on the machine at its last heartbeat.
    pub queue_records: Option<i64>,
    /// Bytes waiting on the machine at its last heartbeat.
    pub queue_bytes: Option<i64>,
    /// Whether it reports as it should.
    pub state: MachineState,
    /// When somebody put it aside; it counts again once it has reported after that.
    pub retired_at: Option<Timestamp>,
    /// Seconds by which its clock is ahead of the service's, as its latest heartbeat says; negative when
    /// behind.
    pub clock_offset_seconds: Option<i64>,
    /// Whether its clock is off by more than five minutes.
    pub clock_is_off: bool,
    /// When its token expires, as its latest heartbeat says.
    pub token_expires_at: Option<Timestamp>,
    /// Records that were refused for good and that the edge keeps, if its latest heartbeat says so.
    pub parked_records: Option<i64>,
    /// How often each rule of redaction found something since the edge started, as its latest heartbeat
    /// says.
    pub redactions: BTreeMap<String, i64>,
    /// The highest number that the edge is known to have given: so many records were appended to its queue.
    pub last_seq: i64,
    /// Numbered records that are stored here.
    pub stored: i64,
    /// Numbers between the first and the last stored one that are neither stored nor explained.
    pub missing: i64,
    /// The missing numbers as ranges, at most 100 of them.
    pub gaps: Vec<SeqRange>,
    /// What the edge says was lost on its side, by reason.
    pub dropped: Vec<Dropped>,
}

impl Machine {
    /// Records that are known not to come, for whatever reason, by the edge's count.
    pub fn dropped_records(&self) -> i64 {
        self.dropped
            .iter()
            .map(|dropped| dropped.records)
            .fold(0, i64::saturating_add)
    }
}

/// Records of a machine that are known not to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Dropped {
    /// `size`, `age`, `disk`, `parked`, `damaged`, `refused`; the edge's word.
    pub reason: String,
    /// Records so far by the edge's count, those without numbers too, and those that came after all.
    pub records: i64,
    /// Numbers that are not stored.
    pub numbers: i64,
    /// The numbers as ranges, at most 100 of them.
    pub ranges: Vec<SeqRange>,
}

/// A contiguous run of an edge's record numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeqRange {
    /// The first number.
    pub first: i64,
    /// The last number.
    pub last: i64,
}

/// One stored record, with everything that was in it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Event {
    /// `log.record.uid`.
    pub id: String,
    /// When it happened, by the client's clock.
    pub time: Timestamp,
    /// When it was stored.
    pub received_at: Timestamp,
    /// What it is about.
    #[serde(rename = "type")]
    pub activity: Activity,
    /// Short event name, such as `tool_result`.
    pub name: String,
    /// The agent, when the record says who.
    pub agent_id: Option<String>,
    /// The agent's name.
    pub agent_name: Option<String>,
    /// The client's `session.id`.
    pub session_id: Option<String>,
    /// The turn it belongs to.
    pub prompt_id: Option<String>,
    /// The client process's own counter; no identity, it restarts.
    pub sequence: Option<i64>,
    /// Tool or MCP tool.
    pub tool: Option<String>,
    /// Whether `tool` is a built-in or an MCP tool.
    pub tool_kind: Option<EntityKind>,
    /// Joins a decision with its result.
    pub tool_use_id: Option<String>,
    /// The model, without a suffix such as `[1m]`.
    pub model: Option<String>,
    /// `accept` or `reject`.
    pub decision: Option<String>,
    /// Who decided: `config`, `hook`, `user_reject`, …
    pub decision_source: Option<String>,
    /// Whether a tool or connection succeeded.
    pub success: Option<bool>,
    /// Duration in milliseconds.
    pub duration_ms: Option<i64>,
    /// The client's own estimate, in US dollars.
    pub cost_usd: Option<f64>,
    /// Tokens sent to the model.
    pub input_tokens: Option<i64>,
    /// Tokens the model wrote.
    pub output_tokens: Option<i64>,
    /// Secrets that the edge took out of this record.
    pub redaction_count: i64,
    /// The edge it came through.
    pub machine_id: Option<String>,
    /// Its number at that edge.
    pub machine_seq: Option<i64>,
    /// The body, usually `claude_code.<event>`.
    pub body: serde_json::Value,
    /// Every attribute of the record, by key.
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Every attribute of the resource, by key.
    pub resource: BTreeMap<String, serde_json::Value>,
    /// Name of the instrumentation scope.
    pub scope_name: String,
    /// Version of the instrumentation scope: the client's own version.
    pub scope_version: String,
}

impl Event {
    /// Whether something of it is hidden from whoever asked.
    pub fn is_hidden_in_part(&self) -> bool {
        let hidden = Content::hidden();
        self.body == hidden || self.attributes.values().any(|value| *value == hidden)
    }

    /// The text of attribute `key`, when it is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.attributes.get(key)?.as_str()
    }
}

/// Which events a list shows. Empty fields do not filter; each field is also a qualifier of `q`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EventFilter {
    /// `session.id`.
    pub session: Option<String>,
    /// An agent's id, name or e-mail.
    pub agent: Option<String>,
    /// An activity type, or an event name.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// A tool or an MCP tool, by name.
    pub tool: Option<String>,
    /// A model, by name.
    pub model: Option<String>,
    /// A person: an e-mail, or any identity that an agent's records carried.
    pub user: Option<String>,
    /// An MCP server, by name.
    pub mcp: Option<String>,
    /// `accept` or `reject`.
    pub decision: Option<String>,
    /// Who decided: `config`, `hook`, `user_reject`, …
    pub source: Option<String>,
    /// A working directory of the event's session.
    pub dir: Option<String>,
    /// The client's version.
    pub version: Option<String>,
    /// A machine, by host name or by its edge's id.
    pub machine: Option<String>,
    /// `prompt`: events that carry a prompt's text.
    pub has: Option<String>,
    /// Words, `"phrases"` and qualifiers, as the query box takes them: `tool:Bash -type:error "git push"`.
    pub q: Option<String>,
    /// Events at or after this time.
    pub from: Option<Timestamp>,
    /// Events before this time.
    pub to: Option<Timestamp>,
}

/// Which sessions a list shows. A session matches when one of its events does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SessionFilter {
    /// An agent's id, name or e-mail.
    pub agent: Option<String>,
    /// A tool or an MCP tool, by name.
    pub tool: Option<String>,
    /// A model, by name.
    pub model: Option<String>,
    /// Sessions that ended at or after this time.
    pub from: Option<Timestamp>,
    /// Sessions that started before this time.
    pub to: Option<Timestamp>,
}

/// The integration *Claude Cowork* in an environment.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Integration {
    /// `claude-cowork`.
    pub platform: String,
    /// `Claude Cowork`.
    pub name: String,
    /// When it was first installed; `None` when it is not.
    pub installed_at: Option<Timestamp>,
    /// Tokens that are neither revoked nor expired.
    pub live_tokens: i64,
    /// Time of the latest accepted request with any of its tokens.
    pub last_used: Option<Timestamp>,
}

/// What is known of a token: never the token itself.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Token {
    /// The token's `jti`.
    pub id: String,
    /// What people call it; empty when they do not.
    pub name: String,
    /// The integration it belongs to.
    pub platform: String,
    /// The key that signed it.
    pub key_id: String,
    /// Who made it, by name, where that was kept.
    pub created_by: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends: 365 days after it was issued.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// Its first accepted request.
    pub first_used: Option<Timestamp>,
    /// Its latest accepted request.
    pub last_used: Option<Timestamp>,
    /// Accepted requests.
    pub request_count: i64,
    /// Address of the latest accepted request.
    pub last_address: Option<String>,
    /// New events that came with it today and on the six days before, in UTC.
    pub event_count_7d: i64,
    /// Agents whose records came with it within the last 30 days.
    pub agent_count: i64,
    /// Machines whose records came with it within the last 30 days.
    pub machine_count: i64,
    /// Of these agents, the ones that fall silent when it is revoked: no record of theirs came since then with
    /// another token that is live.
    pub dependent_agents: i64,
    /// Of these machines, the ones that fall silent when it is revoked.
    pub dependent_machines: i64,
}

/// What installing an integration shows, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Installation {
    /// Full URL for logs, for `OTEL_EXPORTER_OTLP_LOGS_ENDPOINT`.
    pub endpoint: String,
    /// `http/json`.
    pub protocol: String,
    /// `Bearer <jwt>`; cannot be shown again.
    pub authorization_header: String,
}
