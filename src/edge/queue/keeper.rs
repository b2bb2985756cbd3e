//! The thread that saves the reader's position and deletes what is behind it, away from the path
//! of appends and batches.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    StorageError,
    backlog::{Cursor, Weight},
    directory,
    info::Totals,
    reader::Reader,
    segment::{Cell, Segment},
    shared::Shared,
};

/// At most this many settled batches are delivered again after a crash, ...
const SAVE_EVERY: u32 = 32;
/// ... or those of this time.
const SAVE_WITHIN: Duration = Duration::from_millis(250);
/// The disk is left alone for this long after it refused the position.
const SAVE_RETRY: Duration = Duration::from_secs(5);
const KEY: &str = "cursor";

pub(super) enum Errand {
    /// A batch was settled.
    Settled,
    /// Records were stored, and it is a while since this was written down.
    Stored,
    /// Save now and delete what is drained; then tell.
    Drained(oneshot::Sender<()>),
    /// Write down what a full segment holds, and close it.
    Seal {
        first: u64,
        segment: Arc<Segment>,
        totals: Totals,
    },
    /// Delete what is drained.
    Tidy,
    Close,
}

/// What `state.db` says.
#[derive(Clone, Copy, Default)]
pub(super) struct Saved {
    pub(super) cursor: Cursor,
    /// The highest record number stored by then.
    pub(super) last_seq: u64,
}

/// `state.db`.
pub(super) struct State {
    path: PathBuf,
    cell: Option<Cell>,
}

impl State {
    /// Opens the state and reads it. When it is damaged, it starts anew, and what the segments
    /// still hold is delivered again.
    /// It is `None` for a new queue, too.
    pub(super) fn open(path: PathBuf) -> Result<(State, Option<Saved>), StorageError> {
        let read = Cell::open(&path).and_then(|cell| Ok((cell.get(KEY)?, cell)));
        let read = read.map_err(|error| match error.is_unreadable() {
            true => StorageError::Damaged(error.to_string()),
            false => error,
        });
        let (saved, cell) = match read {
            Ok((None, cell)) => (None, cell),
            Ok((Some(value), cell)) => {
                let saved = decode(&value);
                if saved.is_none() {
                    tracing::warn!(path = %path.display(), "the queue's position is unreadable; records will be delivered again");
                }
                (saved, cell)
            }
            Err(StorageError::Damaged(damage)) => {
                tracing::warn!(path = %path.display(), %damage, "the queue's position is lost; records will be delivered again");
                directory::remove_directory(&path)?;
                (None, Cell::open(&path)?)
            }
            Err(error) => return Err(error),
        };
        let cell = Some(cell);
        Ok((State { path, cell }, saved))
    }

    fn save(&mut self, saved: Saved) -> Result<(), StorageError> {
        let cell = match self.cell.take() {
            Some(cell) => cell,
            None => Cell::open(&self.path)?,
        };
        cell.set(KEY, &encode(saved))?;
        // After an error it stays away: sled refuses everything until opened anew.
        self.cell = Some(cell);
        Ok(())
    }
}

pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) reader: Arc<Mutex<Reader>>,
    pub(super) state: State,
}

impl Keeper {
    pub(super) fn run(mut self, errands: Receiver<Errand>) {
        self.delete_drained();
        let mut unsaved = 0;
        let mut due: Option<Instant> = None;
        loop {
            let errand = match due {
                None => errands.recv().unwrap_or(Errand::Close),
                Some(due) => {
                    match errands.recv_timeout(due.saturating_duration_since(Instant::now())) {
                        Ok(errand) => errand,
                        Err(RecvTimeoutError::Disconnected) => Errand::Close,
                        Err(RecvTimeoutError::Timeout) => Errand::Tidy,
                    }
                }
            };
            if matches!(errand, Errand::Settled | Errand::Drained(_)) {
                unsaved += 1;
            }
            if matches!(
                errand,
                Errand::Settled | Errand::Drained(_) | Errand::Stored
            ) {
                due.get_or_insert_with(|| Instant::now() + SAVE_WITHIN);
            }
            let urgent = unsaved == SAVE_EVERY;
            let late = due.is_some_and(|due| due <= Instant::now());
            // A segment goes only once it is written down that nothing in it is missing.
            let deletes = self.shared.backlog().has_drained();
            let asked = deletes || matches!(errand, Errand::Drained(_) | Errand::Close);
            if asked || urgent || late {
                if self.save() {
                    unsaved = 0;
                    due = None;
                } else {
                    due = Some(Instant::now() + SAVE_RETRY);
                }
            }
            match errand {
                Errand::Settled | Errand::Stored => {}
                Errand::Seal {
                    first,
                    segment,
                    totals,
                } => {
                    if let Err(error) = segment.seal(totals) {
                        tracing::warn!(%error, "a segment was left unsealed; the next start reads it whole");
                    }
                    self.shared.end_live(first);
                    drop(segment);
                    self.delete_drained();
                }
                Errand::Tidy => self.delete_drained(),
                Errand::Drained(done) => {
                    self.delete_drained();
                    let _ = done.send(());
                }
                Errand::Close => return self.delete_drained(),
            }
        }
    }

    fn save(&mut self) -> bool {
        let saved = self.state.save(Saved {
            cursor: self.shared.backlog().cursor(),
            last_seq: self.shared.stored_seq(),
        });
        if let Err(error) = &saved {
            tracing::warn!(%error, "the queue's position cannot be saved; a crash now would deliver records again");
        }
        saved.is_ok()
    }

    fn delete_drained(&mut self) {
        let drained = self.shared.backlog().take_drained();
        let mut kept = Vec::new();
        for first in drained {
            if self.shared.live(first).is_some() {
                // It is still to be sealed; that comes back here.
                kept.push(first);
                continue;
            }
            self.reader
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .let_go(first);
            let path = directory::segment_path(&self.shared.root, first);
            if let Err(error) = directory::remove_directory(&path) {
                tracing::warn!(segment = %path.display(), %error, "a drained segment cannot be deleted yet");
                kept.push(first);
            }
        }
        self.shared.backlog().still_drained(kept);
    }
}

fn encode(Saved { cursor, last_seq }: Saved) -> Vec<u8> {
    let Weight { records, bytes } = cursor.settled;
    let of_cursor = [cursor.next, cursor.segment, records, bytes, cursor.last_seq];
    let numbers = of_cursor.into_iter().chain([last_seq]);
    let mut value: Vec<u8> = numbers.flat_map(|number| number.to_be_bytes()).collect();
    value.extend_from_slice(&crc32fast::hash(&value).to_be_bytes());
    value
}

fn decode(value: &[u8]) -> Option<Saved> {
    let (numbers, crc) = value.split_last_chunk()?;
    if crc32fast::hash(numbers) != u32::from_be_bytes(*crc) {
        return None;
    }
    let (numbers, []) = numbers.as_chunks() else {
        return None;
    };
    let mut numbers = numbers.iter().map(|number| u64::from_be_bytes(*number));
    let cursor = Cursor {
        next: numbers.next()?,
        segment: numbers.next()?,
        settled: Weight {
            records: numbers.next()?,
            bytes: numbers.next()?,
        },
        last_seq: numbers.next()?,
    };
    let last_seq = numbers.next()?;
    Some(Saved { cursor, last_seq })
}
