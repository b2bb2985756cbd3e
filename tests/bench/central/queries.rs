//! Pages over many events, through the API, against the table of the design.

use std::time::{Duration, Instant};

use super::service::{Database, Service};
use super::table::{Row, Table, millis};

/// How often each page is asked for; the median counts.
const TIMES: usize = 15;

/// A page, and what it shall take at most on SQLite and on PostgreSQL, in milliseconds.
const PAGES: [(&str, &str, [f64; 2]); 9] = [
    ("by time", "events?limit=50", [1.6, 46.0]),
    ("by agent", "events?limit=50&agent={agent}", [1.4, 46.0]),
    (
        "by type",
        "events?limit=50&type=tool_invocation",
        [7.4, 46.0],
    ),
    ("by tool", "events?limit=50&tool=Bash", [12.4, 46.0]),
    (
        "one session",
        "events?limit=50&session={session}",
        [1.0, 28.0],
    ),
    ("list of agents", "agents?limit=50", [0.04, 11.2]),
    ("list of sessions", "sessions?limit=50", [0.04, 11.2]),
    ("list of tools", "entities?limit=50&kind=tool", [0.04, 11.2]),
    (
        "a common word of an agent",
        "events?limit=50&q=the&agent={agent}",
        [4.0, 30.0],
    ),
];

/// Asks for every page.
pub(crate) async fn measure(database: &Database, service: &Service, table: &mut Table) {
    let key = service.run(&["api-key"]);
    let client = fieldpost::http::client::builder()
        .no_proxy()
        .build()
        .expect("a client");
    let get = async |path: &str| -> serde_json::Value {
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", service.port);
        let answer = client
            .get(url)
            .bearer_auth(key.trim())
            .send()
            .await
            .expect("it answers");
        let status = answer.status();
        assert!(status.is_success(), "{path}: {status}");
        serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
    };
    let agent = get("agents?limit=1").await["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let session = get("sessions?limit=1").await["items"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for (name, path, targets) in PAGES {
        let path = path
            .replace("{agent}", &agent)
            .replace("{session}", &session);
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..TIMES {
            let begun = Instant::now();
            get(&path).await;
            times.push(begun.elapsed());
        }
        times.sort();
        let target = targets[usize::from(!matches!(database, Database::Sqlite))];
        table.add(Row::new(
            format!("{}: a page {name}, through HTTP", database.name()),
            format!("≤ {target} ms in the store"),
            millis(times[TIMES / 2]),
        ));
    }
}
