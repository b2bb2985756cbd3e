//! Looking at the queue without taking anything from it: its segments, and whether they are whole.
//!
//! A segment that is being written is read where it is. Any other is copied first, because sled
//! changes what it opens, and the reader may have it open.

use std::{
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
};

use serde::{Deserialize, Serialize};
use tokio::task;

use super::{
    AppendError, OpenError, Queue, StorageError,
    backlog::Backlog,
    directory::{self, Copied},
    info::{Info, Totals},
    keeper::State,
    reader::read_set,
    segment::Segment,
};
use crate::event::Timestamp;

/// What is known of a segment without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentSummary {
    /// Its first entry.
    pub first: u64,
    /// The entry after its last.
    pub end: u64,
    /// The first entry that is not settled.
    pub settled: u64,
    /// Records in it, settled or not.
    pub records: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// The highest record number in it or before it.
    pub last_seq: u64,
    /// When its first entry was appended.
    pub oldest: Option<Timestamp>,
    /// It may still be written to.
    pub is_open: bool,
}

/// What came of reading a segment whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentCheck {
    /// Its first entry.
    pub first: u64,
    /// Entries that are what was written.
    pub entries: u64,
    /// Records in them.
    pub records: u64,
    /// Entries that are missing or not what was written: the first, and the one after the last.
    pub damaged: Vec<(u64, u64)>,
    /// Why it cannot be opened.
    pub unreadable: Option<String>,
}

impl SegmentCheck {
    /// Nothing in it is damaged.
    pub fn is_whole(&self) -> bool {
        self.damaged.is_empty() && self.unreadable.is_none()
    }
}

impl SegmentSummary {
    /// What a person calls its state.
    pub fn state(&self) -> &'static str {
        match self {
            segment if segment.is_open => "being written",
            segment if segment.settled >= segment.end => "delivered",
            segment if segment.settled > segment.first => "partly delivered",
            _ => "waiting",
        }
    }
}

impl Queue {
    /// Whether records are taken: an append as large as one that was refused last would be tried.
    ///
    /// # Errors
    /// What the append would answer.
    pub fn takes_records(&self) -> Result<(), AppendError> {
        let inner = &self.0;
        if inner.shared.is_closing() {
            return Err(AppendError::Closed);
        }
        // Held only while the queue closes.
        if let Ok(running) = inner.running.try_lock()
            && let Some(running) = &*running
            && running.committer.is_finished()
        {
            return Err(StorageError::Stopped.into());
        }
        match inner.shared.refuses(inner.wanting.load(Ordering::Relaxed)) {
            true => Err(AppendError::Full),
            false => Ok(()),
        }
    }

    /// The first entry that is not settled, and the one after the last. What was appended before is
    /// settled once the first has reached what the second was.
    pub fn position(&self) -> (u64, u64) {
        self.0.shared.backlog().position()
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        let mut segments = self.0.shared.backlog().summaries();
        if let Some(last) = segments.last_mut() {
            last.is_open = self.0.shared.live(last.first).is_some();
        }
        segments
    }

    /// Damaged segments that were put aside, by their first entries.
    pub fn put_aside(&self) -> io::Result<Vec<u64>> {
        put_aside(&self.0.shared.root)
    }

    /// Reads a segment whole. `None` when it is gone, because all in it was delivered.
    pub async fn check(&self, first: u64) -> Result<Option<SegmentCheck>, StorageError> {
        let shared = Arc::clone(&self.0.shared);
        let find = move || {
            let segments = shared.backlog().summaries();
            let summary = segments.into_iter().find(|segment| segment.first == first);
            let Some(summary) = summary else {
                return Ok(None);
            };
            let entries = summary.first..summary.end;
            let checked = match shared.live(first) {
                Some(live) => check(&live, entries),
                None => check_copy(&shared.root, entries),
            };
            match checked {
                // It was delivered meanwhile.
                Err(StorageError::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                    let segments = shared.backlog().segments();
                    match segments.contains(&first) {
                        true => Err(StorageError::Io(error)),
                        false => Ok(None),
                    }
                }
                checked => checked.map(Some),
            }
        };
        let found = task::spawn_blocking(find).await;
        found.unwrap_or(Err(StorageError::Stopped))
    }
}

/// A queue that no edge has, to look at. It is not changed, and no edge can have it meanwhile.
pub struct IdleQueue {
    root: PathBuf,
    backlog: Backlog,
    _lock: File,
}

impl IdleQueue {
    /// Takes the queue in `directory`. Blocks on the disk, like the other calls.
    ///
    /// # Errors
    /// When there is none, or an edge has it.
    pub fn open(directory: &Path) -> Result<IdleQueue, OpenError> {
        let lock = directory::claim_as_it_is(directory)?;
        let failed = |error| OpenError::storage(directory, error);
        let (cursor, _) = position(directory).map_err(failed)?;
        let mut segments = Vec::new();
        let found = directory::numbered(directory, directory::SEGMENT);
        for (first, path) in found.map_err(|error| OpenError::io(directory, error))? {
            let totals = match Info::read(&path) {
                Some(Info::Sealed(totals)) => totals,
                _ => scan_copy(directory, &path, first).map_err(failed)?,
            };
            segments.push((first, totals));
        }
        Ok(IdleQueue {
            root: directory.to_owned(),
            backlog: Backlog::new(segments, cursor, 0),
            _lock: lock,
        })
    }

    /// The segments, oldest first.
    pub fn segments(&self) -> Vec<SegmentSummary> {
        self.backlog.summaries()
    }

    /// Damaged segments that were put aside, by their first entries.
    pub fn put_aside(&self) -> io::Result<Vec<u64>> {
        put_aside(&self.root)
    }

    /// Reads a segment whole.
    ///
    /// # Errors
    /// When the disk does not answer. Damage is no error.
    pub fn check(&self, segment: &SegmentSummary) -> Result<SegmentCheck, StorageError> {
        check_copy(&self.root, segment.first..segment.end)
    }
}

fn put_aside(root: &Path) -> io::Result<Vec<u64>> {
    let found = directory::numbered(root, directory::QUARANTINED)?;
    Ok(found.into_iter().map(|(first, _)| first).collect())
}

fn position(root: &Path) -> Result<(super::backlog::Cursor, u64), StorageError> {
    let path = root.join("state.db");
    if !path.exists() {
        return Ok(Default::default());
    }
    let copy = Copied::new(root, &path)?;
    let (_, saved) = State::open(copy.path().to_owned())?;
    let saved = saved.unwrap_or_default();
    Ok((saved.cursor, saved.last_seq))
}

/// What an unsealed segment holds; nothing when it cannot be opened.
fn scan_copy(root: &Path, path: &Path, first: u64) -> Result<Totals, StorageError> {
    let copy = Copied::new(root, path)?;
    let nothing = Totals {
        end: first,
        ..Totals::default()
    };
    match Segment::open(copy.path()) {
        Ok(segment) => segment.scan(first, 0, |_, _, _| {}),
        Err(StorageError::Damaged(_)) => Ok(nothing),
        Err(error) => Err(error),
    }
}

fn check_copy(root: &Path, entries: Range<u64>) -> Result<SegmentCheck, StorageError> {
    let path = directory::segment_path(root, entries.start);
    let copy = Copied::new(root, &path)?;
    match Segment::open(copy.path()) {
        Ok(segment) => check(&segment, entries),
        Err(StorageError::Damaged(damage)) => {
            let is_empty = entries.is_empty();
            Ok(SegmentCheck {
                first: entries.start,
                entries: 0,
                records: 0,
                damaged: match is_empty {
                    true => Vec::new(),
                    false => vec![(entries.start, entries.end)],
                },
                unreadable: Some(damage),
            })
        }
        Err(error) => Err(error),
    }
}

fn check(segment: &Segment, entries: Range<u64>) -> Result<SegmentCheck, StorageError> {
    let mut check = SegmentCheck {
        first: entries.start,
        entries: 0,
        records: 0,
        damaged: Vec::new(),
        unreadable: None,
    };
    let mut at = entries.start;
    let mut frame = Vec::new();
    while at < entries.end {
        frame.clear();
        match read_set(|entry| segment.get(entry), at..entries.end, &mut frame)? {
            Ok((header, next, _)) => {
                check.entries += next - at;
                check.records += u64::from(header.records);
                at = next;
            }
            Err(next) => {
                match check.damaged.last_mut() {
                    Some((_, end)) if *end == at => *end = next,
                    _ => check.damaged.push((at, next)),
                }
                at = next;
            }
        }
    }
    Ok(check)
}
