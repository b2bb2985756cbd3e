//! Reads entries back, checks them, and makes batches of them.

use std::{
    ops::{Range, RangeInclusive},
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use super::{
    Batch, BatchLimits, StorageError,
    backlog::Weight,
    directory,
    entry::{self, Header},
    ledger::Reason,
    salvage::Sealed,
    segment::{Segment, stored_bytes},
    shared::Shared,
};
use crate::otlp::Signal;

pub(super) struct Reader {
    shared: Arc<Shared>,
    /// The sealed segment that was read last.
    open: Option<(u64, Source)>,
}

/// Where entries are read from.
#[derive(Clone)]
pub(super) enum Source {
    /// A segment that is being written, or in which something is missing.
    Database(Arc<Segment>),
    /// The file of a segment in which nothing is missing.
    File(Arc<Sealed>),
}

impl Source {
    /// The value stored under a number below the segment's end.
    fn get(&self, entry: u64) -> Result<Option<sled::IVec>, StorageError> {
        match self {
            Source::Database(segment) => segment.get(entry),
            Source::File(sealed) => Ok(sealed.get(entry)?.map(sled::IVec::from)),
        }
    }
}

/// What came of reading a range: its first sets, or the damage it begins with.
enum Found {
    Sets(Sets),
    Damage(Range<u64>),
}

/// Consecutive sets of one signal.
struct Sets {
    entries: Range<u64>,
    numbers: Vec<RangeInclusive<u64>>,
    signal: Signal,
    records: usize,
    plain_bytes: usize,
    stored_bytes: u64,
    frames: Vec<u8>,
    oldest: SystemTime,
    /// The highest record number up to their end.
    last_seq: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: None }
    }

    /// The next batch, or `None` while there is nothing to read. Damage is skipped on the way;
    /// an error means that the disk does not answer now.
    pub(super) fn read(&mut self, limits: BatchLimits) -> Result<Option<Batch>, StorageError> {
        loop {
            let Some((first, range)) = self.shared.backlog().next_to_read() else {
                return Ok(None);
            };
            let path = directory::segment_path(&self.shared.root, first);
            let segment = match self.segment(first, &path) {
                Ok(segment) => segment,
                Err(StorageError::Damaged(damage)) => {
                    self.lose_damaged(None, first, &range);
                    if let Err(error) = directory::quarantine(&path) {
                        tracing::warn!(segment = %path.display(), %error, "a damaged segment cannot be put aside");
                    }
                    tracing::error!(segment = %path.display(), %damage, entries = range.end - range.start,
                        "a segment of the queue cannot be read and was put aside; its records are lost");
                    self.shared.backlog().skip(&range);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let found = find(&segment, range, limits).inspect_err(|error| {
                // Opened anew, it is read around.
                if error.is_unreadable() {
                    self.let_go(first);
                }
            });
            match found? {
                Found::Sets(sets) => return Ok(Some(self.hand_out(sets))),
                Found::Damage(range) if self.shared.backlog().is_torn(&range) => {
                    tracing::info!(segment = %path.display(), entries = ?range, "left out what a power cut tore before it was acknowledged");
                    self.shared.backlog().skip(&range);
                }
                Found::Damage(range) => {
                    self.lose_damaged(Some(&segment), first, &range);
                    tracing::error!(segment = %path.display(), entries = ?range, "skipped damaged entries of the queue");
                    self.shared.backlog().skip(&range);
                }
            }
        }
    }

    /// The numbers in a segment's entries, and how many records without numbers; `Err` with the same
    /// when some cannot be read.
    pub(super) fn numbers_in(
        &mut self,
        first: u64,
        entries: &[Range<u64>],
    ) -> Result<Numbers, Numbers> {
        let mut found = Numbers::default();
        let path = directory::segment_path(&self.shared.root, first);
        let Ok(segment) = self.segment(first, &path) else {
            return Err(found);
        };
        let mut is_whole = true;
        for entry in entries.iter().cloned().flatten() {
            match header(&segment, entry) {
                None => is_whole = false,
                Some(header) if header.part > 0 => {}
                Some(header) => match header.numbers() {
                    Some(numbers) => found.ranges.push(numbers),
                    None => found.unnumbered += u64::from(header.records),
                },
            }
        }
        if is_whole { Ok(found) } else { Err(found) }
    }

    /// Writes damage down by what stands before and after it. Records that were appended at the same
    /// time as others may stand in another order than their numbers; so this may name numbers of
    /// records that are not lost.
    fn lose_damaged(&self, segment: Option<&Source>, first: u64, entries: &Range<u64>) {
        let (mut after, mut up_to) = {
            let backlog = self.shared.backlog();
            let (before, up_to) = backlog.numbers_of(first);
            (before.max(backlog.handed_out_up_to(entries.start)), up_to)
        };
        if let Some(segment) = segment {
            if let Some(before) = entries
                .start
                .checked_sub(1)
                .filter(|before| *before >= first)
                && let Some(before) = header(segment, before)
            {
                after = before.last_seq;
            }
            if let Some(next) = header(segment, entries.end) {
                up_to = match next.first_seq {
                    0 => next.last_seq,
                    first_seq => first_seq - 1,
                };
            }
        }
        if after < up_to {
            let ledger = &self.shared.ledger;
            ledger.add(Reason::Damaged, &[after + 1..=up_to], 0);
        }
    }

    /// Closes the segment if it is open, so that its directory can go.
    pub(super) fn let_go(&mut self, first: u64) {
        self.open.take_if(|open| open.0 == first);
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn segment(&mut self, first: u64, path: &Path) -> Result<Source, StorageError> {
        if let Some(live) = self.shared.live(first) {
            return Ok(Source::Database(live));
        }
        if let Some((open, segment)) = &self.open
            && *open == first
        {
            return Ok(segment.clone());
        }
        self.open = None;
        if !path.exists() {
            return Err(StorageError::Damaged("its directory is missing".into()));
        }
        let entries = self.shared.backlog().entries_of(first);
        let segment = match Sealed::open(&path.join("db"), entries)? {
            Some(sealed) => Source::File(Arc::new(sealed)),
            None => Source::Database(Arc::new(Segment::open(path)?)),
        };
        self.open = Some((first, segment.clone()));
        Ok(segment)
    }

    fn hand_out(&self, sets: Sets) -> Batch {
        let weight = Weight {
            records: sets.records as u64,
            bytes: sets.stored_bytes,
        };
        self.shared
            .backlog()
            .hand_out(&sets.entries, weight, sets.oldest, sets.last_seq);
        Batch {
            shared: Arc::clone(&self.shared),
            entries: sets.entries,
            numbers: sets.numbers,
            settled: false,
            signal: sets.signal,
            records: sets.records,
            plain_bytes: sets.plain_bytes,
            frames: sets.frames.into(),
            oldest: sets.oldest,
        }
    }
}

/// Record numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    pub(super) ranges: Vec<RangeInclusive<u64>>,
    /// Records that have none.
    pub(super) unnumbered: u64,
}

fn header(segment: &Source, entry: u64) -> Option<Header> {
    let value = segment.get(entry).ok()??;
    Some(entry::decode(entry, &value).ok()?.0)
}

fn find(segment: &Source, range: Range<u64>, limits: BatchLimits) -> Result<Found, StorageError> {
    let mut sets: Option<Sets> = None;
    let mut at = range.start;
    let mut damaged_to = range.start;
    while at < range.end {
        let mut frame = Vec::new();
        match read_set(|entry| segment.get(entry), at..range.end, &mut frame)? {
            Ok(_) if damaged_to > range.start => break,
            Ok((header, next, stored_bytes)) => {
                if let Some(sets) = &sets
                    && !sets.has_room_for(&header, limits)
                {
                    break;
                }
                let sets = sets.get_or_insert_with(|| Sets::new(at, &header));
                sets.add(&header, next, stored_bytes, &frame);
                at = next;
            }
            Err(_) if sets.is_some() => break,
            Err(next) => {
                at = next;
                damaged_to = next;
            }
        }
    }
    Ok(match sets {
        Some(sets) => Found::Sets(sets),
        None => Found::Damage(range.start..damaged_to),
    })
}

/// The set that begins with the range: its header, the entry after it, its bytes as stored; its
/// frame is put into `frame`. The inner error is the entry to go on with after damage.
pub(super) fn read_set(
    get: impl Fn(u64) -> Result<Option<sled::IVec>, StorageError>,
    range: Range<u64>,
    frame: &mut Vec<u8>,
) -> Result<Result<(Header, u64, u64), u64>, StorageError> {
    let start = range.start;
    let mut bytes = 0;
    let mut first: Option<Header> = None;
    let mut entry = start;
    loop {
        // Once the first part is read, the whole set is known to be lost with any other.
        let after_damage = first.map_or(start + 1, |first| {
            range.end.min(start + u64::from(first.parts))
        });
        if entry >= range.end {
            return Ok(Err(after_damage));
        }
        let value = match get(entry) {
            Ok(Some(value)) => value,
            Ok(None) | Err(StorageError::Damaged(_)) => return Ok(Err(after_damage)),
            Err(error) => return Err(error),
        };
        let Ok((header, part)) = entry::decode(entry, &value) else {
            return Ok(Err(after_damage));
        };
        let whole = *first.get_or_insert(header);
        if u64::from(header.part) != entry - start || header.parts != whole.parts {
            return Ok(Err(after_damage));
        }
        frame.extend_from_slice(part);
        bytes += stored_bytes(&value);
        entry += 1;
        if header.part + 1 == header.parts {
            let complete = frame.len() == whole.frame_bytes as usize;
            return Ok(if complete {
                Ok((whole, entry, bytes))
            } else {
                Err(entry)
            });
        }
    }
}

impl Sets {
    fn new(start: u64, header: &Header) -> Self {
        Self {
            entries: start..start,
            numbers: Vec::new(),
            signal: header.signal,
            records: 0,
            plain_bytes: 0,
            stored_bytes: 0,
            frames: Vec::new(),
            oldest: header.appended_at,
            last_seq: 0,
        }
    }

    fn has_room_for(&self, header: &Header, limits: BatchLimits) -> bool {
        self.signal == header.signal
            && self.records + header.records as usize <= limits.records
            && self.plain_bytes + header.plain_bytes as usize <= limits.plain_bytes
            && self.frames.len() + header.frame_bytes as usize <= limits.frame_bytes
    }

    fn add(&mut self, header: &Header, next: u64, stored_bytes: u64, frame: &[u8]) {
        self.entries.end = next;
        self.last_seq = header.last_seq;
        self.numbers.extend(header.numbers());
        self.records += header.records as usize;
        self.plain_bytes += header.plain_bytes as usize;
        self.stored_bytes += stored_bytes;
        self.frames.extend_from_slice(frame);
    }
}
