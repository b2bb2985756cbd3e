//! What a directory of segments holds, found out when it is opened, and which numbers are missing.

use std::{
    ops::{Range, RangeInclusive},
    path::Path,
};

use super::{
    StorageError,
    backlog::Cursor,
    directory,
    entry::{Header, Parity},
    info::{Info, Totals},
    keeper::Saved,
    segment::Segment,
};

/// Numbers skipped when it is unknown how many a lost segment used.
const UNKNOWN_NUMBERS: u64 = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// Each segment's first entry and contents, in order.
    pub(super) segments: Vec<(u64, Totals)>,
    /// Higher than every entry that may ever have been written.
    pub(super) next_entry: u64,
    /// As high as every record number that may ever have been stored.
    pub(super) last_seq: u64,
    /// Entries of segments that could not be opened and were put aside, as far as known.
    pub(super) damaged: u64,
    /// What a crash cut short. None of it was acknowledged.
    pub(super) cut_short: CutShort,
    /// Numbers of which nobody knows how many were used.
    pub(super) given_up: Vec<RangeInclusive<u64>>,
}

/// Appends that were under way in a crash.
#[derive(Debug, Default)]
pub(super) struct CutShort {
    /// Numbers that were taken for them: others were stored before them, or beside them.
    pub(super) numbers: Vec<RangeInclusive<u64>>,
    /// Entries of the last sync, which a power cut tore: some of it reached the disk and some did not.
    pub(super) torn: Vec<Range<u64>>,
}

/// Looks at every segment, reading only those that were not sealed, and seals these.
pub(super) fn recover(root: &Path) -> Result<Recovered, StorageError> {
    let mut recovered = Recovered::default();
    directory::finish_replacing(root)?;
    let segments = directory::numbered(root, directory::SEGMENT)?;
    let last = segments.last().map(|(first, _)| *first);
    for (first, path) in segments {
        let totals = match Info::read(&path) {
            Some(Info::Sealed(totals)) => totals,
            info => {
                let before = match info {
                    Some(Info::Open { before }) => before,
                    _ => recovered.last_seq,
                };
                let mut entries = Vec::new();
                let scanned = scan_and_seal(&path, first, before, |entry, header, _| {
                    entries.push((entry, *header));
                });
                match scanned {
                    Ok(totals) => {
                        entries.retain(|(entry, _)| *entry < totals.end);
                        let may_be_torn = last == Some(first);
                        let cut_short = &mut recovered.cut_short;
                        cut_short.find(first, &entries, totals, may_be_torn);
                        totals
                    }
                    Err(StorageError::Damaged(damage)) => {
                        // `info` is written last when a segment is made: without it nothing was
                        // ever acknowledged in here.
                        let was_made = path.join("info").exists();
                        directory::quarantine(&path)?;
                        if was_made {
                            let last = before + UNKNOWN_NUMBERS;
                            recovered.given_up.push(before + 1..=last);
                            tracing::error!(segment = %path.display(), %damage, "a segment of the queue cannot be read and was put aside; its records are lost");
                            recovered.damaged += 1;
                        }
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        recovered.last_seq = recovered.last_seq.max(totals.last_seq);
        // An empty segment uses its name all the same.
        recovered.next_entry = recovered.next_entry.max(totals.end.max(first + 1));
        recovered.segments.push((first, totals));
    }
    for (first, path) in directory::numbered(root, directory::QUARANTINED)? {
        let (end, last_seq) = match Info::read(&path) {
            Some(Info::Sealed(totals)) => (totals.end, totals.last_seq),
            Some(Info::Open { before }) => (first + UNKNOWN_NUMBERS, before + UNKNOWN_NUMBERS),
            None => (first + UNKNOWN_NUMBERS, 0),
        };
        recovered.next_entry = recovered.next_entry.max(end);
        recovered.last_seq = recovered.last_seq.max(last_seq);
    }
    Ok(recovered)
}

impl CutShort {
    /// Looks for it in a segment that was not sealed, given the undamaged entries in it. All that was synced
    /// before the last time was whole: where something of that is missing, it is damage, and shows when it is read.
    fn find(&mut self, first: u64, entries: &[(u64, Header)], totals: Totals, may_be_torn: bool) {
        let last = entries.last().map_or(Parity::Unknown, |last| last.1.parity);
        let synced_to = match may_be_torn && last != Parity::Unknown {
            true => {
                let before = entries.iter().rfind(|(_, header)| header.parity != last);
                before.map_or(first, |(entry, _)| entry + 1)
            }
            false => totals.end,
        };
        let synced = entries.partition_point(|(entry, _)| *entry < synced_to);
        if first + (synced as u64) < synced_to {
            return;
        }
        let mut stored = Vec::new();
        let mut known_to = synced_to;
        for (at, (entry, header)) in entries.iter().enumerate() {
            let parts = usize::from(header.parts);
            let end = entry + u64::from(header.parts);
            let is_whole = header.part == 0
                && (entries.get(at + parts - 1)).is_some_and(|(last, _)| last + 1 == end);
            if !is_whole {
                continue;
            }
            stored.extend(header.numbers());
            if *entry > known_to {
                self.torn.push(known_to..*entry);
            }
            known_to = known_to.max(end);
        }
        if known_to < totals.end {
            self.torn.push(known_to..totals.end);
        }
        self.numbers.extend(holes(stored, totals));
    }
}

/// Numbers between the first and the last of a segment that are not in it.
fn holes(mut stored: Vec<RangeInclusive<u64>>, totals: Totals) -> Vec<RangeInclusive<u64>> {
    stored.sort_by_key(|numbers| *numbers.start());
    let mut holes = Vec::new();
    let mut known_to = totals.before;
    for numbers in stored {
        if *numbers.start() > known_to + 1 {
            holes.push(known_to + 1..=numbers.start() - 1);
        }
        known_to = known_to.max(*numbers.end());
    }
    if totals.last_seq > known_to {
        holes.push(known_to + 1..=totals.last_seq);
    }
    holes
}

/// Tells `lose` of numbers that were stored and are in no segment: those of a segment that is gone, and of the end
/// of one that was damaged while it was written. Each only once: then they are accounted for. Gives the position to
/// go on from; without a saved one that is the beginning, and what was there before is not known.
pub(super) fn find_gaps(
    root: &Path,
    recovered: &mut Recovered,
    saved: Option<Saved>,
    lose: impl Fn(RangeInclusive<u64>),
) -> Cursor {
    let before = recovered.segments.first().map(|(_, totals)| totals.before);
    let begin = before.unwrap_or(recovered.last_seq);
    let saved = saved.unwrap_or(Saved {
        cursor: Cursor {
            last_seq: begin,
            ..Cursor::default()
        },
        last_seq: begin,
    });
    let (mut cursor, mut known_to) = (saved.cursor, saved.cursor.last_seq);
    recovered.last_seq = recovered.last_seq.max(saved.last_seq);
    for at in 0..=recovered.segments.len() {
        let (earlier, rest) = recovered.segments.split_at_mut(at);
        let (before, last_seq) = match rest.first() {
            Some((_, totals)) => (totals.before, totals.last_seq),
            None => (saved.last_seq, saved.last_seq),
        };
        if before > known_to {
            lose(known_to + 1..=before);
            account_up_to(root, earlier, &mut cursor, before);
        }
        known_to = known_to.max(last_seq);
    }
    cursor
}

/// Notes that all numbers up to this one are accounted for: in the last of these sealed segments, or in the position
/// where there are none.
pub(super) fn account_up_to(
    root: &Path,
    segments: &mut [(u64, Totals)],
    cursor: &mut Cursor,
    number: u64,
) {
    match segments.last_mut() {
        Some((first, totals)) if totals.last_seq < number => {
            totals.last_seq = number;
            note(root, *first, *totals);
        }
        Some(_) => {}
        None => cursor.last_seq = cursor.last_seq.max(number),
    }
}

/// Writes down what a sealed segment holds, or which lost numbers it accounts for.
pub(super) fn note(root: &Path, first: u64, totals: Totals) {
    let path = directory::segment_path(root, first);
    if let Err(error) = Info::Sealed(totals).write(&path) {
        tracing::warn!(segment = %path.display(), %error, "lost records may be counted again at the next start");
    }
}

/// Reads a segment whole, shows `each` undamaged entry, and writes down what it holds.
pub(super) fn scan_and_seal(
    path: &Path,
    first: u64,
    before: u64,
    each: impl FnMut(u64, &Header, &[u8]),
) -> Result<Totals, StorageError> {
    let segment = Segment::open(path)?;
    let totals = segment.scan(first, before, each)?;
    if let Err(error) = segment.seal(totals) {
        tracing::warn!(segment = %path.display(), %error, "a segment was left unsealed; the next start reads it whole");
    }
    Ok(totals)
}
