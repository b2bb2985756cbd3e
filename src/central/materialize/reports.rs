//! What machines say of themselves: the latest words, and the days on which they said anything.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::event::{Report, Timestamp};

use super::Latest;

/// What heartbeats add to one machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ReportDelta {
    /// The latest [`Report`], as JSON.
    pub latest: Latest,
    /// Days with heartbeats, counted from the Unix epoch.
    pub days: BTreeSet<i64>,
}

impl ReportDelta {
    pub(super) fn add(&mut self, time: Timestamp, report: &Report) {
        let json = serde_json::to_string(report).expect("a report is plain values");
        self.latest.add(time, Some(&json));
        self.days.insert(time.day());
    }

    pub(super) fn merge(&mut self, other: ReportDelta) {
        self.latest.merge(other.latest);
        self.days.extend(other.days);
    }
}
