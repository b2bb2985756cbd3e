//! A configuration that changes while the edge runs.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::event::Attributes;
use fieldpost::otlp::Request;
use tokio::process::Child;

use crate::support::eventually;
use crate::support::fieldpost::{client, command, edge_config, free_port};
use crate::support::process::signal;
use crate::support::records::{claude_session, request};
use crate::support::upstream::{Upstream, hanging};

/// `fieldpost edge run` with a configuration that the test changes.
pub(crate) struct Edge {
    directory: tempfile::TempDir,
    port: u16,
    child: Child,
}

impl Edge {
    async fn start(endpoint: &str) -> Edge {
        Edge::start_with(endpoint, "", &[]).await
    }

    /// With `more` at the end of its configuration, and variables.
    pub(crate) async fn start_with(endpoint: &str, more: &str, variables: &[(&str, &str)]) -> Edge {
        let directory = tempfile::tempdir().expect("a directory");
        let port = free_port();
        let file = directory.path().join("edge.toml");
        let text = edge_config(directory.path(), endpoint, None, port);
        fs::write(&file, text + more).expect("writable");
        let log = fs::File::create(directory.path().join("log")).expect("writable");
        let child = command()
            .args(["edge", "run", "--config"])
            .arg(&file)
            .envs(variables.iter().copied())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the binary starts");
        let edge = Edge {
            directory,
            port,
            child,
        };
        eventually("the edge to answer", async || edge.post(0).await.ok()).await;
        edge
    }

    /// The configuration for `endpoint`, with `more` at its end, renamed into place.
    pub(crate) fn configure(&self, endpoint: &str, more: &str) {
        let text = edge_config(self.path(), endpoint, None, self.port);
        self.write(&format!("{text}{more}"));
    }

    fn write(&self, text: &str) {
        let beside = self.path().join("edge.toml.new");
        fs::write(&beside, text).expect("writable");
        fs::rename(beside, self.path().join("edge.toml")).expect("writable");
    }

    pub(crate) async fn post(&self, records: usize) -> Result<StatusCode, reqwest::Error> {
        post(self.port, records).await
    }

    /// Posts a body, and is told that its records are durable.
    pub(crate) async fn post_body(&self, body: &serde_json::Value) {
        let answer = send(self.port, body).await.expect("the edge answers");
        assert_eq!(answer, StatusCode::OK);
    }

    pub(crate) async fn wait_for_log(&self, words: &str, times: usize) {
        eventually(&format!("{words} {times} times in the log"), async || {
            let log = fs::read_to_string(self.path().join("log")).expect("a log");
            (log.matches(words).count() >= times).then_some(())
        })
        .await;
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("it was running");
    }
}

async fn post(port: u16, records: usize) -> Result<StatusCode, reqwest::Error> {
    static SESSIONS: AtomicUsize = AtomicUsize::new(0);
    let session = SESSIONS.fetch_add(1, Ordering::Relaxed).to_string();
    send(
        port,
        &request(&claude_session("ada@example.com", &session, records)),
    )
    .await
}

async fn send(port: u16, body: &serde_json::Value) -> Result<StatusCode, reqwest::Error> {
    let answer = client()
        .post(format!("http://127.0.0.1:{port}/v1/logs"))
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await?;
    Ok(answer.status())
}

/// The values of a resource attribute upstream.
fn resource_values(upstream: &Upstream, key: &str) -> BTreeSet<String> {
    let received = upstream.received();
    let resources = received
        .iter()
        .flat_map(|received| match &received.request {
            Request::Logs(logs) => logs.resource_logs.as_slice(),
            _ => &[],
        })
        .filter_map(|logs| logs.resource.as_ref());
    resources
        .filter_map(|resource| Attributes::new(&resource.attributes, &[]).text(key))
        .collect()
}

const LOADED: &str = "the configuration was read again and is in force";

#[tokio::test(flavor = "multi_thread")]
async fn changes_take_effect_under_load_and_no_request_is_lost() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (port, is_over) = (edge.port, Arc::clone(&is_over));
        async move {
            let mut sent = 0;
            while !is_over.load(Ordering::Relaxed) {
                assert_eq!(post(port, 2).await.expect("an answer"), StatusCode::OK);
                sent += 2;
            }
            sent
        }
    });
    for round in 1..=5 {
        let more = format!("[enrich.attributes]\nround = \"{round}\"\n");
        edge.configure(&upstream.endpoint, &more);
        eventually("records of this round", async || {
            let rounds = resource_values(&upstream, "round");
            rounds.contains(&round.to_string()).then_some(())
        })
        .await;
    }
    is_over.store(true, Ordering::Relaxed);
    let sent = load.await.expect("every request was answered with 200");
    eventually("every record upstream", async || {
        let uids: BTreeSet<String> = upstream.accepted("log.record.uid").into_iter().collect();
        (uids.len() == sent).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_told_line_by_line_and_the_old_one_stays() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint).await;
    edge.configure(
        &upstream.endpoint,
        "[enrich.attributes]\nround = \"good\"\n",
    );
    edge.wait_for_log(LOADED, 1).await;
    edge.write("[listen]\nmax_body = \"much\"\n[upstream]\nendpont = 1\n");
    edge.wait_for_log("the old one stays in force", 1).await;
    edge.wait_for_log("edge.toml:2: listen.max_body", 1).await;
    edge.wait_for_log("edge.toml:4: upstream.endpont", 1).await;
    // Nor does one count whose files cannot be used.
    edge.configure(
        &upstream.endpoint,
        "ca_file = \"/nowhere.pem\"\n[enrich.attributes]\nround = \"bad\"\n",
    );
    edge.wait_for_log("the old one stays in force", 2).await;
    edge.wait_for_log("/nowhere.pem", 1).await;

    assert_eq!(edge.post(2).await.expect("an answer"), StatusCode::OK);
    eventually("the records upstream", async || {
        (upstream.accepted("log.record.uid").len() == 2).then_some(())
    })
    .await;
    assert_eq!(
        resource_values(&upstream, "round"),
        BTreeSet::from(["good".to_owned()])
    );
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_one_upstream_goes_to_the_next() {
    let broken = Upstream::judging(|_| {
        let refusal = (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")]);
        Some(refusal.into_response())
    })
    .await;
    let good = Upstream::start().await;
    let edge = Edge::start(&broken.endpoint).await;
    assert_eq!(edge.post(3).await.expect("an answer"), StatusCode::OK);
    eventually("a refusal", async || {
        broken
            .received()
            .iter()
            .any(|received| !received.accepted)
            .then_some(())
    })
    .await;
    edge.configure(&good.endpoint, "");
    eventually("the records at the other upstream", async || {
        (good.accepted("log.record.uid").len() == 3).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_upstream_never_answered_goes_to_the_next() {
    let (first, good) = (Upstream::start().await, Upstream::start().await);
    let stuck = Upstream::judging(|_| Some(hanging())).await;
    let edge = Edge::start(&first.endpoint).await;
    edge.configure(&stuck.endpoint, "timeout = \"1s\"\n");
    edge.wait_for_log(LOADED, 1).await;
    assert_eq!(edge.post(3).await.expect("an answer"), StatusCode::OK);
    eventually("a request that is not answered", async || {
        (!stuck.accepted("log.record.uid").is_empty()).then_some(())
    })
    .await;
    edge.configure(&good.endpoint, "");
    eventually("the records at the other upstream", async || {
        (good.accepted("log.record.uid").len() == 3).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_change_and_what_cannot_is_said() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint).await;
    let text = edge_config(edge.path(), &upstream.endpoint, None, free_port());
    let text = text.replace(
        "[listen]\n",
        "[listen]\nmax_body = \"100B\"\nmax_connections = 1\n",
    );
    edge.write(&text.replace("/queue\"", "/elsewhere\""));
    edge.wait_for_log(LOADED, 1).await;
    edge.wait_for_log("take effect when the edge is restarted", 1)
        .await;
    edge.wait_for_log("listen.addresses, [queue]", 1).await;
    let answer = edge.post(2).await.expect("it listens where it did");
    assert_eq!(answer, StatusCode::PAYLOAD_TOO_LARGE);
    // More connections than one are served one after another, and again beside each other.
    edge.configure(&upstream.endpoint, "");
    edge.wait_for_log(LOADED, 2).await;
    assert_eq!(edge.post(2).await.expect("an answer"), StatusCode::OK);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_configuration_again() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint).await;
    for times in 1..=2 {
        signal(&edge.child, "-HUP").await;
        edge.wait_for_log(LOADED, times).await;
    }
    assert_eq!(edge.post(1).await.expect("an answer"), StatusCode::OK);
    edge.stop().await;
}
