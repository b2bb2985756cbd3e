//! Linux lists every TCP socket with the uid that owns it, in a file that everybody may read.
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
