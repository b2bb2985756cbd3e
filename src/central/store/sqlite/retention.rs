//! Deletes events and what is known of them.

use rusqlite::{Connection, OptionalExtension, params};

use crate::central::materialize::Deltas;
use crate::central::store::keys::uid_key;
use crate::central::store::repack::BlockChange;
use crate::central::store::retention::{Gone, forget_statements, retired_with, retired_without};
use crate::central::store::signal_upkeep::GoneSignal;
use crate::central::store::{Scope, StoreError};
use crate::event::Timestamp;

use super::{Sqlite, blocks, rows};

impl Sqlite {
    /// Deletes events, and keeps what they add.
    pub(in crate::central::store) async fn retire(
        &self,
        scope: Scope,
        gone: Vec<Gone>,
        changes: Vec<BlockChange>,
        deltas: Deltas,
    ) -> Result<(), StoreError> {
        // The index first: what it no longer knows and the store still has is found by no search, and
        // taken out of both at the next attempt.
        self.text.change(&changes).await?;
        self.writer
            .write(move |transaction| {
                blocks::change(transaction, &changes)?;
                let mut deleted = 0;
                for event in &gone {
                    deleted += transaction
                        .prepare_cached("DELETE FROM events WHERE seq = ?")?
                        .execute([event.seq])?;
                    transaction
                        .prepare_cached(
                            "DELETE FROM events_without_time
                             WHERE tenant = ? AND environment = ? AND uid = ?",
                        )?
                        .execute(params![
                            scope.tenant,
                            scope.environment,
                            uid_key(&event.uid)
                        ])?;
                }
                if deleted != gone.len() {
                    // Somebody else was here first; nothing may be counted twice.
                    return Err(rusqlite::Error::StatementChangedRows(deleted));
                }
                let row = retired_with(retired(transaction, scope)?, deltas.clone());
                set_retired(transaction, scope, &row.map_err(damaged)?)
            })
            .await
    }

    /// Deletes metrics and traces, and keeps what they add.
    pub(in crate::central::store) async fn retire_signals(
        &self,
        scope: Scope,
        gone: Vec<GoneSignal>,
        deltas: Deltas,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut deleted = 0;
                for GoneSignal {
                    signal,
                    uid,
                    time,
                    traces,
                } in &gone
                {
                    for trace in traces {
                        transaction
                            .prepare_cached(
                                "DELETE FROM signal_traces WHERE tenant = ? AND environment = ?
                                     AND trace = ? AND time = ? AND uid = ?",
                            )?
                            .execute(params![scope.tenant, scope.environment, trace, time, uid])?;
                    }
                    deleted += transaction
                        .prepare_cached(
                            "DELETE FROM signals
                             WHERE tenant = ? AND environment = ? AND signal = ? AND uid = ?",
                        )?
                        .execute(params![scope.tenant, scope.environment, signal, uid])?;
                }
                if deleted != gone.len() {
                    return Err(rusqlite::Error::StatementChangedRows(deleted));
                }
                let row = retired_with(retired(transaction, scope)?, deltas.clone());
                set_retired(transaction, scope, &row.map_err(damaged)?)
            })
            .await
    }

    /// Forgets what was last seen before `cut`.
    pub(in crate::central::store) async fn forget(
        &self,
        scope: Scope,
        cut: Timestamp,
    ) -> Result<(), StoreError> {
        self.writer
            .write(move |transaction| {
                let mut forgotten = Vec::new();
                for (statement, table) in forget_statements(scope, cut) {
                    let keys = rows(transaction, &statement).map_err(damaged)?;
                    forgotten.extend(table.map(|table| (table, keys)));
                }
                match retired(transaction, scope)? {
                    None => Ok(()),
                    Some(row) => {
                        let row = retired_without(&row, forgotten, cut).map_err(damaged)?;
                        set_retired(transaction, scope, &row)
                    }
                }
            })
            .await
    }
}

fn retired(connection: &Connection, scope: Scope) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT delta FROM retired WHERE tenant = ? AND environment = ?")?
        .query_row([scope.tenant, scope.environment], |row| row.get(0))
        .optional()
}

fn set_retired(connection: &Connection, scope: Scope, delta: &[u8]) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO retired (tenant, environment, delta) VALUES (?, ?, ?)",
        )?
        .execute(params![scope.tenant, scope.environment, delta])?;
    Ok(())
}

fn damaged(error: StoreError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Blob, Box::new(error))
}
