//! What the checks look at.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::config::Mistakes;
use crate::edge::config::{Config, Control, TokenSource, machines_file};
use crate::edge::control::client::Client;
use crate::edge::install::{Person, SERVICE};
use crate::edge::origins::Origin;
use crate::edge::status::Status;
use crate::edge::upstream::Probe;
use crate::rollout::POLICY;

use super::homes::{Home, homes};

/// Where systemd keeps what it has handed the service.
const CREDENTIAL: &str = "run/credentials/fieldpost-edge.service/token";

/// Most of a file that is read, in bytes: people's own may be anything.
const FILE_MAX: u64 = 32 << 20;

/// What to look at, and what to leave out.
#[derive(Clone, Debug)]
pub struct Options {
    /// Another root than `/`.
    pub root: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
    /// Ids of the only checks to make; all when empty.
    pub only: Vec<String>,
    /// Whether anything may be sent to the upstream.
    pub network: bool,
    /// Whether to repair what is found, where that changes nothing but the edge's own files and units.
    pub fix: bool,
}

/// Said of what is the service's, where there is none.
pub(super) const NO_SERVICE: &str = "the configuration belongs to no service that was installed";

/// Whose service it is that the configuration belongs to.
pub(super) enum Service {
    /// The machine's.
    Machine,
    /// One person's.
    Person(Person),
    /// An edge that somebody starts otherwise.
    Nobody,
}

/// What the upstream said to an empty export, and when.
pub(super) struct Probed {
    pub(super) probe: Probe,
    pub(super) at: SystemTime,
}

/// Looks up the environment.
pub type Variable = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// The machine as the checks see it: everything is read when it is first asked for.
pub struct World {
    pub(super) options: Options,
    /// The configuration's text.
    pub(super) text: io::Result<String>,
    pub(super) config: Result<Config, Mistakes>,
    /// The environment in which doctor was started: a person's own shell, perhaps.
    pub(super) variable: Variable,
    pub(super) now: SystemTime,
    pub(super) service: Service,
    control: Client,
    status: OnceCell<Option<Status>>,
    /// What the upstream says to an empty export.
    pub(super) probe: OnceCell<Result<Probed, String>>,
}

impl World {
    /// The machine, seen through the environment that `variable` looks up.
    pub fn new(options: Options, variable: Variable) -> World {
        let text = fs::read_to_string(&options.config);
        let known = text.as_deref().unwrap_or_default();
        let mut config = Config::parse(known, variable.as_ref());
        let control = Control::find(known, variable.as_ref());
        let service = Service::of(&options, variable.as_ref());
        if let (Ok(config), Some(credential)) = (&mut config, service.credential(&options))
            && variable("CREDENTIALS_DIRECTORY").is_none()
        {
            let source = TokenSource::File(credential);
            config.upstream.token.insert(0, source);
        }
        World {
            service,
            config,
            control: Client::new(control.socket),
            text,
            variable,
            now: SystemTime::now(),
            status: OnceCell::new(),
            probe: OnceCell::new(),
            options,
        }
    }

    /// The same machine, as it is now.
    pub(super) fn anew(&self) -> World {
        World::new(self.options.clone(), Arc::clone(&self.variable))
    }

    /// Whether what is looked at is the machine's own service, and no person's.
    #[cfg(unix)]
    pub(super) fn is_of_the_machine(&self) -> bool {
        matches!(self.service, Service::Machine)
    }

    /// The environment that the running service was started with; `None` when none runs, or when it is hidden from this
    /// account.
    pub(super) async fn service_environment(&self) -> Option<Vec<(String, String)>> {
        let mut command = Command::new("systemctl");
        command.args(self.service.manager());
        command.args(["show", "-p", "MainPID", "--value", SERVICE]);
        let output = command.kill_on_drop(true).output().await.ok()?;
        let pid: u32 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
        let bytes = read_bytes(&self.path(&format!("proc/{pid}/environ"))).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Some(owned.collect())
    }

    pub(super) fn asks_for(&self, id: &str) -> bool {
        let only = &self.options.only;
        only.is_empty() || only.iter().any(|asked| asked.eq_ignore_ascii_case(id))
    }

    /// A path below the root; `path` has no slash in front.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.options.root.join(path)
    }

    /// The folder with what an administrator has decided for Claude Code.
    pub(super) fn policy(&self) -> PathBuf {
        self.path(POLICY)
    }

    /// A file's text; `None` when there is none that this account can read.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        read_text(&self.path(path)).ok()
    }

    /// How the running edge says it is; `None` when it does not run, or does not answer.
    pub(super) async fn status(&self) -> Option<&Status> {
        let ask = async || self.control.get("/status").await.ok();
        self.status.get_or_init(ask).await.as_ref()
    }

    /// Who has sent records to the running edge; `None` when it does not run, or does not tell this account.
    pub(super) async fn origins(&self) -> Option<Vec<Origin>> {
        self.control.get("/origins").await.ok()
    }

    /// Whether this is a Linux inside Windows.
    pub(super) fn is_wsl(&self) -> bool {
        let kernel = self.read("proc/sys/kernel/osrelease").unwrap_or_default();
        kernel.to_lowercase().contains("microsoft")
    }

    pub(super) fn control(&self) -> &Client {
        &self.control
    }

    /// The numbers of an account and of its group.
    #[cfg(unix)]
    pub(super) fn account(&self, name: &str) -> Option<(u32, u32)> {
        let accounts = self.read("etc/passwd")?;
        let mut accounts = accounts.lines().map(|line| line.split(':'));
        let mut fields = accounts.find_map(|mut fields| {
            let is_it = fields.next() == Some(name);
            is_it.then_some(fields)
        })?;
        let uid = fields.nth(1)?.parse().ok()?;
        Some((uid, fields.next()?.parse().ok()?))
    }

    /// The homes of people.
    pub(super) fn homes(&self) -> Vec<Home> {
        homes(self)
    }

    /// Names of what is in a folder, sorted; none where there is no folder.
    pub(super) fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }
}

impl Service {
    fn of(options: &Options, variable: &dyn Fn(&str) -> Option<String>) -> Service {
        let machines = machines_file();
        let below_root = options
            .root
            .join(machines.strip_prefix("/").unwrap_or(machines));
        if options.config == below_root {
            return Service::Machine;
        }
        match Person::find(variable) {
            Ok(person) if person.configuration() == options.config => Service::Person(person),
            _ => Service::Nobody,
        }
    }

    /// What comes first in each question to its systemd.
    pub(super) fn manager(&self) -> &'static [&'static str] {
        match self {
            Service::Person(_) => &["--user"],
            _ => &[],
        }
    }

    /// The token that the running service was handed, which may lie sealed on the disk. It is there also where this
    /// account may not look.
    fn credential(&self, options: &Options) -> Option<PathBuf> {
        let file = options.root.join(CREDENTIAL);
        let is_hidden = |error: io::Error| error.kind() == ErrorKind::PermissionDenied;
        let is_there = file.symlink_metadata().map_or_else(is_hidden, |_| true);
        (is_there && matches!(self, Service::Machine)).then_some(file)
    }
}

/// The text of a file.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read_bytes(path)?);
    text.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}

/// What is in a file. Anything else that people may have put in its place, such as a pipe that nobody writes to, would
/// hold whoever reads it for ever.
pub(super) fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    if !path.metadata()?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}
