//! The policy in a running edge: what arrives upstream, and after a change of the configuration.
use std::fs;

use serde_json::{Value, json};

use crate::hot_reload::Edge;
use crate::support::eventually;
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

/// A record of Ada's with these attributes beside its own.
fn of_ada(session: &str, more: &[(&str, &str)]) -> Value {
    let mut body = request(&claude_session("ada@example.com", session, 1));
    let record = &mut body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    let attributes = record["attributes"].as_array_mut().expect("attributes");
    let more = more.iter();
    attributes
        .extend(more.map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})));
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_edge_lets_out_what_its_policy_says_and_follows_a_change() {
    let upstream = Upstream::start().await;
    let folder = tempfile::tempdir().expect("a directory");
    let rules = folder.path().join("rules.toml");
    let policy = "[[rule]]\nid = \"acme-badge\"\nkeywords = [\"acme-\"]\nregex = '(acme-[0-9a-f]{12})'\n\
        examples = [\"acme-{+}0123456789ab\"]\nnon_examples = [\"acme-0123\"]\n\
        [[found]]\ntypes = [\"acme-badge\"]\naction = \"drop-record\"\n\
        [[attribute]]\naction = \"search\"\ntruncate = 64\nkeys = [\"note\"]\n";
    fs::write(&rules, policy).expect("writable");
    let redact = |rest: &str| format!("[redact]\nrules = [\"{}\"]\n{rest}", rules.display());
    let strict = redact("profile = \"strict\"\nidentity = \"hmac\"\n");
    let edge = Edge::start_with(&upstream.endpoint, &strict, &[]).await;

    let badge = ["acme-", "4f9c2b7d81e6"].concat();
    let long = "write to ada@example.com; ".repeat(4);
    let told = of_ada("told", &[("note", &long), ("tool_output", "total 0")]);
    let dropped = of_ada(
        "dropped",
        &[("note", &badge), ("event.name", "tool_result")],
    );
    for body in [&told, &dropped, &dropped] {
        edge.post_body(body).await;
    }
    // The record that was dropped still has its identity: sent twice, it is one.
    eventually("two records upstream", async || {
        let mut uids = upstream.accepted("log.record.uid");
        uids.sort();
        uids.dedup();
        (uids.len() == 2 && upstream.accepted("log.record.uid").len() == 3).then_some(())
    })
    .await;
    assert_eq!(upstream.accepted("tool_output"), ["[REDACTED:tool-output]"]);
    let note = "write to [REDACTED:email]; write to [REDACTED:email]; write to [TRUNCATED:45]";
    assert_eq!(upstream.accepted("note"), [note]);
    let [person] = &upstream.accepted("user.email")[..] else {
        panic!("{:?}", upstream.accepted("user.email"))
    };
    assert!(person.starts_with("[REDACTED:identity:h="), "{person}");
    assert_eq!(upstream.accepted("session.id"), ["told"]);
    for received in upstream.received() {
        let whole = format!("{:?}", received.request);
        assert!(
            !whole.contains(&badge) && !whole.contains("ada@"),
            "{whole}"
        );
    }

    edge.configure(&upstream.endpoint, &redact("identity = \"drop\"\n"));
    edge.wait_for_log("the configuration was read again and is in force", 1)
        .await;
    edge.post_body(&of_ada("later", &[("tool_output", "total 0")]))
        .await;
    eventually("the later record", async || {
        let people = upstream.accepted("user.email");
        (people.last()? == "[REDACTED:identity]").then_some(())
    })
    .await;
    let outputs = upstream.accepted("tool_output");
    assert_eq!(outputs, ["[REDACTED:tool-output]", "total 0"]);
    edge.stop().await;
}
