//! Runs of machines' record numbers, which unite where they touch.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;

use crate::central::materialize::Runs;
use crate::central::store::Scope;
use crate::central::store::derived::RunTable;
use crate::central::store::query::Value;

use super::fold::FoldError;

/// Runs with the keys they stand under: first and last of each.
type KeyedRuns<'a> = Vec<(&'a Vec<String>, Vec<(i64, i64)>)>;

/// Unites runs with those of `table` that they meet or touch.
pub(super) async fn add_runs(
    transaction: &Transaction<'_>,
    scope: Scope,
    table: &RunTable,
    added: &[(&[Value], &Runs)],
) -> Result<(), FoldError> {
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
             AND t.first <= added.last AND t.last >= added.first
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
    // With the numbers beside them, which exist also beside the last one: whoever adds 1 in SQL fails there.
    let widened = united.iter().map(|(key, runs)| {
        let widen = |(first, last): (i64, i64)| (first.saturating_sub(1), last.saturating_add(1));
        (key, runs.iter().map(widen).collect())
    });
    let taken = execute_runs(transaction, scope, table, &take, widened.collect()).await?;
    for row in taken {
        let width = table.key.len();
        let key: Vec<String> = (0..width).map(|column| row.get(column)).collect();
        united
            .entry(key)
            .or_default()
            .add(row.get(width), row.get(width + 1));
    }
    let united = united
        .iter()
        .map(|(key, runs)| (key, runs.iter().collect()));
    execute_runs(transaction, scope, table, &put, united.collect()).await?;
    Ok(())
}

async fn execute_runs(
    transaction: &Transaction<'_>,
    scope: Scope,
    table: &RunTable,
    sql: &str,
    runs: KeyedRuns<'_>,
) -> Result<Vec<tokio_postgres::Row>, FoldError> {
    let rows: Vec<(&Vec<String>, i64, i64)> = runs
        .into_iter()
        .flat_map(|(key, runs)| {
            let with_key = move |(first, last)| (key, first, last);
            runs.into_iter().map(with_key)
        })
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
