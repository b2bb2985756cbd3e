//! Folds deltas into the derived tables: all replicas together one at a time, each delta once.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::central::materialize::{Deltas, Runs};
use crate::central::store::audit::decode_deltas;
use crate::central::store::derived::{
    MACHINE_LOSSES, MACHINE_RANGES, MACHINE_STANDING, RunTable, TOKEN_USE, Table, rows, run_rows,
    token_rows,
};
use crate::central::store::machine_standing::{standing_row, touched};
use crate::central::store::machines::{machine_queries, machines_of};
use crate::central::store::query::{Dialect, Value};
use crate::central::store::{Scope, StoreError};

use super::Postgres;
use super::values::{parameters, row};

/// The form in which this version writes deltas. One that a later version wrote is left to it.
pub(super) const DELTA_FORMAT: i16 = 1;

/// Deltas that one transaction folds at most.
const MAX_FOLDED: i64 = 512;

/// Advisory lock of whoever folds.
pub(super) const FOLD_LOCK: i64 = 0x6669_656c_6470_0002;

impl Postgres {
    /// Folds every delta that was committed before the call.
    pub(in crate::central::store) async fn fold(&self) -> Result<(), StoreError> {
        if !self.has_deltas().await? {
            return Ok(());
        }
        let _folding = self.folding.lock().await;
        while self.has_deltas().await? {
            self.fold_once().await?;
        }
        Ok(())
    }

    async fn has_deltas(&self) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT EXISTS (SELECT FROM deltas WHERE format <= $1)")
            .await?;
        Ok(client.query_one(&statement, &[&DELTA_FORMAT]).await?.get(0))
    }

    async fn fold_once(&self) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&FOLD_LOCK])
            .await?;
        fold_some(&transaction).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Folds some of the deltas that wait, under the lock that the caller holds; gives how many.
pub(super) async fn fold_some(transaction: &Transaction<'_>) -> Result<usize, StoreError> {
    let statement = transaction
        .prepare_cached(
            "DELETE FROM deltas WHERE id = ANY (ARRAY(
                 SELECT id FROM deltas WHERE format <= $1 ORDER BY id LIMIT $2))
             RETURNING tenant, environment, delta",
        )
        .await?;
    let taken = transaction
        .query(&statement, &[&DELTA_FORMAT, &MAX_FOLDED])
        .await?;
    let mut sums: BTreeMap<Scope, Deltas> = BTreeMap::new();
    for row in &taken {
        let scope = Scope {
            tenant: row.get(0),
            environment: row.get(1),
        };
        sums.entry(scope)
            .or_default()
            .merge(decode_deltas(row.get(2))?);
    }
    for (scope, sum) in &sums {
        add(transaction, *scope, sum).await?;
    }
    Ok(taken.len())
}

/// Adds `deltas` to the derived tables.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    scope: Scope,
    deltas: &Deltas,
) -> Result<(), StoreError> {
    for (table, rows) in rows(deltas) {
        upsert(transaction, scope, table, rows).await?;
    }
    upsert(transaction, scope, &TOKEN_USE, token_rows(deltas)).await?;
    let runs = run_rows(deltas);
    for table in [&MACHINE_RANGES, &MACHINE_LOSSES] {
        let of_table = runs.iter().filter(|(of, ..)| of.name == table.name);
        let of_table: Vec<_> = of_table
            .map(|(_, key, runs)| (key.as_slice(), *runs))
            .collect();
        if !of_table.is_empty() {
            add_runs(transaction, scope, table, &of_table).await?;
        }
    }
    for ids in touched(deltas) {
        let standing = standing(transaction, scope, &ids).await?;
        upsert(transaction, scope, &MACHINE_STANDING, standing).await?;
    }
    Ok(())
}

/// Where these machines stand now.
async fn standing(
    transaction: &Transaction<'_>,
    scope: Scope,
    ids: &[&str],
) -> Result<Vec<Vec<Value>>, StoreError> {
    let mut found = [const { Vec::new() }; 4];
    for (query, found) in machine_queries(scope, ids).iter().zip(&mut found) {
        // Not kept: its text differs with the number of machines.
        let rows = transaction
            .query(&query.sql, &parameters(&query.values))
            .await?;
        *found = rows.iter().map(row).collect::<Result<_, _>>()?;
    }
    Ok(machines_of(found)?.iter().map(standing_row).collect())
}

/// A column of rows as an array parameter.
fn array(rows: &[Vec<Value>], column: usize, is_text: bool) -> Box<dyn ToSql + Sync + Send> {
    let values = rows.iter().map(|row| &row[column]);
    match is_text {
        true => Box::new(
            values
                .map(|value| match value {
                    Value::Text(text) => Some(text.clone()),
                    _ => None,
                })
                .collect::<Vec<Option<String>>>(),
        ),
        false => Box::new(
            values
                .map(|value| match value {
                    Value::Int(number) => Some(*number),
                    _ => None,
                })
                .collect::<Vec<Option<i64>>>(),
        ),
    }
}

fn array_type(is_text: bool) -> &'static str {
    match is_text {
        true => "text[]",
        false => "bigint[]",
    }
}

async fn upsert(
    transaction: &Transaction<'_>,
    scope: Scope,
    table: &Table,
    rows: Vec<Vec<Value>>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let arrays: Vec<String> = table
        .columns
        .iter()
        .zip(3..)
        .map(|(column, number)| format!("${number}::{}", array_type(column.is_text)))
        .collect();
    let sql = format!(
        "{} SELECT $1::bigint, $2::bigint, added.* FROM unnest({}) AS added{}",
        table.insert(),
        arrays.join(", "),
        table.on_conflict(Dialect::Postgres),
    );
    let statement = transaction.prepare_cached(&sql).await?;
    let columns: Vec<Box<dyn ToSql + Sync + Send>> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, column)| array(&rows, index, column.is_text))
        .collect();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&scope.tenant, &scope.environment];
    for column in &columns {
        parameters.push(column.as_ref());
    }
    transaction.execute(&statement, &parameters).await?;
    Ok(())
}

/// Unites runs with those of `table` that they meet or touch.
async fn add_runs(
    transaction: &Transaction<'_>,
    scope: Scope,
    table: &RunTable,
    added: &[(&[Value], &Runs)],
) -> Result<(), StoreError> {
    let names = table.key.join(", ");
    let is_same: Vec<String> = table
        .key
        .iter()
        .map(|name| format!("t.{name} = added.{name}"))
        .collect();
    let arrays: Vec<String> = (3..3 + table.key.len())
        .map(|number| format!("${number}::text[]"))
        .collect();
    let (first, last) = (3 + table.key.len(), 4 + table.key.len());
    let added_rows = format!(
        "unnest({}, ${first}::bigint[], ${last}::bigint[]) AS added ({names}, first, last)",
        arrays.join(", ")
    );
    let take = format!(
        "DELETE FROM {} t USING {added_rows}
         WHERE t.tenant = $1 AND t.environment = $2 AND {}
             AND t.first <= added.last + 1 AND t.last >= added.first - 1
         RETURNING t.{}, t.first, t.last",
        table.name,
        is_same.join(" AND "),
        table.key.join(", t."),
    );
    let put = format!(
        "INSERT INTO {} (tenant, environment, {names}, first, last)
         SELECT $1::bigint, $2::bigint, added.* FROM {added_rows}",
        table.name
    );
    let mut united: BTreeMap<Vec<String>, Runs> = BTreeMap::new();
    for (key, runs) in added {
        let key = key.iter().filter_map(|part| match part {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        });
        united.insert(key.collect(), (*runs).clone());
    }
    let taken = execute_runs(transaction, scope, table, &take, &united).await?;
    for row in taken {
        let width = table.key.len();
        let key: Vec<String> = (0..width).map(|column| row.get(column)).collect();
        united
            .entry(key)
            .or_default()
            .add(row.get(width), row.get(width + 1));
    }
    execute_runs(transaction, scope, table, &put, &united).await?;
    Ok(())
}

async fn execute_runs(
    transaction: &Transaction<'_>,
    scope: Scope,
    table: &RunTable,
    sql: &str,
    runs: &BTreeMap<Vec<String>, Runs>,
) -> Result<Vec<tokio_postgres::Row>, StoreError> {
    let rows: Vec<(&Vec<String>, i64, i64)> = runs
        .iter()
        .flat_map(|(key, runs)| runs.iter().map(move |(first, last)| (key, first, last)))
        .collect();
    let keys: Vec<Vec<&str>> = (0..table.key.len())
        .map(|part| rows.iter().map(|(key, ..)| key[part].as_str()).collect())
        .collect();
    let firsts: Vec<i64> = rows.iter().map(|(_, first, _)| *first).collect();
    let lasts: Vec<i64> = rows.iter().map(|(_, _, last)| *last).collect();
    let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&scope.tenant, &scope.environment];
    for key in &keys {
        parameters.push(key);
    }
    parameters.push(&firsts);
    parameters.push(&lasts);
    let statement = transaction.prepare_cached(sql).await?;
    Ok(transaction.query(&statement, &parameters).await?)
}
