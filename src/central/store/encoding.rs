//! How a record lies in its row: OTLP protobuf, compressed, with its content apart.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::Value;

use crate::event::is_content;
use crate::otlp::json::{plain, plain_attributes};

const ZSTD_LEVEL: i32 = 3;

/// A stored record cannot be read: the database was damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored record cannot be read: {0}")]
pub struct EncodingError(String);

/// Splits a record into the part that is metadata and the part that is content, both compressed; the
/// second is empty when there is none.
pub fn encode_event(
    resource: Option<&Resource>,
    scope: Option<&InstrumentationScope>,
    mut record: LogRecord,
) -> (Vec<u8>, Vec<u8>) {
    let (content, attributes): (Vec<KeyValue>, Vec<KeyValue>) =
        std::mem::take(&mut record.attributes)
            .into_iter()
            .partition(|attribute| is_content(&attribute.key));
    record.attributes = attributes;
    let whole = ResourceLogs {
        resource: resource.cloned(),
        scope_logs: vec![ScopeLogs {
            scope: scope.cloned(),
            log_records: vec![record],
            schema_url: String::new(),
        }],
        schema_url: String::new(),
    };
    let content = match content.is_empty() {
        true => Vec::new(),
        false => compress(&KeyValueList { values: content }.encode_to_vec()),
    };
    (compress(&whole.encode_to_vec()), content)
}

/// Compresses what is stored whole.
pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(bytes, ZSTD_LEVEL).expect("zstd compresses into memory")
}

/// A record's parts as plain JSON.
pub(super) struct PlainRecord {
    pub(super) body: Value,
    pub(super) attributes: BTreeMap<String, Value>,
    pub(super) resource: BTreeMap<String, Value>,
    pub(super) scope_name: String,
    pub(super) scope_version: String,
}

/// Puts a record together again.
pub(super) fn decode_event(
    record: &[u8],
    content: Option<&[u8]>,
) -> Result<PlainRecord, EncodingError> {
    let whole = ResourceLogs::decode(inflate(record)?.as_slice()).map_err(unreadable)?;
    let scope_logs = whole.scope_logs.into_iter().next().unwrap_or_default();
    let log_record = scope_logs
        .log_records
        .into_iter()
        .next()
        .unwrap_or_default();
    let mut attributes = plain_attributes(&log_record.attributes);
    if let Some(content) = content {
        let list = KeyValueList::decode(inflate(content)?.as_slice()).map_err(unreadable)?;
        attributes.extend(plain_attributes(&list.values));
    }
    let scope = scope_logs.scope.unwrap_or_default();
    Ok(PlainRecord {
        body: log_record.body.as_ref().map_or(Value::Null, plain),
        attributes,
        resource: plain_attributes(&whole.resource.unwrap_or_default().attributes),
        scope_name: scope.name,
        scope_version: scope.version,
    })
}

fn inflate(bytes: &[u8]) -> Result<Vec<u8>, EncodingError> {
    zstd::stream::decode_all(bytes).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> EncodingError {
    EncodingError(error.to_string())
}
