//! What is wrong, and since when.

use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::{Edge, bulky, refusal, run};
use crate::support::eventually;
use crate::support::fieldpost::edge_config;
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

/// Waits until the first problem in the status says all of `words`.
async fn wait_for_problem(edge: &Edge, words: &[&str]) -> String {
    eventually(&format!("a problem with {words:?}"), async || {
        let status = edge.status().await;
        let problems = status["problems"].as_array().expect("a list").clone();
        let mut texts = problems
            .iter()
            .map(|problem| problem.as_str().expect("text"));
        let found = texts.find(|text| words.iter().all(|word| text.contains(word)));
        found.map(str::to_owned)
    })
    .await
}

async fn wait_until_well(edge: &Edge) {
    eventually("all to be well", async || {
        (edge.status().await["well"] == true).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_edge_is_well_and_needs_no_token() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    let ran = edge.run(&["status"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for words in [
        "all well\n",
        env!("CARGO_PKG_VERSION"),
        &format!("127.0.0.1:{}", edge.port),
        &upstream.endpoint,
        "none is configured, none is sent",
        "edge.toml, in force since",
    ] {
        assert!(ran.stdout.contains(words), "{words}: {}", ran.stdout);
    }
    assert_eq!(edge.post("fresh", 3).await, 200);
    let metrics = json!({"resourceMetrics": []});
    assert_eq!(edge.post_body("/v1/metrics", &metrics).await, 200);
    assert_eq!(edge.post_body("/elsewhere", &metrics).await, 404);
    let status = eventually("a delivery", async || {
        let status = edge.status().await;
        let is_delivered = status["upstream"]["records"].as_u64() >= Some(3);
        (is_delivered && status["queue"]["records"] == 0).then_some(status)
    })
    .await;
    assert_eq!(status["schema"], 1, "{status}");
    assert_eq!(status["well"], true, "{status}");
    assert_eq!(status["upstream"]["state"], "delivering");
    assert_eq!(status["refused"], json!({"unknown_path": 1}));
    assert!(status["stored"]["logs"].as_u64() >= Some(3), "{status}");
    assert!(status["queue"]["last_seq"].as_u64() >= Some(3), "{status}");
    assert_eq!(
        status["parked"],
        json!({"items": 0, "records": 0, "dropped": 0})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_with_its_time_and_what_waits() {
    let upstream = Upstream::judging(|_| refusal(401, "revoked")).await;
    let edge = Edge::start(&upstream.endpoint, Some("made-up")).await;
    assert_eq!(edge.post("held", 4).await, 200);
    let problem = wait_for_problem(
        &edge,
        &["token refused by the upstream (401) since ", " UTC"],
    )
    .await;
    assert!(problem.contains("revoked"), "{problem}");
    assert!(
        problem.contains("records wait, the oldest for "),
        "{problem}"
    );
    let ran = edge.run(&["status"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.starts_with("not well: token refused"), "{ran:?}");
    let status = edge.status().await;
    assert_eq!(status["upstream"]["state"], "holding");
    assert_eq!(status["upstream"]["refused_with"], 401);
    assert!(status["upstream"]["since"].is_string());
    assert!(status["queue"]["oldest"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_out_of_order_is_told() {
    let upstream = Upstream::judging(|_| refusal(503, "maintenance")).await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    assert_eq!(edge.post("retried", 2).await, 200);
    let problem = wait_for_problem(&edge, &["the upstream takes no records since "]).await;
    assert!(problem.contains("503: maintenance"), "{problem}");
    assert_eq!(edge.status().await["upstream"]["state"], "retrying");
    assert_eq!(edge.run(&["status"]).await.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_told_and_is_not_ready() {
    let upstream = Upstream::judging(|_| refusal(503, "maintenance")).await;
    let edge = Edge::start_with(&upstream.endpoint, None, |config| {
        let full = "[queue]\nmax_bytes = \"1MiB\"\nwhen_full = \"reject\"\n";
        config.replace("[queue]\n", full)
    })
    .await;
    let ready = async || {
        let answer = edge.client.get(edge.url("/readyz")).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    };
    assert_eq!(ready().await, (200, "ready\n".to_owned()));
    let mut answers = Vec::new();
    while answers.last() != Some(&503) {
        assert!(answers.len() < 200, "the queue never became full");
        let body = bulky(answers.len() as u64, 60_000);
        answers.push(edge.post_body("/v1/logs", &body).await.as_u16());
    }
    assert_eq!(ready().await, (503, "the queue is full\n".to_owned()));
    let problem = wait_for_problem(&edge, &["new records are refused since "]).await;
    assert!(problem.contains("the queue is full"), "{problem}");
    assert_eq!(edge.status().await["refused"]["not_stored"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_is_told_until_it_is_good_again() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    edge.configure(
        "[listen]\nmax_body = \"much\"\n[queue]\ndirectory = \"/nowhere\"\n[control]\nsocket = 3\n",
    );
    // The command must find the socket of the edge that runs, not that of the mistaken file.
    let socket = edge.socket().display().to_string();
    let status = async || {
        let ran = edge.run(&["status", "--json", "--socket", &socket]).await;
        serde_json::from_str::<serde_json::Value>(&ran.stdout).expect("JSON")
    };
    let status = eventually("the rejection", async || {
        let status = status().await;
        (status["well"] == false).then_some(status)
    })
    .await;
    let problem = status["problems"][0].as_str().expect("text");
    assert!(problem.contains("cannot be used since "), "{problem}");
    assert!(
        problem.contains("edge.toml:2: listen.max_body"),
        "{problem}"
    );
    assert!(
        problem.contains("upstream.endpoint is missing"),
        "{problem}"
    );
    assert!(status["configuration"]["rejected_since"].is_string());

    let config = edge_config(edge.path(), &upstream.endpoint, None, edge.port);
    edge.configure(&config.replace("/queue\"", "/elsewhere\""));
    let socket = ["status", "--json", "--socket", &socket];
    let status = eventually("another configuration in force", async || {
        let status = edge.json(&socket).await;
        (status["well"] == true).then_some(status)
    })
    .await;
    let waits = &status["configuration"]["waits_for_restart"];
    assert_eq!(*waits, json!(["[queue]"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_file_that_cannot_be_used_is_told() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, Some("made-up")).await;
    wait_until_well(&edge).await;
    let token = edge.path().join("token");
    fieldpost::secret::write_file(&token, "unset").expect("writable");
    let without = edge_config(edge.path(), &upstream.endpoint, None, edge.port);
    // A token is read again when the configuration changes.
    let with_file = format!(
        "{without}timeout = \"50s\"\ntoken_file = \"{}\"\n",
        token.display()
    );
    let before = edge.status().await["configuration"]["in_force_since"].clone();
    edge.configure(&with_file);
    eventually("the configuration in force", async || {
        let now = edge.status().await["configuration"]["in_force_since"].clone();
        (now != before).then_some(())
    })
    .await;
    assert_eq!(edge.post("no-token", 1).await, 200);
    wait_for_problem(&edge, &["there is no token to send since ", "unset"]).await;
    // One that everybody may read is no secret.
    let beside = edge.path().join("exposed");
    std::fs::write(&beside, "made-up").expect("writable");
    std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o644)).expect("writable");
    std::fs::rename(&beside, &token).expect("writable");
    let problem = wait_for_problem(&edge, &["there is no token to send since ", "chmod o-rwx"]);
    let problem = problem.await;
    assert!(problem.contains(&token.display().to_string()), "{problem}");
    fieldpost::secret::write_file(&token, "made-up").expect("writable");
    wait_until_well(&edge).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_signals_are_counted() {
    let upstream = Upstream::start().await;
    let edge = Edge::start_with(&upstream.endpoint, None, |config| {
        format!("{config}signals = [\"metrics\"]\nextras = false\n")
    })
    .await;
    assert_eq!(edge.post("unwanted", 5).await, 200);
    let status = edge.status().await;
    assert_eq!(status["discarded"], json!({"logs": 5}));
    assert_eq!(status["upstream"]["extras"], false);
    let ran = edge.run(&["status"]).await;
    assert!(
        ran.stdout.contains("5 logs, as upstream.signals says"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("plain OTLP"), "{ran:?}");
    assert_eq!(
        ran.code,
        Some(0),
        "what is switched off is no problem: {ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_edge_is_said_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("edge.toml");
    let text = edge_config(directory.path(), "http://127.0.0.1:1/v1/logs", None, 0);
    std::fs::write(&config, text).expect("writable");
    for arguments in [
        &["status"][..],
        &["tail"],
        &["parked", "list"],
        &["flush"],
        &["queue", "ls"],
    ] {
        let ran = run(&config, arguments).await;
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("no edge is running here"), "{ran:?}");
        assert!(ran.stderr.contains("fieldpost edge run"), "{ran:?}");
    }
    assert_eq!(
        run(&config, &["flush", "--timeout", "soon"]).await.code,
        Some(2)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expires_soon_is_told_before_it_does() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let now = fieldpost::event::Timestamp::now().0 / 1_000_000_000;
    let jwt = |expires: i64| {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let (head, claims) = (json!({"alg": "HS256"}), json!({"exp": expires}));
        format!(
            "{}.{}.{}",
            part(head),
            part(claims),
            part(json!("unchecked"))
        )
    };
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, Some(&jwt(now + 300 * 86_400))).await;
    eventually("the time of expiry", async || {
        edge.status().await["upstream"]["token_expires"]
            .is_string()
            .then_some(())
    })
    .await;
    wait_until_well(&edge).await;
    let soon = Edge::start(&upstream.endpoint, Some(&jwt(now + 2 * 86_400 + 3_600))).await;
    wait_for_problem(&soon, &["the token expires in 2 d"]).await;
    let past = Edge::start(&upstream.endpoint, Some(&jwt(now - 60))).await;
    wait_for_problem(&past, &["the token has expired at "]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_out_is_counted_by_rule_and_a_bad_rule_is_told() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a directory");
    let rules = directory.path().join("rules.toml");
    // No keyword: it would be tried at every byte.
    std::fs::write(
        &rules,
        "[[rule]]\nid = \"own\"\nkeywords = []\nregex = '(x)'\n",
    )
    .expect("writable");
    let edge = Edge::start_with(&upstream.endpoint, None, |config| {
        format!("{config}[redact]\nrules = [\"{}\"]\n", rules.display())
    })
    .await;
    let token = ["gh", "p_", "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA2bC4"].concat();
    let mut records = claude_session("ada@example.com", "leaky", 1);
    let prompt = format!("push with {token} please");
    records[0].attributes.insert("prompt".into(), prompt.into());
    assert_eq!(edge.post_body("/v1/logs", &request(&records)).await, 200);
    let status = edge.status().await;
    let redacted = status["redacted"].as_object().expect("an object");
    let counts: Vec<_> = redacted.values().cloned().collect();
    assert_eq!(counts, [json!(1)], "{redacted:?}");
    let problem = wait_for_problem(&edge, &["1 rule is not in force", "rules.toml:1"]).await;
    assert!(problem.contains("keyword"), "{problem}");
    let metrics = edge.client.get(edge.url("/metrics")).send().await;
    let metrics = metrics.expect("an answer").text().await.expect("text");
    let (rule, _) = redacted.iter().next().expect("one rule");
    let sample = format!("fieldpost_edge_redactions_total{{rule=\"{rule}\"}} 1");
    assert!(metrics.contains(&sample), "{metrics}");
    assert!(metrics.contains("fieldpost_edge_rules_refused 1"));
    assert!(!metrics.contains(&token));
}
