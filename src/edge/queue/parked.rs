//! `parked.db`: records that no upstream will take, kept for a person to look at.
//!
//! The same segments as the queue's, each entry a set whose frame is preceded by the status
//! (2 bytes, 0 for none), the length of the reason (2 bytes) and the reason. The number of a set's
//! first entry is its id. Nothing is read until somebody asks or parks, so a long list costs the
//! start nothing.
//!
//! What was removed is in the file `removed`: ids, one in a line, and the CRC32 of these lines. It stays
//! in its segment, which goes as soon as all in it is removed.

use std::{
    collections::{BTreeSet, VecDeque},
    fs, io,
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
    reader::read_set,
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
const REMOVED: &str = "removed";

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
    /// Without items that were removed.
    segments: VecDeque<ParkedSegment>,
    /// Ids that are still in a segment.
    removed: BTreeSet<u64>,
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

    /// Items in the list, and records in them.
    pub(super) fn totals(&self) -> Result<(u64, u64), StorageError> {
        self.with_opened(|opened| {
            let items = opened.segments.iter().flat_map(|segment| &segment.items);
            Ok(items.fold((0, 0), |(items, records), item| {
                (items + 1, records + item.records)
            }))
        })
    }

    /// What was parked under an id.
    pub(super) fn read(&self, id: u64) -> Result<Option<Parked>, StorageError> {
        self.with_opened(|opened| opened.read(&self.root, id))
    }

    /// Takes an item out of the list; durable when this returns. False when it is not there.
    pub(super) fn remove(&self, id: u64) -> Result<bool, StorageError> {
        self.with_opened(|opened| opened.remove(&self.root, id))
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
        let recovered = recovery::recover(root)?;
        let mut removed = read_removed(root)?;
        let mut known = BTreeSet::new();
        let mut segments = VecDeque::new();
        for (first, totals) in recovered.segments {
            let mut items = Vec::new();
            let path = directory::segment_path(root, first);
            let scanned = recovery::scan_and_seal(&path, first, 0, |id, header, value| {
                let item = summary(id, header, value);
                known.extend(item.as_ref().map(|item| item.id));
                items.extend(item.filter(|item| !removed.contains(&item.id)));
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
        // The others went with their segments; their ids may be used again.
        if !removed.is_subset(&known) {
            removed.retain(|id| known.contains(id));
            write_removed(root, &removed)?;
        }
        Ok(Opened {
            segments,
            removed,
            active: None,
            next_entry: recovered.next_entry.max(1),
        })
    }

    fn read(&self, root: &Path, id: u64) -> Result<Option<Parked>, StorageError> {
        let Some(holder) = self.holder(id) else {
            return Ok(None);
        };
        let opened;
        let is_last = holder + 1 == self.segments.len();
        let holder = &self.segments[holder];
        let segment = match &self.active {
            Some(active) if is_last => active,
            _ => {
                opened = Segment::open(&directory::segment_path(root, holder.first))?;
                &opened
            }
        };
        let mut frame = Vec::new();
        let Ok((header, ..)) = read_set(segment, id..holder.totals.end, &mut frame)? else {
            return Err(StorageError::Damaged(
                "a parked request is not whole".into(),
            ));
        };
        from_set(&header, &frame).map(Some)
    }

    fn remove(&mut self, root: &Path, id: u64) -> Result<bool, StorageError> {
        let Some(at) = self.holder(id) else {
            return Ok(false);
        };
        self.removed.insert(id);
        write_removed(root, &self.removed)?;
        self.segments[at].items.retain(|item| item.id != id);
        if self.segments[at].items.is_empty() {
            if at + 1 == self.segments.len() {
                self.active = None;
            }
            let first = self.segments[at].first;
            directory::remove_directory(&directory::segment_path(root, first))?;
            self.segments.remove(at);
        }
        Ok(true)
    }

    /// The place of the segment that holds an item.
    fn holder(&self, id: u64) -> Option<usize> {
        let has = |segment: &ParkedSegment| segment.items.iter().any(|item| item.id == id);
        self.segments.iter().position(has)
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

fn from_set(header: &Header, frame: &[u8]) -> Result<Parked, StorageError> {
    let damaged = || StorageError::Damaged("a parked request cannot be read".into());
    let (status, reason, packed) = preface(frame).ok_or_else(damaged)?;
    let plain = zstd::stream::decode_all(packed)?;
    Ok(Parked {
        reason: String::from_utf8_lossy(reason).into_owned(),
        status,
        request: Request::decode_protobuf(header.signal, &plain).map_err(|_| damaged())?,
    })
}

/// What stands before the records: the status and the reason; and the rest.
fn preface(frame: &[u8]) -> Option<(Option<u16>, &[u8], &[u8])> {
    let (status, rest) = frame.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (reason, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let status = u16::from_be_bytes(*status);
    Some(((status != 0).then_some(status), reason, rest))
}

/// A file that cannot be read brings back what was removed, which does less harm than losing more.
fn read_removed(root: &Path) -> io::Result<BTreeSet<u64>> {
    let text = match fs::read_to_string(root.join(REMOVED)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        text => text?,
    };
    let parse = || {
        let (ids, crc) = text.trim_end().rsplit_once(' ')?;
        let crc = u32::from_str_radix(crc, 16).ok()?;
        let ids_hold = crc == crc32fast::hash(ids.as_bytes());
        let numbers = ids.split_whitespace().map(|id| id.parse().ok());
        numbers.collect::<Option<_>>().filter(|_| ids_hold)
    };
    Ok(parse().unwrap_or_else(|| {
        tracing::warn!("what was removed from the parked list cannot be read, and is in it again");
        BTreeSet::new()
    }))
}

fn write_removed(root: &Path, removed: &BTreeSet<u64>) -> io::Result<()> {
    let ids: String = removed.iter().map(|id| format!("{id}\n")).collect();
    let crc = crc32fast::hash(ids.as_bytes());
    directory::replace_file(&root.join(REMOVED), &format!("{ids} {crc:08x}\n"))
}

/// What the first part of a set tells; nothing for the other parts.
fn summary(id: u64, header: &Header, value: &[u8]) -> Option<ParkedSummary> {
    let (_, part) = super::entry::decode(id, value).ok()?;
    let (status, reason, _) = preface(part)?;
    (header.part == 0).then(|| ParkedSummary {
        id,
        reason: String::from_utf8_lossy(reason).into_owned(),
        status,
        signal: header.signal,
        records: header.records.into(),
        bytes: header.frame_bytes.into(),
        parked_at: header.appended_at,
    })
}
