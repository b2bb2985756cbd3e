//! Where each machine stands, as one row of numbers: what lists of machines are narrowed, sorted and counted
//! by, in the database.
//!
//! A row follows from the other tables of its machine. Whoever adds to those writes it anew in the same
//! transaction, from what [`machine_queries`] gives; what an older version added is placed at the next start.

use crate::central::materialize::{Deltas, MachineDelta, Runs};
use crate::event::Timestamp;

use super::derived::MACHINE_STANDING;
use super::machine_account::Account;
use super::machines::{machine_queries, machines_of, presence};
use super::query::{Query, Value};
use super::{Machine, Scope, SeqRange, Store, StoreError};

/// No number of a row is greater, so that sums over any fleet have room: what a machine says of itself can be
/// any number.
const MAX_NUMBER: i64 = 1_000_000_000_000;

/// Machines whose rows are written at once.
const AT_ONCE: usize = 200;

/// When a token expires of which that is not known: never.
const NEVER: i64 = i64::MAX;

/// The row of a machine in [`MACHINE_STANDING`].
pub(super) fn standing_row(machine: &Machine) -> Vec<Value> {
    let numbers = machine.dropped.iter().map(|dropped| dropped.numbers);
    let number = |number: i64| Value::from(number.clamp(0, MAX_NUMBER));
    vec![
        machine.id.as_str().into(),
        presence(machine, &[]).last.into(),
        number(machine.last_seq),
        number(machine.stored),
        number(machine.missing),
        number(machine.dropped_records()),
        number(numbers.fold(0, i64::saturating_add)),
        number(machine.parked_records.unwrap_or(0)),
        i64::from(machine.clock_is_off).into(),
        machine.token_expires_at.map_or(NEVER, |at| at.0).into(),
    ]
}

/// The rows of all machines that `deltas`, the sum of everything, holds.
pub(super) fn standing_rows(deltas: &Deltas) -> Vec<Vec<Value>> {
    let machines = deltas.machines.iter().map(|(id, delta)| {
        let report = deltas.reports.get(id);
        let report = report.map(|report| report.latest.value.as_str());
        standing_row(&machine_of(id, delta).with_report_and(report, account_of(delta)))
    });
    machines.collect()
}

/// The machines that `deltas` adds to, in pieces to be read at once.
pub(super) fn touched(deltas: &Deltas) -> Vec<Vec<&str>> {
    let ids: Vec<&str> = deltas.machines.keys().map(String::as_str).collect();
    ids.chunks(AT_ONCE).map(<[_]>::to_vec).collect()
}

fn machine_of(id: &str, delta: &MachineDelta) -> Machine {
    Machine {
        id: id.to_owned(),
        last_heartbeat: delta.heartbeat.map(|(at, ..)| Timestamp(at)),
        ..Machine::new(Timestamp(delta.seen.first), Timestamp(delta.seen.last))
    }
}

fn account_of(delta: &MachineDelta) -> Account {
    let ranges = |runs: &Runs| -> Vec<SeqRange> {
        runs.iter()
            .map(|(first, last)| SeqRange { first, last })
            .collect()
    };
    let lost = delta.lost.iter();
    Account {
        stored: ranges(&delta.seqs),
        lost: lost
            .map(|(reason, runs)| (reason.clone(), ranges(runs)))
            .collect(),
        counts: delta.lost_counts.clone(),
    }
}

impl Machine {
    fn with_report_and(self, report: Option<&str>, account: Account) -> Machine {
        let mut machine = self.with_report(report);
        account.tell(&mut machine);
        machine
    }
}

impl Store {
    /// Writes the rows that are missing.
    pub(super) async fn place_machines(&self) -> Result<(), StoreError> {
        while self.place_some_machines().await? {}
        Ok(())
    }

    /// Writes some of them; false when there were none.
    async fn place_some_machines(&self) -> Result<bool, StoreError> {
        let missing = Query::new(
            "SELECT m.tenant, m.environment, m.id FROM machines m
             LEFT JOIN machine_standing s ON s.tenant = m.tenant AND s.environment = m.environment
                 AND s.machine = m.id
             WHERE s.machine IS NULL ORDER BY m.tenant, m.environment LIMIT $1",
            [(AT_ONCE as i64).into()],
        );
        let mut of_scope: Option<(Scope, Vec<String>)> = None;
        for mut row in self.rows(missing).await? {
            let scope = Scope {
                tenant: row.take(0)?,
                environment: row.take(1)?,
            };
            let (first, ids) = of_scope.get_or_insert_with(|| (scope, Vec::new()));
            if *first == scope {
                ids.push(row.take(2)?);
            }
        }
        let Some((scope, ids)) = of_scope else {
            return Ok(false);
        };
        let [machines, ranges, losses, counts] = machine_queries(scope, &ids);
        let rows = [
            self.rows(machines).await?,
            self.rows(ranges).await?,
            self.rows(losses).await?,
            self.rows(counts).await?,
        ];
        let machines = machines_of(rows)?;
        let statements = machines.iter().map(|machine| {
            let mut insert = Query::scoped(
                format!("{} VALUES ($1, $2", MACHINE_STANDING.insert()),
                scope,
            );
            for value in standing_row(machine) {
                insert.push(", ").bind(value);
            }
            // Another replica that was quicker knows as much or more.
            insert.push(") ON CONFLICT DO NOTHING");
            insert
        });
        let written = self.write(statements.collect()).await?;
        Ok(!written.is_empty())
    }
}
