//! What a directory of segments holds, found out when it is opened, and which numbers are missing.

use std::{ops::RangeInclusive, path::Path};

use super::{
    StorageError,
    backlog::Cursor,
    directory,
    entry::Header,
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
    /// Numbers that were taken for appends which a crash cut short: others were stored before them.
    pub(super) cut_short: Vec<RangeInclusive<u64>>,
    /// Numbers of which nobody knows how many were used.
    pub(super) given_up: Vec<RangeInclusive<u64>>,
}

/// Looks at every segment, reading only those that were not sealed, and seals these.
pub(super) fn recover(root: &Path) -> Result<Recovered, StorageError> {
    let mut recovered = Recovered::default();
    directory::finish_replacing(root)?;
    for (first, path) in directory::numbered(root, directory::SEGMENT)? {
        let totals = match Info::read(&path) {
            Some(Info::Sealed(totals)) => totals,
            info => {
                let before = match info {
                    Some(Info::Open { before }) => before,
                    _ => recovered.last_seq,
                };
                let mut sets = Vec::new();
                let mut entries = 0;
                let scanned = scan_and_seal(&path, first, before, |entry, header, _| {
                    entries += 1;
                    if header.part == 0 {
                        sets.push((entry + u64::from(header.parts), header.numbers()));
                    }
                });
                match scanned {
                    Ok(totals) => {
                        // Where something is damaged, it shows when it is read.
                        if first + entries >= totals.end {
                            let stored = sets.into_iter().filter(|(end, _)| *end <= totals.end);
                            let stored = stored.filter_map(|(_, numbers)| numbers).collect();
                            recovered.cut_short.extend(holes(stored, totals));
                        }
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
