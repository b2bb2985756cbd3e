//! Five million events of a fleet, and the queries of the design's table (STORE.md) over them: in the store,
//! which is what that table measured, and through HTTP.

use std::path::Path;
use std::time::{Duration, Instant};

use fieldpost::central::store::{
    Agent, Criteria, Entity, EventFilter, PageRequest, Pick, Scope, SessionFilter, Sight,
    StatsFilter, Store,
};
use fieldpost::event::Timestamp;

use super::PATIENCE;
use super::lists::Reader;
use super::load::{EVENTS, Load, Requests};
use super::service::{Database, Service};
use super::table::{Row, Table, mebibytes, millis};

/// Requests that make five million events.
const REQUESTS: usize = 10_000;

/// Requests that are in memory at once.
const PIECE: usize = 500;

/// How often each query is asked; the median counts.
const TIMES: usize = 25;

/// What is asked for.
enum Question {
    /// A page of events, by these parameters of the API.
    Events(&'static str),
    Agents,
    Sessions,
    Tools,
    /// The last 30 days, everything together.
    Month,
}

impl Question {
    /// What the design's table measured of a list: a page of the table's narrow rows, by one statement that is kept.
    /// A row of ours has what other tables know of it as well.
    fn bare(&self) -> Option<&'static str> {
        match self {
            Question::Agents => Some(
                "SELECT id, name, last_seen FROM agents WHERE tenant = 1 AND environment = 1
                 ORDER BY last_seen DESC, id DESC LIMIT 50",
            ),
            Question::Sessions => Some(
                "SELECT id, agent, started_at FROM sessions WHERE tenant = 1 AND environment = 1
                 ORDER BY started_at DESC, id DESC LIMIT 50",
            ),
            Question::Tools => Some(
                "SELECT name, event_count, last_seen FROM entities WHERE tenant = 1 AND environment = 1
                     AND kind = 'tool' ORDER BY name LIMIT 50",
            ),
            Question::Events(_) | Question::Month => None,
        }
    }
}

/// A query, and what the design measured of it on SQLite and on PostgreSQL, in milliseconds; where it says
/// from where to where, the most. It may take twice that.
const QUERIES: [(&str, Question, [f64; 2]); 13] = [
    ("by time", Question::Events(""), [0.8, 23.0]),
    ("by agent", Question::Events("agent={agent}"), [0.7, 23.0]),
    (
        "by type",
        Question::Events("type=tool_invocation"),
        [3.7, 23.0],
    ),
    ("by tool", Question::Events("tool=Bash"), [6.2, 23.0]),
    (
        "three filters",
        Question::Events("agent={agent}&tool=Bash&type=permission_decision"),
        [28.0, 50.0],
    ),
    (
        "three filters, none passes",
        Question::Events("agent={agent}&tool=Edit&type=permission_decision"),
        [28.0, 50.0],
    ),
    (
        "one session",
        Question::Events("session={session}"),
        [0.5, 14.0],
    ),
    ("agents", Question::Agents, [0.02, 5.6]),
    ("sessions", Question::Sessions, [0.02, 5.6]),
    ("tools", Question::Tools, [0.02, 5.6]),
    ("30 days summed up", Question::Month, [0.12, 5.0]),
    (
        "a common word of an agent",
        Question::Events("q=ledger&agent={agent}"),
        [2.0, 15.0],
    ),
    ("a common word", Question::Events("q=ledger"), [2.0, 15.0]),
];

/// Fills a store, and asks.
pub(crate) async fn measure(database: &Database, folder: &Path, table: &mut Table) {
    let name = database.name();
    let replicas = database.start(folder);
    let token = replicas[0].install();
    let load = Load::new(&replicas, &token);
    let mut requests = Requests::new(5);
    // Some at first, so that there is a dictionary, as there is after the first minutes of a service.
    load.closed(&requests.make_of_fleet(10));
    std::thread::sleep(Duration::from_secs(8));
    let (mut events, mut seconds) = (0, 0.0);
    for _ in 0..REQUESTS / PIECE {
        let made = requests.make_of_fleet(PIECE);
        seconds += load.closed(&made).as_secs_f64();
        events += made.len() * EVENTS;
    }
    table.add(Row::new(
        format!("{name}: {events} events stored"),
        "≥ 25 000 /s",
        format!("{:.0} /s", events as f64 / seconds),
    ));
    let peak = replicas.iter().map(Service::peak).max().unwrap_or(0);
    table.add(Row::new(
        format!("{name}: most memory of a process"),
        "≤ 256 MB",
        mebibytes(peak),
    ));
    let waited = database.wait_for_index(folder);
    assert!(waited < 10 * PATIENCE, "the index does not come up");
    table.add(Row::new(
        format!("{name}: text index behind at the end"),
        "",
        format!("{:.1} s", waited.as_secs_f64()),
    ));
    ask(database, folder, &replicas[0], table).await;
    let stored = database.count(folder);
    for replica in replicas {
        replica.stop();
    }
    database.tell_sizes(stored);
    table.add(Row::new(
        format!("{name}: disk, with the text index"),
        "≤ 600 bytes/event",
        format!("{:.0} bytes", database.bytes(folder) as f64 / stored as f64),
    ));
}

async fn ask(database: &Database, folder: &Path, service: &Service, table: &mut Table) {
    let reader = Reader::of(service);
    let subjects = reader.subjects().await;
    let store = database.open(folder).await;
    let environments = store.environments().await.expect("it reads");
    let scope = environments.first().expect("an environment").scope;
    for (name, question, figures) in QUERIES {
        let path = match question {
            Question::Events(parameters) => format!("events?limit=50&{parameters}"),
            Question::Agents => "agents?limit=50".to_owned(),
            Question::Sessions => "sessions?limit=50".to_owned(),
            Question::Tools => "entities?limit=50&kind=tool".to_owned(),
            Question::Month => "stats".to_owned(),
        };
        let path = subjects.fill_in(&path);
        let (mut within, mut through) = (Vec::new(), Vec::new());
        for _ in 0..TIMES {
            let begun = Instant::now();
            read(&store, scope, &question, &path).await;
            within.push(begun.elapsed());
            let begun = Instant::now();
            reader.body(&format!("/api/v1/{path}")).await;
            through.push(begun.elapsed());
        }
        let [within, through] = [within, through].map(|mut times| {
            times.sort();
            millis(times[TIMES / 2])
        });
        let figure = match database {
            Database::Sqlite => figures[0],
            Database::Postgres { .. } => figures[1],
        };
        let bare = question.bare();
        let bare = bare.and_then(|sql| database.time_of_kept(folder, sql, TIMES));
        table.add(
            Row::new(
                format!("{}, five million events: {name}", database.name()),
                format!("≤ 2 x {figure} ms in the store"),
                format!("{within}; through HTTP {through}"),
            )
            .floor(bare.map_or(String::new(), |bare| {
                format!("{} µs the bare page", bare.as_micros())
            })),
        );
    }
    store.close().await;
}

/// Asks the store what a path of the API asks.
async fn read(store: &Store, scope: Scope, question: &Question, path: &str) {
    let page = PageRequest::new(None, Some(50));
    let read = match question {
        Question::Events(_) => {
            let sight = Sight::everything(scope);
            store.events(&sight, &filter(path), page).await.map(drop)
        }
        Question::Agents => {
            let all = Criteria::default();
            let agents = store.list::<Agent>(scope, &all, Timestamp::now(), page);
            agents.await.map(drop)
        }
        Question::Sessions => {
            let filter = SessionFilter::default();
            store.sessions(scope, &filter, page).await.map(drop)
        }
        Question::Tools => {
            let tools = Criteria {
                picks: vec![Pick {
                    facet: "kind",
                    value: "tool".to_owned(),
                    is_excluded: false,
                }],
                ..Criteria::default()
            };
            let tools = store.list::<Entity>(scope, &tools, Timestamp::now(), page);
            tools.await.map(drop)
        }
        Question::Month => {
            let filter = StatsFilter::default();
            store.stats(scope, &filter, None).await.map(drop)
        }
    };
    read.expect("it reads");
}

/// The filter that the parameters of a path make.
fn filter(path: &str) -> EventFilter {
    let mut filter = EventFilter::default();
    let (_, parameters) = path.split_once('?').unwrap_or_default();
    for (key, value) in parameters.split('&').filter_map(|it| it.split_once('=')) {
        let value = Some(value.to_owned());
        match key {
            "agent" => filter.agent = value,
            "session" => filter.session = value,
            "tool" => filter.tool = value,
            "type" => filter.kind = value,
            "q" => filter.q = value,
            _ => {}
        }
    }
    filter
}
