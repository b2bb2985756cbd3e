//! OTLP/JSON as clients really write it.
//!
//! The specification's JSON is read by `logs_json` and `opentelemetry-proto`. What they refuse, and what clients and
//! collectors nevertheless send (WIRE.md, section 1), is brought into the specification's form first:
//! numbers as strings and strings as numbers, nulls, attribute maps, values of unknown kinds, lone
//! UTF-16 surrogates, invalid UTF-8. A record that still cannot be read is left out and counted; one
//! bad record never costs the others.

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::decode::{DecodeError, Decoded};
use super::route::Target;
use super::{Request, Signal};

/// Nesting beyond which values are not taken over. Protobuf readers stop at 100 levels, and one level
/// of JSON attributes costs up to three of those.
const MAX_VALUE_DEPTH: usize = 16;

/// Brackets beyond which a body takes the long way, where [`MAX_VALUE_DEPTH`] holds.
const MAX_STRICT_DEPTH: usize = 60;

/// A body on the long way is in memory as a tree, and twice as text: what would take more than this is refused.
const MAX_LONG_WAY_BYTES: usize = 64 << 20;

/// What a list or an object takes in that tree, whatever is in it.
const NODE_BYTES: usize = 640;

/// What each thing in one takes.
const ITEM_BYTES: usize = 40;

/// Reads an OTLP/JSON body.
pub(super) fn decode_json(target: Target, body: &[u8]) -> Result<Decoded, DecodeError> {
    let Repaired {
        text,
        depth,
        tree_bytes,
    } = repair(body);
    // serde would read an array as an object's fields in their order.
    if !text.trim_start().starts_with('{') {
        return Err(DecodeError("expected a JSON object".to_owned()));
    }
    let signal = match target {
        Target::Signal(signal) => signal,
        Target::Sniff => sniff(&text)?,
    };
    if depth <= MAX_STRICT_DEPTH
        && let Ok(request) = strict(signal, &text)
    {
        return Ok(Decoded {
            bytes: body.len(),
            request,
            rejected: 0,
        });
    }
    if tree_bytes.saturating_add(2 * text.len()) > MAX_LONG_WAY_BYTES {
        let message =
            "too much of it is not as the specification says; send fewer records at a time";
        return Err(DecodeError(message.to_owned()));
    }
    let mut root: Value =
        serde_json::from_str(&text).map_err(|error| DecodeError(error.to_string()))?;
    normalize(&mut root);
    let rejected = drop_unreadable(signal, &mut root);
    let request =
        strict(signal, &root.to_string()).map_err(|error| DecodeError(error.to_string()))?;
    Ok(Decoded {
        request,
        rejected,
        bytes: body.len(),
    })
}

fn strict(signal: Signal, text: &str) -> Result<Request, serde_json::Error> {
    Ok(match signal {
        Signal::Logs => Request::Logs(super::logs_json::decode(text)?),
        Signal::Metrics => Request::Metrics(serde_json::from_str(text)?),
        Signal::Traces => Request::Traces(serde_json::from_str(text)?),
    })
}

/// The signal of a body posted without one in its path; logs when the body is an empty request.
fn sniff(text: &str) -> Result<Signal, DecodeError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Keys<'a> {
        #[serde(borrow, alias = "resource_metrics")]
        resource_metrics: Option<&'a RawValue>,
        #[serde(borrow, alias = "resource_spans")]
        resource_spans: Option<&'a RawValue>,
    }
    let keys: Keys<'_> =
        serde_json::from_str(text).map_err(|error| DecodeError(error.to_string()))?;
    Ok(match keys {
        Keys {
            resource_metrics: Some(_),
            ..
        } => Signal::Metrics,
        Keys {
            resource_spans: Some(_),
            ..
        } => Signal::Traces,
        _ => Signal::Logs,
    })
}

/// JSON as a strict reader takes it: what is no text in it, or half a character, becomes U+FFFD.
pub fn readable(json: &[u8]) -> Cow<'_, str> {
    repair(json).text
}

struct Repaired<'a> {
    text: Cow<'a, str>,
    /// Deepest nesting of brackets.
    depth: usize,
    /// What a tree of it takes in memory, but for its texts.
    tree_bytes: usize,
}

/// Replaces invalid UTF-8 and lone surrogates, which JavaScript's string functions leave behind when
/// they cut a string, by U+FFFD.
fn repair(body: &[u8]) -> Repaired<'_> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // Much faster than `from_utf8_lossy` at saying that nothing is wrong.
    let text = match std::str::from_utf8(body) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(body),
    };
    let bytes = text.as_bytes();
    let (mut depth, mut deepest, mut in_string) = (0_usize, 0, false);
    let mut tree_bytes = 0;
    let mut lone = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if in_string {
            // Most of a body is text.
            match memchr::memchr2(b'"', b'\\', &bytes[at..]) {
                Some(skipped) => at += skipped,
                None => break,
            }
        }
        match bytes[at] {
            b'"' => in_string = !in_string,
            b'\\' if in_string => match surrogate(bytes, at) {
                Some(0xd800..=0xdbff)
                    if matches!(surrogate(bytes, at + 6), Some(0xdc00..=0xdfff)) =>
                {
                    at += 11;
                }
                Some(0xd800..=0xdfff) => {
                    lone.push(at);
                    at += 5;
                }
                _ => at += 1,
            },
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
                tree_bytes += NODE_BYTES;
            }
            b',' if !in_string => tree_bytes += ITEM_BYTES,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    if lone.is_empty() {
        return Repaired {
            text,
            depth: deepest,
            tree_bytes,
        };
    }
    let mut repaired = text.into_owned();
    for at in lone {
        // An escape is six bytes of ASCII, and so is its replacement.
        repaired.replace_range(at..at + 6, "\\ufffd");
    }
    Repaired {
        text: Cow::Owned(repaired),
        depth: deepest,
        tree_bytes,
    }
}

/// The UTF-16 unit of an escape `\uXXXX` at `at`.
fn surrogate(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

/// Brings one JSON value into the form that the specification asks for.
fn normalize(value: &mut Value) {
    match value {
        Value::Array(items) => {
            items.retain(|item| !item.is_null());
            items.iter_mut().for_each(normalize);
        }
        Value::Object(object) => normalize_object(object),
        _ => {}
    }
}

fn normalize_object(object: &mut Map<String, Value>) {
    let fields = std::mem::take(object);
    for (key, mut value) in fields {
        let key = camel_case(&key);
        if value.is_null() {
            continue;
        }
        let kept = match key.as_str() {
            "attributes" | "filteredAttributes" => {
                value = attributes(value, 0);
                true
            }
            "body" => {
                value = any_value(value, 0);
                true
            }
            "timeUnixNano" | "observedTimeUnixNano" | "startTimeUnixNano" | "endTimeUnixNano" => {
                value = Value::String(nanoseconds(&value).to_string());
                true
            }
            "droppedAttributesCount"
            | "droppedEventsCount"
            | "droppedLinksCount"
            | "flags"
            | "severityNumber"
            | "kind"
            | "aggregationTemporality"
            | "code" => whole(&value).is_some_and(|number| {
                value = json!(number);
                true
            }),
            "traceId" => is_hex(&value, 32),
            "spanId" | "parentSpanId" => is_hex(&value, 16),
            "name" | "version" | "schemaUrl" | "severityText" | "eventName" | "description"
            | "unit" | "traceState" | "message" => {
                value = Value::String(plain_text(&value));
                true
            }
            "resourceLogs" | "scopeLogs" | "logRecords" | "resourceMetrics" | "scopeMetrics"
            | "metrics" | "resourceSpans" | "scopeSpans" | "spans" | "events" | "links"
            | "dataPoints" => {
                normalize(&mut value);
                value.is_array()
            }
            _ => {
                normalize(&mut value);
                true
            }
        };
        if kept {
            object.insert(key, value);
        }
    }
}

fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let mut name = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name.push_str(letters.as_str());
    }
    name
}

/// An attribute list; a map of plain values, as some hand-written clients send it, becomes one.
fn attributes(value: Value, depth: usize) -> Value {
    let pairs: Vec<(String, Value)> = match value {
        Value::Array(items) => items
            .into_iter()
            .filter_map(|mut item| {
                let object = item.as_object_mut()?;
                let key = plain_text(object.get("key")?);
                Some((key, object.remove("value").unwrap_or(Value::Null)))
            })
            .collect(),
        Value::Object(object) => object.into_iter().collect(),
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .map(|(key, value)| json!({ "key": key, "value": any_value(value, depth) }))
        .collect()
}

/// An `AnyValue` with exactly one kind that fits its content, or an empty one.
fn any_value(value: Value, depth: usize) -> Value {
    if depth >= MAX_VALUE_DEPTH {
        return json!({});
    }
    match value {
        Value::Null => json!({}),
        Value::String(text) => json!({ "stringValue": text }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        Value::Number(number) => match number.as_i64() {
            Some(number) => json!({ "intValue": number }),
            None => json!({ "doubleValue": number }),
        },
        Value::Array(items) => array(items, depth),
        Value::Object(object) => object
            .into_iter()
            .find_map(|(kind, value)| typed_value(&camel_case(&kind), value, depth))
            .unwrap_or_else(|| json!({})),
    }
}

fn typed_value(kind: &str, value: Value, depth: usize) -> Option<Value> {
    Some(match (kind, value) {
        (_, Value::Null) => return None,
        ("stringValue", value) => json!({ "stringValue": plain_text(&value) }),
        ("boolValue", Value::Bool(flag)) => json!({ "boolValue": flag }),
        ("boolValue", value) => match plain_text(&value).as_str() {
            "true" => json!({ "boolValue": true }),
            "false" => json!({ "boolValue": false }),
            other => json!({ "stringValue": other }),
        },
        ("intValue" | "doubleValue", value) => number_value(kind, &value),
        ("arrayValue", Value::Array(items)) => array(items, depth),
        ("arrayValue", Value::Object(mut object)) => match object.remove("values") {
            Some(Value::Array(items)) => array(items, depth),
            _ => array(Vec::new(), depth),
        },
        ("kvlistValue", Value::Object(mut object)) => {
            let pairs = object.remove("values").unwrap_or(Value::Object(object));
            json!({ "kvlistValue": { "values": attributes(pairs, depth + 1) } })
        }
        ("bytesValue", Value::String(text)) => {
            let bytes = json!({ "bytesValue": text });
            match serde_json::from_value::<opentelemetry_proto::tonic::common::v1::AnyValue>(
                bytes.clone(),
            ) {
                Ok(_) => bytes,
                Err(_) => json!({ "stringValue": text }),
            }
        }
        _ => return None,
    })
}

/// A number of the kind its text has; text that is no number stays text.
fn number_value(kind: &str, value: &Value) -> Value {
    if let Some(number) = whole(value)
        && kind == "intValue"
    {
        return json!({ "intValue": number });
    }
    let text = plain_text(value);
    match text.trim().parse::<f64>() {
        Ok(number) if number.is_finite() => json!({ "doubleValue": number }),
        _ => json!({ "stringValue": text }),
    }
}

fn array(items: Vec<Value>, depth: usize) -> Value {
    let values: Vec<Value> = items
        .into_iter()
        .map(|item| any_value(item, depth + 1))
        .collect();
    json!({ "arrayValue": { "values": values } })
}

fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| {
            number
                .as_f64()
                .filter(|number| number.fract() == 0.0)
                .map(|number| number as i64)
        }),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A time in nanoseconds; 0, OTLP's "unknown", when it cannot be read.
fn nanoseconds(value: &Value) -> u64 {
    match value {
        Value::Number(number) => number
            .as_u64()
            .unwrap_or_else(|| number.as_f64().unwrap_or_default().max(0.0) as u64),
        Value::String(text) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

fn is_hex(value: &Value, digits: usize) -> bool {
    value.as_str().is_some_and(|text| {
        text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Removes the records, resources and scopes that cannot be read; returns the number of records.
fn drop_unreadable(signal: Signal, root: &mut Value) -> usize {
    let (resources, scopes, records) = match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Metrics => ("resourceMetrics", "scopeMetrics", "metrics"),
        Signal::Traces => ("resourceSpans", "scopeSpans", "spans"),
    };
    let readable: fn(&Value) -> bool = match signal {
        Signal::Logs => reads_as::<LogRecord>,
        Signal::Metrics => reads_as::<Metric>,
        Signal::Traces => reads_as::<Span>,
    };
    let mut dropped = 0;
    for resource in children(root, resources) {
        remove_unless(resource, "resource", reads_as::<Resource>);
        for scope in children(resource, scopes) {
            remove_unless(scope, "scope", reads_as::<InstrumentationScope>);
            if let Some(records) = scope.get_mut(records).and_then(Value::as_array_mut) {
                let before = records.len();
                records.retain(readable);
                dropped += before - records.len();
            }
        }
    }
    dropped
}

fn children<'a>(parent: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    if let Some(items) = parent.get_mut(key).and_then(Value::as_array_mut) {
        items.retain(Value::is_object);
    }
    parent
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

fn remove_unless(object: &mut Value, key: &str, keep: fn(&Value) -> bool) {
    if let Some(object) = object.as_object_mut()
        && object.get(key).is_some_and(|value| !keep(value))
    {
        object.remove(key);
    }
}

fn reads_as<T: DeserializeOwned>(value: &Value) -> bool {
    T::deserialize(value).is_ok()
}
