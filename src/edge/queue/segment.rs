//! One segment: a small sled database that is only ever added to.
//!
//! sled reports damage by an error or by a panic; both come out of here as
//! [`StorageError::Damaged`], and everything the operating system said as [`StorageError::Io`].

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use super::{
    StorageError, directory,
    entry::{self, Header, millis},
    info::{Info, Totals},
    salvage::Salvaged,
};

/// At most this many entries in one tree: sled rewrites a tree's page once it has 10 changes.
pub(super) const TREE_ENTRIES: u64 = 8;
const SLED_SEGMENT_BYTES: usize = 512 << 10;
const CACHE_BYTES: u64 = 1 << 20;
/// Set aside on disk for a new segment of the queue, so that a full disk shows when a segment
/// begins and not in the middle of one.
const RESERVE_BYTES: u64 = 14 << 20;

pub(super) struct Segment {
    path: PathBuf,
    db: sled::Db,
    /// A file of our own on sled's data: sled never calls fdatasync.
    data: File,
    /// The trees of a segment that was opened, not made. sled would make a missing one.
    trees: Option<HashSet<u64>>,
}

/// Whether a new segment sets disk space aside.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reserve {
    Yes,
    No,
}

impl Segment {
    /// Makes an empty segment, durable when this returns.
    pub(super) fn create(
        root: &Path,
        first: u64,
        before: u64,
        reserve: Reserve,
    ) -> Result<Segment, StorageError> {
        let path = directory::segment_path(root, first);
        if path.exists() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
        }
        Self::create_at(&path, root, before, reserve).inspect_err(|_| {
            // Nothing was stored in it; left behind, it would only be found empty.
            let _ = directory::remove_directory(&path);
        })
    }

    fn create_at(
        path: &Path,
        root: &Path,
        before: u64,
        reserve: Reserve,
    ) -> Result<Segment, StorageError> {
        directory::make_private(path)?;
        let db = guarded(|| configuration(path, SLED_SEGMENT_BYTES).open())?;
        let data = open_data(path)?;
        if reserve == Reserve::Yes {
            directory::set_aside(&data, RESERVE_BYTES)?;
        }
        let segment = Segment {
            path: path.to_owned(),
            db,
            data,
            trees: None,
        };
        segment.sync()?;
        // Windows syncs no file that is open for reading alone.
        let conf = File::options().write(true).open(path.join("conf"));
        conf?.sync_all()?;
        Info::Open { before }.write(path)?;
        directory::sync_directory(root)?;
        Ok(segment)
    }

    /// Opens a segment, repairing what can be repaired: what sled does not find any more, or the disk does not
    /// read, is put back, as far as it is undamaged. [`StorageError::Damaged`] means that nothing helped; after
    /// [`StorageError::Io`] the segment is as good as before.
    pub(super) fn open(path: &Path) -> Result<Segment, StorageError> {
        let salvaged = Salvaged::read(&path.join("db"))?;
        let opened = Self::open_as_it_is(path).and_then(|mut segment| {
            segment.put_back(&salvaged)?;
            Ok(segment)
        });
        let damage = match opened {
            Err(StorageError::Damaged(damage)) => damage,
            Err(error) if error.is_unreadable() => error.to_string(),
            settled => return settled,
        };
        if salvaged.is_empty() {
            return Err(StorageError::Damaged(damage));
        }
        tracing::warn!(path = %path.display(), %damage, "a segment of the queue is made anew from what is undamaged in it");
        Self::make_anew(path, &salvaged)?;
        Self::open_as_it_is(path)
    }

    fn open_as_it_is(path: &Path) -> Result<Segment, StorageError> {
        let db = open_repairing(path, SLED_SEGMENT_BYTES)?;
        let data = open_data(path)?;
        let names = guarded(|| Ok(db.tree_names()))?;
        let trees = names.iter().filter_map(|name| tree_number(name)).collect();
        Ok(Segment {
            path: path.to_owned(),
            db,
            data,
            trees: Some(trees),
        })
    }

    /// Puts a new segment with what was salvaged in the place of one that nothing opens. It is made
    /// beside that one, whole and durable, before it takes its place.
    fn make_anew(path: &Path, salvaged: &Salvaged) -> Result<(), StorageError> {
        let root = path.parent().unwrap_or(Path::new("."));
        let anew = path.with_extension(directory::ANEW);
        directory::remove_directory(&anew)?;
        let mut segment = Self::create_at(&anew, root, 0, Reserve::No)?;
        segment.trees = Some(HashSet::new());
        segment.put_back(salvaged)?;
        drop(segment);
        // What is known of the old one stays known; it is read once more where that is nothing.
        match Info::read(path) {
            Some(info) => info.write(&anew)?,
            None => fs::remove_file(anew.join("info"))?,
        }
        Ok(directory::take_the_place(&anew, path)?)
    }

    fn put_back(&mut self, salvaged: &Salvaged) -> Result<(), StorageError> {
        let mut count = 0;
        for (entry, value) in salvaged.entries() {
            if matches!(self.get(entry), Ok(Some(found)) if found == value) {
                continue;
            }
            self.insert(entry, value)?;
            count += 1;
            if let Some(trees) = &mut self.trees {
                trees.insert(entry / TREE_ENTRIES);
            }
        }
        if count > 0 {
            self.sync()?;
            tracing::warn!(path = %self.path.display(), entries = count, "put back what a damaged segment of the queue held behind the damage");
        }
        Ok(())
    }

    /// Adds an entry; durable after the next [`Segment::sync`].
    pub(super) fn insert(&self, entry: u64, value: &[u8]) -> Result<(), StorageError> {
        guarded(|| {
            let tree = self.db.open_tree(tree_name(entry / TREE_ENTRIES))?;
            tree.insert(entry.to_be_bytes(), value).map(drop)
        })
    }

    /// Makes all that was inserted durable.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        guarded(|| self.db.flush())?;
        self.data.sync_data()?;
        // Somebody may have deleted it; whoever has it open does not notice.
        match is_deleted(&self.data)? {
            true => Err(io::Error::from(io::ErrorKind::NotFound).into()),
            false => Ok(()),
        }
    }

    /// The value stored under a number below the segment's end.
    pub(super) fn get(&self, entry: u64) -> Result<Option<sled::IVec>, StorageError> {
        let tree = entry / TREE_ENTRIES;
        if self
            .trees
            .as_ref()
            .is_some_and(|trees| !trees.contains(&tree))
        {
            return Ok(None);
        }
        guarded(|| self.db.open_tree(tree_name(tree))?.get(entry.to_be_bytes()))
    }

    /// Reads the whole segment, shows `each` undamaged entry, and says what it holds. An incomplete last set was never
    /// acknowledged and does not count.
    pub(super) fn scan(
        &self,
        first: u64,
        before: u64,
        mut each: impl FnMut(u64, &Header, &[u8]),
    ) -> Result<Totals, StorageError> {
        let mut incomplete = None;
        let mut totals = Totals {
            before,
            last_seq: before,
            end: first,
            ..Totals::default()
        };
        let mut trees: Vec<u64> = self.trees.iter().flatten().copied().collect();
        trees.sort_unstable();
        for entry in trees
            .iter()
            .flat_map(|tree| tree * TREE_ENTRIES..(tree + 1) * TREE_ENTRIES)
        {
            let value = match self.get(entry) {
                Ok(Some(value)) => value,
                Ok(None) | Err(StorageError::Damaged(_)) => continue,
                Err(error) => return Err(error),
            };
            totals.bytes += stored_bytes(&value);
            totals.end = entry + 1;
            let Ok((header, _)) = entry::decode(entry, &value) else {
                continue;
            };
            each(entry, &header, &value);
            totals.last_seq = totals.last_seq.max(header.last_seq);
            if totals.oldest == 0 {
                totals.oldest = millis(header.appended_at);
            }
            if header.part + 1 == header.parts {
                totals.records += u64::from(header.records);
            } else {
                incomplete = Some((entry, header.part));
            }
        }
        if let Some((entry, part)) = incomplete
            && entry + 1 == totals.end
        {
            totals.end = entry.saturating_sub(u64::from(part)).max(first);
        }
        Ok(totals)
    }

    /// Gives the disk what the segment did not need and writes down what it holds. Nothing is
    /// inserted afterwards.
    pub(super) fn seal(&self, totals: Totals) -> Result<(), StorageError> {
        // The space first: on a full disk the other needs some.
        let length = self.data.metadata()?.len();
        self.data.set_len(length)?;
        Ok(Info::Sealed(totals).write(&self.path)?)
    }
}

/// What a value takes on disk, with sled's own bytes.
pub(super) fn stored_bytes(value: &[u8]) -> u64 {
    value.len() as u64 + 64
}

/// A database of one small value under one key, for the reader's position.
pub(super) struct Cell {
    db: sled::Db,
    data: File,
}

impl Cell {
    const SLED_SEGMENT_BYTES: usize = 64 << 10;

    pub(super) fn open(path: &Path) -> Result<Cell, StorageError> {
        directory::make_private(path)?;
        let db = open_repairing(path, Self::SLED_SEGMENT_BYTES)?;
        Ok(Cell {
            db,
            data: open_data(path)?,
        })
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<sled::IVec>, StorageError> {
        guarded(|| self.db.get(key))
    }

    /// Durable when this returns.
    pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        guarded(|| {
            self.db.insert(key, value)?;
            self.db.flush()
        })?;
        Ok(self.data.sync_data()?)
    }
}

fn configuration(path: &Path, segment_bytes: usize) -> sled::Config {
    sled::Config::new()
        .path(path)
        .segment_size(segment_bytes)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .mode(sled::Mode::LowSpace)
}

/// Opens a database, doing without its configuration and then its snapshots where these are
/// damaged: sled makes both anew from its data.
fn open_repairing(path: &Path, segment_bytes: usize) -> Result<sled::Db, StorageError> {
    let mut damage = None;
    for doubtful in [None, Some("conf"), Some("snap.")] {
        if let Some(prefix) = doubtful {
            remove_files(path, |name| name.starts_with(prefix))?;
        }
        // What a process killed while opening leaves behind makes sled refuse the database forever.
        remove_files(path, |name| name.ends_with(".generating"))?;
        match open_unlocked(path, segment_bytes) {
            Err(error @ StorageError::Damaged(_)) => damage = Some(error),
            settled => {
                if let (Some(damage), Some(prefix), Ok(_)) = (&damage, doubtful, &settled) {
                    tracing::warn!(path = %path.display(), %damage, without = prefix, "repaired a database of the queue");
                }
                return settled;
            }
        }
    }
    Err(damage.expect("the loop ends here only after damage"))
}

/// sled's own threads hold the file of a database that was just closed a moment longer.
fn open_unlocked(path: &Path, segment_bytes: usize) -> Result<sled::Db, StorageError> {
    let is_held = |error: &StorageError| match error {
        StorageError::Io(error) => error.to_string().contains("could not acquire lock"),
        _ => false,
    };
    directory::patiently(is_held, || {
        guarded(|| configuration(path, segment_bytes).open())
    })
}

/// Calls sled, which panics on some kinds of damage.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, StorageError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        // A file too short or with impossible contents is damage, not trouble with the disk.
        Ok(Err(sled::Error::Io(error)))
            if !matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
            ) =>
        {
            Err(error.into())
        }
        Ok(Err(error)) => Err(StorageError::Damaged(error.to_string())),
        Err(_) => Err(StorageError::Damaged("sled panicked".into())),
    }
}

fn open_data(path: &Path) -> io::Result<File> {
    File::options().read(true).write(true).open(path.join("db"))
}

#[cfg(unix)]
fn is_deleted(file: &File) -> io::Result<bool> {
    Ok(std::os::unix::fs::MetadataExt::nlink(&file.metadata()?) == 0)
}

/// Elsewhere a file that is open cannot be.
#[cfg(not(unix))]
fn is_deleted(_: &File) -> io::Result<bool> {
    Ok(false)
}

fn remove_files(path: &Path, doomed: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&doomed) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn tree_name(tree: u64) -> [u8; 9] {
    let mut name = [b't'; 9];
    name[1..].copy_from_slice(&tree.to_be_bytes());
    name
}

fn tree_number(name: &[u8]) -> Option<u64> {
    let (b't', number) = name.split_first()? else {
        return None;
    };
    Some(u64::from_be_bytes(number.try_into().ok()?))
}
