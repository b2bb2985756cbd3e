//! Installs the edge as a service of the machine, or of one person, and takes it away again.
//!
//! A plan is a list of [`Step`]s in their order; each knows whether it is done already, so that a second
//! run changes nothing. The same plan is what `--dry-run` lists. What a package has installed (units,
//! account, program) is left to the package.

mod step;
mod units;
mod credentials;
mod proxies;
mod removal;
mod person;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::read_file;
use crate::rollout::{Format, POLICY, POLICY_DROP_IN, Rollout, edge_configuration};
use crate::secret::Secret;

use super::config::{Config, LOOPBACK};

pub(super) use self::credentials::has_credentials;
pub use self::person::Person;
pub use self::removal::{Removal, uninstall};
pub use self::step::{Step, Text};
#[cfg(not(any(target_os = "macos", windows)))]
pub(super) use self::units::TOKEN_PATH;
pub(super) use self::units::{SERVICE, SOCKET};

use self::proxies::company_exceptions;
use self::units::{CENTRAL, STARTED, SYSUSERS, UNITS};

/// The account of the service, and its group.
pub(super) const ACCOUNT: &str = "fieldpost";

/// Where packages put units.
const PACKAGED_UNITS: [&str; 2] = ["usr/lib/systemd/system", "lib/systemd/system"];

/// Where [`install`] puts them.
const OWN_UNITS: &str = "etc/systemd/system";

const SYSUSERS_FILE: &str = "etc/sysusers.d/fieldpost-edge.conf";

const PROGRAM: &str = "usr/bin/fieldpost";

/// Where the port of the socket unit is changed.
const LISTEN_DROP_IN: &str = "etc/systemd/system/fieldpost-edge.socket.d/10-listen.conf";

/// What to install, besides the service itself.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Where records go; needed where there is no configuration yet.
    pub endpoint: Option<String>,
    /// Where to listen, if not at OTLP's own port.
    pub listen: Vec<SocketAddr>,
    /// A token, for the first time or in place of another.
    pub token: Option<Secret>,
    /// Tell Claude to export to the edge.
    pub configure_claude: bool,
    /// The company's own `NO_PROXY`; `None` for what the machine has.
    pub no_proxy: Option<String>,
}

/// What a package has installed, and is left to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Package {
    /// Program, account and units of the edge.
    Edge,
    /// The program alone, which the central service's package brings as well.
    Central,
}

impl Package {
    /// The package below `root`.
    pub fn find(root: &Path) -> Option<Package> {
        let ships = |unit: &str| {
            let mut folders = PACKAGED_UNITS.iter();
            folders.any(|folder| root.join(folder).join(unit).exists())
        };
        match (ships(SERVICE), ships(CENTRAL)) {
            (true, _) => Some(Package::Edge),
            (false, true) => Some(Package::Central),
            (false, false) => None,
        }
    }
}

/// The steps of an installation below `root`, with this program.
///
/// # Errors
/// When what is wanted contradicts what is there, or something needed is missing.
pub fn install(root: &Path, wanted: &Wanted) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let package = Package::find(root);
    if package.is_none() {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        steps.push(Step::copy(program, root.join(PROGRAM)));
    }
    if package != Some(Package::Edge) {
        let sysusers = root.join(SYSUSERS_FILE);
        steps.push(Step::write(sysusers, Text::open(SYSUSERS)));
        for (name, text) in UNITS {
            let path = root.join(OWN_UNITS).join(name);
            steps.push(Step::write(path, Text::open(text)));
        }
        if !has_account(root) {
            steps.push(Step::run("systemd-sysusers", rooted(root, &[])));
        }
    }
    steps.push(Step::folder(root.join("etc/fieldpost")));
    let path = root.join("etc/fieldpost/edge.toml");
    steps.extend(configuration(&path, wanted, |endpoint| {
        format!(
            "{}{}",
            listen_section(&wanted.listen),
            edge_configuration(endpoint)
        )
    })?);
    if !wanted.listen.is_empty() {
        let text = Text::open(&socket_drop_in(&wanted.listen));
        steps.push(Step::write(root.join(LISTEN_DROP_IN), text));
    }
    if let Some(token) = &wanted.token {
        let text = match has_credentials() {
            true => Text::private(token),
            false => Text::for_service(token, root),
        };
        steps.push(Step::write(root.join("etc/fieldpost/token"), text));
    }
    if wanted.configure_claude {
        let rollout = Rollout {
            no_proxy: company_exceptions(root, wanted.no_proxy.as_deref()),
            ..Rollout::edge(&endpoint_of(root, wanted))
        };
        let settings = rollout.render(Format::ManagedSettings);
        steps.push(Step::write(claude_policy(root), Text::open(&settings)));
    }
    steps.extend(starting(root, &steps));
    Ok(steps)
}

/// Where Claude is told to export to the edge.
fn claude_policy(root: &Path) -> PathBuf {
    root.join(POLICY).join(POLICY_DROP_IN)
}

/// The configuration in `path`: the `text` for an endpoint where there is none yet. One that is there is
/// not changed, and must not contradict what is wanted.
fn configuration(
    path: &Path,
    wanted: &Wanted,
    text: impl Fn(&str) -> String,
) -> anyhow::Result<Option<Step>> {
    let Some(text) = existing(path)? else {
        let endpoint = wanted.endpoint.as_deref().with_context(|| {
            format!(
                "there is no {} yet: say where records go with --endpoint, as the portal shows it",
                path.display()
            )
        })?;
        let text = text(endpoint);
        Config::parse(&text, &|_| None).context("this would make no good configuration")?;
        return Ok(Some(Step::write(path.to_owned(), Text::open(&text))));
    };
    let config = Config::parse(&text, &|_| None)
        .with_context(|| format!("{} has mistakes; correct it first", path.display()))?;
    if let Some(endpoint) = &wanted.endpoint {
        anyhow::ensure!(
            config.upstream.endpoint == *endpoint,
            "{} says upstream.endpoint = \"{}\"; change it there, it is taken into force at once",
            path.display(),
            config.upstream.endpoint
        );
    }
    anyhow::ensure!(
        wanted.listen.is_empty() || wanted.listen == config.listen.addresses,
        "{} names other listen.addresses than --listen; change them there first",
        path.display()
    );
    Ok(None)
}

fn existing(path: &Path) -> anyhow::Result<Option<String>> {
    match path.exists() {
        true => Ok(Some(read_file(path, true)?)),
        false => Ok(None),
    }
}

fn listen_section(addresses: &[SocketAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(|it| format!("\"{it}\"")).collect();
    match addresses.is_empty() {
        true => String::new(),
        false => format!("[listen]\naddresses = [{}]\n", addresses.join(", ")),
    }
}

/// The empty line clears the list that the unit comes with.
fn socket_drop_in(addresses: &[SocketAddr]) -> String {
    let lines = addresses.iter().map(|it| format!("ListenStream={it}\n"));
    format!("[Socket]\nListenStream=\n{}", lines.collect::<String>())
}

/// Where Claude reaches the edge.
fn endpoint_of(root: &Path, wanted: &Wanted) -> String {
    let configured = || {
        let text = fs::read_to_string(root.join("etc/fieldpost/edge.toml")).ok()?;
        let config = Config::parse(&text, &|_| None).ok()?;
        config.listen.addresses.first().copied()
    };
    let address = wanted.listen.first().copied().or_else(configured);
    format!("http://{}", address.unwrap_or(LOOPBACK[0]))
}

/// Makes systemd see the units, starts what does not run, and restarts what has changed.
fn starting(root: &Path, steps: &[Step]) -> Vec<Step> {
    if !is_booted(root) {
        return vec![Step::run(
            "systemctl",
            rooted(root, &words(&["enable"], &STARTED)),
        )];
    }
    started(&[], &STARTED, steps)
}

/// The steps after which a systemd that is called with `manager` runs `units` as the other `steps` leave them.
/// The socket is the first of the units, the service the last.
fn started(manager: &[&str], units: &[&str], steps: &[Step]) -> Vec<Step> {
    let systemctl = |verb, units: &[&str]| Step::systemctl(&[manager, &[verb], units].concat());
    let (socket, service) = (units[0], units[units.len() - 1]);
    let mut last = vec![systemctl("daemon-reload", &[]), systemctl("enable", units)];
    let changes = |step: &Step| step.changes_socket() && !step.is_done();
    if steps.iter().any(changes) {
        // A socket takes other addresses only while its service is down.
        last.push(systemctl("stop", &[service, socket]));
    }
    last.push(systemctl("start", units));
    if steps.iter().any(|step| !step.is_done()) {
        last.push(systemctl("try-restart", &[service]));
    }
    last
}

/// Whether systemd runs, and is the one that these files are for.
fn is_booted(root: &Path) -> bool {
    root == Path::new("/") && Path::new("/run/systemd/system").is_dir()
}

fn has_account(root: &Path) -> bool {
    let accounts = fs::read_to_string(root.join("etc/passwd")).unwrap_or_default();
    accounts
        .lines()
        .any(|line| line.split(':').next() == Some(ACCOUNT))
}

fn rooted(root: &Path, arguments: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    if root != Path::new("/") {
        all.push(format!("--root={}", PathBuf::from(root).display()));
    }
    all.extend_from_slice(arguments);
    all
}

fn words(first: &[&str], rest: &[&str]) -> Vec<String> {
    let all = first.iter().chain(rest);
    all.map(|word| (*word).to_owned()).collect()
}
