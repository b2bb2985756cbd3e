//! An upstream that takes everything and keeps nothing but the count.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::load::{RECORDS, content_length};

/// A server on a port of its own, for as long as the process runs.
pub(crate) struct NullUpstream {
    port: u16,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    records: AtomicU64,
    bytes: AtomicU64,
}

impl NullUpstream {
    pub(crate) fn start() -> NullUpstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let taken = Arc::new(Taken::default());
        let counted = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&counted);
                thread::spawn(move || serve(stream, &taken));
            }
        });
        NullUpstream { port, taken }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Records that came so far, the edge's own among them.
    pub(crate) fn records(&self) -> u64 {
        self.taken.records.load(Ordering::Relaxed)
    }

    /// What a request of [`RECORDS`] records takes compressed, on average.
    pub(crate) fn stored_bytes_per_request(&self) -> usize {
        let bytes = self.taken.bytes.load(Ordering::Relaxed);
        (bytes * RECORDS as u64 / self.records().max(1)) as usize
    }

    /// Waits until nothing has come for half a second.
    pub(crate) fn wait_until_quiet(&self) {
        let mut before = self.records();
        loop {
            sleep(Duration::from_millis(500));
            let now = self.records();
            if now == before {
                return;
            }
            before = now;
        }
    }

    /// Waits until so many records have come, and says for how long.
    pub(crate) fn wait_for(&self, records: u64) -> Duration {
        let start = Instant::now();
        while self.records() < records {
            sleep(Duration::from_millis(5));
            assert!(
                start.elapsed() < Duration::from_secs(900),
                "records are missing"
            );
        }
        start.elapsed()
    }
}

fn serve(stream: TcpStream, taken: &Taken) {
    let mut answers = stream.try_clone().expect("a socket");
    let mut requests = BufReader::with_capacity(256 << 10, stream);
    let mut body = Vec::new();
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match requests.read_until(b'\n', &mut head) {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        }
        body.resize(content_length(&head), 0);
        if requests.read_exact(&mut body).is_err() {
            return;
        }
        // The answer first: counting is not the edge's time.
        let answer =
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        if answers.write_all(answer.as_bytes()).is_err() {
            return;
        }
        let message = zstd::decode_all(&body[..]).expect("the edge sends zstd");
        taken.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        taken.records.fetch_add(count(&message), Ordering::Relaxed);
    }
}

/// Log records in an OTLP request, found without decoding them: field 1 of the message, therein
/// field 2, therein field 2.
fn count(message: &[u8]) -> u64 {
    let scopes = fields(message, 1).flat_map(|resource| fields(resource, 2));
    scopes.map(|scope| fields(scope, 2).count() as u64).sum()
}

/// The contents of a protobuf message's fields with this number, all of which have a length.
fn fields(mut message: &[u8], number: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let key = varint(&mut message);
            assert_eq!(
                key & 7,
                2,
                "OTLP's containers hold nothing but messages and texts"
            );
            let length = varint(&mut message) as usize;
            let (content, rest) = message.split_at(length);
            message = rest;
            if key >> 3 == number {
                return Some(content);
            }
        }
        None
    })
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = message.split_first().expect("a whole number");
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
