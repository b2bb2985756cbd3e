//! `/metrics` as Prometheus reads it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Edge, refusal, sessions};
use crate::support::eventually;
use crate::support::upstream::Upstream;

/// A page by the rules of Prometheus' text format: each sample with its labels, as written, and its
/// value. Panics on what Prometheus would refuse.
fn parse(page: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        let mut letters = name.chars();
        letters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let mut samples = BTreeMap::new();
    let (mut helped, mut typed) = (BTreeSet::new(), BTreeMap::new());
    assert!(page.ends_with('\n'));
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').expect("a text");
            assert!(!text.is_empty() && helped.insert(name.to_owned()), "{line}");
            continue;
        }
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert!(matches!(kind, "counter" | "gauge"), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            let is_new = typed.insert(name.to_owned(), kind.to_owned()).is_none();
            assert!(is_new && helped.contains(name), "{line}");
            continue;
        }
        let (sample, value) = line.rsplit_once(' ').expect("a value");
        let name = match sample.split_once('{') {
            None => sample,
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').expect("closed");
                for label in labels.split(',') {
                    let (label, text) = label.split_once('=').expect("a label");
                    assert!(is_name(label), "{line}");
                    assert!(text.len() >= 2 && text.starts_with('"') && text.ends_with('"'));
                }
                name
            }
        };
        assert!(is_name(name) && typed.contains_key(name), "{line}");
        let value: f64 = value.parse().expect("a number");
        let is_new = samples.insert(sample.to_owned(), value).is_none();
        assert!(is_new, "{line} stands there twice");
    }
    samples
}

async fn page(edge: &Edge) -> String {
    let answer = edge.client.get(edge.url("/metrics")).send().await;
    let answer = answer.expect("the edge answers");
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()["content-type"].to_str().expect("text");
    assert!(content_type.starts_with("text/plain; version=0.0.4"));
    answer.text().await.expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_happened_and_show_no_content() {
    let upstream = Upstream::judging(|received| {
        let sessions = sessions(received);
        let is_poison = sessions.iter().any(|session| session == "poison");
        is_poison.then(|| refusal(400, "no")).flatten()
    })
    .await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    assert_eq!(edge.post("visible-nowhere", 4).await, 200);
    assert_eq!(edge.post("poison", 1).await, 200);
    assert_eq!(
        edge.post_body("/v1/nothing", &serde_json::json!({})).await,
        404
    );
    let page = eventually("everything to be settled", async || {
        let page = page(&edge).await;
        let samples = parse(&page);
        let is_settled = samples["fieldpost_edge_queue_records"] == 0.0
            && samples["fieldpost_edge_parked_records"] == 1.0;
        is_settled.then_some(page)
    })
    .await;
    let samples = parse(&page);
    for (sample, expected) in [
        (
            "fieldpost_edge_requests_total{signal=\"logs\",status=\"200\"}",
            2.0,
        ),
        (
            "fieldpost_edge_requests_total{signal=\"unknown\",status=\"404\"}",
            1.0,
        ),
        (
            "fieldpost_edge_requests_refused_total{reason=\"unknown_path\"}",
            1.0,
        ),
        ("fieldpost_edge_records_lost_total{reason=\"parked\"}", 1.0),
        ("fieldpost_edge_upstream_state{state=\"delivering\"}", 1.0),
        ("fieldpost_edge_upstream_state{state=\"holding\"}", 0.0),
        ("fieldpost_edge_queue_ready", 1.0),
        ("fieldpost_edge_queue_oldest_age_seconds", 0.0),
        ("fieldpost_edge_configuration_rejected", 0.0),
        ("fieldpost_edge_well", 0.0),
    ] {
        assert_eq!(samples.get(sample), Some(&expected), "{sample}: {page}");
    }
    // Heartbeats are records too.
    assert!(samples["fieldpost_edge_records_stored_total{signal=\"logs\"}"] >= 5.0);
    assert!(samples["fieldpost_edge_records_delivered_total"] >= 4.0);
    assert!(samples["fieldpost_edge_upstream_sent_bytes_total"] > 0.0);
    assert!(samples["process_start_time_seconds"] > 1.7e9);
    for content in ["visible-nowhere", "ada@example.com", "poison"] {
        assert!(!page.contains(content), "{content}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_and_other_hosts_see_nothing() {
    let upstream = Upstream::start().await;
    let edge = Edge::start(&upstream.endpoint, None).await;
    for path in ["/metrics", "/readyz"] {
        for (header, value) in [
            ("origin", "https://example.com"),
            ("sec-fetch-site", "cross-site"),
            ("host", "rebound.example.com"),
        ] {
            let answer = edge.client.get(edge.url(path)).header(header, value);
            let answer = answer.send().await.expect("an answer");
            assert_eq!(answer.status(), 403, "{path} {header}");
        }
        let answer = edge.client.get(edge.url(path)).send().await;
        assert_eq!(answer.expect("an answer").status(), 200, "{path}");
    }
}
