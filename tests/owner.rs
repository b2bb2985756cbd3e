//! Who posted: the account at the other end of a local connection, and how much it may post.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Stdio;

use fieldpost::event::Attributes;
use fieldpost::otlp::Request;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, TestEdge, client, edge_config};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

/// Debian's account that owns nothing.
const NOBODY: u32 = 65534;

/// Posts from a process of the account `nobody`, which takes root to start.
async fn post_as_nobody(url: &str, body: &Value) {
    let mut child = Command::new("setpriv");
    child
        .args(["--reuid", "65534", "--clear-groups", "--"])
        .args([
            "curl",
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "60",
            "--noproxy",
            "*",
        ])
        .args([
            "--header",
            "Content-Type: application/json",
            "--data",
            &body.to_string(),
        ])
        .arg(url)
        .stdin(Stdio::null());
    let output = child.output().await.expect("setpriv of util-linux starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "run the tests as root: {said}");
}

/// `session`'s records as a client sends them, with `resource` attributes of its own.
fn body(session: &str, resource: &[(&str, &str)]) -> Value {
    let mut body = request(&claude_session("ada@example.com", session, 2));
    let attributes: Vec<Value> = resource
        .iter()
        .map(|(key, value)| json!({"key": key, "value": {"stringValue": value}}))
        .collect();
    body["resourceLogs"][0]["resource"]["attributes"] = Value::Array(attributes);
    body
}

async fn start(directory: &Path) -> (TestCentral, TestEdge) {
    let central = TestCentral::start(&directory.join("central")).await;
    let installation = central.install().await;
    let edge_folder = directory.join("edge");
    std::fs::create_dir(&edge_folder).expect("the directory is writable");
    let edge = TestEdge::start(
        &edge_folder,
        &installation.endpoint,
        Some(&installation.authorization_header),
    )
    .await;
    (central, edge)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_says_which_account_posted_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let (central, edge) = start(directory.path()).await;
    let api = central.api().await;
    let own = uzers::get_current_uid();
    let own_name = uzers::get_user_by_uid(own).expect("whoever runs the tests has a name");

    post_as_nobody(
        &edge.logs(),
        &body("nobodys", &[("fieldpost.peer.uid", "0")]),
    )
    .await;
    post_as_nobody(
        &edge.logs(),
        &body("claimed", &[("process.owner", "grace")]),
    )
    .await;
    for session in ["mine", "mine-again"] {
        let answer = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(body(session, &[]).to_string())
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(answer.status(), 200);
    }
    let own_name = own_name.name().to_string_lossy();
    for (session, uid, name) in [
        ("nobodys", NOBODY, "nobody"),
        // What a client says of itself stays; the uid is what the edge saw.
        ("claimed", NOBODY, "grace"),
        ("mine", own, own_name.as_ref()),
        ("mine-again", own, own_name.as_ref()),
    ] {
        let events = api
            .wait_for_events(&format!("events?session={session}"), 2)
            .await;
        for event in events {
            let whole = api
                .get(&format!("events/{}", event["id"].as_str().expect("an id")))
                .await;
            let resource = &whole["resource"];
            assert_eq!(resource["fieldpost.peer.uid"], uid, "{session}: {whole}");
            assert_eq!(resource["process.owner"], *name, "{session}: {whole}");
        }
    }
    edge.stop().await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_is_known_over_ipv6_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start().await;
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0)
        .replace("127.0.0.1:0", "[::1]:0");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post_as_nobody(&edge.logs(), &body("over-ipv6", &[])).await;
    let owner = eventually("the records upstream", async || {
        let received = upstream.received();
        let mut resources = received
            .iter()
            .flat_map(|received| match &received.request {
                Request::Logs(logs) => logs.resource_logs.clone(),
                _ => Vec::new(),
            });
        resources.find_map(|logs| {
            let resource = logs.resource.unwrap_or_default().attributes;
            Attributes::new(&resource, &[]).text("process.owner")
        })
    })
    .await;
    assert_eq!(owner, "nobody");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_keeps_its_connections_leaves_some_for_the_others() {
    let directory = tempfile::tempdir().expect("a directory");
    let upstream = Upstream::start().await;
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0).replace(
        "[listen]\n",
        "[listen]\nmax_connections = 8\nheader_timeout = \"1h\"\n",
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    let mut silent = Vec::new();
    for _ in 0..7 {
        let connected = TcpStream::connect(edge.address).await;
        silent.push(connected.expect("it listens"));
    }
    eventually("the seventh to be closed", async || {
        let closed = silent
            .iter()
            .filter(|stream| !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock));
        (closed.count() == 1).then_some(())
    })
    .await;
    let own = uzers::get_current_uid();
    let crowded_out = edge.gauges.intake.untaken().crowded_out;
    assert_eq!(crowded_out, [(Some(own), 1)].into());
    post_as_nobody(&edge.logs(), &body("nobodys", &[])).await;
    drop(silent);
    eventually("places to be free again", async || {
        let answer = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(body("mine", &[]).to_string())
            .send();
        answer.await.ok().filter(|answer| answer.status() == 200)
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_above_its_quota_waits_and_the_others_do_not() {
    let own = uzers::get_current_uid();
    for quota in ["records_per_second = 1", "bytes_per_second = \"10B\""] {
        let directory = tempfile::tempdir().expect("a directory");
        let upstream = Upstream::start().await;
        let config = edge_config(directory.path(), &upstream.endpoint, None, 0)
            .replace("[listen]\n", &format!("[listen]\n{quota}\n"));
        let edge = TestEdge::start_with(directory.path(), &config).await;
        // What comes at once is taken, and made up for.
        let records = claude_session("ada@example.com", "mine", 500);
        edge.post(&records).await;
        let answer = client()
            .post(edge.logs())
            .header("content-type", "application/json")
            .body(request(&records[..1]).to_string())
            .send()
            .await
            .expect("the edge answers");
        assert_eq!(answer.status(), 429);
        let wait = answer.headers()["retry-after"].to_str().expect("text");
        let wait: u64 = wait.parse().expect("seconds");
        assert!((200..100_000).contains(&wait), "{wait}");
        let message = answer.text().await.expect("a body");
        assert!(message.contains("listen.records_per_second"), "{message}");
        post_as_nobody(&edge.logs(), &body("nobodys", &[])).await;
        let over_quota = edge.gauges.intake.untaken().over_quota;
        assert_eq!(over_quota, [(Some(own), 1)].into());
        let sessions = eventually("what was taken", async || {
            let sessions = upstream.accepted("session.id");
            (sessions.len() == 502).then_some(sessions)
        })
        .await;
        let nobodys = sessions.iter().filter(|session| *session == "nobodys");
        assert_eq!(nobodys.count(), 2);
        edge.stop().await;
    }
}
