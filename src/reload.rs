//! Sees that a file has changed: written in place, renamed over, or behind a swapped symlink. Holds
//! values that are replaced as a whole while others use them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use notify::{RecursiveMode, Watcher};
use tokio::sync::{Notify, watch};

/// Tells when one of some files has changed, while it is held.
pub struct FileWatch {
    files: Vec<PathBuf>,
    seen: Vec<Option<Fingerprint>>,
    events: watch::Receiver<()>,
    _watcher: notify::RecommendedWatcher,
}

/// What differs between two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    length: u64,
    modified: Option<SystemTime>,
    /// Inode and mode, where there are such.
    identity: (u64, u32),
}

impl FileWatch {
    /// Watches the directories of `paths`, because a file that is renamed over is another file.
    ///
    /// # Errors
    /// When a directory cannot be watched; the error names it.
    pub fn new<'a>(paths: impl IntoIterator<Item = &'a Path>) -> notify::Result<FileWatch> {
        let files: Vec<PathBuf> = paths.into_iter().map(Path::to_owned).collect();
        let (sender, events) = watch::channel(());
        let handler = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !event.kind.is_access()) {
                sender.send_replace(());
            }
        };
        let mut watcher = notify::recommended_watcher(handler)?;
        for file in &files {
            let directory = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            watcher
                .watch(directory, RecursiveMode::NonRecursive)
                .map_err(|error| error.add_path(directory.to_owned()))?;
        }
        Ok(FileWatch {
            seen: fingerprints(&files),
            files,
            events,
            _watcher: watcher,
        })
    }

    /// Ends at the next change, of which there may have been one since the last call.
    pub async fn changed(&mut self) {
        loop {
            // A symlinked file changes under another name, so every event in the directory counts,
            // and what happens to the files beside it, a log perhaps, must not.
            let now = fingerprints(&self.files);
            if now != self.seen {
                self.seen = now;
                return;
            }
            if self.events.changed().await.is_err() {
                // The watcher is gone with its thread; there is nothing more to wait for.
                std::future::pending::<()>().await;
            }
        }
    }
}

fn fingerprints(files: &[PathBuf]) -> Vec<Option<Fingerprint>> {
    files.iter().map(|file| fingerprint(file)).collect()
}

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ino(), metadata.mode())
    };
    #[cfg(not(unix))]
    let identity = (0, 0);
    Some(Fingerprint {
        length: metadata.len(),
        modified: metadata.modified().ok(),
        identity,
    })
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
