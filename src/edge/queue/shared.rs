//! What the queue's threads and callers share.

use std::{
    ops::Range,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use super::{
    backlog::Backlog,
    committer::DRAINED_BYTES,
    ledger::{Ledger, Reason},
    limits::{Limits, Space, WhenFull},
    segment::Segment,
};

pub(super) struct Shared {
    pub(super) root: PathBuf,
    pub(super) limits: Limits,
    pub(super) ledger: Ledger,
    space: Mutex<Space>,
    backlog: Mutex<Backlog>,
    /// The segment that is being written, and those that wait to be sealed, by their first
    /// entries. Whoever reads them does not keep them.
    live: Mutex<Vec<(u64, Arc<Segment>)>>,
    /// Something can be read, or the queue is closing.
    pub(super) readable: Notify,
    closing: AtomicBool,
    /// A thread of the queue has ended.
    pub(super) ended: watch::Sender<bool>,
    next_seq: AtomicU64,
    stored_seq: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        root: PathBuf,
        limits: Limits,
        ledger: Ledger,
        backlog: Backlog,
        last_seq: u64,
    ) -> Self {
        Self {
            root,
            limits,
            ledger,
            space: Mutex::default(),
            backlog: Mutex::new(backlog),
            live: Mutex::default(),
            readable: Notify::new(),
            closing: AtomicBool::new(false),
            ended: watch::Sender::new(false),
            next_seq: AtomicU64::new(last_seq + 1),
            stored_seq: AtomicU64::new(last_seq),
        }
    }

    /// Every change of the backlog is made in one call, so it is whole even after a panic.
    pub(super) fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the disk lacks of the floor.
    pub(super) fn lacking(&self) -> u64 {
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        space.lacking(&self.root, self.limits.min_free)
    }

    /// What is known of the disk's free space is wrong.
    pub(super) fn measure_space(&self) {
        *self.space.lock().unwrap_or_else(PoisonError::into_inner) = Space::default();
    }

    /// So much will be free soon.
    pub(super) fn given_back(&self, bytes: u64) {
        let mut space = self.space.lock().unwrap_or_else(PoisonError::into_inner);
        space.given_back(bytes);
    }

    /// Whether so many more bytes are not taken, because nothing gives way for them.
    pub(super) fn refuses(&self, bytes: u64) -> bool {
        let is_full = || {
            let bytes = self.backlog().stored_bytes().saturating_add(bytes);
            bytes > self.limits.max_bytes || self.lacking() > 0
        };
        self.limits.when_full == WhenFull::Reject && is_full()
    }

    /// Whether so many bytes would be refused even if all that waits were delivered.
    pub(super) fn never_holds(&self, bytes: u64) -> bool {
        let most = self.limits.max_bytes.saturating_sub(self.drained_bytes());
        // What does not compress becomes more by its headers.
        self.limits.when_full == WhenFull::Reject && bytes > most - most / 100
    }

    /// A last segment that is settled whole and holds this much makes room for a new one.
    pub(super) fn drained_bytes(&self) -> u64 {
        DRAINED_BYTES.min(self.limits.segment_bytes() / 2)
    }

    pub(super) fn give_back(&self, entries: &Range<u64>) {
        self.backlog().give_back(entries);
        self.readable.notify_waiters();
    }

    pub(super) fn live(&self, first: u64) -> Option<Arc<Segment>> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter()
            .find(|live| live.0 == first)
            .map(|live| Arc::clone(&live.1))
    }

    pub(super) fn begin_live(&self, first: u64, segment: Arc<Segment>) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((first, segment));
    }

    /// From now on the segment is read from its directory.
    pub(super) fn end_live(&self, first: u64) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let at = live.iter().position(|live| live.0 == first);
        let ended = at.map(|at| live.swap_remove(at));
        drop(live);
        // Closing a database takes a while; nobody shall wait for the lock meanwhile.
        drop(ended);
    }

    /// These numbers were taken, and nothing has them.
    pub(super) fn refused(&self, first_seq: u64, numbers: u64) {
        if numbers > 0 {
            let range = first_seq..=first_seq + numbers - 1;
            self.ledger.add(Reason::Refused, &[range], 0);
        }
    }

    /// Takes `count` record numbers and returns the first.
    pub(super) fn reserve_numbers(&self, count: u64) -> u64 {
        self.next_seq.fetch_add(count, Ordering::Relaxed)
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.next_seq.load(Ordering::Relaxed) - 1
    }

    /// The highest record number that is durable.
    pub(super) fn stored_seq(&self) -> u64 {
        self.stored_seq.load(Ordering::Relaxed)
    }

    /// All records up to this number are durable, or refused.
    pub(super) fn stored(&self, last_seq: u64) {
        self.stored_seq.store(last_seq, Ordering::Relaxed);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Waits until the queue is closing.
    pub(super) async fn closing(&self) {
        loop {
            let mut readable = std::pin::pin!(self.readable.notified());
            readable.as_mut().enable();
            if self.is_closing() {
                return;
            }
            readable.await;
        }
    }

    pub(super) fn begin_closing(&self) {
        self.closing.store(true, Ordering::Release);
        self.readable.notify_waiters();
    }
}
