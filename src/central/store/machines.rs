//! Reads machines, and what is missing of their records.

use std::collections::BTreeMap;

use crate::event::{CLOCK_TOLERANCE, Report, Timestamp};

use super::machine_state::{MachineState, Presence};
use super::query::{Query, Row};
use super::{Dropped, Machine, Scope, SeqRange, Store, StoreError};

/// Ranges that are listed at most, of a machine's gaps and of each reason; all of them are counted.
pub const MAX_GAPS: usize = 100;

impl Store {
    /// All machines, the latest seen first, as they are at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machines(&self, scope: Scope, now: Timestamp) -> Result<Vec<Machine>, StoreError> {
        self.read_machines(scope, None, now).await
    }

    /// One machine, as it is at `now`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machine(
        &self,
        scope: Scope,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<Machine>, StoreError> {
        Ok(self.read_machines(scope, Some(id), now).await?.pop())
    }

    /// Puts a machine aside at `now`, or, without a time, counts it again.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn retire_machine(
        &self,
        scope: Scope,
        id: &str,
        now: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let sql = match now {
            Some(_) => {
                "INSERT INTO retired_machines (tenant, environment, machine, retired_at)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (tenant, environment, machine)
                 DO UPDATE SET retired_at = excluded.retired_at"
            }
            None => {
                "DELETE FROM retired_machines WHERE tenant = $1 AND environment = $2 AND machine = $3"
            }
        };
        let mut change = Query::scoped(sql, scope);
        change.values.push(id.into());
        change.values.extend(now.map(|now| now.0.into()));
        self.write(vec![change]).await?;
        Ok(())
    }

    /// One machine or all.
    async fn read_machines(
        &self,
        scope: Scope,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<Vec<Machine>, StoreError> {
        let sql = "SELECT m.id, nullif(m.host_name, ''), nullif(m.os, ''), nullif(m.version, ''),
                m.first_seen, m.last_seen, nullif(m.heartbeat_at, -1), nullif(m.queue_records, -1),
                nullif(m.queue_bytes, -1), r.report, a.retired_at
            FROM machines m
            LEFT JOIN machine_reports r ON r.tenant = m.tenant AND r.environment = m.environment
                AND r.machine = m.id
            LEFT JOIN retired_machines a ON a.tenant = m.tenant AND a.environment = m.environment
                AND a.machine = m.id
            WHERE m.tenant = $1 AND m.environment = $2";
        let mut query = of_machine(sql, scope, "m.id", id);
        query.push(" ORDER BY m.last_seen DESC, m.id");
        let rows = self.derived_rows(query).await?.into_iter();
        let mut machines = rows.map(machine).collect::<Result<Vec<_>, _>>()?;
        let mut accounts = self.accounts_of_machines(scope, id).await?;
        let days = self.days_of_machines(scope, id).await?;
        let rules = self.machine_rules(scope).await?;
        for machine in &mut machines {
            let account = accounts.remove(&machine.id).unwrap_or_default();
            account.tell(machine);
            let days = days.get(&machine.id).map_or(&[][..], Vec::as_slice);
            machine.state = presence(machine, days).state(now, &rules);
        }
        Ok(machines)
    }

    async fn days_of_machines(
        &self,
        scope: Scope,
        id: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<i64>>, StoreError> {
        let sql = "SELECT machine, day FROM machine_days WHERE tenant = $1 AND environment = $2";
        let mut query = of_machine(sql, scope, "machine", id);
        query.push(" ORDER BY machine, day");
        let mut days: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for mut row in self.rows(query).await? {
            days.entry(row.take(0)?).or_default().push(row.take(1)?);
        }
        Ok(days)
    }

    async fn accounts_of_machines(
        &self,
        scope: Scope,
        id: Option<&str>,
    ) -> Result<BTreeMap<String, Account>, StoreError> {
        let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
        let sql = "SELECT machine, first, last FROM machine_ranges
            WHERE tenant = $1 AND environment = $2";
        let mut query = of_machine(sql, scope, "machine", id);
        query.push(" ORDER BY machine, first");
        for mut row in self.rows(query).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            account.stored.push(range(&mut row, 1)?);
        }
        let sql = "SELECT machine, reason, first, last FROM machine_losses
            WHERE tenant = $1 AND environment = $2";
        let mut query = of_machine(sql, scope, "machine", id);
        query.push(" ORDER BY machine, reason, first");
        for mut row in self.rows(query).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            let lost = account.lost.entry(row.take(1)?).or_default();
            lost.push(range(&mut row, 2)?);
        }
        let sql = "SELECT machine, reason, records FROM machine_loss_counts
            WHERE tenant = $1 AND environment = $2";
        for mut row in self.rows(of_machine(sql, scope, "machine", id)).await? {
            let account = accounts.entry(row.take(0)?).or_default();
            account.counts.insert(row.take(1)?, row.take(2)?);
        }
        Ok(accounts)
    }
}

/// The rows of one machine, when it is named, or of all.
fn of_machine(sql: &str, scope: Scope, column: &str, id: Option<&str>) -> Query {
    let mut query = Query::scoped(sql, scope);
    if let Some(id) = id {
        query.push(&format!(" AND {column} = ")).bind(id);
    }
    query
}

fn machine(mut row: Row) -> Result<Machine, StoreError> {
    let report: Option<String> = row.take(9)?;
    // What cannot be read says nothing, which is what an edge without reports says.
    let report: Report = report
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default();
    let offset = report.clock_offset_seconds;
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
        state: MachineState::Late,
        retired_at: row.take(10)?,
        clock_offset_seconds: offset,
        clock_is_off: offset
            .is_some_and(|seconds| seconds.unsigned_abs() > CLOCK_TOLERANCE.as_secs()),
        token_expires_at: report
            .token_expires_at
            .map(|seconds| Timestamp(seconds.saturating_mul(1_000_000_000))),
        parked_records: report.parked_records,
        redactions: report.redactions,
        last_seq: report.last_seq,
        stored: 0,
        missing: 0,
        gaps: Vec::new(),
        dropped: Vec::new(),
    })
}

/// When it was there, by the service's clock as far as the difference is known.
fn presence<'a>(machine: &Machine, days: &'a [i64]) -> Presence<'a> {
    let last = machine.last_heartbeat.unwrap_or(machine.last_seen);
    let offset = machine.clock_offset_seconds.unwrap_or(0);
    Presence {
        last: Timestamp(last.0.saturating_sub(offset.saturating_mul(1_000_000_000))),
        days,
        retired_at: machine.retired_at,
    }
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
