//! `[control]`: how to reach the running edge.

use std::path::{Path, PathBuf};

use crate::config::Reader;

/// Where the daemon's control socket is. macOS has no `/run`, and empties `/var/run` at each start, where the daemon's
/// account may make no folder; Windows has a pipe instead.
const DAEMON_SOCKET: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "/opt/fieldpost/run/edge.sock",
    (_, true) => r"\\.\pipe\fieldpost-edge",
    _ => "/run/fieldpost/edge.sock",
};

/// Where the daemon's queue is.
const DAEMON_QUEUE: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "/var/db/fieldpost/queue",
    (_, true) => r"C:\ProgramData\Fieldpost\state\queue",
    _ => "/var/lib/fieldpost/queue",
};

/// Where commands such as `fieldpost edge status` reach the running edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// The unix socket.
    pub socket: PathBuf,
    /// Accounts in this group may see records and change things, besides root and the edge's own.
    pub group: Option<String>,
}

impl Control {
    /// The usual one for a queue: under `/run` for the daemon's own, where other users can reach it;
    /// beside the queue for any other.
    pub fn beside(queue: &Path) -> Control {
        let socket = match queue.parent() {
            Some(folder) if queue != default_queue_directory() => beside(folder),
            _ => PathBuf::from(DAEMON_SOCKET),
        };
        Control {
            socket,
            group: None,
        }
    }

    /// The same as [`Config::parse`](super::Config::parse) finds it, from a text with any mistakes: the running edge has
    /// something to say about them.
    pub fn find(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Control {
        let mut reader = Reader::parse(text, variable);
        let queue = read_queue_directory(&mut reader);
        Control::read(&mut reader, &queue)
    }

    pub(super) fn read(reader: &mut Reader<'_>, queue: &Path) -> Control {
        let default = Control::beside(queue);
        Control {
            socket: reader
                .text("control.socket")
                .map_or(default.socket, PathBuf::from),
            group: reader.text("control.group"),
        }
    }
}

/// `queue.directory`, from a text with any mistakes.
pub fn queue_directory(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    read_queue_directory(&mut Reader::parse(text, variable))
}

pub(super) fn read_queue_directory(reader: &mut Reader<'_>) -> PathBuf {
    let configured = reader.text("queue.directory");
    configured.map_or_else(default_queue_directory, PathBuf::from)
}

fn default_queue_directory() -> PathBuf {
    PathBuf::from(DAEMON_QUEUE)
}

fn beside(folder: &Path) -> PathBuf {
    match cfg!(windows) {
        // Pipes have a place of their own.
        true => {
            let name = folder.file_name().unwrap_or_default();
            PathBuf::from(format!(r"\\.\pipe\fieldpost-{}", name.display()))
        }
        false => folder.join("edge.sock"),
    }
}
