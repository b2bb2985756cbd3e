//! What of a record is stored apart: everything that a role can hide, so that it can be erased alone.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use crate::event::{event_name, is_content, is_metadata_value, is_name_of};

/// The content of one record. Versions that stored attributes alone wrote OTLP's `KeyValueList`, which reads as
/// this.
#[derive(Clone, PartialEq, Message)]
pub(in crate::central::store) struct RecordContent {
    #[prost(message, repeated, tag = "1")]
    pub(in crate::central::store) values: Vec<KeyValue>,
    #[prost(message, optional, tag = "2")]
    pub(in crate::central::store) body: Option<AnyValue>,
}

impl RecordContent {
    /// Takes the content out of a record. Where a body or an attribute was of which nothing else would tell, an
    /// empty value stays.
    pub(in crate::central::store) fn take_out_of(record: &mut LogRecord) -> RecordContent {
        let body = take_body(record);
        let is_content_value = |attribute: &KeyValue| match &attribute.value {
            Some(value) => !is_metadata_value(&attribute.key, value),
            None => is_content(&attribute.key),
        };
        let apart: Vec<String> = record
            .attributes
            .iter()
            .filter(|attribute| is_content_value(attribute))
            .map(|attribute| attribute.key.clone())
            .collect();
        let mut values = Vec::new();
        if !apart.is_empty() {
            // All of a key, so that the first of two stays the first.
            let all = std::mem::take(&mut record.attributes).into_iter();
            let (content, mut rest): (Vec<_>, Vec<_>) =
                all.partition(|attribute| apart.contains(&attribute.key));
            for (place, attribute) in content.iter().enumerate() {
                let is_first = content[..place].iter().all(|it| it.key != attribute.key);
                if is_first && !is_content(&attribute.key) {
                    rest.push(KeyValue {
                        value: Some(AnyValue::default()),
                        ..attribute.clone()
                    });
                }
            }
            record.attributes = rest;
            values = content;
        }
        RecordContent { values, body }
    }

    /// Puts the content back into its record.
    pub(super) fn put_into(self, record: &mut LogRecord) {
        if self.body.is_some() {
            record.body = self.body;
        }
        record.attributes.retain(|attribute| {
            let is_place = attribute
                .value
                .as_ref()
                .is_some_and(|it| it.value.is_none());
            !is_place || self.values.iter().all(|it| it.key != attribute.key)
        });
        record.attributes.extend(self.values);
    }
}

/// The body, unless it says no more than the event's name.
fn take_body(record: &mut LogRecord) -> Option<AnyValue> {
    let is_content = match &record.body.as_ref()?.value {
        None => false,
        Some(Value::StringValue(text)) => {
            !is_name_of(text, &event_name(record).unwrap_or_default())
        }
        Some(_) => true,
    };
    is_content.then(|| record.body.replace(AnyValue::default()))?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value as Json;

    use super::*;
    use crate::central::materialize::Shape;
    use crate::central::store::sight::hide;
    use crate::event::{Facts, attribute};
    use crate::otlp::json::{plain, plain_attributes};

    fn text(text: &str) -> Value {
        Value::StringValue(text.to_owned())
    }

    fn record(body: Option<Value>, attributes: Vec<(&str, Value)>) -> LogRecord {
        let attributes = attributes.into_iter();
        LogRecord {
            body: body.map(|value| AnyValue { value: Some(value) }),
            attributes: attributes
                .map(|(key, value)| attribute(key, value))
                .collect(),
            ..LogRecord::default()
        }
    }

    fn shown(record: &LogRecord) -> (Json, BTreeMap<String, Json>) {
        let body = record.body.as_ref().map_or(Json::Null, plain);
        (body, plain_attributes(&record.attributes))
    }

    /// What a role sees that sees no content, but for what says that something is hidden.
    fn seen(record: &LogRecord) -> (Json, BTreeMap<String, Json>) {
        let name = event_name(record).unwrap_or_default();
        let (mut body, mut attributes) = shown(record);
        hide(&name, &mut body, &mut attributes);
        attributes.retain(|_, value| !value.is_object() && !value.is_null());
        (if body.is_object() { Json::Null } else { body }, attributes)
    }

    #[test]
    fn what_is_stored_apart_is_what_is_hidden_and_comes_back() {
        let whole = record(
            Some(text("Please deploy the SECRET service")),
            vec![
                ("event.name", text("claude_code.user_prompt")),
                ("prompt", text("SECRET words")),
                ("something.new", text("SECRET, too")),
                ("prompt_length", text("12")),
                ("twice", text("SECRET first")),
                ("twice", Value::IntValue(2)),
            ],
        );
        let mut rest = whole.clone();
        let content = RecordContent::take_out_of(&mut rest);
        assert!(!format!("{rest:?}").contains("SECRET"));
        assert_eq!(seen(&rest), seen(&whole));
        assert_eq!(shown(&rest).0, Json::Null);
        assert_eq!(shown(&rest).1["something.new"], Json::Null, "its place");
        let mut again = rest.clone();
        let nothing = RecordContent::default();
        assert_eq!(RecordContent::take_out_of(&mut again), nothing);
        content.put_into(&mut rest);
        assert_eq!(shown(&rest), shown(&whole));
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::IntValue),
            any::<bool>().prop_map(Value::BoolValue),
            prop_oneof![
                Just(" 12 "),
                Just("true"),
                Just("1e3"),
                Just("words"),
                Just("  "),
                Just("claude_code.tool_result"),
                Just("ada@example.com"),
            ]
            .prop_map(text),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

        /// So that a recount, which reads no content, counts the same.
        #[test]
        fn facts_are_read_from_what_stays(
            body in proptest::option::of(any_value()),
            values in proptest::collection::vec((0_usize..34, any_value()), 0..12),
        ) {
            const KEYS: [&str; 34] = [
                "event.name", "event.timestamp", "event.sequence", "user.email", "user.id", "enduser.id",
                "user.account_uuid", "process.owner", "identity.source", "organization.id", "session.id",
                "prompt.id", "tool_use_id", "model", "workspace.host_paths", "decision", "source",
                "decision_source", "success", "duration_ms", "cost_usd", "cost_usd_micros", "input_tokens",
                "output_tokens", "app.version", "service.name", "fieldpost.edge.id", "fieldpost.edge.seq",
                "host.name", "clock.offset_seconds", "something.new", "prompt", "app.entrypoint",
                "vcs.repository.url.full",
            ];
            let attributes = values.into_iter().map(|(key, value)| (KEYS[key], value)).collect();
            let whole = record(body, attributes);
            let mut rest = whole.clone();
            let content = RecordContent::take_out_of(&mut rest);
            prop_assert_eq!(Facts::read(&rest, &[], None), Facts::read(&whole, &[], None));
            prop_assert_eq!(Shape::of(&rest.attributes), Shape::of(&whole.attributes));
            content.put_into(&mut rest);
            prop_assert_eq!(shown(&rest), shown(&whole));
        }
    }
}
