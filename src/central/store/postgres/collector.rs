//! Requests that wait to be stored, handed to a few writers: what waits is stored together.

use std::sync::Arc;

use deadpool_postgres::Pool;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use crate::central::store::dictionary::Dictionaries;
use crate::central::store::{Ingest, StoreError, Stored};

use super::ingest::store;

/// Transactions of one replica that store events at once.
const WRITERS: usize = 2;

/// Requests that wait. Whoever comes later waits for a place.
const MAX_WAITING: usize = 256;

/// Requests in one transaction at most.
const MAX_GROUP: usize = 64;

/// Events after which no further request is taken into a transaction.
const MAX_GROUP_EVENTS: usize = 8_000;

struct Job {
    ingest: Ingest,
    dictionaries: Dictionaries,
    done: oneshot::Sender<Result<Stored, StoreError>>,
}

/// Hands requests to the writers.
#[derive(Clone)]
pub(super) struct Collector {
    jobs: Arc<std::sync::Mutex<Option<mpsc::Sender<Job>>>>,
}

impl Collector {
    pub(super) fn start(pool: &Pool, tasks: &mut JoinSet<()>) -> Collector {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..WRITERS {
            tasks.spawn(write(pool.clone(), Arc::clone(&receiver)));
        }
        Collector {
            jobs: Arc::new(std::sync::Mutex::new(Some(sender))),
        }
    }

    pub(super) async fn ingest(
        &self,
        ingest: Ingest,
        dictionaries: Dictionaries,
    ) -> Result<Stored, StoreError> {
        let sender = self
            .jobs
            .lock()
            .expect("no holder of this lock panics")
            .clone();
        let (done, stored) = oneshot::channel();
        sender
            .ok_or_else(closed)?
            .send(Job {
                ingest,
                dictionaries,
                done,
            })
            .await
            .map_err(|_| closed())?;
        stored.await.map_err(|_| closed())?
    }

    /// Takes no further request; the writers end after those that wait.
    pub(super) fn close(&self) {
        self.jobs
            .lock()
            .expect("no holder of this lock panics")
            .take();
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

async fn write(pool: Pool, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
    loop {
        let group = next_group(&mut *jobs.lock().await).await;
        if group.is_empty() {
            return;
        }
        commit(&pool, group).await;
    }
}

/// What waits, within bounds; empty when no more will come.
async fn next_group(jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut group: Vec<Job> = Vec::new();
    let mut events = 0;
    let mut next = jobs.recv().await;
    while let Some(job) = next.take() {
        events += job.ingest.events.len();
        group.push(job);
        if group.len() < MAX_GROUP && events < MAX_GROUP_EVENTS {
            next = jobs.try_recv().ok();
        }
    }
    group
}

/// Stores all requests together; when that fails and there are several, each alone, so that one that
/// cannot be stored does not fail the others. Where the server is gone, all of them fail at once.
async fn commit(pool: &Pool, group: Vec<Job>) {
    let mut client = match pool.get().await {
        Ok(client) => client,
        Err(error) => return refuse(group, &error.into()),
    };
    let ingests: Vec<&Ingest> = group.iter().map(|job| &job.ingest).collect();
    let stored = match group.first() {
        None => return,
        Some(first) => store(&mut client, &ingests, &first.dictionaries).await,
    };
    let is_gone = client.is_closed();
    drop(client);
    match stored {
        Ok(stored) => {
            for (job, stored) in group.into_iter().zip(stored) {
                // Whoever asked may be gone.
                let _ = job.done.send(Ok(stored));
            }
        }
        Err(error) if is_gone || group.len() == 1 => refuse(group, &error),
        Err(_) => {
            for job in group {
                Box::pin(commit(pool, vec![job])).await;
            }
        }
    }
}

fn refuse(group: Vec<Job>, error: &StoreError) {
    tracing::error!(%error, requests = group.len(), "a write failed");
    for job in group {
        // Whoever asked may be gone.
        let _ = job.done.send(Err(error.clone()));
    }
}
