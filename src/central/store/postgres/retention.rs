//! Deletes events and what is known of them.

use deadpool_postgres::{Object, Transaction};

use crate::central::materialize::Deltas;
use crate::central::store::keys::uid_key;
use crate::central::store::query::Row;
use crate::central::store::repack::BlockChange;
use crate::central::store::retention::{Gone, forget_statements, retired_with, retired_without};
use crate::central::store::signal_upkeep::GoneSignal;
use crate::central::store::{Scope, StoreError};
use crate::event::Timestamp;

use super::fold::{FOLD_LOCK, fold_some};
use super::values::{parameters, row};
use super::{Postgres, blocks};

impl Postgres {
    /// Deletes events, and keeps what they add.
    pub(in crate::central::store) async fn retire(
        &self,
        scope: Scope,
        gone: Vec<Gone>,
        changes: Vec<BlockChange>,
        deltas: Deltas,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = lock_folding(&mut client).await?;
        blocks::change(&transaction, &changes).await?;
        let times: Vec<i64> = gone.iter().map(|event| event.time).collect();
        let seqs: Vec<i64> = gone.iter().map(|event| event.seq).collect();
        let uids: Vec<Vec<u8>> = gone.iter().map(|event| uid_key(&event.uid)).collect();
        transaction
            .execute(
                "DELETE FROM events_without_time t USING unnest($3::bytea[]) AS gone (uid)
                 WHERE t.tenant = $1 AND t.environment = $2 AND t.uid = gone.uid",
                &[&scope.tenant, &scope.environment, &uids],
            )
            .await?;
        let deleted = transaction
            .execute(
                "DELETE FROM events t USING unnest($3::bigint[], $4::bigint[]) AS gone (time, seq)
                 WHERE t.tenant = $1::bigint AND t.environment = $2::bigint AND t.time = gone.time
                     AND t.seq = gone.seq",
                &[&scope.tenant, &scope.environment, &times, &seqs],
            )
            .await?;
        if deleted != gone.len() as u64 {
            // Another replica was here first; nothing may be counted twice.
            return Ok(());
        }
        let row = retired_with(retired(&transaction, scope).await?, deltas)?;
        set_retired(&transaction, scope, &row).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Deletes metrics and traces, and keeps what they add.
    pub(in crate::central::store) async fn retire_signals(
        &self,
        scope: Scope,
        gone: Vec<GoneSignal>,
        deltas: Deltas,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = lock_folding(&mut client).await?;
        let (signals, uids): (Vec<&str>, Vec<&str>) = gone
            .iter()
            .map(|gone| (gone.signal.as_str(), gone.uid.as_str()))
            .unzip();
        let of_traces = gone.iter().flat_map(|gone| {
            let traces = gone.traces.iter();
            traces.map(|trace| (*trace, (gone.time, gone.uid.as_str())))
        });
        let (traces, (times, trace_uids)): (Vec<i64>, (Vec<i64>, Vec<&str>)) = of_traces.unzip();
        transaction
            .execute(
                "DELETE FROM signal_traces t
                 USING unnest($3::bigint[], $4::bigint[], $5::text[]) AS gone (trace, time, uid)
                 WHERE t.tenant = $1 AND t.environment = $2 AND t.trace = gone.trace
                     AND t.time = gone.time AND t.uid = gone.uid",
                &[
                    &scope.tenant,
                    &scope.environment,
                    &traces,
                    &times,
                    &trace_uids,
                ],
            )
            .await?;
        let deleted = transaction
            .execute(
                "DELETE FROM signals s USING unnest($3::text[], $4::text[]) AS gone (signal, uid)
                 WHERE s.tenant = $1 AND s.environment = $2 AND s.signal = gone.signal
                     AND s.uid = gone.uid",
                &[&scope.tenant, &scope.environment, &signals, &uids],
            )
            .await?;
        if deleted != gone.len() as u64 {
            // Another replica was here first; nothing may be counted twice.
            return Ok(());
        }
        let row = retired_with(retired(&transaction, scope).await?, deltas)?;
        set_retired(&transaction, scope, &row).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets what was last seen before `cut`.
    pub(in crate::central::store) async fn forget(
        &self,
        scope: Scope,
        cut: Timestamp,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let mut transaction = lock_folding(&mut client).await?;
        while fold_some(&mut transaction).await? > 0 {}
        let mut forgotten = Vec::new();
        for (statement, table) in forget_statements(scope, cut) {
            let keys = transaction
                .query(&statement.sql, &parameters(&statement.values))
                .await?;
            let keys: Vec<Row> = keys.iter().map(row).collect::<Result<_, _>>()?;
            forgotten.extend(table.map(|table| (table, keys)));
        }
        if let Some(delta) = retired(&transaction, scope).await? {
            let delta = retired_without(&delta, forgotten, cut)?;
            set_retired(&transaction, scope, &delta).await?;
        }
        transaction.commit().await?;
        self.drop_partitions(cut).await
    }
}

/// A transaction during which nobody folds.
async fn lock_folding(client: &mut Object) -> Result<Transaction<'_>, StoreError> {
    let transaction = client.transaction().await?;
    transaction
        .execute("SELECT pg_advisory_xact_lock($1)", &[&FOLD_LOCK])
        .await?;
    Ok(transaction)
}

async fn retired(
    transaction: &Transaction<'_>,
    scope: Scope,
) -> Result<Option<Vec<u8>>, StoreError> {
    let row = transaction
        .query_opt(
            "SELECT delta FROM retired WHERE tenant = $1 AND environment = $2",
            &[&scope.tenant, &scope.environment],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

async fn set_retired(
    transaction: &Transaction<'_>,
    scope: Scope,
    delta: &[u8],
) -> Result<(), StoreError> {
    transaction
        .execute(
            "INSERT INTO retired (tenant, environment, delta) VALUES ($1, $2, $3)
             ON CONFLICT (tenant, environment) DO UPDATE SET delta = excluded.delta",
            &[&scope.tenant, &scope.environment, &delta],
        )
        .await?;
    Ok(())
}
