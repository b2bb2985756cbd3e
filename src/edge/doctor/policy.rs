//! What Claude is told, and by whom.
//!
//! Of managed settings the first source that says anything about telemetry decides all of it (Claude
//! Code's "telemetry unit", since 2.1.223): what an organization's console says, then device management, then files. A
//! variable in a person's own settings or shell counts where no source decides.

use std::net::SocketAddr;

use crate::edge::config::{LOOPBACK, Listen};
use crate::edge::upstream::is_loopback;

use super::finding::{Finding, Verdict};
use super::hints::POLICY;
use super::sources::{Broken, PROXIES, Source, is_of_the_unit, people, personal};
use super::world::World;

/// What counts for a variable with one person, and who says so.
struct Effective(Vec<Source>);

impl Effective {
    /// Managed settings count before personal ones, and of those that decide about telemetry only the
    /// first.
    fn new(managed: Vec<Source>, personal: Vec<Source>) -> Effective {
        let mut sources = managed;
        let first = sources.iter().position(Source::decides);
        sources.extend(personal);
        // Where nobody decides, each variable counts where it is first set.
        for source in sources
            .iter_mut()
            .skip(first.map_or(usize::MAX, |at| at + 1))
        {
            source.env.retain(|name, _| !is_of_the_unit(name));
        }
        Effective(sources)
    }

    fn get(&self, name: &str) -> Option<(&str, &str)> {
        let mut found = self.0.iter().filter_map(|source| {
            let value = source.env.get(name)?;
            Some((value.as_str(), source.name.as_str()))
        });
        found.next()
    }

    fn value(&self, name: &str) -> &str {
        self.get(name).map_or("", |(value, _)| value)
    }
}

/// What `judge` finds for everybody who uses Claude here, each by what that account is told; with nobody, for whoever
/// will. The worst is told, with whom it is about.
async fn for_each(world: &World, judge: impl Fn(&Effective) -> Finding) -> Result<Finding, Broken> {
    let (people, for_all) = people(world).await?;
    if people.is_empty() {
        let effective = Effective::new(for_all, personal(world, None)?);
        return Ok(judge(&effective));
    }
    let mut findings = Vec::new();
    for person in people {
        let own = personal(world, Some(&person.home))?;
        let effective = Effective::new(person.managed, own);
        findings.push((person.home.user, judge(&effective)));
    }
    Ok(worst(findings))
}

/// The worst of what was found for some people, with whom it is about.
fn worst(findings: Vec<(String, Finding)>) -> Finding {
    let weight = |finding: &Finding| match finding.verdict {
        Verdict::Ok => 0,
        Verdict::Skip => 1,
        Verdict::Warn => 2,
        Verdict::Fail => 3,
    };
    let most = findings.iter().map(|(_, finding)| weight(finding)).max();
    let worst = findings
        .into_iter()
        .filter(|(_, finding)| Some(weight(finding)) == most);
    // Most people are told the same.
    let mut said: Vec<(Vec<String>, Finding)> = Vec::new();
    for (user, finding) in worst {
        match said.iter_mut().find(|(_, it)| it.seen == finding.seen) {
            Some((users, _)) => users.push(user),
            None => said.push((vec![user], finding)),
        }
    }
    let told = said
        .iter()
        .map(|(users, finding)| format!("{} ({})", finding.seen, users.join(", ")));
    let told = told.collect::<Vec<_>>().join("; ");
    match said.into_iter().next() {
        Some((_, first)) => Finding {
            seen: told,
            ..first
        },
        None => Finding::skip("nobody uses Claude here"),
    }
}

fn broken(Broken(words): Broken) -> Finding {
    Finding::fail(
        format!("not JSON, so Claude ignores it: {words}"),
        "correct the file, or write it anew: fieldpost edge env --format managed-settings",
    )
}

/// E11
pub(super) async fn sources(world: &World) -> Finding {
    let (people, for_all) = match people(world).await {
        Ok(found) => found,
        Err(error) => return broken(error),
    };
    if people.is_empty() {
        return deciding(world, &for_all);
    }
    let findings = people.into_iter().map(|person| {
        let finding = deciding(world, &person.managed);
        (person.home.user, finding)
    });
    worst(findings.collect())
}

/// Which of the sources decides about telemetry, and whether it names this edge.
fn deciding(world: &World, managed: &[Source]) -> Finding {
    let helpers = managed
        .iter()
        .filter_map(|source| Some((source, source.helper.as_ref()?)));
    if let Some((source, helper)) = { helpers }.next() {
        return Finding::warn(
            format!(
                "{} has {helper} compute what is managed at Claude's start, in the place of all that is read here",
                source.name
            ),
            "have it print what `fieldpost edge env --format managed-settings` prints; /status in Claude shows what is in force",
        );
    }
    let Some(winner) = managed.iter().find(|source| source.decides()) else {
        return Finding::warn(
            "no managed settings say anything about telemetry; every person's shell decides",
            POLICY,
        );
    };
    let endpoint = winner.env.get("OTEL_EXPORTER_OTLP_ENDPOINT");
    let also: Vec<&str> = managed
        .iter()
        .filter(|source| source.decides() && source.name != winner.name)
        .map(|source| source.name.as_str())
        .collect();
    match endpoint {
        Some(endpoint) if is_ours(world, endpoint) => {
            Finding::ok(format!("{} decides, and names this edge", winner.name))
        }
        _ => Finding::fail(
            format!(
                "{} decides about telemetry, and does not name this edge{}",
                winner.name,
                match also.is_empty() {
                    true => String::new(),
                    false => format!("; ignored: {}", also.join(", ")),
                }
            ),
            format!(
                "move all OTEL_ variables to {}, or take them out there",
                winner.name
            ),
        ),
    }
}

/// Whether an address of OTLP is this edge's.
pub(super) fn is_ours(world: &World, endpoint: &str) -> bool {
    let addresses = world.config.as_ref().map_or_else(
        |_| Listen::default().addresses,
        |config| config.listen.addresses.clone(),
    );
    let Ok(url) = reqwest::Url::parse(endpoint) else {
        return false;
    };
    let port = url.port_or_known_default();
    is_loopback(endpoint) && addresses.iter().any(|address| Some(address.port()) == port)
}

/// E12
pub(super) async fn variables(world: &World) -> Finding {
    let found = for_each(world, |effective| exported(world, effective)).await;
    found.unwrap_or_else(broken)
}

/// Whether these variables have Claude export to this edge.
fn exported(world: &World, effective: &Effective) -> Finding {
    let set = |name: &str, value: &str| {
        format!("set {name}={value}: {POLICY} does; then start Claude anew")
    };
    let said = |name: &str| match effective.get(name) {
        Some((value, source)) => format!("{name} is {value}, says {source}"),
        None => format!("{name} is not set"),
    };
    let switch = "CLAUDE_CODE_ENABLE_TELEMETRY";
    if effective.value(switch) != "1" {
        return Finding::fail(
            format!("telemetry is not enabled: {}", said(switch)),
            set(switch, "1"),
        );
    }
    let exporter = "OTEL_LOGS_EXPORTER";
    if !effective
        .value(exporter)
        .split(',')
        .any(|word| word.trim() == "otlp")
    {
        return Finding::fail(said(exporter), set(exporter, "otlp"));
    }
    let protocol = match effective.get("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL") {
        Some(_) => "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL",
        None => "OTEL_EXPORTER_OTLP_PROTOCOL",
    };
    if !effective.value(protocol).starts_with("http/") {
        return Finding::fail(said(protocol), set(protocol, "http/json"));
    }
    endpoint(world, effective, said)
}

fn endpoint(world: &World, effective: &Effective, said: impl Fn(&str) -> String) -> Finding {
    let own = "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT";
    let name = match effective.get(own) {
        Some(_) => own,
        None => "OTEL_EXPORTER_OTLP_ENDPOINT",
    };
    let value = effective.value(name);
    let config = world.config.as_ref().ok();
    let goes_around = config
        .is_some_and(|config| !value.is_empty() && config.upstream.endpoint.starts_with(value));
    let is_doubled = name != own && value.trim_end_matches('/').ends_with("/v1/logs");
    let has_needless_header = effective.get("OTEL_EXPORTER_OTLP_HEADERS").is_some()
        && config.is_some_and(|config| config.listen.bearer_token_file.is_none());
    let wrong = match value {
        _ if value.contains(":4317") => Some("that is the port of gRPC"),
        _ if value.starts_with("https:") && is_ours(world, value) => Some("loopback is plain http"),
        _ if goes_around || is_ours(world, value) => None,
        _ => Some("that is not this edge"),
    };
    let fix = format!(
        "set OTEL_EXPORTER_OTLP_ENDPOINT=http://{}, and start Claude anew",
        first_address(world)
    );
    match wrong {
        Some(wrong) => Finding::fail(format!("{}: {wrong}", said(name)), fix),
        None if goes_around => Finding::warn(
            format!(
                "{}: Claude goes around the edge; nothing is redacted or kept here",
                said(name)
            ),
            fix,
        ),
        None if is_doubled => Finding::warn(
            format!(
                "{}: the exporter appends /v1/logs once more; this edge takes it all the same",
                said(name)
            ),
            fix,
        ),
        None if has_needless_header => Finding::warn(
            "OTEL_EXPORTER_OTLP_HEADERS is set, and this edge asks for no header",
            "take it out: the token belongs to the edge alone",
        ),
        None => Finding::ok(format!("telemetry is enabled; {}", said(name))),
    }
}

fn first_address(world: &World) -> SocketAddr {
    let configured = world.config.as_ref().ok();
    let configured = configured.and_then(|config| config.listen.addresses.first());
    configured.copied().unwrap_or(LOOPBACK[0])
}

/// E13
pub(super) async fn proxy(world: &World) -> Finding {
    for_each(world, proxied).await.unwrap_or_else(broken)
}

/// Whether loopback is left out where there is a proxy.
fn proxied(effective: &Effective) -> Finding {
    let proxy = PROXIES
        .iter()
        .find_map(|name| Some((name, effective.get(name)?)));
    let Some((name, (_, source))) = proxy else {
        return Finding::ok("no proxy is set");
    };
    let exceptions = match effective.get("NO_PROXY") {
        Some((value, _)) => value,
        None => effective.value("no_proxy"),
    };
    let has = |host: &str| {
        exceptions
            .split(',')
            .any(|exception| exception.trim() == host)
    };
    if has("*") || (has("127.0.0.1") && has("localhost")) {
        return Finding::ok(format!(
            "{name} is set in {source}, and NO_PROXY has loopback"
        ));
    }
    let merged = match exceptions.is_empty() {
        true => "127.0.0.1,localhost,::1".to_owned(),
        false => format!("{exceptions},127.0.0.1,localhost,::1"),
    };
    Finding::fail(
        format!(
            "{name} is set in {source}, and NO_PROXY lacks loopback: Claude asks the proxy for this machine"
        ),
        format!("set NO_PROXY={merged}; `fieldpost edge env --no-proxy LIST` merges it"),
    )
}
