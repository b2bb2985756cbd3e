//! Posts requests as fast as they are answered, or at a rate.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::records::Generator;

/// Records in one request.
pub(crate) const RECORDS: usize = 50;

/// Length of a record, as JSON.
const RECORD_BYTES: usize = 1000;

/// Requests that are different; they are posted one after another, again and again.
const DIFFERENT: usize = 128;

/// What is posted, and where.
pub(crate) struct Load {
    port: u16,
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    body_bytes: usize,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Done {
    latencies: Vec<Duration>,
    took: Duration,
}

impl Load {
    pub(crate) fn new(port: u16) -> Load {
        let mut records = Generator::new(1, RECORD_BYTES);
        let bodies: Vec<String> = (0..DIFFERENT).map(|_| records.request(RECORDS)).collect();
        let body_bytes = bodies.iter().map(String::len).sum::<usize>() / DIFFERENT;
        let request = |body: &String| {
            format!(
                "POST /v1/logs HTTP/1.1\r\nHost: localhost:{port}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Load {
            port,
            requests: bodies.iter().map(request).collect(),
            next: AtomicUsize::new(0),
            body_bytes,
        }
    }

    /// Bytes of one body, on average.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// Each connection posts again as soon as it is answered.
    pub(crate) fn closed(&self, connections: usize, time: Duration) -> Done {
        let end = Instant::now() + time;
        self.run(connections, |_, _| {
            let now = Instant::now();
            (now < end).then_some(now)
        })
    }

    /// The same until so many requests are answered.
    pub(crate) fn closed_count(&self, connections: usize, requests: usize) -> Done {
        let begun = AtomicUsize::new(0);
        self.run(connections, |_, _| {
            (begun.fetch_add(1, Ordering::Relaxed) < requests).then(Instant::now)
        })
    }

    /// So many requests a second over all connections. The time of a request that had to wait for the
    /// one before counts from when it was due; that this program wakes late is no one's time.
    pub(crate) fn paced(&self, connections: usize, per_second: f64, time: Duration) -> Done {
        let start = Instant::now();
        self.run(connections, |connection, sent| {
            let turn = (connection + sent * connections) as f64;
            let due = start + Duration::from_secs_f64(turn / per_second);
            if due >= start + time {
                return None;
            }
            let early = due.saturating_duration_since(Instant::now());
            if early.is_zero() {
                return Some(due);
            }
            thread::sleep(early);
            Some(Instant::now())
        })
    }

    /// `begin` is asked, with a connection and how many requests it has sent, when to begin the next.
    fn run(
        &self,
        connections: usize,
        begin: impl Fn(usize, usize) -> Option<Instant> + Sync,
    ) -> Done {
        let latencies = Mutex::new(Vec::new());
        let start = Instant::now();
        thread::scope(|scope| {
            for connection in 0..connections {
                let (begin, latencies) = (&begin, &latencies);
                scope.spawn(move || {
                    let mut stream = self.connect();
                    let mut own = Vec::new();
                    while let Some(begun) = begin(connection, own.len()) {
                        self.post(&mut stream);
                        own.push(begun.elapsed());
                    }
                    latencies.lock().expect("no panic").extend(own);
                });
            }
        });
        let took = start.elapsed();
        Done::new(latencies.into_inner().expect("no panic"), took)
    }

    fn connect(&self) -> TcpStream {
        let stream =
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("the edge listens");
        stream.set_nodelay(true).expect("a socket");
        stream
    }

    fn post(&self, stream: &mut TcpStream) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        stream
            .write_all(&self.requests[turn % DIFFERENT])
            .expect("the edge reads");
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let read = stream.read(&mut buffer).expect("the edge answers");
            assert!(read > 0, "the edge closed the connection");
            answer.extend_from_slice(&buffer[..read]);
            if let Some(missing) = missing_bytes(&answer)
                && missing == 0
            {
                break;
            }
        }
        assert!(
            answer.starts_with(b"HTTP/1.1 200"),
            "refused: {}",
            String::from_utf8_lossy(&answer)
        );
    }
}

impl Done {
    pub(crate) fn new(mut latencies: Vec<Duration>, took: Duration) -> Done {
        latencies.sort_unstable();
        Done { latencies, took }
    }

    /// Joins what came of the same later.
    pub(crate) fn add(&mut self, later: Done) {
        self.latencies.extend(later.latencies);
        self.latencies.sort_unstable();
        self.took += later.took;
    }

    /// The time that this part of the requests took at most.
    pub(crate) fn latency(&self, part: f64) -> Duration {
        let at = (self.latencies.len() as f64 * part).ceil() as usize;
        self.latencies[at.saturating_sub(1)]
    }

    pub(crate) fn requests(&self) -> u32 {
        u32::try_from(self.latencies.len()).expect("a minute holds fewer")
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.requests()) / self.took.as_secs_f64()
    }
}

/// How many bytes of an answer are still to come; `None` before its head is whole.
fn missing_bytes(answer: &[u8]) -> Option<usize> {
    let head_bytes = answer.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    Some((head_bytes + content_length(&answer[..head_bytes])).saturating_sub(answer.len()))
}

/// What a message's head says about its body.
pub(crate) fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    value.map_or(0, |value| value.trim().parse().expect("a number"))
}
