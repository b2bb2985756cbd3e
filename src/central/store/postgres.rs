//! The store in PostgreSQL, shared by any number of replicas.
//!
//! Transactions that store events insert rows and change none: what they add to the derived tables is one
//! row of `deltas`, which is folded into them in the background, and before anybody reads them. So two
//! replicas never wait for each other, and no page is behind. Work that must be done once, such as
//! folding, is done under an advisory lock.

mod connection;
mod values;
mod collector;
mod ingest;
mod blocks;
mod unpacked;
mod text;
mod audit;
mod retention;
mod fold;
mod runs;
mod partitions;

use std::sync::Arc;

use deadpool_postgres::{Object, Pool, PoolError};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::dictionary::Dictionaries;
use super::query::{Query, Row};
use super::{Ingest, StoreError, Stored};

use collector::Collector;
pub(super) use connection::migrate;
pub use connection::{Connection, UrlError};
use values::{parameters, row};

/// What is added to the numbers of transactions in an event's `seq`: 0, but for a database that was
/// restored into a server with fewer transactions behind it. A multiple of what a transaction numbers.
const SEQ_BASE: &str =
    "coalesce((SELECT value::bigint FROM store_state WHERE key = 'seq_base'), 0)";

/// The `seq` from which on a transaction that is open may still add events, as SQL.
pub(super) fn open_seq() -> String {
    format!("{SEQ_BASE} + (pg_snapshot_xmin(pg_current_snapshot())::text::bigint << 24)")
}

/// Statements that a connection keeps prepared, here and in the server, before all are made anew: filters
/// can be put together in more ways than there is memory.
const MAX_PREPARED: usize = 300;

/// A store in a database. Clones share it.
#[derive(Clone)]
pub(super) struct Postgres {
    pool: Pool,
    collector: Collector,
    /// Held while this replica folds, so that its readers share one fold.
    folding: Arc<Mutex<()>>,
    writers: Arc<Mutex<JoinSet<()>>>,
}

impl Postgres {
    /// Opens the store; its tables are made and migrated when needed.
    pub(super) async fn open(connection: &Connection) -> anyhow::Result<Postgres> {
        migrate(connection).await?;
        let pool = connection.pool()?;
        let mut writers = JoinSet::new();
        let postgres = Postgres {
            collector: Collector::start(&pool, &mut writers),
            pool,
            folding: Arc::default(),
            writers: Arc::new(Mutex::new(writers)),
        };
        postgres.make_partitions().await?;
        postgres.keep_order().await?;
        Ok(postgres)
    }

    /// Stores what was taken on, and ends the writers.
    pub(super) async fn close(&self) {
        self.collector.close();
        let mut writers = self.writers.lock().await;
        while writers.join_next().await.is_some() {}
        self.pool.close();
    }

    /// The rows that a query gives.
    pub(super) async fn rows(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let values = parameters(&query.values);
        let rows = match query.has_list {
            true => client.query(&query.sql, &values).await?,
            false => {
                let statement = client.prepare_cached(&query.sql).await?;
                client.query(&statement, &values).await?
            }
        };
        rows.iter().map(row).collect()
    }

    /// The rows that a query gives, found by an index wherever there is one that serves.
    async fn rows_by_index(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction
            .batch_execute("SET LOCAL enable_seqscan = off")
            .await?;
        let statement = transaction.prepare_cached(&query.sql).await?;
        let values = parameters(&query.values);
        let rows = transaction.query(&statement, &values).await?;
        transaction.commit().await?;
        rows.iter().map(row).collect()
    }

    /// Does all statements or none; gives how many rows each changed.
    pub(super) async fn write(&self, statements: Vec<Query>) -> Result<Vec<u64>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let mut changed = Vec::with_capacity(statements.len());
        for statement in statements {
            let values = parameters(&statement.values);
            changed.push(match statement.has_list {
                true => transaction.execute(&statement.sql, &values).await?,
                false => {
                    let prepared = transaction.prepare_cached(&statement.sql).await?;
                    transaction.execute(&prepared, &values).await?
                }
            });
        }
        transaction.commit().await?;
        Ok(changed)
    }

    /// Stores a request's records, each once.
    pub(super) async fn ingest(
        &self,
        ingest: Ingest,
        dictionaries: Dictionaries,
    ) -> Result<Stored, StoreError> {
        self.collector.ingest(ingest, dictionaries).await
    }

    /// Sees to it that new events come after those that are there, also when the database was restored
    /// into another server.
    async fn keep_order(&self) -> Result<(), StoreError> {
        let client = self.client().await?;
        let sql = format!(
            "INSERT INTO store_state (key, value)
             SELECT 'seq_base', (((latest >> 24) + 1 - now) << 24)::text
             FROM (SELECT max(seq) AS latest FROM event_blocks) e,
                 (SELECT pg_current_xact_id()::text::bigint AS now) t
             WHERE latest >= {SEQ_BASE} + (now << 24)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        );
        client.execute(&sql, &[]).await?;
        Ok(())
    }

    async fn client(&self) -> Result<Object, StoreError> {
        let client = self.pool.get().await?;
        if client.statement_cache.size() > MAX_PREPARED {
            client.statement_cache.clear();
        }
        Ok(client)
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> StoreError {
        match error.as_db_error() {
            Some(said) => StoreError::Unavailable(format!("{error}: {}", said.message())),
            None => StoreError::Unavailable(error.to_string()),
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> StoreError {
        match error {
            PoolError::Backend(error) => error.into(),
            error => StoreError::Unavailable(error.to_string()),
        }
    }
}
