//! Opening and closing: what was there is found, the threads begin, and at the end they go in order.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, mpsc},
    thread,
};

use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    task,
};

use super::{
    Inner, Limits, OpenError, Queue, Reason, WAITING_MAX_BYTES,
    backlog::Backlog,
    committer::{self, Command, Writer},
    directory,
    keeper::{Errand, Keeper, State},
    ledger::Ledger,
    parked::ParkedStore,
    reader::Reader,
    recovery,
    shared::Shared,
};

/// What ends with the queue.
pub(super) struct Running {
    pub(super) committer: thread::JoinHandle<()>,
    keeper: thread::JoinHandle<()>,
    lock: Arc<File>,
}

/// What was found in a directory.
struct Found {
    shared: Shared,
    state: State,
    next_entry: u64,
    last_seq: u64,
}

impl Queue {
    /// Opens the queue in `directory`, making it if need be. Blocks on the disk.
    pub fn open(directory: &Path, limits: Limits) -> Result<Queue, OpenError> {
        match Queue::try_open(directory, limits.clone()) {
            Err(error) if error.is_full_disk() && directory::drop_ballast(directory) => {
                tracing::warn!(path = %directory.display(), "the queue's disk is full");
                Queue::try_open(directory, limits)
            }
            settled => settled.inspect(|_| directory::take_ballast(directory)),
        }
    }

    fn try_open(directory: &Path, limits: Limits) -> Result<Queue, OpenError> {
        let lock = Arc::new(directory::claim(directory)?);
        let Found {
            shared,
            state,
            next_entry,
            last_seq,
        } = Found::look(directory, limits)?;
        let shared = Arc::new(shared);
        let reader = Arc::new(Mutex::new(Reader::new(Arc::clone(&shared))));

        let (errands, queued) = mpsc::channel();
        let keeper = Keeper {
            shared: Arc::clone(&shared),
            reader: Arc::clone(&reader),
            state,
        };
        let keeper = spawn("queue-keeper", &lock, &shared, move || keeper.run(queued));
        let (commands, queued) = mpsc::channel();
        let mut writer = Writer::new(
            Arc::clone(&shared),
            Arc::clone(&reader),
            errands.clone(),
            next_entry,
            last_seq,
        );
        let committer = spawn("queue-committer", &lock, &shared, move || {
            committer::serve(queued, |turn| writer.take_turn(turn));
        });
        let failed = |error| OpenError::io(directory, error);
        let running = Running {
            committer: committer.map_err(failed)?,
            keeper: keeper.map_err(failed)?,
            lock,
        };
        Ok(Queue(Arc::new(Inner {
            shared,
            reader,
            parked: Arc::new(ParkedStore::new(directory.join("parked.db"))),
            compressors: Arc::default(),
            commands,
            errands,
            waiting: Arc::new(Semaphore::new(WAITING_MAX_BYTES)),
            running: AsyncMutex::new(Some(running)),
            wanting: AtomicU64::new(0),
        })))
    }

    /// Stores what was appended before, saves the position, and gives the directory free. Appends
    /// and batches end; a second call waits for the first.
    pub async fn close(&self) {
        let inner = &self.0;
        inner.shared.begin_closing();
        let mut running = inner.running.lock().await;
        let Some(Running {
            committer,
            keeper,
            lock,
        }) = running.take()
        else {
            return;
        };
        let (commands, errands) = (inner.commands.clone(), inner.errands.clone());
        let parked = Arc::clone(&inner.parked);
        let reader = Arc::clone(&inner.reader);
        let closed = task::spawn_blocking(move || {
            // Whoever has stopped already needs no telling.
            let _ = commands.send(Command::Close);
            let committed = committer.join();
            let _ = errands.send(Errand::Close);
            let kept = keeper.join();
            reader
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .close();
            parked.close();
            drop(lock);
            committed.and(kept)
        });
        if !matches!(closed.await, Ok(Ok(()))) {
            tracing::error!("a thread of the queue had ended by an internal error");
        }
    }
}

impl Queue {
    /// Ends when a thread of the queue has ended although nobody closed it: by an internal error, which was
    /// logged. Nothing more is stored from then on, until the process is started anew.
    pub async fn failed(&self) {
        let mut ended = self.0.shared.ended.subscribe();
        // The sender is held here.
        let _ = ended.wait_for(|ended| *ended).await;
        if self.0.shared.is_closing() {
            std::future::pending::<()>().await;
        }
    }
}

impl Found {
    /// Reads what is in the directory, repairs it, and writes down what is missing.
    fn look(directory: &Path, limits: Limits) -> Result<Found, OpenError> {
        let failed = |error| OpenError::storage(directory, error);
        let ledger = Ledger::open(directory.join("ledger"))
            .map_err(|error| OpenError::io(&directory.join("ledger"), error))?;
        let mut recovered = recovery::recover(directory).map_err(failed)?;
        let (state, saved) = State::open(directory.join("state.db")).map_err(failed)?;
        let mut cursor = recovery::find_gaps(directory, &mut recovered, saved, |numbers| {
            ledger.add(Reason::Damaged, &[numbers], 0);
        });
        ledger.add(Reason::Refused, &recovered.cut_short.numbers, 0);
        for numbers in recovered.given_up {
            ledger.give_up(Reason::Damaged, numbers);
        }
        // A number in the ledger is used, even when no record has it. All up to here are accounted for.
        let last_seq = recovered.last_seq.max(ledger.last_seq());
        let segments = &mut recovered.segments;
        recovery::account_up_to(directory, segments, &mut cursor, last_seq);
        let next_entry = recovered.next_entry.max(cursor.next).max(1);
        let backlog = Backlog::new(recovered.segments, cursor, recovered.damaged)
            .with_torn(recovered.cut_short.torn);
        Ok(Found {
            shared: Shared::new(directory.to_owned(), limits, ledger, backlog, last_seq),
            state,
            next_entry,
            last_seq,
        })
    }
}

/// Starts a thread that keeps the directory locked until it has ended, and then says so, however it ended.
fn spawn(
    name: &str,
    lock: &Arc<File>,
    shared: &Arc<Shared>,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let lock = Arc::clone(lock);
    let ending = Ending(Arc::clone(shared));
    thread::Builder::new().name(name.into()).spawn(move || {
        let _ending = ending;
        run();
        drop(lock);
    })
}

/// Tells, when it is dropped, that a thread of the queue has ended.
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.ended.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_ends_although_nobody_asked_it_to_is_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let queue = Queue::open(directory.path(), Limits::default()).expect("it opens");
        assert!(!*queue.0.shared.ended.borrow());
        queue.0.errands.send(Errand::Close).expect("it listens");
        queue.failed().await;
        queue.close().await;

        let queue = Queue::open(directory.path(), Limits::default()).expect("it opens");
        queue.close().await;
        let failed = tokio::time::timeout(std::time::Duration::from_millis(10), queue.failed());
        assert!(failed.await.is_err(), "it was closed");
    }
}
