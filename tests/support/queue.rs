//! A queue and records for it: each is known by its id, and is as large as asked for.

use std::{
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use fieldpost::{
    edge::{
        queue::{Batch, BatchLimits, Limits, Queue},
        redact::{Redacted, Redactor},
    },
    otlp::{
        ExportLogsServiceRequest, ExportMetricsServiceRequest, ExportTraceServiceRequest, Request,
    },
};
use opentelemetry_proto::tonic::{
    common::v1::any_value::Value,
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs},
    metrics::v1::{Metric, ResourceMetrics, ScopeMetrics},
    trace::v1::{ResourceSpans, ScopeSpans, Span},
};
use tempfile::TempDir;

pub(crate) fn open(directory: &Path) -> Queue {
    open_within(directory, Limits::default())
}

pub(crate) fn open_within(directory: &Path, limits: Limits) -> Queue {
    Queue::open(directory, limits).unwrap()
}

pub(crate) async fn append(queue: &Queue, ids: Range<u64>, bytes: usize) {
    queue.append(redacted(logs(ids, bytes))).await.unwrap();
}

/// A batch that must come.
pub(crate) async fn next(queue: &Queue) -> Batch {
    let batch = queue.next_batch(BatchLimits::default());
    tokio::time::timeout(Duration::from_secs(20), batch)
        .await
        .unwrap()
        .unwrap()
}

/// Takes and removes batches until the record `last` was in one.
pub(crate) async fn drain(queue: &Queue, last: u64) -> Vec<(u64, u64)> {
    let mut records = Vec::new();
    while records
        .last()
        .is_none_or(|record: &(u64, u64)| record.0 != last)
    {
        let batch = next(queue).await;
        records.extend(read(&batch));
        queue.remove(batch).await.unwrap();
    }
    records
}

/// Id and sequence number of each record.
pub(crate) fn read(batch: &Batch) -> Vec<(u64, u64)> {
    let Request::Logs(logs) = batch.decode().unwrap() else {
        panic!("not logs")
    };
    let scopes = logs
        .resource_logs
        .iter()
        .flat_map(|resource| &resource.scope_logs);
    let of = |record: &LogRecord| {
        let seq = record
            .attributes
            .iter()
            .find(|a| a.key == "fieldpost.edge.seq")
            .unwrap();
        match seq.value.as_ref().unwrap().value {
            Some(Value::IntValue(seq)) => (record.time_unix_nano, seq as u64),
            _ => panic!("the number is not a number"),
        }
    };
    scopes
        .flat_map(|scope| &scope.log_records)
        .map(of)
        .collect()
}

/// One record for each id, with so many bytes that do not compress, where redaction leaves bytes alone.
pub(crate) fn logs(ids: Range<u64>, bytes: usize) -> Request {
    let record = |id| LogRecord {
        time_unix_nano: id,
        trace_id: noise(id, bytes),
        ..LogRecord::default()
    };
    let scope = ScopeLogs {
        log_records: ids.map(record).collect(),
        ..ScopeLogs::default()
    };
    let resource = ResourceLogs {
        scope_logs: vec![scope],
        ..ResourceLogs::default()
    };
    Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![resource],
    })
}

pub(crate) fn metrics() -> Request {
    let scope = ScopeMetrics {
        metrics: vec![Metric::default()],
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics {
        scope_metrics: vec![scope],
        ..ResourceMetrics::default()
    };
    Request::Metrics(ExportMetricsServiceRequest {
        resource_metrics: vec![resource],
    })
}

pub(crate) fn traces() -> Request {
    let scope = ScopeSpans {
        spans: vec![Span::default()],
        ..ScopeSpans::default()
    };
    let resource = ResourceSpans {
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    Request::Traces(ExportTraceServiceRequest {
        resource_spans: vec![resource],
    })
}

pub(crate) fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut noise: Vec<u8> = std::iter::repeat_with(step)
        .take(bytes.div_ceil(8))
        .flatten()
        .collect();
    noise.truncate(bytes);
    noise
}

/// The directory as a process killed now would leave it.
pub(crate) fn copy(directory: &Path) -> TempDir {
    let copy = TempDir::new().unwrap();
    let mut files = files(directory);
    // The position last: it is saved before a segment behind it goes, and never the other way round.
    files.sort_by_key(|file| file.starts_with(directory.join("state.db")));
    for file in files {
        let to = copy.path().join(file.strip_prefix(directory).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        // The keeper may delete a drained segment meanwhile.
        if let Err(error) = fs::copy(&file, to) {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
    copy
}

pub(crate) fn flip(file: &Path, offset: u64) {
    let mut bytes = fs::read(file).unwrap();
    bytes[offset as usize] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut segments: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|e| e == "sled"))
        .collect();
    segments.sort();
    segments
}

pub(crate) fn blobs(directory: &Path) -> Vec<PathBuf> {
    let in_blobs = |path: &PathBuf| path.parent().unwrap().ends_with("blobs");
    files(directory).into_iter().filter(in_blobs).collect()
}

pub(crate) fn disk_bytes(directory: &Path) -> u64 {
    let allocated =
        |path: &PathBuf| std::os::unix::fs::MetadataExt::blocks(&fs::metadata(path).unwrap()) * 512;
    files(directory).iter().map(allocated).sum()
}

pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The one way to redacted records.
pub(crate) fn redacted(request: Request) -> Redacted {
    static REDACTOR: LazyLock<Redactor> = LazyLock::new(Redactor::builtin);
    REDACTOR.redact(request)
}
