//! What the receiver did not take, for whoever looks inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::otlp::Signal;

/// The receiver's account of what it did not take. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<Untaken>>);

/// What was not taken since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untaken {
    /// Records of signals that are switched off, by signal. Their clients were told that all is well.
    pub discarded: BTreeMap<Signal, u64>,
    /// Requests of accounts above their quota, by uid; `None` for those that could not be told.
    pub over_quota: BTreeMap<Option<u32>, u64>,
}

impl Intake {
    /// How things stand.
    pub fn untaken(&self) -> Untaken {
        self.write().clone()
    }

    /// So many records of `signal` were thrown away. True for the first.
    pub(super) fn discarded(&self, signal: Signal, records: u64) -> bool {
        let mut untaken = self.write();
        let sum = untaken.discarded.entry(signal).or_default();
        *sum += records;
        *sum == records
    }

    /// A request of the account `uid` was refused. True for the first.
    pub(super) fn over_quota(&self, uid: Option<u32>) -> bool {
        let mut untaken = self.write();
        let sum = untaken.over_quota.entry(uid).or_default();
        *sum += 1;
        *sum == 1
    }

    fn write(&self) -> MutexGuard<'_, Untaken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
