//! Sees that a file has changed: written in place, renamed over, or behind a swapped symlink.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::{RecursiveMode, Watcher};
use tokio::sync::watch;

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
