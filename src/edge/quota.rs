//! How much one account of this machine may post, so that a program that runs wild does not push
//! out of the queue what others have in it.
//!
//! A request is let in while its account has anything left, and charged once it is read; so one that
//! is larger than what is left passes, and the next ones wait until that is made up for. No account
//! is exempt. Whoever cannot be told shares one quota with all others of whom that is so.

use std::time::{Duration, Instant};

use crate::rate::Rates;

use super::config::Listen;

/// The quotas of all accounts. A configuration that is read again begins with full ones.
pub(super) struct Quota {
    records: Rates<Option<u32>>,
    bytes: Rates<Option<u32>>,
}

impl Quota {
    pub(super) fn new(config: &Listen) -> Quota {
        Quota {
            records: Rates::new(config.records_per_second),
            bytes: Rates::new(config.bytes_per_second),
        }
    }

    /// Lets a request of the account `uid` in.
    ///
    /// # Errors
    /// The time after which there is room again.
    pub(super) fn admit(&self, uid: Option<u32>, now: Instant) -> Result<(), Duration> {
        let records = self.records.check(uid, now);
        let bytes = self.bytes.check(uid, now);
        match (records, bytes) {
            (Err(records), Err(bytes)) => Err(records.max(bytes)),
            (records, bytes) => records.and(bytes),
        }
    }

    /// Takes out what a request held; `bytes` after inflating.
    pub(super) fn charge(&self, uid: Option<u32>, records: usize, bytes: usize, now: Instant) {
        self.records.charge(uid, records, now);
        self.bytes.charge(uid, bytes, now);
    }
}
