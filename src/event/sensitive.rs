//! Which attributes are content: what people and models wrote, as opposed to what happened.

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

/// Attributes of which it is known that their text is no content: names, ids, and words of a small
/// vocabulary.
const METADATA_KEYS: [&str; 83] = [
    "action",
    "agent.name",
    "agent.source",
    "agent_type",
    "appearance_id",
    "auth_method",
    "client_request_id",
    "command_name",
    "command_source",
    "decision",
    "decision_source",
    "decision_type",
    "effort",
    "enabled_via",
    "error.type",
    "error_category",
    "error_code",
    "error_name",
    "error_type",
    "event.name",
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
    "survey_type",
    "terminal.type",
    "to_mode",
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

/// Whether attribute `key` holds content, which is stored apart from the rest of a record.
pub fn is_content(key: &str) -> bool {
    CONTENT_KEYS.contains(&key)
}

/// Whether an attribute may be shown to somebody who may not see content. Text of an attribute that is
/// not known counts as content: clients add attributes, and what is new could be anything. Numbers and
/// flags say how much and whether, also where clients write them as text.
pub fn is_metadata(key: &str, value: &Value) -> bool {
    if is_content(key) {
        return false;
    }
    let is_known = METADATA_KEYS.contains(&key)
        || METADATA_PREFIXES
            .iter()
            .any(|prefix| key.starts_with(prefix));
    is_known
        || match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => true,
            Value::String(text) => is_number_or_flag(text),
            Value::Array(_) | Value::Object(_) => false,
        }
}

fn is_number_or_flag(text: &str) -> bool {
    let is_number = text.len() <= MAX_NUMBER && text.parse::<f64>().is_ok();
    is_number || matches!(text, "" | "true" | "false")
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
