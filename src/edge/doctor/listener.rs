//! The port on loopback: who holds it, and how it answers.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::edge::config::{Config, Listen};

use super::finding::Finding;
use super::world::World;

/// Time for an answer on loopback.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A program that holds a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    pid: u32,
    name: String,
}

/// E02
pub(super) async fn holder(world: &World) -> Finding {
    if !cfg!(target_os = "linux") {
        return Finding::skip("who holds a port is found out on Linux only");
    }
    let mut seen = Vec::new();
    for address in addresses(world) {
        let inodes = listening(address);
        if inodes.is_empty() {
            if address.is_ipv6() && !seen.is_empty() {
                continue;
            }
            return Finding::fail(
                format!("nobody listens on {address}"),
                "sudo systemctl enable --now fieldpost-edge.socket",
            );
        }
        let holders = holders(&inodes);
        if let Some(stranger) = holders.iter().find(|it| !is_ours(it)) {
            let Holder { pid, name } = stranger;
            return Finding::fail(
                format!("{address} is held by {name} (pid {pid})"),
                format!(
                    "stop {name}, or choose another port: `fieldpost edge install --listen`, \
                     listen.addresses and Claude's endpoint change together"
                ),
            );
        }
        match holders.first() {
            Some(Holder { pid, name }) => seen.push(format!("{address}: {name} (pid {pid})")),
            None => seen.push(format!("{address}: held by a process that only root sees")),
        }
    }
    Finding::ok(seen.join("; "))
}

fn addresses(world: &World) -> Vec<SocketAddr> {
    let config = world.config.as_ref().ok();
    let configured = config.map(|config: &Config| config.listen.addresses.clone());
    configured.unwrap_or_else(|| Listen::default().addresses)
}

fn is_ours(holder: &Holder) -> bool {
    holder.pid == 1 || holder.name.starts_with("fieldpost")
}

/// Inodes of the sockets that listen on `address`, or on every address with its port.
fn listening(address: SocketAddr) -> BTreeSet<String> {
    const LISTEN: &str = "0A";
    let list = if address.is_ipv6() { "tcp6" } else { "tcp" };
    let list = fs::read_to_string(format!("/proc/self/net/{list}")).unwrap_or_default();
    let port = format!(":{:04X}", address.port());
    let own = crate::edge::owner::kernel_row(address, address.is_ipv6());
    let rows = list.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
        let is_any =
            local.ends_with(&port) && local.trim_end_matches(&port).bytes().all(|b| b == b'0');
        (*state == LISTEN && (*local == own || is_any)).then(|| (*inode).to_owned())
    });
    rows.collect()
}

fn holders(inodes: &BTreeSet<String>) -> BTreeSet<Holder> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let holders = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let is_holder = holds(&process.path(), inodes);
        is_holder.then(|| Holder {
            pid,
            name: fs::read_to_string(process.path().join("comm"))
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
    });
    holders.collect()
}

fn holds(process: &Path, inodes: &BTreeSet<String>) -> bool {
    let descriptors = fs::read_dir(process.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| {
            let target = target.to_string_lossy();
            let inode = target.strip_prefix("socket:[");
            inode.is_some_and(|inode| inodes.contains(inode.trim_end_matches(']')))
        })
}

/// E03
pub(super) async fn answers(world: &World) -> Finding {
    let Some(address) = addresses(world).first().copied() else {
        return Finding::skip("no address is configured");
    };
    let locked = world.config.as_ref().ok();
    if locked.is_some_and(|config| config.listen.bearer_token_file.is_some()) {
        return Finding::skip("clients must show a local token, which doctor does not know");
    }
    let expected = [
        ("an empty export", "application/json", "localhost", 200),
        ("a web page's text", "text/plain", "localhost", 415),
        (
            "another machine's name",
            "application/json",
            "example.com",
            403,
        ),
    ];
    for (what, content_type, host, expected) in expected {
        match post(address, content_type, host).await {
            Ok(status) if status == expected => {}
            Ok(status) => {
                return Finding::fail(
                    format!("{what} is answered with {status} at {address} instead of {expected}"),
                    "another program answers there: E02 says which",
                );
            }
            Err(words) => {
                return Finding::fail(
                    format!("no answer at {address}: {words}"),
                    "sudo systemctl start fieldpost-edge; journalctl -u fieldpost-edge -n 20 says why not",
                );
            }
        }
    }
    Finding::ok(format!(
        "{address} takes an export (200), and refuses web pages (415) and other hosts (403)"
    ))
}

async fn post(address: SocketAddr, content_type: &str, host: &str) -> Result<u16, String> {
    let client = crate::http::client::builder().no_proxy().timeout(TIMEOUT);
    let client = client.build().map_err(|error| error.to_string())?;
    let request = client
        .post(format!("http://{address}/v1/logs"))
        .header("content-type", content_type)
        .header("host", host)
        .body("{\"resourceLogs\":[]}");
    let answer = request.send().await;
    let answer = answer.map_err(|error| crate::edge::upstream::words(&error))?;
    Ok(answer.status().as_u16())
}
