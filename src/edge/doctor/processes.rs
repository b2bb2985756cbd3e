//! Claudes that run: whether they were started with what Claude is told now, which it reads at its start only.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::words::plural;

use super::finding::Finding;
use super::hints::POLICY;
use super::policy::is_ours;
use super::sources::{managed, own_settings};
use super::world::{World, read_bytes};

/// E15
pub(super) async fn old(world: &World) -> Finding {
    let Ok(managed) = managed(world).await else {
        return Finding::skip("E11 says what is wrong with the policy");
    };
    let Some(source) = managed.iter().find(|source| source.decides()) else {
        return by_environment(world);
    };
    match (source.changed, booted(world)) {
        (None, _) => Finding::skip(format!(
            "{} decides about telemetry, and since when is not known",
            source.name
        )),
        (_, None) => Finding::skip("when processes were started is not known on this system"),
        (Some(changed), Some(booted)) => by_time(world, changed, booted),
    }
}

/// Files tell Claude: a process must have been started after their last change.
fn by_time(world: &World, changed: SystemTime, booted: SystemTime) -> Finding {
    let is_old = |process: &PathBuf| started(process, booted).is_some_and(|it| it < changed);
    let old: Vec<PathBuf> = running(world).into_iter().filter(is_old).collect();
    match old.is_empty() {
        true => Finding::ok("every Claude that runs has started after the policy's last change"),
        false => Finding::warn(
            format!(
                "started before the policy's last change: pid {}",
                pids(&old)
            ),
            "exit these sessions and start Claude anew: it reads OTEL variables at its start only",
        ),
    }
}

/// Nobody manages Claude: its environment or its person's settings must name this edge. Those of others are root's to
/// look at.
fn by_environment(world: &World) -> Finding {
    let (mut elsewhere, mut unreadable, mut here) = (Vec::new(), 0, 0);
    for process in running(world) {
        match environment(&process) {
            Ok(environment) if names_this_edge(world, &environment) => here += 1,
            Ok(_) => elsewhere.push(process),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => unreadable += 1,
            // It has ended.
            Err(_) => {}
        }
    }
    if !elsewhere.is_empty() {
        return Finding::warn(
            format!(
                "neither policy, settings nor environment name this edge: pid {}",
                pids(&elsewhere)
            ),
            format!(
                "{POLICY} tells every Claude; for one shell: eval \"$(fieldpost edge env)\"; then start Claude anew"
            ),
        );
    }
    match (unreadable, here) {
        (0, 0) => Finding::skip("nobody manages Claude here, and none runs"),
        (0, _) => Finding::ok("every Claude that runs was started with this edge's address"),
        _ => Finding::skip(format!(
            "{} of Claude can be looked at by root only; run doctor with sudo",
            plural(unreadable, "process", "processes")
        )),
    }
}

/// The variables that a process was started with.
fn environment(process: &Path) -> io::Result<BTreeMap<String, String>> {
    let bytes = read_bytes(&process.join("environ"))?;
    let text = String::from_utf8_lossy(&bytes);
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    Ok(pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

fn names_this_edge(world: &World, environment: &BTreeMap<String, String>) -> bool {
    let home = environment.get("HOME");
    let home = home.map(|home| world.path(home.trim_start_matches('/')));
    let settings = home.and_then(|home| own_settings("", &home).ok());
    let settings = settings.map(|source| source.env).unwrap_or_default();
    let names = [
        "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ];
    let endpoint = names
        .iter()
        .find_map(|name| settings.get(*name).or(environment.get(*name)));
    endpoint.is_some_and(|endpoint| is_ours(world, endpoint))
}

/// The folders of processes of Claude Code below `/proc`.
fn running(world: &World) -> Vec<PathBuf> {
    let mut processes = world.list(&world.path("proc"));
    processes.retain(|process| pid(process).is_some() && is_claude(process));
    processes
}

fn pid(process: &Path) -> Option<u32> {
    process.file_name()?.to_str()?.parse().ok()
}

fn pids(processes: &[PathBuf]) -> String {
    let pids = processes.iter().filter_map(|process| pid(process));
    let pids: Vec<String> = pids.map(|pid| pid.to_string()).collect();
    pids.join(", ")
}

fn booted(world: &World) -> Option<SystemTime> {
    let stat = world.read("proc/stat")?;
    let line = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(UNIX_EPOCH + Duration::from_secs(line.trim().parse().ok()?))
}

fn is_claude(process: &Path) -> bool {
    let command = fs::read(process.join("cmdline")).unwrap_or_default();
    let mut words = command
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy);
    let is_program = |word: &str| {
        Path::new(word)
            .file_name()
            .is_some_and(|name| name == "claude")
    };
    let is_package = |word: &str| word.contains("@anthropic-ai/claude-code");
    words.next().is_some_and(|word| is_program(&word))
        || words.next().is_some_and(|word| is_package(&word))
}

/// `stat`'s 22nd field, in ticks since the machine was started. The name before may hold anything.
#[cfg(target_os = "linux")]
fn started(process: &Path, booted: SystemTime) -> Option<SystemTime> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let ticks: u64 = after_name.split_ascii_whitespace().nth(19)?.parse().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(booted + Duration::from_millis(ticks.saturating_mul(1000) / per_second))
}

#[cfg(not(target_os = "linux"))]
fn started(_process: &Path, _booted: SystemTime) -> Option<SystemTime> {
    None
}
