//! The way upstream: every verdict, against an upstream that answers as told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use fieldpost::edge::link::State;
use fieldpost::edge::queue::{Limits, Queue, Reason};
use fieldpost::edge::verdict::{Outcome, Verdict};
use fieldpost::otlp::Signal;

use crate::support::eventually;
use crate::support::fieldpost::{TestEdge, edge_config, folder, write_token};
use crate::support::records::claude_session;
use crate::support::upstream::{Received, Upstream, attribute};

/// Posts `count` records of a session, numbered by `event.sequence`.
async fn post(edge: &TestEdge, count: usize) {
    let records = claude_session("ada@example.com", "forwarded", count);
    edge.post(&records).await;
}

async fn wait_for_records(upstream: &Upstream, count: usize) {
    eventually(&format!("{count} records upstream"), async || {
        let accepted: BTreeSet<String> = upstream.accepted("log.record.uid").into_iter().collect();
        (accepted.len() == count).then_some(())
    })
    .await;
}

fn answer(status: u16) -> Response {
    StatusCode::from_u16(status)
        .expect("a status")
        .into_response()
}

#[test]
fn the_verdict_table() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_351_565);
    let verdict = |status: u16, retry_after: Option<&str>| {
        let retry_after = retry_after.map(str::to_owned);
        Verdict::of(
            &Outcome::Answer {
                status,
                retry_after,
            },
            now,
        )
    };
    for status in [200, 202, 204] {
        assert_eq!(verdict(status, None), Verdict::Remove);
    }
    for status in [408, 429, 500, 502, 503, 504, 301] {
        assert_eq!(
            verdict(status, None),
            Verdict::Retry { after: None },
            "{status}"
        );
    }
    for status in [404, 405, 415] {
        assert_eq!(
            verdict(status, None),
            Verdict::Retry { after: None },
            "{status}"
        );
    }
    for status in [401, 403] {
        assert_eq!(verdict(status, None), Verdict::Hold);
    }
    for status in [400, 413, 422, 410] {
        assert_eq!(verdict(status, None), Verdict::Split, "{status}");
    }
    assert_eq!(
        Verdict::of(&Outcome::NoAnswer, now),
        Verdict::Retry { after: None }
    );
    let after = |text| match verdict(503, Some(text)) {
        Verdict::Retry { after } => after,
        other => panic!("{other:?}"),
    };
    assert_eq!(after("7"), Some(Duration::from_secs(7)));
    assert_eq!(
        after("Sun, 22 Nov 2026 12:46:35 GMT"),
        Some(Duration::from_secs(30))
    );
    assert_eq!(after("Sun, 22 Nov 2020 12:46:35 GMT"), Some(Duration::ZERO));
    assert_eq!(after("99999999"), Some(Duration::from_secs(3_600)));
    assert_eq!(after("soon"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_wait_while_the_upstream_is_unwell() {
    let refusals = AtomicUsize::new(0);
    let upstream = Upstream::judging(move |_| match refusals.fetch_add(1, Ordering::Relaxed) {
        0 => Some(
            (
                StatusCode::SERVICE_UNAVAILABLE,
                [(header::RETRY_AFTER, "1")],
            )
                .into_response(),
        ),
        1 => Some(answer(500)),
        2 => Some(answer(404)),
        _ => None,
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    post(&edge, 5).await;
    wait_for_records(&upstream, 5).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_holds_everything_until_the_file_changes() {
    let upstream = Upstream::judging(|received: &Received| {
        let is_new = received.authorization.as_deref() == Some("Bearer new-token");
        (!is_new).then(|| answer(401))
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, Some("old-token")).await;
    post(&edge, 4).await;
    eventually("the refusal", async || {
        upstream
            .received()
            .iter()
            .any(|received| !received.accepted)
            .then_some(())
    })
    .await;
    write_token(&directory.path().join("token"), "new-token");
    wait_for_records(&upstream, 4).await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_without_a_token_where_one_is_needed() {
    let upstream = Upstream::start().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let token_file = directory.path().join("token");
    let config = edge_config(directory.path(), &upstream.endpoint, Some("later"), 0);
    std::fs::remove_file(&token_file).expect("it was written");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge, 2).await;
    eventually("the edge to see that there is none", async || {
        let state = edge.link().state;
        matches!(state, State::Holding { status: None, .. }).then_some(())
    })
    .await;
    assert!(upstream.received().is_empty());
    write_token(&token_file, "later");
    wait_for_records(&upstream, 2).await;
    let authorizations: BTreeSet<_> = upstream
        .received()
        .into_iter()
        .map(|received| received.authorization)
        .collect();
    assert_eq!(
        authorizations,
        BTreeSet::from([Some("Bearer later".to_owned())])
    );
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_is_halved() {
    let upstream = Upstream::judging(|received: &Received| {
        (received.request.record_count() > 3).then(|| answer(413))
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    post(&edge, 20).await;
    wait_for_records(&upstream, 20).await;
    assert_eq!(
        upstream.accepted("log.record.uid").len(),
        20,
        "no record was sent twice"
    );
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_record_at_fault_is_parked_and_the_rest_goes_on() {
    let upstream = Upstream::judging(|received: &Received| {
        let is_at_fault = attribute(&received.request, "event.sequence")
            .iter()
            .any(|number| number == "7");
        is_at_fault.then(|| (StatusCode::BAD_REQUEST, r#"{"message":"seven"}"#).into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    post(&edge, 20).await;
    wait_for_records(&upstream, 19).await;
    edge.stop().await;

    let queue = Queue::open(&directory.path().join("queue"), Limits::default())
        .expect("the queue opens again");
    let parked = queue.parked().await.expect("the parked list reads").items;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert_eq!((parked[0].records, parked[0].status), (1, Some(400)));
    assert!(parked[0].reason.contains("seven"), "{parked:?}");
    assert_eq!(queue.depth().records, 0, "nothing else is left");
    let parked: u64 = queue
        .losses(10)
        .ranges
        .iter()
        .map(|(reason, numbers)| {
            assert_eq!(*reason, Reason::Parked);
            numbers.end() - numbers.start() + 1
        })
        .sum();
    assert_eq!(parked, 1);
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_parked_waits_until_it_can() {
    let upstream = Upstream::judging(|received: &Received| {
        let is_at_fault = attribute(&received.request, "event.sequence")
            .iter()
            .any(|number| number == "3");
        is_at_fault.then(|| StatusCode::BAD_REQUEST.into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0);
    let config = format!("{config}max_retry_wait = \"10ms\"\n");
    // Where the list of parked records should be, the disk does not take any.
    let in_the_way = folder(directory.path(), "queue").join("parked.db");
    std::fs::write(&in_the_way, "in the way").expect("writable");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    post(&edge, 6).await;
    let reason = eventually("the edge to say what is wrong", async || {
        match edge.link().state {
            State::Retrying { reason, .. } => Some(reason),
            _ => None,
        }
    })
    .await;
    assert!(reason.contains("cannot be parked"), "{reason}");
    assert_eq!(edge.link().counters.parked, 0);
    std::fs::remove_file(&in_the_way).expect("writable");
    wait_for_records(&upstream, 5).await;
    eventually("the record to be parked", async || {
        (edge.link().counters.parked == 1).then_some(())
    })
    .await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upstream_accepts_but_does_not_store_is_parked() {
    let told = AtomicBool::new(false);
    let upstream = Upstream::judging(move |_| {
        let first = !told.swap(true, Ordering::Relaxed);
        let body = r#"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"too old"}}"#;
        first.then(|| ([(header::CONTENT_TYPE, "application/json")], body).into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    post(&edge, 3).await;
    wait_for_records(&upstream, 3).await;
    edge.stop().await;
    let queue = Queue::open(&directory.path().join("queue"), Limits::default())
        .expect("the queue opens again");
    let parked = queue.parked().await.expect("the parked list reads").items;
    assert_eq!(parked.len(), 1, "{parked:?}");
    assert!(
        parked[0].reason.contains("2 rejected: too old"),
        "{parked:?}"
    );
    queue.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_comes_late_gets_everything() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let late = Arc::new(AtomicBool::new(true));
    let judge = Arc::clone(&late);
    let upstream =
        Upstream::judging(move |_| judge.load(Ordering::Relaxed).then(|| answer(503))).await;
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    for _ in 0..3 {
        post(&edge, 10).await;
    }
    edge.stop().await;
    late.store(false, Ordering::Relaxed);
    let edge = TestEdge::start(directory.path(), &upstream.endpoint, None).await;
    wait_for_records(&upstream, 30).await;
    assert_eq!(upstream.accepted("log.record.uid").len(), 30);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_upstreams_get_the_compression_they_know() {
    for (setting, header) in [
        ("gzip", Some("gzip")),
        ("none", None),
        ("zstd", Some("zstd")),
    ] {
        let upstream = Upstream::start().await;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = format!(
            "{}compression = \"{setting}\"\n",
            edge_config(directory.path(), &upstream.endpoint, None, 0)
        );
        let edge = TestEdge::start_with(directory.path(), &config).await;
        post(&edge, 3).await;
        wait_for_records(&upstream, 3).await;
        for received in upstream.received() {
            assert_eq!(received.encoding.as_deref(), header);
            assert_eq!(received.request.signal(), Signal::Logs);
        }
        edge.stop().await;
    }
}
