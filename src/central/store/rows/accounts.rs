//! Integrations and their tokens.

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::Timestamp;

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

/// How long a token is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLife {
    /// The token's `jti`.
    pub id: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
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
