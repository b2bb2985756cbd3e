//! Events, and which of them lists show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::central::store::EntityKind;
use crate::event::content::Content;
use crate::event::{Activity, Timestamp};

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
    /// Characters anywhere in the text, within words, too: found by reading events one by one, so that a page of
    /// few may go on.
    pub text: Option<String>,
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
