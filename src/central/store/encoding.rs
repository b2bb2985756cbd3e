//! How a record lies in its row: OTLP protobuf, compressed, with its content apart.

use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;

use crate::event::is_content;

use super::dictionary::{Compressor, Dictionaries};

/// A stored record cannot be read: the database was damaged.
#[derive(Debug, thiserror::Error)]
#[error("a stored record cannot be read: {0}")]
pub struct EncodingError(pub(super) String);

/// Encodes the records of one resource and scope.
pub struct EventEncoder<'a, 'd> {
    compressor: &'a mut Compressor<'d>,
    /// The message around the record, whose place in it is empty in between.
    whole: ResourceLogs,
    encoded: Vec<u8>,
}

impl<'a, 'd> EventEncoder<'a, 'd> {
    /// An encoder for the records of this resource and scope.
    pub fn new(
        compressor: &'a mut Compressor<'d>,
        resource: Option<&Resource>,
        scope: Option<&InstrumentationScope>,
    ) -> EventEncoder<'a, 'd> {
        let scope_logs = ScopeLogs {
            scope: scope.cloned(),
            log_records: vec![LogRecord::default()],
            schema_url: String::new(),
        };
        EventEncoder {
            compressor,
            whole: ResourceLogs {
                resource: resource.cloned(),
                scope_logs: vec![scope_logs],
                schema_url: String::new(),
            },
            encoded: Vec::new(),
        }
    }

    /// Splits a record into the part that is metadata and the part that is content, both compressed;
    /// the second is empty when there is none.
    pub fn encode(&mut self, mut record: LogRecord) -> (Vec<u8>, Vec<u8>) {
        let all = std::mem::take(&mut record.attributes);
        let (content, attributes): (Vec<KeyValue>, Vec<KeyValue>) = all
            .into_iter()
            .partition(|attribute| is_content(&attribute.key));
        record.attributes = attributes;
        self.whole.scope_logs[0].log_records[0] = record;
        let record = self.compress(None);
        let content = match content.is_empty() {
            true => Vec::new(),
            false => self.compress(Some(&KeyValueList { values: content })),
        };
        (record, content)
    }

    fn compress(&mut self, content: Option<&KeyValueList>) -> Vec<u8> {
        self.encoded.clear();
        let encoded = match content {
            Some(content) => content.encode(&mut self.encoded),
            None => self.whole.encode(&mut self.encoded),
        };
        encoded.expect("a vector grows as needed");
        self.compressor.compress(&self.encoded)
    }
}

/// A record put together again.
#[derive(Clone, Debug, Default)]
pub(super) struct WholeRecord {
    pub(super) resource: Resource,
    pub(super) scope: Option<InstrumentationScope>,
    pub(super) record: LogRecord,
}

/// Puts a record together again.
pub(super) fn decode_event(
    dictionaries: &Dictionaries,
    record: &[u8],
    content: Option<&[u8]>,
) -> Result<WholeRecord, EncodingError> {
    let whole =
        ResourceLogs::decode(dictionaries.inflate(record)?.as_slice()).map_err(unreadable)?;
    let scope_logs = whole.scope_logs.into_iter().next().unwrap_or_default();
    let log_record = scope_logs.log_records.into_iter().next();
    let mut record = log_record.unwrap_or_default();
    if let Some(content) = content {
        let list =
            KeyValueList::decode(dictionaries.inflate(content)?.as_slice()).map_err(unreadable)?;
        record.attributes.extend(list.values);
    }
    Ok(WholeRecord {
        resource: whole.resource.unwrap_or_default(),
        scope: scope_logs.scope,
        record,
    })
}

fn unreadable(error: impl std::fmt::Display) -> EncodingError {
    EncodingError(error.to_string())
}
