//! Sums over time: roll-ups of events by hour and day, and of Claude's metrics, each point once.

use std::collections::{BTreeMap, BTreeSet};

use fieldpost::otlp::{ExportMetricsServiceRequest, Request};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases, started_beside};
use crate::support::{postgres, wire};

on_both_databases! {
    rollups_are_what_the_events_add_up_to,
    sums_that_fill_more_than_a_page_are_all_there,
    captured_metrics_are_summed_once,
    running_totals_and_differences_are_summed_in_any_order,
}

async fn rollups_are_what_the_events_add_up_to(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://");
    for capture in wire::all().iter().chain(&wire::folder("refactor")) {
        assert_eq!(
            capture.send(address, capture.path(), &bearer).await.status,
            200
        );
    }
    let api = central.api().await;
    let events = api.list("events?limit=1000").await;
    for span in ["hour", "day"] {
        let all = "from=2026-01-01T00:00:00Z";
        let rows = api.list(&format!("stats?span={span}&{all}")).await;
        let sum = |key: &str| rows.iter().filter_map(|row| row[key].as_i64()).sum::<i64>();
        assert_eq!(sum("event_count"), events.len() as i64);
        let tokens = events.iter().filter(|event| event["name"] == "api_request");
        let tokens: i64 = tokens
            .filter_map(|event| event["output_tokens"].as_i64())
            .sum();
        assert!(tokens > 0);
        assert_eq!(sum("output_tokens"), tokens);
        for (subject, column) in [("agent", "agent_id"), ("model", "model"), ("tool", "tool")] {
            let mut expected: BTreeMap<&str, i64> = BTreeMap::new();
            for event in &events {
                if let Some(name) = event[column].as_str()
                    && (subject != "tool" || event["tool_kind"] == "tool")
                {
                    *expected.entry(name).or_default() += 1;
                }
            }
            let rows = api
                .list(&format!("stats?span={span}&subject={subject}&{all}"))
                .await;
            let mut found: BTreeMap<&str, i64> = BTreeMap::new();
            for row in &rows {
                let name = row["name"].as_str().expect("a name");
                *found.entry(name).or_default() += row["event_count"].as_i64().expect("a count");
            }
            assert_eq!(found, expected, "{subject} by {span}");
        }
    }
    assert!(
        api.list("stats?to=2026-01-01T00:00:00Z&from=2025-01-01T00:00:00Z")
            .await
            .is_empty()
    );
    let wrong = api.request("stats?subject=weather").await;
    assert_eq!(wrong.status(), 400);
    central.verify().await;
    central.stop().await;
}

/// The sums of metrics, by name, type and model.
async fn totals(api: &Api, query: &str) -> BTreeMap<String, f64> {
    let rows = api.list(&format!("metrics{query}")).await;
    let mut totals = BTreeMap::new();
    for row in rows {
        let words =
            ["metric", "type", "model"].map(|key| row[key].as_str().unwrap_or("-").to_owned());
        *totals.entry(words.join(" ")).or_default() += row["value"].as_f64().expect("a number");
    }
    totals
}

async fn sums_that_fill_more_than_a_page_are_all_there(kind: Kind) {
    const ROWS: usize = 10_050;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let scope = central.central.store.environments().await;
    let scope = scope.expect("the store reads")[0].scope;
    // Days and agents, of which many have one count.
    let fill = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {ROWS})
         INSERT INTO rollups SELECT {}, {}, 86400, 86400 * (20000 + n / 700), 'agent', CAST(n AS text),
             1 + n % 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM numbers",
        scope.tenant, scope.environment
    );
    match &url {
        None => rusqlite::Connection::open(directory.path().join("fieldpost.db"))
            .and_then(|database| database.execute_batch(&fill))
            .expect("it writes"),
        Some(url) => postgres::connect(url)
            .await
            .batch_execute(&fill)
            .await
            .expect("it writes"),
    }
    let api = central.api().await;
    let rows = api
        .list("stats?subject=agent&from=2020-01-01T00:00:00Z")
        .await;
    let names: BTreeSet<&str> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!((rows.len(), names.len()), (ROWS, ROWS));
    let one = api
        .list("stats?subject=agent&from=2020-01-01T00:00:00Z&name=7")
        .await;
    assert_eq!(one.len(), 1);
    assert_eq!(one[0]["name"], "7");
    central.stop().await;
}

async fn captured_metrics_are_summed_once(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://");
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..3 {
        for capture in wire::folder("three-signals") {
            assert_eq!(
                capture.send(address, capture.path(), &bearer).await.status,
                200
            );
        }
    }
    for capture in wire::folder("three-signals") {
        if capture.path().ends_with("metrics") {
            let json: serde_json::Value = serde_json::from_slice(&capture.body).expect("JSON");
            for metric in json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
                .as_array()
                .expect("metrics")
            {
                for point in metric["sum"]["dataPoints"].as_array().expect("points") {
                    let text = |wanted: &str| {
                        let attributes = point["attributes"].as_array().expect("attributes");
                        let found = attributes.iter().find(|it| it["key"] == wanted);
                        found.and_then(|it| it["value"]["stringValue"].as_str())
                    };
                    let name = metric["name"].as_str().expect("a name");
                    let words = [
                        name.trim_start_matches("claude_code."),
                        text("type").or(text("start_type")).unwrap_or("-"),
                        text("model").unwrap_or("-"),
                    ];
                    let value = point["asDouble"].as_f64().expect("a number");
                    *expected.entry(words.join(" ")).or_default() += value;
                }
            }
        }
    }
    let api = central.api().await;
    let found = totals(&api, "").await;
    assert!(expected.len() >= 5, "{expected:?}");
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    for (key, value) in &expected {
        assert!(
            (found[key] - value).abs() < 1e-5,
            "{key}: {} is {value}",
            found[key]
        );
    }
    let owners = api.column("metrics", "owner").await;
    assert_eq!(
        owners,
        std::collections::BTreeSet::from(["ada@example.com".to_owned()])
    );
    central.verify().await;
    central.stop().await;
}

const HOUR: u64 = 3_600_000_000_000;
const START: u64 = 1_795_348_800_000_000_000;

fn point(started: u64, at: u64, value: f64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![KeyValue {
            key: "type".to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue("added".to_owned())),
            }),
            ..KeyValue::default()
        }],
        start_time_unix_nano: START + started,
        time_unix_nano: START + at,
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn message(
    name: &str,
    temporality: AggregationTemporality,
    point: NumberDataPoint,
) -> ResourceMetrics {
    ResourceMetrics {
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![Metric {
                name: name.to_owned(),
                data: Some(metric::Data::Sum(Sum {
                    data_points: vec![point],
                    aggregation_temporality: temporality.into(),
                    is_monotonic: true,
                })),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    }
}

async fn running_totals_and_differences_are_summed_in_any_order(kind: Kind) {
    use AggregationTemporality::{Cumulative, Delta};
    // A total that grows over two hours, and begins anew; and differences beside it.
    let total = |point| message("claude_code.lines_of_code.count", Cumulative, point);
    let difference = |point| message("claude_code.commit.count", Delta, point);
    let messages = [
        total(point(0, 1, 10.0)),
        total(point(0, 2, 25.0)),
        total(point(0, HOUR + 1, 40.0)),
        total(point(HOUR + 5, HOUR + 6, 3.0)),
        difference(point(0, 1, 2.0)),
        difference(point(1, 2, 2.0)),
        difference(point(HOUR, HOUR + 1, 3.5)),
    ];
    let orders: [Vec<usize>; 3] = [
        (0..7).collect(),
        (0..7).rev().collect(),
        vec![3, 6, 1, 5, 0, 2, 4, 1, 5, 3],
    ];
    for order in orders {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let central = TestCentral::start_on(kind, directory.path()).await;
        let bearer = central.install().await.authorization_header;
        for index in order {
            let metrics = ExportMetricsServiceRequest {
                resource_metrics: vec![messages[index].clone()],
            };
            let answer = client()
                .post(format!("{}/v1/metrics", central.url))
                .header("authorization", &bearer)
                .header("content-type", "application/x-protobuf")
                .body(Request::Metrics(metrics).encode())
                .send()
                .await
                .expect("the service answers");
            assert_eq!(answer.status(), 200);
        }
        let api = central.api().await;
        let sums = |lines: f64, commits: f64| {
            BTreeMap::from([
                ("commit.count added -".to_owned(), commits),
                ("lines_of_code.count added -".to_owned(), lines),
            ])
        };
        assert_eq!(totals(&api, "").await, sums(43.0, 7.5));
        // In the second hour, the first total grew by 15, and the second by 3.
        let second: jiff::Timestamp =
            jiff::Timestamp::from_nanosecond((START + HOUR).into()).expect("a time");
        assert_eq!(
            totals(&api, &format!("?from={second}")).await,
            sums(18.0, 3.5)
        );
        assert_eq!(
            totals(&api, &format!("?to={second}")).await,
            sums(25.0, 4.0)
        );
        central.verify().await;
        central.stop().await;
    }
}
