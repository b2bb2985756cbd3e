//! The upstream is away, and comes back.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::daemon::Edge;
use super::load::{Load, RECORDS};
use super::queue;
use super::table::{Row, Table, mebibytes};
use super::upstream::NullUpstream;

/// What is queued in the long form before the last start is timed.
const LONG_BYTES: u64 = 2_000_000_000;
const LONG_RECORDS: usize = 5_000_000;
const QUICK_RECORDS: usize = 250_000;

/// Queues records without an upstream, restarts, and drains into one.
pub(crate) fn measure(long: bool, directory: &Path, table: &mut Table) {
    let edge = Edge::start(directory, None);
    let load = Load::new(edge.port());
    let empty = edge.disk_bytes();
    let records = if long { LONG_RECORDS } else { QUICK_RECORDS };
    let requests = records / RECORDS;
    edge.forget_peak();
    let done = load.closed_count(super::CONNECTIONS, requests);
    let queued = grouped(records);
    table.add(Row::new(
        format!("closed loop until {queued} records wait"),
        "",
        format!("{:.0} records/s", done.rate() * RECORDS as f64),
    ));
    table.add(Row::new(
        format!("memory meanwhile, peak, up to {queued} records queued"),
        "≤ 64 MB",
        mebibytes(edge.peak()),
    ));
    let received = (requests * load.body_bytes()) as u64;
    let per_byte = (edge.disk_bytes() - empty) as f64 / received as f64;
    table.add(Row::new(
        "disk while queued, per byte received",
        "≤ 0.35",
        format!("{per_byte:.3}"),
    ));
    let waits = edge.disk_bytes();
    edge.stop();

    let upstream = NullUpstream::start();
    let edge = Edge::start(directory, Some(&upstream));
    table.add(Row::new(
        format!("start with {} queued", mebibytes(waits)),
        "≤ 300 ms",
        super::millis(edge.started_in),
    ));
    let took = upstream.wait_for((requests * RECORDS) as u64) + edge.started_in;
    table.add(Row::new(
        "drain into a null upstream",
        "≥ 50 000 records/s",
        format!(
            "{:.0} records/s",
            (requests * RECORDS) as f64 / took.as_secs_f64()
        ),
    ));
    table.add(Row::new(
        "memory while draining, peak",
        "≤ 64 MB",
        mebibytes(edge.peak()),
    ));
    sleep(Duration::from_secs(2));
    table.add(Row::new(
        "disk after the drain",
        "≤ 24 MB",
        mebibytes(edge.disk_bytes()),
    ));
    edge.stop();
    if long {
        start_with_much(directory, table);
    }
}

/// A start with two gigabytes queued, which come to the queue without an edge: as requests, they would take minutes.
fn start_with_much(directory: &Path, table: &mut Table) {
    queue::fill(&directory.join("queue"), LONG_BYTES);
    let edge = Edge::start(directory, None);
    table.add(Row::new(
        format!("start with {} queued", mebibytes(edge.disk_bytes())),
        "≤ 300 ms",
        super::millis(edge.started_in),
    ));
    edge.stop();
}

/// A number as people read it.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(" ")
}
