//! The way to the upstream, and what it says.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;

use crate::edge::config::Upstream as Configured;
use crate::edge::upstream::{Upstream, is_loopback, knock, signer};
use crate::event::CLOCK_TOLERANCE;

use super::finding::Finding;
use super::hints::CLOCK;
use super::world::{Probed, World};

/// Time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

fn trust(world: &World) -> String {
    format!(
        "when a company's own authority signs what passes, name its certificate in upstream.ca_file, or have the \
         system trust it and run: {}",
        world.typed_systemctl("reload fieldpost-edge")
    )
}

/// E06: no token is shown for it, so that everybody can find out.
pub(super) async fn way(world: &World) -> Finding {
    let Ok(config) = &world.config else {
        return Finding::skip("the configuration does not say where records go");
    };
    let Ok(url) = reqwest::Url::parse(&config.upstream.endpoint) else {
        return Finding::skip("the configuration does not say where records go");
    };
    if let Some(file) = hidden(&config.upstream) {
        return Finding::skip(format!("only root may read {file}; run doctor with sudo"));
    }
    let (host, port) = (
        url.host_str().unwrap_or_default(),
        url.port_or_known_default(),
    );
    let (host, port) = (host.trim_matches(['[', ']']), port.unwrap_or(443));
    let by_proxy = match proxy(world, &config.upstream, url.scheme()).await {
        Ok(by_proxy) => by_proxy,
        Err(finding) => return finding,
    };
    if !by_proxy && let Some(finding) = direct(host, port).await {
        return finding;
    }
    let knocked = knock(&config.upstream).await;
    // A company that looks into what passes shows a certificate of its own.
    let signer = match url.scheme() {
        "https" => signer(&config.upstream).await,
        _ => None,
    };
    match (knocked, signer) {
        (Ok(()), None) => Finding::ok(format!("{host} port {port} is reached, and speaks HTTP")),
        (Ok(()), Some(signer)) => Finding::ok(format!(
            "{host} port {port} is reached, and its certificate, signed by {signer}, is trusted"
        )),
        (Err(words), None) => Finding::fail(words, trust(world)),
        (Err(words), Some(signer)) => Finding::fail(
            format!("{words}; the certificate at {host} port {port} is signed by {signer}"),
            trust(world),
        ),
    }
}

/// The first of the files that the way needs which this account may not read.
fn hidden(config: &Configured) -> Option<String> {
    let certificate = config.client_certificate.iter();
    let mut files = certificate
        .flat_map(|files| [&files.certificate, &files.key])
        .chain(&config.ca_file);
    let is_hidden = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
    let file = files.find(|file| std::fs::File::open(file).is_err_and(is_hidden));
    file.map(|file| file.display().to_string())
}

/// Whether a proxy is asked. The service goes by its own environment, and what doctor sends by the shell's that it was
/// started in: where those differ, nothing that is seen here is what the service sees.
async fn proxy(world: &World, config: &Configured, scheme: &str) -> Result<bool, Finding> {
    if is_loopback(&config.endpoint) {
        return Ok(false);
    }
    if config.proxy.is_some() {
        return Ok(true);
    }
    let names = match scheme {
        "https" => ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"],
        _ => ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"],
    };
    let set = |value: Option<String>| value.filter(|value| !value.is_empty());
    let shells = names
        .iter()
        .find_map(|name| Some((*name, set((world.variable)(name))?)));
    if let Some(environment) = world.service_environment().await {
        let of_service = |name: &str| {
            let found = environment.iter().find(|(set, _)| set == name);
            set(found.map(|(_, value)| value.clone()))
        };
        let services = names
            .iter()
            .find_map(|name| Some((*name, of_service(name)?)));
        let value = |set: &Option<(&str, String)>| set.as_ref().map(|(_, value)| value.clone());
        if value(&services) != value(&shells) {
            let said = |set: Option<(&str, String)>| {
                set.map_or("no proxy".to_owned(), |(name, _)| {
                    format!("a proxy in {name}")
                })
            };
            return Err(Finding::warn(
                format!(
                    "the service has {} in its environment, and this shell has {}: what doctor sends does not go the service's way",
                    said(services),
                    said(shells)
                ),
                "name the proxy in upstream.proxy, which holds for both; or start doctor with the service's variables",
            ));
        }
    }
    Ok(shells.is_some())
}

/// Why the host cannot be reached by itself, if it cannot.
async fn direct(host: &str, port: u16) -> Option<Finding> {
    let found = lookup_host((host, port)).await;
    let addresses = match found.map(Iterator::collect::<Vec<_>>) {
        Ok(addresses) => addresses,
        Err(error) => {
            return Some(Finding::fail(
                format!("the name {host} is not found: {error}"),
                "check upstream.endpoint, and the machine's DNS",
            ));
        }
    };
    let connect = TcpStream::connect(addresses.as_slice());
    let words = match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
        Ok(Ok(_)) => return None,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer within 5 s".to_owned(),
    };
    Some(Finding::fail(
        format!("{host} port {port} cannot be reached: {words}"),
        "a firewall is in between, or a proxy is needed: upstream.proxy",
    ))
}

/// E07
pub(super) async fn answer(world: &World) -> Finding {
    let probe = match probe(world).await {
        Ok(probed) => &probed.probe,
        Err(words) => {
            return Finding::skip(format!("{words}; E05 looks at the token, E06 at the way"));
        }
    };
    let said = probe.reason.as_str();
    let config = world.config.as_ref();
    let shows_token = config.is_ok_and(|config| !config.upstream.token.is_empty());
    match probe.status {
        200 | 204 if shows_token => Finding::ok(format!(
            "{}: the token is good, and the address is right",
            probe.status
        )),
        200 | 204 => Finding::ok(format!(
            "{}: the address is right, and no token is asked for",
            probe.status
        )),
        401 => Finding::fail(
            format!("401: the token is malformed, expired or revoked: {said}"),
            format!(
                "make another in the portal, then: {}",
                world.typed_install("--token-stdin")
            ),
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
    let probed = match probe(world).await {
        Ok(probed) => probed,
        Err(_) => return Finding::skip("no answer to compare with"),
    };
    let Some(theirs) = probed.probe.date else {
        return Finding::skip("the upstream does not say what time it is");
    };
    // Ours of when it answered: the checks before this one may have taken a while.
    let ahead = probed.at.duration_since(theirs);
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
            format!("switch on time synchronization: {CLOCK}"),
        ),
        false => Finding::ok(format!(
            "within {} s of the upstream's",
            off.as_secs().max(1)
        )),
    }
}

/// Asked once for all checks; by the edge's own way upstream, with its token.
async fn probe(world: &World) -> Result<&Probed, String> {
    let ask = async || {
        let config = world.config.as_ref().map_err(ToString::to_string)?;
        let mut upstream = Upstream::new(&config.upstream, &Default::default())
            .map_err(|error| format!("{error:#}"))?;
        let probe = upstream.probe().await?;
        let at = SystemTime::now();
        Ok(Probed { probe, at })
    };
    let cell: &OnceCell<Result<Probed, String>> = &world.probe;
    cell.get_or_init(ask).await.as_ref().map_err(Clone::clone)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::super::{Options, Verdict};
    use super::*;
    use crate::edge::upstream::Probe;

    #[tokio::test]
    async fn the_clock_is_that_of_the_answer_and_not_of_doctors_start() {
        let options = Options {
            root: PathBuf::from("/nowhere"),
            config: PathBuf::from("/nowhere/edge.toml"),
            only: Vec::new(),
            network: true,
            fix: false,
        };
        let mut world = World::new(options, Arc::new(|_| None));
        let at = world.now + Duration::from_secs(3_600);
        let probe = Probe {
            status: 200,
            reason: String::new(),
            date: Some(at),
        };
        world.probe = OnceCell::new_with(Some(Ok(Probed { probe, at })));
        assert_eq!(clock(&world).await.verdict, Verdict::Ok);
        world
            .probe
            .get_mut()
            .expect("it is set")
            .as_mut()
            .map(|it| it.at += Duration::from_secs(600))
            .expect("an answer");
        assert_eq!(clock(&world).await.verdict, Verdict::Fail);
    }
}
