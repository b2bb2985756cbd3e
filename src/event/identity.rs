//! The identity of a record: OpenTelemetry's attribute `log.record.uid`.
//!
//! 128 bits of keyed BLAKE3, in hex, over the record as received (resource, scope, record, in the
//! order in which attributes came) and its ordinal among identical records of one request, so that
//! true twins survive and a client's retry of the same bytes does not. An identity that is already
//! there is kept. The key keeps the identity from betraying what was hashed, although it is computed
//! before redaction: a change of rules changes no identity.

use std::collections::HashMap;

use blake3::Hash;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use super::set_attribute;

/// OpenTelemetry's semantic convention for the identity of a log record.
pub const RECORD_UID: &str = "log.record.uid";

/// Hexadecimal digits of an identity: 128 bits.
const UID_DIGITS: usize = 32;

/// Longest identity set by a client that is kept as it is, in bytes.
const MAX_FOREIGN_UID: usize = 128;

/// Gives records their identity, under one key.
#[derive(Clone)]
pub struct Identifier {
    key: [u8; 32],
}

impl Identifier {
    /// An identifier with a key of its own: an edge's random one, or one derived per tenant.
    pub fn new(key: [u8; 32]) -> Identifier {
        Identifier { key }
    }

    /// An identifier whose key is derived from this one's and `context`.
    pub fn derive(&self, context: &str) -> Identifier {
        Identifier::new(*blake3::keyed_hash(&self.key, context.as_bytes()).as_bytes())
    }

    /// An id made of arbitrary parts, in the form of a record's identity.
    pub fn id(&self, parts: &[&[u8]]) -> String {
        digits(&self.hash(parts))
    }

    /// Sets [`RECORD_UID`] on every record that has none.
    pub fn identify(&self, request: &mut ExportLogsServiceRequest) {
        let mut ordinals: HashMap<Hash, u64> = HashMap::new();
        let mut encoded = Vec::new();
        for resource_logs in &mut request.resource_logs {
            let resource = resource_logs
                .resource
                .as_ref()
                .map(Message::encode_to_vec)
                .unwrap_or_default();
            for scope_logs in &mut resource_logs.scope_logs {
                let scope = scope_logs
                    .scope
                    .as_ref()
                    .map(Message::encode_to_vec)
                    .unwrap_or_default();
                for record in &mut scope_logs.log_records {
                    if has_uid(record) {
                        continue;
                    }
                    encoded.clear();
                    record
                        .encode(&mut encoded)
                        .expect("a vector grows as needed");
                    let content = self.hash(&[&resource, &scope, &encoded]);
                    let ordinal = ordinals.entry(content).or_default();
                    let uid = self.hash(&[content.as_bytes(), &ordinal.to_be_bytes()]);
                    *ordinal += 1;
                    set_attribute(
                        &mut record.attributes,
                        RECORD_UID,
                        Value::StringValue(digits(&uid)),
                    );
                }
            }
        }
    }

    /// Identities of messages without records of their own, such as one `ResourceMetrics`: by
    /// content, and by the ordinal among identical ones of one request.
    pub fn identify_messages<M: Message>(&self, messages: &[M]) -> Vec<String> {
        let mut ordinals: HashMap<Hash, u64> = HashMap::new();
        messages
            .iter()
            .map(|message| {
                let content = self.hash(&[&message.encode_to_vec()]);
                let ordinal = ordinals.entry(content).or_default();
                let uid = self.hash(&[content.as_bytes(), &ordinal.to_be_bytes()]);
                *ordinal += 1;
                digits(&uid)
            })
            .collect()
    }

    fn hash(&self, parts: &[&[u8]]) -> Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            // The length before each part keeps two different lists from meeting in one stream.
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        hasher.finalize()
    }
}

fn digits(hash: &Hash) -> String {
    hash.to_hex()[..UID_DIGITS].to_owned()
}

fn has_uid(record: &LogRecord) -> bool {
    record.attributes.iter().any(|attribute| {
        attribute.key == RECORD_UID
            && matches!(
                attribute.value.as_ref().and_then(|value| value.value.as_ref()),
                Some(Value::StringValue(uid)) if !uid.is_empty() && uid.len() <= MAX_FOREIGN_UID
            )
    })
}
