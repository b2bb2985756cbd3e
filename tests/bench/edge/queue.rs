//! The queue alone, without the daemon around it.

use std::path::Path;
use std::time::{Duration, Instant};

use fieldpost::edge::queue::{Limits, Queue};
use fieldpost::edge::redact::{RedactConfig, Redactor};
use fieldpost::otlp::Request;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};

use super::disk;
use super::load::Done;
use super::table::{Row, Table, millis};

const PRODUCERS: usize = 16;
const VALUE_BYTES: usize = 20_000;
const TIME: Duration = Duration::from_secs(4);

/// Appends 20 KB after 20 KB to the queue of an edge that does not run, until it holds so many bytes.
pub(crate) fn fill(directory: &Path, bytes: u64) {
    let limits = Limits {
        max_bytes: bytes * 2,
        ..Limits::default()
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let queue = Queue::open(directory, limits).expect("its edge has ended");
    while queue.depth().bytes < bytes {
        runtime.block_on(append(&queue, Duration::from_secs(1)));
    }
    runtime.block_on(queue.close());
}

/// Sixteen producers of 20 KB that cannot be compressed, redacted before.
pub(crate) fn measure(directory: &Path, table: &mut Table) {
    let floor = disk::closed(directory, PRODUCERS, VALUE_BYTES, TIME);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let queue = Queue::open(&directory.join("queue"), Limits::default()).expect("a fresh queue");
    let done = runtime.block_on(append(&queue, TIME));
    runtime.block_on(queue.close());
    let again = disk::closed(directory, PRODUCERS, VALUE_BYTES, TIME);
    // The disk's mood changes within seconds: the mean of before and after.
    let floor_rate = (floor.rate() + again.rate()) / 2.0;
    table.add(
        Row::new(
            "queue alone, 16 producers of 20 KB",
            "≥ 0.60 of a plain file",
            format!(
                "{:.0} appends/s, {:.2} of it",
                done.rate(),
                done.rate() / floor_rate
            ),
        )
        .floor(format!("{floor_rate:.0}")),
    );
    table.add(
        Row::new(
            "latency there, p50 and p99",
            "",
            format!(
                "{}, {}",
                millis(done.latency(0.5)),
                millis(done.latency(0.99))
            ),
        )
        .floor(format!(
            "{}, {}",
            millis(floor.latency(0.5)),
            millis(floor.latency(0.99))
        )),
    );
}

async fn append(queue: &Queue, time: Duration) -> Done {
    // Made first: what is measured is the queue.
    let redactor = Redactor::new(&RedactConfig::default()).expect("the built-in rules compile");
    let appended: Vec<_> = (0..PRODUCERS)
        .map(|producer| redactor.redact(records(producer)))
        .collect();
    let start = Instant::now();
    let producers: Vec<_> = appended
        .into_iter()
        .map(|records| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut latencies = Vec::new();
                while start.elapsed() < time {
                    let begun = Instant::now();
                    queue
                        .append(records.clone())
                        .await
                        .expect("the disk has space");
                    latencies.push(begun.elapsed());
                }
                latencies
            })
        })
        .collect();
    let mut all = Vec::new();
    for producer in producers {
        all.extend(producer.await.expect("it does not panic"));
    }
    Done::new(all, start.elapsed())
}

/// One record of [`VALUE_BYTES`] without any pattern. They stand where an id does: elsewhere redaction takes
/// bytes that are no text out.
fn records(seed: usize) -> Request {
    let record = LogRecord {
        trace_id: disk::noise(seed, VALUE_BYTES),
        ..LogRecord::default()
    };
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![record],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    Request::Logs(request)
}
