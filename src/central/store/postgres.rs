//! The store in PostgreSQL, shared by any number of replicas.
//!
//! Transactions that store events insert rows and change none: what they add to the derived tables is one
//! row of `deltas`, which is folded into them in the background, and before anybody reads them. So two
//! replicas never wait for each other, and no page is behind. Work that must be done once, such as
//! folding, is done under an advisory lock.

mod connection;
mod values;
mod ingest;
mod fold;
mod partitions;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;

use super::query::{Query, Row};
use super::{Ingest, StoreError, Stored};

pub use connection::Connection;
pub(super) use connection::migrate;
use ingest::Collector;
use values::{parameters, row};

/// How often deltas are folded when nobody asks.
const FOLD_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked whether a month's part must be made.
const PARTITION_INTERVAL: Duration = Duration::from_secs(3600);

/// A store in a database. Clones share it.
#[derive(Clone)]
pub(super) struct Postgres {
    pool: Pool,
    collector: Collector,
    /// Held while this replica folds, so that its readers share one fold.
    folding: Arc<Mutex<()>>,
    stop: Arc<watch::Sender<bool>>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Postgres {
    /// Opens the store; its tables are made and migrated when needed.
    pub(super) async fn open(connection: &Connection) -> anyhow::Result<Postgres> {
        migrate(connection).await?;
        let pool = connection.pool()?;
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let collector = Collector::start(&pool, &mut tasks);
        let postgres = Postgres {
            pool,
            collector,
            folding: Arc::default(),
            stop: Arc::new(stop),
            tasks: Arc::default(),
        };
        postgres.make_partitions().await?;
        tasks.spawn(postgres.clone().work(stopped));
        *postgres.tasks.lock().await = tasks;
        Ok(postgres)
    }

    /// Stores what was taken on, and ends the store's own work.
    pub(super) async fn close(&self) {
        self.collector.close();
        self.stop.send_replace(true);
        let mut tasks = self.tasks.lock().await;
        while tasks.join_next().await.is_some() {}
        self.pool.close();
    }

    /// The rows that a query gives.
    pub(super) async fn rows(&self, query: Query) -> Result<Vec<Row>, StoreError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(&query.sql).await?;
        let rows = client.query(&statement, &parameters(&query.values)).await?;
        rows.iter().map(row).collect()
    }

    /// Does all statements or none; gives how many rows each changed.
    pub(super) async fn write(&self, statements: Vec<Query>) -> Result<Vec<u64>, StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        let mut changed = Vec::with_capacity(statements.len());
        for statement in statements {
            let prepared = transaction.prepare_cached(&statement.sql).await?;
            let values = parameters(&statement.values);
            changed.push(transaction.execute(&prepared, &values).await?);
        }
        transaction.commit().await?;
        Ok(changed)
    }

    /// Stores a request's records, each once.
    pub(super) async fn ingest(&self, ingest: Ingest) -> Result<Stored, StoreError> {
        self.collector.ingest(ingest).await
    }

    async fn client(&self) -> Result<Object, StoreError> {
        Ok(self.pool.get().await?)
    }

    /// The store's own work, until it is told to stop.
    async fn work(self, mut stopped: watch::Receiver<bool>) {
        let mut fold = tokio::time::interval(FOLD_INTERVAL);
        let mut partitions = tokio::time::interval(PARTITION_INTERVAL);
        loop {
            let done = tokio::select! {
                _ = fold.tick() => self.fold().await,
                _ = partitions.tick() => self.make_partitions().await,
                _ = stopped.changed() => return,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the store's own work is put off");
            }
        }
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

impl From<deadpool_postgres::PoolError> for StoreError {
    fn from(error: deadpool_postgres::PoolError) -> StoreError {
        StoreError::Unavailable(error.to_string())
    }
}
