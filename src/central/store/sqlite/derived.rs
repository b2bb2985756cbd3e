//! Writes what events add to the derived tables.

use rusqlite::{Connection, OptionalExtension};

use crate::central::materialize::Deltas;
use crate::central::store::derived::{
    MACHINE_STANDING, RunTable, TOKEN_USE, Table, rows, run_rows, token_rows,
};
use crate::central::store::machine_standing::{standing_row, touched};
use crate::central::store::machines::{machine_queries, machines_of};
use crate::central::store::query::{Dialect, Value};
use crate::central::store::{Scope, StoreError};

use super::rows as rows_of;
use super::values::parameters;

/// Adds what newly stored events bring to every derived table.
pub(super) fn add(connection: &Connection, scope: Scope, deltas: &Deltas) -> rusqlite::Result<()> {
    for (table, rows) in rows(deltas) {
        upsert(connection, scope, table, rows)?;
    }
    upsert(connection, scope, &TOKEN_USE, token_rows(deltas))?;
    for (table, key, runs) in run_rows(deltas) {
        let key = [scoped(scope).to_vec(), key].concat();
        for run in runs.iter() {
            add_run(connection, table, &key, run)?;
        }
    }
    for ids in touched(deltas) {
        let standing = standing(connection, scope, &ids)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        upsert(connection, scope, &MACHINE_STANDING, standing)?;
    }
    Ok(())
}

/// Where these machines stand now.
fn standing(
    connection: &Connection,
    scope: Scope,
    ids: &[&str],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let [machines, ranges, losses, counts] =
        machine_queries(scope, ids).map(|query| rows_of(connection, &query));
    let machines = machines_of([machines?, ranges?, losses?, counts?])?;
    Ok(machines.iter().map(standing_row).collect())
}

fn upsert(
    connection: &Connection,
    scope: Scope,
    table: &Table,
    rows: Vec<Vec<Value>>,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "{} VALUES ({}?){}",
        table.insert(),
        "?, ".repeat(1 + table.columns.len()),
        table.on_conflict(Dialect::Sqlite),
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let [tenant, environment] = scoped(scope);
    for row in rows {
        let scope = [&tenant, &environment].into_iter();
        statement.execute(rusqlite::params_from_iter(scope.chain(&row)))?;
    }
    Ok(())
}

/// Unites a run with those of `table` under `key` that it meets or touches.
fn add_run(
    connection: &Connection,
    table: &RunTable,
    key: &[Value],
    (first, last): (i64, i64),
) -> rusqlite::Result<()> {
    let columns = [&["tenant", "environment"], table.key].concat();
    let is_same = format!("{} = ?", columns.join(" = ? AND "));
    let name = table.name;
    let touched = [first.saturating_sub(1), last.saturating_add(1)].map(Value::from);
    let touched: Option<(Option<i64>, Option<i64>)> = connection
        .prepare_cached(&format!(
            "SELECT min(first), max(last) FROM {name} WHERE {is_same} AND last >= ? AND first <= ?"
        ))?
        .query_row(parameters(&[key, &touched].concat()), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let (start, end) = touched.unwrap_or_default();
    let run = [
        start.map_or(first, |start| start.min(first)),
        end.map_or(last, |end| end.max(last)),
    ];
    let values = [key, &run.map(Value::from)].concat();
    connection
        .prepare_cached(&format!(
            "DELETE FROM {name} WHERE {is_same} AND first >= ? AND last <= ?"
        ))?
        .execute(parameters(&values))?;
    connection
        .prepare_cached(&format!(
            "INSERT INTO {name} ({}, first, last) VALUES ({}?, ?)",
            columns.join(", "),
            "?, ".repeat(columns.len()),
        ))?
        .execute(parameters(&values))?;
    Ok(())
}

fn scoped(scope: Scope) -> [Value; 2] {
    [scope.tenant.into(), scope.environment.into()]
}
