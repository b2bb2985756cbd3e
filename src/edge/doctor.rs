//! Finds out why telemetry does not arrive, and says what to do.
//!
//! One registry of [`CHECKS`]. Each has an id that never changes its meaning, looks at one thing in the
//! [`World`], and answers with a [`Finding`]: a verdict, what was seen, and what to do about it. What
//! cannot be looked at (because it needs root, or a running edge) is skipped, and not failed.

mod world;
mod hints;
mod homes;
mod finding;
#[cfg(not(any(target_os = "macos", windows)))]
mod systemd;
#[cfg(any(target_os = "macos", test))]
mod launchd;
#[cfg(any(windows, test))]
mod service_manager;
mod service;
mod listener;
#[cfg(any(target_os = "linux", target_os = "macos"))]
mod ports;
mod local;
#[cfg(unix)]
mod state;
mod token;
mod upstream;
mod arrival;
mod sources;
mod policy;
mod claude;
mod processes;
mod people;

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::install::Step;

#[cfg(target_os = "macos")]
use self::launchd as supervisor;
#[cfg(windows)]
use self::service_manager as supervisor;
#[cfg(not(any(target_os = "macos", windows)))]
use self::systemd as supervisor;

pub use self::finding::{Finding, Verdict};
pub use self::world::{Options, Variable, World};

/// Time for one check.
const CHECK_TIMEOUT: Duration = Duration::from_secs(20);

type Looking<'a> = Pin<Box<dyn Future<Output = Finding> + Send + 'a>>;

/// One thing to look at.
pub struct Check {
    /// Never used for another check.
    pub id: &'static str,
    /// What is looked at.
    pub title: &'static str,
    /// Whether something is sent to the upstream for it.
    needs_network: bool,
    /// Whether the daemon makes it of itself, too: it sees from its sandbox what is looked at, and nothing else in its
    /// status tells of it.
    is_daemons: bool,
    look: for<'a> fn(&'a World) -> Looking<'a>,
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The check's id.
    pub id: &'static str,
    /// How it is.
    pub status: Verdict,
    /// What was looked at.
    pub summary: &'static str,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// What was done about it, step by step, before it was looked at once more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repaired: Vec<String>,
    /// How long looking took, in milliseconds.
    pub duration_ms: u64,
}

/// `network`: something is sent to the upstream. `daemon`: the daemon makes the check of itself, too.
macro_rules! check {
    ($id:literal, $title:literal, $look:path) => {
        check!($id, $title, $look, false, false)
    };
    ($id:literal, $title:literal, $look:path, network) => {
        check!($id, $title, $look, true, false)
    };
    ($id:literal, $title:literal, $look:path, daemon) => {
        check!($id, $title, $look, false, true)
    };
    ($id:literal, $title:literal, $look:path, $needs_network:literal, $is_daemons:literal) => {
        Check {
            id: $id,
            title: $title,
            needs_network: $needs_network,
            is_daemons: $is_daemons,
            look: |world| Box::pin($look(world)),
        }
    };
}

/// All checks, in the order in which they are made: from the machine to the upstream, then Claude.
pub const CHECKS: [Check; 22] = [
    check!("E01", "service", supervisor::units),
    check!("E02", "who holds the port", listener::holder),
    check!("E03", "answers on loopback", listener::answers),
    check!("E04", "configuration", local::configuration, daemon),
    check!("E05", "token", token::token, daemon),
    check!("E06", "way to the upstream", upstream::way, network),
    check!("E07", "upstream's answer", upstream::answer, network),
    check!("E08", "clock", upstream::clock, network),
    check!("E09", "queue", local::queue),
    check!("E10", "delivery", local::delivery),
    check!("E11", "Claude's policy", policy::sources),
    check!("E12", "Claude's variables", policy::variables),
    check!("E13", "proxy", policy::proxy),
    check!("E14", "Claude's version", claude::version),
    check!("E15", "Claudes started before the policy", processes::old),
    check!("E16", "e-mail addresses", people::identity),
    check!("E17", "tokens that others can read", people::leaked_token),
    check!("E18", "state", local::state, daemon),
    check!("E19", "what the edge cannot see", people::surfaces),
    check!("E20", "program", service::program, daemon),
    check!("E21", "arrival", arrival::arrival, network),
    check!("E22", "Claude's exporter log", claude::exporter_log),
];

/// What the daemon finds that is not well, with the configuration in `file`.
pub(super) async fn examine_daemon(file: PathBuf) -> Vec<Report> {
    let own = CHECKS.iter().filter(|check| check.is_daemons);
    let options = Options {
        root: PathBuf::from("/"),
        config: file,
        only: own.map(|check| check.id.to_owned()).collect(),
        network: false,
        fix: false,
    };
    let world = World::new(options, Arc::new(|name| std::env::var(name).ok()));
    let world = Arc::new(world);
    let mut reports = examine(&world, |_| ()).await;
    reports.retain(|report| matches!(report.status, Verdict::Warn | Verdict::Fail));
    reports
}

/// Makes the checks that `world`'s options ask for, one after the other, and repairs what they ask to.
pub async fn examine(world: &Arc<World>, mut told: impl FnMut(&Report)) -> Vec<Report> {
    let mut reports = Vec::new();
    for check in CHECKS.iter().filter(|check| world.asks_for(check.id)) {
        let began = Instant::now();
        let mut finding = look(check, world).await;
        let mut repaired = Vec::new();
        if world.options.fix && !finding.repairs.is_empty() {
            repaired = finding.repairs.iter().map(repair).collect();
            finding = look(check, &Arc::new(world.anew())).await;
        }
        let report = Report {
            id: check.id,
            status: finding.verdict,
            summary: check.title,
            detail: finding.seen,
            fix: finding.fix,
            repaired,
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        told(&report);
        reports.push(report);
    }
    reports
}

/// Looks, for so long. A thread of its own does: a home on a disk that does not answer holds it for ever, and nothing
/// but it.
async fn look(check: &Check, world: &Arc<World>) -> Finding {
    if check.needs_network && !world.options.network {
        return Finding::skip("not looked at without the network");
    }
    let (said, hears) = oneshot::channel();
    let (look, world, runtime) = (check.look, Arc::clone(world), Handle::current());
    std::thread::spawn(move || said.send(runtime.block_on(look(&world))));
    match tokio::time::timeout(CHECK_TIMEOUT, hears).await {
        Ok(Ok(finding)) => finding,
        Ok(Err(_)) => Finding::fail(
            "looking ended before it was done",
            "this is a defect of fieldpost's: report it, with what standard error says",
        ),
        Err(_) => Finding::warn(
            "looking took longer than 20 s",
            "try again; a home or a folder on a disk that does not answer holds it, too",
        ),
    }
}

/// Does one step, and says what became of it.
fn repair(step: &Step) -> String {
    match step.apply() {
        Ok(()) => step.to_string(),
        Err(error) => format!("{error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a read from a server that is gone does.
    fn never_comes_back(_: &World) -> Looking<'_> {
        loop {
            std::thread::park();
        }
    }

    fn breaks(_: &World) -> Looking<'_> {
        panic!("a check may be wrong")
    }

    async fn said_of(look: for<'a> fn(&'a World) -> Looking<'a>) -> Finding {
        let options = Options {
            root: PathBuf::from("/nowhere"),
            config: PathBuf::from("/nowhere/edge.toml"),
            only: Vec::new(),
            network: true,
            fix: false,
        };
        let check = Check {
            id: "E00",
            title: "a test",
            needs_network: false,
            is_daemons: false,
            look,
        };
        let world = World::new(options, Arc::new(|_| None));
        super::look(&check, &Arc::new(world)).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_is_given_up() {
        let finding = said_of(never_comes_back).await;
        assert_eq!(finding.verdict, Verdict::Warn, "{finding:?}");
        assert!(finding.seen.contains("longer than 20 s"), "{finding:?}");
    }

    #[tokio::test]
    async fn a_check_that_breaks_is_told() {
        let finding = said_of(breaks).await;
        assert_eq!(finding.verdict, Verdict::Fail, "{finding:?}");
        assert!(finding.seen.contains("before it was done"), "{finding:?}");
    }
}
