//! A power cut, simulated: what a process did to its files is written down by a library that is preloaded
//! into it (`tests/powercut/journal.c`), and read here, up to any moment, into the directory that would be
//! found after the power came back.
//!
//! What is certain after a cut, as POSIX promises it and no more:
//! - the bytes of a file as of its last fsync or fdatasync; of what was written since, each page is there or
//!   not, by chance;
//! - names (files made, renamed, removed) as of the last fsync of a directory; of those since, the first few,
//!   by chance. Names become durable in their order, as they do in the journals of ext4, XFS and btrfs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use super::preload::Preload;
use super::random::Random;

/// What a disk writes as a whole.
const PAGE: u64 = 4096;

/// The environment in which a process writes down what it does below `root`.
pub(crate) fn environment(
    preload: &Preload,
    journal: &Path,
    root: &Path,
) -> [(&'static str, PathBuf); 3] {
    [
        preload.variable(),
        ("FIELDPOST_JOURNAL", journal.to_owned()),
        ("FIELDPOST_JOURNAL_ROOT", root.to_owned()),
    ]
}

/// The watched directory at one moment: what is durable, and what may be.
#[derive(Default)]
pub(crate) struct Disk {
    files: Vec<Contents>,
    /// The file that has an inode now; numbers are used again.
    inodes: HashMap<u64, usize>,
    names: Vec<Naming>,
    /// So many of `names` are durable.
    durable_names: usize,
}

#[derive(Default)]
struct Contents {
    durable: Vec<u8>,
    pending: Vec<Change>,
}

enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Length(u64),
}

enum Naming {
    File(PathBuf, usize),
    Directory(PathBuf),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl Disk {
    /// The directory once all that this part of a journal tells has happened.
    pub(crate) fn after(journal: &[u8]) -> Disk {
        let mut disk = Disk::default();
        let mut rest = journal;
        while let Some((entry, after)) = Entry::read(rest) {
            disk.happen(entry);
            rest = after;
        }
        disk
    }

    fn happen(&mut self, entry: Entry<'_>) {
        let known = self.inodes.get(&entry.inode).copied();
        match entry.what {
            b'L' => {
                self.inodes.insert(entry.inode, self.files.len());
                self.names
                    .push(Naming::File(entry.path(), self.files.len()));
                self.files.push(Contents::default());
            }
            b'M' => self.names.push(Naming::Directory(entry.path())),
            b'R' => {
                let to = path(entry.second);
                self.names.push(Naming::Rename(entry.path(), to));
            }
            b'U' => self.names.push(Naming::Remove(entry.path())),
            b'D' => self.durable_names = self.names.len(),
            // The others are about a file; one that nobody here made is outside the directory.
            b'W' | b'T' | b'S' => {
                let Some(file) = known else { return };
                let file = &mut self.files[file];
                match entry.what {
                    b'W' => file.pending.push(Change::Write {
                        offset: entry.number,
                        bytes: entry.first.to_vec(),
                    }),
                    b'T' => file.pending.push(Change::Length(entry.number)),
                    _ => file.sync(),
                }
            }
            other => panic!("the journal has an entry {other}"),
        }
    }

    /// Makes `to` what `root` would be after a cut now.
    pub(crate) fn cut(&self, root: &Path, to: &Path, chance: &Random) {
        let doubtful = (self.names.len() - self.durable_names) as u64;
        let certain = self.durable_names + (chance.next() % (doubtful + 1)) as usize;
        let mut found: BTreeMap<PathBuf, Option<usize>> = BTreeMap::new();
        for naming in &self.names[..certain] {
            match naming {
                Naming::File(path, file) => drop(found.insert(path.clone(), Some(*file))),
                Naming::Directory(path) => drop(found.insert(path.clone(), None)),
                Naming::Remove(path) => drop(found.remove(path)),
                Naming::Rename(from, to) => rename(&mut found, from, to),
            }
        }
        // In the order of their names a directory comes before what is in it.
        for (path, file) in found {
            let path = path.strip_prefix(root).expect("what is watched is below");
            match file {
                None => fs::create_dir(to.join(path)).expect("the disk has room"),
                Some(file) => {
                    let bytes = self.files[file].after_a_cut(chance);
                    fs::write(to.join(path), bytes).expect("the disk has room");
                }
            }
        }
    }
}

fn rename(found: &mut BTreeMap<PathBuf, Option<usize>>, from: &Path, to: &Path) {
    let moved = found.extract_if(.., |path, _| path.starts_with(from));
    let moved: Vec<_> = moved.collect();
    for (path, file) in moved {
        let rest = path.strip_prefix(from).expect("it starts so");
        // To join nothing would add a slash.
        let path = if rest == Path::new("") {
            to.to_owned()
        } else {
            to.join(rest)
        };
        found.insert(path, file);
    }
}

impl Contents {
    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    fn after_a_cut(&self, chance: &Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // Now all of it, now nothing, now some.
        let kept_of_ten = [0, 5, 9, 10][(chance.next() % 4) as usize];
        for change in &self.pending {
            for change in change.pages() {
                if chance.next() % 10 < kept_of_ten {
                    change.apply(&mut bytes);
                }
            }
        }
        bytes
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Change::Length(length) => file.resize(*length as usize, 0),
            Change::Write { offset, bytes } => {
                let (from, to) = (*offset as usize, *offset as usize + bytes.len());
                file.resize(file.len().max(to), 0);
                file[from..to].copy_from_slice(bytes);
            }
        }
    }

    /// The parts that arrive at the disk each by itself.
    fn pages(&self) -> Vec<Change> {
        let Change::Write { offset, bytes } = self else {
            let Change::Length(length) = self else {
                return Vec::new();
            };
            return vec![Change::Length(*length)];
        };
        let mut pages = Vec::new();
        let (mut offset, mut rest) = (*offset, &bytes[..]);
        while !rest.is_empty() {
            let room = (PAGE - offset % PAGE) as usize;
            let (page, after) = rest.split_at(room.min(rest.len()));
            pages.push(Change::Write {
                offset,
                bytes: page.to_vec(),
            });
            (offset, rest) = (offset + page.len() as u64, after);
        }
        pages
    }
}

/// One entry of the journal.
struct Entry<'a> {
    what: u8,
    inode: u64,
    number: u64,
    first: &'a [u8],
    second: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The next entry and what comes after it; `None` when it is not whole.
    fn read(journal: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&what, rest) = journal.split_first()?;
        let (&inode, rest) = rest.split_first_chunk()?;
        let (&number, rest) = rest.split_first_chunk()?;
        let (&first_bytes, rest) = rest.split_first_chunk()?;
        let (&second_bytes, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_at_checked(u32::from_ne_bytes(first_bytes) as usize)?;
        let (second, rest) = rest.split_at_checked(u32::from_ne_bytes(second_bytes) as usize)?;
        let entry = Entry {
            what,
            inode: u64::from_ne_bytes(inode),
            number: u64::from_ne_bytes(number),
            first,
            second,
        };
        Some((entry, rest))
    }

    fn path(&self) -> PathBuf {
        path(self.first)
    }
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::str::from_utf8(bytes).expect("paths of the tests are text"))
}
