//! What of a machine's numbers is here, what was lost for a reason, and what is missing without one.

use std::collections::BTreeMap;

use super::{Dropped, Machine, SeqRange};

/// Ranges that are listed at most, of a machine's gaps and of each reason; all of them are counted.
pub const MAX_GAPS: usize = 100;

/// The numbers of one machine.
#[derive(Default)]
pub(super) struct Account {
    /// The runs that are here, in order.
    pub(super) stored: Vec<SeqRange>,
    /// Those that will not come, by reason.
    pub(super) lost: BTreeMap<String, Vec<SeqRange>>,
    /// How many records were lost, by reason, as the edge counts.
    pub(super) counts: BTreeMap<String, i64>,
}

impl Account {
    /// Sums up the runs of numbers that are here, finds what lies between them, and tells apart what
    /// the edge has explained.
    pub(super) fn tell(self, machine: &mut Machine) {
        let Account {
            stored,
            lost,
            mut counts,
        } = self;
        for reason in lost.keys() {
            counts.entry(reason.clone()).or_default();
        }
        machine.stored = sum(&stored);
        let highest = stored.last().map_or(0, |range| range.last);
        machine.last_seq = machine.last_seq.max(highest);
        // A number is here, or lost for one reason, or missing.
        let mut missing = between(&stored);
        let mut unstored = vec![(i64::MIN, i64::MAX)];
        subtract(&mut unstored, &stored);
        for (reason, records) in counts {
            let of_reason = lost.get(&reason).map_or(&[][..], Vec::as_slice);
            let before = unstored.clone();
            subtract(&mut unstored, of_reason);
            let mut ranges = before;
            subtract(&mut ranges, &listed(&unstored));
            let ranges = listed(&ranges);
            subtract(&mut missing, &ranges);
            machine.dropped.push(Dropped {
                reason,
                records,
                numbers: sum(&ranges),
                ranges: ranges.into_iter().take(MAX_GAPS).collect(),
            });
        }
        let missing = listed(&missing);
        machine.missing = sum(&missing);
        machine.gaps = missing.into_iter().take(MAX_GAPS).collect();
    }
}

/// What lies between ranges in order.
fn between(ranges: &[SeqRange]) -> Vec<(i64, i64)> {
    let pairs = ranges.iter().zip(ranges.iter().skip(1));
    pairs
        .map(|(before, after)| (before.last + 1, after.first - 1))
        .collect()
}

/// Takes `without` out of `ranges`; both are in order and without overlaps.
fn subtract(ranges: &mut Vec<(i64, i64)>, without: &[SeqRange]) {
    let mut rest = Vec::with_capacity(ranges.len());
    let mut next = 0;
    for &(mut first, last) in ranges.iter() {
        while without.get(next).is_some_and(|hole| hole.last < first) {
            next += 1;
        }
        let mut at = next;
        let mut is_over = false;
        while let Some(hole) = without.get(at).filter(|hole| hole.first <= last) {
            if hole.first > first {
                rest.push((first, hole.first - 1));
            }
            if hole.last >= last {
                is_over = true;
                break;
            }
            first = hole.last + 1;
            at += 1;
        }
        if !is_over {
            rest.push((first, last));
        }
    }
    *ranges = rest;
}

fn listed(ranges: &[(i64, i64)]) -> Vec<SeqRange> {
    ranges
        .iter()
        .map(|&(first, last)| SeqRange { first, last })
        .collect()
}

fn sum(ranges: &[SeqRange]) -> i64 {
    ranges
        .iter()
        .map(|range| range.last.saturating_sub(range.first).saturating_add(1))
        .fold(0, i64::saturating_add)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn subtracts_like_a_set() {
        let sets = |bits: u32| -> Vec<(i64, i64)> {
            let mut ranges: Vec<(i64, i64)> = Vec::new();
            for n in (0..7).filter(|n| bits & (1 << n) != 0) {
                match ranges.last_mut() {
                    Some((_, last)) if *last + 1 == n => *last = n,
                    _ => ranges.push((n, n)),
                }
            }
            ranges
        };
        let numbers = |ranges: &[(i64, i64)]| -> BTreeSet<i64> {
            ranges
                .iter()
                .flat_map(|(first, last)| *first..=*last)
                .collect()
        };
        for (from, without) in (0..128).flat_map(|a| (0..128).map(move |b| (a, b))) {
            let (mut ranges, without) = (sets(from), sets(without));
            let expected = &numbers(&ranges) - &numbers(&without);
            subtract(&mut ranges, &listed(&without));
            assert_eq!(numbers(&ranges), expected);
            assert_eq!(sum(&listed(&ranges)) as usize, expected.len());
        }
    }
}
