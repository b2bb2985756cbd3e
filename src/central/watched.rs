//! Sees that files have changed, however: written in place, renamed over, behind a swapped symlink, on a
//! network's disk. It looks every second, which costs a server nothing.

use std::path::PathBuf;
use std::time::Duration;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Files that are looked at.
pub(super) struct Watched {
    files: Vec<PathBuf>,
    seen: blake3::Hash,
}

impl Watched {
    /// Changes from here on count.
    pub(super) fn new(files: Vec<PathBuf>) -> Watched {
        Watched {
            seen: look(&files),
            files,
        }
    }

    /// Ends when the files have changed and have been as they are for one look: files that belong
    /// together are replaced one after another.
    pub(super) async fn changed(&mut self) {
        let mut before = self.seen;
        loop {
            tokio::time::sleep(INTERVAL).await;
            let now = look(&self.files);
            if now != self.seen && now == before {
                self.seen = now;
                return;
            }
            before = now;
        }
    }
}

/// What stands in the files; a file that cannot be read differs from every other.
fn look(files: &[PathBuf]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for file in files {
        match std::fs::read(file) {
            Ok(contents) => hasher.update(blake3::hash(&contents).as_bytes()),
            Err(_) => hasher.update(b"unreadable"),
        };
    }
    hasher.finalize()
}
