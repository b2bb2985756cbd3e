//! What became of records: the marked one of doctor's own, and those of others meanwhile.

use axum::http::StatusCode;
use axum::response::IntoResponse;

use crate::fleet::machine::Machine;
use crate::support::fieldpost::{client, free_port};
use crate::support::records::{claude_session, request};
use crate::support::upstream::{Received, Upstream, attribute};

/// Refuses what the session `bad` has sent.
async fn refusing() -> Upstream {
    Upstream::judging(|received: &Received| {
        let sessions = attribute(&received.request, "session.id");
        let is_bad = sessions.iter().any(|session| session == "bad");
        is_bad.then(|| StatusCode::BAD_REQUEST.into_response())
    })
    .await
}

async fn post(url: &str) -> StatusCode {
    let sent = client()
        .post(url)
        .header("content-type", "application/json")
        .body(request(&claude_session("ada@example.com", "bad", 1)).to_string());
    sent.send().await.expect("an answer").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn e21_follows_its_own_record_whatever_becomes_of_others() {
    let machine = Machine::new();
    let upstream = refusing().await;
    machine.configure(&upstream.endpoint, free_port());
    let edge = machine.edge(|text| text).await;
    let url = edge.logs();
    // Others are parked all the time.
    let others = tokio::spawn(async move {
        loop {
            post(&url).await;
        }
    });
    let said = machine.check("E21").await;
    others.abort();
    said.is_ok("the upstream has acknowledged it");
    // And what is parked is not lost.
    let said = machine.check("E10").await;
    said.is("warn", "parked", "parked list");
    machine.check("E09").await.is_ok("takes records");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e03_and_e21_show_the_local_token_that_clients_must_show() {
    let machine = Machine::new();
    let upstream = Upstream::start().await;
    machine.configure(&upstream.endpoint, free_port());
    machine.write("etc/fieldpost/local-token", "of-this-machine\n");
    machine.mode("etc/fieldpost/local-token", 0o600);
    let file = machine.path("etc/fieldpost/local-token");
    let line = format!("[listen]\nbearer_token_file = \"{}\"\n", file.display());
    let configured = machine.read("etc/fieldpost/edge.toml");
    machine.write(
        "etc/fieldpost/edge.toml",
        &configured.replace("[listen]\n", &line),
    );
    let edge = machine.edge(|text| text).await;
    assert_eq!(post(&edge.logs()).await, StatusCode::UNAUTHORIZED);
    machine.check("E03").await.is_ok("(200)");
    machine.check("E21").await.is_ok("acknowledged");
    // Whoever may not read it cannot show it.
    machine
        .check_as(1000, "E03")
        .await
        .is_skipped("local-token");
    edge.stop().await;
}
