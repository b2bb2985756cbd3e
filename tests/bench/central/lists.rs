//! Every list of the API over a million events of 500 agents and 20 000 sessions, through HTTP: what the
//! portal's pages are made of.

use std::time::{Duration, Instant};

use super::load::{EVENTS, Load, Requests};
use super::service::{Database, Service};
use super::table::{Row, Table, millis};
use super::{PATIENCE, pages};

/// Requests that make a million events.
const REQUESTS: usize = 2_000;

/// Requests that are in memory at once.
const PIECE: usize = 500;

/// How often each list is asked for.
pub(crate) const TIMES: usize = 60;

/// Pages from the first to the tenth.
pub(crate) const PAGES: usize = 10;

/// The lists.
const LISTS: [(&str, &str); 15] = [
    ("events", "events?limit=50"),
    ("events of an agent", "events?limit=50&agent={agent}"),
    ("events of a tool", "events?limit=50&tool=Bash"),
    ("events of a type", "events?limit=50&type=user_message"),
    ("events of a rare type", "events?limit=50&type=error"),
    ("events of a session", "events?limit=50&session={session}"),
    ("events of an hour", "events?limit=50&from={from}&to={to}"),
    ("events with a word", "events?limit=50&q=ledger"),
    (
        "events of an agent with a word",
        "events?limit=50&q=ledger&agent={agent}",
    ),
    ("events with an id", "events?limit=50&q={session}"),
    ("agents", "agents?limit=50"),
    ("sessions", "sessions?limit=50"),
    ("a session", "sessions/{session}"),
    ("tools", "entities?limit=50&kind=tool"),
    ("machines", "machines?limit=50"),
];

/// Fills a store and asks for every list.
pub(crate) async fn measure(database: &Database, folder: &std::path::Path, table: &mut Table) {
    let replicas = database.start(folder);
    let token = replicas[0].install();
    let load = Load::new(&replicas, &token);
    let mut requests = Requests::new(3);
    load.closed(&requests.make_of_fleet(10));
    std::thread::sleep(Duration::from_secs(8));
    for _ in (0..REQUESTS).step_by(PIECE) {
        load.closed(&requests.make_of_fleet(PIECE));
    }
    assert!(database.wait_for_index(folder) < PATIENCE);
    eprintln!("{} events", REQUESTS * EVENTS);
    let subjects = ask_for_all(database, &replicas[0], table).await;
    pages::measure(database, &replicas[0], &subjects, table).await;
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
            .replace("{from}", "2026-11-20T08:05:00Z")
            .replace("{to}", "2026-11-20T08:10:00Z")
    }
}

async fn ask_for_all(database: &Database, service: &Service, table: &mut Table) -> Subjects {
    let key = service.run(&["api-key"]);
    let client = fieldpost::http::client::builder().no_proxy().build();
    let client = client.expect("a client");
    let get = async |path: &str| -> serde_json::Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", service.port);
        let answer = client.get(url).bearer_auth(key.trim()).send().await;
        let answer = answer.expect("it answers");
        let status = answer.status();
        let body = answer.bytes().await.expect("a body");
        assert!(status.is_success(), "{path}: {status}");
        serde_json::from_slice(&body).expect("JSON")
    };
    let first = async |path: &str, field: &str| -> String {
        let list = get(path).await;
        list["items"][0][field].as_str().expect("a text").to_owned()
    };
    let subjects = Subjects {
        agent: first("agents?limit=1", "id").await,
        session: first("sessions?limit=1", "id").await,
        event: first("events?limit=1", "id").await,
    };
    for (name, path) in LISTS {
        let path = subjects.fill_in(path);
        let mut times: Vec<Duration> = Vec::with_capacity(TIMES);
        while times.len() < TIMES {
            let mut page = path.clone();
            for _ in 0..PAGES {
                let begun = Instant::now();
                let list = get(&page).await;
                times.push(begun.elapsed());
                let Some(cursor) = list["next_cursor"].as_str() else {
                    break;
                };
                page = format!("{path}&cursor={cursor}");
            }
        }
        times.sort();
        let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        table.add(Row::new(
            format!("{}, a million events: {name}", database.name()),
            "≤ 100 ms, p99 300 ms",
            format!("{}, p99 {}", millis(median), millis(most)),
        ));
    }
    subjects
}
