//! What happened: pure values read from OTLP records. No sockets, no files, no runtime.

mod attributes;
mod facts;
mod report;
mod identity;
mod tool;
pub mod cut_json;
mod sensitive;
pub mod content;
mod activity;
mod time;

pub use activity::Activity;
pub use attributes::{Attributes, attribute, set_attribute};
pub use facts::{AgentIdentity, Facts, Heartbeat, MachineFacts, bound, event_name};
pub use identity::{Identifier, RECORD_UID};
pub use report::{CLOCK_OFFSET, CLOCK_TOLERANCE, PARKED_RECORDS, Report, TOKEN_EXPIRES};
pub use sensitive::{is_content, is_metadata, is_metadata_value, is_name_of};
pub use time::{DAY, Timestamp, TimestampError};
pub use tool::{ToolKind, ToolName};

/// Attribute (and resource attribute) that names the edge a record came through.
pub const EDGE_ID: &str = "fieldpost.edge.id";
/// Attribute with the number that the edge gave to a log record.
pub const EDGE_SEQ: &str = "fieldpost.edge.seq";
/// Resource attribute with the version of the edge.
pub const EDGE_VERSION: &str = "fieldpost.edge.version";
/// Resource attribute with the uid of the account that posted to the edge.
pub const PEER_UID: &str = "fieldpost.peer.uid";
/// Resource attribute with that account's name.
pub const PROCESS_OWNER: &str = "process.owner";
/// Attribute with the number of secrets that the edge took out of a record.
pub const REDACTION_COUNT: &str = "fieldpost.redaction.count";
/// Attributes of a heartbeat that tell of lost records: `queue.lost.<reason>` is how many there have
/// been, `queue.lost.<reason>.ranges` a list of first and last numbers by turns.
pub const LOST: &str = "queue.lost.";
/// Attributes of a heartbeat that tell how often each rule of redaction found something since the
/// edge started: `redacted.<rule>`.
pub const REDACTED: &str = "redacted.";
/// Event name of an edge's heartbeat.
pub const HEARTBEAT: &str = "fieldpost.heartbeat";

/// `event.name` of the record by which `fieldpost edge doctor` proves that records arrive.
pub const DOCTOR: &str = "fieldpost.doctor";
