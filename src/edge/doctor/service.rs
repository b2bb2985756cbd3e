//! The service as systemd sees it, and the program.

use std::collections::BTreeMap;
use std::io::ErrorKind;
#[cfg(unix)]
use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use crate::edge::install::Step;

use super::finding::Finding;
use super::world::World;

const PROGRAM: &str = match (cfg!(target_os = "macos"), cfg!(windows)) {
    (true, _) => "opt/fieldpost/bin/fieldpost",
    (_, true) => r"Program Files\Fieldpost\fieldpost.exe",
    _ => "usr/bin/fieldpost",
};

/// Units in the order of their weight.
const UNITS: [&str; 3] = [
    "fieldpost-edge.socket",
    "fieldpost-edge.service",
    "fieldpost-edge-token.path",
];

/// Time for a unit to be started or stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// E01
pub(super) async fn units(_world: &World) -> Finding {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = match shown().await {
            Ok(text) => text,
            Err(finding) => return finding,
        };
        let units = parse(&text);
        if !is_changing(&units) || Instant::now() >= deadline {
            return judge(&units);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What systemd says of the units.
async fn shown() -> Result<String, Finding> {
    let properties = "Id,LoadState,ActiveState,NRestarts,Result";
    let mut command = Command::new("systemctl");
    command.args(["show", "-p", properties]).args(UNITS);
    match command.output().await {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(_) => Err(Finding::skip("systemd does not run here")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Finding::skip("there is no systemd here"))
        }
        Err(error) => Err(Finding::skip(format!(
            "systemctl cannot be started: {error}"
        ))),
    }
}

/// Whether a unit is being started, stopped or restarted, as it is for a new token.
fn is_changing(units: &BTreeMap<&str, Properties<'_>>) -> bool {
    let mut states = units.values().filter_map(|unit| unit.get("ActiveState"));
    states.any(|state| matches!(*state, "activating" | "deactivating" | "reloading"))
}

type Properties<'a> = BTreeMap<&'a str, &'a str>;

/// `systemctl show` separates units by empty lines.
fn parse(text: &str) -> BTreeMap<&str, Properties<'_>> {
    let units = text.split("\n\n").map(|unit| {
        let lines = unit.lines().filter_map(|line| line.split_once('='));
        lines.collect::<Properties<'_>>()
    });
    let named = units.filter_map(|unit| Some((*unit.get("Id")?, unit)));
    named.collect()
}

fn judge(units: &BTreeMap<&str, Properties<'_>>) -> Finding {
    let property = |unit: &str, name: &str| {
        let unit = units.get(unit);
        unit.and_then(|unit| unit.get(name)).copied().unwrap_or("")
    };
    for unit in UNITS {
        if property(unit, "LoadState") != "loaded" {
            return Finding::fail(
                format!("{unit} is not installed"),
                "sudo fieldpost edge install --endpoint URL --token-stdin",
            );
        }
    }
    for unit in &UNITS[..2] {
        let state = property(unit, "ActiveState");
        if state != "active" {
            let result = property(unit, "Result");
            return Finding::fail(
                format!("{unit} is {state} (last result: {result})"),
                format!("sudo systemctl enable --now {unit}; journalctl -u {unit} -n 20 says why"),
            )
            .repaired_by(Step::systemctl(&["enable", "--now", unit]));
        }
    }
    if property(UNITS[2], "ActiveState") != "active" {
        return Finding::warn(
            "fieldpost-edge-token.path is not active: a new token is not noticed",
            "sudo systemctl enable --now fieldpost-edge-token.path",
        )
        .repaired_by(Step::systemctl(&["enable", "--now", UNITS[2]]));
    }
    match property(UNITS[1], "NRestarts") {
        "" | "0" => Finding::ok("socket, service and token path are active"),
        restarts => Finding::warn(
            format!("systemd has restarted the service {restarts} times by itself"),
            "journalctl -u fieldpost-edge -p warning says why",
        ),
    }
}

/// E20
pub(super) async fn program(world: &World) -> Finding {
    let path = world.path(PROGRAM);
    if !path.exists() {
        return Finding::warn(
            format!("{} is not there", path.display()),
            "sudo fieldpost edge install, or install the package",
        );
    }
    #[cfg(unix)]
    if let Some(finding) = rights(&path) {
        return finding;
    }
    let own = env!("CARGO_PKG_VERSION");
    match world.status().await {
        Some(status) if status.version != own => Finding::warn(
            format!("{} runs, and {own} is installed", status.version),
            "sudo systemctl restart fieldpost-edge; no request is lost",
        )
        .repaired_by(Step::systemctl(&["try-restart", UNITS[1]])),
        Some(_) => Finding::ok(format!("{own} is installed, and runs")),
        None => Finding::ok(format!(
            "{own} is installed; what runs does not say its version"
        )),
    }
}

/// What is wrong with who may change the program, if anything is.
#[cfg(unix)]
fn rights(path: &Path) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().ok()?;
    let shown = path.display().to_string();
    let owner = vec!["root:".to_owned(), shown.clone()];
    (metadata.uid() != 0 || metadata.mode() & 0o022 != 0).then(|| {
        Finding::fail(
            format!("{shown} can be changed by others than root"),
            format!("sudo chown root: {shown} && sudo chmod 755 {shown}"),
        )
        .repaired_by(Step::Run("chown".to_owned(), owner))
        .repaired_by(Step::Mode(path.to_owned(), 0o755))
    })
}
