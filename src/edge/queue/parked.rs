//! `parked.db`: records that no upstream will take, kept for a person to look at.
//!
//! The same segments as the queue's, each entry a set whose frame is preceded by the status
//! (2 bytes, 0 for none), the length of the reason (2 bytes) and the reason. The number of a set's
//! first entry is its id. Nothing is read until somebody asks or parks, so a long list costs the
//! start nothing.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{
    StorageError,
    committer::SEGMENT_BYTES,
    directory,
    entry::{Header, Set},
    info::Totals,
    prepare::Compressors,
    recovery,
    segment::{Reserve, Segment, stored_bytes},
};
use crate::{
    event::{Attributes, EDGE_SEQ},
    otlp::{Request, Signal},
};

/// Kept at most; beyond it the oldest segment goes.
const PARKED_MAX_BYTES: u64 = 64 << 20;
const REASON_MAX_BYTES: usize = 1024;

/// Records that the upstream refused for good. They were redacted before they were queued.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Why, for a person to read. Cut after 1 KiB.
    pub reason: String,
    /// The HTTP status that the upstream answered, if it did.
    pub status: Option<u16>,
    /// The records.
    pub request: Request,
}

/// What is known of a parked request without decoding it.
#[derive(Clone, Debug, PartialEq)]
pub struct ParkedSummary {
    /// Higher for what was parked later.
    pub id: u64,
    /// Why it was parked.
    pub reason: String,
    /// The HTTP status that the upstream answered, if it did.
    pub status: Option<u16>,
    /// The signal of its records.
    pub signal: Signal,
    /// How many records.
    pub records: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// When it was parked.
    pub parked_at: SystemTime,
}

/// The parked list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ParkedList {
    /// Oldest first.
    pub items: Vec<ParkedSummary>,
    /// Records that had to go to make room, since the process started.
    pub dropped_records: u64,
}

/// All calls block on the disk.
pub(super) struct ParkedStore {
    root: PathBuf,
    /// `None` until the first use, and after an error.
    opened: Mutex<Option<Opened>>,
    dropped_records: Mutex<u64>,
}

struct Opened {
    segments: VecDeque<ParkedSegment>,
    active: Option<Segment>,
    next_entry: u64,
}

struct ParkedSegment {
    first: u64,
    totals: Totals,
    items: Vec<ParkedSummary>,
}

impl ParkedStore {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            opened: Mutex::default(),
            dropped_records: Mutex::default(),
        }
    }

    /// Durable when this returns.
    pub(super) fn park(
        &self,
        parked: &Parked,
        parked_at: SystemTime,
        compressors: &Compressors,
    ) -> Result<(), StorageError> {
        let set = to_set(parked, parked_at, compressors)?;
        self.with_opened(|opened| {
            self.make_room(opened)?;
            opened.append(&self.root, &set)
        })
    }

    pub(super) fn list(&self) -> Result<ParkedList, StorageError> {
        let items = self.with_opened(|opened| {
            Ok(opened
                .segments
                .iter()
                .flat_map(|segment| &segment.items)
                .cloned()
                .collect())
        })?;
        let dropped = self
            .dropped_records
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(ParkedList {
            items,
            dropped_records: *dropped,
        })
    }

    pub(super) fn close(&self) {
        let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Opened {
            active: Some(active),
            segments,
            ..
        }) = guard.take()
            && let Some(last) = segments.back()
            && let Err(error) = active.seal(last.totals)
        {
            tracing::warn!(%error, "a segment of the parked list was left unsealed");
        }
    }

    /// Whatever fails, the next call opens anew: after an error sled refuses everything.
    fn with_opened<T>(
        &self,
        act: impl FnOnce(&mut Opened) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut guard = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let mut opened = match guard.take() {
            Some(opened) => opened,
            None => Opened::open(&self.root)?,
        };
        let result = act(&mut opened)?;
        *guard = Some(opened);
        Ok(result)
    }

    fn make_room(&self, opened: &mut Opened) -> Result<(), StorageError> {
        while opened.bytes() > PARKED_MAX_BYTES - SEGMENT_BYTES && opened.segments.len() > 1 {
            let Some(oldest) = opened.segments.pop_front() else {
                break;
            };
            let records: u64 = oldest.items.iter().map(|item| item.records).sum();
            directory::remove_directory(&directory::segment_path(&self.root, oldest.first))?;
            tracing::warn!(records, "dropped the oldest parked records to make room");
            *self
                .dropped_records
                .lock()
                .unwrap_or_else(PoisonError::into_inner) += records;
        }
        Ok(())
    }
}

impl Opened {
    fn open(root: &Path) -> Result<Opened, StorageError> {
        directory::make_private(root)?;
        let recovered = recovery::recover(root, |_| {})?;
        let mut segments = VecDeque::new();
        for (first, totals) in recovered.segments {
            let mut items = Vec::new();
            let path = directory::segment_path(root, first);
            let scanned = recovery::scan_and_seal(&path, first, 0, |id, header, value| {
                items.extend(summary(id, header, value));
            });
            match scanned {
                Ok(_) => segments.push_back(ParkedSegment {
                    first,
                    totals,
                    items,
                }),
                Err(StorageError::Damaged(damage)) => {
                    tracing::error!(segment = %path.display(), %damage, "parked records cannot be read and were put aside");
                    directory::quarantine(&path)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Opened {
            segments,
            active: None,
            next_entry: recovered.next_entry.max(1),
        })
    }

    fn bytes(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| segment.totals.bytes)
            .sum()
    }

    fn append(&mut self, root: &Path, set: &Set) -> Result<(), StorageError> {
        if let Some(active) = &self.active
            && let Some(last) = self.segments.back()
            && last.totals.bytes >= SEGMENT_BYTES
        {
            active.seal(last.totals)?;
            self.active = None;
        }
        if self.active.is_none() {
            let first = self.next_entry;
            self.active = Some(Segment::create(root, first, 0, Reserve::No)?);
            let totals = Totals {
                end: first,
                ..Totals::default()
            };
            self.segments.push_back(ParkedSegment {
                first,
                totals,
                items: Vec::new(),
            });
        }
        let (Some(active), Some(last)) = (&self.active, self.segments.back_mut()) else {
            return Err(StorageError::Stopped);
        };
        let id = self.next_entry;
        let mut value = Vec::new();
        for part in 0..set.parts() {
            set.encode(part, self.next_entry, 0, &mut value);
            active.insert(self.next_entry, &value)?;
            if part == 0 {
                let (header, _) = super::entry::decode(self.next_entry, &value)
                    .map_err(|_| StorageError::Damaged("an entry as it was made".into()))?;
                last.items.extend(summary(id, &header, &value));
            }
            last.totals.bytes += stored_bytes(&value);
            self.next_entry += 1;
        }
        active.sync()?;
        last.totals.records += u64::from(set.records);
        last.totals.end = self.next_entry;
        Ok(())
    }
}

/// The numbers of a request's records, as they were queued.
pub(super) fn numbers(request: &Request) -> Vec<u64> {
    let Request::Logs(logs) = request else {
        return Vec::new();
    };
    let scopes = logs.resource_logs.iter().flat_map(|logs| &logs.scope_logs);
    let records = scopes.flat_map(|scope| &scope.log_records);
    records
        .filter_map(|record| Attributes::new(&record.attributes, &[]).integer(EDGE_SEQ))
        .filter_map(|number| u64::try_from(number).ok())
        .collect()
}

fn to_set(
    parked: &Parked,
    parked_at: SystemTime,
    compressors: &Compressors,
) -> Result<Set, StorageError> {
    let reason = &parked.reason[..parked.reason.floor_char_boundary(REASON_MAX_BYTES)];
    let plain = parked.request.encode();
    let mut frame = parked.status.unwrap_or(0).to_be_bytes().to_vec();
    frame.extend_from_slice(&(reason.len() as u16).to_be_bytes());
    frame.extend_from_slice(reason.as_bytes());
    frame.extend_from_slice(&compressors.compress(&plain)?);
    Ok(Set {
        signal: parked.request.signal(),
        records: u32::try_from(parked.request.record_count()).unwrap_or(u32::MAX),
        first_seq: 0,
        numbers: 0,
        appended_at: parked_at,
        plain_bytes: u32::try_from(plain.len()).unwrap_or(u32::MAX),
        frame,
    })
}

/// What the first part of a set tells; nothing for the other parts.
fn summary(id: u64, header: &Header, value: &[u8]) -> Option<ParkedSummary> {
    let (_, part) = super::entry::decode(id, value).ok()?;
    let (status, rest) = part.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let reason = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
    let status = u16::from_be_bytes(*status);
    (header.part == 0).then(|| ParkedSummary {
        id,
        reason: String::from_utf8_lossy(reason).into_owned(),
        status: (status != 0).then_some(status),
        signal: header.signal,
        records: header.records.into(),
        bytes: header.frame_bytes.into(),
        parked_at: header.appended_at,
    })
}
