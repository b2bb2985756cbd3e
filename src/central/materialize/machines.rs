//! What events add to machines.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::Timestamp;

use super::{Latest, NewEvent, ReportDelta, Runs, Seen, entry, merge_maps};

/// What events add to one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineDelta {
    /// When its events happened.
    pub seen: Seen,
    /// `host.name`.
    pub host_name: Latest,
    /// The operating system.
    pub os: Latest,
    /// Version of the edge.
    pub version: Latest,
    /// Time, records and bytes of the latest heartbeat.
    pub heartbeat: Option<(i64, i64, i64)>,
    /// Numbers of its records.
    pub seqs: Runs,
    /// Numbers that will not come, by reason.
    pub lost: BTreeMap<String, Runs>,
    /// The most records that were lost for a reason, by any heartbeat.
    pub lost_counts: BTreeMap<String, i64>,
}

/// Adds an event that came through a machine, and what it reports of itself.
pub(super) fn add(
    machines: &mut BTreeMap<String, MachineDelta>,
    reports: &mut BTreeMap<String, ReportDelta>,
    event: &NewEvent,
) {
    let Some(machine) = &event.facts.machine else {
        return;
    };
    let delta = entry(machines, &machine.id, || MachineDelta::new(event.time));
    delta.seen.merge(Seen::at(event.time));
    delta.host_name.add(event.time, machine.host_name.as_ref());
    delta.os.add(event.time, machine.os.as_ref());
    delta.version.add(event.time, machine.edge_version.as_ref());
    if let Some(seq) = machine.seq {
        delta.seqs.add(seq, seq);
    }
    let Some(heartbeat) = &machine.heartbeat else {
        return;
    };
    let report = entry(reports, &machine.id, ReportDelta::default);
    report.add(event.time, &heartbeat.report);
    let told = (event.time.0, heartbeat.queue_records, heartbeat.queue_bytes);
    delta.heartbeat = delta.heartbeat.max(Some(told));
    for (reason, first, last) in &heartbeat.lost {
        entry(&mut delta.lost, reason, Runs::default).add(*first, *last);
    }
    for (reason, records) in &heartbeat.lost_counts {
        let most = entry(&mut delta.lost_counts, reason, || 0);
        *most = (*most).max(*records);
    }
}

impl MachineDelta {
    pub(super) fn new(time: Timestamp) -> MachineDelta {
        MachineDelta {
            seen: Seen::at(time),
            host_name: Latest::default(),
            os: Latest::default(),
            version: Latest::default(),
            heartbeat: None,
            seqs: Runs::default(),
            lost: BTreeMap::new(),
            lost_counts: BTreeMap::new(),
        }
    }

    pub(super) fn merge(&mut self, other: MachineDelta) {
        self.seen.merge(other.seen);
        self.host_name.merge(other.host_name);
        self.os.merge(other.os);
        self.version.merge(other.version);
        self.heartbeat = self.heartbeat.max(other.heartbeat);
        self.seqs.merge(&other.seqs);
        merge_maps(&mut self.lost, other.lost, |runs, other| runs.merge(&other));
        merge_maps(&mut self.lost_counts, other.lost_counts, |most, records| {
            *most = (*most).max(records);
        });
    }
}
