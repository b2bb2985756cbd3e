//! Which account of this machine is posting.
//!
//! Linux lists every TCP socket with the uid that owns it. The socket at the client's end of an
//! accepted connection is the row whose two addresses are those of our end, swapped. The uid is
//! certain; its name is looked up where the system keeps names, which may be a directory service, and
//! may take long: then it is left out.
//!
//! On macOS the same stands in `sysctl net.inet.tcp.pcblist_n`, and in libproc's list of a process's
//! sockets, which for other users' processes needs root. Until that is built and measured there,
//! records from a Mac say nothing of their owner; nothing is guessed.

use std::net::SocketAddr;
#[cfg(target_os = "linux")]
use std::time::Duration;

use tokio::sync::OnceCell;

/// Time for a name to be found.
#[cfg(target_os = "linux")]
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

#[cfg(not(target_os = "linux"))]
async fn find(_peer: SocketAddr, _local: SocketAddr) -> Option<Owner> {
    None
}

#[cfg(target_os = "linux")]
async fn find(peer: SocketAddr, local: SocketAddr) -> Option<Owner> {
    let uid = tokio::task::spawn_blocking(move || linux::uid(peer, local));
    let uid = uid.await.ok()??;
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

#[cfg(target_os = "linux")]
pub(super) use linux::row as kernel_row;

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, SocketAddr};

    /// The uid that owns the socket at `peer` which is connected to `local`.
    pub(super) fn uid(peer: SocketAddr, local: SocketAddr) -> Option<u32> {
        let (peer, local) = (canonical(peer), canonical(local));
        // An IPv4 connection of an IPv6 socket stands in the second list, with mapped addresses.
        if peer.is_ipv4() {
            let found = search("/proc/self/net/tcp", &row(peer, false), &row(local, false));
            if found.is_some() {
                return found;
            }
        }
        search("/proc/self/net/tcp6", &row(peer, true), &row(local, true))
    }

    fn canonical(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    /// An address as the kernel writes it: words of 32 bits as they lie in memory, in hexadecimal.
    pub(in crate::edge) fn row(address: SocketAddr, as_v6: bool) -> String {
        let octets = match address.ip() {
            IpAddr::V4(ip) if as_v6 => ip.to_ipv6_mapped().octets().to_vec(),
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let (words, _) = octets.as_chunks::<4>();
        let mut text: String = words
            .iter()
            .map(|word| format!("{:08X}", u32::from_ne_bytes(*word)))
            .collect();
        text.push_str(&format!(":{:04X}", address.port()));
        text
    }

    /// The `self` path: a sandbox that shows processes only hides `/proc/net`.
    fn search(list: &str, peer: &str, local: &str) -> Option<u32> {
        let list = BufReader::new(File::open(list).ok()?);
        list.lines()
            .map_while(Result::ok)
            .find_map(|line| owner_in(&line, peer, local))
    }

    /// sl, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode, ...
    fn owner_in(line: &str, peer: &str, local: &str) -> Option<u32> {
        let mut fields = line.split_ascii_whitespace().skip(1);
        if fields.next()? != peer || fields.next()? != local {
            return None;
        }
        let uid = fields.nth(4)?;
        let inode = fields.nth(1)?;
        // A socket that no process holds any more is listed as root's, whoever made it.
        if inode == "0" {
            return None;
        }
        uid.parse().ok()
    }
}
