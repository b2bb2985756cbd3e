//! What can go wrong, by who has to act: the operator on opening, the receiver on appending, the
//! forwarder on settling.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The queue cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("the queue {} is in use by another fieldpost; stop that one, or give this one a queue.directory of its own", .0.display())]
    InUse(PathBuf),
    /// The directory was written by a version that knows more.
    #[error("the queue {} has format {found:?}, which this version cannot read; run the version that wrote it, or drain the queue with that one first", path.display())]
    Format {
        /// The queue's directory.
        path: PathBuf,
        /// What its marker says.
        found: String,
    },
    /// The operating system refused.
    #[error("the queue cannot be opened: {}: {source}; see that the disk has free space and that fieldpost may write there", path.display())]
    Io {
        /// What was being opened.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The records are not stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// They may be appended again later.
    #[error("records cannot be stored: {0}")]
    Storage(#[from] StorageError),
    /// There is no room, and what is there does not give way. Later there may be.
    #[error("the queue is full")]
    Full,
    /// They would not fit even into an empty queue.
    #[error("a request of {0} bytes is too large to be queued")]
    TooLarge(usize),
    /// The queue is closed or closing.
    #[error("the queue is closed")]
    Closed,
}

/// The queue's disk did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused; often the disk is full.
    #[error(transparent)]
    Io(Arc<io::Error>),
    /// What is on disk is not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
    /// A thread of the queue ended by an internal error, which was logged.
    #[error("the queue stopped after an internal error; restart fieldpost")]
    Stopped,
    /// The queue is closed or closing.
    #[error("the queue is closed")]
    Closed,
}

impl OpenError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(super) fn storage(path: &Path, error: StorageError) -> Self {
        match error {
            StorageError::Io(source) => Self::io(path, io::Error::new(source.kind(), source)),
            other => Self::io(path, io::Error::other(other)),
        }
    }

    pub(super) fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io { source, .. } if is_full_disk(source))
    }
}

impl StorageError {
    /// There is no space on the disk, or none for this account.
    pub(super) fn is_full_disk(&self) -> bool {
        matches!(self, Self::Io(error) if is_full_disk(error))
    }

    /// The medium cannot give back what was written to it.
    pub(super) fn is_unreadable(&self) -> bool {
        matches!(self, Self::Io(error) if is_unreadable(error))
    }
}

/// Whether the medium cannot give back what was written to it: a sector that is worn out, a checksum of the file
/// system's that does not hold. The system has tried again by then.
pub(super) fn is_unreadable(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let errno = Errno::from_io_error(error);
        #[cfg(target_os = "linux")]
        if errno == Some(Errno::UCLEAN) {
            return true;
        }
        [Some(Errno::IO), Some(Errno::BADMSG)].contains(&errno)
    }
    #[cfg(not(unix))]
    {
        // ERROR_CRC, ERROR_IO_DEVICE
        [Some(23), Some(1117)].contains(&error.raw_os_error())
    }
}

fn is_full_disk(error: &io::Error) -> bool {
    [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded].contains(&error.kind())
}

impl From<io::Error> for StorageError {
    fn from(error: io::Error) -> Self {
        Self::Io(Arc::new(error))
    }
}
