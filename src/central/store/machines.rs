//! Reads machines whole, with what is missing of their records; lists of them, [`super::catalog`] reads.

use std::collections::BTreeMap;

use crate::event::{CLOCK_TOLERANCE, Report, Timestamp};

use super::machine_account::Account;
use super::machine_state::{MachineState, Presence};
use super::query::{Query, Row};
use super::{Machine, Scope, SeqRange, Store, StoreError};

impl Store {
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
        Ok(self.machines_by_id(scope, &[id], now).await?.pop())
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

    /// The machines with these ids, as they are at `now`, in no order.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machines_by_id<I: AsRef<str>>(
        &self,
        scope: Scope,
        ids: &[I],
        now: Timestamp,
    ) -> Result<Vec<Machine>, StoreError> {
        let [machines, ranges, losses, counts, days] = machine_queries(scope, ids);
        // The first sees to it that everything stored is told; the others read what it left.
        let rows = [
            self.derived_rows(machines).await?,
            self.rows(ranges).await?,
            self.rows(losses).await?,
            self.rows(counts).await?,
            self.rows(days).await?,
        ];
        let rules = self.machine_rules(scope).await?;
        let machines = machines_of(rows)?.into_iter();
        let with_state = machines.map(|(mut machine, days)| {
            machine.state = presence(&machine, &days).state(now, &rules);
            machine
        });
        Ok(with_state.collect())
    }
}

/// What is read of machines: themselves with their latest reports, the numbers that are here, those that were
/// lost, the edges' counts of these, and the days with heartbeats.
pub(super) fn machine_queries<I: AsRef<str>>(scope: Scope, ids: &[I]) -> [Query; 5] {
    let machines = "SELECT m.id, nullif(m.host_name, ''), nullif(m.os, ''), nullif(m.version, ''),
            m.first_seen, m.last_seen, nullif(m.heartbeat_at, -1), nullif(m.queue_records, -1),
            nullif(m.queue_bytes, -1), r.report, a.retired_at
        FROM machines m
        LEFT JOIN machine_reports r ON r.tenant = m.tenant AND r.environment = m.environment
            AND r.machine = m.id
        LEFT JOIN retired_machines a ON a.tenant = m.tenant AND a.environment = m.environment
            AND a.machine = m.id
        WHERE m.tenant = $1 AND m.environment = $2";
    let ranges = "SELECT machine, first, last FROM machine_ranges
        WHERE tenant = $1 AND environment = $2";
    let losses = "SELECT machine, reason, first, last FROM machine_losses
        WHERE tenant = $1 AND environment = $2";
    let counts = "SELECT machine, reason, records FROM machine_loss_counts
        WHERE tenant = $1 AND environment = $2";
    let days = "SELECT machine, day FROM machine_days WHERE tenant = $1 AND environment = $2";
    let of = |sql, column| of_machines(sql, scope, column, ids);
    let mut queries = [
        of(machines, "m.id"),
        of(ranges, "machine"),
        of(losses, "machine"),
        of(counts, "machine"),
        of(days, "machine"),
    ];
    queries[1].push(" ORDER BY machine, first");
    queries[2].push(" ORDER BY machine, reason, first");
    queries[4].push(" ORDER BY machine, day");
    queries
}

/// The machines that the rows of [`machine_queries`] tell of, but for their states, each with its days.
pub(super) fn machines_of(rows: [Vec<Row>; 5]) -> Result<Vec<(Machine, Vec<i64>)>, StoreError> {
    let [machines, ranges, losses, counts, days] = rows;
    let mut days_of: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for mut row in days {
        days_of.entry(row.take(0)?).or_default().push(row.take(1)?);
    }
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    for mut row in ranges {
        let account = accounts.entry(row.take(0)?).or_default();
        account.stored.push(range(&mut row, 1)?);
    }
    for mut row in losses {
        let account = accounts.entry(row.take(0)?).or_default();
        let lost = account.lost.entry(row.take(1)?).or_default();
        lost.push(range(&mut row, 2)?);
    }
    for mut row in counts {
        let account = accounts.entry(row.take(0)?).or_default();
        account.counts.insert(row.take(1)?, row.take(2)?);
    }
    let machines = machines.into_iter().map(|row| {
        let mut machine = machine(row)?;
        let account = accounts.remove(&machine.id).unwrap_or_default();
        account.tell(&mut machine);
        let days = days_of.remove(&machine.id).unwrap_or_default();
        Ok((machine, days))
    });
    machines.collect()
}

/// The rows of these machines.
fn of_machines<I: AsRef<str>>(sql: &str, scope: Scope, column: &str, ids: &[I]) -> Query {
    let mut query = Query::scoped(sql, scope);
    query.push(&format!(" AND {column} IN "));
    query.bind_list(ids.iter().map(AsRef::as_ref));
    query
}

fn machine(mut row: Row) -> Result<Machine, StoreError> {
    let report: Option<String> = row.take(9)?;
    let blank = Machine {
        id: row.take(0)?,
        host_name: row.take(1)?,
        os: row.take(2)?,
        edge_version: row.take(3)?,
        last_heartbeat: row.take(6)?,
        queue_records: row.take(7)?,
        queue_bytes: row.take(8)?,
        retired_at: row.take(10)?,
        ..Machine::new(row.take(4)?, row.take(5)?)
    };
    Ok(blank.with_report(report.as_deref()))
}

impl Machine {
    /// A machine of which nothing is known but when it was seen.
    pub(super) fn new(first_seen: Timestamp, last_seen: Timestamp) -> Machine {
        Machine {
            id: String::new(),
            host_name: None,
            os: None,
            edge_version: None,
            first_seen,
            last_seen,
            last_heartbeat: None,
            queue_records: None,
            queue_bytes: None,
            state: MachineState::Late,
            retired_at: None,
            clock_offset_seconds: None,
            clock_is_off: false,
            token_expires_at: None,
            parked_records: None,
            redactions: BTreeMap::new(),
            last_seq: 0,
            stored: 0,
            missing: 0,
            gaps: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// With what its latest heartbeat said of itself.
    pub(super) fn with_report(self, report: Option<&str>) -> Machine {
        // What cannot be read says nothing, which is what an edge without reports says.
        let report: Report = report
            .and_then(|json| serde_json::from_str(json).ok())
            .unwrap_or_default();
        let offset = report.clock_offset_seconds;
        Machine {
            clock_offset_seconds: offset,
            clock_is_off: offset
                .is_some_and(|seconds| seconds.unsigned_abs() > CLOCK_TOLERANCE.as_secs()),
            token_expires_at: report
                .token_expires_at
                .map(|seconds| Timestamp(seconds.saturating_mul(1_000_000_000))),
            parked_records: report.parked_records,
            redactions: report.redactions,
            last_seq: report.last_seq,
            ..self
        }
    }
}

/// When it was there, by the service's clock as far as the difference is known.
pub(super) fn presence<'a>(machine: &Machine, days: &'a [i64]) -> Presence<'a> {
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
