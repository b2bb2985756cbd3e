//! What holds for every page of the portal, checked on a running service that has records.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{Read, Write};
use std::net::TcpStream;

use fieldpost::central::store::Role;

use crate::support::browser::Browser;
use crate::support::fieldpost::{Kind, TestCentral};
use crate::support::wire;

/// The address below which the records' pages lie.
const ENVIRONMENT: &str = "/t/default/default";

mod lists;
mod accounts;
mod signals;
mod layout;
mod inventory;
mod health;
mod drift;
mod seen;
mod hostile;

/// A service that has every captured request, and its owner's browser.
async fn filled(directory: &std::path::Path) -> (TestCentral, Browser) {
    filled_on(Kind::Sqlite, directory).await
}

/// The same on a database of this kind.
async fn filled_on(kind: Kind, directory: &std::path::Path) -> (TestCentral, Browser) {
    let central = TestCentral::start_on(kind, directory).await;
    let bearer = central.install().await.authorization_header;
    let address = central.url.trim_start_matches("http://").to_owned();
    for capture in wire::all() {
        assert_eq!(
            capture.send(&address, capture.path(), &bearer).await.status,
            200
        );
    }
    let browser = central.sign_in(Role::Owner).await;
    (central, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_link_to_pages_and_follow_the_rules() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    every_page_follows_the_rules(&address).await;
    unknown_things_are_pages_too(&address, ENVIRONMENT).await;
    filters_are_shown_and_removable(&address, ENVIRONMENT).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_and_can_be_revoked() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled(directory.path()).await;
    a_token_is_shown_once(&browser, ENVIRONMENT).await;
    central.stop().await;
}

/// An answer, read whole.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// The value of a header.
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Asks with exactly these headers.
async fn ask(address: &str, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    send(address, method, target, headers, "").await
}

/// The same with a body.
async fn send(
    address: &str,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    // HTTP/1.0, so that what is streamed ends with its connection and not in chunks.
    let length = body.len();
    let mut request = format!("{method} {target} HTTP/1.0\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    let address = address.to_owned();
    let exchange = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).expect("the service listens");
        stream
            .write_all(request.as_bytes())
            .expect("the request is taken");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("the answer is whole");
        bytes
    });
    let bytes = exchange.await.expect("the exchange ends");
    let text = String::from_utf8(bytes).expect("pages are UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    Answer {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    }
}

/// Reads a page as a browser on the machine does.
async fn get(address: &str, target: &str) -> Answer {
    ask(address, "GET", target, &[("Host", address)]).await
}

/// Every address that can be reached from `/` by links and GET forms alone, each with its
/// page. Nothing on the way is broken.
async fn walk(address: &str) -> Vec<(String, Answer)> {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut waiting: VecDeque<String> = VecDeque::from(["/".to_owned()]);
    let mut pages = Vec::new();
    let mut states: BTreeMap<String, u32> = BTreeMap::new();
    while let Some(target) = waiting.pop_front() {
        let path = target.split('?').next().unwrap_or_default().to_owned();
        // A list has as many states as its filters have combinations: some of each page are enough.
        if pages.len() >= 600 || states.get(&path) == Some(&12) || !seen.insert(target.clone()) {
            continue;
        }
        *states.entry(path).or_insert(0) += 1;
        let page = get(address, &target).await;
        assert!(
            page.status == 200 || page.status == 303,
            "{target}: {}",
            page.status
        );
        waiting.extend(page.header("location").map(str::to_owned));
        for link in values(&page.body, "href=\"")
            .into_iter()
            .chain(values(&page.body, "src=\""))
        {
            let link = link.split('#').next().unwrap_or_default().to_owned();
            if !link.is_empty() {
                assert!(link.starts_with('/'), "{target} leads away, to {link}");
                waiting.push_back(link);
            }
        }
        pages.push((target, page));
    }
    pages
}

/// Each page follows the rules that all pages share.
async fn every_page_follows_the_rules(address: &str) {
    let pages = walk(address).await;
    for place in [
        "/inventory/agents",
        "/entities",
        "/owner",
        "/observability",
        "/sessions/",
        "/events/",
        "/signals/metrics/",
        "/signals/traces/",
        "/install",
    ] {
        assert!(
            pages.iter().any(|(target, _)| target.contains(place)),
            "{place} cannot be reached"
        );
    }
    for (target, page) in &pages {
        protected(target, page);
        if page
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/html"))
        {
            assert_eq!(page.header("cache-control"), Some("no-store"), "{target}");
            well_formed(target, &page.body);
        }
    }
}

/// Nothing inline, tables with captions, fields with labels, text that shows what it holds.
fn well_formed(target: &str, html: &str) {
    for tag in html.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap_or(tag);
        assert!(!tag.contains(" style=\""), "{target}: <{tag}>");
        assert!(
            !tag.contains(" onclick") && !tag.contains(" onerror"),
            "{target}: <{tag}>"
        );
        assert!(
            !tag.starts_with("script") || tag.contains(" src=\"/assets/"),
            "{target}: <{tag}>"
        );
    }
    let count = |text: &str| html.matches(text).count();
    assert_eq!(count("<table"), count("<caption"), "{target}");
    assert_eq!(count("<th "), count(" scope=\""), "{target}");
    let hidden = count("<input type=\"hidden\"");
    assert!(
        count("<label") >= count("<input") - hidden + count("<select"),
        "{target}"
    );
    assert_eq!(count("<main"), 1, "{target}");
    assert!(html.contains("class=\"skip\""), "{target}");
    // A field holds a filter exactly as it is, or sending the form would change it.
    let mut shown = html.to_owned();
    for value in values(html, " value=\"") {
        shown = shown.replace(&format!(" value=\"{value}\""), "");
    }
    for unseen in ['\u{202e}', '\u{200b}', '\u{feff}', '\0'] {
        assert!(
            !shown.contains(unseen),
            "{target} shows nothing where {unseen:?} is"
        );
    }
}

/// The headers that every answer carries.
fn protected(target: &str, answer: &Answer) {
    let policy = answer.header("content-security-policy").unwrap_or_default();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
        "{target}"
    );
    assert!(policy.contains("frame-ancestors 'none'"), "{target}");
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{target}");
    }
}

/// What is not there is a page that says what to do.
async fn unknown_things_are_pages_too(address: &str, environment: &str) {
    for target in [
        "/t/nobody/nothing/inventory/agents".to_owned(),
        format!("{environment}/inventory/agents/nobody/audit-logs"),
        format!("{environment}/sessions/none"),
        format!("{environment}/events/none"),
        format!("{environment}/no/such/page"),
    ] {
        let page = get(address, &target).await;
        assert_eq!(page.status, 404, "{target}");
        assert!(page.body.contains("Check the address"), "{target}");
        let id = page.header("x-request-id").expect("a number");
        assert!(
            page.body.contains(&format!("<code>{id}</code>")),
            "{target}"
        );
        protected(&target, &page);
    }
    let bad = get(address, &format!("{environment}/observability?q=a&q=b")).await;
    assert_eq!(bad.status, 400);
    protected("a filter that stands there twice", &bad);
    let time = get(
        address,
        &format!("{environment}/observability?from=yesterday"),
    )
    .await;
    assert!(
        time.body.contains("From is no time"),
        "a bad filter is said, not ignored"
    );
}

/// A token is made by our own form only, shown in its answer, and never again.
async fn a_token_is_shown_once(browser: &Browser, environment: &str) {
    let page = format!("{environment}/integrations/claude-cowork/install");
    let shown = browser.post(&page, &[]).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.header("cache-control"), "no-store");
    let (_, after) = shown
        .body
        .split_once("id=\"authorization\">Bearer ")
        .expect("the header");
    let token = after.split('<').next().expect("a token");
    assert!(token.len() >= 8);
    for _ in 0..2 {
        assert!(
            !browser.get(&page).await.body.contains(token),
            "shown again"
        );
    }
}

/// Filters are kept in form and chips, and each chip leads to the page without it.
async fn filters_are_shown_and_removable(address: &str, environment: &str) {
    let path = format!("{environment}/observability");
    let page = get(address, &format!("{path}?type=tool_invocation&tool=Bash")).await;
    assert!(page.body.contains("value=\"tool_invocation\" selected"));
    assert!(page.body.contains("id=\"query\" value=\"tool:Bash\""));
    assert!(
        page.body
            .contains(&format!("href=\"{path}?q=tool%3ABash\""))
    );
    assert!(
        page.body
            .contains(&format!("href=\"{path}?type=tool_invocation\""))
    );
    assert!(page.body.contains("ran Bash") && !page.body.contains("called the model"));
    let sessions = get(address, &format!("{path}?type=session")).await;
    assert!(sessions.body.contains(&format!("{environment}/sessions/")));
    assert!(sessions.body.contains("<caption class=\"unseen\">Sessions"));
}

fn values(html: &str, opening: &str) -> Vec<String> {
    let starts = html.split(opening).skip(1);
    let texts = starts.filter_map(|rest| rest.split('"').next());
    texts
        .map(|text| text.replace("&amp;", "&").replace("&#38;", "&"))
        .collect()
}
