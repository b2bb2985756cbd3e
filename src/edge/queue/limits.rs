//! How much the queue may hold, for how long, and what gives way.
//!
//! Time here is the time that the queue was open, by a clock that only goes forward: a wall clock
//! that jumps, and a machine that is off or asleep, make no record older.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    time::{Duration, Instant},
};

use super::directory;

/// How long what the system said of the disk's free space is believed. Some file systems give space
/// back only a while after files are deleted.
const SPACE_BELIEVED: Duration = Duration::from_secs(1);
/// The time that the queue was open is written down this often; less is forgotten in a crash.
const SAVE_EVERY: Duration = Duration::from_secs(3600);

/// The bounds of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all segments, settled or not. One segment more may be there for a moment.
    pub max_bytes: u64,
    /// Records go at this age, or up to an eighth of it later: a segment goes whole. Only the time
    /// that the queue is open counts.
    pub max_age: Duration,
    /// Bytes that the queue leaves free on its disk, for others.
    pub min_free: u64,
    /// What happens when there is no room for new records.
    pub when_full: WhenFull,
}

/// What gives way in a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The oldest segment goes, whole. New records are always taken.
    DropOldest,
    /// New records are refused; what was acknowledged stays.
    Reject,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            max_age: Duration::from_secs(30 * 86_400),
            min_free: 512 << 20,
            when_full: WhenFull::DropOldest,
        }
    }
}

impl Limits {
    /// A segment is at most an eighth of the queue, so that little goes at once.
    pub(super) fn segment_bytes(&self) -> u64 {
        super::committer::SEGMENT_BYTES.min(self.max_bytes / 8)
    }

    /// A segment that is written for longer is full: it goes whole, and takes its youngest with it.
    pub(super) fn segment_age(&self) -> Duration {
        self.max_age / 8
    }
}

/// What the disk lacks of the floor.
#[derive(Debug, Default)]
pub(super) struct Space {
    measured: Option<Instant>,
    lacking: u64,
}

impl Space {
    /// Bytes that are to be given back. An unreadable file system lacks nothing.
    pub(super) fn lacking(&mut self, root: &Path, min_free: u64) -> u64 {
        let is_fresh = |at: Instant| at.elapsed() < SPACE_BELIEVED;
        if !self.measured.is_some_and(is_fresh) {
            self.measured = Some(Instant::now());
            self.lacking = match free_bytes(root) {
                Ok(free) => min_free.saturating_sub(free),
                Err(error) => {
                    tracing::debug!(%error, "the free space of the queue's disk is not known");
                    0
                }
            };
        }
        self.lacking
    }

    /// So much will be free soon.
    pub(super) fn given_back(&mut self, bytes: u64) {
        self.lacking = self.lacking.saturating_sub(bytes);
    }
}

/// Bytes that the disk of `root` has left for this account.
#[cfg(unix)]
pub(in crate::edge) fn free_bytes(root: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(root)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Only Unix is asked.
#[cfg(not(unix))]
pub(in crate::edge) fn free_bytes(_: &Path) -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How old segments are: the file `ages`, with the time that the queue had been open when each was
/// last written. One line, `ages 1 <now> <segment>:<then>...` in milliseconds, and its CRC32.
#[derive(Debug, Default)]
pub(super) struct Ages {
    sealed: BTreeMap<u64, Duration>,
    saved: Duration,
}

impl Ages {
    /// Reads the ages of `segments`. One that is not known was written just now. Also gives the time
    /// that the queue had been open.
    pub(super) fn open(root: &Path, segments: &[u64]) -> (Ages, Duration) {
        let text = fs::read_to_string(root.join("ages")).unwrap_or_default();
        let (saved, mut sealed) = parse(&text).unwrap_or_default();
        sealed.retain(|first, _| segments.contains(first));
        for first in segments {
            sealed.entry(*first).or_insert(saved);
        }
        (Ages { sealed, saved }, saved)
    }

    pub(super) fn seal(&mut self, first: u64, now: Duration) {
        self.sealed.insert(first, now);
    }

    /// Whether all of a segment is older than `max_age`.
    pub(super) fn is_over(&self, first: u64, now: Duration, max_age: Duration) -> bool {
        let sealed = self.sealed.get(&first);
        sealed.is_some_and(|then| now.saturating_sub(*then) > max_age)
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        now.saturating_sub(self.saved) >= SAVE_EVERY
    }

    /// Writes down the time, and the ages of those `segments` that are still there.
    pub(super) fn save(&mut self, root: &Path, now: Duration, segments: &[u64]) {
        self.sealed.retain(|first, _| segments.contains(first));
        self.saved = now;
        let mut line = format!("ages 1 {}", now.as_millis());
        for (first, then) in &self.sealed {
            line.push_str(&format!(" {first:x}:{}", then.as_millis()));
        }
        let crc = crc32fast::hash(line.as_bytes());
        let text = format!("{line} {crc:08x}\n");
        if let Err(error) = directory::replace_file(&root.join("ages"), &text) {
            tracing::warn!(%error, "the queue cannot write down how old its records are; they may stay longer");
        }
    }
}

fn parse(text: &str) -> Option<(Duration, BTreeMap<u64, Duration>)> {
    let (line, crc) = text.trim_end().rsplit_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(line.as_bytes()) {
        return None;
    }
    let mut words = line.strip_prefix("ages 1 ")?.split(' ');
    let millis = |word: &str| word.parse().ok().map(Duration::from_millis);
    let now = millis(words.next()?)?;
    let segment = |word: &str| {
        let (first, then) = word.split_once(':')?;
        Some((u64::from_str_radix(first, 16).ok()?, millis(then)?))
    };
    Some((now, words.map(segment).collect::<Option<_>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_time_open_and_survives_a_restart() {
        let hours = |n: u64| Duration::from_secs(n * 3600);
        let directory = tempfile::tempdir().unwrap();
        let (mut ages, now) = Ages::open(directory.path(), &[]);
        assert_eq!(now, Duration::ZERO);
        ages.seal(1, hours(1));
        ages.seal(9, hours(5));
        ages.save(directory.path(), hours(6), &[1, 9]);
        // However long the restart took: the time goes on where it was.
        let (ages, now) = Ages::open(directory.path(), &[1, 9, 20]);
        assert_eq!(now, hours(6));
        let over = |now| [1, 9, 20].map(|first| ages.is_over(first, now, hours(10)));
        assert_eq!(over(hours(11)), [false, false, false]);
        assert_eq!(over(hours(12)), [true, false, false]);
        assert_eq!(
            over(hours(16)),
            [true, true, false],
            "20 counts from the restart"
        );
        assert_eq!(over(hours(17)), [true, true, true]);
        // What cannot be read makes records younger, never older.
        fs::write(directory.path().join("ages"), "ages 1 0 1:0 00000000\n").unwrap();
        let (ages, now) = Ages::open(directory.path(), &[1]);
        assert!(!ages.is_over(1, now + hours(10), hours(10)));
    }

    #[test]
    fn space_is_given_back_once_and_not_asked_for_twice() {
        let directory = tempfile::tempdir().unwrap();
        let mut space = Space::default();
        assert_eq!(space.lacking(directory.path(), 0), 0);
        let mut space = Space::default();
        let lacking = space.lacking(directory.path(), u64::MAX);
        assert!(lacking > 0);
        space.given_back(lacking);
        assert_eq!(space.lacking(directory.path(), u64::MAX), 0);
    }
}
