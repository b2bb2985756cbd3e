//! What a person types about the edge, and what a repair runs: as the service is kept on this system.

use crate::edge::install::Step;

use super::world::{Service, World};

/// The service on macOS, as launchd names it.
pub(super) const LAUNCHD_SERVICE: &str = "system/dev.fieldpost.edge";

/// What tells every Claude of the machine to export to the edge.
pub(super) const POLICY: &str = by_system(
    "sudo fieldpost edge install --configure-claude",
    "the profile that `fieldpost edge env --format macos-profile` prints",
    "the registry file that `fieldpost edge env --format registry` prints",
);

/// What sets the clock.
pub(super) const CLOCK: &str = by_system(
    "sudo timedatectl set-ntp true",
    "sudo sntp -sS time.apple.com",
    "w32tm /resync",
);

const fn by_system(
    linux: &'static str,
    macos: &'static str,
    windows: &'static str,
) -> &'static str {
    match (cfg!(target_os = "macos"), cfg!(windows)) {
        (true, _) => macos,
        (_, true) => windows,
        _ => linux,
    }
}

impl World {
    /// Has the service's systemd do something. launchd and Windows' service manager are only ever asked to start the
    /// service, or to start it anew.
    pub(super) fn systemctl(&self, words: &[&str]) -> Step {
        let run = |program: &str, words: &[&str]| {
            let words = words.iter().map(|word| (*word).to_owned());
            Step::Run(program.to_owned(), words.collect())
        };
        let is_anew = words.first().is_some_and(|verb| starts_anew(verb));
        match (cfg!(target_os = "macos"), cfg!(windows)) {
            (true, _) if is_anew => run("launchctl", &["kickstart", "-k", LAUNCHD_SERVICE]),
            (true, _) => run("launchctl", &["kickstart", LAUNCHD_SERVICE]),
            (_, true) => run("powershell.exe", &["-Command", RESTART]),
            _ => Step::systemctl(&[self.service.manager(), words].concat()),
        }
    }

    /// The same for a person to type.
    pub(super) fn typed_systemctl(&self, words: &str) -> String {
        match self.service {
            _ if cfg!(target_os = "macos") => {
                let anew = if starts_anew(words) { "-k " } else { "" };
                format!("sudo launchctl kickstart {anew}{LAUNCHD_SERVICE}")
            }
            _ if cfg!(windows) => RESTART.to_owned(),
            Service::Person(_) => format!("systemctl --user {words}"),
            _ => format!("sudo systemctl {words}"),
        }
    }

    /// What the service's log says, for a person to type.
    pub(super) fn typed_journal(&self, words: &str) -> String {
        match self.service {
            _ if cfg!(target_os = "macos") => "tail -n 20 /var/log/fieldpost/edge.log".to_owned(),
            _ if cfg!(windows) => r"C:\ProgramData\Fieldpost\logs\edge.log".to_owned(),
            Service::Person(_) => format!("journalctl --user {words}"),
            _ => format!("journalctl {words}"),
        }
    }

    /// An installation, for a person to type; what it does for whoever has no such command.
    pub(super) fn typed_install(&self, words: &str) -> String {
        match self.service {
            _ if cfg!(not(target_os = "linux")) => by_hand(words).to_owned(),
            Service::Person(_) => format!("fieldpost edge install --user {words}"),
            _ => format!("sudo fieldpost edge install {words}"),
        }
    }
}

/// For an administrator's PowerShell: it starts a service that is stopped as well.
const RESTART: &str = "Restart-Service fieldpost-edge";

fn starts_anew(words: &str) -> bool {
    ["restart", "try-restart", "reload"]
        .iter()
        .any(|verb| words.starts_with(verb))
}

fn by_hand(words: &str) -> &'static str {
    if words.starts_with("--token") {
        return "write it to the file that upstream.token_file names, for the service's account alone";
    }
    if words.starts_with("--listen") {
        return "give the service's sockets, if it has any, the same addresses";
    }
    "install the edge as packaging/README.md says"
}
