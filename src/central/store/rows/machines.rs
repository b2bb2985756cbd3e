//! Machines, and what of their records is here.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::central::store::MachineState;
use crate::event::Timestamp;

/// Where a machine's records stand.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Machine {
    /// The edge's id.
    pub id: String,
    /// `host.name` in its latest record.
    pub host_name: Option<String>,
    /// `os.type` and `os.version`.
    pub os: Option<String>,
    /// The edge's version in its latest record.
    pub edge_version: Option<String>,
    /// Earliest event time.
    pub first_seen: Timestamp,
    /// Latest event time.
    pub last_seen: Timestamp,
    /// Time of the latest heartbeat.
    pub last_heartbeat: Option<Timestamp>,
    /// Records waiting on the machine at its last heartbeat.
    pub queue_records: Option<i64>,
    /// Bytes waiting on the machine at its last heartbeat.
    pub queue_bytes: Option<i64>,
    /// Whether it reports as it should.
    pub state: MachineState,
    /// When somebody put it aside; it counts again once it has reported after that.
    pub retired_at: Option<Timestamp>,
    /// Seconds by which its clock is ahead of the service's, as its latest heartbeat says; negative when
    /// behind.
    pub clock_offset_seconds: Option<i64>,
    /// Whether its clock is off by more than five minutes.
    pub clock_is_off: bool,
    /// When its token expires, as its latest heartbeat says.
    pub token_expires_at: Option<Timestamp>,
    /// Records that were refused for good and that the edge keeps, if its latest heartbeat says so.
    pub parked_records: Option<i64>,
    /// How often each rule of redaction found something since the edge started, as its latest heartbeat
    /// says.
    pub redactions: BTreeMap<String, i64>,
    /// The highest number that the edge is known to have given: so many records were appended to its queue.
    pub last_seq: i64,
    /// Numbered records that are stored here.
    pub stored: i64,
    /// Numbers between the first and the last stored one that are neither stored nor explained.
    pub missing: i64,
    /// The missing numbers as ranges, at most 100 of them.
    pub gaps: Vec<SeqRange>,
    /// What the edge says was lost on its side, by reason.
    pub dropped: Vec<Dropped>,
}

impl Machine {
    /// Records that are known not to come, for whatever reason, by the edge's count.
    pub fn dropped_records(&self) -> i64 {
        self.dropped
            .iter()
            .map(|dropped| dropped.records)
            .fold(0, i64::saturating_add)
    }
}

/// Records of a machine that are known not to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Dropped {
    /// `size`, `age`, `disk`, `parked`, `damaged`, `refused`; the edge's word.
    pub reason: String,
    /// Records so far by the edge's count, those without numbers too, and those that came after all.
    pub records: i64,
    /// Numbers that are not stored.
    pub numbers: i64,
    /// The numbers as ranges, at most 100 of them.
    pub ranges: Vec<SeqRange>,
}

/// A contiguous run of an edge's record numbers, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SeqRange {
    /// The first number.
    pub first: i64,
    /// The last number.
    pub last: i64,
}
