//! Text that people wrote or models answered, as a record carries it: present,
//! cut, or absent for a reason that can be named. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::cut_json::string_as_far_as_it_came;

/// The attributes of one record, by key.
pub type Attributes = BTreeMap<String, Value>;

/// A text that a record could carry, or why it does not.
///
/// In JSON `state` names the case; the names are those that pages, API and
/// exports share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "central", derive(schemars::JsonSchema))]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Content {
    /// The whole text.
    Text {
        /// The text as it was stored: after redaction.
        text: String,
    },
    /// The client was told not to export it.
    NotExported {
        /// The variable that switches it on.
        switch: &'static str,
    },
    /// The client exported only the beginning.
    TruncatedByClient {
        /// What came.
        text: String,
        /// Where the client cuts, in UTF-16 units, when that is known.
        limit: Option<u64>,
    },
    /// It is there, and whoever asks may not see it.
    HiddenByRole,
    /// It is older than its environment keeps content.
    Erased,
    /// No record brought it, and nothing says why.
    Missing,
}

/// What a client writes in place of content that it may not export.
pub const WITHHELD: &str = "<REDACTED>";

/// Exports prompts, and responses unless told otherwise.
pub const SWITCH_PROMPTS: &str = "OTEL_LOG_USER_PROMPTS";
/// Exports what the model answered.
pub const SWITCH_RESPONSES: &str = "OTEL_LOG_ASSISTANT_RESPONSES";
/// Exports arguments of tools and the names of MCP servers.
pub const SWITCH_TOOL_DETAILS: &str = "OTEL_LOG_TOOL_DETAILS";
/// Exports requests to the model and its answers, whole.
pub const SWITCH_RAW_BODIES: &str = "OTEL_LOG_RAW_API_BODIES";

/// Clients cut every value inside `tool_input` here, in UTF-16 units.
const TOOL_VALUE_LIMIT: u64 = 512;

/// Keys inside `tool_input` that say most about a call, best first.
const TELLING_KEYS: [&str; 12] = [
    "command",
    "file_path",
    "notebook_path",
    "pattern",
    "path",
    "url",
    "query",
    "skill",
    "subagent_type",
    "description",
    "prompt",
    "text",
];

impl Content {
    /// What the person asked, from a `user_prompt`.
    pub fn prompt(attributes: &Attributes) -> Content {
        Content::of(attributes, "prompt", SWITCH_PROMPTS).cut_below(attributes, "prompt_length")
    }

    /// What the model answered, from an `assistant_response`.
    pub fn response(attributes: &Attributes) -> Content {
        Content::of(attributes, "response", SWITCH_RESPONSES)
            .cut_below(attributes, "response_length")
    }

    /// A request to the model or its answer, from an `api_request_body` or `api_response_body`.
    pub fn raw_body(attributes: &Attributes) -> Content {
        match Content::of(attributes, "body", SWITCH_RAW_BODIES) {
            Content::Text { text } if flag(attributes, "body_truncated") == Some(true) => {
                Content::TruncatedByClient { text, limit: None }
            }
            content => content,
        }
    }

    /// The whole input of a tool, as JSON text, from a `tool_result`.
    pub fn tool_input(attributes: &Attributes) -> Content {
        match Content::of(attributes, "tool_input", SWITCH_TOOL_DETAILS) {
            Content::Text { text } => match serde_json::from_str::<Value>(&text) {
                Err(_) => Content::TruncatedByClient { text, limit: None },
                Ok(value) if has_cut_value(&value) => Content::TruncatedByClient {
                    text,
                    limit: Some(TOOL_VALUE_LIMIT),
                },
                Ok(_) => Content::Text { text },
            },
            content => content,
        }
    }

    /// The one argument that says most about a tool call: a command, a path, an address.
    pub fn tool_argument(attributes: &Attributes) -> Content {
        if is_hidden(attributes, "tool_parameters") {
            return Content::HiddenByRole;
        }
        if let Some(command) = text_of(attributes, "tool_parameters")
            .and_then(|parameters| string_as_far_as_it_came(parameters, "full_command"))
        {
            return Content::Text { text: command };
        }
        match Content::tool_input(attributes) {
            Content::Text { text } => Content::Text {
                text: telling_value(&text),
            },
            Content::TruncatedByClient { text, limit } => Content::TruncatedByClient {
                text: telling_value(&text),
                limit,
            },
            content => content,
        }
    }

    /// What went wrong, in the client's words; `None` where the record says nothing of it.
    pub fn error(attributes: &Attributes) -> Option<Content> {
        if is_hidden(attributes, "error") {
            return Some(Content::HiddenByRole);
        }
        let text = text_of(attributes, "error").filter(|text| !text.is_empty())?;
        Some(Content::Text {
            text: text.to_owned(),
        })
    }

    /// What stands in the place of an attribute that whoever asks may not see.
    pub fn hidden() -> Value {
        json!({ "state": "hidden_by_role" })
    }

    /// What stands in the place of an attribute that is kept no longer.
    pub fn erased() -> Value {
        json!({ "state": "erased" })
    }

    /// Attribute `key`, which `switch` governs: absent where the switch is off.
    pub fn of(attributes: &Attributes, key: &str, switch: &'static str) -> Content {
        if is_hidden(attributes, key) {
            return Content::HiddenByRole;
        }
        if attributes.get(key) == Some(&Content::erased()) {
            return Content::Erased;
        }
        match text_of(attributes, key) {
            None | Some(WITHHELD) => Content::NotExported { switch },
            Some(text) => Content::Text {
                text: text.to_owned(),
            },
        }
    }

    /// The text, whole or cut.
    pub fn text(&self) -> Option<&str> {
        match self {
            Content::Text { text } | Content::TruncatedByClient { text, .. } => Some(text),
            Content::NotExported { .. }
            | Content::HiddenByRole
            | Content::Erased
            | Content::Missing => None,
        }
    }

    /// The code of an absence, or of a text that is cut; empty when the text is whole.
    pub fn state(&self) -> &'static str {
        match self {
            Content::Text { .. } => "",
            Content::TruncatedByClient { .. } => "truncated_by_client",
            Content::NotExported { .. } => "not_exported",
            Content::HiddenByRole => "hidden_by_role",
            Content::Erased => "erased",
            Content::Missing => "missing",
        }
    }

    /// Marks a text as cut when the client says that it was longer. A text from which
    /// secrets were taken has another length anyway, so there nothing can be said.
    fn cut_below(self, attributes: &Attributes, length_key: &str) -> Content {
        match self {
            Content::Text { text } => {
                let sent = utf16_length(&text);
                match number(attributes, length_key).and_then(|length| u64::try_from(length).ok()) {
                    Some(length) if length > sent && !text.contains("[REDACTED:") => {
                        Content::TruncatedByClient {
                            text,
                            limit: Some(sent),
                        }
                    }
                    _ => Content::Text { text },
                }
            }
            content => content,
        }
    }
}

/// Attribute `key` as a whole number: clients send numbers and decimal strings.
pub fn number(attributes: &Attributes, key: &str) -> Option<i64> {
    match attributes.get(key)? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Attribute `key` as yes or no: clients send booleans and words.
pub fn flag(attributes: &Attributes, key: &str) -> Option<bool> {
    match attributes.get(key)? {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Attribute `key` when it is a string.
pub fn text_of<'a>(attributes: &'a Attributes, key: &str) -> Option<&'a str> {
    attributes.get(key)?.as_str()
}

/// Whether [`Content::hidden`] stands in the attribute's place.
fn is_hidden(attributes: &Attributes, key: &str) -> bool {
    matches!(attributes.get(key), Some(value) if *value == Content::hidden())
}

fn telling_value(json: &str) -> String {
    if let Some(text) = TELLING_KEYS
        .iter()
        .find_map(|key| string_as_far_as_it_came(json, key))
    {
        return text;
    }
    match serde_json::from_str::<Value>(json) {
        Ok(Value::Object(fields)) if fields.is_empty() => String::new(),
        Ok(Value::Object(fields)) if fields.len() == 1 => {
            let value = fields.into_iter().next().map(|(_, value)| value);
            match value {
                Some(Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => String::new(),
            }
        }
        _ => json.to_owned(),
    }
}

fn has_cut_value(value: &Value) -> bool {
    match value {
        Value::String(text) => utf16_length(text) >= TOOL_VALUE_LIMIT,
        Value::Array(values) => values.iter().any(has_cut_value),
        Value::Object(fields) => fields.values().any(has_cut_value),
        _ => false,
    }
}

fn utf16_length(text: &str) -> u64 {
    text.encode_utf16().count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(pairs: &[(&str, &str)]) -> Attributes {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Value::from(*value)))
            .collect()
    }

    fn text(text: &str) -> Content {
        Content::Text {
            text: text.to_owned(),
        }
    }

    #[test]
    fn a_withheld_prompt_names_its_switch() {
        let withheld = attributes(&[("prompt", "<REDACTED>"), ("prompt_length", "50")]);
        let content = Content::prompt(&withheld);
        assert_eq!(
            content,
            Content::NotExported {
                switch: "OTEL_LOG_USER_PROMPTS"
            }
        );
        assert_eq!(
            serde_json::to_value(&content).unwrap(),
            serde_json::json!({"state": "not_exported", "switch": "OTEL_LOG_USER_PROMPTS"})
        );
    }

    #[test]
    fn hidden_content_says_so_in_the_same_words() {
        let keys = ["prompt", "response", "body", "tool_input", "error"];
        let hidden: Attributes = keys.map(|key| (key.to_owned(), Content::hidden())).into();
        for content in [
            Content::prompt(&hidden),
            Content::response(&hidden),
            Content::raw_body(&hidden),
            Content::tool_argument(&hidden),
            Content::error(&hidden).unwrap(),
        ] {
            assert_eq!(content, Content::HiddenByRole);
            assert_eq!(serde_json::to_value(content).unwrap(), Content::hidden());
        }
    }

    #[test]
    fn a_response_shorter_than_its_length_is_cut_unless_secrets_were_taken_out() {
        let cut = attributes(&[("response", "abc"), ("response_length", "9")]);
        assert_eq!(
            Content::response(&cut),
            Content::TruncatedByClient {
                text: "abc".to_owned(),
                limit: Some(3)
            }
        );
        let redacted = attributes(&[("response", "[REDACTED:jwt]"), ("response_length", "900")]);
        assert_eq!(Content::response(&redacted), text("[REDACTED:jwt]"));
    }

    #[test]
    fn length_counts_utf16_units_as_clients_do() {
        let whole = attributes(&[("prompt", "a\u{1f600}"), ("prompt_length", "3")]);
        assert_eq!(Content::prompt(&whole), text("a\u{1f600}"));
    }

    #[test]
    fn the_argument_is_the_command_or_the_telling_value() {
        let bash = attributes(&[(
            "tool_parameters",
            r#"{"bash_command":"ls","full_command":"ls -la"}"#,
        )]);
        assert_eq!(Content::tool_argument(&bash), text("ls -la"));
        let read = attributes(&[("tool_input", r#"{"file_path":"/src/app.py"}"#)]);
        assert_eq!(Content::tool_argument(&read), text("/src/app.py"));
        let other = attributes(&[("tool_input", r#"{"id":"ACME-42"}"#)]);
        assert_eq!(Content::tool_argument(&other), text("ACME-42"));
        assert_eq!(
            Content::tool_argument(&Attributes::new()),
            Content::NotExported {
                switch: "OTEL_LOG_TOOL_DETAILS"
            }
        );
    }

    #[test]
    fn cut_json_gives_what_came() {
        let cut = attributes(&[("tool_input", r#"{"file_path":"/src/\u00"#)]);
        assert_eq!(
            Content::tool_argument(&cut),
            Content::TruncatedByClient {
                text: "/src/".to_owned(),
                limit: None
            }
        );
        let parameters = attributes(&[("tool_parameters", r#"{"full_command":"echo \"a"#)]);
        assert_eq!(Content::tool_argument(&parameters), text("echo \"a"));
    }

    #[test]
    fn a_value_at_the_limit_is_cut() {
        let input = format!(r#"{{"content":"{}"}}"#, "x".repeat(512));
        let cut = attributes(&[("tool_input", &input)]);
        assert_eq!(
            Content::tool_input(&cut),
            Content::TruncatedByClient {
                text: input,
                limit: Some(512)
            }
        );
    }
}
