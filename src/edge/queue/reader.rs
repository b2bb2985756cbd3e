//! Reads entries back, checks them, and makes batches of them.

use std::{ops::Range, path::Path, sync::Arc, time::SystemTime};

use super::{
    Batch, BatchLimits, StorageError,
    backlog::Weight,
    directory,
    entry::{self, Header},
    segment::{Segment, stored_bytes},
    shared::Shared,
};
use crate::otlp::Signal;

pub(super) struct Reader {
    shared: Arc<Shared>,
    /// The sealed segment that was read last.
    open: Option<(u64, Arc<Segment>)>,
}

/// What came of reading a range: its first sets, or the damage it begins with.
enum Found {
    Sets(Sets),
    Damage(Range<u64>),
}

/// Consecutive sets of one signal.
struct Sets {
    entries: Range<u64>,
    signal: Signal,
    records: usize,
    plain_bytes: usize,
    stored_bytes: u64,
    frames: Vec<u8>,
    oldest: SystemTime,
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
                    directory::quarantine(&path)?;
                    tracing::error!(segment = %path.display(), %damage, entries = range.end - range.start,
                        "a segment of the queue cannot be read and was put aside; its records are lost");
                    self.shared.backlog().skip(&range);
                    continue;
                }
                Err(error) => return Err(error),
            };
            match find(&segment, range, limits)? {
                Found::Sets(sets) => return Ok(Some(self.hand_out(sets))),
                Found::Damage(range) => {
                    tracing::error!(segment = %path.display(), entries = ?range, "skipped damaged entries of the queue");
                    self.shared.backlog().skip(&range);
                }
            }
        }
    }

    /// Closes the segment if it is open, so that its directory can go.
    pub(super) fn let_go(&mut self, first: u64) {
        self.open.take_if(|open| open.0 == first);
    }

    pub(super) fn close(&mut self) {
        self.open = None;
    }

    fn segment(&mut self, first: u64, path: &Path) -> Result<Arc<Segment>, StorageError> {
        if let Some(live) = self.shared.live(first) {
            return Ok(live);
        }
        if let Some((open, segment)) = &self.open
            && *open == first
        {
            return Ok(Arc::clone(segment));
        }
        self.open = None;
        if !path.exists() {
            return Err(StorageError::Damaged("its directory is missing".into()));
        }
        let segment = Arc::new(Segment::open(path)?);
        self.open = Some((first, Arc::clone(&segment)));
        Ok(segment)
    }

    fn hand_out(&self, sets: Sets) -> Batch {
        let weight = Weight {
            records: sets.records as u64,
            bytes: sets.stored_bytes,
        };
        self.shared
            .backlog()
            .hand_out(&sets.entries, weight, sets.oldest);
        Batch {
            shared: Arc::clone(&self.shared),
            entries: sets.entries,
            settled: false,
            signal: sets.signal,
            records: sets.records,
            plain_bytes: sets.plain_bytes,
            frames: sets.frames.into(),
            oldest: sets.oldest,
        }
    }
}

fn find(segment: &Segment, range: Range<u64>, limits: BatchLimits) -> Result<Found, StorageError> {
    let mut sets: Option<Sets> = None;
    let mut at = range.start;
    let mut damaged_to = range.start;
    while at < range.end {
        let mut frame = Vec::new();
        match read_set(segment, at..range.end, &mut frame)? {
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
fn read_set(
    segment: &Segment,
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
        let value = match segment.get(entry) {
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
            signal: header.signal,
            records: 0,
            plain_bytes: 0,
            stored_bytes: 0,
            frames: Vec::new(),
            oldest: header.appended_at,
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
        self.records += header.records as usize;
        self.plain_bytes += header.plain_bytes as usize;
        self.stored_bytes += stored_bytes;
        self.frames.extend_from_slice(frame);
    }
}
