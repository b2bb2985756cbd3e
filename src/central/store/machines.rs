//! Reads machines, and what is missing of their records.

use std::collections::BTreeMap;

use super::query::{Query, Row};
use super::{Dropped, Machine, Scope, SeqRange, Store, StoreError};

/// Ranges that are listed at most, of a machine's gaps and of each reason; all of them are counted.
pub const MAX_GAPS: usize = 100;

impl Store {
    /// All machines, the latest seen first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machines(&self, scope: Scope) -> Result<Vec<Machine>, StoreError> {
        let sql = "SELECT id, nullif(host_name, ''), nullif(os, ''), nullif(version, ''), first_seen,
                last_seen, nullif(heartbeat_at, -1), nullif(queue_records, -1), nullif(queue_bytes, -1)
            FROM machines WHERE tenant = $1 AND environment = $2 ORDER BY last_seen DESC, id";
        let rows = self.derived_rows(Query::scoped(sql, scope)).await?;
        let mut machines = rows
            .into_iter()
            .map(machine)
            .collect::<Result<Vec<_>, _>>()?;
        let mut accounts = self.accounts_of_machines(scope).await?;
        for machine in &mut machines {
            let account = accounts.remove(&machine.id).unwrap_or_default();
            account.tell(machine);
        }
        Ok(machines)
    }

    async fn accounts_of_machines(
        &self,
        scope: Scope,
    ) -> Result<BTreeMap<String, Account>, StoreError> {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        let sql = "SELECT machine, first, last FROM machine_ranges
            WHERE tenant = $1 AND environment = $2 ORDER BY machine, first";
        for mut row in self.rows(Query::scoped(sql, scope)).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            account.stored.push(range(&mut row, 1)?);
        }
        let sql = "SELECT machine, reason, first, last FROM machine_losses
            WHERE tenant = $1 AND environment = $2 ORDER BY machine, reason, first";
        for mut row in self.rows(Query::scoped(sql, scope)).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            let lost = account.lost.entry(row.take(1)?).or_default();
            lost.push(range(&mut row, 2)?);
        }
        let sql = "SELECT machine, reason, records FROM machine_loss_counts
            WHERE tenant = $1 AND environment = $2";
        for mut row in self.rows(Query::scoped(sql, scope)).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            account.counts.insert(row.take(1)?, row.take(2)?);
        }
        Ok(accounts)
    }
}

fn machine(mut row: Row) -> Result<Machine, StoreError> {
    Ok(Machine {
        id: row.take(0)?,
        host_name: row.take(1)?,
        os: row.take(2)?,
        edge_version: row.take(3)?,
        first_seen: row.take(4)?,
        last_seen: row.take(5)?,
        last_heartbeat: row.take(6)?,
        queue_records: row.take(7)?,
        queue_bytes: row.take(8)?,
        last_seq: 0,
        stored: 0,
        missing: 0,
        gaps: Vec::new(),
        dropped: Vec::new(),
    })
}

fn range(row: &mut Row, column: usize) -> Result<SeqRange, StoreError> {
    Ok(SeqRange {
        first: row.take(column)?,
        last: row.take(column + 1)?,
    })
}

/// The numbers of one machine.
#[derive(Default)]
struct Account {
    stored: Vec<SeqRange>,
    lost: BTreeMap<String, Vec<SeqRange>>,
    counts: BTreeMap<String, i64>,
}

impl Account {
    /// Sums up the runs of numbers that are here, finds what lies between them, and tells apart what
    /// the edge has explained.
    fn tell(self, machine: &mut Machine) {
        let Account {
            stored,
            lost,
            mut counts,
        } = self;
        for reason in lost.keys() {
            counts.entry(reason.clone()).or_default();
        }
        machine.stored = sum(&stored);
        machine.last_seq = stored.last().map_or(0, |range| range.last);
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
