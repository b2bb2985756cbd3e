//! Which attributes are content: what people and models wrote, as opposed to what happened.

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

/// Whether attribute `key` holds content, which is stored apart from the rest of a record.
pub fn is_content(key: &str) -> bool {
    CONTENT_KEYS.contains(&key)
}
