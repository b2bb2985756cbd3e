//! How fast the central service is, and what it takes of a machine: `cargo bench --bench central`.
//!
//! Runs the release binary as users do, `fieldpost central run` with its defaults, and posts to it what
//! edges send: OTLP protobuf, zstd, 500 events of about 1.2 KB a request, each event with its identity.
//! Prints one table: what was aimed at, what was measured, and the bound that the database sets without
//! keys in the same run. It never fails by a figure: a busy machine, or a slow disk, is no fault of the
//! code.
//!
//! ```text
//! cargo bench --bench central                    all but five million, in some minutes
//! cargo bench --bench central -- sqlite postgres only these parts: what is stored, how fast, in how much
//! cargo bench --bench central -- lists           every list of the API and every page over
//!                                                a million events of a fleet, the lists beside those of a
//!                                                tenth; postgres-lists: the same on PostgreSQL
//! cargo bench --bench central -- five-million    five million events on each database, and the queries of
//!                                                the design's table over them, a quarter of an hour;
//!                                                five-million-sqlite, five-million-postgres: on one
//! ```
//! `FIELDPOST_BINARY` names another binary to measure. The data lie below `target`, so that the disk is a
//! real one, and are deleted at the end.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bound;
mod load;
#[path = "../../support/postgres.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of this")]
mod postgres;
mod five_million;
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

/// Requests whose time is taken.
const REQUESTS: usize = 600;

/// The parts, and whether each is measured unless others are named.
const PARTS: [(&str, bool); 6] = [
    ("sqlite", true),
    ("postgres", true),
    ("lists", true),
    ("postgres-lists", true),
    ("five-million-sqlite", false),
    ("five-million-postgres", false),
];

fn main() {
    // cargo adds `--bench` by itself.
    let named: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let is_named = |part: &str| named.iter().any(|it| it == part || is_group(it, part));
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("target is writable");
    let mut table = Table::new();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (part, is_usual) in PARTS {
        if !(is_named(part) || named.is_empty() && is_usual) {
            continue;
        }
        eprintln!("measuring: {part}");
        let folder = directory.path().join(part);
        std::fs::create_dir(&folder).expect("target is writable");
        let database = match part {
            "sqlite" | "lists" | "five-million-sqlite" => Database::Sqlite,
            _ => Database::postgres(),
        };
        runtime.block_on(async {
            match part {
                "lists" | "postgres-lists" => {
                    lists::measure(&database, &folder, &mut table).await;
                }
                "five-million-sqlite" | "five-million-postgres" => {
                    five_million::measure(&database, &folder, &mut table).await;
                }
                _ => measure(&database, &folder, &mut table).await,
            }
        });
        std::fs::remove_dir_all(&folder).expect("target is writable");
    }
    table.print();
}

/// Whether a name stands for a part on both databases.
fn is_group(name: &str, part: &str) -> bool {
    name == "five-million" && part.starts_with(name)
}

/// Everything about one database.
async fn measure(database: &Database, folder: &Path, table: &mut Table) {
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

    let before: Vec<_> = replicas.iter().map(Service::cpu).collect();
    let made = requests.make(REQUESTS);
    let events = made.len() * EVENTS;
    let time = load.closed(&made);
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
    let again = load.closed(&made);
    let rate = events as f64 / time.as_secs_f64();
    let share = format!("≥ 25 000 /s and ≥ {} x", database.share());
    table.add(
        Row::new(
            format!("{name}: {events} events stored"),
            share,
            format!("{rate:.0} /s, {:.2} x", rate / bound),
        )
        .floor(bound_words),
    );
    let rate_again = events as f64 / again.as_secs_f64();
    table.add(Row::new(
        format!("{name}: all of them sent again"),
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

    database.checkpoint();
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
