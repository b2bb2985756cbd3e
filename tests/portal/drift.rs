//! What clients used to send and no longer do: told for a whole environment.

use fieldpost::central::store::Role;
use serde_json::{Value, json};

use crate::support::fieldpost::{Kind, TestCentral, on_both_databases};
use crate::support::records::{Record, claude_session, request};

use super::ENVIRONMENT;

on_both_databases! {
    what_a_version_no_longer_sends_is_told,
    a_session_of_which_only_metrics_come_is_told,
}

const HOUR_MS: i64 = 3_600_000;

async fn post_as(central: &TestCentral, bearer: &str, records: &[Record], version: &str) {
    let body = request(records).to_string().replace("2.1.197", version);
    central.post(bearer, "logs", body).await;
}

async fn what_a_version_no_longer_sends_is_told(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let before = claude_session("ada@example.com", "before", 400);
    let mut after = claude_session("ada@example.com", "after", 400);
    after.retain(|record| record.body != "claude_code.user_prompt");
    for record in &mut after {
        record.attributes.remove("cost_usd");
    }
    post_as(&central, &bearer, &before, "2.1.99").await;
    let viewer = central.sign_in(Role::Viewer).await;
    let page = async |path: &str| viewer.get(&format!("{ENVIRONMENT}{path}")).await.body;
    assert!(
        page("/inventory/drift")
            .await
            .contains("Nothing that is known of: no version sends")
    );
    post_as(&central, &bearer, &after, "2.1.220").await;
    // It came late, and twice: neither makes a difference.
    post_as(&central, &bearer, &after, "2.1.220").await;

    let api = central.api().await;
    let drift = api.get("drift").await;
    let told: Vec<[&Value; 3]> = drift["fell_away"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| [&it["event"], &it["attribute"], &it["version"]])
        .collect();
    assert_eq!(
        json!(told),
        json!([
            ["api_request", "cost_usd", "2.1.220"],
            ["user_prompt", null, "2.1.220"]
        ])
    );
    assert_eq!(drift["fell_away"][1]["percent_before"], 20.0);
    assert_eq!(drift["fell_away"][1]["event_count"], 320);
    let sent = api.list("drift/events?client=claude-code").await;
    let requests: Vec<[&Value; 3]> = sent
        .iter()
        .filter(|it| it["event"] == "api_request")
        .map(|it| {
            let carried = &it["attributes"]["cost_usd"];
            [&it["version"], &it["event_count"], carried]
        })
        .collect();
    assert_eq!(
        json!(requests),
        json!([["2.1.220", 80, null], ["2.1.99", 80, 80]])
    );
    assert!(api.list("drift/events?client=other").await.is_empty());

    let words = "user_prompt fell from 20 % to 0 % at 2.1.220";
    for path in ["/inventory/drift", "/"] {
        let page = page(path).await;
        assert!(page.contains(words), "{path}: {page}");
        assert!(page.contains("cost_usd of api_request fell from 100 % to 0 % at 2.1.220"));
    }
    let of_event = page("/inventory/drift?client=claude-code&event=api_request").await;
    for said in [
        "Attributes of api_request",
        "api_request among all events, by day",
        "cost_usd",
    ] {
        assert!(of_event.contains(said), "{said}: {of_event}");
    }
    let of_attribute =
        page("/inventory/drift?client=claude-code&event=api_request&attribute=cost_usd").await;
    assert!(of_attribute.contains("cost_usd in api_request, by day"));
    // 2.1.99 comes before 2.1.220 although its letters come after.
    let versions = (
        of_attribute.find(">2.1.99<").expect("a column"),
        of_attribute.find(">2.1.220<").expect("a column"),
    );
    assert!(versions.0 < versions.1);
    central.verify().await;
    central.stop().await;
}

async fn a_session_of_which_only_metrics_come_is_told(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let now = jiff::Timestamp::now().as_millisecond();
    let mut whole = claude_session("ada@example.com", "whole", 5);
    let mut stopped = claude_session("ada@example.com", "stopped", 5);
    for record in &mut whole {
        record.time_unix_ms = now - 2 * HOUR_MS;
    }
    for record in &mut stopped {
        record.time_unix_ms = now - 9 * HOUR_MS;
    }
    post_as(&central, &bearer, &whole, "2.1.197").await;
    post_as(&central, &bearer, &stopped, "2.1.197").await;
    let nanos = |ms: i64| format!("{ms}000000");
    let point = |session: &str, started: i64, at: i64, value: f64| {
        json!({
            "attributes": [{"key": "session.id", "value": {"stringValue": session}}],
            "startTimeUnixNano": nanos(started), "timeUnixNano": nanos(at), "asDouble": value,
        })
    };
    let two_hours_ago = now - 2 * HOUR_MS;
    let long_ago = now - 9 * HOUR_MS;
    let metrics = |temporality: u8, points: &[Value]| {
        json!({"resourceMetrics": [{"resource": {}, "scopeMetrics": [{"metrics": [{
            "name": "claude_code.active_time.total",
            "sum": {"aggregationTemporality": temporality, "isMonotonic": true, "dataPoints": points},
        }]}]}]})
    };
    let differences = metrics(
        1,
        &[
            point("whole", two_hours_ago, two_hours_ago, 3.0),
            point("stopped", two_hours_ago, two_hours_ago, 3.0),
            point("never", two_hours_ago, two_hours_ago, 3.0),
            point("idle", two_hours_ago, two_hours_ago, 0.0),
            point("just-now", now, now, 3.0),
        ],
    );
    // A running total is sent while nothing happens.
    let totals = metrics(2, &[point("whole", long_ago, now - HOUR_MS / 2, 3.0)]);
    central
        .post(&bearer, "metrics", differences.to_string())
        .await;
    central.post(&bearer, "metrics", totals.to_string()).await;

    let api = central.api().await;
    let drift = api.get("drift").await;
    let told: Vec<(&Value, bool)> = drift["silent_sessions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| (&it["session_id"], it["last_event"].is_null()))
        .collect();
    assert_eq!(json!(told), json!([["never", true], ["stopped", false]]));
    let viewer = central.sign_in(Role::Viewer).await;
    let page = viewer.get(&format!("{ENVIRONMENT}/inventory/drift")).await;
    assert!(page.body.contains("/sessions/stopped\""), "{}", page.body);
    assert!(page.body.contains("never") && !page.body.contains("/sessions/never\""));
    let overview = viewer.get(&format!("{ENVIRONMENT}/")).await;
    assert!(
        overview
            .body
            .contains("2 sessions with metrics, but no events")
    );
    central.verify().await;
    central.stop().await;
}
