//! Recounts from one snapshot in which everything is folded. Nobody folds meanwhile; who reads does not wait.

use deadpool_postgres::Transaction;
use tokio_postgres::IsolationLevel;

use crate::central::store::StoreError;
use crate::central::store::audit::{Audit, CHUNK, Counter, table_queries};
use crate::central::store::query::Row;

use super::Postgres;
use super::fold::{self, FOLD_LOCK, RECOUNT_LOCK};
use super::values::row;

impl Postgres {
    /// Recounts everything; compares, or puts it in place.
    pub(in crate::central::store) async fn audit(
        &self,
        mut counter: Counter,
        rebuild: bool,
    ) -> Result<Audit, StoreError> {
        let mut client = self.client().await?;
        // Before the snapshot is taken, so that nothing is folded after it.
        for lock in [RECOUNT_LOCK, FOLD_LOCK] {
            client
                .execute("SELECT pg_advisory_lock($1)", &[&lock])
                .await?;
        }
        let mut transaction = client
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .start()
            .await?;
        let audited = async {
            while fold::fold_some(&mut transaction).await? > 0 {}
            count(&transaction, &mut counter).await?;
            let audit = compare(&transaction, &counter).await?;
            if rebuild {
                replace(&transaction, &counter).await?;
            }
            transaction.commit().await?;
            Ok(audit)
        };
        let audited = audited.await;
        for lock in [FOLD_LOCK, RECOUNT_LOCK] {
            client
                .execute("SELECT pg_advisory_unlock($1)", &[&lock])
                .await?;
        }
        audited
    }
}

async fn rows(transaction: &Transaction<'_>, sql: &str) -> Result<Vec<Row>, StoreError> {
    transaction.query(sql, &[]).await?.iter().map(row).collect()
}

async fn count(transaction: &Transaction<'_>, counter: &mut Counter) -> Result<(), StoreError> {
    for retired in rows(
        transaction,
        "SELECT tenant, environment, delta FROM retired",
    )
    .await?
    {
        counter.add_retired(retired)?;
    }
    let events = format!("SELECT {} FROM event_blocks", Counter::COLUMNS);
    for_each_row(transaction, "events", &events, &mut |event| {
        counter.add(event, i64::MIN).map(drop)
    })
    .await?;
    for_each_row(transaction, "signals", Counter::SIGNALS, &mut |row| {
        counter.add_signal(row)
    })
    .await
}

/// Reads the rows of a statement in pieces.
async fn for_each_row(
    transaction: &Transaction<'_>,
    name: &str,
    sql: &str,
    work: &mut (dyn FnMut(Row) -> Result<(), StoreError> + Send),
) -> Result<(), StoreError> {
    transaction
        .batch_execute(&format!(
            "DECLARE counted_{name} NO SCROLL CURSOR FOR {sql}"
        ))
        .await?;
    loop {
        let chunk = rows(transaction, &format!("FETCH {CHUNK} FROM counted_{name}")).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        tokio::task::block_in_place(|| chunk.into_iter().try_for_each(&mut *work))?;
    }
}

async fn compare(transaction: &Transaction<'_>, counter: &Counter) -> Result<Audit, StoreError> {
    let mut audit = Audit {
        events: counter.events,
        ..Audit::default()
    };
    for (table, query) in table_queries() {
        audit.compare(table, rows(transaction, &query.sql).await?, &counter.sums);
    }
    Ok(audit)
}

async fn replace(transaction: &Transaction<'_>, counter: &Counter) -> Result<(), StoreError> {
    for (table, _) in table_queries() {
        transaction
            .execute(&format!("DELETE FROM {table}"), &[])
            .await?;
    }
    for (scope, deltas) in &counter.sums {
        fold::add(transaction, *scope, deltas).await?;
    }
    transaction
        .batch_execute("DELETE FROM unfolded_deltas; DELETE FROM store_state WHERE key = 'rebuild'")
        .await?;
    Ok(())
}
