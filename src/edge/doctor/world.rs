//! What the checks look at.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::OnceCell;

use crate::config::Mistakes;
use crate::edge::config::{Config, Control};
use crate::edge::control::client::Client;
use crate::edge::origins::Origin;
use crate::edge::status::Status;
use crate::edge::upstream::Probe;

/// Where an administrator's files for Claude Code lie, below the root.
const POLICY: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "Library/Application Support/ClaudeCode",
    (_, true) => r"Program Files\ClaudeCode",
    _ => "etc/claude-code",
};

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
    control: Client,
    status: OnceCell<Option<Status>>,
    /// What the upstream says to an empty export.
    pub(super) probe: OnceCell<Result<Probe, String>>,
}

/// A person's account.
pub(super) struct Home {
    pub(super) user: String,
    pub(super) path: PathBuf,
}

impl World {
    /// The machine, seen through the environment that `variable` looks up.
    pub fn new(options: Options, variable: Variable) -> World {
        let text = fs::read_to_string(&options.config);
        let known = text.as_deref().unwrap_or_default();
        let config = Config::parse(known, variable.as_ref());
        let control = Control::find(known, variable.as_ref());
        World {
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
        self.options.config == self.path("etc/fieldpost/edge.toml")
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
        fs::read_to_string(self.path(path)).ok()
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

    /// The number of an account.
    #[cfg(unix)]
    pub(super) fn uid(&self, account: &str) -> Option<u32> {
        let accounts = self.read("etc/passwd")?;
        let mut accounts = accounts.lines().map(|line| line.split(':'));
        let mut fields = accounts.find_map(|mut fields| {
            let is_it = fields.next() == Some(account);
            is_it.then_some(fields)
        })?;
        fields.nth(1)?.parse().ok()
    }

    /// The homes of people: accounts from 1000 on, and root; where no file lists them, all of `/Users`.
    pub(super) fn homes(&self) -> Vec<Home> {
        if cfg!(any(target_os = "macos", windows)) {
            let homes = self
                .list(&self.path("Users"))
                .into_iter()
                .filter_map(|path| {
                    let user = path.file_name()?.to_str()?.to_owned();
                    Some(Home { user, path })
                });
            return homes.collect();
        }
        let accounts = self.read("etc/passwd").unwrap_or_default();
        let homes = accounts.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let (user, uid, home) = (fields.first()?, fields.get(2)?, fields.get(5)?);
            let uid: u32 = uid.parse().ok()?;
            let is_person = uid == 0 || (1000..65_534).contains(&uid);
            let home = home.trim_start_matches('/');
            (is_person && !home.is_empty()).then(|| Home {
                user: (*user).to_owned(),
                path: self.path(home),
            })
        });
        homes.collect()
    }

    /// Names of what is in a folder, sorted; none where there is no folder.
    pub(super) fn list(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        paths
    }
}
