//! The port on loopback: who holds it, and how it answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::edge::config::{Config, Listen};
use crate::edge::install::Step;
use crate::edge::upstream::words;

use super::finding::Finding;
#[cfg(target_os = "linux")]
use super::ports;
use super::world::World;

/// The unit that holds the port.
#[cfg(target_os = "linux")]
const SOCKET: &str = "fieldpost-edge.socket";

/// Time for an answer on loopback.
const TIMEOUT: Duration = Duration::from_secs(5);

/// E02
#[cfg(target_os = "linux")]
pub(super) async fn holder(world: &World) -> Finding {
    let mut seen = Vec::new();
    for address in addresses(world) {
        let Some(holders) = ports::holders(address) else {
            // Machines without IPv6 are common.
            if address.is_ipv6() && !seen.is_empty() {
                continue;
            }
            return Finding::fail(
                format!("nobody listens on {address}"),
                "sudo systemctl enable --now fieldpost-edge.socket",
            )
            .repaired_by(Step::systemctl(&["enable", "--now", SOCKET]));
        };
        // A child of ours has our sockets until its own program begins.
        let ours = holders.iter().find(|holder| holder.is_ours());
        if let (None, Some(stranger)) = (ours, holders.first()) {
            return Finding::fail(
                format!("{address} is held by {stranger}"),
                format!(
                    "stop {}, or choose another port: `fieldpost edge install --listen`, \
                     listen.addresses and Claude's endpoint change together",
                    stranger.name
                ),
            );
        }
        match ours {
            Some(holder) => seen.push(format!("{address}: {holder}")),
            None => seen.push(format!("{address}: a process that only root sees")),
        }
    }
    Finding::ok(seen.join("; "))
}

/// E02
#[cfg(not(target_os = "linux"))]
pub(super) async fn holder(_world: &World) -> Finding {
    Finding::skip("who holds a port is found out on Linux only")
}

fn addresses(world: &World) -> Vec<SocketAddr> {
    let config = world.config.as_ref().ok();
    let configured = config.map(|config: &Config| config.listen.addresses.clone());
    configured.unwrap_or_else(|| Listen::default().addresses)
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
        let empty = r#"{"resourceLogs":[]}"#.to_owned();
        match post(address, content_type, host, empty).await {
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
                )
                .repaired_by(Step::systemctl(&["start", "fieldpost-edge.service"]));
            }
        }
    }
    Finding::ok(format!(
        "{address} takes an export (200), and refuses web pages (415) and other hosts (403)"
    ))
}

/// Posts JSON, or what is said to be something else, and says with which status it was answered.
pub(super) async fn post(
    address: SocketAddr,
    content_type: &str,
    host: &str,
    body: String,
) -> Result<u16, String> {
    let client = crate::http::client::builder().no_proxy().timeout(TIMEOUT);
    let client = client.build().map_err(|error| error.to_string())?;
    let request = client
        .post(format!("http://{address}/v1/logs"))
        .header("content-type", content_type)
        .header("host", host)
        .body(body);
    let answer = request.send().await;
    let answer = answer.map_err(|error| words(&error))?;
    Ok(answer.status().as_u16())
}
