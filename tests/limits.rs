//! A full queue: what gives way, what is refused, what stays.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::edge::queue::{AppendError, BatchLimits, Limits, Queue, Reason, WhenFull};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::fieldpost::{TestCentral, TestEdge, client, edge_config, folder};
use crate::support::flood::post_until;
use crate::support::queue::{
    append, drain, logs, next, open, open_within, read, redacted, segments,
};
use crate::support::records::{claude_session, request};
use crate::support::upstream::Upstream;

/// Records of 100 kB fit into this 20 times; a segment takes two or three.
fn small(when_full: WhenFull) -> Limits {
    Limits {
        max_bytes: 2 << 20,
        when_full,
        ..Limits::default()
    }
}

#[tokio::test]
async fn the_oldest_go_and_all_that_is_new_is_taken() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    for id in 0..60 {
        append(&queue, id..id + 1, 100_000).await;
        assert!(queue.depth().bytes <= 2 << 20, "{:?}", queue.depth());
    }
    let waiting = queue.depth().records;
    assert!((15..=20).contains(&waiting), "{waiting} records");
    assert!(segments(directory.path()).len() <= 9);
    queue.close().await;
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    let kept: Vec<_> = (60 - waiting..60).map(|id| (id, id + 1)).collect();
    assert_eq!(drain(&queue, 59).await, kept, "the youngest, all of them");
    let losses = queue.losses(10);
    assert_eq!(losses.ranges, [(Reason::Size, 1..=60 - waiting)]);
    assert_eq!(losses.counts[&Reason::Size], 60 - waiting);
    assert_eq!(queue.last_seq(), 60);
}

#[tokio::test]
async fn an_account_that_fills_the_queue_pushes_out_its_own_records() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    let append_of = async |uid, id| {
        let records = redacted(logs(id..id + 1, 100_000));
        queue.append_of(Some(uid), records).await.unwrap();
    };
    for id in 0..5 {
        append_of(1001, id).await;
    }
    for id in 5..60 {
        append_of(1002, id).await;
        assert!(queue.depth().bytes <= 2 << 20, "{:?}", queue.depth());
    }
    let kept: Vec<u64> = drain(&queue, 59).await.into_iter().map(|r| r.0).collect();
    assert!(kept.starts_with(&[0, 1, 2, 3, 4]), "{kept:?}");
    let youngest: Vec<u64> = (50..60).collect();
    assert!(kept.ends_with(&youngest) && kept.is_sorted(), "{kept:?}");
    let lost: Vec<u64> = (0..60).filter(|id| !kept.contains(id)).collect();
    let ranges = queue.losses(10).ranges.into_iter();
    let told: Vec<u64> = ranges
        .inspect(|(reason, _)| assert_eq!(*reason, Reason::Size))
        .flat_map(|(_, numbers)| numbers)
        .collect();
    assert_eq!(told, lost.iter().map(|id| id + 1).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_on_its_way_is_not_dropped_and_what_it_pins_neither() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    append(&queue, 0..1, 100_000).await;
    append(&queue, 1..2, 100_000).await;
    append(&queue, 2..3, 100_000).await;
    let one = BatchLimits {
        records: 1,
        ..BatchLimits::default()
    };
    let first = queue.next_batch(one).await.unwrap();
    let second = queue.next_batch(one).await.unwrap();
    for id in 3..60 {
        append(&queue, id..id + 1, 100_000).await;
    }
    // One comes back, one is delivered, both from the segment that stayed.
    let before = queue.depth().records;
    drop(first);
    queue.remove(second).await.unwrap();
    assert_eq!(
        queue.depth().records,
        before,
        "an earlier batch is not settled"
    );
    let first = queue.next_batch(one).await.unwrap();
    assert_eq!(read(&first), [(0, 1)]);
    queue.remove(first).await.unwrap();
    assert_eq!(queue.depth().records, before - 2);
    let rest: Vec<u64> = drain(&queue, 59).await.into_iter().map(|r| r.0).collect();
    assert!(rest.is_sorted_by(|a, b| a < b), "{rest:?}");
    assert_eq!(
        rest.len() as u64,
        before - 2,
        "none twice, none that was dropped"
    );
    let youngest: Vec<u64> = (50..60).collect();
    assert!(rest.ends_with(&youngest), "{rest:?}");
    let told = queue
        .losses(10)
        .ranges
        .into_iter()
        .flat_map(|(_, numbers)| numbers);
    let mut all: Vec<u64> = told.map(|number| number - 1).chain(rest).collect();
    all.sort_unstable();
    assert_eq!(
        all,
        (2..60).collect::<Vec<_>>(),
        "delivered or told, each once"
    );
    let depth = queue.depth();
    assert_eq!((depth.records, depth.bytes, depth.oldest), (0, 0, None));
    queue.close().await;
    assert_eq!(open(directory.path()).depth().records, 0);
}

#[tokio::test]
async fn what_was_given_back_over_several_segments_goes_like_the_rest() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    for id in 0..12 {
        append(&queue, id..id + 1, 100_000).await;
    }
    let mut batches = Vec::new();
    for _ in 0..3 {
        batches.push(next(&queue).await);
    }
    let last = next(&queue).await;
    drop(batches);
    for id in 12..60 {
        append(&queue, id..id + 1, 100_000).await;
    }
    let pinned = read(&last);
    drop(last);
    let waiting = queue.depth().records;
    let rest = drain(&queue, 59).await;
    assert_eq!(rest.len() as u64, waiting);
    assert_eq!(
        rest[..pinned.len()],
        pinned,
        "the one that was on its way stayed"
    );
    assert!(rest.is_sorted());
}

#[tokio::test]
async fn a_queue_that_refuses_keeps_everything_and_goes_on_when_there_is_room() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::Reject));
    let mut stored = 0;
    let refused = loop {
        match queue
            .append(redacted(logs(stored..stored + 1, 100_000)))
            .await
        {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Full), "{refused}");
    assert!((15..=20).contains(&stored), "{stored}");
    assert_eq!(
        queue.last_seq(),
        stored,
        "a refusal leaves no hole in the numbers"
    );
    queue.close().await;
    let queue = open_within(directory.path(), small(WhenFull::Reject));
    let whole: Vec<_> = (0..stored).map(|id| (id, id + 1)).collect();
    assert_eq!(drain(&queue, stored - 1).await, whole);
    append(&queue, stored..stored + 1, 100_000).await;
    assert_eq!(drain(&queue, stored).await, [(stored, stored + 1)]);
}

#[tokio::test]
async fn a_refusal_leaves_no_hole_however_little_room_there_is() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::Reject));
    let mut stored = 0;
    // Closer and closer to the edge, with bytes that do not compress.
    for bytes in [100_000, 10_000, 2000, 1000, 500, 250, 120, 60, 30, 15, 1] {
        while queue
            .append(redacted(logs(stored..stored + 1, bytes)))
            .await
            .is_ok()
        {
            stored += 1;
        }
        assert_eq!(queue.last_seq(), stored, "at {bytes} bytes");
        assert_eq!(queue.losses(10).ranges, []);
    }
}

#[tokio::test]
async fn what_could_never_fit_is_refused_for_good_and_not_for_now() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::Reject));
    let error = queue.append(redacted(logs(0..1, 2 << 20))).await;
    assert!(matches!(error, Err(AppendError::TooLarge(_))), "{error:?}");
    // The largest that fits does so whatever was delivered before.
    let most = ((2 << 20) - (128 << 10)) / 100 * 99 - 1000;
    for id in 0..20 {
        append(&queue, id..id + 1, 5_000).await;
        assert_eq!(drain(&queue, id).await.len(), 1);
    }
    append(&queue, 20..21, most).await;
    assert_eq!(queue.last_seq(), 21, "a refusal leaves no hole");
    queue.close().await;
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    append(&queue, 21..22, 3 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_stay_within_the_bounds_too() {
    for when_full in [WhenFull::DropOldest, WhenFull::Reject] {
        let directory = TempDir::new().unwrap();
        let queue = open_within(directory.path(), small(when_full));
        let appenders: Vec<_> = (0..8)
            .map(|appender| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut stored = BTreeSet::new();
                    for n in 0..8 {
                        let id = appender * 1000 + n;
                        match queue.append(redacted(logs(id..id + 1, 100_000))).await {
                            Ok(_) => stored.extend([id]),
                            Err(AppendError::Full) => assert_eq!(when_full, WhenFull::Reject),
                            Err(error) => panic!("{error}"),
                        }
                    }
                    stored
                })
            })
            .collect();
        let mut stored = BTreeSet::new();
        for appender in appenders {
            stored.extend(appender.await.unwrap());
        }
        assert!(queue.depth().bytes <= 2 << 20, "{:?}", queue.depth());
        let mut read = Vec::new();
        while queue.depth().records > 0 {
            let batch = next(&queue).await;
            read.extend(crate::support::queue::read(&batch).into_iter().map(|r| r.0));
            queue.remove(batch).await.unwrap();
        }
        let distinct: BTreeSet<u64> = read.iter().copied().collect();
        assert_eq!(distinct.len(), read.len(), "none twice");
        match when_full {
            WhenFull::Reject => assert_eq!(distinct, stored, "what was acknowledged, and no more"),
            WhenFull::DropOldest => assert!(stored.len() == 64 && distinct.is_subset(&stored)),
        }
    }
}

#[tokio::test]
async fn below_the_disk_floor_the_oldest_go_or_new_ones_are_refused() {
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), small(WhenFull::DropOldest));
    for id in 0..10 {
        append(&queue, id..id + 1, 100_000).await;
    }
    queue.close().await;
    let floor = |when_full| Limits {
        min_free: 1 << 60,
        ..small(when_full)
    };
    let queue = open_within(directory.path(), floor(WhenFull::Reject));
    let refused = queue.append(redacted(logs(10..11, 10))).await;
    assert!(matches!(refused, Err(AppendError::Full)), "{refused:?}");
    assert_eq!(queue.depth().records, 10);
    queue.close().await;
    let queue = open_within(directory.path(), floor(WhenFull::DropOldest));
    append(&queue, 10..11, 10).await;
    append(&queue, 11..12, 10).await;
    let rest: Vec<u64> = drain(&queue, 11).await.into_iter().map(|r| r.0).collect();
    assert!(rest.len() < 6 && rest.ends_with(&[10, 11]), "{rest:?}");
    // The refused one was not numbered; the dropped ones are told.
    let dropped = 12 - rest.len() as u64;
    assert_eq!(queue.losses(10).ranges, [(Reason::Disk, 1..=dropped)]);
}

#[tokio::test]
async fn records_go_when_their_time_is_up_and_not_before() {
    let limits = Limits {
        max_age: Duration::from_millis(800),
        ..Limits::default()
    };
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), Limits::default());
    append(&queue, 0..5, 10).await;
    queue.close().await;
    // The time that the queue was closed does not count, however long it was.
    let opened = std::time::Instant::now();
    let queue = open_within(directory.path(), limits);
    append(&queue, 5..6, 10).await;
    let next_id = std::cell::Cell::new(6);
    eventually("the first records to go", async || {
        let id = next_id.get();
        append(&queue, id..id + 1, 10).await;
        next_id.set(id + 1);
        let all = queue.depth().records == id + 1;
        assert!(all || opened.elapsed() > Duration::from_millis(800));
        (!all).then_some(())
    })
    .await;
    let id = next_id.get();
    let rest: Vec<u64> = drain(&queue, id - 1)
        .await
        .into_iter()
        .map(|r| r.0)
        .collect();
    assert!(rest[0] >= 5, "{rest:?}");
    assert_eq!(rest, (rest[0]..id).collect::<Vec<_>>());
    assert_eq!(queue.losses(10).ranges, [(Reason::Age, 1..=rest[0])]);
}

#[tokio::test]
async fn an_empty_segment_is_not_ended_however_old_it_is() {
    let limits = Limits {
        max_age: Duration::from_secs(4),
        ..Limits::default()
    };
    let segment_age = limits.max_age / 8;
    let directory = TempDir::new().unwrap();
    let queue = open_within(directory.path(), limits);
    append(&queue, 0..1, 5 << 20).await;
    // Drained, the segment makes room for an empty one.
    assert_eq!(drain(&queue, 0).await, [(0, 1)]);
    tokio::time::sleep(segment_age * 2).await;
    append(&queue, 1..2, 10).await;
    assert_eq!(drain(&queue, 1).await, [(1, 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_rejects_answers_503_and_delivers_what_it_acknowledged() {
    let up = Arc::new(AtomicBool::new(false));
    let judge = Arc::clone(&up);
    let upstream = Upstream::judging(move |_| {
        let down = !judge.load(Ordering::Relaxed);
        down.then(|| StatusCode::SERVICE_UNAVAILABLE.into_response())
    })
    .await;
    let directory = TempDir::new().unwrap();
    let config = edge_config(directory.path(), &upstream.endpoint, None, 0).replace(
        "[upstream]",
        "max_bytes = \"1MiB\"\nwhen_full = \"reject\"\n[upstream]",
    );
    let edge = TestEdge::start_with(directory.path(), &config).await;
    let mut refusals = 0;
    let answers = post_until(&edge.logs(), "session", |_, status| {
        refusals += usize::from(status == 503);
        refusals == 3
    })
    .await;
    let acknowledged: BTreeSet<String> = answers
        .iter()
        .filter(|(_, status)| *status == 200)
        .map(|(session, _)| session.clone())
        .collect();
    assert!(acknowledged.len() > 3);
    let too_large = client()
        .post(edge.logs())
        .header("content-type", "application/json")
        .body(request(&claude_session("ada@example.com", "large", 3000)).to_string())
        .send()
        .await
        .expect("the edge answers");
    assert_eq!(too_large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    up.store(true, Ordering::Relaxed);
    eventually("everything that was acknowledged", async || {
        let arrived = upstream.accepted("session.id");
        (arrived.len() == acknowledged.len() * 20).then_some(())
    })
    .await;
    let arrived: BTreeSet<String> = upstream.accepted("session.id").into_iter().collect();
    assert_eq!(arrived, acknowledged);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_shows_what_a_full_queue_dropped_and_that_nothing_else_is_missing() {
    let directory = TempDir::new().unwrap();
    let central = TestCentral::start(&folder(directory.path(), "central")).await;
    let installation = central.install().await;
    let token = installation.authorization_header.as_str();
    let small = |endpoint: &str| {
        edge_config(directory.path(), endpoint, Some(token), 0)
            .replace("[upstream]", "max_bytes = \"1MiB\"\n[upstream]")
    };
    // Nobody listens there.
    let edge = TestEdge::start_with(directory.path(), &small("http://127.0.0.1:9/v1/logs")).await;
    let answers = post_until(&edge.logs(), "session", |answers, _| answers == 14).await;
    assert!(
        answers.iter().all(|(_, status)| *status == 200),
        "{answers:?}"
    );
    edge.stop().await;

    let queue = Queue::open(&directory.path().join("queue"), Limits::default()).unwrap();
    let losses = queue.losses(100);
    queue.close().await;
    let dropped: u64 = losses.counts[&Reason::Size];
    assert!((20..14 * 20).contains(&dropped), "{losses:?}");

    let edge = TestEdge::start_with(directory.path(), &small(&installation.endpoint)).await;
    let api = central.api().await;
    let machine = eventually(
        "the rest, and the account of what is not there",
        async || {
            let machine = api.list("machines").await.into_iter().next()?;
            let stored = machine["stored"].as_u64()?;
            // Two heartbeats came along.
            (stored + dropped == 14 * 20 + 2).then_some(machine)
        },
    )
    .await;
    let ranges: Vec<_> = losses
        .ranges
        .iter()
        .map(|(_, range)| serde_json::json!({"first": range.start(), "last": range.end()}))
        .collect();
    let expected = serde_json::json!([
        {"reason": "size", "records": dropped, "numbers": dropped, "ranges": ranges}
    ]);
    assert_eq!(machine["dropped"], expected, "{machine}");
    assert_eq!(machine["missing"], 0, "{machine}");
    edge.stop().await;
    let queue = Queue::open(&directory.path().join("queue"), Limits::default()).unwrap();
    let told = queue.losses(100);
    assert_eq!(
        told.ranges,
        [],
        "the service knows; nobody needs to be told again"
    );
    assert_eq!(told.counts[&Reason::Size], dropped);
    queue.close().await;
    central.stop().await;
}
