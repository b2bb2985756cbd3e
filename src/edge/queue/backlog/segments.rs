//! Whole segments: what they hold, which go before their time, and which are to be deleted.

use std::{collections::BTreeMap, ops::Range};

use super::{
    super::{SegmentSummary, entry::from_millis, info::Totals},
    Backlog, Part, Weight,
};
use crate::event::Timestamp;

impl Backlog {
    /// Bytes of all segments, as written.
    pub(in crate::edge::queue) fn stored_bytes(&self) -> u64 {
        self.segments.iter().map(|part| part.totals.bytes).sum()
    }

    /// The segment before this one, and what it holds.
    pub(in crate::edge::queue) fn before(&self, first: u64) -> Option<(u64, Totals)> {
        let part = self.segments.iter().rfind(|part| part.first < first)?;
        Some((part.first, part.totals))
    }

    /// The first entries of all segments.
    pub(in crate::edge::queue) fn segments(&self) -> Vec<u64> {
        self.segments.iter().map(|part| part.first).collect()
    }

    /// What every segment holds.
    pub(in crate::edge::queue) fn summaries(&self) -> Vec<SegmentSummary> {
        let summary = |part: &Part| SegmentSummary {
            first: part.first,
            end: part.totals.end,
            settled: self.cursor.clamp(part.first, part.totals.end),
            records: part.totals.records,
            bytes: part.totals.bytes,
            last_seq: part.totals.last_seq,
            oldest: (part.totals.oldest > 0)
                .then(|| Timestamp::from(from_millis(part.totals.oldest))),
            is_open: false,
        };
        self.segments.iter().map(summary).collect()
    }

    /// The first entry that is not settled, and the one after the last.
    pub(in crate::edge::queue) fn position(&self) -> (u64, u64) {
        let end = self.segments.back().map_or(0, |last| last.totals.end);
        (self.cursor, end)
    }

    /// The entries of a segment, settled or not.
    pub(in crate::edge::queue) fn entries_of(&self, first: u64) -> Range<u64> {
        let part = self.segments.iter().find(|part| part.first == first);
        first..part.map_or(first, |part| part.totals.end)
    }

    /// The highest record number before what is unsettled of a segment, and the highest up to its end.
    pub(in crate::edge::queue) fn numbers_of(&self, first: u64) -> (u64, u64) {
        let part = self.segments.iter().find(|part| part.first == first);
        part.map_or((0, 0), |part| {
            let before = part.totals.before.max(self.cursor_seq);
            (before, part.totals.last_seq)
        })
    }

    /// The highest record number that is handed out of what stands before an entry, 0 for none.
    pub(in crate::edge::queue) fn handed_out_up_to(&self, entry: u64) -> u64 {
        let before = self.in_flight.range(..entry);
        before.map(|(_, flight)| flight.last_seq).max().unwrap_or(0)
    }

    /// The entries of a segment that are not settled.
    pub(in crate::edge::queue) fn unsettled(&self, first: u64) -> Vec<Range<u64>> {
        let Some(part) = self.segments.iter().find(|part| part.first == first) else {
            return Vec::new();
        };
        let mut unsettled = Vec::new();
        let mut at = self.cursor.max(first);
        for (start, flight) in self.in_flight.range(first..part.totals.end) {
            if flight.settled {
                unsettled.push(at..*start);
                at = flight.end;
            }
        }
        unsettled.push(at..part.totals.end);
        unsettled
    }

    /// The oldest segment that can go before its time: not the last, and none of which something is
    /// handed out.
    pub(in crate::edge::queue) fn oldest_to_drop(&self) -> Option<u64> {
        let part = self.droppable().next()?;
        Some(part.first)
    }

    /// Segments that can go before their time, the oldest first.
    pub(super) fn droppable(&self) -> impl Iterator<Item = &Part> {
        let but_last = self.segments.len().saturating_sub(1);
        self.segments.iter().take(but_last).filter(|part| {
            let mut flights = self.in_flight.range(part.first..part.totals.end);
            flights.all(|(_, flight)| flight.settled)
        })
    }

    /// Takes a segment out that can go before its time, to be deleted. Nothing may have
    /// been handed out since. Says what went: unsettled records, and bytes on disk.
    pub(in crate::edge::queue) fn drop_segment(&mut self, first: u64) -> Option<Weight> {
        let at = self.segments.iter().position(|part| part.first == first)?;
        let Part {
            totals, settled, ..
        } = self.segments.remove(at)?;
        // Its numbers are accounted for.
        match at.checked_sub(1) {
            Some(before) => self.segments[before].totals.last_seq = totals.last_seq,
            None => self.cursor_seq = self.cursor_seq.max(totals.last_seq),
        }
        let mut records = totals.records.saturating_sub(settled.records);
        let mut kept = BTreeMap::new();
        for (start, flight) in std::mem::take(&mut self.in_flight) {
            if (first..totals.end).contains(&start) {
                records = records.saturating_sub(flight.weight.records);
            } else {
                kept.insert(start, flight);
            }
        }
        self.in_flight = kept;
        for (start, end) in std::mem::take(&mut self.returned) {
            // What was given back may reach over several segments.
            for (start, end) in [(start, end.min(first)), (start.max(totals.end), end)] {
                if start < end {
                    self.returned.insert(start, end);
                }
            }
        }
        self.drained.push(first);
        self.advance();
        let next = self.next_to_read();
        let next = next.and_then(|(first, _)| self.segments.iter().find(|p| p.first == first));
        self.unread_since = next.map(|part| from_millis(part.totals.oldest));
        Some(Weight {
            records,
            bytes: totals.bytes,
        })
    }

    pub(in crate::edge::queue) fn take_drained(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.drained)
    }

    /// Puts back what could not be deleted yet.
    pub(in crate::edge::queue) fn still_drained(&mut self, segments: Vec<u64>) {
        self.drained.extend(segments);
    }

    pub(in crate::edge::queue) fn has_drained(&self) -> bool {
        !self.drained.is_empty()
    }

    /// Bytes of the last segment, if everything in it is settled.
    pub(in crate::edge::queue) fn settled_tail_bytes(&self) -> Option<u64> {
        let last = self.segments.back()?;
        (self.cursor >= last.totals.end).then_some(last.totals.bytes)
    }
}
