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
use std::sync::OnceLock;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use std::time::Duration;

use tokio::sync::OnceCell;

#[cfg(target_os = "linux")]
pub(super) use linux::row as kernel_row;

use super::places::Place;

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
pub(super) struct Connection {
    peer: SocketAddr,
    local: SocketAddr,
    uid: OnceCell<Option<u32>>,
    owner: OnceCell<Option<Owner>>,
    /// The place that it takes among its account's.
    place: OnceLock<Place>,
}

impl Connection {
    /// A connection from `peer` to `local`, its address here.
    pub(super) fn new(peer: SocketAddr, local: SocketAddr) -> Connection {
        Connection {
            peer,
            local,
            uid: OnceCell::new(),
            owner: OnceCell::new(),
            place: OnceLock::new(),
        }
    }

    /// The number of the account at the other end; `None` when it is not of this machine, or cannot be told.
    pub(super) async fn uid(&self) -> Option<u32> {
        let found = self.uid.get_or_init(|| uid(self.peer, self.local));
        *found.await
    }

    /// The same account, with its name.
    pub(super) async fn owner(&self) -> Option<&Owner> {
        let found = self.owner.get_or_init(async || {
            let uid = self.uid().await?;
            let name = name(uid).await;
            Some(Owner { uid, name })
        });
        found.await.as_ref()
    }

    /// Takes `place` for as long as the connection lasts.
    pub(super) fn keep(&self, place: Place) {
        // There is one opening of each connection, and so one place.
        let _ = self.place.set(place);
    }
}

/// The account that holds the socket at `peer` which is connected to `local`.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
async fn uid(_peer: SocketAddr, _local: SocketAddr) -> Option<u32> {
    None
}

/// Names are looked up where uids are.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
async fn name(_uid: u32) -> Option<String> {
    None
}

/// The name of an account, if it is found in time.
#[cfg(any(target_os = "linux", target_os = "macos"))]
async fn name(uid: u32) -> Option<String> {
    let name = tokio::task::spawn_blocking(move || uzers::get_user_by_uid(uid));
    let user = match tokio::time::timeout(NAME_TIMEOUT, name).await {
        Ok(found) => found.ok().flatten(),
        Err(_) => {
            tracing::warn!(uid, "the name of an account was not found in time");
            None
        }
    };
    user.map(|user| user.name().to_string_lossy().into_owned())
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
