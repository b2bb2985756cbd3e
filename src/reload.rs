//! Sees that a file has changed: written in place, renamed over, or behind a swapped symlink. Holds
//! values that are replaced as a whole while others use them.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use notify::{RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};

/// Counts the changes of some files while it is held.
pub struct FileWatch {
    changes: watch::Receiver<u64>,
    _watcher: notify::RecommendedWatcher,
}

impl FileWatch {
    /// Watches the directories of `paths`, because a file that is renamed over is another file.
    ///
    /// # Errors
    /// When a directory cannot be watched; the error names it.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> notify::Result<FileWatch> {
        let (sender, changes) = watch::channel(0);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                // Any event in the directory counts: a symlinked file changes under another name, and
                // reading a small file once too often costs nothing.
                let is_change = event.map_or(true, |event| !event.kind.is_access());
                if is_change {
                    sender.send_modify(|count| *count += 1);
                }
            })?;
        for path in paths {
            let directory = match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            watcher
                .watch(directory, RecursiveMode::NonRecursive)
                .map_err(|error| error.add_path(directory.to_owned()))?;
        }
        Ok(FileWatch {
            changes,
            _watcher: watcher,
        })
    }

    /// Ends at the next change.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The watcher is gone with its thread; there is nothing more to wait for.
            std::future::pending::<()>().await;
        }
    }
}

/// A value that many use and one replaces. Whoever has it keeps what they have.
pub struct Swap<T>(RwLock<Arc<T>>);

impl<T> Swap<T> {
    /// Holds a first value.
    pub fn new(value: T) -> Swap<T> {
        Swap(RwLock::new(Arc::new(value)))
    }

    /// The value that is in force.
    pub fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another one in force.
    pub fn store(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// A value handed to the one who waits for it; a later one takes the place of one not yet fetched.
pub struct Slot<T> {
    value: Mutex<Option<T>>,
    filled: Notify,
}

impl<T> Default for Slot<T> {
    fn default() -> Slot<T> {
        Slot {
            value: Mutex::new(None),
            filled: Notify::new(),
        }
    }
}

impl<T> Slot<T> {
    /// Leaves a value.
    pub fn put(&self, value: T) {
        *self.value.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        self.filled.notify_one();
    }

    /// Fetches what is there.
    pub fn take(&self) -> Option<T> {
        let mut value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        value.take()
    }

    /// Fetches what is there, or what comes.
    pub async fn next(&self) -> T {
        loop {
            if let Some(value) = self.take() {
                return value;
            }
            self.filled.notified().await;
        }
    }
}
