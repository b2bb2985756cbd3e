//! What the service did since it started, for `/metrics`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::otlp::Signal;

use super::store::Stored;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    Http,
    Grpc,
}

impl Protocol {
    pub(super) fn word(self) -> &'static str {
        match self {
            Protocol::Http => "http",
            Protocol::Grpc => "grpc",
        }
    }
}

/// The service's account of itself.
#[derive(Default)]
pub(super) struct Counters {
    numbers: Mutex<Numbers>,
    /// Bytes of bodies as they came.
    received: AtomicU64,
}

#[derive(Clone, Default)]
pub(super) struct Numbers {
    /// Requests for the OTLP endpoint, by the status they were answered with (over gRPC: that which the
    /// code stands for).
    pub(super) requests: BTreeMap<(Protocol, u16), u64>,
    /// Requests refused because of their token, by reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Records newly stored, and those that were there.
    pub(super) stored: BTreeMap<Signal, Stored>,
    /// Records rejected while the rest of their request stood, by reason.
    pub(super) rejected: BTreeMap<String, u64>,
}

impl Counters {
    pub(super) fn answered(&self, protocol: Protocol, status: u16) {
        let mut numbers = self.numbers();
        *numbers.requests.entry((protocol, status)).or_default() += 1;
    }

    pub(super) fn refused(&self, reason: &str) {
        let mut numbers = self.numbers();
        count(&mut numbers.refused, reason, 1);
    }

    pub(super) fn stored(&self, signal: Signal, stored: Stored) {
        let mut numbers = self.numbers();
        let sum = numbers.stored.entry(signal).or_default();
        sum.new += stored.new;
        sum.known += stored.known;
    }

    pub(super) fn rejected(&self, reason: &str, records: usize) {
        let mut numbers = self.numbers();
        count(&mut numbers.rejected, reason, records as u64);
    }

    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received_bytes(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn snapshot(&self) -> Numbers {
        self.numbers().clone()
    }

    /// Every change is made in one call, so the numbers are whole even after a panic.
    fn numbers(&self) -> MutexGuard<'_, Numbers> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count(counts: &mut BTreeMap<String, u64>, word: &str, more: u64) {
    match counts.get_mut(word) {
        Some(sum) => *sum += more,
        None => {
            counts.insert(word.to_owned(), more);
        }
    }
}
