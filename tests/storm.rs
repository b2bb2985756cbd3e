//! A fleet that comes back all at once after an outage, each edge with a backlog: everything is stored, and
//! the service takes no more memory than it may. The short form is small; `tests/run --soak` sends 20 000
//! edges.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fieldpost::event::{EDGE_ID, EDGE_SEQ, Timestamp, attribute};
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{ExportLogsServiceRequest, Request};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::api::Api;
use crate::support::fieldpost::{Service, free_port};
use crate::support::random::Random;

/// Requests of each edge.
const BATCHES: usize = 2;

/// Records of each request.
const RECORDS: usize = 10;

/// Connections that this process has open at once; further edges wait for a place, as they would for an
/// answer to their first packet.
const MAX_OPEN: usize = 6_000;

/// Most memory that the service may have taken, in bytes: 256 MiB for what is in flight and 4096
/// connections, and as much for a build without optimization.
const MAX_MEMORY: u64 = 320 << 20;

/// Edges that come back: `FIELDPOST_SOAK_EDGES`, or few.
fn edges() -> usize {
    let asked = std::env::var("FIELDPOST_SOAK_EDGES").ok();
    asked.map_or(400, |number| number.parse().expect("a number of edges"))
}

/// What all edges share.
struct Fleet {
    address: SocketAddr,
    bearer: String,
    places: Semaphore,
    random: Random,
    /// Requests that had to be sent again.
    again: AtomicU64,
}

#[expect(clippy::print_stdout, reason = "the long form tells its figures")]
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_comes_back_at_once_is_stored_whole_in_bounded_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let config = format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[data]\ndirectory = \"{}\"\n\
         [ingest]\nrequests_per_second = 100000\nmax_in_flight = \"32MiB\"\n",
        directory.path().join("data").display()
    );
    let central = Service::start("central", directory.path(), &config, port).await;
    let installation = central.run_json(&["token", "install", "--json"]).await;
    let bearer = installation["authorizationHeader"]
        .as_str()
        .expect("a header");
    let key = central.run(&["api-key"]).await;
    let fleet = Arc::new(Fleet {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        bearer: bearer.to_owned(),
        places: Semaphore::new(MAX_OPEN),
        random: Random::new(20_000),
        again: AtomicU64::new(0),
    });
    let begun = Instant::now();
    let mut storm = JoinSet::new();
    for edge in 0..edges() {
        let fleet = Arc::clone(&fleet);
        storm.spawn(async move { fleet.come_back(edge).await });
    }
    while let Some(edge) = storm.join_next().await {
        edge.expect("every edge delivers");
    }
    let took = begun.elapsed();
    let memory = peak_memory(central.pid());

    let api = Api::new(&format!("http://127.0.0.1:{port}"), key.trim());
    let machines = api.list("machines").await;
    assert_eq!(machines.len(), edges());
    for machine in &machines {
        assert_eq!(machine["stored"], BATCHES * RECORDS, "{machine}");
        assert_eq!(machine["missing"], 0, "{machine}");
    }
    println!(
        "{} edges with {} records each: {:.1} s, {} requests sent again, {} MiB at most",
        edges(),
        BATCHES * RECORDS,
        took.as_secs_f64(),
        fleet.again.load(Ordering::Relaxed),
        memory >> 20,
    );
    assert!(memory <= MAX_MEMORY, "{} MiB", memory >> 20);
}

impl Fleet {
    /// Delivers everything that one edge has kept, however often it has to be sent.
    async fn come_back(&self, edge: usize) {
        let _place = self.places.acquire().await.expect("it is never closed");
        let mut connection = None;
        for batch in 0..BATCHES {
            let body = body(edge, batch);
            while let Some(wait) = self.post(&mut connection, edge, &body).await {
                self.again.fetch_add(1, Ordering::Relaxed);
                // Full jitter, so that they do not all come again at once.
                let jitter = self.random.next() % 2_000;
                tokio::time::sleep(wait + Duration::from_millis(jitter)).await;
            }
        }
    }

    /// Posts once; the time to wait where that must be done again.
    async fn post(
        &self,
        connection: &mut Option<TcpStream>,
        edge: usize,
        body: &[u8],
    ) -> Option<Duration> {
        let outcome = self.exchange(connection, edge, body).await;
        match outcome {
            Ok((200, _)) => None,
            Ok((status @ (429 | 503), wait)) => {
                let wait = wait.unwrap_or_else(|| panic!("{status} without Retry-After"));
                Some(wait)
            }
            Ok((status, _)) => panic!("the service answered {status}"),
            Err(_) => {
                *connection = None;
                Some(Duration::ZERO)
            }
        }
    }

    async fn exchange(
        &self,
        connection: &mut Option<TcpStream>,
        edge: usize,
        body: &[u8],
    ) -> std::io::Result<(u16, Option<Duration>)> {
        let stream = match connection {
            Some(stream) => stream,
            None => connection.insert(self.connect(edge).await?),
        };
        let head = format!(
            "POST /v1/logs HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\
             content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\n\
             content-length: {}\r\n\r\n",
            self.bearer,
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        let mut answer = Vec::new();
        let end = loop {
            if let Some(at) = answer.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut answer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        };
        let text = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
        let header = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim().to_owned())
        };
        let length: usize = header("content-length:").map_or(0, |it| it.parse().expect("a length"));
        let mut rest = vec![0; (end + length).saturating_sub(answer.len())];
        stream.read_exact(&mut rest).await?;
        let status = text.split(' ').nth(1).expect("a status");
        let wait =
            header("retry-after:").map(|it| Duration::from_secs(it.parse().expect("seconds")));
        if header("connection:").as_deref() == Some("close") {
            *connection = None;
        }
        Ok((status.parse().expect("a status"), wait))
    }

    /// From one of several addresses: one alone has too few ports for a fleet.
    async fn connect(&self, edge: usize) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        let host = u8::try_from(edge % 8).expect("it is small") + 1;
        socket.bind(SocketAddr::from(([127, 0, 0, host], 0)))?;
        socket.connect(self.address).await
    }
}

/// One batch, as an edge sends it.
fn body(edge: usize, batch: usize) -> Vec<u8> {
    let now = u64::try_from(Timestamp::now().0).expect("after 1970");
    let text = |key: &str, value: &str| attribute(key, Any::StringValue(value.to_owned()));
    let records = (0..RECORDS).map(|at| {
        let seq = i64::try_from(batch * RECORDS + at + 1).expect("it is small");
        LogRecord {
            time_unix_nano: now + at as u64,
            attributes: vec![
                text("event.name", "tool_result"),
                text("tool_name", "Bash"),
                text("session.id", &format!("session-of-{edge}")),
                text("user.email", &format!("person-{}@example.com", edge % 500)),
                text(
                    "tool_input",
                    &format!("{{\"command\":\"ls {edge} {seq}\"}}"),
                ),
                attribute(EDGE_SEQ, Any::IntValue(seq)),
            ],
            ..LogRecord::default()
        }
    });
    let request = Request::Logs(ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(Resource {
                attributes: vec![text(EDGE_ID, &format!("edge-{edge}"))],
                ..Resource::default()
            }),
            scope_logs: vec![ScopeLogs {
                log_records: records.collect(),
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    });
    Coding::Zstd
        .compress(&request.encode())
        .expect("it compresses")
}

/// The most memory that a process has ever had, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux says");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes.and_then(|it| it.parse().ok()).expect("a number");
    kilobytes << 10
}
