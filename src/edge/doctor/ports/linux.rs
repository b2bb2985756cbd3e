//! Linux lists sockets with their inodes, and the files that each process has open.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::edge::owner::kernel_row;

use super::Holder;

/// Who listens on `address`, or on every address with its port; `None` when nobody does. Processes of
/// others are seen by root only.
pub(in crate::edge::doctor) fn holders(address: SocketAddr) -> Option<BTreeSet<Holder>> {
    let inodes = listening(address);
    if inodes.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let holders = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        holds(&process.path(), &inodes).then(|| Holder {
            pid,
            name: name.trim().to_owned(),
        })
    });
    Some(holders.collect())
}

/// Inodes of the sockets.
fn listening(address: SocketAddr) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let list = if address.is_ipv6() { "tcp6" } else { "tcp" };
    let list = fs::read_to_string(format!("/proc/self/net/{list}")).unwrap_or_default();
    let port = format!(":{:04X}", address.port());
    let own = kernel_row(address, address.is_ipv6());
    let is_any = |local: &str| {
        let ip = local.strip_suffix(&port);
        ip.is_some_and(|ip| ip.bytes().all(|digit| digit == b'0'))
    };
    let rows = list.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (*fields.get(1)?, *fields.get(3)?, *fields.get(9)?);
        let listens = state == LISTEN && (local == own || is_any(local));
        listens.then(|| inode.to_owned())
    });
    rows.collect()
}

fn holds(process: &Path, inodes: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten();
    descriptors
        .flatten()
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[");
            inode.is_some_and(|inode| inodes.contains(inode.trim_end_matches(']')))
        })
}
