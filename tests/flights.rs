//! Several batches on their way at once: how many, how large, and what is left of them when something
//! goes wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::edge::config::Config;

use crate::support::fieldpost::{TestEdge, edge_config};
use crate::support::queue::{copy, next, open};
use crate::support::records::{Record, claude_session};
use crate::support::upstream::{Gate, Upstream, attribute};
use crate::support::{PATIENCE, eventually};

/// Records of one post.
fn session(name: &str, count: usize) -> Vec<Record> {
    claude_session("ada@example.com", name, count)
}

/// An edge that cuts batches of ten records, and never waits long.
fn quick(directory: &Path, endpoint: &str, port: u16) -> String {
    let config = edge_config(directory, endpoint, None, port);
    format!("{config}batch_records = 10\nmax_retry_wait = \"20ms\"\nextras = false\n")
}

/// How often each record was accepted.
fn accepted(upstream: &Upstream) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for uid in upstream.accepted("log.record.uid") {
        *times.entry(uid).or_default() += 1;
    }
    times
}

/// An upstream that is unwell, and then answers each batch only as far as its gate is open.
struct Slow {
    upstream: Upstream,
    is_well: Arc<AtomicBool>,
    /// For a batch that begins with a record of the session with this number.
    gates: Vec<Gate>,
    /// The numbers of the batches that have come to their gates.
    begun: Arc<Mutex<Vec<usize>>>,
}

impl Slow {
    async fn start(sessions: usize) -> Slow {
        let is_well = Arc::new(AtomicBool::new(false));
        let gates: Vec<Gate> = (0..sessions).map(|_| Gate::new()).collect();
        let begun = Arc::new(Mutex::new(Vec::new()));
        let (well, shut, list) = (Arc::clone(&is_well), gates.clone(), Arc::clone(&begun));
        let upstream = Upstream::judging(move |received| {
            if !well.load(Ordering::Relaxed) {
                return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
            }
            let sessions = attribute(&received.request, "session.id");
            let number: usize = sessions[0].parse().expect("a number");
            list.lock().expect("no test panics here").push(number);
            Some(shut[number].answer())
        })
        .await;
        Slow {
            upstream,
            is_well,
            gates,
            begun,
        }
    }

    /// The batches at their gates, in their order, once there are so many; more cannot come.
    async fn wait_for_begun(&self, count: usize) -> Vec<usize> {
        let mut begun = eventually(&format!("{count} requests"), async || {
            let begun = self.begun.lock().expect("no test panics here").clone();
            (begun.len() >= count).then_some(begun)
        })
        .await;
        assert_eq!(begun.len(), count, "{begun:?}");
        begun.sort_unstable();
        begun
    }

    fn open_all(&self) {
        self.gates.iter().for_each(Gate::open);
    }
}

async fn wait_for_in_flight(edge: &TestEdge, count: usize) {
    eventually(&format!("{count} requests on their way"), async || {
        (edge.link().in_flight == count).then_some(())
    })
    .await;
}

/// An edge with a backlog of twenty posts, five records each, whose upstream is well by now. Four
/// batches are on their way, of which the first begins with the session of the number given back.
async fn catching_up(directory: &Path) -> (Slow, TestEdge, Vec<usize>) {
    let slow = Slow::start(20).await;
    let config = quick(directory, &slow.upstream.endpoint, 0);
    let edge = TestEdge::start_with(directory, &config).await;
    for n in 0..20 {
        edge.post(&session(&n.to_string(), 5)).await;
    }
    eventually("a refusal", async || {
        (edge.link().counters.retries > 0).then_some(())
    })
    .await;
    slow.is_well.store(true, Ordering::Relaxed);
    // Nobody knows yet whether the upstream takes anything: one batch tries.
    assert_eq!(slow.wait_for_begun(1).await, [0]);
    slow.gates[0].open();
    let begun = slow.wait_for_begun(5).await;
    wait_for_in_flight(&edge, 4).await;
    (slow, edge, begun)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_probes_and_four_catch_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let (slow, edge, begun) = catching_up(directory.path()).await;
    // A later one that is through lets no further one go before the first.
    slow.gates[begun[3]].open();
    wait_for_in_flight(&edge, 3).await;
    slow.wait_for_begun(5).await;
    slow.gates[begun[1]].open();
    slow.wait_for_begun(6).await;
    slow.open_all();
    eventually("everything upstream", async || {
        (accepted(&slow.upstream).len() == 100).then_some(())
    })
    .await;
    assert!(accepted(&slow.upstream).values().all(|times| *times == 1));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_steady_state_one_request_is_on_its_way() {
    let slow = Slow::start(6).await;
    slow.is_well.store(true, Ordering::Relaxed);
    let directory = tempfile::tempdir().expect("a directory");
    let config = quick(directory.path(), &slow.upstream.endpoint, 0);
    let edge = TestEdge::start_with(directory.path(), &config).await;
    edge.post(&session("0", 1)).await;
    slow.wait_for_begun(1).await;
    // No more than a full batch.
    for n in 1..6 {
        edge.post(&session(&n.to_string(), 2)).await;
    }
    wait_for_in_flight(&edge, 1).await;
    slow.gates[0].open();
    assert_eq!(slow.wait_for_begun(2).await, [0, 1]);
    slow.open_all();
    let records = eventually("two batches to be settled", async || {
        let counters = edge.link().counters;
        (counters.batches == 2).then_some(counters.records)
    })
    .await;
    assert_eq!(records, 11);
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_got_through_before_an_earlier_batch_comes_again_after_a_crash() {
    let directory = tempfile::tempdir().expect("a directory");
    let (slow, edge, begun) = catching_up(directory.path()).await;
    let probed = accepted(&slow.upstream);
    // Of the four, the first does not get through.
    begun[2..]
        .iter()
        .for_each(|number| slow.gates[*number].open());
    wait_for_in_flight(&edge, 1).await;
    let crashed = copy(&directory.path().join("queue"));

    let queue = open(crashed.path());
    let mut left = BTreeSet::new();
    while queue.depth().records > 0 {
        let batch = next(&queue).await;
        left.extend(attribute(&batch.decode().expect("OTLP"), "log.record.uid"));
        queue.remove(batch).await.expect("the queue is open");
    }
    let first_batch = 100 - left.len();
    assert!(first_batch <= 10, "only what was settled in order is gone");
    let known = probed.into_keys().filter(|uid| !left.contains(uid));
    assert_eq!(known.count(), first_batch, "and that is upstream");
    queue.close().await;
    slow.open_all();
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_when_the_time_to_stop_is_over_comes_again_at_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let (slow, edge, begun) = catching_up(directory.path()).await;
    let stopped = tokio::time::timeout(PATIENCE, edge.stop()).await;
    stopped.expect("four that never end do not keep it");
    let first: BTreeSet<String> = accepted(&slow.upstream).into_keys().collect();
    assert_eq!(begun.len(), 5, "they had begun");

    let well = Upstream::start().await;
    let config = quick(directory.path(), &well.endpoint, 0);
    let edge = TestEdge::start_with(directory.path(), &config).await;
    eventually("everything upstream", async || {
        let all: BTreeSet<String> = accepted(&well).into_keys().chain(first.clone()).collect();
        (all.len() == 100).then_some(())
    })
    .await;
    assert!(
        accepted(&well).len() >= 90,
        "nothing unsettled was taken for delivered"
    );
    assert!(accepted(&well).values().all(|times| *times == 1));
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_single_records_are_right_with_several_batches_on_their_way() {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = Arc::clone(&is_well);
    let upstream = Upstream::judging(move |received| {
        if !well.load(Ordering::Relaxed) {
            return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
        }
        let numbers = attribute(&received.request, "event.sequence");
        if numbers.len() > 60 {
            return Some(StatusCode::PAYLOAD_TOO_LARGE.into_response());
        }
        let is_bad = numbers.iter().any(|number| number == "207");
        is_bad.then(|| StatusCode::BAD_REQUEST.into_response())
    })
    .await;
    let directory = tempfile::tempdir().expect("a directory");
    let config = quick(directory.path(), &upstream.endpoint, 0)
        .replace("batch_records = 10", "batch_records = 100");
    let edge = TestEdge::start_with(directory.path(), &config).await;
    // One bad record in 500.
    for n in 0..4 {
        edge.post(&session(&format!("backlog-{n}"), 500)).await;
    }
    is_well.store(true, Ordering::Relaxed);
    eventually("everything upstream, or parked", async || {
        let counters = edge.link().counters;
        (counters.records == 1996 && counters.parked == 4).then_some(())
    })
    .await;
    assert_eq!(accepted(&upstream).len(), 1996);
    assert!(accepted(&upstream).values().all(|times| *times == 1));
    let counters = edge.link().counters;
    assert!(counters.split >= 4 * 6, "{counters:?}");
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_larger_than_the_configuration_says() {
    for (limits, most_records, most_bytes) in [
        ("batch_records = 10\n", 10, usize::MAX),
        ("batch_bytes = \"4kB\"\n", usize::MAX, 4_000),
    ] {
        let upstream = Upstream::start().await;
        let directory = tempfile::tempdir().expect("a directory");
        let config = edge_config(directory.path(), &upstream.endpoint, None, 0);
        let config = format!("{config}extras = false\n{limits}");
        let edge = TestEdge::start_with(directory.path(), &config).await;
        // One of exactly ten, one larger than any batch, and many that go together.
        edge.post(&session("exact", 10)).await;
        edge.post(&session("large", 25)).await;
        for n in 0..7 {
            edge.post(&session(&format!("small-{n}"), 3)).await;
        }
        eventually("everything upstream", async || {
            (accepted(&upstream).len() == 56).then_some(())
        })
        .await;
        for received in upstream.received() {
            let request = &received.request;
            assert!(request.record_count() <= most_records, "{limits}");
            assert!(request.encode().len() <= most_bytes, "{limits}");
        }
        assert!(accepted(&upstream).values().all(|times| *times == 1));
        edge.stop().await;
    }
}

#[test]
fn where_batches_are_cut_is_configured_within_bounds() {
    let parse = |more: &str| {
        let text = format!("[upstream]\nendpoint = \"https://otel.example.com\"\n{more}");
        Config::parse(&text, &|_| None).map(|config| config.upstream.batch)
    };
    let usual = parse("").expect("nothing needs to be said");
    assert_eq!((usual.plain_bytes, usual.records), (4 << 20, 8192));
    let own = parse("batch_bytes = \"64MiB\"\nbatch_records = 1\nbatch_age = \"3s\"\n");
    let own = own.expect("a good configuration");
    assert_eq!((own.plain_bytes, own.records), (64 << 20, 1));
    assert_eq!(own.age.as_secs(), 3);
    for bad in [
        "batch_bytes = \"65MiB\"\n",
        "batch_bytes = 0\n",
        "batch_records = 0\n",
        "batch_age = 3\n",
    ] {
        let mistakes = parse(bad).expect_err(bad).to_string();
        assert!(mistakes.contains("line 3: upstream.batch"), "{mistakes}");
    }
}
