//! The durable queue, from outside: what it promises in the first lines of `src/edge/queue.rs`.
//!
//! A copy of the directory stands for a crash: it is what a process killed at that moment leaves.

use std::{
    collections::BTreeMap,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use fieldpost::{
    edge::queue::{
        AppendError, Batch, BatchLimits, Limits, OpenError, Parked, Queue, Reason, StorageError,
        WhenFull,
    },
    otlp::{Request, Signal},
};
use proptest::{prelude::*, sample::Index};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::queue::{
    append, blobs, copy, disk_bytes, drain, flip, logs, metrics, next, open, open_within, read,
    redacted, segments, traces,
};
use crate::support::random::cases;

#[tokio::test]
async fn records_come_out_in_order_and_numbered() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for first in [0, 10, 20] {
        append(&queue, first..first + 10, 100).await;
    }
    assert_eq!(queue.depth().records, 30);
    let full = queue.depth();
    let limits = BatchLimits {
        records: 10,
        ..BatchLimits::default()
    };
    let third = queue.next_batch(limits).await.unwrap();
    assert_eq!(read(&third).len(), 10);
    drop(third);
    assert_eq!(
        queue.depth(),
        full,
        "a batch that goes back leaves everything as it was"
    );
    assert!(
        queue
            .depth()
            .oldest
            .is_some_and(|at| at <= SystemTime::now())
    );
    let batch = next(&queue).await;
    assert_eq!((batch.signal(), batch.record_count()), (Signal::Logs, 30));
    assert_eq!(
        read(&batch),
        (0..30).map(|id| (id, id + 1)).collect::<Vec<_>>()
    );
    let plain = zstd::stream::decode_all(&batch.frames()[..]).unwrap();
    assert_eq!(
        Request::decode_protobuf(Signal::Logs, &plain).unwrap(),
        batch.decode().unwrap()
    );
    queue.remove(batch).await.unwrap();
    assert_eq!(
        (
            queue.depth().records,
            queue.depth().bytes,
            queue.depth().oldest
        ),
        (0, 0, None)
    );
    assert_eq!(queue.last_seq(), 30);
}

#[tokio::test]
async fn a_batch_holds_one_signal_and_keeps_to_its_limits() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..4, 1000).await;
    append(&queue, 4..8, 1000).await;
    for request in [metrics(), traces()] {
        queue.append(redacted(request)).await.unwrap();
    }
    append(&queue, 8..9, 1000).await;
    let of = |batch: &Batch| (batch.signal(), batch.record_count());
    let by_count = BatchLimits {
        records: 7,
        ..BatchLimits::default()
    };
    let by_plain = BatchLimits {
        plain_bytes: 7000,
        ..BatchLimits::default()
    };
    let by_frame = BatchLimits {
        frame_bytes: 1,
        ..BatchLimits::default()
    };
    for limits in [by_count, by_plain, by_frame] {
        let first = queue.next_batch(limits).await.unwrap();
        let second = queue.next_batch(limits).await.unwrap();
        assert_eq!(
            (of(&first), of(&second)),
            ((Signal::Logs, 4), (Signal::Logs, 4))
        );
        // Dropped, both go back.
    }
    let logs = next(&queue).await;
    let metrics = next(&queue).await;
    let traces = next(&queue).await;
    let rest = next(&queue).await;
    assert_eq!(
        (of(&logs), of(&metrics)),
        ((Signal::Logs, 8), (Signal::Metrics, 1))
    );
    assert_eq!(
        (of(&traces), of(&rest)),
        ((Signal::Traces, 1), (Signal::Logs, 1))
    );
    assert!(matches!(metrics.decode().unwrap(), Request::Metrics(_)));
    assert_eq!(read(&rest), [(8, 9)]);
}

#[tokio::test]
async fn records_wait_for_others_until_they_are_old_or_fill_a_batch() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    let limits = |age| BatchLimits {
        records: 3,
        frame_bytes: 10_000,
        age,
        ..BatchLimits::default()
    };
    let patient = limits(Duration::from_secs(3600));
    let not_yet = async || {
        let next = tokio::time::timeout(Duration::from_millis(20), queue.next_batch(patient));
        next.await.is_err()
    };
    append(&queue, 0..2, 10).await;
    assert!(not_yet().await, "two of three, and young");
    append(&queue, 2..3, 10).await;
    let batch = queue.next_batch(patient).await.unwrap();
    assert_eq!(batch.record_count(), 3);
    append(&queue, 3..4, 10).await;
    assert!(not_yet().await, "what is handed out fills no further batch");
    queue.remove(batch).await.unwrap();
    assert!(not_yet().await);
    append(&queue, 4..5, 20_000).await;
    let batch = queue.next_batch(patient).await.unwrap();
    assert_eq!(batch.record_count(), 1, "full by its bytes");
    queue.remove(batch).await.unwrap();
    let soon = limits(Duration::from_millis(1));
    append(&queue, 5..6, 10).await;
    while queue.depth().records > 0 {
        let batch = queue.next_batch(soon).await.unwrap();
        queue.remove(batch).await.unwrap();
    }
}

#[tokio::test]
async fn next_batch_waits_for_an_append_and_ends_with_the_queue() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { read(&next(&queue).await) }
    });
    tokio::task::yield_now().await;
    append(&queue, 5..6, 10).await;
    assert_eq!(waiting.await.unwrap(), [(5, 1)]);
    // The batch was dropped, so it is there again; and then there is nothing more.
    let batch = next(&queue).await;
    let waiting = tokio::spawn({
        let queue = queue.clone();
        async move { queue.next_batch(BatchLimits::default()).await.is_none() }
    });
    tokio::task::yield_now().await;
    queue.close().await;
    assert!(waiting.await.unwrap());
    assert!(matches!(
        queue.remove(batch).await,
        Err(StorageError::Closed)
    ));
    assert!(matches!(
        queue.append(redacted(logs(0..1, 1))).await,
        Err(AppendError::Closed)
    ));
    assert!(matches!(queue.parked().await, Err(StorageError::Closed)));
    queue.close().await;
}

#[tokio::test]
async fn a_later_batch_settled_first_does_not_settle_the_earlier() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..1, 10).await;
    append(&queue, 1..2, 10).await;
    let one = BatchLimits {
        records: 1,
        ..BatchLimits::default()
    };
    let earlier = queue.next_batch(one).await.unwrap();
    let later = queue.next_batch(one).await.unwrap();
    queue.remove(later).await.unwrap();
    drop(earlier);
    queue.close().await;
    let queue = open(directory.path());
    assert_eq!(read(&next(&queue).await)[0], (0, 1));
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash_right_after() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for id in 0..20 {
        append(&queue, id..id + 1, 500).await;
        let crashed = copy(directory.path());
        let after = open(crashed.path());
        assert_eq!(read(&next(&after).await).len() as u64, id + 1);
        assert_eq!(after.last_seq(), id + 1);
    }
}

#[tokio::test]
async fn a_large_body_is_stored_in_parts_and_none_of_it_in_blobs() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..1, 3 << 20).await;
    append(&queue, 1..5, 1 << 20).await;
    append(&queue, 5..6, 20).await;
    let first = next(&queue).await;
    assert_eq!(read(&first), [(0, 1)]);
    let entries = first.position();
    assert_eq!(
        entries.end - entries.start,
        32 + 1,
        "3 MiB and a little in parts of 96 KiB"
    );
    queue.remove(first).await.unwrap();
    // Cut between its records, the second request fits into more batches than one.
    let limits = BatchLimits {
        plain_bytes: 2 << 20,
        ..BatchLimits::default()
    };
    for expected in [(1, 2), (2, 3), (3, 4)] {
        let batch = queue.next_batch(limits).await.unwrap();
        assert_eq!(read(&batch), [expected]);
        queue.remove(batch).await.unwrap();
    }
    queue.close().await;
    let queue = open(directory.path());
    assert_eq!(read(&next(&queue).await), [(4, 5), (5, 6)]);
    assert_eq!(blobs(directory.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_has_closed() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    let refused = Queue::open(directory.path(), Limits::default())
        .err()
        .unwrap();
    assert!(matches!(refused, OpenError::InUse(_)), "{refused}");
    queue.close().await;
    open(directory.path()).close().await;
    fs::write(directory.path().join("format"), "2\n").unwrap();
    let refused = Queue::open(directory.path(), Limits::default())
        .err()
        .unwrap();
    assert!(
        matches!(&refused, OpenError::Format { found, .. } if found == "2"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_drained_queue_gives_the_disk_back_and_goes_on_counting() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for id in 0..30 {
        append(&queue, id..id + 1, 1_000_000).await;
    }
    assert_eq!(segments(directory.path()).len(), 4);
    let full = disk_bytes(directory.path());
    assert!(
        (30 << 20..50 << 20).contains(&full),
        "{full} bytes for 30 MB"
    );
    drain(&queue, 29).await;
    queue.close().await;
    assert_eq!(segments(directory.path()).len(), 1);
    let drained = disk_bytes(directory.path());
    assert!(drained < 10 << 20, "{drained} bytes when empty");

    for round in 0..3 {
        let queue = open(directory.path());
        assert_eq!((queue.depth().records, queue.last_seq()), (0, 30 + round));
        append(&queue, 100..101, 10).await;
        assert_eq!(drain(&queue, 100).await, [(100, 31 + round)]);
        queue.close().await;
    }
    fs::remove_dir_all(directory.path().join("state.db")).unwrap();
    assert_eq!(open(directory.path()).last_seq(), 33);
}

#[tokio::test]
async fn a_refused_append_leaves_the_queue_in_order() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    fs::write(
        directory.path().join(format!("{:016x}.sled", 1)),
        "in the way",
    )
    .unwrap();
    let refused = queue.append(redacted(logs(0..1, 10))).await;
    assert!(
        matches!(refused, Err(AppendError::Storage(StorageError::Io(_)))),
        "{refused:?}"
    );
    append(&queue, 1..2, 10).await;
    assert_eq!(read(&next(&queue).await), [(1, 2)]);
    assert_eq!(queue.losses(10).ranges, [(Reason::Refused, 1..=1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_at_once_are_stored_each_in_its_order() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    let appenders = (0..16).map(|appender| {
        let queue = queue.clone();
        tokio::spawn(async move {
            for n in 0..25 {
                append(&queue, appender * 1000 + n..appender * 1000 + n + 1, 2000).await;
            }
        })
    });
    for appender in appenders.collect::<Vec<_>>() {
        appender.await.unwrap();
    }
    assert_eq!(queue.depth().records, 400);
    queue.close().await;
    let queue = open(directory.path());
    let mut read = Vec::new();
    while read.len() < 400 {
        let batch = next(&queue).await;
        read.extend(self::read(&batch));
        queue.remove(batch).await.unwrap();
    }
    for appender in 0..16 {
        let own: Vec<u64> = read
            .iter()
            .map(|r| r.0)
            .filter(|id| id / 1000 == appender)
            .collect();
        assert_eq!(
            own,
            (appender * 1000..appender * 1000 + 25).collect::<Vec<_>>()
        );
    }
    let mut numbers: Vec<u64> = read.iter().map(|record| record.1).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn parked_records_are_listed_survive_and_are_bounded() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    assert_eq!(queue.parked().await.unwrap().items, []);
    let parked = |reason: &str, status, request| Parked {
        reason: reason.into(),
        status,
        request,
    };
    queue
        .park(parked("refused", Some(400), logs(0..3, 300_000)))
        .await
        .unwrap();
    queue
        .park(parked("answered nothing", None, traces()))
        .await
        .unwrap();
    let list = queue.parked().await.unwrap();
    let told: Vec<_> = list
        .items
        .iter()
        .map(|p| (&p.reason[..], p.status, p.signal, p.records))
        .collect();
    assert_eq!(
        told,
        [
            ("refused", Some(400), Signal::Logs, 3),
            ("answered nothing", None, Signal::Traces, 1)
        ]
    );
    let crashed = copy(directory.path());
    assert_eq!(open(crashed.path()).parked().await.unwrap(), list);
    for id in 0..9 {
        queue
            .park(parked("again", None, logs(id..id + 1, 8_000_000)))
            .await
            .unwrap();
    }
    let bounded = queue.parked().await.unwrap();
    let kept: u64 = bounded.items.iter().map(|item| item.bytes).sum();
    assert!((40 << 20..=64 << 20).contains(&kept), "{kept} bytes");
    assert_eq!(bounded.dropped_records + bounded.items.len() as u64, 4 + 9);
    assert!(bounded.items.iter().all(|item| item.id > list.items[1].id));
    queue.close().await;
    assert_eq!(
        open(directory.path()).parked().await.unwrap(),
        bounded,
        "what had to go is known after a restart, too"
    );
    assert_eq!(blobs(directory.path()), Vec::<PathBuf>::new());
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        records: u64,
        bytes: usize,
    },
    Deliver {
        limit: usize,
    },
    /// The upstream refuses what it is given.
    Park {
        limit: usize,
    },
    GiveBack,
    Reopen,
    Crash,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let small =
        (1..20u64, 0..2000usize).prop_map(|(records, bytes)| Step::Append { records, bytes });
    let large = (1..3u64, 100_000..1_200_000usize)
        .prop_map(|(records, bytes)| Step::Append { records, bytes });
    let step = prop_oneof![
        6 => small,
        3 => large,
        6 => (1..40usize).prop_map(|limit| Step::Deliver { limit }),
        1 => (1..10usize).prop_map(|limit| Step::Park { limit }),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Reopen),
        1 => Just(Step::Crash),
    ];
    proptest::collection::vec(step, 1..60)
}

/// A queue that never fills, and small ones of both kinds.
fn limits() -> impl Strategy<Value = Limits> {
    let small = (1_500_000..4_000_000u64, any::<bool>()).prop_map(|(max_bytes, drops)| Limits {
        max_bytes,
        when_full: if drops {
            WhenFull::DropOldest
        } else {
            WhenFull::Reject
        },
        ..Limits::default()
    });
    prop_oneof![1 => Just(Limits::default()), 3 => small]
}

proptest! {
    #![proptest_config(cases(32, 5))]

    /// The model: record `n` of all that were appended has the id `n` and the number `n + 1`. Both
    /// delivery and a full queue take from the front; so what waits is always the end of the list.
    /// At the end a byte may be flipped somewhere.
    #[test]
    fn behaves_like_a_list(
        steps in steps(),
        limits in limits(),
        damage in proptest::option::of((any::<Index>(), any::<Index>())),
    ) {
        Runtime::new().unwrap().block_on(async {
            let mut directory = TempDir::new().unwrap();
            let mut queue = open_within(directory.path(), limits.clone());
            let drops = limits.when_full == WhenFull::DropOldest;
            let (mut appended, mut gone, mut largest) = (0, 0, 0);
            let mut lost = BTreeMap::new();
            let mut parked = 0;
            // Files are copied one after another; that image may say of a settled number that it is lost.
            let mut was_copied = false;
            for step in steps {
                match step {
                    Step::Append { records, bytes } => {
                        let before = queue.depth();
                        match queue.append(redacted(logs(appended..appended + records, bytes))).await {
                            Ok(_) => appended += records,
                            Err(AppendError::Full) => {
                                assert!(!drops, "a queue that drops the oldest refuses nobody");
                                let wanted = records * (bytes as u64 * 101 / 100 + 100) + 1000;
                                assert!(data_bytes(directory.path()) + wanted > limits.max_bytes);
                                assert_eq!(queue.depth(), before);
                            }
                            Err(AppendError::TooLarge(bytes)) => {
                                assert!(!drops, "a queue that drops the oldest refuses nobody");
                                // An eighth is a segment, of which half may stay when it is settled.
                                let holds = limits.max_bytes - limits.max_bytes / 16;
                                assert!(bytes as u64 > holds - holds / 50, "{bytes} bytes fit");
                                assert_eq!(queue.depth(), before);
                            }
                            Err(error) => panic!("{error}"),
                        }
                        let dropped = appended - gone - queue.depth().records;
                        lose(&mut lost, gone + 1..=gone + dropped, Reason::Size);
                        assert!(drops || dropped == 0, "{dropped} records are gone");
                        gone += dropped;
                        // The last segment stays, and is as long as its last set.
                        largest = largest.max(records * (bytes as u64 * 101 / 100 + 200) + 1000);
                        assert!(queue.depth().bytes <= limits.max_bytes.max(2 * largest));
                    }
                    Step::Deliver { limit } if gone < appended => {
                        let limits = BatchLimits { records: limit, ..BatchLimits::default() };
                        let batch = queue.next_batch(limits).await.unwrap();
                        let end = gone + batch.record_count() as u64;
                        assert!(end > gone && end <= appended);
                        let expected: Vec<_> = (gone..end).map(|id| (id, id + 1)).collect();
                        assert_eq!(read(&batch), expected);
                        queue.remove(batch).await.unwrap();
                        gone = end;
                    }
                    Step::GiveBack if gone < appended => drop(next(&queue).await),
                    Step::Park { limit } if gone < appended => {
                        let limits = BatchLimits { records: limit, ..BatchLimits::default() };
                        let batch = queue.next_batch(limits).await.unwrap();
                        let request = batch.decode().unwrap();
                        let end = gone + request.record_count() as u64;
                        queue.park(Parked { reason: "refused".into(), status: None, request }).await.unwrap();
                        queue.remove(batch).await.unwrap();
                        lose(&mut lost, gone + 1..=end, Reason::Parked);
                        parked += end - gone;
                        gone = end;
                    }
                    Step::Deliver { .. } | Step::Park { .. } | Step::GiveBack => {}
                    Step::Reopen => {
                        queue.close().await;
                        queue = open_within(directory.path(), limits.clone());
                    }
                    Step::Crash => {
                        let crashed = copy(directory.path());
                        queue.close().await;
                        queue = open_within(crashed.path(), limits.clone());
                        directory = crashed;
                        was_copied = true;
                        let depth = queue.depth().records;
                        assert!(depth >= appended - gone, "acknowledged records are missing");
                        gone = appended - depth;
                    }
                }
                assert_eq!(queue.depth().records, appended - gone);
                assert_eq!(queue.depth().damaged, 0);
                assert_eq!(queue.last_seq(), appended);
                assert!(was_copied || told(&queue) == lost, "{:?}", told(&queue));
            }
            let list = queue.parked().await.unwrap();
            let listed: u64 = list.items.iter().map(|item| item.records).sum();
            assert_eq!(listed + list.dropped_records, parked);
            queue.close().await;
            if let Some((segment, place)) = damage {
                let segments = segments(directory.path());
                if !segments.is_empty() {
                    let file = segments[segment.index(segments.len())].join("db");
                    flip(&file, place.index(fs::metadata(&file).unwrap().len() as usize) as u64);
                }
            }
            let queue = open(directory.path());
            append(&queue, appended..appended + 1, 10).await;
            let mut rest = drain(&queue, appended).await;
            assert_eq!(rest.pop(), Some((appended, appended + 1)));
            for id in (gone..appended).filter(|id| !rest.contains(&(*id, id + 1))) {
                lose(&mut lost, id + 1..=id + 1, Reason::Damaged);
            }
            assert!(was_copied || told(&queue) == lost, "exactly what is missing");
            assert!(rest.is_sorted());
            assert!(damage.is_some() || rest.len() as u64 == appended - gone);
            assert_eq!(blobs(directory.path()), Vec::<PathBuf>::new());
        });
    }
}

/// A number is lost once, for the first reason.
fn lose(lost: &mut BTreeMap<u64, Reason>, numbers: RangeInclusive<u64>, reason: Reason) {
    for number in numbers {
        lost.entry(number).or_insert(reason);
    }
}

/// Bytes of the segments' files.
fn data_bytes(directory: &Path) -> u64 {
    let length = |segment: &PathBuf| fs::metadata(segment.join("db")).unwrap().len();
    segments(directory).iter().map(length).sum()
}

/// The numbers that the ledger has, and why.
fn told(queue: &Queue) -> BTreeMap<u64, Reason> {
    let ranges = queue.losses(usize::MAX).ranges.into_iter();
    ranges
        .flat_map(|(reason, numbers)| numbers.map(move |number| (number, reason)))
        .collect()
}
