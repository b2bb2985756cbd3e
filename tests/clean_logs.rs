//! What the daemon says of itself passes the same rules as the records.

use std::fs;
use std::process::Stdio;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;
use tokio::process::Command;

use crate::hot_reload::Edge;
use crate::support::eventually;
use crate::support::fieldpost::{command, edge_config};
use crate::support::upstream::Upstream;

const LOADED: &str = "the configuration was read again and is in force";

fn token() -> String {
    ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat()
}

/// Answers every record with `status` and words that hold a token and a badge.
async fn talkative(status: StatusCode) -> Upstream {
    let badge = badge();
    Upstream::judging(move |_| {
        let words = format!("cannot log in with {} of \"{badge}\"", token());
        Some((status, words).into_response())
    })
    .await
}

fn badge() -> String {
    ["acme", "-", "4f9c2b7d81e6"].concat()
}

/// A rule for badges.
fn rule(digits: usize) -> String {
    format!(
        "[[rule]]\nid = \"acme-badge\"\nkeywords = [\"acme-\"]\nregex = '(acme-[0-9a-f]{{{digits}}})'\n\
         examples = [\"acme-{{+}}0123456789ab\"]\nnon_examples = [\"acme-0123\"]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstreams_words_are_logged_without_their_secrets() {
    for (format, status) in [
        ("text", StatusCode::SERVICE_UNAVAILABLE),
        ("json", StatusCode::BAD_REQUEST),
    ] {
        let upstream = talkative(status).await;
        let directory = tempfile::tempdir().expect("a directory");
        let rules = directory.path().join("rules.toml");
        fs::write(&rules, rule(12)).expect("writable");
        let more = format!("[redact]\nrules = [\"{}\"]\n", rules.display());
        let variables = [("FIELDPOST_LOG_FORMAT", format), ("FIELDPOST_LOG", "debug")];
        let edge = Edge::start_with(&upstream.endpoint, &more, &variables).await;
        assert_eq!(edge.post(1).await.expect("an answer"), StatusCode::OK);
        let words = "cannot log in with [REDACTED:github-token] of ";
        edge.wait_for_log(words, 1).await;
        edge.wait_for_log("[REDACTED:acme-badge]", 1).await;
        let log = fs::read_to_string(edge.path().join("log")).expect("a log");
        assert!(!log.contains(&token()) && !log.contains(&badge()), "{log}");
        if format == "json" {
            for line in log.lines() {
                let line: Value = serde_json::from_str(line).expect("each line is an object");
                assert!(line["fields"]["message"].is_string(), "{line}");
            }
        }
        edge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstreams_address_is_logged_without_a_password_whatever_the_rules() {
    let upstream = Upstream::start().await;
    let endpoint = upstream
        .endpoint
        .replace("http://", "http://ada:open-sesame@");
    let more = "[redact]\nsecrets = false\n";
    let variables = [("FIELDPOST_LOG", "debug")];
    let edge = Edge::start_with(&endpoint, more, &variables).await;
    assert_eq!(edge.post(1).await.expect("an answer"), StatusCode::OK);
    edge.wait_for_log(&upstream.endpoint, 1).await;
    let log = fs::read_to_string(edge.path().join("log")).expect("a log");
    assert!(!log.contains("open-sesame"), "{log}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_rules_are_watched_and_a_bad_one_leaves_the_old_in_force() {
    let upstream = talkative(StatusCode::SERVICE_UNAVAILABLE).await;
    let directory = tempfile::tempdir().expect("a directory");
    let rules = directory.path().join("rules.toml");
    let write = |text: &str| {
        let beside = directory.path().join("rules.new");
        fs::write(&beside, text).expect("writable");
        fs::rename(beside, &rules).expect("writable");
    };
    // At the start, a bad rule is told and the edge runs.
    write(&rule(13));
    let more = format!("[redact]\nrules = [\"{}\"]\n", rules.display());
    let edge = Edge::start_with(&upstream.endpoint, &more, &[]).await;
    let told = format!(
        "{}:1: rule acme-badge: example 1 is not found",
        rules.display()
    );
    edge.wait_for_log(&told, 1).await;
    edge.wait_for_log("the other rules are in force", 1).await;

    write(&rule(12));
    edge.wait_for_log(LOADED, 1).await;
    // A bad rule in the place of one that is in force would let its secrets out.
    write(&rule(13));
    edge.wait_for_log("the old one stays in force", 1).await;
    edge.wait_for_log(&told, 2).await;
    write("[[rule]\n");
    edge.wait_for_log("the old one stays in force", 2).await;
    edge.wait_for_log("rules.toml:1: the rules are not valid TOML", 1)
        .await;
    assert_eq!(edge.post(1).await.expect("an answer"), StatusCode::OK);
    edge.wait_for_log("[REDACTED:acme-badge]", 1).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_file_may_be_renamed_at_any_time() {
    let folder = tempfile::tempdir().expect("a directory");
    let here = |name: &str| folder.path().join(name);
    let config = edge_config(folder.path(), "http://127.0.0.1:9/v1/logs", None, 0);
    fs::write(here("edge.toml"), config).expect("writable");
    let edge = command()
        .args(["edge", "run", "--config"])
        .arg(here("edge.toml"))
        .arg("--log-file")
        .arg(here("edge.log"))
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let pid = edge.id().expect("it runs").to_string();
    let said = async |name: &str, words: &str| {
        eventually(&format!("{words} in {name}"), async || {
            let log = fs::read_to_string(here(name)).unwrap_or_default();
            log.contains(words).then_some(())
        })
        .await;
    };
    said("edge.log", "edge started").await;
    fs::rename(here("edge.log"), here("edge.log.0")).expect("it is renamed");
    let signal = async |signal: &str| {
        let sent = Command::new("kill").args([signal, &pid]).status().await;
        assert!(sent.expect("kill runs").success());
    };
    signal("-HUP").await;
    said("edge.log", LOADED).await;
    let old = fs::read_to_string(here("edge.log.0")).expect("text");
    assert!(!old.contains(LOADED), "{old}");
    signal("-TERM").await;
    let output = edge.wait_with_output().await.expect("it ends");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    said("edge.log", "edge stopped").await;
}
