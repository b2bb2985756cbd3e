//! How fast the edge is, and what it takes of a machine: `cargo bench-edge`, which builds it as machines have it,
//! without the service (`.cargo/config.toml`).
//!
//! Runs the release binary as users do, `fieldpost edge run` with its defaults (and no quota), posts requests like
//! Claude's to it, and prints one table: what was aimed at, what was measured, and, where the disk
//! sets a bound, what a plain file reaches on it in the same run. It never fails by a figure: a busy
//! machine, or a slow disk, is no fault of the code.
//!
//! ```text
//! cargo bench-edge                  about a minute
//! cargo bench-edge -- latency queue only these parts: idle, latency, load, backlog, queue
//! cargo bench-edge -- --long        with millions of records queued: minutes, and 3 GB of disk
//! ```
//! `FIELDPOST_BINARY` names another binary to measure, such as that of the version before. The data lie below `target`, so that the disk is a real one, and are deleted at the end.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod backlog;
mod daemon;
mod disk;
mod load;
mod queue;
#[path = "../records.rs"]
mod records;
mod table;
mod upstream;

/// As in the product, for the queue is measured in this process.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use daemon::{Edge, Meter};
use load::{Done, Load, RECORDS};
use table::{Row, Table, mebibytes, millis};
use upstream::NullUpstream;

/// Connections that post at the same time.
const CONNECTIONS: usize = 8;

/// A name for the command line, and what measures it.
type Part = (&'static str, fn(&Plan, &Path, &mut Table));

/// What was asked for on the command line.
struct Plan {
    long: bool,
    parts: Vec<String>,
}

fn main() {
    // cargo adds `--bench` by itself.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let plan = Plan {
        long: arguments.iter().any(|argument| argument == "--long"),
        parts: arguments
            .into_iter()
            .filter(|argument| !argument.starts_with("--"))
            .collect(),
    };
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target is writable");
    let mut table = Table::new();
    let parts: [Part; 5] = [
        ("idle", idle),
        ("latency", latency),
        ("load", full_load),
        ("backlog", |plan, directory, table| {
            backlog::measure(plan.long, directory, table);
        }),
        ("queue", |_, directory, table| {
            queue::measure(directory, table)
        }),
    ];
    for (name, measure) in parts {
        if plan.parts.is_empty() || plan.parts.iter().any(|part| part == name) {
            eprintln!("measuring: {name}");
            let directory = directory.path().join(name);
            std::fs::create_dir(&directory).expect("target is writable");
            measure(&plan, &directory, &mut table);
            // What was deleted is given back to the disk while the next part is measured, or before.
            std::fs::remove_dir_all(&directory).expect("target is writable");
            sleep(Duration::from_secs(1));
        }
    }
    table.print();
}

/// Nobody posts.
fn idle(_: &Plan, directory: &Path, table: &mut Table) {
    let upstream = NullUpstream::start();
    let edge = Edge::start(directory, Some(&upstream));
    // The heartbeat at the start is written, sent and settled by then; the next comes after a minute.
    sleep(Duration::from_secs(5));
    let before = Meter::read(&edge);
    let window = Duration::from_secs(10);
    sleep(window);
    let used = Meter::read(&edge).since(&before);
    table.add(Row::new(
        "memory, idle",
        "≤ 20 MB",
        mebibytes(edge.resident()),
    ));
    table.add(Row::new(
        "voluntary context switches, idle",
        "≤ 10 /s",
        format!("{:.1} /s", used.switches as f64 / window.as_secs_f64()),
    ));
    table.add(Row::new(
        "written to disk between heartbeats",
        "0 bytes",
        format!("{} bytes", used.written),
    ));
    edge.stop();
}

/// A steady load, far from the limit, and by turns a plain file at the same pace: a disk's mood changes.
fn latency(_: &Plan, directory: &Path, table: &mut Table) {
    let upstream = NullUpstream::start();
    let edge = Edge::start(directory, Some(&upstream));
    let load = Load::new(edge.port());
    load.paced(CONNECTIONS, 40.0, Duration::from_secs(2));
    upstream.wait_until_quiet();
    let (mut done, mut floor) = (Done::default(), Done::default());
    for _ in 0..4 {
        let bytes = upstream.stored_bytes_per_request();
        floor.add(disk::paced(directory, bytes, 40.0, Duration::from_secs(4)));
        done.add(load.paced(CONNECTIONS, 40.0, Duration::from_secs(5)));
    }
    edge.stop();
    let rows = [("p50", 0.5, "≤ 2 ms"), ("p99", 0.99, "≤ 15 ms")];
    for (name, part, target) in rows {
        table.add(
            Row::new(
                format!("latency at 2 000 records/s, {name}"),
                target,
                millis(done.latency(part)),
            )
            .floor(millis(floor.latency(part))),
        );
    }
}

/// Eight connections, each posting again as soon as it was answered, with an upstream that takes all.
fn full_load(_: &Plan, directory: &Path, table: &mut Table) {
    let upstream = NullUpstream::start();
    let edge = Edge::start(directory, Some(&upstream));
    let load = Load::new(edge.port());
    load.closed(CONNECTIONS, Duration::from_secs(1));
    let before = Meter::read(&edge);
    edge.forget_peak();
    let done = load.closed(CONNECTIONS, Duration::from_secs(10));
    let peak = edge.peak();
    let sent = u64::from(done.requests()) * RECORDS as u64;
    // What the edge still has to forward belongs to what these records cost.
    upstream.wait_until_quiet();
    let used = Meter::read(&edge).since(&before);
    sleep(Duration::from_secs(5));
    let after = edge.resident();
    edge.stop();
    let floor = disk::closed(
        directory,
        CONNECTIONS,
        upstream.stored_bytes_per_request(),
        Duration::from_secs(4),
    );
    let rate = done.rate() * RECORDS as f64;
    let floor_rate = floor.rate() * RECORDS as f64;
    table.add(
        Row::new(
            "closed loop, forwarding at the same time",
            "≥ 40 000 records/s",
            format!("{rate:.0} records/s, {:.2} of the floor", rate / floor_rate),
        )
        .floor(format!("{floor_rate:.0}")),
    );
    table.add(Row::new(
        "latency there, p50 and p99",
        "",
        format!(
            "{}, {}",
            millis(done.latency(0.5)),
            millis(done.latency(0.99))
        ),
    ));
    table.add(Row::new(
        "CPU per million records, in and out",
        "≤ 25 s",
        format!("{:.1} s", used.cpu.as_secs_f64() / sent as f64 * 1e6),
    ));
    table.add(Row::new(
        "memory at full load, peak",
        "≤ 64 MB",
        mebibytes(peak),
    ));
    table.add(Row::new("memory 5 s later", "", mebibytes(after)));
}
