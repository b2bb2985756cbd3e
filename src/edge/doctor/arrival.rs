//! Proves that a record arrives: sends a marked one the way that Claude's go, and waits until the
//! upstream has acknowledged everything up to it.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;

use crate::edge::control::client::{Client, ClientError, Flush, ParkedItems, ParkedRecords};
use crate::edge::status::{State, Status};
use crate::event::{DOCTOR, Timestamp};
use crate::words::{plural, printable};

use super::finding::Finding;
use super::listener::{local_token, post};
use super::world::World;

/// Time for it to arrive.
const PATIENCE: Duration = Duration::from_secs(15);

/// Time for it where the upstream takes nothing before somebody has acted.
const HELD_PATIENCE: Duration = Duration::from_secs(5);

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// E21
pub(super) async fn arrival(world: &World) -> Finding {
    let client = world.control();
    let Ok(before) = client.get::<Status>("/status").await else {
        return Finding::skip("the edge is not running, or does not answer this account");
    };
    let Some(address) = before.listening.first() else {
        return Finding::skip("the edge listens nowhere");
    };
    let shown = match local_token(world) {
        Ok(shown) => shown,
        Err(finding) => return finding,
    };
    // What is parked later has a higher number.
    let parked = match newest_parked(client).await {
        Ok(parked) => parked,
        Err(error) => return Finding::skip(error.to_string()),
    };
    let mark = Uuid::new_v4().to_string();
    let (kind, host) = ("application/json", "localhost");
    let posted = post(*address, kind, host, shown.as_ref(), marked(&mark)).await;
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
            return judge(client, &before, &status, parked, &mark)
                .await
                .unwrap_or_else(|error| Finding::skip(error.to_string()));
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

/// All up to the record is settled: delivered, unless it was parked or lost. Others may have been meanwhile.
async fn judge(
    client: &Client,
    before: &Status,
    after: &Status,
    parked: Option<u64>,
    mark: &str,
) -> Result<Finding, ClientError> {
    let list: ParkedItems = client.get("/parked").await?;
    let since = list.items.iter().filter(|item| Some(item.id) > parked);
    for item in since {
        // One that was sent again meanwhile is not there any more.
        let path = format!("/parked/{}", item.id);
        let shown = client.get::<ParkedRecords>(&path).await;
        let records = shown.map_or_else(|_| Vec::new(), |shown| shown.records);
        if records.iter().any(|it| it.to_string().contains(mark)) {
            return Ok(Finding::fail(
                format!(
                    "the upstream did not store the record {mark}: {}",
                    printable(&item.reason)
                ),
                "`fieldpost edge parked list` says why",
            ));
        }
    }
    let lost = |status: &Status| status.lost_for_good().values().sum::<u64>();
    let lost = lost(after).saturating_sub(lost(before));
    Ok(match lost {
        0 => Finding::ok(format!(
            "the record {mark} was sent, and the upstream has acknowledged it"
        )),
        _ => Finding::warn(
            format!(
                "{} while the record {mark} was under way: whether it is among them is not known",
                plural(lost as usize, "record was lost", "records were lost")
            ),
            "E09 says why; then ask again",
        ),
    })
}

async fn newest_parked(client: &Client) -> Result<Option<u64>, ClientError> {
    let list: ParkedItems = client.get("/parked").await?;
    Ok(list.items.iter().map(|item| item.id).max())
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
