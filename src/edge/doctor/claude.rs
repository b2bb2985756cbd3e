//! Claude Code on this machine: its version, and what its exporter says.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Deserialize;

use crate::edge::redact::Redactor;
use crate::words::{plural, printable};

use super::finding::Finding;
use super::homes::Home;
use super::world::{World, read_text};

/// From here on managed settings are merged as E11 says.
const MERGES: Version = Version(2, 1, 223);

/// Before, what a session records until its exporter is set up is not sent.
const KEEPS_EARLY: Version = Version(2, 1, 161);

/// Before, developers' own endpoints go before a managed one.
const LOCKS_ENDPOINT: Version = Version(2, 1, 217);

/// The end of a log that is read, in bytes.
const LOG_TAIL: u64 = 256 << 10;

/// What a log said longer ago says nothing of today.
const LOG_AGE: Duration = Duration::from_secs(86_400);

/// Longest line of it that is shown, in characters.
const LINE_MAX: usize = 300;

const UPDATE: &str = "update Claude Code: claude update; \
                      requiredMinimumVersion in managed settings asks everybody to";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32, u32);

impl Version {
    fn parse(text: &str) -> Option<Version> {
        let mut numbers = text.split(['.', '-', '+']).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Version(next()?, next()?, next()?))
    }
}

/// E14
pub(super) async fn version(world: &World) -> Finding {
    let found = installations(world);
    let Some((oldest, place)) = found.iter().min_by_key(|(version, _)| *version) else {
        return Finding::skip("no Claude Code was found where its installers put it");
    };
    let Version(major, minor, patch) = *oldest;
    let seen = format!("{major}.{minor}.{patch} in {}", place.display());
    match *oldest {
        version if version < KEEPS_EARLY => Finding::warn(
            format!("{seen}: the first records of a session are lost (before 2.1.161)"),
            UPDATE,
        ),
        version if version < LOCKS_ENDPOINT => Finding::warn(
            format!(
                "{seen}: a developer's own endpoint goes before the managed one (before 2.1.217)"
            ),
            UPDATE,
        ),
        version if version < MERGES => Finding::warn(
            format!("{seen}: only one managed source counts, as a whole (before 2.1.223)"),
            UPDATE,
        ),
        _ => Finding::ok(seen),
    }
}

/// Every Claude Code that its installers have put somewhere.
pub(super) fn has_installation(world: &World) -> bool {
    !installations(world).is_empty()
}

fn installations(world: &World) -> Vec<(Version, PathBuf)> {
    let mut found = Vec::new();
    let package = "node_modules/@anthropic-ai/claude-code/package.json";
    let mut manifests = vec![
        world.path("usr/lib").join(package),
        world.path("usr/local/lib").join(package),
    ];
    for home in world.homes() {
        manifests.push(home.path.join(".claude/local").join(package));
        found.extend(native(&home));
    }
    found.extend(manifests.into_iter().filter_map(|manifest| {
        #[derive(Deserialize)]
        struct Manifest {
            version: String,
        }
        let text = read_text(&manifest).ok()?;
        let Manifest { version } = serde_json::from_str(&text).ok()?;
        Some((Version::parse(&version)?, manifest))
    }));
    found
}

/// The native installer links the version in use.
fn native(home: &Home) -> Option<(Version, PathBuf)> {
    let link = home.path.join(".local/bin/claude");
    let target = fs::read_link(&link).ok()?;
    let name = target.file_name()?.to_str()?;
    Some((Version::parse(name)?, link))
}

/// When a file was last changed.
pub(super) fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().ok()?.modified().ok()
}

/// E22
pub(super) async fn exporter_log(world: &World) -> Finding {
    let logs = world.homes().into_iter().flat_map(|home| {
        let folder = home.path.join(".claude/debug");
        world.list(&folder)
    });
    let newest = logs
        .filter(|path| path.extension().is_some_and(|it| it == "txt") && path.is_file())
        .filter_map(|path| Some((modified(&path)?, path)))
        .max();
    let is_of_today = |written: SystemTime| {
        let age = world.now.duration_since(written).unwrap_or_default();
        age <= LOG_AGE
    };
    let Some((_, log)) = newest.filter(|(written, _)| is_of_today(*written)) else {
        return Finding::skip(
            "nobody has kept Claude's log in the last day: start `claude --debug` (or set \
             CLAUDE_CODE_OTEL_DIAG_STDERR=1 and look at its standard error), let it do something, \
             and ask again",
        );
    };
    let tail = tail(&log).unwrap_or_default();
    let errors: Vec<&str> = tail.lines().filter(|line| is_export_error(line)).collect();
    let Some(last) = errors.last() else {
        return Finding::ok(format!("{} tells of no export that failed", log.display()));
    };
    // A log may quote what it was given.
    let last = printable(last);
    let (last, _) = Redactor::builtin().redact_text(&last);
    let last: String = last.chars().take(LINE_MAX).collect();
    Finding::fail(
        format!(
            "{} tells of {}, the last: {last}",
            log.display(),
            plural(errors.len(), "export that failed", "exports that failed")
        ),
        "E03 looks at the edge, E12 at the address and E13 at proxies in between",
    )
}

/// The end of a file.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL)))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn is_export_error(line: &str) -> bool {
    let line = line.to_lowercase();
    let is_of_exporter = ["otlp", "otel", "opentelemetry"]
        .iter()
        .any(|word| line.contains(word));
    let is_error = ["error", "failed", "econn", "timed out"]
        .iter()
        .any(|word| line.contains(word));
    is_of_exporter && is_error
}
