//! Log records in Claude's shape, for exporters that are not Claude.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// A log record as the exporters' scripts read it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Record {
    pub(crate) time_unix_ms: i64,
    pub(crate) body: String,
    pub(crate) attributes: Map<String, Value>,
}

/// `count` records of one session that starts now, a millisecond apart: turn after turn, each with
/// a prompt, a tool of an MCP server, a request to the model, and an answer.
pub(crate) fn claude_session(user_email: &str, session_id: &str, count: usize) -> Vec<Record> {
    let start = Timestamp::now().as_millisecond();
    let mut prompt_id = Uuid::nil();
    (0..count)
        .map(|sequence| {
            let (event, details) = event(sequence);
            if event == "user_prompt" {
                prompt_id = Uuid::new_v4();
            }
            let time_unix_ms = start + i64::try_from(sequence).expect("a small count");
            let time = Timestamp::from_millisecond(time_unix_ms).expect("today is in range");
            let standard = json!({
                "user.id": "0f".repeat(32),
                "session.id": session_id,
                "organization.id": "99999999-8888-4777-8666-555555555555",
                "user.email": user_email,
                "terminal.type": "non-interactive",
                "event.name": event,
                "event.timestamp": format!("{time:.3}"),
                "event.sequence": sequence,
                "prompt.id": prompt_id.to_string(),
            });
            Record {
                time_unix_ms,
                body: format!("claude_code.{event}"),
                attributes: [standard, details].into_iter().flat_map(object).collect(),
            }
        })
        .collect()
}

/// The event at this place of a session, and its own attributes, with the types that Claude gives
/// them.
fn event(sequence: usize) -> (&'static str, Value) {
    let mcp = r#"{"mcp_server_name":"tickets","mcp_tool_name":"lookup_ticket"}"#;
    match sequence % 5 {
        0 => (
            "user_prompt",
            json!({"prompt_length": "20", "prompt": "Look at ticket FP-12"}),
        ),
        1 => (
            "tool_decision",
            json!({"decision": "accept", "source": "config", "tool_name": "mcp_tool", "tool_parameters": mcp}),
        ),
        2 => (
            "tool_result",
            json!({"tool_name": "mcp_tool", "success": "true", "duration_ms": "9", "tool_parameters": mcp,
                "tool_input": r#"{"id":"FP-12"}"#}),
        ),
        3 => (
            "api_request",
            json!({"model": "claude-sonnet-5", "input_tokens": 1809, "output_tokens": 77, "cache_read_tokens": 4187,
                "cache_creation_tokens": 300, "cost_usd": 0.0089631, "duration_ms": 29}),
        ),
        _ => (
            "assistant_response",
            json!({"model": "claude-sonnet-5", "response_length": 19, "response": "FP-12 is still open"}),
        ),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("not an object: {other}"),
    }
}

/// The records as one OTLP/JSON request, as Claude's own exporter writes it.
pub(crate) fn request(records: &[Record]) -> Value {
    let records: Vec<Value> = records
        .iter()
        .map(|record| {
            let nanos = format!("{}000000", record.time_unix_ms);
            let attributes: Vec<Value> = record
                .attributes
                .iter()
                .map(|(key, value)| json!({"key": key, "value": any_value(value)}))
                .collect();
            json!({
                "timeUnixNano": nanos,
                "observedTimeUnixNano": nanos,
                "body": {"stringValue": record.body},
                "attributes": attributes,
            })
        })
        .collect();
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "claude-code"}},
        ]},
        "scopeLogs": [{
            "scope": {"name": "com.anthropic.claude_code.events", "version": "2.1.197"},
            "logRecords": records,
        }],
    }]})
}

/// A value as Claude writes it: whole numbers as JSON numbers.
fn any_value(value: &Value) -> Value {
    match value {
        Value::Bool(flag) => json!({"boolValue": flag}),
        Value::Number(number) if number.is_i64() => json!({"intValue": number}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Array(values) => {
            json!({"arrayValue": {"values": values.iter().map(any_value).collect::<Vec<_>>()}})
        }
        other => panic!("no attribute of Claude's looks like {other}"),
    }
}
