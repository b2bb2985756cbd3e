//! Every list of the API over a million events of 500 agents and 20 000 sessions, through HTTP: what the
//! portal's pages are made of.
//!
//! How it grows is told by what is alike in both: the pages that have as many rows when a tenth is there as
//! when all of it is. A page that is half empty, or the last of a list that goes on later, is no measure.

use std::time::{Duration, Instant};

use super::load::{Load, Requests};
use super::service::{Database, Service};
use super::table::{Row, Table, millis};
use super::{PATIENCE, pages};

/// Requests that make a million events.
const REQUESTS: usize = 2_000;

/// Requests that are in memory at once.
const PIECE: usize = 450;

/// How often each list and each page is asked for.
pub(crate) const TIMES: usize = 60;

/// How often each page of a list is asked for at least.
const ROUNDS: usize = 12;

/// Pages from the first to the tenth.
pub(crate) const PAGES: usize = 10;

/// The lists.
const LISTS: [(&str, &str); 15] = [
    ("events", "events?limit=50"),
    ("events of an agent", "events?limit=50&agent={agent}"),
    ("events of a tool", "events?limit=50&tool=Bash"),
    ("events of a type", "events?limit=50&type=user_message"),
    // One event of each request.
    ("events of a rare type", "events?limit=50&type=error"),
    ("events of a session", "events?limit=50&session={session}"),
    // There when a tenth is there: of the whole, an early part.
    ("events of a time", "events?limit=50&from={from}&to={to}"),
    ("events with a word", "events?limit=50&q=ledger"),
    // Shorter pages: of a tenth, an agent has few events with the word.
    (
        "events of an agent with a word",
        "events?limit=20&q=ledger&agent={agent}",
    ),
    ("events with an id", "events?limit=50&q={session}"),
    ("agents", "agents?limit=50"),
    ("sessions", "sessions?limit=50"),
    ("a session", "sessions/{session}"),
    ("tools", "entities?limit=50&kind=tool"),
    ("machines", "machines?limit=50"),
];

/// Machines that report beside those that sent the events.
const NEW_MACHINES: u64 = 20_000;

/// How long the pages of a list take: half of them, and all but one in a hundred.
struct Times {
    median: Duration,
    most: Duration,
}

/// What was seen of a list: for each of its pages, from the first, the rows and the times.
struct Seen(Vec<(usize, Vec<Duration>)>);

impl Seen {
    fn times(&self) -> Times {
        Times::of(self.0.iter().flat_map(|(_, times)| times.clone()).collect())
    }

    /// How many times as long the pages take that have as many rows in both, and how many those are.
    fn growth(&self, few: &Seen) -> (f64, usize) {
        let pairs = self.0.iter().zip(&few.0);
        let alike = pairs.filter(|((rows, _), (few, _))| rows == few);
        let (all, few): (Vec<_>, Vec<_>) = alike
            .map(|((_, all), (_, few))| (all.clone(), few.clone()))
            .unzip();
        let pages = all.len();
        let median = |times: Vec<Vec<Duration>>| Times::of(times.concat()).median.as_secs_f64();
        match pages {
            0 => (f64::NAN, 0),
            _ => (median(all) / median(few), pages),
        }
    }
}

/// Fills a store and asks for every list, when a tenth is there and when all of it is.
pub(crate) async fn measure(database: &Database, folder: &std::path::Path, table: &mut Table) {
    let replicas = database.start(folder);
    let token = replicas[0].install();
    let load = Load::new(&replicas, &token);
    let mut requests = Requests::new(3);
    load.closed(&requests.make_of_fleet(10));
    std::thread::sleep(Duration::from_secs(8));
    load.closed(&requests.make_of_fleet(REQUESTS / 10 - 10));
    assert!(database.wait_for_index(folder) < PATIENCE);
    database.analyze();
    let reader = Reader::of(&replicas[0]);
    let few = reader.ask_for_all().await;
    for _ in (REQUESTS / 10..REQUESTS).step_by(PIECE) {
        load.closed(&requests.make_of_fleet(PIECE));
    }
    assert!(database.wait_for_index(folder) < PATIENCE);
    database.analyze();
    eprintln!("{} events", database.count(folder));
    let all = reader.ask_for_all().await;
    pages::measure(database, &replicas[0], &reader.subjects().await, table).await;
    for (((name, _), few), all) in LISTS.iter().zip(few).zip(all) {
        let (growth, pages) = all.growth(&few);
        let times = all.times();
        table.add(Row::new(
            format!("{}, a million events: {name}", database.name()),
            "≤ 100 ms, p99 300 ms, 2 x of a tenth",
            format!(
                "{}, p99 {}, {growth:.1} x ({pages} pages)",
                millis(times.median),
                millis(times.most)
            ),
        ));
    }
    load.closed(&Requests::of_new_machines(4, NEW_MACHINES));
    assert!(database.wait_for_index(folder) < PATIENCE);
    for (name, path) in [
        ("a page of machines", "/api/v1/machines?limit=50"),
        ("metrics", "/metrics"),
    ] {
        let mut times = Vec::new();
        while times.len() < TIMES / PAGES {
            let begun = Instant::now();
            reader.body(path).await;
            times.push(begun.elapsed());
        }
        let times = Times::of(times);
        table.add(Row::new(
            format!("{}, {NEW_MACHINES} machines: {name}", database.name()),
            "≤ 100 ms, p99 300 ms",
            format!("{}, p99 {}", millis(times.median), millis(times.most)),
        ));
    }
    for replica in replicas {
        replica.stop();
    }
}

/// What the lists and pages are about.
pub(crate) struct Subjects {
    agent: String,
    session: String,
    event: String,
}

impl Subjects {
    /// An address with what it is about.
    pub(crate) fn fill_in(&self, address: &str) -> String {
        address
            .replace("{agent}", &self.agent)
            .replace("{session}", &self.session)
            .replace("{event}", &self.event)
            .replace("{from}", "2026-11-20T08:00:30Z")
            .replace("{to}", "2026-11-20T08:01:00Z")
    }
}

impl Times {
    fn of(mut times: Vec<Duration>) -> Times {
        times.sort();
        Times {
            median: times[times.len() / 2],
            most: times[times.len() * 99 / 100],
        }
    }
}

/// Somebody who reads the API.
pub(crate) struct Reader {
    client: reqwest::Client,
    key: String,
    port: u16,
}

impl Reader {
    pub(crate) fn of(service: &Service) -> Reader {
        let client = fieldpost::http::client::builder().no_proxy().build();
        Reader {
            client: client.expect("a client"),
            key: service.run(&["api-key"]).trim().to_owned(),
            port: service.port,
        }
    }

    /// What is at a path.
    pub(crate) async fn body(&self, path: &str) -> Vec<u8> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let answer = self.client.get(url).bearer_auth(&self.key).send().await;
        let answer = answer.expect("it answers");
        let status = answer.status();
        let body = answer.bytes().await.expect("a body");
        assert!(status.is_success(), "{path}: {status}");
        body.to_vec()
    }

    async fn get(&self, path: &str) -> serde_json::Value {
        let body = self.body(&format!("/api/v1/{path}")).await;
        serde_json::from_slice(&body).expect("JSON")
    }

    /// A field of the first item of a list.
    async fn first(&self, path: &str, field: &str) -> String {
        let list = self.get(path).await;
        list["items"][0][field].as_str().expect("a text").to_owned()
    }

    pub(crate) async fn subjects(&self) -> Subjects {
        Subjects {
            agent: self.first("agents?limit=1", "id").await,
            session: self.first("sessions?limit=1", "id").await,
            event: self.first("events?limit=1", "id").await,
        }
    }

    async fn ask_for_all(&self) -> Vec<Seen> {
        let subjects = self.subjects().await;
        let mut all = Vec::new();
        for (_, path) in LISTS {
            let path = subjects.fill_in(path);
            let mut seen = Seen(Vec::new());
            let mut asked = 0;
            for round in 0.. {
                if round >= ROUNDS && asked >= TIMES {
                    break;
                }
                let mut page = path.clone();
                for number in 0..PAGES {
                    let begun = Instant::now();
                    let list = self.get(&page).await;
                    let time = begun.elapsed();
                    asked += 1;
                    let rows = list["items"].as_array().map_or(1, Vec::len);
                    if seen.0.len() == number {
                        seen.0.push((rows, Vec::new()));
                    }
                    seen.0[number].1.push(time);
                    let Some(cursor) = list["next_cursor"].as_str() else {
                        break;
                    };
                    page = format!("{path}&cursor={cursor}");
                }
            }
            all.push(seen);
        }
        all
    }
}
