//! Reads attributes whatever type the client gave them, and makes them.
//!
//! Clients send numbers as JSON numbers, as decimal strings and as string attributes, and booleans
//! as `"true"` (WIRE.md, section 1): every reader here coerces.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

/// A view over attribute lists, searched in order: the record before the resource.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    record: &'a [KeyValue],
    resource: &'a [KeyValue],
}

impl<'a> Attributes<'a> {
    /// A view over a record's own attributes, falling back to its resource's.
    pub fn new(record: &'a [KeyValue], resource: &'a [KeyValue]) -> Attributes<'a> {
        Attributes { record, resource }
    }

    /// The value of `key`, from the record or from its resource.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        find(self.record, key).or_else(|| find(self.resource, key))
    }

    /// The record's own attributes whose keys start with `prefix`, without it.
    pub fn starting_with(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.record.iter().filter_map(move |attribute| {
            let key = attribute.key.strip_prefix(prefix)?;
            Some((key, attribute.value.as_ref()?.value.as_ref()?))
        })
    }

    /// The value of `key` as text that is not blank; numbers and booleans are written out.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = match self.get(key)? {
            Value::StringValue(text) => text.trim().to_owned(),
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// The value of `key` as a whole number.
    pub fn integer(&self, key: &str) -> Option<i64> {
        match self.get(key)? {
            Value::IntValue(number) => Some(*number),
            Value::DoubleValue(number) => whole(*number),
            Value::StringValue(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| whole(text.parse().ok()?))
            }
            _ => None,
        }
    }

    /// The value of `key` as a finite number.
    pub fn number(&self, key: &str) -> Option<f64> {
        let number = match self.get(key)? {
            Value::IntValue(number) => *number as f64,
            Value::DoubleValue(number) => *number,
            Value::StringValue(text) => text.trim().parse().ok()?,
            _ => return None,
        };
        number.is_finite().then_some(number)
    }

    /// The value of `key` as a boolean.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        match self.get(key)? {
            Value::BoolValue(flag) => Some(*flag),
            Value::StringValue(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => Some(true),
                "false" | "0" => Some(false),
                _ => None,
            },
            Value::IntValue(number) => Some(*number != 0),
            _ => None,
        }
    }

    /// The texts that are not blank in the array `key`.
    pub fn list(&self, key: &str) -> Vec<String> {
        let Some(Value::ArrayValue(array)) = self.get(key) else {
            return Vec::new();
        };
        array
            .values
            .iter()
            .filter_map(string)
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect()
    }
}

/// An attribute as OTLP has it.
pub fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Sets an attribute; one of that name that is there already gives way.
pub fn set_attribute(attributes: &mut Vec<KeyValue>, key: &str, value: Value) {
    attributes.retain(|attribute| attribute.key != key);
    attributes.push(attribute(key, value));
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .find(|attribute| is_key(&attribute.key, key))?
        .value
        .as_ref()?
        .value
        .as_ref()
}

/// Whether two keys are one. Most are told apart without a call: by their length or by their end, since many
/// begin alike.
fn is_key(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.as_bytes().last() == b.as_bytes().last() && a == b
}

fn string(value: &AnyValue) -> Option<&str> {
    match value.value.as_ref()? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// A float that is a whole number within the range where floats are exact.
fn whole(number: f64) -> Option<i64> {
    (number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0).then_some(number as i64)
}
