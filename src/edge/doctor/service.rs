//! The service as systemd sees it, and the program.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use tokio::process::Command;

use super::finding::Finding;
use super::world::World;

const PROGRAM: &str = "usr/bin/fieldpost";

/// Units in the order of their weight.
const UNITS: [&str; 3] = [
    "fieldpost-edge.socket",
    "fieldpost-edge.service",
    "fieldpost-edge-token.path",
];

/// E01
pub(super) async fn units(_world: &World) -> Finding {
    let properties = "Id,LoadState,ActiveState,NRestarts,Result";
    let mut command = Command::new("systemctl");
    command.args(["show", "-p", properties]).args(UNITS);
    let output = match command.output().await {
        Ok(output) if output.status.success() => output.stdout,
        Ok(_) => return Finding::skip("systemd does not run here"),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::skip("there is no systemd here");
        }
        Err(error) => return Finding::skip(format!("systemctl cannot be started: {error}")),
    };
    judge(&parse(&String::from_utf8_lossy(&output)))
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
            );
        }
    }
    if property(UNITS[2], "ActiveState") != "active" {
        return Finding::warn(
            "fieldpost-edge-token.path is not active: a new token is not noticed",
            "sudo systemctl enable --now fieldpost-edge-token.path",
        );
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
    let Ok(metadata) = path.metadata() else {
        return Finding::warn(
            format!("{} is not there", path.display()),
            "sudo fieldpost edge install, or install the package",
        );
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
            return Finding::fail(
                format!("{} can be changed by others than root", path.display()),
                format!("sudo chown root: {0} && sudo chmod 755 {0}", path.display()),
            );
        }
    }
    let own = env!("CARGO_PKG_VERSION");
    match world.status().await {
        Some(status) if status.version != own => Finding::warn(
            format!("{} runs, and {own} is installed", status.version),
            "sudo systemctl restart fieldpost-edge; no request is lost",
        ),
        Some(_) => Finding::ok(format!("{own} is installed, and runs")),
        None => Finding::ok(format!(
            "{own} is installed; what runs does not say its version"
        )),
    }
}
