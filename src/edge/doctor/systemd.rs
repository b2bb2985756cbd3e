//! The service as systemd sees it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use crate::edge::install::{SERVICE, SOCKET, TOKEN_PATH};

use super::finding::Finding;
use super::world::{NO_SERVICE, Service, World};

/// Time for a unit to be started or stopped.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(200);

/// E01
pub(super) async fn units(world: &World) -> Finding {
    // In the order of their weight.
    let units: &[&str] = match world.service {
        Service::Machine => &[SOCKET, SERVICE, TOKEN_PATH],
        // Its daemon watches the token's file itself.
        Service::Person(_) => &[SOCKET, SERVICE],
        Service::Nobody => return Finding::skip(NO_SERVICE),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = match shown(world, units).await {
            Ok(text) => text,
            Err(finding) => return finding,
        };
        let states = parse(&text);
        if !is_changing(&states) || Instant::now() >= deadline {
            return judge(world, units, &states);
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What systemd says of the units.
async fn shown(world: &World, units: &[&str]) -> Result<String, Finding> {
    let properties = "Id,LoadState,ActiveState,NRestarts,Result";
    let mut command = Command::new("systemctl");
    command.args(world.service.manager());
    command.args(["show", "-p", properties]).args(units);
    match command.kill_on_drop(true).output().await {
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

fn judge(world: &World, units: &[&str], states: &BTreeMap<&str, Properties<'_>>) -> Finding {
    let property = |unit: &str, name: &str| {
        let unit = states.get(unit);
        unit.and_then(|unit| unit.get(name)).copied().unwrap_or("")
    };
    let is_active = |unit: &str| property(unit, "ActiveState") == "active";
    for unit in units {
        if property(unit, "LoadState") != "loaded" {
            return Finding::fail(
                format!("{unit} is not installed"),
                world.typed_install("--endpoint URL --token-stdin"),
            );
        }
    }
    for unit in [SOCKET, SERVICE] {
        if !is_active(unit) {
            let (state, result) = (property(unit, "ActiveState"), property(unit, "Result"));
            return Finding::fail(
                format!("{unit} is {state} (last result: {result})"),
                format!(
                    "{}; {} says why",
                    world.typed_systemctl(&format!("enable --now {unit}")),
                    world.typed_journal(&format!("-u {unit} -n 20"))
                ),
            )
            .repaired_by(world.systemctl(&["enable", "--now", unit]));
        }
    }
    if units.contains(&TOKEN_PATH) && !is_active(TOKEN_PATH) {
        return Finding::warn(
            format!("{TOKEN_PATH} is not active: a new token is not noticed"),
            world.typed_systemctl(&format!("enable --now {TOKEN_PATH}")),
        )
        .repaired_by(world.systemctl(&["enable", "--now", TOKEN_PATH]));
    }
    match property(SERVICE, "NRestarts") {
        "" | "0" => Finding::ok(match units.contains(&TOKEN_PATH) {
            true => "socket, service and token path are active",
            false => "socket and service are active",
        }),
        restarts => Finding::warn(
            format!("systemd has restarted the service {restarts} times by itself"),
            format!(
                "{} says why",
                world.typed_journal("-u fieldpost-edge -p warning")
            ),
        ),
    }
}
