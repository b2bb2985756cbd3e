//! How fast the central service is, and what it takes of a machine: `cargo bench --bench central`.
//!
//! Runs the release binary as users do, `fieldpost central run` with its defaults, and posts to it what
//! edges send: OTLP protobuf, zstd, 500 events of about 1.2 KB a request, each event with its identity.
//! Prints one table: what was aimed at, what was measured, and the bound that the database sets without
//! keys in the same run. It never fails by a figure: a busy machine, or a slow disk, is no fault of the
//! code.
//!
//! ```text
//! cargo bench --bench central                    a few minutes
//! cargo bench --bench central -- sqlite          only these parts: sqlite, postgres, lists, postgres-lists
//! cargo bench --bench central -- lists           every list of the API and every page over a million events
//!                                                of a fleet; the lists beside those of a tenth
//! cargo bench --bench central -- --long          with 5 million events, and queries over them
//! ```
//! `FIELDPOST_BINARY` names another binary to measure. The data lie below `target`, so that the disk is a
//! real one, and are deleted at the end.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bound;
mod load;
#[path = "../../support/postgres.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of this")]
mod postgres;
mod queries;
mod lists;
mod pages;
#[path = "../records.rs"]
mod records;
mod service;
#[path = "../edge/table.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of this")]
mod table;

use std::path::Path;
use std::time::Duration;

use load::{EVENTS, Load, Requests};
use service::{Database, Service};
use table::{Row, Table, mebibytes, millis};

/// How long something may take that happens by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests of the short form.
const SHORT: usize = 600;

/// Requests of the long form: five million events.
const LONG: usize = 10_000;

fn main() {
    // cargo adds `--bench` by itself.
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let is_long = arguments.iter().any(|argument| argument == "--long");
    let parts: Vec<&String> = arguments
        .iter()
        .filter(|it| !it.starts_with("--"))
        .collect();
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target is writable");
    let mut table = Table::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for part in ["sqlite", "postgres", "lists", "postgres-lists"] {
        if !parts.is_empty() && !parts.iter().any(|name| *name == part) {
            continue;
        }
        eprintln!("measuring: {part}");
        let folder = directory.path().join(part);
        std::fs::create_dir(&folder).expect("target is writable");
        let database = match part {
            "sqlite" | "lists" => Database::Sqlite,
            _ => Database::postgres(),
        };
        match part {
            "lists" | "postgres-lists" => {
                runtime.block_on(lists::measure(&database, &folder, &mut table));
            }
            _ => runtime.block_on(measure(&database, &folder, is_long, &mut table)),
        }
        std::fs::remove_dir_all(&folder).expect("target is writable");
    }
    table.print();
}

/// Everything about one database.
async fn measure(database: &Database, folder: &Path, is_long: bool, table: &mut Table) {
    let name = database.name();
    let bound = match database {
        Database::Sqlite => bound::sqlite(folder),
        Database::Postgres { .. } => bound::postgres(&database.url("bound")).await,
    };
    let bound_words = format!("{bound:.0} /s {}", database.bound_is());
    let replicas = database.start(folder);
    let token = replicas[0].install();
    let load = Load::new(&replicas, &token);

    // Some at first, so that there is a dictionary, as there is after the first minutes of a service.
    let mut requests = Requests::new(1);
    load.closed(&requests.make(10));
    std::thread::sleep(Duration::from_secs(8));

    let count = if is_long { LONG } else { SHORT };
    let before: Vec<_> = replicas.iter().map(Service::cpu).collect();
    let mut events = 0;
    let mut seconds = 0.0;
    let mut again = (0, 0.0);
    // Made in pieces, for all of them do not fit into memory.
    for piece in 0..count.div_ceil(SHORT) {
        let made = requests.make(SHORT.min(count));
        let time = load.closed(&made);
        events += made.len() * EVENTS;
        seconds += time.as_secs_f64();
        if piece == 0 {
            let cpu: f64 = replicas
                .iter()
                .zip(&before)
                .map(|(it, before)| it.cpu() - before)
                .sum();
            let each = cpu * 1e6 / events as f64;
            table.add(Row::new(
                format!("{name}: CPU of our process, events just stored"),
                "≤ 40 µs",
                format!("{each:.1} µs"),
            ));
            let time = load.closed(&made);
            again = (made.len() * EVENTS, time.as_secs_f64());
        }
    }
    let rate = events as f64 / seconds;
    let share = format!("≥ 25 000 /s and ≥ {} x", database.share());
    table.add(
        Row::new(
            format!("{name}: {events} events stored"),
            share,
            format!("{rate:.0} /s, {:.2} x", rate / bound),
        )
        .floor(bound_words),
    );
    let rate_again = again.0 as f64 / again.1;
    table.add(Row::new(
        format!("{name}: {} of them sent again", again.0),
        "as fast, no row",
        format!(
            "{rate_again:.0} /s, {} rows more",
            database.count(folder) - (events + 10 * EVENTS) as i64
        ),
    ));
    let peak = replicas.iter().map(Service::peak).max().unwrap_or(0);
    table.add(Row::new(
        format!("{name}: most memory of a process"),
        "≤ 256 MB",
        mebibytes(peak),
    ));

    let latency = load.paced(&mut requests, 5_000);
    table.add(Row::new(
        format!("{name}: acknowledgement at 5 000 events/s, p99"),
        "≤ 100 ms",
        millis(latency),
    ));

    let waited = database.wait_for_index(folder);
    table.add(Row::new(
        format!("{name}: text index behind at the end"),
        "",
        format!("{:.1} s", waited.as_secs_f64()),
    ));
    let stored = database.count(folder);
    if is_long {
        queries::measure(database, &replicas[0], table).await;
    }
    for replica in replicas {
        replica.stop();
    }
    database.tell_sizes(stored);
    let bytes = database.bytes(folder) as f64 / stored as f64;
    table.add(Row::new(
        format!("{name}: disk, with the text index"),
        "≤ 600 bytes/event",
        format!("{bytes:.0} bytes"),
    ));
}
