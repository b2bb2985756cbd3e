//! Metrics and traces as they came: listed, kept as long as they are to be, taken elsewhere.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;

use fieldpost::central::config::Config;
use fieldpost::central::store::{Access, Location, Retention, Role};
use fieldpost::event::{DAY, Timestamp};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::fieldpost::{
    Kind, TestCentral, command, folder, on_both_databases, postgres_location, started_beside,
};
use crate::support::{eventually, postgres, wire};

on_both_databases! {
    what_claude_sent_is_listed_whole,
    lists_go_by_time_page_by_page_and_are_narrowed,
    content_is_for_owners_and_kept_no_longer_than_content_is,
    what_is_too_old_goes_with_its_traces,
    what_an_older_version_stored_is_found_once_it_is_read,
    an_export_and_an_import_make_the_same_once,
}

/// 2026-11-22T00:00:00Z
const START: i64 = 1_795_305_600_000_000_000;

fn attributes(pairs: &[(&str, &str)]) -> Value {
    let attribute =
        |(key, text): &(&str, &str)| json!({"key": key, "value": {"stringValue": text}});
    pairs.iter().map(attribute).collect()
}

/// One counter with one point.
fn metric(name: &str, at: i64, value: f64) -> Value {
    let point = json!({
        "attributes": attributes(&[("user.email", "ada@example.com"), ("language", "Rust")]),
        "startTimeUnixNano": (at - 1).to_string(),
        "timeUnixNano": at.to_string(),
        "asDouble": value,
    });
    json!({
        "resource": {"attributes": attributes(&[("service.name", "claude-code")])},
        "scopeMetrics": [{"metrics": [{
            "name": name,
            "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]},
        }]}],
    })
}

/// One span of each trace.
fn spans(traces: &[&str], name: &str, at: i64) -> Value {
    let span = |trace: &&str| {
        json!({
            "traceId": trace,
            "spanId": "8c906887a0899de8",
            "name": name,
            "kind": 1,
            "startTimeUnixNano": at.to_string(),
            "endTimeUnixNano": (at + 5).to_string(),
            "attributes": attributes(&[("session.id", "one"), ("tool_input", "SECRET command")]),
            "status": {"code": 2, "message": "SECRET error"},
        })
    };
    json!({"scopeSpans": [{"spans": traces.iter().map(span).collect::<Value>()}]})
}

async fn post_metrics(central: &TestCentral, bearer: &str, messages: &[Value]) {
    let body = json!({ "resourceMetrics": messages });
    central.post(bearer, "metrics", body.to_string()).await;
}

async fn post_spans(central: &TestCentral, bearer: &str, messages: &[Value]) {
    let body = json!({ "resourceSpans": messages });
    central.post(bearer, "traces", body.to_string()).await;
}

/// The texts under `key`, wherever they stand.
fn texts<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get(key).and_then(Value::as_str));
            fields.values().for_each(|field| texts(field, key, found));
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, key, found)),
        _ => {}
    }
}

fn names(row: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    texts(&row["message"], "name", &mut found);
    found.retain(|name| name.starts_with("claude_code."));
    found
}

async fn what_claude_sent_is_listed_whole(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://");
    for _ in 0..2 {
        for capture in wire::folder("three-signals") {
            let sent = capture.send(address, capture.path(), &bearer).await;
            assert_eq!(sent.status, 200);
        }
    }
    let api = central.api().await;
    for (list, suffix, messages) in [
        ("metrics/messages", "metrics", "resourceMetrics"),
        ("traces", "traces", "resourceSpans"),
    ] {
        let captures = wire::folder("three-signals");
        let mut of_signal = captures.iter().filter(|it| it.path().ends_with(suffix));
        let body = &of_signal.next().expect("it was captured").body;
        let sent: Value = serde_json::from_slice(body).expect("JSON");
        let rows = api.list(list).await;
        assert_eq!(rows.len(), 1, "sent twice, stored once");
        assert_eq!(sent[messages].as_array().map(Vec::len), Some(1));
        for key in [
            "name",
            "stringValue",
            "traceId",
            "spanId",
            "timeUnixNano",
            "endTimeUnixNano",
        ] {
            let (mut expected, mut found) = (Vec::new(), Vec::new());
            texts(&sent[messages], key, &mut expected);
            texts(&rows[0]["message"], key, &mut found);
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{list}: {key}");
        }
    }
    let traces = api.list("traces").await;
    let mut ids = Vec::new();
    texts(&traces[0], "traceId", &mut ids);
    let of_trace = api
        .list(&format!("traces?trace={}", ids[0].to_uppercase()))
        .await;
    let mut found = Vec::new();
    texts(&of_trace[0], "traceId", &mut found);
    let expected = ids.iter().filter(|id| **id == ids[0]).count();
    assert_eq!(found, vec![ids[0]; expected]);
    central.stop().await;
}

async fn lists_go_by_time_page_by_page_and_are_narrowed(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    // In no order, and two at the same time.
    for number in [3, 0, 4, 2, 1, 2] {
        let name = match number {
            1 | 3 => "claude_code.commit.count",
            _ => "claude_code.session.count",
        };
        let at = START + number * DAY;
        let value = if number == 2 { at as f64 } else { 1.0 };
        post_metrics(&central, &bearer, &[metric(name, at, value)]).await;
        let trace = format!("{number:032x}");
        let messages = [spans(&[&trace, &"f".repeat(32)], "claude_code.tool", at)];
        post_spans(&central, &bearer, &messages).await;
    }
    post_metrics(
        &central,
        &bearer,
        &[metric("claude_code.session.count", START + 2 * DAY, 7.0)],
    )
    .await;
    for (list, days) in [
        (
            "metrics/messages",
            &["26", "25", "24", "24", "23", "22"][..],
        ),
        ("traces", &["26", "25", "24", "23", "22"]),
    ] {
        for limit in [1, 2, 5, 100] {
            let rows = api.list(&format!("{list}?limit={limit}")).await;
            let found: Vec<&str> = rows
                .iter()
                .map(|row| &row["time"].as_str().expect("a time")[8..10])
                .collect();
            assert_eq!(found, days, "{list}, {limit} a page");
            let ids: BTreeSet<_> = rows.iter().map(|row| row["id"].to_string()).collect();
            assert_eq!(ids.len(), rows.len());
        }
        let between = "from=2026-11-23T00:00:00Z&to=2026-11-25T00:00:00Z";
        let rows = api.list(&format!("{list}?{between}&limit=1")).await;
        assert_eq!(rows.len(), days.len() - 3, "{list}");
    }
    let commits = api
        .list("metrics/messages?name=claude_code.commit.count&limit=1")
        .await;
    assert_eq!(commits.len(), 2);
    assert!(
        commits
            .iter()
            .all(|row| names(row) == ["claude_code.commit.count"])
    );
    assert!(api.list("metrics/messages?name=nothing").await.is_empty());
    // One trace is in one message, the other in all of them.
    let of_one = api.list(&format!("traces?trace={:032x}", 3)).await;
    assert_eq!(of_one.len(), 1);
    assert_eq!(
        names(&of_one[0]),
        ["claude_code.tool"],
        "not the other trace's span"
    );
    let of_all = format!("traces?trace={}", "f".repeat(32));
    assert_eq!(api.list(&format!("{of_all}&limit=2")).await.len(), 5);
    assert_eq!(
        api.list(&format!("{of_all}&to=2026-11-24T00:00:00Z"))
            .await
            .len(),
        2
    );
    assert_eq!(
        api.list(&format!("{of_all}&name=claude_code.tool"))
            .await
            .len(),
        5
    );
    assert!(
        api.list(&format!("traces?trace={}", "e".repeat(32)))
            .await
            .is_empty()
    );
    for wrong in [
        "traces?trace=abc",
        "traces?cursor=x",
        "metrics/messages?from=yesterday",
    ] {
        assert_eq!(
            api.request(wrong).await.status(),
            StatusCode::BAD_REQUEST,
            "{wrong}"
        );
    }
    central.stop().await;
}

async fn with_role(central: &TestCentral, role: Role) -> Api {
    let environments = central.central.store.environments().await;
    let scope = environments.expect("the store reads")[0].scope;
    let key = central
        .central
        .create_api_key(Access::Environment(scope, role), role.word())
        .await;
    Api::new(&central.url, key.expect("the store writes").expose())
}

async fn set_retention(central: &TestCentral, retention: Retention) {
    let store = &central.central.store;
    let environments = store.environments().await.expect("the store reads");
    let set = store.set_retention(environments[0].scope, retention).await;
    set.expect("the store writes");
}

async fn content_is_for_owners_and_kept_no_longer_than_content_is(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let now = Timestamp::now().0;
    for (trace, days) in [("0a", 40), ("0b", 1)] {
        let messages = [spans(
            &[&trace.repeat(16)],
            "claude_code.tool",
            now - days * DAY,
        )];
        post_spans(&central, &bearer, &messages).await;
    }
    let at = now - 40 * DAY;
    post_metrics(
        &central,
        &bearer,
        &[metric("claude_code.session.count", at, 1.0)],
    )
    .await;
    let secrets = async |api: &Api| {
        let rows = api.list("traces").await;
        rows.iter()
            .map(|row| row.to_string().matches("SECRET").count())
            .collect::<Vec<_>>()
    };
    let (owner, viewer) = (central.api().await, with_role(&central, Role::Viewer).await);
    assert_eq!(secrets(&owner).await, [2, 2]);
    assert_eq!(
        secrets(&with_role(&central, Role::Admin).await).await,
        [0, 0]
    );
    assert_eq!(secrets(&viewer).await, [0, 0]);
    let seen = viewer.list("traces").await[0].to_string();
    assert_eq!(seen.matches("hidden_by_role").count(), 2, "{seen}");
    assert!(
        seen.contains("session.id") && seen.contains("claude_code.tool"),
        "{seen}"
    );
    let seen = viewer.list("metrics/messages").await[0].to_string();
    assert!(
        !seen.contains("Rust") && seen.contains("ada@example.com"),
        "{seen}"
    );

    // What content is too old is not shown from the moment on that this is said.
    let thirty = Retention {
        keep_seconds: None,
        content_seconds: Some(30 * 86_400),
    };
    set_retention(&central, thirty).await;
    assert_eq!(secrets(&owner).await, [2, 0]);
    let store = &central.central.store;
    for expected in [1, 0] {
        let expired = store.expire(Timestamp::now(), &|| false).await;
        assert_eq!(expired.expect("the store writes").contents, expected);
    }
    set_retention(&central, Retention::default()).await;
    let rows = owner.list("traces").await;
    assert_eq!(secrets(&owner).await, [2, 0], "it is not there any more");
    let old = &rows[1]["message"]["scopeSpans"][0]["spans"][0];
    assert_eq!(old["droppedAttributesCount"], 1, "{old}");
    assert_eq!(old["status"]["code"], 2, "{old}");
    // Sent again it is known, whatever was taken out.
    let messages = [spans(
        &[&"0a".repeat(16)],
        "claude_code.tool",
        now - 40 * DAY,
    )];
    post_spans(&central, &bearer, &messages).await;
    assert_eq!(secrets(&owner).await, [2, 0]);
    let metrics = owner.list("metrics/messages").await[0].to_string();
    assert!(
        metrics.contains("Rust"),
        "series stay what they are: {metrics}"
    );
    assert_eq!(noted_traces(url.as_deref(), directory.path()).await, 2);
    central.verify().await;
    central.stop().await;
}

/// How many rows lead from a trace to a message.
async fn noted_traces(url: Option<&str>, data: &Path) -> i64 {
    let sql = "SELECT count(*) FROM signal_traces";
    match url {
        None => {
            let database = rusqlite::Connection::open(data.join("fieldpost.db"));
            let count = database.and_then(|it| it.query_row(sql, [], |row| row.get(0)));
            count.expect("it reads")
        }
        Some(url) => {
            let rows = postgres::connect(url).await.query_one(sql, &[]).await;
            rows.expect("it reads").get(0)
        }
    }
}

async fn what_is_too_old_goes_with_its_traces(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let now = Timestamp::now();
    let traces = ["0a".repeat(16), "0b".repeat(16)];
    let messages = [spans(&[&traces[0], &traces[1]], "claude_code.tool", now.0)];
    post_spans(&central, &bearer, &messages).await;
    post_metrics(
        &central,
        &bearer,
        &[metric("claude_code.session.count", now.0, 3.0)],
    )
    .await;
    let api = central.api().await;
    let sums = api.list("metrics").await;
    assert_eq!(noted_traces(url.as_deref(), directory.path()).await, 2);
    let day = Retention {
        keep_seconds: Some(86_400),
        content_seconds: None,
    };
    set_retention(&central, day).await;
    let store = &central.central.store;
    for (days, expected) in [(0, 0), (2, 2), (2, 0)] {
        let expired = store.expire(Timestamp(now.0 + days * DAY), &|| false).await;
        assert_eq!(expired.expect("the store writes").signals, expected);
    }
    assert!(api.list("traces").await.is_empty() && api.list("metrics/messages").await.is_empty());
    assert_eq!(noted_traces(url.as_deref(), directory.path()).await, 0);
    assert_eq!(api.list("metrics").await, sums);
    central.verify().await;
    central.stop().await;
}

async fn what_an_older_version_stored_is_found_once_it_is_read(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let trace = "0a".repeat(16);
    let messages = [spans(&[&trace], "claude_code.tool", START)];
    post_spans(&central, &bearer, &messages).await;
    post_metrics(
        &central,
        &bearer,
        &[metric("claude_code.session.count", START, 1.0)],
    )
    .await;
    let api = central.api().await;
    let expected = (api.list("traces").await, api.list("metrics/messages").await);
    central.stop().await;

    let forget = "UPDATE signals SET time = NULL, content_at = NULL; DELETE FROM signal_traces;";
    let location = match &url {
        None => {
            let database = rusqlite::Connection::open(directory.path().join("fieldpost.db"));
            database
                .and_then(|it| it.execute_batch(forget))
                .expect("it writes");
            Location::DataDirectory
        }
        Some(url) => {
            let written = postgres::connect(url).await.batch_execute(forget).await;
            written.expect("it writes");
            postgres_location(url)
        }
    };
    let central = TestCentral::start_at(location, directory.path()).await;
    let api = central.api().await;
    eventually("old messages to be read", async || {
        let rows = api.list(&format!("traces?trace={trace}")).await;
        (rows == expected.0).then_some(())
    })
    .await;
    assert_eq!(api.list("metrics/messages").await, expected.1);
    let day = Retention {
        keep_seconds: None,
        content_seconds: Some(86_400),
    };
    set_retention(&central, day).await;
    let expired = central
        .central
        .store
        .expire(Timestamp(START + 2 * DAY), &|| false)
        .await;
    assert_eq!(
        expired.expect("the store writes").contents,
        1,
        "its content was noted"
    );
    central.stop().await;
}

/// Runs `fieldpost central …` on a store, and gives what it printed.
async fn central(data: &Path, url: Option<&str>, arguments: &[&str]) -> String {
    let mut command = command();
    command.arg("central").args(arguments);
    command.env("FIELDPOST_DATA_DIRECTORY", data);
    if let Some(url) = url {
        command.env("FIELDPOST_DATABASE_URL", url);
    }
    let output = command.stderr(Stdio::inherit()).output().await;
    let output = output.expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

async fn an_export_and_an_import_make_the_same_once(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let from = folder(directory.path(), "from");
    let source = TestCentral::start(&from).await;
    let bearer = source.install().await.authorization_header;
    let address = source.url.trim_start_matches("http://");
    for capture in wire::folder("three-signals") {
        let sent = capture.send(address, capture.path(), &bearer).await;
        assert_eq!(sent.status, 200);
    }
    for number in 0..700 {
        let at = START + number * DAY / 100;
        let value = 1.0 / (number + 1) as f64;
        post_metrics(
            &source,
            &bearer,
            &[metric("claude_code.cost.usage", at, value)],
        )
        .await;
    }
    // Twins of one request, and one more of another; spans that do not say when.
    let twin = metric("claude_code.session.count", START, 3.0);
    post_metrics(&source, &bearer, &[twin.clone(), twin.clone()]).await;
    post_metrics(&source, &bearer, &[twin.clone(), twin.clone(), twin]).await;
    let timeless = spans(&["0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c"], "claude_code.tool", 0);
    post_spans(&source, &bearer, &[timeless]).await;
    let lists = [
        "metrics",
        "metrics/messages",
        "traces",
        "events",
        "stats?subject=agent",
    ];
    let rows = async |central: &TestCentral, list: &str| {
        let mut rows = central.api().await.list(list).await;
        for row in &mut rows {
            let fields = row.as_object_mut().expect("a row");
            for key in ["id", "received_at", "agent_id"] {
                fields.remove(key);
            }
            // An agent's id is keyed by the service.
            if list.starts_with("stats") {
                fields.remove("name");
            }
            // Of what does not say when it was, the time is that of its arrival.
            if row.to_string().contains("0c0c0c0c") {
                row["time"] = Value::Null;
            }
        }
        rows.sort_by_key(Value::to_string);
        rows
    };
    let mut expected = Vec::new();
    for list in lists {
        expected.push(rows(&source, list).await);
    }
    assert_eq!(expected[1].len(), 704);
    source.stop().await;

    let exported = central(&from, None, &["export"]).await;
    let file = directory.path().join("all.ndjson");
    std::fs::write(&file, &exported).expect("the directory is writable");
    let to = folder(directory.path(), "to");
    let (url, target) = started_beside(kind, &to).await;
    let header = target.install().await.authorization_header;
    let token = directory.path().join("token");
    fieldpost::secret::write_file(&token, &header).expect("the directory is writable");
    let mut printed = Vec::new();
    for _ in 0..2 {
        let endpoint = format!("{}/v1/logs", target.url);
        let file = file.to_str().expect("text");
        let token = token.to_str().expect("text");
        let arguments = [
            "import",
            file,
            "--to",
            &endpoint,
            "--token-file",
            token,
            "--json",
        ];
        printed.push(central(&from, None, &arguments).await);
        for (list, expected) in lists.into_iter().zip(&expected) {
            assert_eq!(&rows(&target, list).await, expected, "{list}");
        }
    }
    assert_eq!(printed[0], printed[1]);
    let told: Value = serde_json::from_str(&printed[0]).expect("JSON");
    assert_eq!(told["rejected"], 0, "{told}");
    assert!(
        told["points"].as_i64() >= Some(704) && told["spans"].as_i64() > Some(1),
        "{told}"
    );
    target.verify().await;

    // What was imported is exported as it was.
    let lines = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.retain(|line| !line.starts_with("{\"resourceLogs\""));
        lines.sort();
        lines
    };
    let arguments = ["export", "--signal", "metrics", "--signal", "traces"];
    let again = central(&to, url.as_deref(), &arguments).await;
    assert_eq!(again.lines().count(), lines(&exported).len(), "no logs");
    assert_eq!(lines(&again), lines(&exported));
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_too_long_for_one_request_is_sent_in_pieces() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = Config {
        max_body: 16 << 10,
        ..Config::default()
    };
    let target = TestCentral::start_with(&folder(directory.path(), "to"), config).await;
    let header = target.install().await.authorization_header;
    let token = directory.path().join("token");
    fieldpost::secret::write_file(&token, &header).expect("the directory is writable");
    let messages = |length: usize| -> Value {
        let message = |number: i64| {
            let mut message = metric("claude_code.cost.usage", START + number, 1.0);
            message["scopeMetrics"][0]["metrics"][0]["description"] = "x".repeat(length).into();
            message
        };
        (0..10).map(message).collect()
    };
    let file = directory.path().join("all.ndjson");
    let lines = [
        json!({ "resourceMetrics": messages(4 << 10) }).to_string(),
        json!({ "resourceMetrics": [messages(20 << 10)[0]] }).to_string(),
    ];
    std::fs::write(&file, lines.join("\n")).expect("the directory is writable");
    let output = command()
        .args(["central", "import", "--json", "--to"])
        .arg(format!("{}/v1/logs", target.url))
        .arg("--token-file")
        .args([&token, &file])
        .output()
        .await
        .expect("the binary starts");
    assert!(!output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = json!({"records": 0, "points": 10, "spans": 0, "rejected": 1});
    assert_eq!(told, expected);
    assert_eq!(target.api().await.list("metrics/messages").await.len(), 10);
    target.stop().await;
}
