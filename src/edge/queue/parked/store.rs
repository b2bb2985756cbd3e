//! The list on disk.

use std::{
    collections::{BTreeSet, VecDeque},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use super::{
    super::{
        StorageError,
        committer::SEGMENT_BYTES,
        directory,
        entry::{self, Parity, Set},
        info::Totals,
        prepare::Compressors,
        reader::read_set,
        recovery,
        segment::{Reserve, Segment, stored_bytes},
    },
    Parked, ParkedSummary,
    form::{from_set, read_removed, summary, to_set, write_removed},
};

/// Kept at most; beyond it the oldest segment goes.
const PARKED_MAX_BYTES: u64 = 64 << 20;

/// All calls block on the disk.
pub(in crate::edge::queue) struct ParkedStore {
    root: PathBuf,
    /// `None` until the first use, and after an error.
    opened: Mutex<Option<Opened>>,
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
    pub(in crate::edge::queue) fn new(root: PathBuf) -> Self {
        Self {
            root,
            opened: Mutex::default(),
        }
    }

    /// Durable when this returns. `going` is told of records before they go to make room.
    pub(in crate::edge::queue) fn park(
        &self,
        parked: &Parked,
        parked_at: SystemTime,
        compressors: &Compressors,
        going: impl Fn(u64),
    ) -> Result<(), StorageError> {
        let set = to_set(parked, parked_at, compressors)?;
        self.with_opened(|opened| {
            self.make_room(opened, going)?;
            opened.append(&self.root, &set)
        })
    }

    /// Oldest first.
    pub(in crate::edge::queue) fn list(&self) -> Result<Vec<ParkedSummary>, StorageError> {
        self.with_opened(|opened| {
            let segments = opened.segments.iter();
            Ok(segments
                .flat_map(|segment| &segment.items)
                .cloned()
                .collect())
        })
    }

    /// Items in the list, and records in them.
    pub(in crate::edge::queue) fn totals(&self) -> Result<(u64, u64), StorageError> {
        self.with_opened(|opened| {
            let items = opened.segments.iter().flat_map(|segment| &segment.items);
            Ok(items.fold((0, 0), |(items, records), item| {
                (items + 1, records + item.records)
            }))
        })
    }

    /// What was parked under an id.
    pub(in crate::edge::queue) fn read(&self, id: u64) -> Result<Option<Parked>, StorageError> {
        self.with_opened(|opened| opened.read(&self.root, id))
    }

    /// Takes an item out of the list; durable when this returns. False when it is not there.
    pub(in crate::edge::queue) fn remove(&self, id: u64) -> Result<bool, StorageError> {
        self.with_opened(|opened| opened.remove(&self.root, id))
    }

    pub(in crate::edge::queue) fn close(&self) {
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

    fn make_room(&self, opened: &mut Opened, going: impl Fn(u64)) -> Result<(), StorageError> {
        while opened.bytes() > PARKED_MAX_BYTES - SEGMENT_BYTES && opened.segments.len() > 1 {
            let Some(oldest) = opened.segments.pop_front() else {
                break;
            };
            let records: u64 = oldest.items.iter().map(|item| item.records).sum();
            going(records);
            directory::remove_directory(&directory::segment_path(&self.root, oldest.first))?;
            tracing::warn!(records, "dropped the oldest parked records to make room");
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
        let Ok((header, ..)) = read_set(
            |entry| segment.get(entry),
            id..holder.totals.end,
            &mut frame,
        )?
        else {
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
            set.encode(part, self.next_entry, Parity::Unknown, 0, &mut value);
            active.insert(self.next_entry, &value)?;
            if part == 0 {
                let (header, _) = entry::decode(self.next_entry, &value)
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
