//! Every page of the portal over a million events of 500 agents and 20 000 sessions, through HTTP, as an owner
//! who is signed in: from the first to the tenth page of each list, with facets, histogram and counts.

use std::time::{Duration, Instant};

use reqwest::Client;
use reqwest::header::{COOKIE, SET_COOKIE};

use super::lists::{PAGES, Subjects, TIMES};
use super::service::{Database, Service};
use super::table::{Row, Table, millis};

/// Largest page that is in order, in bytes.
const MAX_HTML: usize = 200_000;

/// The pages.
const ADDRESSES: [(&str, &str); 28] = [
    ("overview", "/"),
    ("agents", "/inventory/agents"),
    (
        "agents, narrowed and sorted",
        "/inventory/agents?text=a&sort=-events",
    ),
    ("machines", "/inventory/machines"),
    ("tools", "/inventory/tools"),
    ("a tool", "/inventory/tools/Bash"),
    ("MCP tools", "/inventory/mcp-tools"),
    ("models", "/inventory/models"),
    ("directories", "/inventory/directories"),
    ("owners", "/inventory/owners"),
    (
        "an agent's audit log",
        "/inventory/agents/{agent}/audit-logs",
    ),
    ("an agent's sessions", "/inventory/agents/{agent}/sessions"),
    ("an agent's entities", "/inventory/agents/{agent}/entities"),
    ("an agent's owner", "/inventory/agents/{agent}/owner"),
    ("events", "/observability"),
    ("events of the last day", "/observability?range=24h"),
    ("events of an agent", "/observability?q=agent%3A{agent}"),
    ("events of a tool", "/observability?q=tool%3ABash"),
    ("events of a type", "/observability?type=user_message"),
    ("events of a rare type", "/observability?type=error"),
    ("events of an hour", "/observability?from={from}&to={to}"),
    (
        "events of a session",
        "/observability?q=session%3A{session}",
    ),
    ("events with a word", "/observability?q=ledger"),
    (
        "an event beside its list",
        "/observability?event={event}&tab=context",
    ),
    ("sessions", "/observability?type=session"),
    (
        "sessions with a tool",
        "/observability?type=session&q=tool%3ABash",
    ),
    ("a session", "/sessions/{session}"),
    ("an event", "/events/{event}"),
];

/// Asks for every page.
pub(crate) async fn measure(
    database: &Database,
    service: &Service,
    subjects: &Subjects,
    table: &mut Table,
) {
    let (client, cookie) = sign_in(service).await;
    for (name, path) in ADDRESSES {
        let first = subjects.fill_in(&format!("/t/default/default{path}"));
        let mut times: Vec<Duration> = Vec::with_capacity(TIMES);
        let mut largest = 0;
        while times.len() < TIMES {
            let mut page = first.clone();
            for _ in 0..PAGES {
                let begun = Instant::now();
                let url = format!("http://127.0.0.1:{}{page}", service.port);
                let answer = client.get(url).header(COOKIE, &cookie).send().await;
                let answer = answer.expect("it answers");
                assert!(answer.status().is_success(), "{page}: {}", answer.status());
                let html = answer.text().await.expect("a page");
                times.push(begun.elapsed());
                largest = largest.max(html.len());
                let Some(next) = next_page(&html) else { break };
                page = next;
            }
        }
        times.sort();
        let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        let kilobytes = largest.div_ceil(1_000);
        let aim = format!("≤ 100 ms, p99 300 ms, {} kB", MAX_HTML / 1_000);
        table.add(Row::new(
            format!("{}, page: {name}", database.name()),
            aim,
            format!("{}, p99 {}, {kilobytes} kB", millis(median), millis(most)),
        ));
    }
}

/// Where a list goes on.
fn next_page(html: &str) -> Option<String> {
    let (_, after) = html.split_once("rel=\"next\" href=\"")?;
    let (address, _) = after.split_once('"')?;
    Some(address.replace("&#38;", "&").replace("&amp;", "&"))
}

/// A session of a new owner, as its cookie.
async fn sign_in(service: &Service) -> (Client, String) {
    let client = fieldpost::http::client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client");
    service.run(&["user", "add", "bench", "--role", "owner", "--no-password"]);
    let printed = service.run(&["user", "link", "bench"]);
    let link = printed
        .split_whitespace()
        .find(|word| word.contains("/sign-in/link/"));
    let entered = client
        .post(link.expect("a link"))
        .header("sec-fetch-site", "same-origin")
        .send()
        .await
        .expect("it answers");
    let cookie = entered.headers()[SET_COOKIE].to_str().expect("a cookie");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    (client, cookie)
}
