//! The durable queue between the receiver and the forwarder. Only this module names sled.
//!
//! # What it promises
//!
//! * [`Queue::append`] returns `Ok` only when the records are on disk: inserted, written by
//!   sled's flush, and synced by an fdatasync of our own, for sled syncs nothing by itself.
//! * Records come out in the order in which they went in, at least once: after a crash up to 32
//!   batches, or those of 250 ms, are handed out again.
//! * Damage on disk costs what it hit, at most one segment per place; it is counted and logged,
//!   and never keeps the queue from opening or from going on.
//! * What is lost is written down before it goes: which numbers, and why (`queue/ledger.rs`). It is
//!   told until it is known to have arrived.
//! * It stays within its [`Limits`]: when it is full, the oldest segment gives way, or new records
//!   are refused. Records that are too old go.
//! * Only [`Redacted`] records can be appended.
//!
//! # On disk
//!
//! ```text
//! queue.lock                  locked while a process has the queue
//! format                      "1"
//! <first entry, 16 hex>.sled/ a segment: one sled database, and `info` about it
//! state.db/                   a small sled database: the cursor
//! ages                        how old the segments are
//! ledger                      numbers of lost records, and why
//! ballast                     space that is given back to open the queue on a full disk
//! parked.db/                  segments with records that no upstream will take
//! *.bad/                      damaged segments, put aside; *.trash/ is being deleted
//! ```
//!
//! A request becomes one *set*, or several when it is large: one zstd frame of an OTLP protobuf
//! message. A set is stored as one or more *entries* of at most 96 KiB (`queue/entry.rs` has their
//! bytes), under consecutive numbers. A segment holds 8 MB or 4096 entries or what comes in an
//! eighth of `max_age`, and in a queue of less than 64 MB an eighth of that, in trees
//! `t<entry / 8>` under the key `<entry>`, both as 8 bytes, big endian. Entry numbers count up
//! forever and are not used twice; between segments some may be left out.
//!
//! Four rules keep sled 0.34.7 from losing data, growing, or rewriting what it has:
//! 1. A segment only ever gets new keys, at most 8 in a tree. Nothing is deleted or overwritten in
//!    it; the directory goes as a whole once all in it is settled.
//! 2. Every value is below a quarter of sled's segment size, or it becomes a blob file, which is
//!    never synced.
//! 3. One thread writes and calls the blocking flush. The asynchronous one deadlocks.
//! 4. After an error from the disk a database is closed: sled refuses everything from then on.
//!
//! Record numbers (`fieldpost.edge.seq`) begin with 1 and are taken when records are appended.
//! Every entry carries the highest number up to it, and `info` the one before the segment, and the
//! last segment stays even when it is settled; so numbers go on where they stopped.
//!
//! # What happens when
//!
//! * *append*: the caller's task numbers, encodes and compresses; `committer` takes all that
//!   waits, inserts, syncs once, and answers. A full segment goes to `keeper` to be sealed: its
//!   totals are written to `info`, so that opening the queue reads none but unsealed segments.
//! * *next_batch*: `reader` reads whole sets of one signal, checking number, checksum and parts.
//! * *remove*: the cursor passes what is settled without a hole; `keeper` saves it and deletes
//!   the segments behind it.
//! * *the queue is full, or the disk below its floor*: `committer` finds out before it inserts.
//!   The oldest segment goes whole, even with damage in it; but not the last, and none of which a
//!   batch is handed out, for that may be with the upstream already: then the next oldest goes.
//!   Where several accounts post, the oldest goes of those segments that are mostly of accounts with
//!   more than an equal share of the queue, so that one account cannot push out what others have in
//!   it. Which account appended what is known of the running process only: after a restart, what is
//!   found is nobody's. Or else the append is refused. Segments whose time is up go the same way (`queue/limits.rs`).
//! * *the disk is full, or fails*: the segment is left. On a full disk the oldest segments give way
//!   where they may, and the append is tried again; or else it is refused, and the next one begins
//!   a new segment. Reading goes on.
//! * *a segment does not open*: sled's `*.generating` files go before every opening; after
//!   damage its `conf` goes, then its `snap.*`, which sled makes anew; then the segment is made anew from
//!   what is whole in it; or else it is put aside.
//! * *the disk cannot read some place*: it is read around (`queue/salvage.rs`), and what stood there is
//!   damaged. Other errors of the disk may pass, and are waited for.
//! * *a segment is deleted while the queue is open*: what of it was not handed out is damaged; the one that is
//!   being written is left, as after an error.
//! * *the power was cut in the middle of a sync*: what of it reached the disk is kept. The rest was never
//!   acknowledged; its numbers count as refused. Entries carry a mark by which those of one sync are told
//!   from those before, where damage is damage.
//! * *`state.db` is damaged*: it starts anew; what is still there is handed out again.
//! * *the committer panics*: all who wait and all later appends get [`StorageError::Stopped`], and
//!   [`Queue::failed`] ends, so that the process can, and is started anew.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, SystemTime},
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot},
    task, time,
};

use crate::edge::redact::Redacted;

pub use batch::{Batch, BatchLimits, DecodeError};
pub(super) use directory::has_format;
pub use error::{AppendError, OpenError, StorageError};
pub use inspect::{IdleQueue, SegmentCheck, SegmentSummary};
pub use ledger::{Losses, Reason};
pub(super) use limits::free_bytes;
pub use limits::{Limits, WhenFull};
pub use parked::{Parked, ParkedList, ParkedSummary};

mod lifetime;
mod limits;
mod ledger;
mod prepare;
mod entry;
mod committer;
mod reader;
mod batch;
mod backlog;
mod keeper;
mod parked;
mod recovery;
mod inspect;
mod segment;
mod salvage;
mod info;
mod directory;
mod shared;
mod error;

use committer::{Append, Command};
use keeper::Errand;
use lifetime::Running;
use parked::ParkedStore;
use prepare::{Compressors, Prepared};
use reader::Reader;
use shared::Shared;

/// Requests waiting for the disk, before compression.
const WAITING_MAX_BYTES: usize = 64 << 20;
/// A longer request is refused; the receiver's limit is far below.
const APPEND_MAX_BYTES: usize = 256 << 20;
/// Longer requests are encoded and compressed away from the runtime's threads.
const INLINE_MAX_BYTES: usize = 256 << 10;
/// How long reading rests after the disk failed.
const READ_RETRY: Duration = Duration::from_secs(1);

/// The queue. Clones are the same queue. Dropped without [`Queue::close`], it closes in the
/// background.
#[derive(Clone)]
pub struct Queue(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    reader: Arc<Mutex<Reader>>,
    parked: Arc<ParkedStore>,
    compressors: Arc<Compressors>,
    commands: mpsc::Sender<Command>,
    errands: mpsc::Sender<Errand>,
    waiting: Arc<Semaphore>,
    running: AsyncMutex<Option<Running>>,
    /// Bytes of the request that was refused last for want of room, 0 when a later one was taken.
    wanting: AtomicU64,
}

/// What waits in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Depth {
    /// Records not yet settled.
    pub records: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// When the oldest of them was appended; possibly an earlier time while it is unread.
    pub oldest: Option<SystemTime>,
    /// Entries found damaged or missing since the queue was opened.
    pub damaged: u64,
}

impl Queue {
    /// Numbers the records and stores them, and says the number of the first. They are durable when
    /// this returns `Ok`. When the caller goes away while waiting, they are stored or not; their
    /// numbers may then be missing.
    pub async fn append(&self, records: Redacted) -> Result<u64, AppendError> {
        self.append_of(None, records).await
    }

    /// The same for records that the account `uid` posted, where that is known.
    pub async fn append_of(&self, uid: Option<u32>, records: Redacted) -> Result<u64, AppendError> {
        let inner = &self.0;
        let bytes = prepare::plain_bytes(records.request());
        if bytes > APPEND_MAX_BYTES || inner.shared.never_holds(bytes as u64) {
            return Err(AppendError::TooLarge(bytes));
        }
        let permits = bytes.clamp(1, WAITING_MAX_BYTES) as u32;
        let permit = Arc::clone(&inner.waiting).acquire_many_owned(permits).await;
        let permit = permit.expect("the semaphore is never closed");
        if inner.shared.is_closing() {
            return Err(AppendError::Closed);
        }
        // Refused before it is numbered, an append leaves no hole in the numbers.
        let bound = prepare::stored_bound(bytes, records.numbered_records());
        if inner.shared.refuses(bound) {
            inner.wanting.store(bound, Ordering::Relaxed);
            return Err(AppendError::Full);
        }
        match self.store(uid, records, bytes, permit).await {
            Err(AppendError::Storage(StorageError::Stopped)) if inner.shared.is_closing() => {
                Err(AppendError::Closed)
            }
            Err(AppendError::Full) => {
                inner.wanting.store(bound, Ordering::Relaxed);
                Err(AppendError::Full)
            }
            Ok(first_seq) => {
                inner.wanting.store(0, Ordering::Relaxed);
                Ok(first_seq)
            }
            Err(error) => Err(error),
        }
    }

    /// Numbers, encodes and compresses the records, hands them to the committer, and waits for its word.
    async fn store(
        &self,
        uid: Option<u32>,
        records: Redacted,
        bytes: usize,
        permit: OwnedSemaphorePermit,
    ) -> Result<u64, AppendError> {
        let inner = &self.0;
        let (done, stored) = oneshot::channel();
        // From the numbering to the hand-over nothing waits, so that a caller who goes away
        // leaves no hole in the numbers.
        let submit = {
            let (shared, compressors) = (Arc::clone(&inner.shared), Arc::clone(&inner.compressors));
            let commands = inner.commands.clone();
            move || {
                let numbers = records.numbered_records();
                let first_seq = shared.reserve_numbers(numbers);
                let Prepared { sets, last } =
                    prepare::sets(records, bytes, first_seq, SystemTime::now(), &compressors)
                        .inspect_err(|_| shared.refused(first_seq, numbers))?;
                let append = Append {
                    uid,
                    sets,
                    done,
                    _permit: permit,
                };
                commands
                    .send(Command::Append(append))
                    .map_err(|_| StorageError::Stopped)?;
                // The committer is at work meanwhile.
                drop(last);
                Ok::<_, StorageError>(first_seq)
            }
        };
        let first_seq = if bytes <= INLINE_MAX_BYTES {
            submit()?
        } else {
            let submitted = task::spawn_blocking(submit).await;
            submitted.map_err(|_| StorageError::Stopped)??
        };
        let stored = stored.await.unwrap_or(Err(StorageError::Stopped.into()));
        stored.map(|()| first_seq)
    }

    /// The next records, in order, once there are any and, if they fill no batch, the oldest has the
    /// age that `limits` say; `None` once the queue is closed. Each call
    /// goes on after the last; what was handed out stays stored until [`Queue::remove`].
    pub async fn next_batch(&self, limits: BatchLimits) -> Option<Batch> {
        let shared = &self.0.shared;
        let mut unripe_since = None;
        loop {
            let mut readable = std::pin::pin!(shared.readable.notified());
            readable.as_mut().enable();
            if shared.is_closing() {
                return None;
            }
            let ripens_in = shared.backlog().ripens_in(limits, SystemTime::now());
            if let Some(wait) = ripens_in {
                // Whatever the clock on the wall does meanwhile, nothing waits for longer.
                let since: time::Instant = *unripe_since.get_or_insert_with(time::Instant::now);
                let ripe = since + limits.age;
                if time::Instant::now() < ripe {
                    tokio::select! {
                        () = time::sleep_until(ripe.min(time::Instant::now() + wait)) => {}
                        () = readable => {}
                    }
                    continue;
                }
            }
            if shared.backlog().next_to_read().is_some() {
                let reader = Arc::clone(&self.0.reader);
                let read = task::spawn_blocking(move || {
                    reader
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .read(limits)
                });
                match read.await.unwrap_or(Err(StorageError::Stopped)) {
                    Ok(Some(batch)) => return Some(batch),
                    Ok(None) => {}
                    Err(error) => {
                        tracing::error!(%error, "the queue cannot be read now; trying again");
                        if error.is_unreadable() {
                            // A committer that has stopped is told of elsewhere.
                            let _ = self.0.commands.send(Command::End);
                        }
                        tokio::select! {
                            () = time::sleep(READ_RETRY) => {}
                            () = shared.closing() => {}
                        }
                    }
                }
                continue;
            }
            readable.await;
        }
    }

    /// Settles a batch: it is delivered, or parked, and is not handed out again. When it was the
    /// last of its segment, the disk space is free when this returns. After
    /// [`StorageError::Closed`] or [`StorageError::Stopped`] a later start hands it out again.
    pub async fn remove(&self, mut batch: Batch) -> Result<(), StorageError> {
        let inner = &self.0;
        if inner.shared.is_closing() {
            return Err(StorageError::Closed);
        }
        if batch.numbers.iter().any(|n| inner.shared.ledger.tells(n)) {
            let (shared, numbers) = (Arc::clone(&inner.shared), batch.numbers.clone());
            let forget = move || numbers.iter().for_each(|n| shared.ledger.delivered(n));
            let forgotten = task::spawn_blocking(forget).await;
            forgotten.map_err(|_| StorageError::Stopped)?;
        }
        let tail_bytes = {
            let mut backlog = inner.shared.backlog();
            backlog.settle(&batch.entries);
            batch.settled = true;
            backlog.settled_tail_bytes()
        };
        if tail_bytes.is_some_and(|bytes| bytes >= inner.shared.drained_bytes()) {
            let (done, rotated) = oneshot::channel();
            inner
                .commands
                .send(Command::Rotate(done))
                .map_err(|_| StorageError::Stopped)?;
            rotated.await.map_err(|_| StorageError::Stopped)?;
        }
        if inner.shared.backlog().has_drained() {
            let (done, deleted) = oneshot::channel();
            inner
                .errands
                .send(Errand::Drained(done))
                .map_err(|_| StorageError::Stopped)?;
            deleted.await.map_err(|_| StorageError::Stopped)
        } else {
            inner
                .errands
                .send(Errand::Settled)
                .map_err(|_| StorageError::Stopped)
        }
    }

    /// What was lost, with at most `max_ranges` of the oldest ranges that are still to be told.
    pub fn losses(&self, max_ranges: usize) -> Losses {
        self.0.shared.ledger.losses(max_ranges)
    }

    /// Says that the record `number` tells the upstream of these losses: once it is settled, and not
    /// itself lost, their ranges are forgotten.
    pub fn told(&self, number: u64, losses: &Losses) {
        self.0.shared.ledger.told(number, losses);
    }

    /// Losses are from now on only counted, by reason: for an upstream that nobody tells of them.
    pub fn count_losses_only(&self) {
        self.0.shared.ledger.count_only();
    }

    /// Ends once the thread that writes has taken a turn: it is there, and the disk lets it go on.
    pub async fn writer_turn(&self) -> Result<(), StorageError> {
        let (done, turned) = oneshot::channel();
        let sent = self.0.commands.send(Command::Turn(done));
        sent.map_err(|_| StorageError::Stopped)?;
        turned.await.map_err(|_| StorageError::Stopped)
    }

    /// How much waits.
    pub fn depth(&self) -> Depth {
        self.0.shared.backlog().depth()
    }

    /// The highest record number taken so far, 0 for none.
    pub fn last_seq(&self) -> u64 {
        self.0.shared.last_seq()
    }
}
