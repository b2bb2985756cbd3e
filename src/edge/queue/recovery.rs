//! What a directory of segments holds, found out when it is opened.

use std::{ops::RangeInclusive, path::Path};

use super::{
    StorageError, directory,
    entry::Header,
    info::{Info, Totals},
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
}

/// Looks at every segment, reading only those that were not sealed, and seals these. Tells `lose` of
/// record numbers before it gives them up.
pub(super) fn recover(
    root: &Path,
    lose: impl Fn(RangeInclusive<u64>),
) -> Result<Recovered, StorageError> {
    let mut recovered = Recovered::default();
    for (first, path) in directory::numbered(root, directory::SEGMENT)? {
        let totals = match Info::read(&path) {
            Some(Info::Sealed(totals)) => totals,
            info => {
                let (last_seq, last_seq_is_known) = match info {
                    Some(Info::Open { last_seq }) => (last_seq, true),
                    _ => (recovered.last_seq, recovered.last_seq > 0),
                };
                match scan_and_seal(&path, first, last_seq, |_, _, _| {}) {
                    Ok(totals) => totals,
                    Err(StorageError::Damaged(damage)) => {
                        // `info` is written last when a segment is made: without it nothing was
                        // ever acknowledged in here.
                        let was_made = path.join("info").exists();
                        if was_made && last_seq_is_known {
                            lose(last_seq + 1..=last_seq + UNKNOWN_NUMBERS);
                        }
                        directory::quarantine(&path)?;
                        if !was_made {
                            continue;
                        }
                        tracing::error!(segment = %path.display(), %damage, "a segment of the queue cannot be read and was put aside; its records are lost");
                        recovered.damaged += 1;
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
            Some(Info::Open { last_seq }) => (first + UNKNOWN_NUMBERS, last_seq + UNKNOWN_NUMBERS),
            None => (first + UNKNOWN_NUMBERS, 0),
        };
        recovered.next_entry = recovered.next_entry.max(end);
        recovered.last_seq = recovered.last_seq.max(last_seq);
    }
    Ok(recovered)
}

/// Reads a segment whole, shows `each` undamaged entry, and writes down what it holds.
pub(super) fn scan_and_seal(
    path: &Path,
    first: u64,
    last_seq: u64,
    each: impl FnMut(u64, &Header, &[u8]),
) -> Result<Totals, StorageError> {
    let segment = Segment::open(path)?;
    let totals = segment.scan(first, last_seq, each)?;
    if let Err(error) = segment.seal(totals) {
        tracing::warn!(segment = %path.display(), %error, "a segment was left unsealed; the next start reads it whole");
    }
    Ok(totals)
}
