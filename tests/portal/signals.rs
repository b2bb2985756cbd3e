//! Metrics and spans as they came: what pages and exports of them hold is what the API gives whoever looks.

use fieldpost::central::store::{Access, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};

use super::{ENVIRONMENT, values};

on_both_databases! {
    pages_of_metrics_and_spans_show_what_the_api_gives,
    content_of_spans_is_for_owners,
}

/// 2026-11-22T00:00:00Z
const START: i64 = 1_795_305_600_000_000_000;
const MINUTE: i64 = 60_000_000_000;
const TRACE: &str = "0612b0f1453ed699574c5de6d34a9f01";

fn attributes(pairs: &[(&str, &str)]) -> Value {
    let attribute =
        |(key, text): &(&str, &str)| json!({"key": key, "value": {"stringValue": text}});
    pairs.iter().map(attribute).collect()
}

/// One counter of somebody, which came by a machine.
fn metric(name: &str, at: i64) -> Value {
    let point = json!({
        "attributes": attributes(&[("user.email", "ada@example.com"), ("session.id", "s-1")]),
        "startTimeUnixNano": (at - 1).to_string(),
        "timeUnixNano": at.to_string(),
        "asInt": "1",
    });
    json!({
        "resource": {"attributes": attributes(&[
            ("host.name", "ada-laptop"), ("fieldpost.edge.id", "edge-1"),
        ])},
        "scopeMetrics": [{"metrics": [{
            "name": name,
            "sum": {"aggregationTemporality": 1, "isMonotonic": true, "dataPoints": [point]},
        }]}],
    })
}

fn span(trace: &str, name: &str, at: i64) -> Value {
    json!({"scopeSpans": [{"spans": [{
        "traceId": trace,
        "spanId": "8c906887a0899de8",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": at.to_string(),
        "endTimeUnixNano": (at + MINUTE).to_string(),
        "attributes": attributes(&[
            ("session.id", "s-1"), ("tool_input", "SECRET command"), ("<b>new</b>", "SECRET word"),
        ]),
        "status": {"code": 2, "message": "SECRET error"},
    }]}]})
}

async fn filled(kind: Kind, directory: &std::path::Path) -> TestCentral {
    let central = TestCentral::start_on(kind, directory).await;
    let bearer = central.install().await.authorization_header;
    let metrics: Vec<Value> = (0..130)
        .map(|number| {
            metric(
                ["claude_code.a", "claude_code.b"][number % 2],
                START + number as i64 * MINUTE,
            )
        })
        .collect();
    let body = json!({ "resourceMetrics": metrics });
    central.post(&bearer, "metrics", body.to_string()).await;
    let other = TRACE.replace('0', "1");
    let spans = [
        span(TRACE, "claude_code.tool", START),
        span(&other, "<i>claude_code.tool</i>", START + MINUTE),
    ];
    let body = json!({ "resourceSpans": spans });
    central.post(&bearer, "traces", body.to_string()).await;
    central
}

/// The ids of the messages that a page lists.
fn shown(page: &str, signal: &str) -> Vec<String> {
    values(
        page,
        &format!("<th scope=\"row\"><a href=\"{ENVIRONMENT}/signals/{signal}/"),
    )
}

async fn pages_of_metrics_and_spans_show_what_the_api_gives(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let (api, browser) = (central.api().await, central.sign_in(Role::Owner).await);
    let of_trace = format!("trace={TRACE}");
    for (signal, list, query, count) in [
        ("metrics", "metrics/messages", "", 100),
        ("metrics", "metrics/messages", "name=claude_code.b", 65),
        ("metrics", "metrics/messages", "name=claude_code.c", 0),
        (
            "metrics",
            "metrics/messages",
            "from=2026-11-22T00:10:00Z&to=2026-11-22T00:13:00Z",
            3,
        ),
        ("traces", "traces", "", 2),
        ("traces", "traces", of_trace.as_str(), 1),
        ("traces", "traces", "name=claude_code.tool", 1),
    ] {
        let path = format!("{ENVIRONMENT}/signals/{signal}");
        let page = browser.get(&format!("{path}?{query}")).await.body;
        let mut ids = shown(&page, signal);
        assert_eq!(ids.len(), count, "{signal}?{query}: {page}");
        if let Some(older) = values(&page, "rel=\"next\" href=\"").pop() {
            ids.extend(shown(&browser.get(&older).await.body, signal));
        }
        let rows = api.list(&format!("{list}?limit=7&{query}")).await;
        let of_api: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        assert_eq!(ids, of_api, "{signal}?{query}");
        let fields = query.split('&').filter_map(|pair| pair.split_once('='));
        let fields: Vec<(&str, &str)> = fields.chain([("format", "ndjson")]).collect();
        let file = browser.post(&format!("{path}/export"), &fields).await.body;
        let mut lines: Vec<Value> = file
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        assert_eq!(
            lines.pop().expect("a manifest")["manifest"]["rows"],
            rows.len()
        );
        assert_eq!(lines, rows, "{signal}?{query}");
    }
    let export = format!("{ENVIRONMENT}/signals/metrics/export");
    let csv = browser.post(&export, &[("format", "csv")]).await.body;
    assert_eq!(csv.lines().count(), 131);
    assert!(
        csv.contains("claude_code.a,1,ada@example.com,,ada-laptop,edge-1,s-1"),
        "{csv}"
    );
    let none = browser
        .get(&format!("{ENVIRONMENT}/signals/metrics?name=x"))
        .await;
    assert!(none.body.contains("No message matches") && none.body.contains("Without “Name"));
    for (query, words) in [
        ("metrics?from=yesterday", "From is no time"),
        ("traces?trace=12", "32 hexadecimal digits"),
        ("metrics?nam=x", "“nam” is no filter of this list"),
        ("metrics?trace=12", "“trace” is no filter of this list"),
    ] {
        let page = browser.get(&format!("{ENVIRONMENT}/signals/{query}")).await;
        assert!(page.body.contains(words), "{query}: {}", page.body);
    }

    // One message, on its page and in the API.
    let listed = browser
        .get(&format!("{ENVIRONMENT}/signals/metrics"))
        .await
        .body;
    for said in ["ada@example.com", "ada-laptop", "?q=session%3As-1"] {
        assert!(listed.contains(said), "{said}: {listed}");
    }
    let traces = browser
        .get(&format!("{ENVIRONMENT}/signals/traces"))
        .await
        .body;
    let latest = shown(&traces, "traces").remove(0);
    let page = browser
        .get(&format!("{ENVIRONMENT}/signals/traces/{latest}"))
        .await
        .body;
    assert!(
        page.contains("SECRET command") && page.contains("1 min"),
        "{page}"
    );
    assert!(
        !page.contains("<b>new") && !page.contains("<i>claude"),
        "{page}"
    );
    let one = api.get(&format!("traces/{latest}")).await;
    assert_eq!(one, api.list("traces").await[0]);
    let metrics = api.list("metrics/messages").await.remove(0);
    let id = metrics["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("metrics/messages/{id}")).await, metrics);
    // By the id of metrics there are no spans.
    assert_eq!(api.request(&format!("traces/{id}")).await.status(), 404);
    for path in [format!("traces/{id}"), "logs".to_owned()] {
        let missing = browser.get(&format!("{ENVIRONMENT}/signals/{path}")).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND, "{path}");
    }
    let empty = tempfile::tempdir().expect("a temporary directory");
    let new = TestCentral::start_on(kind, empty.path()).await;
    let browser = new.sign_in(Role::Viewer).await;
    let nothing = browser.get(&format!("{ENVIRONMENT}/signals/traces")).await;
    assert!(nothing.body.contains("No spans yet"), "{}", nothing.body);
    new.stop().await;
    central.stop().await;
}

async fn content_of_spans_is_for_owners(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = filled(kind, directory.path()).await;
    let environment = central.central.environment("default", "default").await;
    let scope = environment.expect("it is there").scope;
    for role in [Role::Owner, Role::Admin, Role::Viewer] {
        let browser = central.sign_in(role).await;
        let list = format!("{ENVIRONMENT}/signals/traces");
        let listed = browser.get(&list).await.body;
        let id = shown(&listed, "traces").remove(0);
        let page = browser.get(&format!("{list}/{id}")).await.body;
        let file = [("format", "ndjson")];
        let file = browser.post(&format!("{list}/export"), &file).await.body;
        let key = Access::Environment(scope, role);
        let key = central.central.create_api_key(key, "key").await;
        let api = Api::new(&central.url, key.expect("the store writes").expose());
        let given = api.get(&format!("traces/{id}")).await.to_string();
        for text in [&page, &file, &given] {
            assert_eq!(
                text.contains("SECRET"),
                role == Role::Owner,
                "{role:?}: {text}"
            );
            assert!(text.contains("hidden_by_role") != (role == Role::Owner));
        }
        assert!(!listed.contains("SECRET"));
    }
    central.stop().await;
}
