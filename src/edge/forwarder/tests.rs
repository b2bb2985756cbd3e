//! What a sleep of the machine does to connections. Its clock is the tests'; the rest of the forwarder's
//! behavior is seen from outside, in `tests/`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::ConnectInfo;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use tokio::net::TcpListener;

use super::*;
use crate::edge::config;
use crate::edge::queue::Limits;
use crate::edge::redact::Redactor;
use crate::otlp::ExportLogsServiceRequest;
use crate::shutdown;

/// Less than a request's time, and far more than is needed.
const PATIENCE: Duration = Duration::from_secs(45);

/// The connections over which requests came, in order.
type Peers = Arc<Mutex<Vec<SocketAddr>>>;

/// An upstream that does not answer its second request, as if the connection led nowhere.
async fn upstream() -> (String, Peers) {
    let peers = Peers::default();
    let seen = Arc::clone(&peers);
    let answer = async move |ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        let count = {
            let mut peers = seen.lock().expect("nobody panics");
            peers.push(peer);
            peers.len()
        };
        if count == 2 {
            std::future::pending::<()>().await;
        }
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a free port");
    let address = listener.local_addr().expect("a bound address");
    let router = Router::new().fallback(answer);
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (format!("http://{address}/v1/logs"), peers)
}

async fn append(queue: &Queue) {
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: vec![LogRecord::default()],
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    };
    let records = Redactor::builtin().redact(Request::Logs(request));
    queue.append(records).await.expect("there is room");
}

/// Waits until `is_so`.
async fn until(is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.expect("it does not take as long as a request may");
}

fn forwarder(directory: &Path, endpoint: String) -> (Forwarder, Queue) {
    let queue = Queue::open(directory, Limits::default()).expect("it opens");
    let link = Link::default();
    let upstream = Upstream::new(&config::Upstream::to(endpoint), &link).expect("a way");
    let forwarder = Forwarder::new(queue.clone(), upstream, Arc::default(), link);
    (forwarder, queue)
}

#[tokio::test]
async fn connections_do_not_outlive_a_sleep_of_the_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let (endpoint, peers) = upstream().await;
    let (mut forwarder, queue) = forwarder(directory.path(), endpoint);
    let link = forwarder.link.clone();
    let asleep = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&asleep);
    forwarder.rest = Rest::on(move || Duration::from_secs(clock.load(Ordering::Relaxed)));
    let (stop, stopped) = shutdown::channel();
    let running = tokio::spawn(forwarder.run(stopped));
    let requests = || peers.lock().expect("nobody panics").len();

    append(&queue).await;
    until(|| queue.depth().records == 0).await;
    append(&queue).await;
    until(|| requests() == 2).await;
    // What is on its way goes nowhere any more.
    asleep.fetch_add(3_600, Ordering::Relaxed);
    until(|| queue.depth().records == 0).await;
    // Nor does what lies open.
    asleep.fetch_add(3_600, Ordering::Relaxed);
    append(&queue).await;
    until(|| queue.depth().records == 0).await;

    let peers = peers.lock().expect("nobody panics").clone();
    let [first, second, third, fourth] = peers[..] else {
        panic!("{peers:?}")
    };
    assert_eq!(first, second, "a connection is kept");
    assert!(second != third && third != fourth, "{peers:?}");
    assert_eq!(link.status().in_flight, 0);
    stop.stop();
    running.await.expect("it ends");
    queue.close().await;
}
