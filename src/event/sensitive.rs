//! What of a record is content: what people and models wrote, as opposed to what happened. What is content is
//! hidden by role, stored apart from the rest of the record, and kept as long as its environment keeps content.

use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use serde_json::Value;

/// Attributes with content, whichever event carries them.
const CONTENT_KEYS: [&str; 8] = [
    "prompt",
    "prompt_text",
    "response",
    "tool_parameters",
    "tool_input",
    "error",
    "body",
    "hook_definitions",
];

/// Attributes of which it is known that they are no content: names, ids, words of a small vocabulary, numbers.
/// All that facts are read from is among them, but for what names a tool.
const METADATA_KEYS: [&str; 98] = [
    "action",
    "agent.name",
    "agent.source",
    "agent_type",
    "app.version",
    "appearance_id",
    "auth_method",
    "cache_creation_tokens",
    "cache_read_tokens",
    "client_request_id",
    "clock.offset_seconds",
    "command_name",
    "command_source",
    "cost_usd",
    "cost_usd_micros",
    "decision",
    "decision_source",
    "decision_type",
    "duration_ms",
    "effort",
    "enabled_via",
    "enduser.id",
    "error.type",
    "error_category",
    "error_code",
    "error_name",
    "error_type",
    "event.name",
    "event.sequence",
    "event.timestamp",
    "event_origin",
    "event_type",
    "final_model",
    "from_mode",
    "gen_ai.request.model",
    "gen_ai.response.finish_reasons",
    "gen_ai.response.id",
    "gen_ai.system",
    "gen_ai.tool.call.id",
    "hook_event",
    "hook_name",
    "hook_source",
    "hook_type",
    "identity.source",
    "input_tokens",
    "install.trigger",
    "invocation_trigger",
    "llm_request.context",
    "log.record.uid",
    "managed_settings.sources",
    "managed_settings.trigger",
    "marketplace.name",
    "mcp_server.name",
    "mcp_server_scope",
    "mcp_tool.name",
    "mention_type",
    "message.id",
    "message.uuid",
    "model",
    "output_tokens",
    "parked.records",
    "plugin.name",
    "plugin.scope",
    "plugin.version",
    "plugin_id",
    "plugin_id_hash",
    "precompute_reuse",
    "prompt.id",
    "query_source",
    "request_body_id",
    "request_id",
    "result",
    "server_name",
    "server_scope",
    "session.id",
    "skill.kind",
    "skill.name",
    "skill.source",
    "skip_reason",
    "source",
    "span.type",
    "speed",
    "start_type",
    "status",
    "stop_reason",
    "success",
    "survey_type",
    "terminal.type",
    "to_mode",
    "token.expires_at",
    "tool_name",
    "tool_source",
    "tool_use_id",
    "transport_type",
    "trigger",
    "type",
    "workspace.host_paths",
    "workspace.paths",
];

/// What such attributes may begin with: who and where it was, and what fieldpost itself says.
const METADATA_PREFIXES: [&str; 9] = [
    "user.",
    "organization.",
    "process.",
    "service.",
    "host.",
    "os.",
    "fieldpost.",
    "queue.",
    "redacted.",
];

/// Longest number that is taken for one, in characters.
const MAX_NUMBER: usize = 24;

/// Whether attribute `key` always holds content.
pub fn is_content(key: &str) -> bool {
    CONTENT_KEYS.contains(&key)
}

/// Whether an attribute may be shown to somebody who may not see content. Text of an attribute that is
/// not known counts as content: clients add attributes, and what is new could be anything. Numbers and
/// flags say how much and whether, also where clients write them as text.
pub fn is_metadata(key: &str, value: &Value) -> bool {
    !is_content(key)
        && (is_known(key)
            || match value {
                Value::Null | Value::Bool(_) | Value::Number(_) => true,
                Value::String(text) => is_number_or_flag(text),
                Value::Array(_) | Value::Object(_) => false,
            })
}

/// The same of an attribute as OTLP has it.
pub fn is_metadata_value(key: &str, value: &AnyValue) -> bool {
    use any_value::Value;
    !is_content(key)
        && match &value.value {
            None | Some(Value::BoolValue(_) | Value::IntValue(_) | Value::DoubleValue(_)) => true,
            Some(Value::StringValue(text)) => is_known(key) || is_number_or_flag(text),
            Some(_) => is_known(key),
        }
}

/// Whether a record's body says no more than the event's name, as that of Claude's own events does.
pub fn is_name_of(body: &str, name: &str) -> bool {
    let is_prefix = |text: &str| matches!(text, "" | "claude_code." | "claude_cowork." | "cowork.");
    body.strip_suffix(name).is_some_and(is_prefix)
}

fn is_known(key: &str) -> bool {
    METADATA_KEYS.binary_search(&key).is_ok()
        || METADATA_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix))
}

fn is_number_or_flag(text: &str) -> bool {
    let is_number = text.len() <= MAX_NUMBER && text.parse::<f64>().is_ok();
    is_number || text.trim().is_empty() || matches!(text, "true" | "false")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_no_content_is_metadata() {
        for (key, value) in [
            ("tool_name", "Bash"),
            ("user.email", "ada@example.com"),
            ("duration_ms", "120"),
            ("success", "true"),
        ] {
            assert!(is_metadata(key, &Value::from(value)), "{key}");
        }
        for (key, value) in [
            ("prompt", "1234"),
            ("error", ""),
            ("full_command", "ls"),
            ("gen_ai.prompt", "hello"),
            ("something.new", "words"),
        ] {
            assert!(!is_metadata(key, &Value::from(value)), "{key}");
        }
    }

    #[test]
    fn the_list_is_in_order_and_holds_no_content() {
        assert!(METADATA_KEYS.is_sorted());
        assert!(!METADATA_KEYS.iter().any(|key| is_content(key)));
    }
}
