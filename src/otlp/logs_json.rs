//! OTLP/JSON logs as the specification writes them, read in one pass.
//!
//! `opentelemetry-proto` reads the same, but puts every attribute into a buffer of its own on the way
//! (serde's `flatten`). Logs are what an edge gets all day, and reading them was what cost it most.

use std::fmt;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads a request.
///
/// # Errors
/// For anything that is not as the specification has it.
pub(super) fn decode(text: &str) -> Result<ExportLogsServiceRequest, serde_json::Error> {
    let request: RequestJson = serde_json::from_str(text)?;
    Ok(ExportLogsServiceRequest {
        resource_logs: request
            .resource_logs
            .into_iter()
            .map(ResourceLogs::from)
            .collect(),
    })
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestJson {
    resource_logs: Vec<ResourceLogsJson>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceLogsJson {
    resource: Option<Resource>,
    scope_logs: Vec<ScopeLogsJson>,
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScopeLogsJson {
    scope: Option<InstrumentationScope>,
    log_records: Vec<RecordJson>,
    schema_url: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RecordJson {
    time_unix_nano: Whole<u64>,
    observed_time_unix_nano: Whole<u64>,
    severity_number: i32,
    severity_text: String,
    body: Option<ValueJson>,
    attributes: Vec<PairJson>,
    dropped_attributes_count: u32,
    flags: u32,
    trace_id: Hex,
    span_id: Hex,
    event_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PairJson {
    key: String,
    value: Option<ValueJson>,
    #[serde(default)]
    key_strindex: i32,
}

#[derive(Deserialize)]
struct ListJson<T> {
    values: Vec<T>,
}

struct ValueJson(AnyValue);

/// A number, or its decimal digits as a text.
#[derive(Default)]
struct Whole<T>(T);

/// Bytes as hexadecimal digits.
#[derive(Default)]
struct Hex(Vec<u8>);

impl From<ResourceLogsJson> for ResourceLogs {
    fn from(json: ResourceLogsJson) -> ResourceLogs {
        ResourceLogs {
            resource: json.resource,
            scope_logs: json.scope_logs.into_iter().map(ScopeLogs::from).collect(),
            schema_url: json.schema_url,
        }
    }
}

impl From<ScopeLogsJson> for ScopeLogs {
    fn from(json: ScopeLogsJson) -> ScopeLogs {
        ScopeLogs {
            scope: json.scope,
            log_records: json.log_records.into_iter().map(LogRecord::from).collect(),
            schema_url: json.schema_url,
        }
    }
}

impl From<RecordJson> for LogRecord {
    fn from(json: RecordJson) -> LogRecord {
        LogRecord {
            time_unix_nano: json.time_unix_nano.0,
            observed_time_unix_nano: json.observed_time_unix_nano.0,
            severity_number: json.severity_number,
            severity_text: json.severity_text,
            body: json.body.map(|body| body.0),
            attributes: pairs(json.attributes),
            dropped_attributes_count: json.dropped_attributes_count,
            flags: json.flags,
            trace_id: json.trace_id.0,
            span_id: json.span_id.0,
            event_name: json.event_name,
        }
    }
}

fn pairs(pairs: Vec<PairJson>) -> Vec<KeyValue> {
    let pair = |pair: PairJson| KeyValue {
        key: pair.key,
        value: pair.value.map(|value| value.0),
        key_strindex: pair.key_strindex,
    };
    pairs.into_iter().map(pair).collect()
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Kind {
    StringValue,
    BoolValue,
    IntValue,
    DoubleValue,
    ArrayValue,
    KvlistValue,
    BytesValue,
    #[serde(other)]
    Unknown,
}

impl<'de> Deserialize<'de> for ValueJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;

        impl<'de> Visitor<'de> for Values {
            type Value = ValueJson;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object with a value of one kind")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<ValueJson, M::Error> {
                let mut value = None;
                while let Some(kind) = map.next_key()? {
                    let found = match kind {
                        Kind::StringValue => map.next_value::<Option<_>>()?.map(Value::StringValue),
                        Kind::BoolValue => map.next_value::<Option<_>>()?.map(Value::BoolValue),
                        Kind::DoubleValue => map.next_value::<Option<_>>()?.map(Value::DoubleValue),
                        Kind::IntValue => map
                            .next_value::<Option<Whole<i64>>>()?
                            .map(|number| Value::IntValue(number.0)),
                        Kind::ArrayValue => {
                            let list = map.next_value::<Option<ListJson<ValueJson>>>()?;
                            list.map(|list| {
                                let values = list.values.into_iter().map(|value| value.0);
                                let values = values.collect();
                                Value::ArrayValue(ArrayValue { values })
                            })
                        }
                        Kind::KvlistValue => {
                            let list = map.next_value::<Option<ListJson<PairJson>>>()?;
                            list.map(|list| {
                                let values = pairs(list.values);
                                Value::KvlistValue(KeyValueList { values })
                            })
                        }
                        // Rare, and base64 is read elsewhere.
                        Kind::BytesValue => {
                            let text: serde_json::Value = map.next_value()?;
                            let json = serde_json::json!({ "bytesValue": text });
                            let read: AnyValue =
                                serde_json::from_value(json).map_err(M::Error::custom)?;
                            read.value
                        }
                        Kind::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    value = found.or(value);
                }
                Ok(ValueJson(AnyValue { value }))
            }
        }

        deserializer.deserialize_map(Values)
    }
}

impl<'de, T> Deserialize<'de> for Whole<T>
where
    T: TryFrom<u64> + TryFrom<i64> + std::str::FromStr,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits<T>(std::marker::PhantomData<T>);

        impl<T> Visitor<'_> for Digits<T>
        where
            T: TryFrom<u64> + TryFrom<i64> + std::str::FromStr,
        {
            type Value = Whole<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a whole number or its digits")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole<T>, E> {
                let number = number.try_into().map(Whole);
                number.map_err(|_| E::custom("a number beyond its range"))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Whole<T>, E> {
                let number = number.try_into().map(Whole);
                number.map_err(|_| E::custom("a number beyond its range"))
            }

            fn visit_str<E: Error>(self, digits: &str) -> Result<Whole<T>, E> {
                let number = digits.parse().map(Whole);
                number.map_err(|_| E::custom("digits that are no number"))
            }
        }

        deserializer.deserialize_any(Digits(std::marker::PhantomData))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Digits;

        impl Visitor<'_> for Digits {
            type Value = Hex;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("hexadecimal digits")
            }

            fn visit_str<E: Error>(self, digits: &str) -> Result<Hex, E> {
                let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
                let nibble = |digit: u8| char::from(digit).to_digit(16);
                let byte =
                    |[high, low]: &[u8; 2]| Some((nibble(*high)? << 4 | nibble(*low)?) as u8);
                let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
                let whole = bytes.filter(|_| rest.is_empty()).map(Hex);
                whole.ok_or_else(|| E::custom("not hexadecimal"))
            }
        }

        deserializer.deserialize_str(Digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `opentelemetry-proto` is the reference: whatever is read here, it reads the same.
    #[track_caller]
    fn reads_as_the_reference(text: &str) {
        let own = decode(text);
        let reference: Result<ExportLogsServiceRequest, _> = serde_json::from_str(text);
        match (own, reference) {
            (Ok(own), Ok(reference)) => assert_eq!(own, reference, "{text}"),
            (Err(_), Err(_)) => {}
            (own, reference) => panic!("{own:?} is not {reference:?}: {text}"),
        }
    }

    #[test]
    fn captured_requests_are_read_as_by_the_reference() {
        for text in [
            include_str!("../../tests/fixtures/wire/api-error-429/001-logs.json"),
            include_str!("../../tests/fixtures/wire/interactive/002-logs.json"),
            include_str!("../../tests/fixtures/wire/mcp/001-logs.json"),
            include_str!("../../tests/fixtures/wire/refactor/001-logs.json"),
            include_str!("../../tests/fixtures/wire/three-signals/002-logs.json"),
        ] {
            assert!(decode(text).is_ok());
            reads_as_the_reference(text);
        }
    }

    #[test]
    fn every_kind_of_value_is_read_as_by_the_reference() {
        let values = [
            r#"{"stringValue":"a \u00e4 \" b"}"#,
            r#"{"stringValue":null}"#,
            r#"{"stringValue":1}"#,
            r#"{"boolValue":true}"#,
            r#"{"boolValue":"true"}"#,
            r#"{"intValue":-3}"#,
            r#"{"intValue":"-3"}"#,
            r#"{"intValue":18446744073709551615}"#,
            r#"{"intValue":1.0}"#,
            r#"{"intValue":"x"}"#,
            r#"{"intValue":null}"#,
            r#"{"doubleValue":1}"#,
            r#"{"doubleValue":0.1}"#,
            r#"{"doubleValue":"0.1"}"#,
            r#"{"bytesValue":"AQID"}"#,
            r#"{"bytesValue":"?"}"#,
            r#"{"bytesValue":null}"#,
            r#"{"arrayValue":{"values":[{"intValue":1},{},{"arrayValue":{"values":[]}}]}}"#,
            r#"{"arrayValue":{}}"#,
            r#"{"arrayValue":[]}"#,
            r#"{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":false}},{"key":"b"}]}}"#,
            r#"{"kvlistValue":{"values":[{"value":{"boolValue":false}}]}}"#,
            r#"{"intValue":1,"stringValue":"last"}"#,
            r#"{"intValue":1,"stringValue":null}"#,
            r#"{"stringValueStrindex":3,"other":{"deep":[1,2]}}"#,
            r#"{}"#,
            "null",
            "[]",
            "3",
        ];
        for value in values {
            for record in [
                format!(r#"{{"body":{value}}}"#),
                format!(r#"{{"attributes":[{{"key":"k","value":{value}}}]}}"#),
            ] {
                reads_as_the_reference(&request(&record));
            }
        }
    }

    #[test]
    fn every_field_of_a_record_is_read_as_by_the_reference() {
        let records = [
            r#"{}"#,
            r#"{"timeUnixNano":"17","observedTimeUnixNano":18,"severityNumber":9,"severityText":"x"}"#,
            r#"{"timeUnixNano":-1}"#,
            r#"{"timeUnixNano":"x"}"#,
            r#"{"timeUnixNano":null}"#,
            r#"{"severityNumber":"9"}"#,
            r#"{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"B7AD6B7169203331"}"#,
            r#"{"traceId":"","spanId":""}"#,
            r#"{"traceId":"0","spanId":"zz"}"#,
            r#"{"flags":1,"droppedAttributesCount":2,"eventName":"e","unknown":{"a":[1]}}"#,
            r#"{"flags":-1}"#,
            r#"{"attributes":null}"#,
            r#"{"attributes":[{"key":"k","keyStrindex":4}]}"#,
            r#"{"attributes":[{}]}"#,
            r#"{"body":{"intValue":1},"body":{"intValue":2}}"#,
            "null",
            "[]",
        ];
        for record in records {
            reads_as_the_reference(&request(record));
        }
        for text in [
            "{}",
            r#"{"resourceLogs":null}"#,
            r#"{"resourceLogs":[{}]}"#,
            r#"{"resourceLogs":[{"resource":null,"scopeLogs":[{"scope":null}],"schemaUrl":"u"}]}"#,
            r#"{"resourceLogs":[{"scopeLogs":[{"schemaUrl":null}]}]}"#,
        ] {
            reads_as_the_reference(text);
        }
    }

    fn request(record: &str) -> String {
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#)
    }
}
