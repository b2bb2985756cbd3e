//! The parked list: read back, sent again, dropped.

use fieldpost::edge::queue::{Parked, Queue, Reason};
use fieldpost::otlp::Request;
use tempfile::TempDir;

use crate::support::queue::{
    append, copy, drain, logs, metrics, next, open, redacted, segments, traces,
};

#[tokio::test]
async fn parked_records_are_read_back_whole() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    append(&queue, 0..6, 300_000).await;
    let batch = next(&queue).await;
    let Request::Logs(records) = batch.decode().unwrap() else {
        panic!("not logs")
    };
    let parked = |reason: &str, request| Parked {
        reason: reason.into(),
        status: Some(422),
        request,
    };
    let whole = Request::Logs(records);
    queue.park(parked("whole", whole.clone())).await.unwrap();
    queue.park(parked("a second", traces())).await.unwrap();
    queue.park(parked("a third", metrics())).await.unwrap();
    queue.remove(batch).await.unwrap();
    assert_eq!(queue.losses(10).ranges, [(Reason::Parked, 1..=6)]);
    assert_eq!(queue.losses(10).counts[&Reason::Parked], 8);
    let ids = async |queue: &Queue| -> Vec<u64> {
        let list = queue.parked().await.unwrap();
        list.items.iter().map(|item| item.id).collect()
    };
    let [first, second, third] = ids(&queue).await[..] else {
        panic!("three are parked")
    };

    let read = queue.read_parked(first).await.unwrap().unwrap();
    assert_eq!((&read.reason[..], read.status), ("whole", Some(422)));
    assert_eq!(read.request, whole);
    assert!(queue.read_parked(third + 100).await.unwrap().is_none());
    // While its segment is being written, and after.
    let crashed = copy(directory.path());
    queue.close().await;
    for queue in [open(crashed.path()), open(directory.path())] {
        assert_eq!(ids(&queue).await, [first, second, third]);
        let read = queue.read_parked(first).await.unwrap().unwrap();
        assert_eq!(read.request, whole);
        let read = queue.read_parked(second).await.unwrap().unwrap();
        assert_eq!((&read.reason[..], read.request), ("a second", traces()));
        queue.close().await;
    }
}

#[tokio::test]
async fn what_was_sent_again_or_dropped_is_off_the_list_for_good() {
    let directory = TempDir::new().unwrap();
    let queue = open(directory.path());
    let list = async |queue: &Queue| -> Vec<(u64, String)> {
        let list = queue.parked().await.unwrap();
        list.items
            .into_iter()
            .map(|item| (item.id, item.reason))
            .collect()
    };
    for (reason, request) in [
        ("sent", logs(7..9, 100)),
        ("dropped", traces()),
        ("kept", metrics()),
    ] {
        let parked = Parked {
            reason: reason.into(),
            status: None,
            request,
        };
        queue.park(parked).await.unwrap();
    }
    let ids: Vec<u64> = list(&queue).await.into_iter().map(|item| item.0).collect();
    assert!(queue.send_parked(ids[0], redacted).await.unwrap());
    assert!(!queue.send_parked(ids[0], redacted).await.unwrap());
    assert!(queue.drop_parked(ids[1]).await.unwrap());
    assert!(!queue.drop_parked(ids[1]).await.unwrap());
    assert_eq!(drain(&queue, 8).await, [(7, 1), (8, 2)]);
    let crashed = copy(directory.path());
    queue.close().await;
    for directory in [&directory, &crashed] {
        let queue = open(directory.path());
        assert_eq!(list(&queue).await, [(ids[2], "kept".to_owned())]);
        assert!(queue.drop_parked(ids[2]).await.unwrap());
        assert_eq!(
            segments(&directory.path().join("parked.db")).len(),
            0,
            "nothing holds it"
        );
        queue.close().await;
        // A new item may get an old id; it is there all the same.
        let queue = open(directory.path());
        let parked = Parked {
            reason: "new".into(),
            status: None,
            request: traces(),
        };
        queue.park(parked).await.unwrap();
        queue.close().await;
        let queue = open(directory.path());
        assert_eq!(list(&queue).await[0].1, "new");
        queue.close().await;
    }
}
