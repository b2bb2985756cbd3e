//! The program that the service runs.

#[cfg(unix)]
use std::path::Path;

use crate::edge::install::SERVICE;
#[cfg(unix)]
use crate::edge::install::Step;

use super::finding::Finding;
use super::world::{NO_SERVICE, Service, World};

const PROGRAM: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "opt/fieldpost/bin/fieldpost",
    (_, true) => r"Program Files\Fieldpost\fieldpost.exe",
    _ => "usr/bin/fieldpost",
};

/// E20
pub(super) async fn program(world: &World) -> Finding {
    let path = match &world.service {
        Service::Person(person) => person.program(),
        Service::Machine => world.path(PROGRAM),
        Service::Nobody => return Finding::skip(NO_SERVICE),
    };
    if !path.exists() {
        return Finding::warn(
            format!("{} is not there", path.display()),
            format!("{}, or the package", world.typed_install("--endpoint URL")),
        );
    }
    #[cfg(unix)]
    if let Some(finding) = rights(world, &path) {
        return finding;
    }
    let restart = world.typed_systemctl("restart fieldpost-edge");
    if was_replaced() {
        return Finding::warn(
            format!(
                "another program lies at {}, and the one before runs on",
                path.display()
            ),
            format!("{restart}; no request is lost"),
        )
        .repaired_by(world.systemctl(&["try-restart", SERVICE]));
    }
    let own = env!("CARGO_PKG_VERSION");
    match world.status().await {
        Some(status) if status.version != own => Finding::warn(
            format!("{} runs, and {own} is installed", status.version),
            format!("{restart}; no request is lost"),
        )
        .repaired_by(world.systemctl(&["try-restart", SERVICE])),
        Some(_) => Finding::ok(format!("{own} is installed, and runs")),
        None => Finding::ok(format!(
            "{own} is installed; what runs does not say its version"
        )),
    }
}

/// Whether the file that this process was started from is there no more: a daemon sees so that it was not restarted
/// after an upgrade.
#[cfg(target_os = "linux")]
fn was_replaced() -> bool {
    let own = std::fs::read_link("/proc/self/exe");
    own.is_ok_and(|own| own.to_string_lossy().ends_with(" (deleted)"))
}

#[cfg(not(target_os = "linux"))]
fn was_replaced() -> bool {
    false
}

/// What is wrong with who may change the program, if anything is. A person's own is that person's.
#[cfg(unix)]
fn rights(world: &World, path: &Path) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().ok()?;
    let shown = path.display().to_string();
    let is_open = metadata.mode() & 0o022 != 0;
    if let Service::Person(_) = world.service {
        return is_open.then(|| {
            Finding::fail(
                format!("{shown} can be changed by others than its owner"),
                format!("chmod 755 {shown}"),
            )
            .repaired_by(Step::Mode(path.to_owned(), 0o755))
        });
    }
    let owner = vec!["root:".to_owned(), shown.clone()];
    (metadata.uid() != 0 || is_open).then(|| {
        Finding::fail(
            format!("{shown} can be changed by others than root"),
            format!("sudo chown root: {shown} && sudo chmod 755 {shown}"),
        )
        .repaired_by(Step::Run("chown".to_owned(), owner))
        .repaired_by(Step::Mode(path.to_owned(), 0o755))
    })
}
