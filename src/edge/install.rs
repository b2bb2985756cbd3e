//! Installs the edge as a service of the machine, or of one person, and takes it away again.
//!
//! A plan is a list of [`Step`]s in their order; each knows whether it is done already, so that a second
//! run changes nothing. The same plan is what `--dry-run` lists. What a package has installed (units,
//! account, program) is left to the package.

mod step;
mod units;
mod person;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::read_file;
use crate::rollout::{Format, Rollout, edge_configuration};
use crate::secret::Secret;

use super::config::Config;

pub use self::person::Person;
pub use self::step::{Step, Text};

use self::units::{SYSUSERS, UNITS};

/// The account of the service.
pub(super) const ACCOUNT: &str = "fieldpost";

/// Units of which each is started and enabled; the socket comes first.
const STARTED: [&str; 3] = [
    "fieldpost-edge.socket",
    "fieldpost-edge-token.path",
    "fieldpost-edge.service",
];

/// Where Claude looks for what its administrators have decided.
const CLAUDE_POLICY: &str = "etc/claude-code/managed-settings.d/10-fieldpost.json";

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
}

/// The steps of an installation below `root`, with this program.
///
/// # Errors
/// When what is wanted contradicts what is there, or something needed is missing.
pub fn install(root: &Path, wanted: &Wanted) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let is_packaged = is_packaged(root);
    if !is_packaged {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        steps.push(Step::copy(program, root.join("usr/bin/fieldpost")));
        let sysusers = root.join("etc/sysusers.d/fieldpost-edge.conf");
        steps.push(Step::write(sysusers, Text::open(SYSUSERS)));
        for (name, text) in UNITS {
            let path = root.join("etc/systemd/system").join(name);
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
        let text = Text::private(token);
        steps.push(Step::write(root.join("etc/fieldpost/token"), text));
    }
    if wanted.configure_claude {
        let settings = Rollout::edge(&endpoint_of(root, wanted)).render(Format::ManagedSettings);
        steps.push(Step::write(root.join(CLAUDE_POLICY), Text::open(&settings)));
    }
    steps.extend(starting(root, &steps));
    Ok(steps)
}

/// The steps that take away what [`install`] made, below `root`. Configuration, token and records stay
/// unless `purge` says otherwise.
pub fn uninstall(root: &Path, purge: bool) -> Vec<Step> {
    let mut steps = Vec::new();
    // The socket first: it would start the service again for the next client.
    if is_booted(root) {
        steps.push(Step::systemctl(&[&["stop"], &STARTED[..]].concat()));
    }
    let disable = words(&["disable"], &STARTED);
    steps.push(Step::run("systemctl", rooted(root, &disable)));
    steps.push(Step::remove(root.join(CLAUDE_POLICY)));
    steps.push(Step::remove(root.join(LISTEN_DROP_IN)));
    if !is_packaged(root) {
        for (name, _) in UNITS {
            steps.push(Step::remove(root.join("etc/systemd/system").join(name)));
        }
        steps.push(Step::remove(
            root.join("etc/sysusers.d/fieldpost-edge.conf"),
        ));
        steps.push(Step::remove(root.join("usr/bin/fieldpost")));
    }
    if purge {
        steps.push(Step::remove_tree(root.join("etc/fieldpost")));
        steps.push(Step::remove_tree(root.join("var/lib/fieldpost")));
    }
    if is_booted(root) {
        steps.push(Step::systemctl(&["daemon-reload"]));
    }
    steps
}

/// Whether a package has installed the units.
pub fn is_packaged(root: &Path) -> bool {
    let folders = ["usr/lib/systemd/system", "lib/systemd/system"];
    let mut folders = folders.iter();
    folders.any(|folder| root.join(folder).join("fieldpost-edge.service").exists())
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
    let address = address.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 4318)));
    format!("http://{address}")
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
