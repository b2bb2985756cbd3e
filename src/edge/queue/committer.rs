//! The one thread that writes: takes all appends that wait, inserts them, syncs once, answers all.

mod room;

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender},
    },
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{
    AppendError, StorageError,
    backlog::Held,
    directory,
    entry::{PART_MAX_BYTES, Parity, SET_BYTES, Set, from_millis, millis},
    info::Totals,
    keeper::Errand,
    limits::Ages,
    reader::Reader,
    segment::{Reserve, Segment, TREE_ENTRIES, stored_bytes},
    shared::Shared,
};

/// A segment that holds this much is full.
pub(super) const SEGMENT_BYTES: u64 = 8 << 20;
/// So is one with this many trees: sled rewrites their directory with each.
const SEGMENT_TREES: u64 = 512;
/// A segment that is settled whole and holds this much makes room for a new one.
pub(super) const DRAINED_BYTES: u64 = 4 << 20;
const COMMIT_MAX_BYTES: usize = 4 << 20;
/// Which numbers are stored is written down this often, so that a crash with damage to the end of a segment does
/// not go unnoticed.
const NOTE_EVERY: Duration = Duration::from_secs(10);

pub(super) enum Command {
    Append(Append),
    /// The last segment is settled; begin a new one so that it can be deleted, then tell.
    Rotate(oneshot::Sender<()>),
    /// The disk does not read the segment that is being written: end it, so that it is opened anew and read around.
    End,
    /// Tell that a turn was taken.
    Turn(oneshot::Sender<()>),
    Close,
}

pub(super) struct Append {
    /// The account that posted it.
    pub(super) uid: Option<u32>,
    pub(super) sets: Vec<Set>,
    pub(super) done: oneshot::Sender<Result<(), AppendError>>,
    /// Held until the append is settled: bounds what waits in memory.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Append {
    /// Its numbers are used; nothing has them, or nothing that was acknowledged.
    fn note_refusal(&self, shared: &Shared) {
        for set in &self.sets {
            shared.refused(set.first_seq, set.numbers);
        }
    }

    /// What it takes on disk, give or take the headers.
    fn stored_bytes(&self) -> u64 {
        let bytes = |set: &Set| set.frame.len() as u64 + SET_BYTES;
        self.sets.iter().map(bytes).sum()
    }
}

/// What is done in one turn.
#[derive(Default)]
pub(super) struct Turn {
    appends: Vec<Append>,
    rotate: Vec<oneshot::Sender<()>>,
    end: bool,
    /// Those who want to know that it was taken.
    told: Vec<oneshot::Sender<()>>,
    close: bool,
}

/// Takes turns until told to close, or until nobody is left to send commands. When `take_turn`
/// panics, the appends it was given and all that wait are dropped, which their callers notice.
pub(super) fn serve(commands: Receiver<Command>, mut take_turn: impl FnMut(Turn)) {
    while let Ok(first) = commands.recv() {
        let mut turn = Turn::default();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(command) = next {
            match command {
                Command::Append(append) => {
                    bytes += append.sets.iter().map(|set| set.frame.len()).sum::<usize>();
                    turn.appends.push(append);
                }
                Command::Rotate(done) => turn.rotate.push(done),
                Command::End => turn.end = true,
                Command::Turn(done) => turn.told.push(done),
                Command::Close => turn.close = true,
            }
            let full = bytes >= COMMIT_MAX_BYTES || turn.close;
            next = if full { None } else { commands.try_recv().ok() };
        }
        let close = turn.close;
        take_turn(turn);
        if close {
            return;
        }
    }
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    reader: Arc<Mutex<Reader>>,
    keeper: Sender<Errand>,
    active: Option<Active>,
    next_entry: u64,
    last_seq: u64,
    /// Of the entries that are synced next.
    parity: Parity,
    value: Vec<u8>,
    ages: Ages,
    /// When the keeper was last told of stored records.
    noted: Instant,
    /// When the queue was opened, and how long it had been open before.
    opened: (Instant, Duration),
}

struct Active {
    segment: Arc<Segment>,
    first: u64,
    /// Including what is not yet synced.
    totals: Totals,
    /// Bytes of that by account, where it is known.
    held: Held,
    /// When the oldest of that was appended.
    unsynced_since: Option<SystemTime>,
    /// When it was begun, in time that the queue was open.
    begun: Duration,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        reader: Arc<Mutex<Reader>>,
        keeper: Sender<Errand>,
        next_entry: u64,
        last_seq: u64,
    ) -> Self {
        let value = Vec::with_capacity(PART_MAX_BYTES + 64);
        let (ages, open_before) = Ages::open(&shared.root, &shared.backlog().segments());
        Self {
            shared,
            reader,
            keeper,
            active: None,
            next_entry,
            last_seq,
            parity: Parity::default(),
            value,
            ages,
            noted: Instant::now(),
            opened: (Instant::now(), open_before),
        }
    }

    pub(super) fn take_turn(&mut self, mut turn: Turn) {
        self.drop_what_is_old();
        turn.appends = self.admit(turn.appends);
        if !turn.appends.is_empty() {
            let result = self.commit_or_make_room(&turn.appends);
            if let Err(error) = &result {
                tracing::error!(%error, appends = turn.appends.len(), "the queue cannot store records");
            }
            for append in turn.appends {
                if result.is_err() {
                    append.note_refusal(&self.shared);
                }
                // The caller may have gone away; the records are stored all the same.
                let _ = append.done.send(result.clone().map_err(AppendError::from));
            }
            // Whoever waits for an answer comes before whoever sends records on.
            self.shared.readable.notify_waiters();
        }
        if turn.end {
            self.end_segment();
        }
        if !turn.rotate.is_empty() && self.tail_is_worth_deleting() {
            let result = self.seal().and_then(|()| self.begin());
            if let Err(error) = result {
                tracing::warn!(%error, "a drained segment of the queue stays for now");
                self.abandon();
            }
        }
        for done in turn.rotate.into_iter().chain(turn.told) {
            let _ = done.send(());
        }
        if turn.close
            && let Err(error) = self.seal()
        {
            tracing::warn!(%error, "the queue's last segment could not be synced again");
        }
        if turn.close || self.ages.is_due(self.now()) {
            self.save_ages();
        }
    }

    /// How long the queue has been open, over all restarts.
    fn now(&self) -> Duration {
        self.opened.1 + self.opened.0.elapsed()
    }

    fn save_ages(&mut self) {
        let (now, segments) = (self.now(), self.shared.backlog().segments());
        self.ages.save(&self.shared.root, now, &segments);
    }

    fn commit(&mut self, appends: &[Append]) -> Result<(), StorageError> {
        self.parity = self.parity.next();
        let sets = appends.iter().flat_map(|append| {
            let uid = append.uid;
            append.sets.iter().map(move |set| (uid, set))
        });
        for (uid, set) in sets {
            let segment_bytes = self.shared.limits.segment_bytes();
            let is_full = |active: &Active| active.is_full(segment_bytes);
            if self.active.as_ref().is_some_and(is_full) {
                self.seal()?;
            }
            if self.active.is_none() {
                self.begin()?;
            }
            self.insert(uid, set)?;
        }
        self.publish()
    }

    fn insert(&mut self, uid: Option<u32>, set: &Set) -> Result<(), StorageError> {
        let Some(active) = &mut self.active else {
            return Err(StorageError::Stopped);
        };
        self.last_seq = self.last_seq.max(set.last_seq());
        for part in 0..set.parts() {
            let entry = self.next_entry;
            // Counted first: a number that failed may still be on disk.
            self.next_entry += 1;
            set.encode(part, entry, self.parity, self.last_seq, &mut self.value);
            active.segment.insert(entry, &self.value)?;
            let bytes = stored_bytes(&self.value);
            active.totals.bytes += bytes;
            if let Some(uid) = uid {
                *active.held.entry(uid).or_default() += bytes;
            }
        }
        active.totals.records += u64::from(set.records);
        active.totals.end = self.next_entry;
        active.totals.last_seq = self.last_seq;
        let appended_at = millis(set.appended_at);
        active
            .unsynced_since
            .get_or_insert(from_millis(appended_at));
        if active.totals.oldest == 0 {
            active.totals.oldest = appended_at;
        }
        Ok(())
    }

    /// Makes durable what was inserted, and only then lets the reader see it, who is told at the end of the turn.
    fn publish(&mut self) -> Result<(), StorageError> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let Some(since) = active.unsynced_since.take() else {
            return Ok(());
        };
        active.segment.sync()?;
        let (totals, held) = (active.totals, active.held.clone());
        self.shared.backlog().committed(totals, held, since);
        self.shared.stored(active.totals.last_seq);
        if self.noted.elapsed() >= NOTE_EVERY {
            self.noted = Instant::now();
            let _ = self.keeper.send(Errand::Stored);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), StorageError> {
        let first = self.next_entry;
        // A name is used once, even when it led to nothing.
        self.next_entry += 1;
        let root = &self.shared.root;
        let segment = Arc::new(Segment::create(root, first, self.last_seq, Reserve::Yes)?);
        self.next_entry = first;
        let totals = Totals {
            before: self.last_seq,
            last_seq: self.last_seq,
            end: first,
            ..Totals::default()
        };
        self.shared.begin_live(first, Arc::clone(&segment));
        self.shared.backlog().begin_segment(first, self.last_seq);
        self.active = Some(Active {
            segment,
            first,
            totals,
            held: Held::new(),
            unsynced_since: None,
            begun: self.now(),
        });
        directory::take_ballast(root);
        // The segment before may have waited for this one to be deleted.
        let _ = self.keeper.send(Errand::Tidy);
        Ok(())
    }

    fn seal(&mut self) -> Result<(), StorageError> {
        self.publish()?;
        if let Some(Active {
            segment,
            first,
            totals,
            ..
        }) = self.active.take()
        {
            self.ages.seal(first, self.now());
            self.save_ages();
            // Only a keeper that has stopped does not take it; the next start then seals it.
            let _ = self.keeper.send(Errand::Seal {
                first,
                segment,
                totals,
            });
        }
        Ok(())
    }

    /// Ends the segment that is being written. An empty one stays: the next one would have its name.
    fn end_segment(&mut self) {
        let holds_any = |active: &Active| active.totals.end > active.first;
        if self.active.as_ref().is_some_and(holds_any)
            && let Err(error) = self.seal()
        {
            tracing::warn!(%error, "a segment of the queue could not be ended");
            self.abandon();
        }
    }

    /// After an error sled refuses everything; what was acknowledged reads well once opened anew.
    fn abandon(&mut self) {
        // What was not synced counts for nothing.
        self.last_seq = self.shared.stored_seq();
        if let Some(active) = self.active.take() {
            self.ages.seal(active.first, self.now());
            self.shared.end_live(active.first);
        }
    }

    fn tail_is_worth_deleting(&self) -> bool {
        self.shared
            .backlog()
            .settled_tail_bytes()
            .is_some_and(|bytes| bytes >= self.shared.drained_bytes())
    }
}

impl Active {
    fn is_full(&self, segment_bytes: u64) -> bool {
        self.totals.bytes >= segment_bytes
            || self.totals.end / TREE_ENTRIES - self.first / TREE_ENTRIES >= SEGMENT_TREES
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use tokio::sync::Semaphore;

    use super::*;

    #[test]
    fn a_panic_fails_those_who_wait_and_those_who_come() {
        let (commands, queued) = mpsc::channel();
        let permits = Arc::new(Semaphore::new(2));
        let mut waiters = Vec::new();
        for _ in 0..2 {
            let (done, waiter) = oneshot::channel();
            let permit = Arc::clone(&permits).try_acquire_owned().unwrap();
            let append = Append {
                uid: None,
                sets: Vec::new(),
                done,
                _permit: permit,
            };
            assert!(commands.send(Command::Append(append)).is_ok());
            waiters.push(waiter);
        }
        let thread = thread::spawn(|| serve(queued, |_| panic!("as if sled did")));
        for waiter in waiters {
            assert!(waiter.blocking_recv().is_err());
        }
        assert!(thread.join().is_err());
        assert!(commands.send(Command::Close).is_err());
        assert_eq!(permits.available_permits(), 2);
    }
}
