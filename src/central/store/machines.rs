//! Reads machines, and what is missing of their records.

use rusqlite::{Connection, params};

use crate::event::Timestamp;

use super::{Machine, Scope, SeqRange, Store, StoreError};

/// Gaps that are listed for one machine at most; all of them are counted.
const MAX_GAPS: usize = 100;

impl Store {
    /// All machines, the latest seen first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn machines(&self, scope: Scope) -> Result<Vec<Machine>, StoreError> {
        self.readers
            .read(move |connection| list(connection, scope))
            .await
    }
}

fn list(connection: &Connection, scope: Scope) -> Result<Vec<Machine>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, nullif(host_name, ''), nullif(os, ''), nullif(version, ''), first_seen, last_seen,
             nullif(heartbeat_at, -1), nullif(queue_records, -1), nullif(queue_bytes, -1)
         FROM machines WHERE tenant = ?1 AND environment = ?2 ORDER BY last_seen DESC, id",
    )?;
    let mut machines: Vec<Machine> = statement
        .query_map(params![scope.tenant, scope.environment], |row| {
            Ok(Machine {
                id: row.get(0)?,
                host_name: row.get(1)?,
                os: row.get(2)?,
                edge_version: row.get(3)?,
                first_seen: Timestamp(row.get(4)?),
                last_seen: Timestamp(row.get(5)?),
                last_heartbeat: row.get::<_, Option<i64>>(6)?.map(Timestamp),
                queue_records: row.get(7)?,
                queue_bytes: row.get(8)?,
                last_seq: 0,
                stored: 0,
                missing: 0,
                gaps: Vec::new(),
            })
        })?
        .collect::<Result<_, _>>()?;
    for machine in &mut machines {
        add_ranges(connection, scope, machine)?;
    }
    Ok(machines)
}

/// Sums up the runs of numbers that are here, and finds what lies between them.
fn add_ranges(
    connection: &Connection,
    scope: Scope,
    machine: &mut Machine,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT first, last FROM machine_ranges
         WHERE tenant = ?1 AND environment = ?2 AND machine = ?3 ORDER BY first",
    )?;
    let mut rows = statement.query(params![scope.tenant, scope.environment, machine.id])?;
    let mut before: Option<SeqRange> = None;
    while let Some(row) = rows.next()? {
        let range = SeqRange {
            first: row.get(0)?,
            last: row.get(1)?,
        };
        if let Some(before) = before {
            let gap = SeqRange {
                first: before.last + 1,
                last: range.first - 1,
            };
            machine.missing = machine.missing.saturating_add(length(gap));
            if machine.gaps.len() < MAX_GAPS {
                machine.gaps.push(gap);
            }
        }
        machine.stored = machine.stored.saturating_add(length(range));
        machine.last_seq = range.last;
        before = Some(range);
    }
    Ok(())
}

fn length(range: SeqRange) -> i64 {
    range.last.saturating_sub(range.first).saturating_add(1)
}
