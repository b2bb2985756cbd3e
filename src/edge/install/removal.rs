//! Takes away what [`install`](super::install) made.

use std::path::Path;

use super::units::{STARTED, UNITS};
use super::{
    LISTEN_DROP_IN, OWN_UNITS, PACKAGED_UNITS, PROGRAM, Package, SYSUSERS_FILE, Step,
    claude_policy, is_booted, rooted, words,
};

/// What takes the service away, in three parts: whether records wait that nobody has got is known for certain only
/// between the first and the last.
#[derive(Clone, Debug, Default)]
pub struct Removal {
    /// Stops the service with its socket, so that nothing is taken any more.
    pub stop: Vec<Step>,
    /// Undoes that.
    pub start: Vec<Step>,
    /// Takes away what was installed.
    pub remove: Vec<Step>,
}

/// The steps below `root`. Configuration, token and records stay unless `purge` says otherwise. They can be taken again
/// after they were interrupted: what is gone already is left out.
pub fn uninstall(root: &Path, purge: bool) -> Removal {
    let mut removal = Removal::default();
    let units = present(root);
    if is_booted(root) && !units.is_empty() {
        // The socket first: it would start the service again for the next client.
        removal.stop = vec![Step::systemctl(&[&["stop"], &units[..]].concat())];
        removal.start = vec![Step::systemctl(&[&["start"], &units[..]].concat())];
    }
    let steps = &mut removal.remove;
    if !units.is_empty() {
        let disable = rooted(root, &words(&["disable"], &units));
        steps.push(Step::run("systemctl", disable));
    }
    steps.push(Step::remove(claude_policy(root)));
    steps.push(Step::remove(root.join(LISTEN_DROP_IN)));
    let package = Package::find(root);
    if package != Some(Package::Edge) {
        for (name, _) in UNITS {
            steps.push(Step::remove(root.join(OWN_UNITS).join(name)));
        }
        steps.push(Step::remove(root.join(SYSUSERS_FILE)));
    }
    if package.is_none() {
        steps.push(Step::remove(root.join(PROGRAM)));
    }
    if purge {
        steps.push(Step::remove_tree(root.join("etc/fieldpost")));
        steps.push(Step::remove_tree(root.join("var/lib/fieldpost")));
    }
    if is_booted(root) {
        steps.push(Step::systemctl(&["daemon-reload"]));
    }
    removal
}

/// The units that systemd knows of those that are started: it ends with an error for any other.
fn present(root: &Path) -> Vec<&'static str> {
    let is_there = |unit: &&str| {
        let mut folders = PACKAGED_UNITS.iter().chain([&OWN_UNITS]);
        folders.any(|folder| root.join(folder).join(unit).exists())
    };
    STARTED.into_iter().filter(is_there).collect()
}
