//! A disk that is really full: refused or dropped as configured, nothing acknowledged lost, and on it goes when
//! there is room.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use fieldpost::edge::queue::{Limits, Queue, Reason};
use tempfile::TempDir;

use crate::support::disk::SmallDisk;
use crate::support::eventually;
use crate::support::fieldpost::{Service, edge_config, free_port};
use crate::support::flood::{RECORDS, post_until};
use crate::support::upstream::Upstream;

/// Three segments and what they set aside fit.
const DISK: u64 = 64 << 20;

/// An edge whose queue is on a small disk, and its upstream.
struct Scene {
    disk: SmallDisk,
    upstream: Upstream,
    upstream_is_up: Arc<AtomicBool>,
    edge: Service,
    logs: String,
    /// Of the edge's configuration.
    _directory: TempDir,
}

impl Scene {
    /// With these lines in the configuration's `[queue]`. The upstream is down.
    async fn start(queue: &str) -> Scene {
        let disk = SmallDisk::mount(DISK);
        let upstream_is_up = Arc::new(AtomicBool::new(false));
        let is_up = Arc::clone(&upstream_is_up);
        let upstream = Upstream::judging(move |_| {
            let down = !is_up.load(Ordering::Relaxed);
            down.then(|| (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response())
        })
        .await;
        let directory = TempDir::new().unwrap();
        let port = free_port();
        // The waits have grown by the time that the upstream is up, and their length is chance.
        let upstream_of_edge = format!("{queue}\n[upstream]\nmax_retry_wait = \"2s\"");
        let config = edge_config(&disk.path(), &upstream.endpoint, None, port)
            .replace("[upstream]", &upstream_of_edge);
        let edge = Service::start("edge", directory.path(), &config, port).await;
        Scene {
            disk,
            upstream,
            upstream_is_up,
            edge,
            logs: format!("http://127.0.0.1:{port}/v1/logs"),
            _directory: directory,
        }
    }

    /// How many records of each session arrived.
    fn arrived(&self) -> BTreeMap<String, usize> {
        let mut arrived = BTreeMap::new();
        for session in self.upstream.accepted("session.id") {
            *arrived.entry(session).or_default() += 1;
        }
        arrived
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_what_does_not_fit_and_goes_on_by_itself() {
    let mut scene = Scene::start("min_free = \"0\"\nwhen_full = \"reject\"").await;
    let mut answers = post_until(&scene.logs, "before", |answers, _| answers == 3).await;
    let somebody_elses = scene.disk.fill(0);
    let mut refusals = 0;
    let until_refused = |_, status| {
        refusals += usize::from(status == 503);
        refusals == 3
    };
    answers.extend(post_until(&scene.logs, "full", until_refused).await);

    // Killed and started on a disk that is still full, it is there, and refuses or takes.
    scene.edge.kill().await;
    scene.edge.start_again().await;
    answers.extend(post_until(&scene.logs, "again", |answers, _| answers == 3).await);

    fs::remove_file(somebody_elses).unwrap();
    answers.extend(post_until(&scene.logs, "room", |_, status| status == 200).await);
    let others = answers
        .iter()
        .filter(|answer| !matches!(answer.1, 200 | 503));
    assert_eq!(others.count(), 0);
    let acknowledged = answers.iter().filter(|answer| answer.1 == 200);
    let acknowledged: BTreeSet<&String> = acknowledged.map(|answer| &answer.0).collect();
    scene.upstream_is_up.store(true, Ordering::Relaxed);
    eventually("everything that was acknowledged", async || {
        let arrived = scene.arrived();
        let whole = |session: &&String| arrived.get(*session) >= Some(&RECORDS);
        acknowledged.iter().all(whole).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_the_oldest_give_way_and_are_accounted_for() {
    let mut scene = Scene::start("min_free = \"8MiB\"").await;
    post_until(&scene.logs, "before", |answers, _| answers == 100).await;
    let _somebody_elses = scene.disk.fill(12 << 20);
    let answers = post_until(&scene.logs, "full", |answers, _| answers == 100).await;
    let refused = answers.iter().filter(|(_, status)| *status != 200);
    assert_eq!(refused.count(), 0, "Claude is never blocked");
    scene.upstream_is_up.store(true, Ordering::Relaxed);
    let newest = answers.last().expect("there are answers").0.clone();
    eventually("the newest", async || {
        (scene.arrived().get(&newest) == Some(&RECORDS)).then_some(())
    })
    .await;
    scene.edge.kill().await;
    let arrived: usize = scene.arrived().values().sum();
    let queue = Queue::open(&scene.disk.path().join("queue"), Limits::default()).unwrap();
    let dropped = queue.losses(100).counts[&Reason::Disk];
    queue.close().await;
    assert!(dropped > 0);
    assert_eq!(arrived + dropped as usize, 200 * RECORDS);
}
