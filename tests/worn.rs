//! A disk that cannot read some places any more: what stood there is lost and told, and nothing else; the
//! daemon starts and goes on.
//!
//! Such a disk is simulated: `worn/bad_sector.c` is preloaded into the daemon.

use std::fs;
use std::path::{Path, PathBuf};

use fieldpost::edge::queue::Reason;
use fieldpost::otlp::Request;
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::fieldpost::{Service, edge_config, folder, free_port};
use crate::support::preload::Preload;
use crate::support::queue::{append, noise, open, segments};
use crate::support::upstream::Upstream;

const RECORDS: u64 = 20;
const RECORD_BYTES: usize = 1_000_000;

/// A closed queue of three segments.
async fn three_segments(directory: &Path) {
    let queue = open(directory);
    for id in 0..RECORDS {
        append(&queue, id..id + 1, RECORD_BYTES).await;
    }
    queue.close().await;
    assert_eq!(segments(directory).len(), 3);
}

/// Where in a segment's file a page begins that holds a part of this record.
fn page_of(file: &Path, id: u64) -> u64 {
    let text = noise(id, RECORD_BYTES)[500_000..500_032].to_vec();
    let bytes = fs::read(file).unwrap();
    let at = bytes.windows(32).position(|bytes| bytes == text);
    at.expect("it is stored as it is") as u64 / 4096 * 4096
}

/// Ids of the records that have arrived.
fn arrived(upstream: &Upstream) -> Vec<u64> {
    let received = upstream.received().into_iter();
    let logs = received.filter_map(|received| match received.request {
        Request::Logs(logs) => Some(logs.resource_logs),
        _ => None,
    });
    let scopes = logs.flatten().flat_map(|resource| resource.scope_logs);
    let records = scopes.flat_map(|scope| scope.log_records);
    let ids = records.map(|record| record.time_unix_nano);
    let mut ids: Vec<u64> = ids.filter(|id| *id < RECORDS).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_the_disk_cannot_read_costs_what_stood_there_and_stops_nothing() {
    let preload = Preload::build("worn/bad_sector.c").await;
    // In a segment that was being written when the daemon was killed, and in one that was full.
    for (segment, is_sealed, hit) in [(2, false, RECORDS - 2), (1, true, 12), (0, true, 2)] {
        let directory = TempDir::new().unwrap();
        let queue = folder(directory.path(), "queue");
        three_segments(&queue).await;
        let segment = segments(&queue).remove(segment);
        if !is_sealed {
            fs::remove_file(segment.join("info")).unwrap();
        }
        let file = segment.join("db");
        let bad_at = page_of(&file, hit).to_string();
        let upstream = Upstream::start().await;
        let port = free_port();
        let config = edge_config(directory.path(), &upstream.endpoint, None, port);
        let environment = [
            preload.variable(),
            ("FIELDPOST_BAD_FILE", file),
            ("FIELDPOST_BAD_AT", PathBuf::from(bad_at)),
        ];
        let mut edge =
            Service::start_in("edge", directory.path(), &config, port, &environment).await;
        let others: Vec<u64> = (0..RECORDS).filter(|id| *id != hit).collect();
        eventually("all records but the one that was hit", async || {
            (arrived(&upstream) == others).then_some(())
        })
        .await;
        edge.terminate().await;
        let losses = open(&queue).losses(usize::MAX);
        assert_eq!(losses.counts, [(Reason::Damaged, 1)].into(), "{losses:?}");
    }
}
