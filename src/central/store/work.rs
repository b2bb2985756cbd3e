//! The store's own work: what is done beside requests, by one replica at a time where that matters.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use crate::event::Timestamp;

use super::block::{BlockEvent, StoredBlock};
use super::dictionary;
use super::query::Query;
use super::{Database, Store, StoreError};

/// How often it is looked for something to index and to fold.
const TICK: Duration = Duration::from_millis(300);

/// How often what is new is indexed when it is little: what comes meanwhile is packed together.
const INDEX_INTERVAL: Duration = Duration::from_secs(5);

/// How often the work is done that nobody waits for: retention, parts of months.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(600);

/// How often it is tried to make a dictionary, until there is one.
const TRAINING_INTERVAL: Duration = Duration::from_secs(5);

/// What a dictionary is made from: so many records at least, of so many blocks at most.
const SAMPLES: (usize, i64) = (1_000, 1_000);

/// Records that a dictionary is made from at most.
const MAX_SAMPLES: usize = 4_000;

/// Blocks of older versions that are noted at once.
const NOTED: i64 = 200;

/// The task that does it.
pub(super) struct Work {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Work {
    /// Ends what is under way.
    pub(super) async fn stop(self) {
        self.stop.send_replace(true);
        // It does not panic; and if it did, there would be nothing left to end.
        let _ = self.task.await;
    }
}

impl Store {
    /// Begins the store's own work, which goes on until the store is closed. A command that only reads
    /// or writes something does without it.
    pub async fn start_work(&self) {
        let (stop, stopped) = watch::channel(false);
        let store = self.clone();
        let task = tokio::spawn(async move { store.work(stopped).await });
        *self.work.lock().await = Some(Work { stop, task });
    }

    async fn work(&self, mut stopped: watch::Receiver<bool>) {
        let mut ticks = interval(TICK);
        let mut index_due = Instant::now();
        let mut upkeep_due = Instant::now();
        let mut training_due = Instant::now();
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = stopped.changed() => return,
            }
            self.attempt("folding", self.fold()).await;
            if Instant::now() >= index_due || self.has_much_to_index().await.unwrap_or(false) {
                index_due = Instant::now() + INDEX_INTERVAL;
                self.attempt("indexing", self.index(&stopped)).await;
            }
            if self.dictionaries.is_empty() && Instant::now() >= training_due {
                training_due = Instant::now() + TRAINING_INTERVAL;
                self.attempt("making a dictionary", self.train()).await;
            }
            if Instant::now() >= upkeep_due {
                upkeep_due = Instant::now() + UPKEEP_INTERVAL;
                self.attempt("making room", self.keep_up(&stopped)).await;
            }
        }
    }

    async fn attempt(&self, what: &str, work: impl Future<Output = Result<(), StoreError>>) {
        if let Err(error) = work.await {
            tracing::warn!(%error, "{what} is put off");
        }
    }

    async fn fold(&self) -> Result<(), StoreError> {
        match &self.database {
            Database::Sqlite(_) => Ok(()),
            Database::Postgres(postgres) => postgres.fold().await,
        }
    }

    /// Indexes everything that is not indexed yet. While there is always more, what waits to be folded is folded
    /// in the largest batches, which takes least: otherwise whoever reads would have to.
    async fn index(&self, stopped: &watch::Receiver<bool>) -> Result<(), StoreError> {
        while !*stopped.borrow() && self.index_some().await? > 0 {
            if let Database::Postgres(postgres) = &self.database
                && postgres.has_much_to_fold().await?
            {
                postgres.fold().await?;
            }
        }
        Ok(())
    }

    async fn keep_up(&self, stopped: &watch::Receiver<bool>) -> Result<(), StoreError> {
        if self.state("rebuild").await?.is_some() {
            tracing::info!("making the derived tables anew, as the new version needs");
            self.rebuild(|_| ()).await?;
        }
        if let Database::Postgres(postgres) = &self.database {
            postgres.make_partitions().await?;
        }
        self.note_old_content(stopped).await?;
        while !*stopped.borrow() && self.read_old_signals().await? {}
        self.expire(Timestamp::now(), &|| *stopped.borrow()).await?;
        Ok(())
    }

    /// Notes of every block of older versions that it may hold content: these left some of it among the records.
    /// Retention takes it out when it is too old.
    async fn note_old_content(&self, stopped: &watch::Receiver<bool>) -> Result<(), StoreError> {
        while !*stopped.borrow() {
            let Some(reached) = self.state("old_content").await? else {
                return Ok(());
            };
            let after: i64 = reached.parse().unwrap_or(0);
            let next = "SELECT max(seq) FROM (SELECT seq FROM event_blocks WHERE seq > $1
                ORDER BY seq LIMIT $2) AS next";
            let next = Query::new(next, [after.into(), NOTED.into()]);
            let mut row = self.rows(next).await?.pop();
            let last: Option<i64> = row.as_mut().map_or(Ok(None), |row| row.take(0))?;
            let Some(last) = last else {
                let done = "DELETE FROM store_state WHERE key = 'old_content'";
                self.write(vec![Query::new(done, [])]).await?;
                return Ok(());
            };
            let note = "UPDATE event_blocks SET content_from = first_time
                WHERE seq > $1 AND seq <= $2 AND (content_from IS NULL OR content_from > first_time)";
            let reached = "UPDATE store_state SET value = $1 WHERE key = 'old_content'";
            self.write(vec![
                Query::new(note, [after.into(), last.into()]),
                Query::new(reached, [last.to_string().into()]),
            ])
            .await?;
        }
        Ok(())
    }

    /// A fact about the store itself.
    async fn state(&self, key: &str) -> Result<Option<String>, StoreError> {
        let sql = "SELECT value FROM store_state WHERE key = $1";
        let mut row = self.rows(Query::new(sql, [key.into()])).await?.pop();
        row.as_mut().map(|row| row.take(0)).transpose()
    }

    /// Makes a dictionary of what the latest records have in common, but for their content, once there
    /// are enough. Another replica's is taken, when there is one.
    async fn train(&self) -> Result<(), StoreError> {
        self.load_dictionaries().await?;
        if !self.dictionaries.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "SELECT {} FROM event_blocks ORDER BY seq DESC LIMIT $1",
            StoredBlock::COLUMNS
        );
        let rows = self.rows(Query::new(sql, [SAMPLES.1.into()])).await?;
        let dictionaries = self.dictionaries.clone();
        let training = tokio::task::spawn_blocking(move || {
            let mut samples = Vec::new();
            for row in rows {
                let inflated = StoredBlock::read(row)?.inflate(&dictionaries)?;
                samples.extend(inflated.events()?.iter().map(BlockEvent::sample));
                if samples.len() > MAX_SAMPLES {
                    break;
                }
            }
            match samples.len() < SAMPLES.0 {
                true => Ok(None),
                false => Ok::<_, StoreError>(Some(dictionary::train(&samples)?)),
            }
        });
        let trained = training
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))??;
        let Some((id, dictionary)) = trained else {
            return Ok(());
        };
        let insert = Query::new(
            "INSERT INTO dictionaries (id, made_at, dictionary) SELECT $1, $2, $3
             WHERE NOT EXISTS (SELECT 1 FROM dictionaries)",
            [
                i64::from(id).into(),
                Timestamp::now().into(),
                dictionary.into(),
            ],
        );
        self.write(vec![insert]).await?;
        self.load_dictionaries().await
    }
}
