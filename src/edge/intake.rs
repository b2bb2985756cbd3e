//! What the localhost endpoint took and did not take, for whoever looks inside.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::event::Timestamp;
use crate::otlp::Signal;

use super::queue::AppendError;

/// The receiver's account of itself. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Intake(Arc<Mutex<Numbers>>);

/// What was not taken since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untaken {
    /// Records of signals that are switched off, by signal. Their clients were told that all is well.
    pub discarded: BTreeMap<Signal, u64>,
    /// Records of other programs than Claude, by signal, where `listen.foreign` says to drop them.
    pub foreign: BTreeMap<Signal, u64>,
    /// Requests of accounts above their quota, by uid; `None` for those that could not be told.
    pub over_quota: BTreeMap<Option<u32>, u64>,
    /// Connections that were closed because their accounts had their share, by uid.
    pub crowded_out: BTreeMap<Option<u32>, u64>,
}

/// Everything since the start.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// Requests by signal, where the body told it, and by the status they were answered with.
    pub(super) requests: BTreeMap<(Option<Signal>, u16), u64>,
    /// Records that are on disk.
    pub(super) stored: BTreeMap<Signal, u64>,
    pub(super) untaken: Untaken,
    /// Since when records cannot be stored, and why; `None` once some could.
    pub(super) trouble: Option<(Timestamp, AppendError)>,
}

impl Intake {
    /// What was not taken.
    pub fn untaken(&self) -> Untaken {
        self.write().untaken.clone()
    }

    /// How things stand.
    pub(super) fn numbers(&self) -> Numbers {
        self.write().clone()
    }

    /// A request was answered.
    pub(super) fn answered(&self, signal: Option<Signal>, status: u16) {
        *self.write().requests.entry((signal, status)).or_default() += 1;
    }

    /// So many records of `signal` were thrown away. True for the first.
    pub(super) fn discarded(&self, signal: Signal, records: u64) -> bool {
        let mut numbers = self.write();
        let sum = numbers.untaken.discarded.entry(signal).or_default();
        *sum += records;
        *sum == records
    }

    /// So many records of other programs than Claude were dropped. True for the first.
    pub(super) fn foreign(&self, signal: Signal, records: u64) -> bool {
        let mut numbers = self.write();
        let is_first = numbers.untaken.foreign.is_empty();
        *numbers.untaken.foreign.entry(signal).or_default() += records;
        is_first
    }

    /// A request of the account `uid` was refused. True for the first.
    pub(super) fn over_quota(&self, uid: Option<u32>) -> bool {
        let mut numbers = self.write();
        let sum = numbers.untaken.over_quota.entry(uid).or_default();
        *sum += 1;
        *sum == 1
    }

    /// A connection of the account `uid` was closed. True for the first.
    pub(super) fn crowded_out(&self, uid: Option<u32>) -> bool {
        let mut numbers = self.write();
        let sum = numbers.untaken.crowded_out.entry(uid).or_default();
        *sum += 1;
        *sum == 1
    }

    /// Records were appended to the queue, or could not be.
    pub(super) fn appended(&self, signal: Signal, records: u64, error: Option<&AppendError>) {
        let mut numbers = self.write();
        match error {
            None => {
                *numbers.stored.entry(signal).or_default() += records;
                numbers.trouble = None;
            }
            // The fault of what was sent.
            Some(AppendError::TooLarge(_)) => {}
            Some(error) => {
                let before = numbers.trouble.take();
                let since = before.map_or_else(Timestamp::now, |(since, _)| since);
                numbers.trouble = Some((since, error.clone()));
            }
        }
    }

    /// Every change is made in one call, so the numbers are whole even after a panic.
    fn write(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
