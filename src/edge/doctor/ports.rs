//! Which process holds a port. Linux tells from the socket's inode to the process that has it open, macOS by `lsof`.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(target_os = "macos", test))]
mod macos;

use std::fmt;

#[cfg(target_os = "linux")]
pub(super) use self::linux::holders;
#[cfg(target_os = "macos")]
pub(super) use self::macos::holders;

/// A process that holds a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holder {
    pid: u32,
    pub(super) name: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (pid {})", self.name, self.pid)
    }
}

impl Holder {
    /// The edge, or systemd or launchd that keeps the port for it.
    pub(super) fn is_ours(&self) -> bool {
        self.pid == 1 || self.name.starts_with("fieldpost")
    }
}
