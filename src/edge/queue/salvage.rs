//! Finds entries in a segment's file without sled.
//!
//! sled cuts a database at the first damage it meets, and zeroes what comes after; so the file is read before
//! sled opens it. Values are stored as they are, none longer than a message of sled's, so an entry lies in the
//! file in one piece and is found by its own checksum.

use std::{collections::BTreeMap, fs, io, ops::Range, path::Path};

use super::entry;

/// A longer file is not searched: more is not read into memory at once. Segments are much shorter, but for one
/// that was damaged, or holds a request near the limit.
const MAX_BYTES: u64 = 128 << 20;

/// Entries found, and the bytes of all.
#[derive(Default)]
pub(super) struct Salvaged {
    file: Vec<u8>,
    entries: BTreeMap<u64, Range<usize>>,
}

impl Salvaged {
    /// Searches a file. One that is missing holds nothing.
    pub(super) fn read(path: &Path) -> io::Result<Salvaged> {
        let file = match fs::metadata(path) {
            Ok(metadata) if metadata.len() <= MAX_BYTES => fs::read(path)?,
            Ok(metadata) => {
                tracing::warn!(path = %path.display(), bytes = metadata.len(), "a segment of the queue is too long to be searched for undamaged entries");
                return Ok(Salvaged::default());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Salvaged::default()),
            Err(error) => return Err(error),
        };
        let mut entries = BTreeMap::new();
        let mut at = 0;
        while let Some(skipped) = memchr::memchr(entry::VERSION, &file[at..]) {
            at += skipped;
            match entry::find(&file[at..]) {
                Some((entry, value)) => {
                    entries.insert(entry, at..at + value.len());
                    at += value.len();
                }
                None => at += 1,
            }
        }
        Ok(Salvaged { file, entries })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Numbers and values, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let value = |(entry, place): (&u64, &Range<usize>)| (*entry, &self.file[place.clone()]);
        self.entries.iter().map(value)
    }
}
