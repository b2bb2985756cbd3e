//! What edges send, made beforehand, and connections that send it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fieldpost::event::{Identifier, attribute, set_attribute};
use fieldpost::otlp::compression::Coding;
use fieldpost::otlp::{ExportLogsServiceRequest, Request};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;

use super::records::Generator;
use super::service::Service;

/// Events in a request.
pub(crate) const EVENTS: usize = 500;

/// Bytes of one event as OTLP/JSON; as protobuf it is about 1.2 KB.
const EVENT_BYTES: usize = 1_600;

/// Connections that send at once.
const CONNECTIONS: usize = 8;

/// Machines that the events come through, each request from one.
const MACHINES: u64 = 200;

/// People of a fleet, and events of each of their sessions.
const PEOPLE: u64 = 500;
const SESSION_EVENTS: u64 = 50;

/// How long events are sent at a steady pace.
const PACED: Duration = Duration::from_secs(15);

/// Makes requests, each with events that no other has.
pub(crate) struct Requests {
    generator: Generator,
    identifier: Identifier,
    machines: u64,
    count: u64,
}

impl Requests {
    pub(crate) fn new(seed: u64) -> Requests {
        Requests {
            generator: Generator::new(seed, EVENT_BYTES),
            identifier: Identifier::new([7; 32]),
            machines: MACHINES,
            count: 0,
        }
    }

    /// The first events of that many more machines, a few of each.
    pub(crate) fn of_new_machines(seed: u64, machines: u64) -> Vec<Vec<u8>> {
        const FEW: usize = 5;
        let mut requests = Requests {
            machines: MACHINES + machines,
            count: MACHINES,
            ..Requests::new(seed)
        };
        (0..machines).map(|_| requests.request(FEW)).collect()
    }

    /// So many requests, encoded and compressed.
    pub(crate) fn make(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.request(EVENTS)).collect()
    }

    /// The same, of 500 people in sessions of 50 events each; the first event of each request is an error.
    pub(crate) fn make_of_fleet(&mut self, count: usize) -> Vec<Vec<u8>> {
        let compress = |encoded: Vec<u8>| Coding::Zstd.compress(&encoded).expect("it compresses");
        (0..count)
            .map(|_| {
                let first = self.count * EVENTS as u64;
                let of_fleet = |number: usize, record: &mut LogRecord| {
                    let session = (first + number as u64) / SESSION_EVENTS;
                    let person = session % PEOPLE;
                    let values = [
                        (
                            "session.id",
                            format!("5e551077-0000-4000-8000-{session:012}"),
                        ),
                        ("user.email", format!("person-{person}@example.com")),
                    ];
                    for (key, value) in values {
                        set_attribute(&mut record.attributes, key, Value::StringValue(value));
                    }
                    if number == 0 {
                        let name = Value::StringValue("api_error".to_owned());
                        set_attribute(&mut record.attributes, "event.name", name);
                    }
                };
                compress(self.encoded_as(EVENTS, of_fleet))
            })
            .collect()
    }

    fn request(&mut self, events: usize) -> Vec<u8> {
        Coding::Zstd
            .compress(&self.encoded(events))
            .expect("it compresses")
    }

    /// One request, not yet compressed.
    pub(crate) fn encoded(&mut self, events: usize) -> Vec<u8> {
        self.encoded_as(events, |_, _| ())
    }

    /// The same, each record changed by its place.
    fn encoded_as(&mut self, events: usize, change: impl Fn(usize, &mut LogRecord)) -> Vec<u8> {
        let json = self.generator.request(events);
        let mut logs: ExportLogsServiceRequest = serde_json::from_str(&json).expect("OTLP/JSON");
        let machine = self.count % self.machines;
        let first = (self.count / self.machines) as i64 * EVENTS as i64;
        self.count += 1;
        for resource in &mut logs.resource_logs {
            let attributes = &mut resource.resource.get_or_insert_default().attributes;
            let id = format!("00000000-0000-4000-8000-{machine:012}");
            attributes.push(attribute("fieldpost.edge.id", Value::StringValue(id)));
            attributes.push(attribute(
                "host.name",
                Value::StringValue(format!("laptop-{machine}")),
            ));
            let records = resource
                .scope_logs
                .iter_mut()
                .flat_map(|scope| &mut scope.log_records);
            for (place, (number, record)) in (first + 1..).zip(records).enumerate() {
                change(place, record);
                set_attribute(
                    &mut record.attributes,
                    "fieldpost.edge.seq",
                    Value::IntValue(number),
                );
            }
        }
        self.identifier.identify(&mut logs);
        Request::Logs(logs).encode()
    }
}

/// Connections to all replicas.
pub(crate) struct Load {
    ports: Vec<u16>,
    head: String,
}

impl Load {
    pub(crate) fn new(replicas: &[Service], token: &str) -> Load {
        Load {
            ports: replicas.iter().map(|replica| replica.port).collect(),
            head: format!(
                "POST /v1/logs HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: {token}\r\n\
                 content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\ncontent-length: "
            ),
        }
    }

    /// Sends every request, each connection the next one as soon as its last was acknowledged.
    pub(crate) fn closed(&self, requests: &[Vec<u8>]) -> Duration {
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        std::thread::scope(|scope| {
            for number in 0..CONNECTIONS {
                let next = &next;
                scope.spawn(move || {
                    let mut connection = self.connect(number);
                    while let Some(body) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                        connection.post(&self.head, body);
                    }
                });
            }
        });
        begun.elapsed()
    }

    /// Sends so many events a second in requests of 50, and gives the 99th percentile of the times until
    /// they were acknowledged, counted from when each was due.
    pub(crate) fn paced(&self, requests: &mut Requests, events_per_second: usize) -> Duration {
        const SMALL: usize = 50;
        let interval = Duration::from_secs_f64(SMALL as f64 / events_per_second as f64);
        let count = (PACED.as_secs_f64() / interval.as_secs_f64()) as usize;
        let bodies: Vec<Vec<u8>> = (0..count).map(|_| requests.request(SMALL)).collect();
        let next = AtomicUsize::new(0);
        let begun = Instant::now();
        let mut times: Vec<Duration> = std::thread::scope(|scope| {
            let senders: Vec<_> = (0..CONNECTIONS)
                .map(|number| {
                    let (next, bodies) = (&next, &bodies);
                    scope.spawn(move || {
                        let mut connection = self.connect(number);
                        let mut times = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            let Some(body) = bodies.get(index) else {
                                return times;
                            };
                            let due = begun + interval * index as u32;
                            std::thread::sleep(due.saturating_duration_since(Instant::now()));
                            connection.post(&self.head, body);
                            times.push(due.elapsed());
                        }
                    })
                })
                .collect();
            senders
                .into_iter()
                .flat_map(|sender| sender.join().expect("it ends"))
                .collect()
        });
        times.sort();
        times[times.len() * 99 / 100]
    }

    fn connect(&self, number: usize) -> Connection {
        let port = self.ports[number % self.ports.len()];
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it listens");
        stream.set_nodelay(true).expect("a TCP connection");
        Connection(BufReader::new(stream))
    }
}

struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Sends one request until it is acknowledged.
    fn post(&mut self, head: &str, body: &[u8]) {
        loop {
            let stream = self.0.get_mut();
            let head = format!("{head}{}\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).expect("it reads");
            stream.write_all(body).expect("it reads");
            let status = self.answer();
            if status == 200 {
                return;
            }
            assert!(matches!(status, 429 | 503), "the service answered {status}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn answer(&mut self) -> u16 {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("it answers");
        let status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
        let mut length = 0;
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("it answers");
            let lower = line.trim().to_ascii_lowercase();
            if lower.is_empty() {
                break;
            }
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("it answers");
        status.expect("a status")
    }
}
