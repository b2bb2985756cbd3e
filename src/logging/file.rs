//! A log file that others rotate by renaming it: no signal is needed, and none is lost.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(super) struct LogFile {
    path: PathBuf,
    file: File,
}

impl LogFile {
    pub(super) fn open(path: &Path) -> io::Result<LogFile> {
        Ok(LogFile {
            path: path.to_owned(),
            file: open(path)?,
        })
    }

    /// Appends a line, to a new file where the old one has another name by now.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let there = std::fs::metadata(&self.path);
        let is_same = match (&there, self.file.metadata()) {
            (Ok(there), Ok(ours)) => are_one(there, &ours),
            _ => false,
        };
        if !is_same {
            self.file = open(&self.path)?;
        }
        self.file.write_all(line)
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o640);
    }
    options.open(path)
}

#[cfg(unix)]
fn are_one(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// An open file cannot be renamed there.
#[cfg(not(unix))]
fn are_one(_one: &Metadata, _other: &Metadata) -> bool {
    true
}
