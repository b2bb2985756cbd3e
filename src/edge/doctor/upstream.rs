//! The way to the upstream, and what it says.

use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;

use crate::edge::upstream::{Probe, Upstream, signer};
use crate::event::CLOCK_TOLERANCE;

use super::finding::Finding;
use super::world::World;

/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

const TRUST: &str = "when a company's own authority signs what passes, name its certificate in \
                     upstream.ca_file, or have the system trust it and run: sudo systemctl reload fieldpost-edge";

/// E06
pub(super) async fn way(world: &World) -> Finding {
    let Ok(config) = &world.config else {
        return Finding::skip("the configuration does not say where records go");
    };
    let Ok(url) = reqwest::Url::parse(&config.upstream.endpoint) else {
        return Finding::skip("the configuration does not say where records go");
    };
    let (host, port) = (
        url.host_str().unwrap_or_default(),
        url.port_or_known_default(),
    );
    let (host, port) = (host.trim_matches(['[', ']']), port.unwrap_or(443));
    if config.upstream.proxy.is_none() && (world.variable)("HTTPS_PROXY").is_none() {
        let found = lookup_host((host, port))
            .await
            .map(Iterator::collect::<Vec<_>>);
        let addresses = match found {
            Ok(addresses) => addresses,
            Err(error) => {
                return Finding::fail(
                    format!("the name {host} is not found: {error}"),
                    "check upstream.endpoint, and the machine's DNS",
                );
            }
        };
        let connect = TcpStream::connect(addresses.as_slice());
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connect).await;
        let words = match connected {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer within 5 s".to_owned()),
        };
        if let Some(words) = words {
            return Finding::fail(
                format!("{host} port {port} cannot be reached: {words}"),
                "a firewall is in between, or a proxy is needed: upstream.proxy",
            );
        }
    }
    let probe = probe(world).await;
    // A company that looks into what passes shows a certificate of its own.
    let signer = match url.scheme() {
        "https" => signer(&config.upstream).await,
        _ => None,
    };
    match (probe, signer) {
        (Ok(_), None) => Finding::ok(format!("{host} port {port} is reached, and speaks HTTP")),
        (Ok(_), Some(signer)) => Finding::ok(format!(
            "{host} port {port} is reached, and its certificate, signed by {signer}, is trusted"
        )),
        (Err(words), None) => Finding::fail(words, TRUST),
        (Err(words), Some(signer)) => Finding::fail(
            format!("{words}; the certificate at {host} port {port} is signed by {signer}"),
            TRUST,
        ),
    }
}

/// E07
pub(super) async fn answer(world: &World) -> Finding {
    let probe = match probe(world).await {
        Ok(probe) => probe,
        Err(words) => return Finding::skip(format!("no answer, E06 says why: {words}")),
    };
    let said = probe.reason.as_str();
    match probe.status {
        200 | 204 => Finding::ok(format!(
            "{}: the token is good, and the address is right",
            probe.status
        )),
        401 => Finding::fail(
            format!("401: the token is malformed, expired or revoked: {said}"),
            "make another in the portal, then: sudo fieldpost edge install --token-stdin",
        ),
        403 => Finding::fail(
            format!("403: the token is not for this: {said}"),
            "use a token of the environment that the endpoint belongs to",
        ),
        404 | 405 => Finding::fail(
            format!(
                "{}: nothing takes telemetry at this address: {said}",
                probe.status
            ),
            "copy upstream.endpoint from the portal once more; it is used as it is",
        ),
        407 => Finding::fail(
            "407: the proxy asks for a name and a password",
            "give them in upstream.proxy, or have the proxy let this host pass",
        ),
        429 => Finding::warn(
            format!("429: too many requests with this token: {said}"),
            "records wait on disk and go later; raise the central service's rate for large fleets",
        ),
        status => Finding::fail(
            format!("{status}: {said}"),
            "records wait on disk; the upstream's own log says more",
        ),
    }
}

/// E08
pub(super) async fn clock(world: &World) -> Finding {
    let probe = match probe(world).await {
        Ok(probe) => probe,
        Err(_) => return Finding::skip("no answer to compare with"),
    };
    let Some(theirs) = probe.date else {
        return Finding::skip("the upstream does not say what time it is");
    };
    let ahead = world.now.duration_since(theirs);
    let (off, word) = match ahead {
        Ok(ahead) => (ahead, "ahead of"),
        Err(behind) => (behind.duration(), "behind"),
    };
    match off > CLOCK_TOLERANCE {
        true => Finding::fail(
            format!(
                "this machine's clock is {} s {word} the upstream's",
                off.as_secs()
            ),
            "switch on time synchronization: sudo timedatectl set-ntp true",
        ),
        false => Finding::ok(format!(
            "within {} s of the upstream's",
            off.as_secs().max(1)
        )),
    }
}

/// Asked once for all checks; by the edge's own way upstream, with its token.
async fn probe(world: &World) -> Result<&Probe, String> {
    let ask = async || {
        let config = world.config.as_ref().map_err(ToString::to_string)?;
        let mut upstream = Upstream::new(&config.upstream, &Default::default())
            .map_err(|error| format!("{error:#}"))?;
        upstream.probe().await
    };
    let cell: &OnceCell<Result<Probe, String>> = &world.probe;
    cell.get_or_init(ask).await.as_ref().map_err(Clone::clone)
}
