//! The queue's segments, and whether they are whole.

use std::fs;
use std::path::Path;

use fieldpost::edge::queue::{Limits, Reason};
use serde_json::Value;
use tempfile::TempDir;

use super::{Edge, bulky, refusal, run};
use crate::support::fieldpost::edge_config;
use crate::support::queue::{
    append, files, flip, logs, next, open, open_within, redacted, segments,
};
use crate::support::upstream::Upstream;

/// Everything below a directory, byte for byte.
fn contents(directory: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = files(directory);
    files.sort();
    let read = |file: std::path::PathBuf| {
        let bytes = fs::read(&file).expect("readable");
        (file, bytes)
    };
    files.into_iter().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_edge_lists_and_verifies_its_queue() {
    let upstream = Upstream::judging(|_| refusal(503, "maintenance")).await;
    let edge = Edge::start_with(&upstream.endpoint, None, |config| {
        config.replace("[queue]\n", "[queue]\nmax_bytes = \"4MiB\"\n")
    })
    .await;
    for seed in 0..20 {
        let body = bulky(seed, 100_000);
        assert_eq!(edge.post_body("/v1/logs", &body).await, 200);
    }
    let list = edge.json(&["queue", "ls", "--json"]).await;
    let listed = list["segments"].as_array().expect("a list");
    assert!(listed.len() > 1, "{list}");
    assert_eq!(listed.last().expect("one")["is_open"], true, "{list}");
    let records: u64 = listed
        .iter()
        .map(|segment| segment["records"].as_u64().expect("a number"))
        .sum();
    assert!(records >= 20, "{list}");
    let ran = edge.run(&["queue", "ls"]).await;
    assert!(ran.stdout.contains("being written"), "{ran:?}");
    assert_eq!(ran.stdout.lines().count(), listed.len() + 2, "{ran:?}");

    let verified = edge.json(&["queue", "verify", "--json"]).await;
    assert_eq!(verified["whole"], true, "{verified}");
    assert!(verified["records"].as_u64() >= Some(records), "{verified}");
    let ran = edge.run(&["queue", "verify"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("all are whole"), "{ran:?}");
}

/// A queue that no edge has, of several segments with 40 records.
async fn idle() -> TempDir {
    let directory = TempDir::new().expect("a directory");
    let limits = Limits {
        max_bytes: 4 << 20,
        ..Limits::default()
    };
    let queue = open_within(&directory.path().join("queue"), limits);
    for id in 0..40 {
        append(&queue, id..id + 1, 50_000).await;
    }
    let batch = next(&queue).await;
    queue.remove(batch).await.expect("settled");
    queue.close().await;
    let config = edge_config(directory.path(), "http://127.0.0.1:1/v1/logs", None, 0);
    fs::write(directory.path().join("edge.toml"), config).expect("writable");
    directory
}

async fn json(directory: &TempDir, arguments: &[&str]) -> (Option<i32>, Value) {
    let ran = run(&directory.path().join("edge.toml"), arguments).await;
    let value = serde_json::from_str(&ran.stdout);
    (
        ran.code,
        value.unwrap_or_else(|_| panic!("{arguments:?}: {ran:?}")),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_on_disk_is_found_and_nothing_is_changed() {
    let directory = idle().await;
    let queue = directory.path().join("queue");
    let before = contents(&queue);
    let (code, list) = json(&directory, &["queue", "ls", "--json"]).await;
    assert_eq!(code, Some(0));
    let listed = list["segments"].as_array().expect("a list").len();
    assert_eq!(listed, segments(&queue).len(), "{list}");
    assert!(listed >= 3, "{list}");
    let (code, whole) = json(&directory, &["queue", "verify", "--json"]).await;
    assert_eq!(
        (code, &whole["whole"]),
        (Some(0), &Value::Bool(true)),
        "{whole}"
    );
    assert_eq!(contents(&queue), before, "looking changes nothing");

    let hurt = segments(&queue).swap_remove(1).join("db");
    // Within a value, which is most of the file.
    flip(&hurt, 100_000);
    let before = contents(&queue);
    let (code, found) = json(&directory, &["queue", "verify", "--json"]).await;
    assert_eq!(
        (code, &found["whole"]),
        (Some(1), &Value::Bool(false)),
        "{found}"
    );
    let checks = found["segments"].as_array().expect("a list");
    let damaged: Vec<bool> = checks
        .iter()
        .map(|check| check["damaged"] != Value::Array(Vec::new()))
        .collect();
    let expected: Vec<bool> = (0..listed).map(|segment| segment == 1).collect();
    assert_eq!(damaged, expected, "{found}");
    assert!(
        found["records"].as_u64() < whole["records"].as_u64(),
        "{found}"
    );
    assert_eq!(contents(&queue), before, "looking changes nothing");
    let ran = run(&directory.path().join("edge.toml"), &["queue", "verify"]).await;
    assert!(ran.stdout.contains("damaged, from "), "{ran:?}");

    // An edge that starts on it goes on all the same.
    let queue = open(&queue);
    assert!(queue.depth().records > 0);
    queue.close().await;
}

#[tokio::test]
async fn losses_are_counted_where_nobody_is_told_their_numbers() {
    let directory = TempDir::new().expect("a directory");
    let queue = open(directory.path());
    let park = async |id: u64| {
        let parked = fieldpost::edge::queue::Parked {
            reason: "refused".to_owned(),
            status: None,
            request: logs(id..id + 2, 10),
        };
        queue.park(parked).await.expect("parked");
    };
    append(&queue, 0..2, 10).await;
    let batch = next(&queue).await;
    let parked = fieldpost::edge::queue::Parked {
        reason: "refused".to_owned(),
        status: None,
        request: batch.decode().expect("OTLP"),
    };
    queue.park(parked).await.expect("parked");
    queue.remove(batch).await.expect("settled");
    assert_eq!(queue.losses(9).ranges.len(), 1);
    queue.count_losses_only();
    assert_eq!(queue.losses(9).ranges, []);
    park(10).await;
    let losses = queue.losses(9);
    assert_eq!(losses.ranges, []);
    assert_eq!(losses.counts[&Reason::Parked], 4);
    assert_eq!(queue.parked_totals().await.expect("readable"), (2, 4));
    assert!(queue.append(redacted(logs(0..1, 10))).await.is_ok());
    queue.close().await;
    assert!(queue.takes_records().is_err());
}
