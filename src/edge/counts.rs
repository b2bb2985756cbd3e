//! What the localhost endpoint has done since the edge started, as numbers.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Timestamp;
use crate::otlp::Signal;

use super::queue::AppendError;

/// Counts that grow while the edge runs.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<Numbers>);

/// The counts at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    /// Requests by signal, where the path or the body told it, and by the status they were answered
    /// with.
    pub(super) requests: BTreeMap<(Option<Signal>, u16), u64>,
    /// Records that are on disk.
    pub(super) stored: BTreeMap<Signal, u64>,
    /// Records of signals that are switched off.
    pub(super) discarded: BTreeMap<Signal, u64>,
    /// Why the latest records could not be stored, and since when; `None` once some could.
    pub(super) trouble: Option<(Timestamp, AppendError)>,
}

impl Counts {
    /// A request was answered.
    pub(super) fn answered(&self, signal: Option<Signal>, status: u16) {
        *self.numbers().requests.entry((signal, status)).or_default() += 1;
    }

    /// Records that nobody wants were thrown away. True for the first of their signal.
    pub(super) fn discarded(&self, signal: Signal, records: u64) -> bool {
        let mut numbers = self.numbers();
        let discarded = numbers.discarded.entry(signal).or_default();
        *discarded += records;
        *discarded == records
    }

    /// Records were appended to the queue, or could not be.
    pub(super) fn appended(&self, signal: Signal, records: u64, error: Option<&AppendError>) {
        let mut numbers = self.numbers();
        match error {
            None => {
                *numbers.stored.entry(signal).or_default() += records;
                numbers.trouble = None;
            }
            // The fault of what was sent.
            Some(AppendError::TooLarge(_)) => {}
            Some(error) => {
                let since = numbers.trouble.take();
                let since = since.map_or_else(Timestamp::now, |(since, _)| since);
                numbers.trouble = Some((since, error.clone()));
            }
        }
    }

    /// The counts now.
    pub(super) fn snapshot(&self) -> Numbers {
        self.numbers().clone()
    }

    /// Every change is made in one call, so the numbers are whole even after a panic.
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
