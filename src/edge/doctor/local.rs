//! Configuration, queue, delivery and state.

use std::path::{Path, PathBuf};

use crate::edge::config::queue_directory;
#[cfg(unix)]
use crate::edge::install::{ACCOUNT, Step};
use crate::edge::origins::Origin;
use crate::edge::queue::{OpenError, free_bytes, has_format};
use crate::edge::status::State;
use crate::event::Timestamp;
use crate::words;

use super::finding::Finding;
use super::world::World;

/// Accounts with a program each that E10 names.
const SENDERS_SHOWN: usize = 6;

/// E04
pub(super) async fn configuration(world: &World) -> Finding {
    let path = world.options.config.display();
    if let Err(error) = &world.text {
        return Finding::fail(
            format!("{path} cannot be read: {error}"),
            "sudo fieldpost edge install --endpoint URL writes one",
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
            "make them the same: sudo fieldpost edge install --listen ADDRESS, after listen.addresses",
        );
    }
    Finding::ok(format!("{path} is good"))
}

/// The addresses that the socket unit listens on, after its drop-ins; an empty line clears the list.
fn unit_addresses(world: &World) -> Vec<String> {
    let folders = [
        "etc/systemd/system",
        "usr/lib/systemd/system",
        "lib/systemd/system",
    ];
    let unit = folders
        .iter()
        .find_map(|folder| world.read(&format!("{folder}/fieldpost-edge.socket")));
    let mut texts: Vec<String> = unit.into_iter().collect();
    let drop_ins = world.path("etc/systemd/system/fieldpost-edge.socket.d");
    let drop_ins = world.list(&drop_ins).into_iter();
    texts.extend(drop_ins.filter_map(|path| std::fs::read_to_string(path).ok()));
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
    let lost: u64 = status.lost_since_start.values().sum();
    if lost > 0 {
        return Finding::warn(
            format!("{} records were lost since the start", lost),
            "`fieldpost edge status` says why; queue.max_bytes and queue.max_age set the limits",
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
    let directory = directory.unwrap_or_else(|| queue_directory("", &|_| None));
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
                "sudo fieldpost edge install --token-stdin, with a new token",
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
    if let Some(finding) = rights(world, &folder, &directory) {
        return finding;
    }
    match file_system(&folder) {
        Some(kind @ ("NFS" | "SMB")) => Finding::fail(
            format!("{shown} lies on {kind}, which keeps no promise about what is synced"),
            "move queue.directory to a local disk",
        ),
        Some(kind) => Finding::fail(
            format!("{shown} lies on {kind}: what waits is gone after a restart of the machine"),
            "move queue.directory to a disk",
        ),
        None => Finding::ok(format!("{shown} is on a local disk, for its account alone")),
    }
}

/// What is wrong with who may look at the state, if anything is.
#[cfg(unix)]
fn rights(world: &World, folder: &Path, queue: &Path) -> Option<Finding> {
    use std::os::unix::fs::MetadataExt;
    let metadata = folder.metadata().ok()?;
    let (shown, mode) = (folder.display(), metadata.mode() & 0o777);
    let is_closed = |metadata: &std::fs::Metadata| metadata.mode() & 0o077 == 0;
    let queue = folder
        .join(queue.file_name().unwrap_or_default())
        .metadata();
    if !is_closed(&metadata) && !queue.is_ok_and(|queue| is_closed(&queue)) {
        let finding = Finding::fail(
            format!("{shown} has the mode {mode:o}: others can look at what waits"),
            format!("sudo chmod 700 {shown}"),
        );
        return Some(finding.repaired_by(Step::Mode(folder.to_owned(), 0o700)));
    }
    // A person's own edge runs as that person, and there the service has no account.
    let account = world.uid(ACCOUNT).filter(|_| world.is_of_the_machine())?;
    (metadata.uid() != account).then(|| {
        let arguments = ["-R", "fieldpost:fieldpost", &shown.to_string()].map(str::to_owned);
        Finding::fail(
            format!(
                "{shown} belongs to the account {}, and the service runs as {ACCOUNT}",
                metadata.uid()
            ),
            format!("sudo chown {}", arguments.join(" ")),
        )
        .repaired_by(Step::Run("chown".to_owned(), arguments.to_vec()))
    })
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
