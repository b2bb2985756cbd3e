//! Finds entries in a segment's file without sled.
//!
//! Values are stored as they are, none longer than a message of sled's, so an entry lies in the file in one
//! piece and is found by its own checksum. That serves twice:
//! - A sealed segment in which nothing is missing is read from its file. sled would read all of it into memory,
//!   twice, and keep it there.
//! - sled cuts a database at the first damage it meets, and zeroes what comes after; so a file that may be damaged
//!   is searched before sled opens it.
//!
//! Places that the disk cannot read are read around: zeros stand there, in which no entry is found.

mod around;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    ops::Range,
    path::Path,
};

use super::{entry, error::is_unreadable};
use around::Around;

/// A longer file is not read whole into memory. Segments are much shorter, but for one that was damaged, or
/// holds a request near the limit.
const MAX_BYTES: u64 = 128 << 20;
/// What is searched at a time.
const BUFFER_BYTES: usize = 512 << 10;

/// A segment that nothing is added to any more, and in which nothing is missing.
pub(super) struct Sealed {
    file: File,
    first: u64,
    places: Vec<Range<u64>>,
}

impl Sealed {
    /// Finds these entries in a segment's file; `None` when one is missing or damaged.
    pub(super) fn open(file: &Path, entries: Range<u64>) -> io::Result<Option<Sealed>> {
        let file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if is_unreadable(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let count = usize::try_from(entries.end.saturating_sub(entries.start));
        let mut places = vec![0..0; count.map_err(io::Error::other)?];
        search(&mut around(&file)?, |entry, offset, value| {
            if let Some(at) = entry.checked_sub(entries.start)
                && let Some(place) = places.get_mut(at as usize)
            {
                *place = offset..offset + value.len() as u64;
            }
        })?;
        let is_whole = places.iter().all(|place| !place.is_empty());
        Ok(is_whole.then_some(Sealed {
            file,
            first: entries.start,
            places,
        }))
    }

    /// The value stored under a number.
    pub(super) fn get(&self, entry: u64) -> io::Result<Option<Vec<u8>>> {
        let at = entry.checked_sub(self.first);
        let Some(place) = at.and_then(|at| self.places.get(at as usize)) else {
            return Ok(None);
        };
        let mut value = vec![0; (place.end - place.start) as usize];
        let mut filled = 0;
        while filled < value.len() {
            match read_at(
                &self.file,
                &mut value[filled..],
                place.start + filled as u64,
            ) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Some(value))
    }
}

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
            Ok(metadata) if metadata.len() <= MAX_BYTES => {
                let mut bytes = Vec::with_capacity(metadata.len() as usize);
                around(&File::open(path)?)?.read_to_end(&mut bytes)?;
                bytes
            }
            Ok(metadata) => {
                tracing::warn!(path = %path.display(), bytes = metadata.len(), "a segment of the queue is too long to be searched for undamaged entries");
                return Ok(Salvaged::default());
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Salvaged::default()),
            Err(error) => return Err(error),
        };
        let mut entries = BTreeMap::new();
        search(&mut &file[..], |entry, offset, value| {
            let offset = offset as usize;
            entries.insert(entry, offset..offset + value.len());
        })?;
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

/// Shows `each` whole entry its number, its place in the file, and its value.
fn search(file: &mut impl Read, mut each: impl FnMut(u64, u64, &[u8])) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut offset, mut filled) = (0, 0);
    loop {
        let read = fill(file, &mut buffer[filled..])?;
        filled += read;
        let is_end = filled < BUFFER_BYTES;
        // An entry that begins later may go on behind what is read.
        let end = match is_end {
            true => filled,
            false => filled - entry::MAX_BYTES,
        };
        let mut at = 0;
        while at < end
            && let Some(skipped) = memchr::memchr(entry::VERSION, &buffer[at..end])
        {
            at += skipped;
            match entry::find(&buffer[at..filled]) {
                Some((entry, value)) => {
                    each(entry, offset + at as u64, value);
                    at += value.len();
                }
                None => at += 1,
            }
        }
        if is_end {
            return Ok(());
        }
        at = at.max(end);
        buffer.copy_within(at..filled, 0);
        offset += at as u64;
        filled -= at;
    }
}

/// Reads until the buffer is full or the file ends.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file, read around what cannot be read of it.
fn around(file: &File) -> io::Result<impl Read> {
    let length = file.metadata()?.len();
    let read = |buffer: &mut [u8], offset| read_at(file, buffer, offset);
    Ok(Around::new(read, length))
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(offset))?;
    file.read(buffer)
}
