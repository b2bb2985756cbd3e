//! Sees that a file has changed: written in place, renamed over, or behind a swapped symlink.

use std::path::Path;

use notify::{RecursiveMode, Watcher};
use tokio::sync::watch;

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
