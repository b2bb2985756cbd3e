//! Lists: what a query finds, how it is counted and told apart, and what an export holds.

use fieldpost::central::store::Sight;
use sha2::{Digest, Sha256};

use crate::support::fieldpost::{Kind, on_both_databases};
use crate::support::records::{Record, claude_session, request};

use super::{Answer, ENVIRONMENT, filled_on, get, send, values};

on_both_databases! {
    a_query_narrows_events_and_their_sessions,
    an_export_holds_what_the_page_shows,
    what_arrives_is_counted_once,
    a_page_leads_to_older_rows_and_back,
}

fn list(query: &str) -> String {
    format!("{ENVIRONMENT}/observability?{query}")
}

/// The words of the result line: so many events or sessions.
fn counted(page: &Answer) -> &str {
    let (_, after) = page.body.split_once("<strong>").unwrap_or(("", ""));
    after.split('<').next().unwrap_or_default()
}

fn rows(page: &Answer) -> usize {
    page.body.matches("class=\"when\"").count()
}

async fn a_query_narrows_events_and_their_sessions(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let page = async |query: &str| get(&address, &list(query)).await;

    let unknown = page("q=toll%3ABash").await;
    assert_eq!(unknown.status, 200);
    assert!(
        unknown.body.contains("“toll:” is no qualifier"),
        "{}",
        unknown.body
    );
    assert_eq!(rows(&unknown), 0);

    let all = page("").await;
    let bash = page("q=tool%3ABash").await;
    let rest = page("q=-tool%3ABash").await;
    let number = |page: &Answer| -> usize {
        let digits: String = counted(page).chars().filter(char::is_ascii_digit).collect();
        digits.parse().expect("a count")
    };
    assert!(number(&bash) > 0 && number(&bash) == rows(&bash));
    assert_eq!(number(&bash) + number(&rest), number(&all));
    for (query, verb) in [
        ("q=decision%3Areject", "denied"),
        ("q=type%3Auser_message%20has%3Aprompt", "asked"),
        ("q=mcp%3Ademo", "demo:"),
        ("q=source%3Aconfig", "allowed by configuration"),
    ] {
        let found = page(query).await;
        assert!(rows(&found) > 0, "{query}: {}", found.body);
        assert_eq!(number(&found), rows(&found), "{query}");
        assert!(found.body.contains(verb), "{query}");
        let sessions = page(&format!(
            "type=session&{}",
            query.replace("type%3Auser_message%20", "")
        ))
        .await;
        assert!(rows(&sessions) > 0, "sessions with {query}");
    }
    assert_eq!(
        page("type=session&q=tool%3Anone")
            .await
            .body
            .matches("No session matches")
            .count(),
        1
    );
    let none = page("q=decision%3Areject%20tool%3Anone&range=30d").await;
    assert!(none.body.contains("No event matches") && none.body.contains("Without “Tool"));

    // Each facet's link leads to as many rows as it says.
    let links = values(&bash.body, "class=\"only\" href=\"");
    assert!(links.len() > 4, "{links:?}");
    for link in links {
        assert!(rows(&get(&address, &link).await) > 0, "{link}");
    }
    // A record opens beside the list, on each of its tabs.
    let opened = values(&bash.body, "class=\"opens\" href=\"").remove(0);
    for (tab, sign) in [
        ("", "Values to filter by"),
        ("&tab=context", "class=\"context\""),
        ("&tab=raw", "tool_use_id"),
        ("&tab=identity", "asserted"),
    ] {
        let panel = get(&address, &format!("{opened}{tab}")).await;
        assert!(
            panel.body.contains("id=\"panel\"") && panel.body.contains(sign),
            "{tab}"
        );
        assert_eq!(rows(&panel), rows(&bash), "the list stays");
    }
    central.stop().await;
}

/// Sends records as a client does.
async fn deliver(address: &str, bearer: &str, records: &[Record]) {
    let headers = [
        ("Host", address),
        ("Authorization", bearer),
        ("Content-Type", "application/json"),
    ];
    let body = request(records).to_string();
    let answer = send(address, "POST", "/v1/logs", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

async fn export(address: &str, pairs: &str) -> Answer {
    let headers = [
        ("Host", address),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let target = format!("{ENVIRONMENT}/observability/export");
    send(address, "POST", &target, &headers, pairs).await
}

async fn an_export_holds_what_the_page_shows(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let bearer = central.install().await.authorization_header;
    let mut hostile = claude_session("eve@example.com", "hostile", 1);
    let formula = "=HYPERLINK(\"http://evil.example\",\"<script>\u{202e}\")";
    hostile[0].attributes["prompt"] = formula.into();
    deliver(&address, &bearer, &hostile).await;

    let page = get(&address, &list("q=tool%3ABash")).await;
    let ndjson = export(&address, "format=ndjson&q=tool%3ABash").await;
    assert_eq!(ndjson.status, 200);
    let mut lines: Vec<&str> = ndjson.body.lines().collect();
    let manifest: serde_json::Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    assert_eq!(lines.len(), rows(&page));
    assert_eq!(manifest["manifest"]["rows"], lines.len());
    let whole = format!("{}\n", lines.join("\n"));
    let digest: String = Sha256::digest(&whole)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(manifest["manifest"]["sha256"], digest);
    let ids: Vec<String> = lines
        .iter()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let opened = values(&page.body, "class=\"opens\" href=\"");
    for (id, href) in ids.iter().zip(&opened) {
        assert!(
            href.contains(id.as_str()),
            "the same rows in the same order"
        );
    }
    let csv = export(&address, "format=csv&q=session%3Ahostile").await;
    assert!(csv.header("content-type").unwrap().starts_with("text/csv"));
    assert!(csv.body.contains("\"'=HYPERLINK(\"\"http"), "{}", csv.body);
    let sessions = export(&address, "format=csv&type=session").await;
    let shown = get(&address, &list("type=session")).await;
    assert_eq!(sessions.body.lines().count(), rows(&shown) + 1);
    assert_eq!(export(&address, "format=xls").await.status, 400);
    central.stop().await;
}

async fn what_arrives_is_counted_once(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, _) = filled_on(kind, directory.path()).await;
    let store = &central.central.store;
    let scope = store.environments().await.unwrap()[0].scope;
    let sight = Sight::everything(scope);
    let filter = Default::default();
    let stored = store.survey(&sight, &filter).await.unwrap().count;
    // On PostgreSQL, what another transaction may still precede is counted a little later.
    let (mut position, mut counted) = (0, 0);
    let mut count_to = async |wanted: usize| {
        let begun = std::time::Instant::now();
        while counted < wanted && begun.elapsed() < crate::support::PATIENCE {
            let arrivals = store.arrivals(&sight, &filter, position).await.unwrap();
            (position, counted) = (arrivals.position, counted + arrivals.count);
            tokio::task::yield_now().await;
        }
        assert_eq!(counted, wanted);
        position
    };
    count_to(stored).await;
    let address = central.url.trim_start_matches("http://").to_owned();
    let bearer = central.install().await.authorization_header;
    deliver(
        &address,
        &bearer,
        &claude_session("new@example.com", "new", 1),
    )
    .await;
    let position = count_to(stored + 1).await;
    let nothing = store.arrivals(&sight, &filter, position).await.unwrap();
    assert_eq!(nothing.count, 0);
    // Each is a block of its own, and one look counts them all.
    for number in 0..40 {
        let session = format!("alone-{number}");
        let alone = claude_session("new@example.com", &session, 1);
        deliver(&address, &bearer, &alone).await;
    }
    if kind == Kind::Sqlite {
        let look = store.arrivals(&sight, &filter, position).await.unwrap();
        assert_eq!(look.count, 40);
    }
    count_to(stored + 41).await;
    central.stop().await;
}

async fn a_page_leads_to_older_rows_and_back(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(kind, directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let links =
        |page: &Answer, rel: &str| values(&page.body, &format!("rel=\"{rel}\" href=\"")).pop();
    let opened = |page: &Answer| -> Vec<String> {
        let links = values(&page.body, "class=\"opens\" href=\"");
        links
            .iter()
            .map(|link| link.split("event=").nth(1).unwrap().to_owned())
            .collect()
    };
    let first = get(&address, &list("")).await;
    assert_eq!(links(&first, "prev"), None);
    let older = get(&address, &links(&first, "next").expect("more than a page")).await;
    let back = get(&address, &links(&older, "prev").expect("a way back")).await;
    assert_eq!(opened(&first), opened(&back));
    let again = get(&address, &links(&back, "next").expect("a way on")).await;
    assert_eq!(opened(&older), opened(&again));
    central.stop().await;
}

/// Times and colors are what a person chose, and a choice leads nowhere else.
#[tokio::test(flavor = "multi_thread")]
async fn preferences_are_kept_in_cookies() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (central, browser) = filled_on(Kind::Sqlite, directory.path()).await;
    let lent = browser.lend().await;
    let address = lent.address();
    let headers = [
        ("Host", address.as_str()),
        ("Sec-Fetch-Site", "same-origin"),
        ("Content-Type", "application/x-www-form-urlencoded"),
    ];
    let chosen = "zone=Asia%2FKathmandu&theme=dark&back=%2F%2Fevil.example";
    let set = send(&address, "POST", "/preferences", &headers, chosen).await;
    assert_eq!((set.status, set.header("location")), (303, Some("/")));
    assert!(
        set.head.contains("fieldpost-zone=Asia/Kathmandu; Path=/"),
        "{}",
        set.head
    );
    let cookie = "fieldpost-zone=Asia/Kathmandu; fieldpost-theme=dark";
    let page = super::ask(
        &address,
        "GET",
        &list(""),
        &[("Host", &address), ("Cookie", cookie)],
    )
    .await;
    assert!(page.body.contains("data-theme=\"dark\""));
    assert!(
        page.body.contains(" Asia/Kathmandu, 20"),
        "both zones are in the stamp's title"
    );
    central.stop().await;
}
