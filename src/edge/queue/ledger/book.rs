//! What the ledger holds: counts, and ranges of numbers. No disk, no lock.

use std::{collections::BTreeMap, ops::RangeInclusive};

use super::Reason;

/// Ranges that are kept at most; what does not fit is only counted.
const MAX_RANGES: usize = 16_384;

#[derive(Debug, Default, PartialEq)]
pub(super) struct Book {
    pub(super) counts: BTreeMap<Reason, u64>,
    /// By the first number; they do not overlap.
    pub(super) ranges: BTreeMap<u64, (u64, Reason)>,
    /// Records that went from the parked list to make room.
    pub(super) parked_dropped: u64,
    /// Records on their way that tell of ranges, by their numbers. Not kept on disk: after a
    /// restart the ranges are told again.
    pub(super) told: BTreeMap<u64, Vec<RangeInclusive<u64>>>,
    /// Nobody will ever be told: numbers are not kept.
    pub(super) counts_only: bool,
}

impl Book {
    /// Adds what of the range is not in yet, and says how many numbers that are.
    pub(super) fn add(&mut self, reason: Reason, range: RangeInclusive<u64>) -> u64 {
        let (mut at, end) = range.into_inner();
        if self.counts_only {
            return (end + 1).saturating_sub(at);
        }
        let mut added = 0;
        while at <= end {
            if let Some((_, &(last, _))) = self.ranges.range(..=at).next_back()
                && last >= at
            {
                at = last + 1;
                continue;
            }
            let next = self.ranges.range(at..=end).next();
            let last = next.map_or(end, |(next, _)| next - 1);
            added += last - at + 1;
            self.insert(reason, at, last);
            at = last + 1;
        }
        added
    }

    /// Inserts a range that overlaps none, joined with its neighbors.
    fn insert(&mut self, reason: Reason, mut first: u64, mut last: u64) {
        if let Some((&before, &(end, of))) = self.ranges.range(..first).next_back()
            && of == reason
            && end + 1 == first
        {
            self.ranges.remove(&before);
            first = before;
        }
        if let Some(&(end, of)) = self.ranges.get(&(last + 1))
            && of == reason
        {
            self.ranges.remove(&(last + 1));
            last = end;
        }
        if self.ranges.len() < MAX_RANGES {
            self.ranges.insert(first, (last, reason));
        } else {
            tracing::error!(
                first,
                last,
                "the ledger of lost records is full; these will count as missing"
            );
        }
    }

    /// Takes the numbers of a range out that are in.
    pub(super) fn forget(&mut self, range: RangeInclusive<u64>) {
        let (start, end) = range.into_inner();
        let within: Vec<u64> = self.ranges.range(start..=end).map(|r| *r.0).collect();
        for first in within {
            let (last, reason) = self.ranges.remove(&first).expect("it was just there");
            // It may have grown since.
            if last > end {
                self.ranges.insert(end + 1, (last, reason));
            }
        }
        // A neighbor below may have joined with it since.
        if let Some((&first, &(last, reason))) = self.ranges.range(..start).next_back()
            && last >= start
        {
            self.ranges.insert(first, (start - 1, reason));
            if last > end {
                self.ranges.insert(end + 1, (last, reason));
            }
        }
    }

    pub(super) fn is_lost(&self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back();
        before.is_some_and(|(_, (last, _))| *last >= number)
    }

    /// The text of the file.
    pub(super) fn write(&self) -> String {
        let mut text = String::from("ledger 1\n");
        for (reason, records) in &self.counts {
            text.push_str(&format!("count {} {records}\n", reason.word()));
        }
        for (first, (last, reason)) in &self.ranges {
            text.push_str(&format!("range {} {first} {last}\n", reason.word()));
        }
        if self.parked_dropped > 0 {
            text.push_str(&format!("parked_dropped {}\n", self.parked_dropped));
        }
        let crc = crc32fast::hash(text.as_bytes());
        text.push_str(&format!("{crc:08x}\n"));
        text
    }

    /// Reads what [`Book::write`] wrote; `None` when it is damaged.
    pub(super) fn parse(text: &str) -> Option<Book> {
        let at = text.trim_end().rfind('\n')? + 1;
        let (body, crc) = text.split_at(at);
        if u32::from_str_radix(crc.trim_end(), 16).ok()? != crc32fast::hash(body.as_bytes()) {
            return None;
        }
        let mut book = Book::default();
        for line in body.strip_prefix("ledger 1\n")?.lines() {
            let mut words = line.split(' ');
            let kind = words.next()?;
            let word = words.next()?;
            if kind == "parked_dropped" {
                book.parked_dropped = word.parse().ok()?;
                continue;
            }
            let reason = Reason::ALL.into_iter().find(|r| r.word() == word)?;
            let first = words.next()?.parse().ok()?;
            match kind {
                "count" => book.counts.insert(reason, first).map(drop),
                "range" => {
                    let last = words.next()?.parse().ok()?;
                    book.ranges.insert(first, (last, reason)).map(drop)
                }
                _ => return None,
            };
        }
        Some(book)
    }
}
