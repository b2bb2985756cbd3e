//! `fieldpost dev`: everything on one machine, again and again with the same data.

use reqwest::StatusCode;

use crate::support::fieldpost::{Dev, client};
use crate::support::wire;

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_fills_every_list() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &["--sample"]).await;
    let api = dev.api();
    let names = api.column("agents", "name").await;
    assert!(
        names.contains("Cowork/ada") && names.len() == 2,
        "{names:?}"
    );
    let tools = api.column("entities?kind=tool", "name").await;
    assert!(
        tools.contains("Bash") && tools.contains("Edit"),
        "{tools:?}"
    );
    assert!(!api.list("entities?kind=mcp_tool").await.is_empty());
    assert!(!api.list("entities?kind=model").await.is_empty());
    // The captures hold eleven sessions, one of them in two requests that resume each other.
    let sessions = api.list("sessions").await;
    let captured: std::collections::BTreeSet<String> = wire::all()
        .iter()
        .filter(|capture| capture.path().ends_with("logs") && capture.folder != "protobuf-gzip")
        .flat_map(|capture| {
            let request = fieldpost::otlp::Request::Logs(capture.logs());
            crate::support::upstream::attribute(&request, "session.id")
        })
        .collect();
    assert_eq!(sessions.len(), captured.len());
    for session in &sessions {
        let id = session["id"].as_str().expect("an id");
        assert!(!captured.contains(id), "ids are fresh");
        let started = session["started_at"].as_str().expect("a time");
        let started_at: jiff::Timestamp = started.parse().expect("a time");
        let age = jiff::Timestamp::now().duration_since(started_at);
        assert!(age.as_secs() < 48 * 3_600, "times are fresh: {started}");
    }
    // Secrets were taken out before anything reached a disk.
    let redacted: i64 = sessions
        .iter()
        .filter_map(|session| session["redaction_count"].as_i64())
        .sum();
    assert!(redacted > 0);
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_start_goes_on_with_the_same_data() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let first = Dev::start(data.path(), &["--sample"]).await;
    let sessions = first.api().list("sessions").await;
    let (key, header) = (
        first.address("api_key").to_owned(),
        first.address("authorization_header").to_owned(),
    );
    let machine = first.api().list("machines").await[0]["id"].clone();
    first.interrupt().await;

    let second = Dev::start(data.path(), &[]).await;
    assert_eq!(second.address("api_key"), key);
    assert_eq!(second.address("authorization_header"), header);
    assert_eq!(second.api().list("sessions").await, sessions);
    assert_eq!(second.api().list("machines").await[0]["id"], machine);
    second.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_loses_nothing_that_was_acknowledged() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;
    let address = dev.address("otlp").trim_start_matches("http://").to_owned();
    let capture = wire::folder("refactor").remove(0);
    assert_eq!(capture.send(&address, "/v1/logs", "none").await.status, 200);
    dev.interrupt().await;
    let again = Dev::start(data.path(), &[]).await;
    again
        .api()
        .wait_for_events("events", capture.records())
        .await;
    again.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_prints_works() {
    let data = tempfile::tempdir().expect("a temporary directory");
    let dev = Dev::start(data.path(), &[]).await;
    let empty = client()
        .post(dev.address("central_otlp"))
        .header("authorization", dev.address("authorization_header"))
        .header("content-type", "application/json")
        .body(r#"{"resourceLogs":[]}"#)
        .send()
        .await
        .expect("the service answers");
    assert_eq!(empty.status(), StatusCode::OK);
    let portal = client()
        .get(dev.address("portal"))
        .send()
        .await
        .expect("the portal answers");
    assert_eq!(portal.status(), StatusCode::OK);
    let page = dev.browser().await.get("/").await;
    assert_eq!(page.header("location"), "/t/default/default/");
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().expect("a temporary directory");
    Dev::start(data.path(), &[]).await.interrupt().await;
    for file in [
        "dev.json",
        "edge/token",
        "edge/edge.key",
        "central/signing-keys.json",
        "central/identity.key",
    ] {
        let path = data.path().join(file);
        let mode = path
            .metadata()
            .unwrap_or_else(|error| panic!("{file}: {error}"))
            .permissions();
        assert_eq!(mode.mode() & 0o077, 0, "{file}");
    }
    for folder in ["edge", "edge/queue", "central"] {
        let metadata = data.path().join(folder).metadata().expect("it was made");
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{folder}");
    }
}
