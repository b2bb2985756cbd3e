//! Which account of this machine is posting.
//!
//! Linux lists every TCP socket with the uid that owns it. The socket at the client's end of an
//! accepted connection is the row whose two addresses are those of our end, swapped. The uid is
//! certain; its name is looked up where the system keeps names, which may be a directory service, and
//! may take long: then it is left out.
//!
//! macOS lists the process that holds each socket, and the process has an account.
//!
//! Elsewhere records say nothing of their owner; nothing is guessed.

#[cfg(target_os = "linux")]
mod linux;
// Tested wherever the tests run; only what it starts is macOS's own.
#[cfg(any(target_os = "macos", test))]
mod macos;

use std::net::SocketAddr;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::time::Duration;

use tokio::sync::OnceCell;

#[cfg(target_os = "linux")]
pub(super) use linux::row as kernel_row;

/// Time for a name to be found.
#[cfg(any(target_os = "linux", target_os = "macos"))]
const NAME_TIMEOUT: Duration = Duration::from_secs(1);

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// Its number.
    pub(super) uid: u32,
    /// Its name, if the system has one for it.
    pub(super) name: Option<String>,
}

/// An accepted connection, which finds its owner out once, when it is first asked.
#[derive(Debug)]
pub(super) struct Connection {
    peer: SocketAddr,
    local: SocketAddr,
    owner: OnceCell<Option<Owner>>,
}

impl Connection {
    /// A connection from `peer` to `local`, its address here.
    pub(super) fn new(peer: SocketAddr, local: SocketAddr) -> Connection {
        Connection {
            peer,
            local,
            owner: OnceCell::new(),
        }
    }

    /// The account at the other end; `None` when it is not of this machine, or cannot be told.
    pub(super) async fn owner(&self) -> Option<&Owner> {
        let found = self.owner.get_or_init(|| find(self.peer, self.local));
        found.await.as_ref()
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
async fn find(_peer: SocketAddr, _local: SocketAddr) -> Option<Owner> {
    None
}

#[cfg(any(target_os = "linux", target_os = "macos"))]
async fn find(peer: SocketAddr, local: SocketAddr) -> Option<Owner> {
    let uid = uid(peer, local).await?;
    let name = tokio::task::spawn_blocking(move || uzers::get_user_by_uid(uid));
    let user = match tokio::time::timeout(NAME_TIMEOUT, name).await {
        Ok(found) => found.ok().flatten(),
        Err(_) => {
            tracing::warn!(uid, "the name of an account was not found in time");
            None
        }
    };
    let name = user.map(|user| user.name().to_string_lossy().into_owned());
    Some(Owner { uid, name })
}

/// The account that holds the socket at `peer` which is connected to `local`.
#[cfg(target_os = "linux")]
async fn uid(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    let uid = tokio::task::spawn_blocking(move || linux::uid(peer, local));
    uid.await.ok()?
}

#[cfg(target_os = "macos")]
async fn uid(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
    macos::uid(&macos::Programs::default(), peer, local).await
}
