//! The connections that read: they see the last commit and never wait for the writer.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::central::store::StoreError;

use super::connect;

/// Connections that read at once; further reads wait for one.
const MAX_READERS: usize = 4;

/// A small pool of connections.
#[derive(Clone)]
pub(super) struct Readers {
    file: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Readers {
        Readers {
            file,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(MAX_READERS)),
        }
    }

    /// Does `work` with a connection, on a thread that may block.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let _permit = self
            .permits
            .acquire()
            .await
            .expect("the semaphore is never closed");
        let readers = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let connection = match readers.take_idle() {
                Some(connection) => connection,
                None => connect(&readers.file)?,
            };
            let result = work(&connection);
            readers.put_back(connection);
            result
        });
        reading
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }

    fn take_idle(&self) -> Option<Connection> {
        self.idle
            .lock()
            .expect("no holder of this lock panics")
            .pop()
    }

    fn put_back(&self, connection: Connection) {
        self.idle
            .lock()
            .expect("no holder of this lock panics")
            .push(connection);
    }
}
