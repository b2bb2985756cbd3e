//! Proves that a record arrives: sends a marked one the way that Claude's go, and waits until the
//! upstream has acknowledged everything up to it.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::edge::control::client::Flush;
use crate::edge::status::{State, Status};
use crate::event::{DOCTOR, Timestamp};

use super::finding::Finding;
use super::listener::post;
use super::world::World;

/// Time for it to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time for it where the upstream takes nothing before somebody has acted.
const HELD_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// E21
pub(super) async fn arrival(world: &World) -> Finding {
    let Some(before) = world.status().await else {
        return Finding::skip("the edge is not running, or does not answer this account");
    };
    let Some(address) = before.listening.first() else {
        return Finding::skip("the edge listens nowhere");
    };
    let mark = Uuid::new_v4().to_string();
    let posted = post(*address, "application/json", "localhost", marked(&mark)).await;
    let refusal = match posted {
        Ok(200) => None,
        Ok(status) => Some(format!("it answered {status}")),
        Err(words) => Some(words),
    };
    if let Some(words) = refusal {
        return Finding::fail(
            format!("the edge did not take a record: {words}"),
            "E03 says how it answers",
        );
    }
    let client = world.control();
    let flush: Flush = match client.post("/flush").await {
        Ok(flush) => flush,
        Err(error) => return Finding::skip(error.to_string()),
    };
    let began = tokio::time::Instant::now();
    loop {
        let status: Status = match client.get("/status").await {
            Ok(status) => status,
            Err(error) => return Finding::skip(error.to_string()),
        };
        if status.queue.next_entry >= flush.until {
            return judge(before, &status, &mark);
        }
        let patience = match status.upstream.state {
            State::Holding => HELD_PATIENCE,
            _ => PATIENCE,
        };
        if began.elapsed() >= patience {
            let problem = status.problems.first().cloned();
            let problem = problem.unwrap_or_else(|| "it is still under way".to_owned());
            return Finding::fail(
                format!(
                    "the record {mark} was not acknowledged within {} s: {problem}",
                    patience.as_secs()
                ),
                "it waits on disk and goes later; E06 and E07 look at the upstream",
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// All up to the record is settled: delivered, unless it was parked or lost.
fn judge(before: &Status, after: &Status, mark: &str) -> Finding {
    let parked = |status: &Status| status.parked.map_or(0, |parked| parked.records);
    let lost = |status: &Status| status.lost_since_start.values().sum::<u64>();
    if parked(after) > parked(before) || lost(after) > lost(before) {
        return Finding::fail(
            format!("the upstream did not store the record {mark}"),
            "`fieldpost edge parked list` says why",
        );
    }
    Finding::ok(format!(
        "the record {mark} was sent, and the upstream has acknowledged it"
    ))
}

/// The request that carries the record.
fn marked(mark: &str) -> String {
    let now = Timestamp::now().0.to_string();
    let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
    let record = json!({
        "timeUnixNano": now,
        "observedTimeUnixNano": now,
        "body": {"stringValue": DOCTOR},
        "attributes": [text("event.name", DOCTOR), text("fieldpost.mark", mark)],
    });
    let request = json!({"resourceLogs": [{
        "resource": {"attributes": [text("service.name", "fieldpost-edge")]},
        "scopeLogs": [{"scope": {"name": "fieldpost.edge"}, "logRecords": [record]}],
    }]});
    request.to_string()
}
