//! Sees that a file has changed: written in place, renamed over, or behind a swapped symlink.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use notify::{RecursiveMode, Watcher};
use tokio::sync::watch;

/// Tells when one file has changed, while it is held.
pub struct FileWatch {
    path: PathBuf,
    seen: Option<Fingerprint>,
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
    /// Watches the directory of `path`, because a file that is renamed over is another file.
    ///
    /// # Errors
    /// When the directory cannot be watched.
    pub fn new(path: &Path) -> notify::Result<FileWatch> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let (sender, events) = watch::channel(());
        let handler = move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| !event.kind.is_access()) {
                sender.send_replace(());
            }
        };
        let mut watcher = notify::recommended_watcher(handler)?;
        watcher.watch(directory, RecursiveMode::NonRecursive)?;
        Ok(FileWatch {
            path: path.to_owned(),
            seen: fingerprint(path),
            events,
            _watcher: watcher,
        })
    }

    /// Ends at the next change, of which there may have been one since the last call.
    pub async fn changed(&mut self) {
        loop {
            // A symlinked file changes under another name, so every event in the directory counts,
            // and what happens to the files beside it, a log perhaps, must not.
            let now = fingerprint(&self.path);
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
