//! What an event is about: the portal's Activity Type.

use serde::{Deserialize, Serialize};

/// The kinds of activity that people filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "central", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Activity {
    /// A session began, should a client ever say so.
    Session,
    /// A prompt.
    UserMessage,
    /// What the model answered.
    AgentMessage,
    /// A tool ran.
    ToolInvocation,
    /// A permission was given or refused.
    PermissionDecision,
    /// A request to the model.
    ApiRequest,
    /// Something failed or was refused.
    Error,
    /// Modes, connections, plugins, skills, hooks, sign-ins.
    Configuration,
    /// An edge's heartbeat.
    Machine,
    /// Everything else, kinds not known yet included.
    Other,
}

impl Activity {
    /// All of them, in the order in which the portal lists them.
    pub const ALL: [Activity; 10] = [
        Activity::Session,
        Activity::UserMessage,
        Activity::AgentMessage,
        Activity::ToolInvocation,
        Activity::PermissionDecision,
        Activity::ApiRequest,
        Activity::Error,
        Activity::Configuration,
        Activity::Machine,
        Activity::Other,
    ];

    /// The activity of an event by its short name (WIRE.md, section 2).
    pub fn of_event(name: &str) -> Activity {
        match name {
            "session_start" | "session_end" => Activity::Session,
            "user_prompt" => Activity::UserMessage,
            "assistant_response" | "api_response_body" => Activity::AgentMessage,
            "tool_result" => Activity::ToolInvocation,
            "tool_decision" => Activity::PermissionDecision,
            "api_request" | "api_request_body" => Activity::ApiRequest,
            "api_error" | "api_retries_exhausted" | "api_refusal" | "internal_error" => {
                Activity::Error
            }
            "permission_mode_changed"
            | "mcp_server_connection"
            | "skill_activated"
            | "hook_registered"
            | "auth"
            | "managed_settings_resolved" => Activity::Configuration,
            "fieldpost.heartbeat" | "fieldpost.doctor" => Activity::Machine,
            _ if name.starts_with("plugin_") => Activity::Configuration,
            _ => Activity::Other,
        }
    }

    /// The name in addresses, in the API and in the store.
    pub fn slug(self) -> &'static str {
        match self {
            Activity::Session => "session",
            Activity::UserMessage => "user_message",
            Activity::AgentMessage => "agent_message",
            Activity::ToolInvocation => "tool_invocation",
            Activity::PermissionDecision => "permission_decision",
            Activity::ApiRequest => "api_request",
            Activity::Error => "error",
            Activity::Configuration => "configuration",
            Activity::Machine => "machine",
            Activity::Other => "other",
        }
    }

    /// The activity with this name.
    pub fn from_slug(slug: &str) -> Option<Activity> {
        Activity::ALL
            .into_iter()
            .find(|activity| activity.slug() == slug)
    }

    /// The name for people.
    pub fn title(self) -> &'static str {
        match self {
            Activity::Session => "Session",
            Activity::UserMessage => "User Message",
            Activity::AgentMessage => "Agent Message",
            Activity::ToolInvocation => "Tool Invocation",
            Activity::PermissionDecision => "Permission Decision",
            Activity::ApiRequest => "API Request",
            Activity::Error => "Error",
            Activity::Configuration => "Configuration",
            Activity::Machine => "Machine",
            Activity::Other => "Other",
        }
    }
}
