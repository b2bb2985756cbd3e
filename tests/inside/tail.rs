//! Records as they come, after redaction.

use std::process::Stdio;

use fieldpost::edge::control::client::Client;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

use super::{Edge, bulky};
use crate::support::eventually;
use crate::support::fieldpost::{TestEdge, command};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

/// Starts `fieldpost edge tail`, and waits until it watches.
async fn watch(edge: &Edge, arguments: &[&str]) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command()
        .args(["edge", "tail", "--socket"])
        .arg(edge.socket())
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let stderr = child.stderr.take().expect("piped");
    let said = BufReader::new(stderr).lines().next_line().await;
    let said = said.expect("readable").expect("a line");
    assert!(said.starts_with("watching"), "{said}");
    let stdout = child.stdout.take().expect("piped");
    (child, BufReader::new(stdout).lines())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_shown_as_they_are_stored() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    let (mut all, mut lines) = watch(&edge, &["--json", "--count", "5"]).await;
    let (mut some, mut prompts) = watch(&edge, &["--event", "user_prompt", "--count", "1"]).await;
    let mut records = claude_session("ada@example.com", "watched", 5);
    let secret = format!(
        "{}_{}",
        "ghp",
        "A1b2C3d4".repeat(5).get(..36).expect("long enough")
    );
    let prompt = format!("\u{1b}[31mred, with {secret}");
    records[0]
        .attributes
        .insert("prompt".to_owned(), Value::String(prompt));
    assert_eq!(edge.post_body("/v1/logs", &request(&records)).await, 200);

    let mut events = Vec::new();
    while let Some(line) = lines.next_line().await.expect("readable") {
        assert!(!line.contains(&secret), "redacted before it is shown");
        let record: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["session"], "watched", "{line}");
        assert!(record["attributes"]["log.record.uid"].is_string(), "{line}");
        assert!(record["resource"]["host.name"].is_string(), "{line}");
        events.push(record["event"].as_str().expect("text").to_owned());
    }
    let expected = [
        "user_prompt",
        "tool_decision",
        "tool_result",
        "api_request",
        "assistant_response",
    ];
    assert_eq!(events, expected);
    assert!(all.wait().await.expect("it ends").success());

    let line = prompts
        .next_line()
        .await
        .expect("readable")
        .expect("a line");
    assert!(
        line.contains(" user_prompt ada@example.com watched"),
        "{line}"
    );
    assert!(line.contains("[REDACTED:"), "{line}");
    assert!(!line.contains('\u{1b}'), "{line}");
    assert!(some.wait().await.expect("it ends").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_slows_nobody_and_is_told_what_it_missed() {
    const REQUESTS: u64 = 2_000;
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    // Connected, and reading nothing.
    let client = Client::new(edge.socket());
    let mut lines = client.lines("/tail").await.expect("root may watch");
    for number in 0..REQUESTS {
        let body = bulky(number, 4_000);
        assert_eq!(edge.post_body("/v1/logs", &body).await, 200);
    }
    let (mut shown, mut skipped) = (0, 0);
    while shown + skipped < REQUESTS {
        let line = lines.next().await.expect("the edge answers");
        let line: Value = serde_json::from_str(&line.expect("more lines")).expect("JSON");
        match line["skipped"].as_u64() {
            Some(records) => skipped += records,
            None => shown += 1,
        }
    }
    assert_eq!(shown + skipped, REQUESTS, "each is shown or counted");
    assert!(skipped > 0, "all of {REQUESTS} fit into the buffers");
    assert!(shown >= 512, "what the buffer holds is shown: {shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_does_not_keep_the_edge_from_stopping() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start().await;
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    let socket = directory.path().join("edge.sock");
    let client = Client::new(socket.clone());
    let mut lines = eventually("the socket", async || client.lines("/tail").await.ok()).await;
    edge.stop().await;
    assert_eq!(lines.next().await.expect("a whole answer"), None);
    assert!(!socket.exists(), "it goes with the edge");
}
