//! One record from a client to the page, every hop asserted; and the same with everything killed in
//! the middle.

use std::collections::BTreeSet;

use fieldpost::otlp::Request;
use reqwest::StatusCode;
use serde_json::json;

use crate::support::chromium;
use crate::support::eventually;
use crate::support::fieldpost::{Dev, Pair, client};
use crate::support::upstream::attribute;
use crate::support::wire;

/// What Claude Code would post for one prompt.
fn one_record() -> String {
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "claude-code"}},
        ]},
        "scopeLogs": [{
            "scope": {"name": "com.anthropic.claude_code.events", "version": "2.1.197"},
            "logRecords": [{
                "timeUnixNano": "1795351565408000000",
                "body": {"stringValue": "claude_code.user_prompt"},
                "attributes": [
                    {"key": "user.email", "value": {"stringValue": "Grace@example.com"}},
                    {"key": "session.id", "value": {"stringValue": "session-one"}},
                    {"key": "prompt.id", "value": {"stringValue": "prompt-one"}},
                    {"key": "event.name", "value": {"stringValue": "user_prompt"}},
                    {"key": "event.sequence", "value": {"intValue": 1}},
                    {"key": "prompt", "value": {"stringValue": "Where does the meteor shower begin?"}},
                ],
            }],
        }],
    }]})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_travels_from_a_client_to_the_page() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;

    // The client posts to localhost and is told that its record is safe.
    let posted = client()
        .post(format!("{}/v1/logs", dev.address("otlp")))
        .header("content-type", "application/json")
        .body(one_record())
        .send()
        .await
        .expect("the edge answers");
    assert_eq!(posted.status(), StatusCode::OK);
    assert_eq!(
        posted.text().await.expect("a body"),
        r#"{"partialSuccess":{}}"#
    );

    // The edge forwards it; the service stores it once, with what the edge added.
    let api = dev.api();
    let event = api
        .wait_for_events("events?session=session-one", 1)
        .await
        .remove(0);
    assert_eq!(event["name"], "user_prompt");
    assert_eq!(event["type"], "user_message");
    assert_eq!(event["time"], "2026-11-22T12:46:05.408Z");
    assert_eq!(
        event["attributes"]["prompt"],
        "Where does the meteor shower begin?"
    );
    assert_eq!(event["id"], event["attributes"]["log.record.uid"]);
    assert_eq!(event["resource"]["service.name"], "claude-code");
    assert!(
        event["resource"]["host.name"].is_string(),
        "the edge names the host: {event}"
    );
    assert!(event["machine_seq"].as_i64().is_some_and(|seq| seq > 0));

    // The inventory is made from it.
    let agent = api.list("agents").await.remove(0);
    assert_eq!(agent["name"], "Cowork/grace");
    assert_eq!(agent["owner"], "grace@example.com");
    assert_eq!(agent["event_count"], 1);
    let session = api.get("sessions/session-one").await;
    assert_eq!(session["agent_name"], "Cowork/grace");
    assert_eq!(session["turns"][0]["prompt_id"], "prompt-one");
    assert_eq!(session["turns"][0]["events"][0]["id"], event["id"]);

    // A person reads it.
    let lent = dev.browser().await.lend().await;
    let portal = lent.url();
    let overview = chromium::dump_dom(&portal).await;
    assert!(overview.contains("Missing or at risk"), "{overview}");
    let agents = chromium::dump_dom(&format!("{portal}t/default/default/inventory/agents")).await;
    assert!(agents.contains("Cowork/grace"), "{agents}");
    let page = chromium::dump_dom(&format!("{portal}t/default/default/sessions/session-one")).await;
    assert!(
        page.contains("Where does the meteor shower begin?"),
        "{page}"
    );
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_arrives_once() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let Pair {
        mut central,
        mut edge,
        edge_port,
        api,
    } = Pair::start(data.path()).await;

    // The service is down; every captured request is acknowledged all the same; then the edge is
    // killed as well.
    central.kill().await;
    let mut acknowledged = BTreeSet::new();
    for capture in wire::all() {
        let answer = capture
            .send(&format!("127.0.0.1:{edge_port}"), capture.path(), "none")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if capture.signal() == fieldpost::otlp::Signal::Logs {
            acknowledged.extend(identities(&capture));
        }
    }
    edge.kill().await;

    // Both come back. Every acknowledged record is there, and none twice.
    central.start_again().await;
    edge.start_again().await;
    let arrived = api
        .wait_for_events("events?limit=1000", acknowledged.len())
        .await;
    let arrived_identities: BTreeSet<String> = arrived.iter().map(identity_of_event).collect();
    assert_eq!(arrived_identities, acknowledged);
    let machine = eventually("the numbers of all records", async || {
        let machine = api.list("machines").await.remove(0);
        (machine["stored"].as_i64() >= Some(acknowledged.len() as i64)).then_some(machine)
    })
    .await;
    assert_eq!(machine["missing"], 0, "no number is missing: {machine}");
}

/// What tells captured records apart: session, event, time and sequence.
fn identities(capture: &wire::Capture) -> Vec<String> {
    let request = Request::Logs(capture.logs());
    let keys = [
        "session.id",
        "event.name",
        "event.timestamp",
        "event.sequence",
    ];
    let columns = keys.map(|key| attribute(&request, key));
    (0..columns[0].len())
        .map(|row| {
            columns
                .iter()
                .map(|column| column[row].as_str())
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect()
}

fn identity_of_event(event: &serde_json::Value) -> String {
    format!(
        "{} {} {} {}",
        event["session_id"].as_str().unwrap_or_default(),
        event["name"].as_str().unwrap_or_default(),
        event["attributes"]["event.timestamp"]
            .as_str()
            .unwrap_or_default(),
        event["sequence"]
    )
}
