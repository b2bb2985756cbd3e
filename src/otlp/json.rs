//! OTLP values as plain JSON, for people and the API.

use std::collections::BTreeMap;
use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use serde_json::{Value as Json, json};

/// A value as plain JSON: bytes in hex, an empty value as null.
pub fn plain(value: &AnyValue) -> Json {
    match &value.value {
        None => Json::Null,
        Some(Value::StringValue(text)) => json!(text),
        Some(Value::BoolValue(flag)) => json!(flag),
        Some(Value::IntValue(number)) => json!(number),
        Some(Value::DoubleValue(number)) => json!(number),
        Some(Value::ArrayValue(array)) => array.values.iter().map(plain).collect(),
        Some(Value::KvlistValue(list)) => json!(plain_attributes(&list.values)),
        Some(Value::BytesValue(bytes)) => {
            let mut hex = String::with_capacity(bytes.len() * 2);
            for byte in bytes {
                write!(hex, "{byte:02x}").expect("writing to a string cannot fail");
            }
            json!(hex)
        }
        // A reference into a dictionary of profiles, which logs do not have.
        Some(other) => json!(format!("{other:?}")),
    }
}

/// Attributes by key; of keys that occur twice, the first counts.
pub fn plain_attributes(attributes: &[KeyValue]) -> BTreeMap<String, Json> {
    let mut map = BTreeMap::new();
    for attribute in attributes {
        map.entry(attribute.key.clone())
            .or_insert_with(|| attribute.value.as_ref().map_or(Json::Null, plain));
    }
    map
}
