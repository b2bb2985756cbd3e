//! What an edge says of itself in a heartbeat, besides what waits and what was lost.

use std::collections::BTreeMap;
use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde::{Deserialize, Serialize};

use super::{Attributes, REDACTED};

/// `clock.offset_seconds`: how far the machine's clock is ahead of the upstream's; negative when behind.
pub const CLOCK_OFFSET: &str = "clock.offset_seconds";
/// `token.expires_at`: when the edge's token expires, in seconds since the Unix epoch.
pub const TOKEN_EXPIRES: &str = "token.expires_at";
/// `parked.records`: records that the upstream refused for good and that the edge keeps.
pub const PARKED_RECORDS: &str = "parked.records";

/// A clock that is off by more than this is told.
pub const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// Rules that are believed of one heartbeat.
const MAX_RULES: usize = 1024;

/// An edge's words about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The highest number given to a record before the heartbeat.
    pub last_seq: i64,
    /// Seconds by which the machine's clock is ahead of the service's, by the latest answer; negative when
    /// behind.
    pub clock_offset_seconds: Option<i64>,
    /// When the edge's token expires, in seconds since the Unix epoch.
    pub token_expires_at: Option<i64>,
    /// Records that were refused for good and wait for somebody to decide, if the edge can tell.
    pub parked_records: Option<i64>,
    /// How often each rule of redaction found something since the edge started.
    pub redactions: BTreeMap<String, i64>,
}

impl Report {
    /// What a heartbeat's attributes say.
    pub(super) fn of(attributes: &Attributes<'_>) -> Report {
        let redactions =
            attributes
                .starting_with(REDACTED)
                .filter_map(|(rule, value)| match value {
                    Value::IntValue(count) if is_rule(rule) && *count > 0 => {
                        Some((rule.to_owned(), *count))
                    }
                    _ => None,
                });
        Report {
            last_seq: attributes.integer("queue.last_seq").unwrap_or(0),
            clock_offset_seconds: attributes.integer(CLOCK_OFFSET),
            token_expires_at: attributes.integer(TOKEN_EXPIRES),
            parked_records: attributes.integer(PARKED_RECORDS),
            redactions: redactions.take(MAX_RULES).collect(),
        }
    }
}

/// A rule's name, so that what an edge with rules of its own says is shown too.
fn is_rule(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}
