//! Folds deltas into the derived tables: all replicas together one at a time, each delta once.
//!
//! A delta that the database does not take, whatever the reason, is set aside: the others go on without it.
//! It is counted and logged, and a rebuild, which counts events and not deltas, makes it superfluous.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::central::materialize::Deltas;
use crate::central::store::audit::decode_deltas;
use crate::central::store::derived::{
    MACHINE_LOSSES, MACHINE_RANGES, MACHINE_STANDING, TOKEN_USE, Table, rows, run_rows, token_rows,
};
use crate::central::store::machine_standing::{standing_row, touched};
use crate::central::store::machines::{machine_queries, machines_of};
use crate::central::store::query::{Dialect, Value};
use crate::central::store::{Scope, StoreError};

use super::Postgres;
use super::runs::add_runs;
use super::values::{parameters, row};

/// The form in which this version writes deltas. One that a later version wrote is left to it.
pub(super) const DELTA_FORMAT: i16 = 3;

/// Deltas that one transaction folds at most.
const MAX_FOLDED: i64 = 512;

/// Advisory lock of whoever folds.
pub(super) const FOLD_LOCK: i64 = 0x6669_656c_6470_0002;

/// Advisory lock of whoever recounts everything, taken before the other one: nobody waits so long to fold.
pub(super) const RECOUNT_LOCK: i64 = 0x6669_656c_6470_0004;

/// Why deltas were not folded.
#[derive(Debug)]
pub(super) enum FoldError {
    /// The database does not take what they say.
    Unfit(String),
    /// It does not answer, or cannot write.
    Store(StoreError),
}

/// A delta, taken out to be folded.
struct Taken {
    scope: Scope,
    format: i16,
    delta: Vec<u8>,
}

impl Postgres {
    /// Folds every delta that was committed before the call. While everything is recounted, nothing is
    /// folded: whoever reads then sees what was folded before.
    pub(in crate::central::store) async fn fold(&self) -> Result<(), StoreError> {
        let Some(last) = self.last_delta().await? else {
            return Ok(());
        };
        let _folding = self.folding.lock().await;
        while self.has_deltas(last).await? && self.fold_once().await? {}
        Ok(())
    }

    /// The last of the deltas that wait.
    async fn last_delta(&self) -> Result<Option<i64>, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT max(id) FROM deltas WHERE format <= $1")
            .await?;
        Ok(client.query_one(&statement, &[&DELTA_FORMAT]).await?.get(0))
    }

    /// Whether deltas wait up to this one. What comes meanwhile is for the next who reads: while records come,
    /// there would be no end.
    async fn has_deltas(&self, last: i64) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached("SELECT EXISTS (SELECT FROM deltas WHERE format <= $1 AND id <= $2)")
            .await?;
        let row = client
            .query_one(&statement, &[&DELTA_FORMAT, &last])
            .await?;
        Ok(row.get(0))
    }

    /// Whether as many deltas wait as one transaction folds.
    pub(in crate::central::store) async fn has_much_to_fold(&self) -> Result<bool, StoreError> {
        let client = self.client().await?;
        let statement = client
            .prepare_cached(
                "SELECT count(*) FROM (SELECT FROM deltas WHERE format <= $1 LIMIT $2) AS waiting",
            )
            .await?;
        let row = client
            .query_one(&statement, &[&DELTA_FORMAT, &MAX_FOLDED])
            .await?;
        Ok(row.get::<_, i64>(0) == MAX_FOLDED)
    }

    /// Folds some deltas; false when everything is being recounted.
    async fn fold_once(&self) -> Result<bool, StoreError> {
        let mut client = self.client().await?;
        let mut transaction = client.transaction().await?;
        let may_fold = transaction
            .query_one(
                "SELECT pg_try_advisory_xact_lock_shared($1)",
                &[&RECOUNT_LOCK],
            )
            .await?;
        if !may_fold.get::<_, bool>(0) {
            return Ok(false);
        }
        transaction
            .execute("SELECT pg_advisory_xact_lock($1)", &[&FOLD_LOCK])
            .await?;
        fold_some(&mut transaction).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Deltas that were set aside.
    pub(in crate::central::store) async fn unfolded(&self) -> Result<i64, StoreError> {
        let client = self.client().await?;
        let row = client
            .query_one("SELECT count(*) FROM unfolded_deltas", &[])
            .await?;
        Ok(row.get(0))
    }
}

/// Folds some of the deltas that wait, under the lock that the caller holds; gives how many.
pub(super) async fn fold_some(transaction: &mut Transaction<'_>) -> Result<usize, StoreError> {
    let statement = transaction
        .prepare_cached(
            "DELETE FROM deltas WHERE id = ANY (ARRAY(
                 SELECT id FROM deltas WHERE format <= $1 ORDER BY id LIMIT $2))
             RETURNING tenant, environment, format, delta",
        )
        .await?;
    let rows = transaction
        .query(&statement, &[&DELTA_FORMAT, &MAX_FOLDED])
        .await?;
    let taken: Vec<Taken> = rows.iter().map(Taken::of).collect();
    if taken.is_empty() {
        return Ok(0);
    }
    if taken.iter().any(|it| it.format < DELTA_FORMAT) {
        // A replica of the version before made it, and left out what only this version counts.
        transaction
            .execute(
                "INSERT INTO store_state VALUES ('rebuild', 'older deltas') ON CONFLICT DO NOTHING",
                &[],
            )
            .await?;
    }
    // Together; where the database does not take that, by halves, down to the one at fault.
    let mut pieces = vec![taken.as_slice()];
    while let Some(piece) = pieces.pop() {
        match (fold_together(transaction, piece).await, piece) {
            (Ok(()), _) => {}
            (Err(FoldError::Store(error)), _) => return Err(error),
            (Err(FoldError::Unfit(reason)), [one]) => set_aside(transaction, one, &reason).await?,
            (Err(FoldError::Unfit(_)), piece) => {
                let (first, rest) = piece.split_at(piece.len() / 2);
                pieces.extend([rest, first]);
            }
        }
    }
    Ok(taken.len())
}

/// Folds these deltas, or none of them.
async fn fold_together(
    transaction: &mut Transaction<'_>,
    taken: &[Taken],
) -> Result<(), FoldError> {
    let mut sums: BTreeMap<Scope, Deltas> = BTreeMap::new();
    for Taken { scope, delta, .. } in taken {
        let delta = decode_deltas(delta).map_err(|error| FoldError::Unfit(error.to_string()))?;
        sums.entry(*scope).or_default().merge(delta);
    }
    let savepoint = transaction.transaction().await?;
    for (scope, sum) in &sums {
        if let Err(error) = add(&savepoint, *scope, sum).await {
            savepoint.rollback().await?;
            return Err(error);
        }
    }
    savepoint.commit().await?;
    Ok(())
}

/// Puts a delta where nobody folds it.
async fn set_aside(
    transaction: &Transaction<'_>,
    taken: &Taken,
    reason: &str,
) -> Result<(), StoreError> {
    let Scope {
        tenant,
        environment,
    } = taken.scope;
    tracing::error!(
        tenant,
        environment,
        reason,
        "what some records add to the lists was set aside; `fieldpost central rebuild` counts it anew"
    );
    transaction
        .execute(
            "INSERT INTO unfolded_deltas (tenant, environment, format, delta, reason)
             VALUES ($1, $2, $3, $4, $5)",
            &[&tenant, &environment, &taken.format, &taken.delta, &reason],
        )
        .await?;
    Ok(())
}

impl Taken {
    fn of(row: &tokio_postgres::Row) -> Taken {
        Taken {
            scope: Scope {
                tenant: row.get(0),
                environment: row.get(1),
            },
            format: row.get(2),
            delta: row.get(3),
        }
    }
}

impl From<tokio_postgres::Error> for FoldError {
    fn from(error: tokio_postgres::Error) -> FoldError {
        /// Classes of errors that lie in the values: they do not fit, break a rule, or exceed a limit.
        const UNFIT: [&str; 3] = ["22", "23", "54"];
        let is_unfit = error
            .code()
            .map(SqlState::code)
            .is_some_and(|code| UNFIT.iter().any(|class| code.starts_with(class)));
        match StoreError::from(error) {
            error if is_unfit => FoldError::Unfit(error.to_string()),
            error => FoldError::Store(error),
        }
    }
}

impl From<StoreError> for FoldError {
    fn from(error: StoreError) -> FoldError {
        FoldError::Store(error)
    }
}

impl From<FoldError> for StoreError {
    fn from(error: FoldError) -> StoreError {
        match error {
            FoldError::Unfit(reason) => StoreError::Unavailable(reason),
            FoldError::Store(error) => error,
        }
    }
}

/// Adds `deltas` to the derived tables.
pub(super) async fn add(
    transaction: &Transaction<'_>,
    scope: Scope,
    deltas: &Deltas,
) -> Result<(), FoldError> {
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
) -> Result<Vec<Vec<Value>>, FoldError> {
    let mut found = [const { Vec::new() }; 5];
    for (query, found) in machine_queries(scope, ids).iter().zip(&mut found) {
        // Not kept: its text differs with the number of machines.
        let rows = transaction
            .query(&query.sql, &parameters(&query.values))
            .await?;
        *found = rows.iter().map(row).collect::<Result<_, StoreError>>()?;
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
) -> Result<(), FoldError> {
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
