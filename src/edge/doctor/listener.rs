//! The port on loopback: who holds it, and how it answers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::edge::config::{Config, Listen};
use crate::edge::install::SERVICE;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use crate::edge::install::SOCKET;
use crate::edge::upstream::words;
use crate::secret::{self, Secret};

use super::finding::Finding;
#[cfg(any(target_os = "linux", target_os = "macos"))]
use super::ports;
use super::world::World;

/// Time for an answer on loopback.
const TIMEOUT: Duration = Duration::from_secs(5);

/// E02
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(super) async fn holder(world: &World) -> Finding {
    let (mut seen, mut unseen) = (Vec::new(), Vec::new());
    for address in addresses(world) {
        let Some(holders) = ports::holders(address) else {
            // Machines without IPv6 are common.
            if address.is_ipv6() && !(seen.is_empty() && unseen.is_empty()) {
                continue;
            }
            return Finding::fail(
                format!("nobody listens on {address}"),
                world.typed_systemctl(&format!("enable --now {SOCKET}")),
            )
            .repaired_by(world.systemctl(&["enable", "--now", SOCKET]));
        };
        // A child of ours has our sockets until its own program begins.
        let ours = holders.iter().find(|holder| holder.is_ours());
        if let (None, Some(stranger)) = (ours, holders.first()) {
            return Finding::fail(
                format!("{address} is held by {stranger}"),
                format!(
                    "stop {}, or choose another port: {}; listen.addresses and Claude's endpoint change with it",
                    stranger.name,
                    world.typed_install("--listen ADDRESS")
                ),
            );
        }
        match ours {
            Some(holder) => seen.push(format!("{address}: {holder}")),
            None => unseen.push(address.to_string()),
        }
    }
    match unseen.is_empty() {
        true => Finding::ok(seen.join("; ")),
        false => Finding::skip(format!(
            "only root sees which process holds {}; run doctor with sudo",
            unseen.join(", ")
        )),
    }
}

/// E02
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(super) async fn holder(_world: &World) -> Finding {
    Finding::skip("who holds a port is not found out on this system")
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
    let shown = match local_token(world) {
        Ok(shown) => shown,
        Err(finding) => return finding,
    };
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
        match post(address, content_type, host, shown.as_ref(), empty).await {
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
                    format!(
                        "{}; {} says why not",
                        world.typed_systemctl("start fieldpost-edge"),
                        world.typed_journal("-u fieldpost-edge -n 20")
                    ),
                )
                .repaired_by(world.systemctl(&["start", SERVICE]));
            }
        }
    }
    Finding::ok(format!(
        "{address} takes an export (200), and refuses web pages (415) and other hosts (403)"
    ))
}

/// What clients must show to this edge, if anything.
pub(super) fn local_token(world: &World) -> Result<Option<Secret>, Finding> {
    let config = world.config.as_ref().ok();
    let Some(file) = config.and_then(|config| config.listen.bearer_token_file.as_ref()) else {
        return Ok(None);
    };
    secret::read_file(file).map(Some).map_err(|error| {
        Finding::skip(format!(
            "clients must show the token of listen.bearer_token_file: {error}"
        ))
    })
}

/// Posts JSON, or what is said to be something else, and says with which status it was answered.
pub(super) async fn post(
    address: SocketAddr,
    content_type: &str,
    host: &str,
    token: Option<&Secret>,
    body: String,
) -> Result<u16, String> {
    let client = crate::http::client::builder().no_proxy().timeout(TIMEOUT);
    let client = client.build().map_err(|error| error.to_string())?;
    let mut request = client
        .post(format!("http://{address}/v1/logs"))
        .header("content-type", content_type)
        .header("host", host);
    if let Some(token) = token {
        request = request.bearer_auth(token.expose());
    }
    let answer = request.body(body).send().await;
    let answer = answer.map_err(|error| words(&error))?;
    Ok(answer.status().as_u16())
}
