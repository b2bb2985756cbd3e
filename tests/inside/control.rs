//! Who may ask what, parked records, and flush.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tokio::process::Command;

use super::{Edge, Ran, refusal, sessions};
use crate::support::eventually;
use crate::support::upstream::Upstream;

/// Runs `fieldpost edge` as the account `nobody`, which takes root.
async fn as_nobody(socket: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--clear-groups", "--"])
        .arg(env!("CARGO_BIN_EXE_fieldpost"))
        .arg("edge")
        .args(arguments)
        .arg("--socket")
        .arg(socket)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("setpriv of util-linux starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("own directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_sees_how_the_edge_is_and_no_records() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    set_mode(edge.path(), 0o755);
    let ran = as_nobody(&edge.socket(), &["status"]).await;
    assert!(ran.stdout.starts_with("all well"), "{ran:?}");
    let ran = as_nobody(&edge.socket(), &["queue", "ls"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for arguments in [
        &["tail"][..],
        &["parked", "list"],
        &["parked", "show", "1"],
        &["parked", "send", "--all"],
        &["parked", "drop", "1"],
        &["queue", "verify"],
        &["flush"],
    ] {
        let ran = as_nobody(&edge.socket(), arguments).await;
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("is only for root"), "{ran:?}");
        assert!(ran.stderr.contains("control.group"), "{ran:?}");
    }
    set_mode(edge.path(), 0o700);
    let ran = as_nobody(&edge.socket(), &["status"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("may not connect"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_the_group_are_operators() {
    let upstream = Upstream::start().await;
    let edge = Edge::start_with(&upstream.endpoint, None, |config| {
        format!("{config}[control]\ngroup = \"nogroup\"\n")
    })
    .await;
    set_mode(edge.path(), 0o755);
    let ran = as_nobody(&edge.socket(), &["parked", "list"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(ran.stdout, "nothing is parked\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_socket_gives_way_and_nothing_else_does() {
    let upstream = Upstream::start().await;
    let mut edge = Edge::start(&upstream.endpoint, None).await;
    edge.status().await;
    edge.service.kill().await;
    assert!(edge.socket().exists(), "left behind");
    let ran = edge.run(&["status"]).await;
    assert!(ran.stderr.contains("no edge is running here"), "{ran:?}");
    edge.service.start_again().await;
    edge.status().await;

    // Something that answers, and something that is no socket, stay; records are taken all the same.
    edge.service.kill().await;
    std::fs::remove_file(edge.socket()).expect("stale");
    let other = UnixListener::bind(edge.socket()).expect("a socket");
    edge.service.start_again().await;
    assert_eq!(edge.post("without-socket", 1).await, 200);
    other.set_nonblocking(true).expect("a socket");
    let found = eventually("the edge's question", async || other.accept().ok()).await;
    drop(found);
    edge.service.kill().await;
    drop(other);
    std::fs::remove_file(edge.socket()).expect("ours");
    std::fs::write(edge.socket(), "somebody's").expect("writable");
    edge.service.start_again().await;
    assert_eq!(edge.post("without-socket", 1).await, 200);
    let left = std::fs::read_to_string(edge.socket()).expect("left alone");
    assert_eq!(left, "somebody's");
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_records_are_listed_shown_sent_and_dropped() {
    let refuses = Arc::new(AtomicBool::new(true));
    let upstream = Upstream::judging({
        let refuses = Arc::clone(&refuses);
        move |received| {
            let is_poison = sessions(received)
                .iter()
                .any(|session| session.starts_with("poison"));
            (is_poison && refuses.load(Ordering::Relaxed))
                .then(|| refusal(422, "this one is \u{1b}[31mpoison"))
                .flatten()
        }
    })
    .await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    for session in ["poison-a", "poison-b", "poison-c"] {
        assert_eq!(edge.post(session, 1).await, 200);
    }
    let list = eventually("three parked requests", async || {
        let list = edge.json(&["parked", "list", "--json"]).await;
        let items = list["items"].as_array().expect("a list").clone();
        (items.len() == 3).then_some(items)
    })
    .await;
    let ids: Vec<String> = list.iter().map(|item| item["id"].to_string()).collect();
    assert!(
        list.iter()
            .all(|item| item["status"] == 422 && item["records"] == 1)
    );
    let ran = edge.run(&["parked", "list"]).await;
    assert_eq!(ran.stdout.lines().count(), 3, "{ran:?}");
    assert!(
        ran.stdout.contains("422: this one is ·[31mpoison"),
        "{ran:?}"
    );
    let ran = edge.run(&["status"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.stdout.contains("3 records are parked because"),
        "{ran:?}"
    );

    let shown = edge.json(&["parked", "show", &ids[0], "--json"]).await;
    let record = &shown["records"][0];
    assert_eq!(record["event"], "user_prompt", "{shown}");
    assert_eq!(record["session"], "poison-a");
    assert_eq!(record["user"], "ada@example.com");
    let ran = edge.run(&["parked", "show", &ids[0]]).await;
    assert!(ran.stdout.contains("\"poison-a\""), "{ran:?}");

    refuses.store(false, Ordering::Relaxed);
    let ran = edge.run(&["parked", "send", &ids[0]]).await;
    assert_eq!(ran.stdout, "1 request: sent again\n", "{ran:?}");
    eventually("the record that was sent again", async || {
        upstream
            .accepted("session.id")
            .contains(&"poison-a".to_owned())
            .then_some(())
    })
    .await;
    let ran = edge.run(&["parked", "send", &ids[0]]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("nothing is parked under"), "{ran:?}");

    let ran = edge.run(&["parked", "drop", "--all"]).await;
    assert_eq!(ran.code, Some(1), "nobody was there to be asked: {ran:?}");
    assert!(ran.stderr.contains("--yes"), "{ran:?}");
    assert_eq!(edge.run(&["parked", "drop", &ids[1]]).await.code, Some(0));
    let dropped = edge
        .json(&["parked", "drop", "--all", "--yes", "--json"])
        .await;
    let left: Value = serde_json::from_str(&ids[2]).expect("a number");
    assert_eq!(dropped["ids"], Value::Array(vec![left]));
    let ran = edge.run(&["parked", "list"]).await;
    assert_eq!(ran.stdout, "nothing is parked\n");
    assert_eq!(edge.run(&["parked", "send"]).await.code, Some(2), "which?");
}

#[tokio::test(flavor = "multi_thread")]
async fn flush_ends_the_wait_and_says_why_it_does_not_move() {
    let works = Arc::new(AtomicBool::new(false));
    let upstream = Upstream::judging({
        let works = Arc::clone(&works);
        move |_| {
            let mut answer =
                refusal(503, "maintenance").filter(|_| !works.load(Ordering::Relaxed))?;
            let hour = "3600".parse().expect("a header");
            answer.headers_mut().insert("retry-after", hour);
            Some(answer)
        }
    })
    .await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    assert_eq!(edge.post("flushed", 3).await, 200);
    eventually("the wait of an hour", async || {
        let status = edge.status().await;
        (status["upstream"]["state"] == "retrying").then_some(())
    })
    .await;
    let ran = edge.run(&["flush", "--timeout", "300ms"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("503: maintenance"), "{ran:?}");
    assert!(ran.stderr.contains("records wait"), "{ran:?}");

    works.store(true, Ordering::Relaxed);
    let ran = edge.run(&["flush", "--timeout", "60s"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(upstream.accepted("session.id").len(), 3);
    let flushed = edge.json(&["flush", "--json"]).await;
    assert_eq!(flushed["flushed"], true);
}
