//! Search for words among many blocks, old and new, common and rare.

use fieldpost::central::store::Role;
use fieldpost::event::Timestamp;
use serde_json::Value;

use crate::support::api::Api;
use crate::support::eventually;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{claude_session, request};

on_both_databases! {
    a_word_is_found_however_common_it_is_and_however_far_back,
}

/// Sessions whose ids together are more than a statement can have parameters.
const MANY_SESSIONS: usize = 17_000;

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_narrowed_by_what_very_many_of_them_have() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut sessions: Vec<_> = (0..MANY_SESSIONS)
        .flat_map(|number| {
            let mut records = claude_session("ada@example.com", &format!("s-{number}"), 4);
            records.remove(1);
            records.remove(1);
            records
        })
        .collect();
    sessions.extend(claude_session("ada@example.com", "other", 5).pop());
    for records in sessions.chunks(2_000) {
        let posted = client()
            .post(&central.url)
            .header("authorization", &bearer)
            .header("content-type", "application/json")
            .body(request(records).to_string())
            .send()
            .await
            .expect("the service answers");
        assert_eq!(posted.status(), 200);
    }
    let browser = central.sign_in(Role::Owner).await;
    let list = "/t/default/default/observability?type=session&q=";
    let page = browser
        .get(&format!("{list}-type%3Auser_message+-type%3Aapi_request"))
        .await;
    assert_eq!(page.status, 200);
    assert!(
        page.body.contains("1 session ") || page.body.contains("1 session<"),
        "{}",
        page.body
    );
    central.stop().await;
}

/// Events, of which no two lie in one block: no block holds more than ten minutes.
const EVENTS: usize = 90;

const TEN_MINUTES_MS: i64 = 600_000;

/// Words of each event that begin alike: of all events together more than a search spells out.
const ALIKE: usize = 4;

/// The prompts that a search finds, as their numbers, the latest first.
async fn found(api: &Api, query: &str) -> Vec<usize> {
    let rows = api.list(&format!("events?{query}")).await;
    let number = |row: &Value| {
        let session = row["session_id"].as_str().expect("a session");
        session.parse().expect("a number")
    };
    rows.iter().map(number).collect()
}

async fn a_word_is_found_however_common_it_is_and_however_far_back(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    let now = Timestamp::now().0 / 1_000_000;
    let time = |number: usize| now - number as i64 * TEN_MINUTES_MS;
    let mut records = Vec::new();
    for number in 0..EVENTS {
        let person = if number % 30 == 0 { "ada" } else { "grace" };
        let mut record = claude_session(&format!("{person}@example.com"), &number.to_string(), 1);
        let alike = (0..ALIKE).map(|word| format!("alike{:04}", number * ALIKE + word));
        let mut words: Vec<String> = alike.collect();
        words.push("everywhere".to_owned());
        if number + 1 == EVENTS {
            words.push("nowhere else".to_owned());
        }
        if number >= EVENTS - 20 {
            words.push("longago".to_owned());
        }
        record[0].time_unix_ms = time(number);
        let prompt = words.join(" ").into();
        record[0].attributes.insert("prompt".to_owned(), prompt);
        records.append(&mut record);
    }
    let posted = client()
        .post(&central.url)
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(&records).to_string())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(posted.status(), 200);
    eventually("the index to have everything", async || {
        let behind = central.central.store.unindexed().await;
        (behind.expect("the store reads") == 0).then_some(())
    })
    .await;

    let all: Vec<usize> = (0..EVENTS).collect();
    let old: Vec<usize> = (EVENTS - 20..EVENTS).collect();
    for limit in [3, 20, 1_000] {
        let page = format!("limit={limit}");
        // As a whole word, and as the beginning of one or of very many.
        for query in ["q=everywhere%20", "q=everywh", "q=alike"] {
            let query = format!("{query}&{page}");
            assert_eq!(found(&api, &query).await, all, "{query}");
        }
        assert_eq!(
            found(&api, &format!("q=nowhere&{page}")).await,
            [EVENTS - 1]
        );
        assert_eq!(found(&api, &format!("q=longago&{page}")).await, old);
        assert_eq!(found(&api, &format!("q=alike0017&{page}")).await, [4]);
        let of_person = format!("q=everywhere&agent=ada@example.com&{page}");
        assert_eq!(found(&api, &of_person).await, [0, 30, 60]);
        let both = format!("q=alike+longago&agent=ada@example.com&{page}");
        assert_eq!(found(&api, &both).await, [0; 0]);
    }
    let at = |number| Timestamp(time(number) * 1_000_000);
    let past = format!("q=everywhere&from={}&to={}", at(75), at(71));
    assert_eq!(found(&api, &past).await, [72, 73, 74, 75]);
    central.stop().await;
}
