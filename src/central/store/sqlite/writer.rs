//! The one thread that writes.
//!
//! It takes everything that waits, up to a bound, does it in one transaction, and answers when the
//! commit is on disk: that is what makes a synced commit per request affordable.

use std::sync::mpsc;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::oneshot;

use crate::central::store::StoreError;

/// Jobs in one transaction at most: bounds how long the first of them waits.
const MAX_GROUP: usize = 64;

/// Jobs that may wait. Whoever comes later waits for a place.
const MAX_WAITING: usize = 256;

type Work = Box<dyn FnMut(&Transaction<'_>) -> Result<(), rusqlite::Error> + Send>;

struct Job {
    work: Work,
    done: oneshot::Sender<Result<(), StoreError>>,
}

enum Message {
    Job(Job),
    Close(oneshot::Sender<()>),
}

/// Hands work to the writer thread.
#[derive(Clone)]
pub(super) struct Writer(mpsc::SyncSender<Message>);

impl Writer {
    pub(super) fn start(connection: Connection) -> std::io::Result<Writer> {
        let (sender, receiver) = mpsc::sync_channel(MAX_WAITING);
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(connection, &receiver))?;
        Ok(Writer(sender))
    }

    /// Does `work` in a transaction, perhaps together with other work, and returns what it gave once
    /// the transaction is committed. `work` may run twice: its first run may be rolled back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: nothing of this work was written.
    pub(super) async fn write<T, F>(&self, mut work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    {
        let (give, mut given) = tokio::sync::mpsc::unbounded_channel();
        let (done, finished) = oneshot::channel();
        let job = Job {
            work: Box::new(move |transaction| {
                let value = work(transaction)?;
                // The receiver is gone when the caller is: then nobody asks for the value.
                let _ = give.send(value);
                Ok(())
            }),
            done,
        };
        self.send(Message::Job(job)).await?;
        finished.await.map_err(|_| closed())??;
        let mut latest = None;
        while let Ok(value) = given.try_recv() {
            latest = Some(value);
        }
        latest.ok_or_else(closed)
    }

    pub(super) async fn close(&self) {
        let (done, finished) = oneshot::channel();
        if self.send(Message::Close(done)).await.is_ok() {
            let _ = finished.await;
        }
    }

    /// Sends without blocking a runtime thread when the channel is full.
    async fn send(&self, message: Message) -> Result<(), StoreError> {
        match self.0.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::TrySendError::Disconnected(_)) => Err(closed()),
            Err(mpsc::TrySendError::Full(message)) => {
                let sender = self.0.clone();
                tokio::task::spawn_blocking(move || sender.send(message))
                    .await
                    .map_err(|_| closed())?
                    .map_err(|_| closed())
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

fn run(mut connection: Connection, messages: &mpsc::Receiver<Message>) {
    while let Ok(first) = messages.recv() {
        let mut jobs = Vec::new();
        let mut closing = None;
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Message::Job(job) => jobs.push(job),
                Message::Close(done) => closing = Some(done),
            }
            if jobs.len() < MAX_GROUP && closing.is_none() {
                next = messages.try_recv().ok();
            }
        }
        commit(&mut connection, jobs);
        if let Some(done) = closing {
            // Folds the write-ahead log in, so that the directory holds one file at rest.
            if let Err((_, error)) = connection.close() {
                tracing::warn!(%error, "the database was not closed cleanly; it recovers by itself");
            }
            let _ = done.send(());
            return;
        }
    }
}

/// Commits all jobs together; when that fails and there are several, each alone, so that one job
/// that cannot be done does not fail the others.
fn commit(connection: &mut Connection, mut jobs: Vec<Job>) {
    match transact(connection, &mut jobs) {
        Ok(()) => jobs.into_iter().for_each(|job| {
            let _ = job.done.send(Ok(()));
        }),
        Err(error) if jobs.len() == 1 => {
            tracing::error!(%error, "a write failed");
            for job in jobs {
                let _ = job
                    .done
                    .send(Err(StoreError::Unavailable(error.to_string())));
            }
        }
        Err(_) => jobs
            .into_iter()
            .for_each(|job| commit(connection, vec![job])),
    }
}

fn transact(connection: &mut Connection, jobs: &mut [Job]) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in jobs {
        (job.work)(&transaction)?;
    }
    transaction.commit()
}
