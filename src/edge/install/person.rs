//! The edge of one person, without root: a service of that person's own systemd.
//!
//! ```text
//! ~/.local/bin/fieldpost            the program
//! $XDG_CONFIG_HOME/fieldpost/       edge.toml, and the token for its owner alone
//! $XDG_CONFIG_HOME/systemd/user/    socket and service
//! $XDG_STATE_HOME/fieldpost/        queue, state, control socket
//! ```

use std::path::PathBuf;

use anyhow::Context;

use super::units::{PERSONS_STARTED, PERSONS_UNIT, UNITS};
use super::{Removal, Step, Text, Wanted, listen_section, socket_drop_in, started};

/// Where one person's things lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    home: PathBuf,
    configuration: PathBuf,
    state: PathBuf,
    /// Whether that person's systemd runs.
    has_manager: bool,
}

impl Person {
    /// By the variables of XDG's base directories, or where those are when they are not set.
    ///
    /// # Errors
    /// When it is not known whose they are.
    pub fn find(variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Person> {
        let absolute = |name| {
            variable(name)
                .map(PathBuf::from)
                .filter(|it| it.is_absolute())
        };
        let home = absolute("HOME").context("HOME does not say where your files are")?;
        let runtime = absolute("XDG_RUNTIME_DIR");
        Ok(Person {
            configuration: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            state: absolute("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state")),
            has_manager: runtime.is_some_and(|folder| folder.join("systemd").is_dir()),
            home,
        })
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.configuration.join("fieldpost/edge.toml")
    }

    /// The token's file.
    pub fn token(&self) -> PathBuf {
        self.configuration.join("fieldpost/token")
    }

    /// Whether the service can be started from here.
    pub fn has_manager(&self) -> bool {
        self.has_manager
    }

    /// The steps of an installation, with this program.
    ///
    /// # Errors
    /// As [`install`](super::install).
    pub fn install(&self, wanted: &Wanted) -> anyhow::Result<Vec<Step>> {
        let program = std::env::current_exe().context("cannot find this program's file")?;
        let mut steps = vec![Step::copy(program, self.program())];
        for (name, text) in self.units() {
            steps.push(Step::write(self.unit(name), Text::open(text)));
        }
        let path = self.configuration();
        steps.extend(super::configuration(&path, wanted, |endpoint| {
            let (listen, token) = (listen_section(&wanted.listen), self.token());
            let queue = self.state.join("fieldpost/queue");
            let upstream =
                format!("[upstream]\nendpoint = \"{endpoint}\"\ntoken_file = {token:?}\n");
            format!("{listen}{upstream}[queue]\ndirectory = {queue:?}\n")
        })?);
        if !wanted.listen.is_empty() {
            let text = Text::open(&socket_drop_in(&wanted.listen));
            steps.push(Step::write(self.listen_drop_in(), text));
        }
        if let Some(token) = &wanted.token {
            steps.push(Step::write(self.token(), Text::private(token)));
        }
        if self.has_manager {
            steps.extend(started(&["--user"], &PERSONS_STARTED, &steps));
        }
        Ok(steps)
    }

    /// The steps that take away what [`Person::install`] made, as [`uninstall`](super::uninstall) does.
    pub fn uninstall(&self, purge: bool) -> Removal {
        let mut removal = Removal::default();
        let mut units = PERSONS_STARTED.to_vec();
        units.retain(|unit| self.unit(unit).exists());
        let has_units = self.has_manager && !units.is_empty();
        let systemctl = |verb| Step::systemctl(&[&["--user", verb], &units[..]].concat());
        if has_units {
            // The socket first: it would start the service again for the next client.
            removal.stop = vec![systemctl("stop")];
            removal.start = vec![systemctl("start")];
            removal.remove.push(systemctl("disable"));
        }
        let steps = &mut removal.remove;
        steps.push(Step::remove(self.listen_drop_in()));
        for (name, _) in self.units() {
            steps.push(Step::remove(self.unit(name)));
        }
        steps.push(Step::remove(self.program()));
        if purge {
            steps.push(Step::remove_tree(self.configuration.join("fieldpost")));
            steps.push(Step::remove_tree(self.state.join("fieldpost")));
        }
        if self.has_manager {
            steps.push(Step::systemctl(&["--user", "daemon-reload"]));
        }
        removal
    }

    fn units(&self) -> [(&'static str, &'static str); 2] {
        let (socket, text) = UNITS[0];
        [(socket, text), PERSONS_UNIT]
    }

    /// The program.
    pub(in crate::edge) fn program(&self) -> PathBuf {
        self.home.join(".local/bin/fieldpost")
    }

    /// Where a unit lies.
    pub(in crate::edge) fn unit(&self, name: &str) -> PathBuf {
        self.configuration.join("systemd/user").join(name)
    }

    fn listen_drop_in(&self) -> PathBuf {
        self.unit("fieldpost-edge.socket.d").join("10-listen.conf")
    }
}
