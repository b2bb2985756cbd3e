//! What is in the queue, as numbers only: which entries exist, which are handed out, which are
//! settled. Names no sled, no thread and no clock.

mod segments;
mod shares;

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Range,
    time::{Duration, SystemTime},
};

use super::{BatchLimits, Depth, entry::from_millis, info::Totals};

/// Entries of one segment are consecutive; between segments numbers may be missing.
#[derive(Debug)]
struct Part {
    first: u64,
    totals: Totals,
    /// Bytes of that by account, as far as this process has written it.
    held: Held,
    /// Before the cursor.
    settled: Weight,
}

/// Bytes by account.
pub(super) type Held = BTreeMap<u32, u64>;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Weight {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// The position that is kept on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cursor {
    /// The first entry that is not settled.
    pub(super) next: u64,
    /// The segment of that entry, and what of it is settled.
    pub(super) segment: u64,
    pub(super) settled: Weight,
    /// The highest record number before that entry.
    pub(super) last_seq: u64,
}

/// A range of entries that was handed out.
#[derive(Debug)]
struct Flight {
    end: u64,
    settled: bool,
    weight: Weight,
    oldest: SystemTime,
    /// The highest record number up to its end; 0 where it is unknown.
    last_seq: u64,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// In order; the last one stays, even when settled, for it knows the numbers that are used.
    segments: VecDeque<Part>,
    /// Settled whole, to be deleted.
    drained: Vec<u64>,
    cursor: u64,
    /// The highest record number before the cursor.
    cursor_seq: u64,
    read_from: u64,
    in_flight: BTreeMap<u64, Flight>,
    /// Handed out and given back.
    returned: BTreeMap<u64, u64>,
    /// Age of the oldest unread entry, as far as known without reading.
    unread_since: Option<SystemTime>,
    damaged: u64,
    /// Entries that a power cut tore before they were acknowledged: nothing is lost with them.
    torn: Vec<Range<u64>>,
}

impl Part {
    fn has_after(&self, position: u64) -> bool {
        self.totals.end > position.max(self.first)
    }
}

impl Backlog {
    /// `segments` in order of their first entries.
    pub(super) fn new(segments: Vec<(u64, Totals)>, saved: Cursor, damaged: u64) -> Self {
        let mut backlog = Self {
            cursor: saved.next,
            cursor_seq: saved.last_seq,
            read_from: saved.next,
            damaged,
            ..Self::default()
        };
        for (first, totals) in segments {
            let settled = if first == saved.segment {
                saved.settled
            } else {
                Weight::default()
            };
            backlog.segments.push_back(Part {
                first,
                totals,
                held: Held::new(),
                settled,
            });
        }
        backlog.advance();
        let head = backlog
            .segments
            .iter()
            .find(|part| part.has_after(backlog.cursor));
        backlog.unread_since = head.map(|part| from_millis(part.totals.oldest));
        backlog
    }

    /// The same with entries that a power cut tore.
    pub(super) fn with_torn(mut self, torn: Vec<Range<u64>>) -> Self {
        self.torn = torn;
        self
    }

    pub(super) fn is_torn(&self, range: &Range<u64>) -> bool {
        let holds = |torn: &Range<u64>| torn.start <= range.start && range.end <= torn.end;
        self.torn.iter().any(holds)
    }

    pub(super) fn begin_segment(&mut self, first: u64, last_seq: u64) {
        let totals = Totals {
            before: last_seq,
            last_seq,
            end: first,
            ..Totals::default()
        };
        self.segments.push_back(Part {
            first,
            totals,
            held: Held::new(),
            settled: Weight::default(),
        });
        self.advance();
    }

    /// Entries of the last segment became durable, of which the oldest was appended at `since`.
    pub(super) fn committed(&mut self, totals: Totals, held: Held, since: SystemTime) {
        if self.is_all_read() {
            self.unread_since = Some(since);
        }
        if let Some(last) = self.segments.back_mut() {
            last.totals = totals;
            last.held = held;
        }
    }

    /// The next range to read, and the first entry of its segment. The range is what may be read,
    /// not what must be.
    pub(super) fn next_to_read(&self) -> Option<(u64, Range<u64>)> {
        if let Some((&start, &end)) = self.returned.first_key_value() {
            let part = self.segments.iter().rfind(|part| part.first <= start)?;
            return Some((part.first, start..end.min(part.totals.end)));
        }
        let part = self
            .segments
            .iter()
            .find(|part| part.has_after(self.read_from))?;
        Some((part.first, self.read_from.max(part.first)..part.totals.end))
    }

    /// How long what can be read may still wait for more to come; `None` when it makes a full batch,
    /// or one that is old enough.
    pub(super) fn ripens_in(&self, limits: BatchLimits, now: SystemTime) -> Option<Duration> {
        let since = self.unread_since.filter(|_| self.returned.is_empty())?;
        // A clock that was set back makes no record younger than new.
        let age = now.duration_since(since).unwrap_or_default();
        let left = limits.age.checked_sub(age).filter(|left| !left.is_zero())?;
        let waiting = self.depth();
        let flights = self.in_flight.values();
        let taken = flights.fold(Weight::default(), |sum, flight| Weight {
            records: sum.records + flight.weight.records,
            bytes: sum.bytes + flight.weight.bytes,
        });
        let is_full = waiting.records.saturating_sub(taken.records) >= limits.records as u64
            || waiting.bytes.saturating_sub(taken.bytes) >= limits.frame_bytes as u64;
        (!is_full).then_some(left)
    }

    /// A range was read and is handed out.
    pub(super) fn hand_out(
        &mut self,
        range: &Range<u64>,
        weight: Weight,
        oldest: SystemTime,
        last_seq: u64,
    ) {
        self.take(range);
        let flight = Flight {
            end: range.end,
            settled: false,
            weight,
            oldest,
            last_seq,
        };
        self.in_flight.insert(range.start, flight);
        self.unread_since = (!self.is_all_read()).then_some(oldest);
    }

    /// A range turned out to be damaged, or torn; nothing of it will be handed out.
    pub(super) fn skip(&mut self, range: &Range<u64>) {
        self.take(range);
        if !self.is_torn(range) {
            self.damaged += range.end - range.start;
        }
        let flight = Flight {
            end: range.end,
            settled: true,
            weight: Weight::default(),
            oldest: SystemTime::UNIX_EPOCH,
            last_seq: 0,
        };
        self.in_flight.insert(range.start, flight);
        self.advance();
    }

    pub(super) fn settle(&mut self, range: &Range<u64>) {
        if let Some(flight) = self.in_flight.get_mut(&range.start) {
            flight.settled = true;
        }
        self.advance();
    }

    pub(super) fn give_back(&mut self, range: &Range<u64>) {
        let Some(flight) = self.in_flight.remove(&range.start) else {
            return;
        };
        let since = self.unread_since.unwrap_or(flight.oldest);
        self.unread_since = Some(since.min(flight.oldest));
        // Joined with its neighbors, so that a batch is as large as if nothing had been read.
        let (mut start, mut end) = (range.start, flight.end);
        end = self.returned.remove(&end).unwrap_or(end);
        if let Some((&before, _)) = self
            .returned
            .iter()
            .find(|(_, before_end)| **before_end == start)
        {
            self.returned.remove(&before);
            start = before;
        }
        if end == self.read_from {
            self.read_from = start;
        } else {
            self.returned.insert(start, end);
        }
    }

    pub(super) fn cursor(&self) -> Cursor {
        let head = self.segments.front();
        Cursor {
            next: self.cursor,
            segment: head.map_or(0, |part| part.first),
            settled: head.map_or(Weight::default(), |part| part.settled),
            last_seq: self.cursor_seq,
        }
    }

    pub(super) fn depth(&self) -> Depth {
        let unsettled = self
            .segments
            .iter()
            .filter(|part| part.totals.end > self.cursor);
        let mut depth = Depth {
            damaged: self.damaged,
            ..Depth::default()
        };
        for Part {
            totals, settled, ..
        } in unsettled
        {
            depth.records += totals.records.saturating_sub(settled.records);
            depth.bytes += totals.bytes.saturating_sub(settled.bytes);
        }
        let in_flight = self.in_flight.values().filter(|flight| !flight.settled);
        depth.oldest = in_flight
            .map(|flight| flight.oldest)
            .chain(self.unread_since)
            .min();
        depth
    }

    fn is_all_read(&self) -> bool {
        self.next_to_read().is_none()
    }

    fn take(&mut self, range: &Range<u64>) {
        if let Some(end) = self.returned.remove(&range.start) {
            if range.end < end {
                self.returned.insert(range.end, end);
            }
        } else {
            self.read_from = self.read_from.max(range.end);
        }
    }

    /// Moves the cursor over what is settled without a hole, and segments out that it leaves.
    fn advance(&mut self) {
        loop {
            while self.segments.len() > 1 && self.segments[0].totals.end <= self.cursor {
                let done = self.segments.pop_front().expect("there are two at least");
                self.cursor_seq = self.cursor_seq.max(done.totals.last_seq);
                self.drained.push(done.first);
            }
            let Some(head) = self.segments.front_mut() else {
                return;
            };
            self.cursor = self.cursor.max(head.first);
            let Some(flight) = self.in_flight.first_entry() else {
                return;
            };
            if *flight.key() > self.cursor || !flight.get().settled {
                return;
            }
            let flight = flight.remove();
            self.cursor = flight.end;
            self.cursor_seq = self.cursor_seq.max(flight.last_seq);
            head.settled.records += flight.weight.records;
            head.settled.bytes += flight.weight.bytes;
        }
    }
}
