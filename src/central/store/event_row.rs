//! An event's row: the narrow keys that lists are filtered by, and the record, from which everything else
//! is read.

use memchr::memmem;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use serde_json::Value;

use crate::central::materialize::NewEvent;
use crate::event::content::Content;
use crate::event::{Activity, Facts, Timestamp, ToolKind, ToolName};
use crate::otlp::json::{plain, plain_attributes};

use super::block::{BlockEvent, WholeRecord};
use super::keys::{agent_id, agent_key, text_key, uid_number, word_key};
use super::sight::{hide, tell_erased};
use super::{EntityKind, Event, Sight, StoreError};

/// Where a page of events ended: event time, then identity.
pub(super) type Key = (i64, i64);

/// The narrow columns of an event's row.
pub(super) struct EventKeys<'a> {
    pub(super) uid: i64,
    pub(super) activity: i64,
    pub(super) name: i64,
    pub(super) agent: Option<i64>,
    pub(super) session: Option<i64>,
    pub(super) model: Option<i64>,
    pub(super) tool: Option<&'a str>,
    pub(super) is_mcp: Option<i64>,
}

impl EventKeys<'_> {
    /// The keys of an event.
    pub(super) fn of(event: &NewEvent) -> EventKeys<'_> {
        let facts = &event.facts;
        EventKeys {
            uid: uid_number(&facts.uid),
            activity: activity_key(Some(facts.activity)),
            name: word_key(&facts.name),
            agent: event.agent.as_deref().map(agent_key),
            session: facts.session.as_deref().map(text_key),
            model: facts.model.as_deref().map(word_key),
            tool: facts.tool.as_ref().map(|tool| tool.name.as_str()),
            is_mcp: facts
                .tool
                .as_ref()
                .map(|tool| i64::from(tool.kind == ToolKind::Mcp)),
        }
    }
}

/// The number of an activity in the store. Numbers are never given anew.
pub(super) fn activity_key(activity: Option<Activity>) -> i64 {
    match activity.unwrap_or(Activity::Other) {
        Activity::Session => 1,
        Activity::UserMessage => 2,
        Activity::AgentMessage => 3,
        Activity::ToolInvocation => 4,
        Activity::PermissionDecision => 5,
        Activity::ApiRequest => 6,
        Activity::Error => 7,
        Activity::Configuration => 8,
        Activity::Machine => 9,
        Activity::Other => 10,
    }
}

/// An event as it is stored, read.
pub(super) struct StoredEvent {
    pub(super) key: Key,
    pub(super) time: Timestamp,
    pub(super) received: Timestamp,
    pub(super) agent: Option<String>,
    pub(super) facts: Facts,
    pub(super) whole: WholeRecord,
}

impl StoredEvent {
    /// Reads an event of a block.
    pub(super) fn read(event: &BlockEvent<'_>) -> Result<StoredEvent, StoreError> {
        let whole = event.whole()?;
        let resource = &whole.resource.attributes;
        let mut facts = Facts::read(&whole.record, resource, whole.scope.as_ref());
        // As it was told when it came: an MCP tool is named by content, which may be gone.
        facts.tool = event.tool.map(|(name, kind)| ToolName {
            kind,
            name: name.to_owned(),
        });
        Ok(StoredEvent {
            key: (event.time, uid_number(&facts.uid)),
            time: Timestamp(event.time),
            received: Timestamp(event.received),
            agent: event.agent.map(agent_id),
            facts,
            whole,
        })
    }

    /// Whether a lower-case text occurs in the event's name, body or attributes.
    pub(super) fn mentions(&self, needle: &str) -> bool {
        let record = &self.whole.record;
        contains(&self.facts.name, needle)
            || record.body.iter().any(|body| says(body, needle))
            || any_says(&record.attributes, needle)
    }

    /// The event with what of its record may be seen.
    pub(super) fn event(&self, sight: &Sight) -> Event {
        let facts = &self.facts;
        let mut body = self.whole.record.body.as_ref().map_or(Value::Null, plain);
        let mut attributes = plain_attributes(&self.whole.record.attributes);
        if sight.is_erased(self.time) {
            tell_erased(&facts.name, &mut attributes);
            if body.is_null() && self.whole.record.body.is_some() {
                body = Content::erased();
            }
        }
        if !sight.shows(facts.session.as_deref()) {
            hide(&facts.name, &mut body, &mut attributes);
        }
        let scope = self.whole.scope.clone().unwrap_or_default();
        Event {
            id: facts.uid.clone(),
            time: self.time,
            received_at: self.received,
            activity: facts.activity,
            name: facts.name.clone(),
            agent_id: self.agent.clone(),
            agent_name: facts.agent.as_ref().map(|agent| agent.name()),
            session_id: facts.session.clone(),
            prompt_id: facts.prompt.clone(),
            sequence: facts.sequence,
            tool: facts.tool.as_ref().map(|tool| tool.name.clone()),
            tool_kind: facts.tool.as_ref().map(|tool| match tool.kind {
                ToolKind::BuiltIn => EntityKind::Tool,
                ToolKind::Mcp => EntityKind::McpTool,
            }),
            tool_use_id: facts.tool_use_id.clone(),
            model: facts.model.clone(),
            decision: facts.decision.clone(),
            decision_source: facts.decision_source.clone(),
            success: facts.success,
            duration_ms: facts.duration_ms,
            cost_usd: facts.cost_micros.map(dollars),
            input_tokens: facts.input_tokens,
            output_tokens: facts.output_tokens,
            redaction_count: facts.redactions,
            machine_id: facts.machine.as_ref().map(|machine| machine.id.clone()),
            machine_seq: facts.machine.as_ref().and_then(|machine| machine.seq),
            body,
            attributes,
            resource: plain_attributes(&self.whole.resource.attributes),
            scope_name: scope.name,
            scope_version: scope.version,
        }
    }
}

/// Whether a lower-case text occurs in a value, numbers as they are written.
fn says(value: &AnyValue, needle: &str) -> bool {
    match &value.value {
        Some(any_value::Value::StringValue(text)) => contains(text, needle),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.iter().any(|value| says(value, needle))
        }
        Some(any_value::Value::KvlistValue(list)) => any_says(&list.values, needle),
        _ => match plain(value) {
            Value::String(text) => contains(&text, needle),
            other => other.to_string().contains(needle),
        },
    }
}

/// The same of any attribute. Of keys that occur twice, the first counts.
fn any_says(attributes: &[KeyValue], needle: &str) -> bool {
    let mut found = attributes.iter().enumerate().filter(|(_, attribute)| {
        let value = attribute.value.as_ref();
        value.is_some_and(|value| says(value, needle))
    });
    found.any(|(place, it)| {
        attributes[..place]
            .iter()
            .all(|before| before.key != it.key)
    })
}

/// Whether a lower-case text occurs in another, in whichever case it is there.
fn contains(text: &str, needle: &str) -> bool {
    match text.is_ascii() {
        true => memmem::find(&text.as_bytes().to_ascii_lowercase(), needle.as_bytes()).is_some(),
        false => text.to_lowercase().contains(needle),
    }
}

/// Millionths of a dollar as dollars.
pub(super) fn dollars(micros: i64) -> f64 {
    micros as f64 / 1e6
}
