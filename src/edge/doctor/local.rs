//! Configuration, queue, delivery and state.

use std::path::{Path, PathBuf};

use crate::edge::config::queue_directory;
use crate::edge::install::SOCKET;
#[cfg(unix)]
use crate::edge::install::Step;
use crate::edge::origins::Origin;
use crate::edge::queue::{OpenError, free_bytes, has_format};
use crate::edge::status::{State, lost_because};
use crate::event::Timestamp;
use crate::words;

use super::finding::Finding;
use super::world::{Service, World, read_text};

/// Accounts with a program each that E10 names.
const SENDERS_SHOWN: usize = 6;

/// E04
pub(super) async fn configuration(world: &World) -> Finding {
    let path = world.options.config.display();
    if let Err(error) = &world.text {
        return Finding::fail(
            format!("{path} cannot be read: {error}"),
            world.typed_install("--endpoint URL"),
        );
    }
    let config = match &world.config {
        Ok(config) => config,
        Err(mistakes) => {
            return Finding::fail(
                mistakes.to_string().replace('\n', "; "),
                format!("correct {path}; `fieldpost edge check-config` looks again"),
            );
        }
    };
    #[cfg(unix)]
    if let Ok(metadata) = world.options.config.metadata() {
        use std::os::unix::fs::PermissionsExt;
        if metadata.permissions().mode() & 0o022 != 0 {
            return Finding::fail(
                format!("{path} can be changed by others than its owner"),
                format!("sudo chmod 644 {path}"),
            )
            .repaired_by(Step::Mode(world.options.config.clone(), 0o644));
        }
    }
    let unit = unit_addresses(world);
    let configured: Vec<String> = config
        .listen
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    if !unit.is_empty() && unit.iter().any(|address| !configured.contains(address)) {
        return Finding::fail(
            format!(
                "the socket unit listens on {}, and listen.addresses says {}",
                unit.join(", "),
                configured.join(", ")
            ),
            format!(
                "make them the same: {}, after listen.addresses",
                world.typed_install("--listen ADDRESS")
            ),
        );
    }
    Finding::ok(format!("{path} is good"))
}

/// The addresses that the service's socket unit listens on, after its drop-ins; an empty line clears the list.
fn unit_addresses(world: &World) -> Vec<String> {
    let machine = [
        "etc/systemd/system",
        "usr/lib/systemd/system",
        "lib/systemd/system",
    ];
    let units: Vec<PathBuf> = match &world.service {
        Service::Machine => machine.map(|it| world.path(it).join(SOCKET)).to_vec(),
        Service::Person(person) => vec![person.unit(SOCKET)],
        Service::Nobody => Vec::new(),
    };
    let unit = units.iter().find_map(|unit| read_text(unit).ok());
    let mut texts: Vec<String> = unit.into_iter().collect();
    // An administrator's drop-ins lie where the first of the units may.
    let drop_ins = units.first().map(|unit| unit.with_extension("socket.d"));
    let drop_ins = drop_ins.into_iter().flat_map(|folder| world.list(&folder));
    texts.extend(drop_ins.filter_map(|path| read_text(&path).ok()));
    let mut addresses = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        match line.trim().strip_prefix("ListenStream=") {
            Some("") => addresses.clear(),
            Some(address) => addresses.push(address.to_owned()),
            None => {}
        }
    }
    addresses
}

/// E09
pub(super) async fn queue(world: &World) -> Finding {
    let directory = queue_folder(world);
    if let Err(error @ OpenError::Format { .. }) = has_format(&directory) {
        return Finding::fail(
            error.to_string(),
            "install the version that wrote it once more; E20 says which one is installed",
        );
    }
    let Some(status) = world.status().await else {
        return Finding::skip("the edge is not running, or does not answer this account");
    };
    let queue = &status.queue;
    if let Some(reason) = &queue.not_ready {
        return Finding::fail(
            format!("new records are refused: {reason}"),
            format!("make room on the disk of {}", queue.directory.display()),
        );
    }
    let aside = world.list(&queue.directory);
    let aside = aside
        .iter()
        .filter(|path| path.extension().is_some_and(|it| it == "bad"));
    let aside = aside.count();
    if aside > 0 || queue.damaged > 0 {
        return Finding::warn(
            format!(
                "{aside} damaged segments were put aside, and {} entries are damaged",
                queue.damaged
            ),
            "check the disk; `fieldpost edge queue ls` shows the segments",
        );
    }
    let lost = status.lost_for_good();
    let records: u64 = lost.values().sum();
    if records > 0 {
        let reasons: Vec<&str> = lost.keys().map(|reason| lost_because(reason)).collect();
        let lost = words::plural(records as usize, "record was lost", "records were lost");
        return Finding::warn(
            format!("{lost} since the start: {}", reasons.join(", ")),
            "queue.max_bytes and queue.max_age set the limits; make room on the disk, or help the way upstream: E10",
        );
    }
    let Ok(free) = free_bytes(&directory) else {
        return Finding::ok(format!("takes records; {}", status.waiting()));
    };
    let limits = world.config.as_ref().map(|config| &config.queue.limits);
    let min_free = limits.map_or(0, |limits| limits.min_free);
    let left = words::bytes(i64::try_from(free).unwrap_or(i64::MAX));
    let shown = directory.display();
    if free < min_free.saturating_mul(2) {
        let least = words::bytes(i64::try_from(min_free).unwrap_or(i64::MAX));
        return Finding::warn(
            format!("{left} are left on the disk of {shown}; below {least} the queue gives way"),
            format!("make room on the disk of {shown}; queue.min_free sets the limit"),
        );
    }
    Finding::ok(format!(
        "takes records; {}; {left} are left on its disk",
        status.waiting()
    ))
}

/// Where the queue is, below the root that is looked at.
fn queue_folder(world: &World) -> PathBuf {
    let configured = world.config.as_ref().ok();
    let directory = configured.map(|config| config.queue.directory.clone());
    below_root(world, directory.unwrap_or_else(usual_queue))
}

/// Where the machine's service has it, unless told otherwise.
fn usual_queue() -> PathBuf {
    queue_directory("", &|_| None)
}

fn below_root(world: &World, directory: PathBuf) -> PathBuf {
    let root = &world.options.root;
    match root == Path::new("/") || directory.starts_with(root) {
        true => directory,
        false => world.path(directory.to_string_lossy().trim_start_matches('/')),
    }
}

/// E10
pub(super) async fn delivery(world: &World) -> Finding {
    let Some(status) = world.status().await else {
        return Finding::skip("the edge is not running, or does not answer this account");
    };
    let problem = || status.problems.first().cloned().unwrap_or_default();
    match status.upstream.state {
        State::Delivering => {}
        State::NotTried => {
            return Finding::warn(
                "nothing has been sent since the start",
                "post something: E21 does; E12 says whether Claude exports at all",
            );
        }
        State::Retrying => {
            return Finding::fail(problem(), "E06 and E07 look at the way and at the answer");
        }
        State::Holding => {
            return Finding::fail(
                problem(),
                format!("{}, with a new token", world.typed_install("--token-stdin")),
            );
        }
    }
    if status.parked.is_some_and(|parked| parked.items > 0) {
        return Finding::warn(
            "the upstream has refused records for good; they are parked",
            "`fieldpost edge parked list` says why",
        );
    }
    let last = status.upstream.last_delivery;
    let last = last.map_or("never".to_owned(), |last| words::ago(last, status.now));
    Finding::ok(format!(
        "{} records delivered since the start, the last {last}{}",
        status.upstream.records,
        senders(&world.origins().await.unwrap_or_default(), status.now)
    ))
}

/// Who has sent something last, the latest first.
fn senders(origins: &[Origin], now: Timestamp) -> String {
    let senders = origins.iter().take(SENDERS_SHOWN).map(|origin| {
        let last = words::ago(origin.last, now);
        format!("{} by {} {last}", origin.who(), origin.program)
    });
    let senders: Vec<String> = senders.collect();
    match senders.is_empty() {
        true => String::new(),
        false => format!("; received last from {}", senders.join(", ")),
    }
}

/// E18
pub(super) async fn state(world: &World) -> Finding {
    let directory = queue_folder(world);
    let folder = directory.parent().unwrap_or(&directory).to_owned();
    let shown = folder.display();
    if !folder.exists() {
        return Finding::warn(
            format!("{shown} is not there yet"),
            "it is made when the service starts; E01 says whether it has",
        );
    }
    #[cfg(unix)]
    if let Some(finding) = super::state::rights(world, &folder, &directory) {
        return finding;
    }
    let lies_in = match directory.exists() {
        true => &directory,
        false => &folder,
    };
    match file_system(lies_in) {
        Some(kind @ ("NFS" | "SMB")) => Finding::fail(
            format!("{shown} lies on {kind}, which keeps no promise about what is synced"),
            "move queue.directory to a local disk",
        ),
        Some(kind) => Finding::fail(
            format!("{shown} lies on {kind}: what waits is gone after a restart of the machine"),
            "move queue.directory to a disk",
        ),
        None if cfg!(target_os = "linux") => {
            Finding::ok(format!("{shown} is on a local disk, for its account alone"))
        }
        None if cfg!(unix) => Finding::ok(format!("{shown} is for its account alone")),
        None => Finding::ok(format!(
            "{shown} is there; who may look into it is not found out on this system"
        )),
    }
}

/// The service's own folder, which its supervisor makes for it.
#[cfg(unix)]
pub(super) fn own_folder(world: &World) -> Option<PathBuf> {
    let usual = below_root(world, usual_queue());
    usual.parent().map(Path::to_owned)
}

/// The kind of a file system that does not keep what is written; `None` for any other.
#[cfg(target_os = "linux")]
fn file_system(folder: &Path) -> Option<&'static str> {
    // Numbers of linux/magic.h.
    match rustix::fs::statfs(folder).ok()?.f_type as u64 & 0xFFFF_FFFF {
        0x6969 => Some("NFS"),
        0xFF53_4D42 | 0xFE53_4D42 => Some("SMB"),
        0x0102_1994 => Some("tmpfs"),
        0x8584_58F6 => Some("ramfs"),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn file_system(_folder: &Path) -> Option<&'static str> {
    None
}
