//! What was lost, and why: the numbers of records that will not arrive, kept until the upstream has
//! been told.
//!
//! The file `ledger`, text, replaced whole and synced before the records go:
//!
//! ```text
//! ledger 1
//! count <reason> <records>              lost for this reason since the queue was made
//! range <reason> <first> <last>         numbers of which the upstream has not been told
//! parked_dropped <records>              that went from a full parked list, where there are any
//! <CRC32 of the above>
//! ```
//!
//! A number is lost once: whatever befalls it later, the first reason stays. That makes it harmless
//! to write a loss down, crash, and meet the same records again. A record that is written down as
//! lost and arrives all the same is no loss to whoever has it.

mod book;

use std::{
    collections::BTreeMap,
    fs, io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{directory, error::is_unreadable};
use book::Book;

/// Records on their way that are known to tell of losses, at most.
const MAX_TOLD: usize = 64;

/// Why a record will not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The queue was full.
    Size,
    /// It waited for too long.
    Age,
    /// The disk was almost full.
    Disk,
    /// The upstream refuses it; it is in the parked list, unless it was dropped from there.
    Parked,
    /// It was damaged on disk.
    Damaged,
    /// It was numbered, and could then not be stored. Its sender was told.
    Refused,
}

impl Reason {
    /// All of them.
    pub const ALL: [Reason; 6] = [
        Reason::Size,
        Reason::Age,
        Reason::Disk,
        Reason::Parked,
        Reason::Damaged,
        Reason::Refused,
    ];

    /// The word for it on the wire and on disk.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Size => "size",
            Reason::Age => "age",
            Reason::Disk => "disk",
            Reason::Parked => "parked",
            Reason::Damaged => "damaged",
            Reason::Refused => "refused",
        }
    }
}

/// What is to be told of losses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Records lost since the queue was made, by reason, where there are any. Records without
    /// numbers count as well.
    pub counts: BTreeMap<Reason, u64>,
    /// Numbers that the upstream has not been told of, in order.
    pub ranges: Vec<(Reason, RangeInclusive<u64>)>,
}

pub(super) struct Ledger {
    path: PathBuf,
    book: Mutex<Book>,
    /// The disk did not take it.
    is_unsaved: AtomicBool,
}

impl Ledger {
    pub(super) fn open(path: PathBuf) -> io::Result<Ledger> {
        let is_damage =
            |error: &io::Error| is_unreadable(error) || error.kind() == io::ErrorKind::InvalidData;
        let book = match fs::read_to_string(&path) {
            Ok(text) => Book::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Book::default()),
            Err(error) if is_damage(&error) => None,
            Err(error) => return Err(error),
        };
        let book = book.unwrap_or_else(|| {
            tracing::error!(path = %path.display(), "the ledger of lost records is damaged and starts anew; their numbers will count as missing");
            Book::default()
        });
        Ok(Ledger {
            path,
            book: Mutex::new(book),
            is_unsaved: AtomicBool::new(false),
        })
    }

    /// The highest number in it, 0 for none: as good as used.
    pub(super) fn last_seq(&self) -> u64 {
        let book = self.book();
        let last = book.ranges.last_key_value();
        last.map_or(0, |(_, (last, _))| *last)
    }

    /// Writes down, durably when this returns, that these numbers are lost, and `unnumbered` more
    /// records. When the disk does not take it, it is known until the process ends.
    pub(super) fn add(&self, reason: Reason, numbers: &[RangeInclusive<u64>], unnumbered: u64) {
        let mut book = self.book();
        let mut records = unnumbered;
        for range in numbers {
            records += book.add(reason, range.clone());
        }
        if records > 0 {
            *book.counts.entry(reason).or_default() += records;
            self.save(&book);
        }
    }

    /// The same for numbers of which it is unknown how many were used: they count as one record.
    pub(super) fn give_up(&self, reason: Reason, numbers: RangeInclusive<u64>) {
        let mut book = self.book();
        if book.add(reason, numbers) > 0 {
            *book.counts.entry(reason).or_default() += 1;
            self.save(&book);
        }
    }

    /// Writes down, before they go, that so many records go from the parked list to make room. To the upstream
    /// they were lost before. After a crash in between they are counted twice.
    pub(super) fn drop_parked(&self, records: u64) {
        let mut book = self.book();
        book.parked_dropped += records;
        self.save(&book);
    }

    /// Records that went from the parked list to make room.
    pub(super) fn parked_dropped(&self) -> u64 {
        self.book().parked_dropped
    }

    /// What to tell, with at most `max_ranges` of the oldest ranges.
    pub(super) fn losses(&self, max_ranges: usize) -> Losses {
        let book = self.book();
        let ranges = book.ranges.iter().take(max_ranges);
        Losses {
            counts: book.counts.clone(),
            ranges: ranges
                .map(|(first, (last, reason))| (*reason, *first..=*last))
                .collect(),
        }
    }

    /// From now on losses are only counted: there is nobody to tell the numbers. A loss that is met
    /// again after a crash then counts twice.
    pub(super) fn count_only(&self) {
        let mut book = self.book();
        book.counts_only = true;
        if !book.ranges.is_empty() {
            book.ranges.clear();
            self.save(&book);
        }
    }

    /// The record with this number tells of these losses.
    pub(super) fn told(&self, number: u64, losses: &Losses) {
        if !losses.ranges.is_empty() {
            let ranges = losses.ranges.iter().map(|(_, range)| range.clone());
            let mut book = self.book();
            book.told.insert(number, ranges.collect());
            // Where nothing arrives for weeks, the latest are enough: each tells the oldest ranges.
            while book.told.len() > MAX_TOLD {
                book.told.pop_first();
            }
        }
    }

    /// Whether one of these numbers tells of losses.
    pub(super) fn tells(&self, numbers: &RangeInclusive<u64>) -> bool {
        self.book().told.range(numbers.clone()).next().is_some()
    }

    /// The upstream has these numbers, but for those that are lost: what they told is forgotten.
    pub(super) fn delivered(&self, numbers: &RangeInclusive<u64>) {
        let mut book = self.book();
        let told: Vec<u64> = book.told.range(numbers.clone()).map(|t| *t.0).collect();
        for number in told {
            let ranges = book.told.remove(&number).unwrap_or_default();
            if !book.is_lost(number) {
                ranges.into_iter().for_each(|range| book.forget(range));
            }
        }
        self.save(&book);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tries again what the disk did not take.
    pub(super) fn save_what_is_unsaved(&self) {
        if self.is_unsaved.load(Ordering::Relaxed) {
            self.save(&self.book());
        }
    }

    fn save(&self, book: &Book) {
        let text = book.write();
        let mut saved = directory::replace_file(&self.path, &text);
        if saved.is_err() && directory::drop_ballast(self.path.parent().unwrap_or(Path::new("."))) {
            saved = directory::replace_file(&self.path, &text);
        }
        self.is_unsaved.store(saved.is_err(), Ordering::Relaxed);
        if let Err(error) = saved {
            tracing::error!(%error, "the ledger of lost records cannot be written; after a crash these would count as missing");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::{prelude::*, test_runner::RngSeed};

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, rng_seed: RngSeed::Fixed(9), ..ProptestConfig::default() })]

        /// Against a plain set of numbers, with the file read back after every step.
        #[test]
        fn is_a_set_of_numbers(
            steps in proptest::collection::vec((0..3u8, 0..6usize, 1..60u64, 0..9u64), 1..40)
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("ledger");
            let ledger = Ledger::open(path.clone()).unwrap();
            let mut model: BTreeMap<u64, Reason> = BTreeMap::new();
            let mut counts: BTreeMap<Reason, u64> = BTreeMap::new();
            for (number, (kind, reason, first, more)) in (1000..).zip(steps) {
                let (reason, range) = (Reason::ALL[reason], first..=first + more);
                match kind {
                    0 | 1 => {
                        ledger.add(reason, std::slice::from_ref(&range), 0);
                        for n in range {
                            model.entry(n).or_insert_with(|| {
                                *counts.entry(reason).or_default() += 1;
                                reason
                            });
                        }
                    }
                    _ => {
                        let losses = ledger.losses(2);
                        ledger.told(number, &losses);
                        // What is lost meanwhile is not forgotten with what was told.
                        ledger.add(reason, std::slice::from_ref(&range), 0);
                        for n in range {
                            model.entry(n).or_insert_with(|| {
                                *counts.entry(reason).or_default() += 1;
                                reason
                            });
                        }
                        ledger.delivered(&(number..=number));
                        for n in losses.ranges.into_iter().flat_map(|told| told.1) {
                            model.remove(&n);
                        }
                    }
                }
                let read = Ledger::open(path.clone()).unwrap().losses(usize::MAX);
                prop_assert_eq!(&read, &ledger.losses(usize::MAX));
                prop_assert_eq!(&read.counts, &counts);
                let mut seen = BTreeSet::new();
                for (reason, range) in read.ranges {
                    for n in range {
                        prop_assert!(seen.insert(n));
                        prop_assert_eq!(model.get(&n), Some(&reason));
                    }
                }
                prop_assert_eq!(seen.len(), model.len());
            }
        }
    }

    #[test]
    fn what_the_upstream_never_got_is_told_again() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(directory.path().join("ledger")).unwrap();
        ledger.add(Reason::Size, &[5..=9], 2);
        ledger.told(20, &ledger.losses(10));
        ledger.add(Reason::Parked, &[20..=20], 0);
        ledger.delivered(&(15..=25));
        let losses = ledger.losses(10);
        assert_eq!(
            losses.ranges,
            [(Reason::Size, 5..=9), (Reason::Parked, 20..=20)],
            "the record that told of it was itself lost"
        );
        assert_eq!(losses.counts[&Reason::Size], 7);
        ledger.told(21, &losses);
        ledger.delivered(&(21..=21));
        assert_eq!(ledger.losses(10).ranges, []);
        assert_eq!(ledger.losses(10).counts[&Reason::Size], 7);
    }
}
