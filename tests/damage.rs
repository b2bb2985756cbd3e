//! Damage on disk: only what was hit is lost, the ledger says exactly what, and the queue opens and goes on.

use std::fs;
use std::ops::RangeInclusive;
use std::path::Path;

use fieldpost::edge::config::Config;
use fieldpost::edge::queue::{BatchLimits, Queue, Reason};
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::fieldpost::{client, edge_config};
use crate::support::queue::{
    append, copy, drain, flip, logs, next, noise, open, read, redacted, segments,
};
use crate::support::records::{claude_session, request};

/// Numbers that the ledger says are damaged, and how many it counts.
fn damaged(queue: &Queue) -> (Vec<RangeInclusive<u64>>, u64) {
    let losses = queue.losses(usize::MAX);
    let ranges = losses.ranges.into_iter().map(|(reason, numbers)| {
        assert_eq!(reason, Reason::Damaged);
        numbers
    });
    let count = losses.counts.get(&Reason::Damaged).copied();
    (ranges.collect(), count.unwrap_or(0))
}

/// A closed queue of 30 records of 1 MB in four segments, all of them waiting.
async fn four_segments() -> TempDir {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for id in 0..30 {
        append(&queue, id..id + 1, 1_000_000).await;
    }
    queue.close().await;
    assert_eq!(segments(directory.path()).len(), 4);
    directory
}

/// What comes out of a queue, once one more record was appended.
async fn rest(directory: &Path) -> (Vec<u64>, Queue) {
    let queue = open(directory);
    append(&queue, 1000..1001, 10).await;
    let rest = drain(&queue, 1000).await;
    (rest.into_iter().map(|(_, number)| number).collect(), queue)
}

#[tokio::test]
async fn a_deleted_segment_is_noticed_and_its_numbers_are_told_once() {
    let whole = four_segments().await;
    let (all, queue) = rest(copy(whole.path()).path()).await;
    assert_eq!((all.len(), damaged(&queue)), (31, (vec![], 0)));
    for deleted in 0..4 {
        let directory = copy(whole.path());
        fs::remove_dir_all(&segments(directory.path())[deleted]).unwrap();
        // Found at one start, not found anew at the next.
        for _ in 0..2 {
            let queue = open(directory.path());
            let (ranges, count) = damaged(&queue);
            let [range] = &ranges[..] else {
                panic!("{ranges:?}")
            };
            assert_eq!(count, range.end() - range.start() + 1);
            queue.close().await;
        }
        let (numbers, queue) = rest(directory.path()).await;
        let (ranges, _) = damaged(&queue);
        let lost: Vec<u64> = (1..=31).filter(|n| !numbers.contains(n)).collect();
        assert_eq!(
            lost,
            ranges[0].clone().collect::<Vec<_>>(),
            "segment {deleted}"
        );
        assert_eq!(queue.depth().records, 0);
    }
}

#[tokio::test]
async fn a_segment_that_is_deleted_under_a_running_queue_costs_what_was_in_it() {
    for deleted in 0..4 {
        let directory = four_segments().await;
        let queue = open(directory.path());
        append(&queue, 30..31, 1_000_000).await;
        let doomed = segments(directory.path()).remove(deleted);
        fs::remove_dir_all(doomed).unwrap();
        append(&queue, 1000..1001, 10).await;
        let read = drain(&queue, 1000).await;
        let numbers: Vec<u64> = read.into_iter().map(|record| record.1).collect();
        let lost: Vec<u64> = (1..=32).filter(|n| !numbers.contains(n)).collect();
        assert!((3..=9).contains(&lost.len()), "{lost:?}");
        let (ranges, count) = damaged(&queue);
        let told: Vec<u64> = ranges.into_iter().flatten().collect();
        assert_eq!(told, lost, "segment {deleted}");
        assert_eq!(count, lost.len() as u64);
        assert_eq!(queue.depth().records, 0);
        queue.close().await;
        // Nothing more is found missing at the next start.
        assert_eq!(damaged(&open(directory.path())).1, lost.len() as u64);
    }
}

#[tokio::test]
async fn what_is_handed_out_of_a_segment_that_is_deleted_is_not_lost() {
    let directory = four_segments().await;
    let queue = open(directory.path());
    let three = BatchLimits {
        records: 3,
        ..BatchLimits::default()
    };
    let handed_out = queue.next_batch(three).await.unwrap();
    // The reader goes on to the second segment, and closes the first, of which the rest comes back.
    let mut rest = Vec::new();
    let mut records = handed_out.record_count();
    let second = loop {
        let batch = next(&queue).await;
        records += batch.record_count();
        if records > 9 {
            break batch;
        }
        rest.push(batch);
    };
    drop(rest);
    fs::remove_dir_all(&segments(directory.path())[0]).unwrap();
    let third = next(&queue).await;
    assert!(read(&third)[0].1 > 9);
    assert_eq!(damaged(&queue), (vec![4..=9], 6));
    for batch in [handed_out, second, third] {
        queue.remove(batch).await.unwrap();
    }
}

#[tokio::test]
async fn a_segment_that_is_deleted_while_it_is_written_takes_no_more() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..5, 100).await;
    fs::remove_dir_all(&segments(directory.path())[0]).unwrap();
    let refused = queue.append(redacted(logs(5..6, 100))).await;
    assert!(refused.is_err(), "it would be stored nowhere");
    append(&queue, 6..7, 100).await;
    assert_eq!(drain(&queue, 6).await, [(6, 7)]);
    let losses = queue.losses(usize::MAX);
    assert_eq!(
        losses.ranges,
        [(Reason::Damaged, 1..=5), (Reason::Refused, 6..=6)]
    );
}

#[tokio::test]
async fn settled_records_do_not_count_as_lost_with_their_segment() {
    let directory = four_segments().await;
    let queue = open(directory.path());
    let three = BatchLimits {
        records: 3,
        ..BatchLimits::default()
    };
    let batch = queue.next_batch(three).await.unwrap();
    queue.remove(batch).await.unwrap();
    queue.close().await;
    fs::remove_dir_all(&segments(directory.path())[0]).unwrap();
    let (numbers, queue) = rest(directory.path()).await;
    let lost: Vec<u64> = (4..=31).filter(|n| !numbers.contains(n)).collect();
    let (ranges, _) = damaged(&queue);
    assert_eq!(lost, ranges[0].clone().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_segment_that_sled_cannot_open_is_made_anew_from_what_is_whole() {
    let whole = four_segments().await;
    for sealed in [true, false] {
        let directory = copy(whole.path());
        let segment = segments(directory.path()).remove(1);
        // Without the first bytes of the file sled knows nothing of the others.
        let mut bytes = fs::read(segment.join("db")).unwrap();
        bytes[..1024].fill(0x5a);
        fs::write(segment.join("db"), bytes).unwrap();
        for entry in fs::read_dir(&segment).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            if name.starts_with("snap.") || (name == "info" && !sealed) {
                fs::remove_file(path).unwrap();
            }
        }
        let (numbers, queue) = rest(directory.path()).await;
        let lost: Vec<u64> = (1..=31).filter(|n| !numbers.contains(n)).collect();
        assert!(
            lost.len() <= 1,
            "only what was hit, sealed: {sealed}, {lost:?}"
        );
        let told = damaged(&queue).0.into_iter().flatten();
        assert_eq!(told.collect::<Vec<_>>(), lost);
    }
}

#[tokio::test]
async fn files_that_are_deleted_or_cut_cost_what_was_in_them() {
    let whole = four_segments().await;
    let segment = segments(whole.path()).remove(1);
    let names = fs::read_dir(&segment).unwrap().map(|entry| entry.unwrap());
    let names = names.filter(|entry| entry.file_type().unwrap().is_file());
    let names: Vec<_> = names.map(|entry| entry.file_name()).collect();
    assert!(names.len() >= 3, "{names:?}");
    let delete = |file: &Path| fs::remove_file(file).unwrap();
    let cut = |file: &Path| {
        let file = fs::File::options().write(true).open(file).unwrap();
        file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    };
    for name in names {
        for harm in [&delete as &dyn Fn(&Path), &cut] {
            let directory = copy(whole.path());
            harm(&segments(directory.path())[1].join(&name));
            let (numbers, queue) = rest(directory.path()).await;
            let lost: Vec<u64> = (1..=31).filter(|n| !numbers.contains(n)).collect();
            let told = damaged(&queue).0.into_iter().flatten();
            assert_eq!(told.collect::<Vec<_>>(), lost, "{name:?}");
            assert_eq!(lost.is_empty(), name != "db", "{name:?}: {lost:?}");
        }
    }
}

#[tokio::test]
async fn a_replacement_that_a_crash_interrupted_is_ended_or_begun_again() {
    let whole = four_segments().await;
    for old_is_gone in [true, false] {
        let directory = copy(whole.path());
        let segment = segments(directory.path()).remove(2);
        let anew = segment.with_extension("anew");
        if old_is_gone {
            fs::rename(&segment, &anew).unwrap();
        } else {
            fs::create_dir(&anew).unwrap();
        }
        let (numbers, queue) = rest(directory.path()).await;
        assert_eq!((numbers.len(), damaged(&queue)), (31, (vec![], 0)));
        assert!(!anew.exists());
    }
}

#[tokio::test]
async fn the_end_of_a_segment_that_was_being_written_is_missed() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for id in 0..8 {
        append(&queue, id..id + 1, 500_000).await;
    }
    queue.close().await;
    // As if it had not been closed; half of it is gone.
    let segment = segments(directory.path()).remove(0);
    fs::remove_file(segment.join("info")).unwrap();
    let file = fs::File::options()
        .write(true)
        .open(segment.join("db"))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let (numbers, queue) = rest(directory.path()).await;
    assert!((3..=6).contains(&numbers.len()), "{numbers:?}");
    let lost: Vec<u64> = (1..=9).filter(|n| !numbers.contains(n)).collect();
    let (ranges, count) = damaged(&queue);
    assert_eq!(lost, ranges[0].clone().collect::<Vec<_>>());
    assert_eq!(count, lost.len() as u64);
}

#[tokio::test]
async fn numbers_that_went_for_another_reason_are_not_found_missing_later() {
    let directory = TempDir::new().unwrap();
    let limits = fieldpost::edge::queue::Limits {
        max_bytes: 16 << 20,
        ..Default::default()
    };
    let queue = crate::support::queue::open_within(directory.path(), limits);
    append(&queue, 0..1, 1_000_000).await;
    // On its way, it pins the oldest segment; the next oldest go.
    let pinned = next(&queue).await;
    for id in 1..40 {
        append(&queue, id..id + 1, 1_000_000).await;
    }
    let counts = queue.losses(usize::MAX).counts;
    assert!(counts[&Reason::Size] > 10, "{counts:?}");
    drop(pinned);
    queue.close().await;
    // The ledger has been told, and has forgotten.
    fs::remove_file(directory.path().join("ledger")).unwrap();
    let queue = open(directory.path());
    assert_eq!(damaged(&queue), (vec![], 0));
}

#[tokio::test]
async fn a_damaged_state_means_delivery_again_and_no_loss() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..5, 100).await;
    queue.remove(next(&queue).await).await.unwrap();
    append(&queue, 5..10, 100).await;
    queue.close().await;

    let whole = copy(directory.path());
    let queue = open(whole.path());
    assert_eq!(
        read(&next(&queue).await)[0],
        (5, 6),
        "settled records stay settled"
    );
    let database = directory.path().join("state.db/db");
    let length = fs::metadata(&database).unwrap().len() as usize;
    fs::write(&database, vec![0x5a; length]).unwrap();
    fs::write(directory.path().join("state.db/conf"), "no").unwrap();
    let queue = open(directory.path());
    assert_eq!(
        read(&next(&queue).await),
        (0..10).map(|id| (id, id + 1)).collect::<Vec<_>>()
    );
    append(&queue, 10..11, 100).await;
    assert_eq!(queue.last_seq(), 11);
}

#[tokio::test]
async fn a_ledger_that_cannot_be_read_starts_anew() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..5, 100).await;
    queue.close().await;
    // The system cannot read there either.
    std::os::unix::fs::symlink("/proc/self/mem", directory.path().join("ledger")).unwrap();
    assert!(fs::read(directory.path().join("ledger")).is_err());
    let queue = open(directory.path());
    assert_eq!(damaged(&queue), (vec![], 0));
    assert_eq!(drain(&queue, 4).await.len(), 5);
}

#[tokio::test]
async fn a_flipped_byte_costs_what_it_hit() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    for id in 0..20 {
        append(&queue, id..id + 1, 1_000_000).await;
    }
    let crashed = copy(directory.path());
    queue.close().await;
    let mut lost_any = false;
    for source in [directory.path(), crashed.path()] {
        let length = fs::metadata(segments(source)[1].join("db")).unwrap().len();
        for place in 0..8 {
            let damaged = copy(source);
            let segments = segments(damaged.path());
            assert_eq!(segments.len(), 3);
            flip(&segments[1].join("db"), length * place / 8 + 1234);
            let queue = open(damaged.path());
            append(&queue, 20..21, 10).await;
            let read = drain(&queue, 20).await;
            let ids: Vec<u64> = read.iter().map(|record| record.0).collect();
            assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
            assert!(read.iter().all(|(id, seq)| *seq == id + 1), "{read:?}");
            let lost: Vec<u64> = (0..21).filter(|id| !ids.contains(id)).collect();
            assert!(lost.len() <= 1, "only what was hit: {lost:?}");
            assert!(lost.iter().all(|id| (9..18).contains(id)), "{lost:?}");
            assert_eq!(queue.depth().damaged > 0, !lost.is_empty(), "{lost:?}");
            let told: Vec<u64> = queue
                .losses(usize::MAX)
                .ranges
                .into_iter()
                .inspect(|(reason, _)| assert_eq!(*reason, Reason::Damaged))
                .flat_map(|(_, numbers)| numbers)
                .collect();
            let numbers: Vec<u64> = lost.iter().map(|id| id + 1).collect();
            assert_eq!(told, numbers, "exactly what was lost");
            assert_eq!(queue.depth().records, 0);
            lost_any |= !lost.is_empty();
        }
    }
    assert!(lost_any, "no flip hit anything");
}

#[tokio::test]
async fn what_sled_can_do_without_is_repaired_and_what_not_is_put_aside() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..5, 100).await;
    queue.close().await;
    for (file, contents) in [
        ("conf", &b"\0\0\0\0"[..]),
        ("snap.0000000000000000", b"half a snapshot"),
        ("snap.0000000000000001.generating", b"half a snapshot"),
        ("info", b"nonsense"),
    ] {
        let damaged = copy(directory.path());
        fs::write(segments(damaged.path())[0].join(file), contents).unwrap();
        let queue = open(damaged.path());
        assert_eq!(read(&next(&queue).await).len(), 5, "{file}");
        assert_eq!(queue.depth().damaged, 0, "{file}");
        append(&queue, 5..6, 10).await;
        assert_eq!(queue.last_seq(), 6, "{file}");
    }
    let segment = segments(directory.path()).remove(0);
    fs::write(segment.join("db"), vec![0x5a; 600_000]).unwrap();
    let queue = open(directory.path());
    append(&queue, 5..6, 10).await;
    assert_eq!(read(&next(&queue).await), [(5, 6)]);
    assert_eq!(queue.depth().damaged, 1);
    assert_eq!(queue.losses(10).ranges, [(Reason::Damaged, 1..=5)]);
}

#[tokio::test]
async fn what_a_power_cut_tore_was_never_acknowledged_and_is_no_damage() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..1, 500_000).await;
    // Three sets, synced together.
    append(&queue, 1..4, 600_000).await;
    let crashed = copy(directory.path());
    queue.close().await;
    let segment = segments(crashed.path()).remove(0);
    let database = fs::read(segment.join("db")).unwrap();
    let place = |id: u64| {
        let text = noise(id, 600_000)[300_000..300_032].to_vec();
        let at = database.windows(32).position(|bytes| bytes == text);
        at.expect("it is stored as it is") as u64
    };
    for (hit, reason) in [(0, Reason::Damaged), (2, Reason::Refused)] {
        let torn = copy(crashed.path());
        flip(&segments(torn.path())[0].join("db"), place(hit));
        let queue = open(torn.path());
        append(&queue, 4..5, 10).await;
        let ids: Vec<u64> = drain(&queue, 4).await.iter().map(|read| read.0).collect();
        let others: Vec<u64> = (0..5).filter(|id| *id != hit).collect();
        assert_eq!(ids, others);
        let losses = queue.losses(usize::MAX);
        assert_eq!(losses.ranges, [(reason, hit + 1..=hit + 1)]);
        assert_eq!(queue.depth().damaged > 0, reason == Reason::Damaged);
        assert_eq!(queue.depth().records, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_whose_queue_has_stopped_ends_so_that_it_is_started_anew() {
    let directory = TempDir::new().unwrap();
    // After this segment there are no numbers left: the thread that writes ends by an internal error.
    fs::create_dir_all(directory.path().join("queue/fffffffffffffffe.sled")).unwrap();
    let text = edge_config(directory.path(), "http://127.0.0.1:9/v1/logs", None, 0);
    let config = Config::parse(&text, &|_| None).unwrap();
    let listeners = fieldpost::edge::listen(&config, Vec::new()).await.unwrap();
    let url = format!("http://{}/v1/logs", listeners[0].local_addr().unwrap());
    let (_trigger, shutdown) = fieldpost::shutdown::channel();
    let edge = tokio::spawn(fieldpost::edge::run(config, listeners, shutdown));
    let post = client()
        .post(url)
        .header("content-type", "application/json")
        .body(request(&claude_session("ada@example.com", "lost", 1)).to_string());
    // The answer may not come any more.
    let answer = post.send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 503));
    let ended = tokio::time::timeout(PATIENCE, edge).await;
    let error = ended.expect("it ends").unwrap().unwrap_err().to_string();
    assert!(error.contains("the queue stopped"), "{error}");
}
