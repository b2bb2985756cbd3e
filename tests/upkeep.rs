//! Looking after what is stored: search, retention, backup, export and import.

use std::path::Path;
use std::process::Stdio;

use fieldpost::central::config::Config;
use fieldpost::central::store::{Access, Retention, Role};
use fieldpost::event::Timestamp;
use serde_json::Value;

use crate::support::api::Api;
use crate::support::eventually;
use crate::support::fieldpost::{
    Kind, TestCentral, client, command, folder, on_both_databases, postgres_location,
    started_beside,
};
use crate::support::postgres;
use crate::support::records::{Record, claude_session, request};

on_both_databases! {
    words_are_found_before_and_after_they_are_indexed,
    words_of_scripts_without_spaces_and_from_the_right_are_found,
    characters_within_words_are_found_by_reading,
    an_event_is_found_by_its_identity_before_and_after_it_is_indexed,
    what_is_too_old_goes_and_the_sums_stay,
    content_can_go_before_the_rest,
    what_is_exported_and_imported_is_the_same,
    a_sum_that_is_wrong_is_told_and_mended,
    what_came_one_by_one_lies_together_in_the_end,
}

async fn post(central: &TestCentral, bearer: &str, records: &[Record]) {
    let answer = client()
        .post(&central.url)
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(records).to_string())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(answer.status(), 200);
}

fn with_prompt(email: &str, session: &str, prompt: &str) -> Vec<Record> {
    let mut records = claude_session(email, session, 1);
    records[0]
        .attributes
        .insert("prompt".to_owned(), prompt.into());
    records
}

async fn indexed(central: &TestCentral) {
    eventually("the index to have everything", async || {
        let behind = central
            .central
            .store
            .unindexed()
            .await
            .expect("the store reads");
        (behind == 0).then_some(())
    })
    .await;
}

/// The sessions of the events that a search finds.
async fn found(api: &Api, query: &str) -> Vec<String> {
    let rows = api.list(&format!("events?{query}")).await;
    let mut sessions: Vec<String> = rows
        .iter()
        .filter_map(|row| row["session_id"].as_str().map(str::to_owned))
        .collect();
    sessions.sort();
    sessions
}

/// An id such as sessions have.
const LONG_ID: &str = "1f0c4b7a-2222-4333-8444-555555555555";

async fn words_are_found_before_and_after_they_are_indexed(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (email, session, prompt) in [
        (
            "ada@example.com",
            "one",
            "Deploy the Größenwahn service to staging",
        ),
        ("ada@example.com", "two", "検索エンジンを直す"),
        (
            "grace@example.com",
            LONG_ID,
            "See 77777777-2222-4333-8444-555555555555",
        ),
        (
            "grace@example.com",
            "three",
            "What does deploy-service do? 100%",
        ),
    ] {
        post(&central, &bearer, &with_prompt(email, session, prompt)).await;
    }
    for round in ["before", "after"] {
        for (query, expected) in [
            ("q=deploy", &["one", "three"][..]),
            ("q=DEPLOY", &["one", "three"]),
            ("q=depl", &["one", "three"]),
            ("q=gr%C3%B6%C3%9Fen", &["one"]),
            ("q=%E3%82%A8%E3%83%B3%E3%82%B8%E3%83%B3", &["two"]),
            ("q=%E7%9B%B4", &["two"]),
            ("q=deploy&agent=grace@example.com", &["three"]),
            ("q=deploy&type=tool_invocation", &[]),
            ("q=deploy&session=one", &["one"]),
            ("q=deploy-service", &["three"]),
            ("q=100%25", &["three"]),
            ("q=deploy&limit=1", &["one", "three"]),
            // An id, as a whole attribute and within a text.
            ("q=1f0c4b7a-2222-4333-8444-555555555555", &[LONG_ID]),
            ("q=77777777-2222-4333-8444-555555555555", &[LONG_ID]),
            ("q=nothing-like-it", &[]),
        ] {
            assert_eq!(found(&api, query).await, expected, "{query}, {round}");
        }
        indexed(&central).await;
    }
    central.stop().await;
}

async fn words_of_scripts_without_spaces_and_from_the_right_are_found(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (session, prompt) in [
        ("arabic", "أصلح محرك البحث في الخادم من فضلك"),
        ("chinese", "请修复服务器上的搜索引擎，谢谢"),
        ("japanese", "サーバーの検索エンジンを直してください"),
        ("korean", "서버의 검색 엔진을 고쳐 주세요"),
        ("thai", "ช่วยแก้เครื่องมือค้นหาบนเซิร์ฟเวอร์หน่อย"),
    ] {
        post(
            &central,
            &bearer,
            &with_prompt("ada@example.com", session, prompt),
        )
        .await;
    }
    for round in ["before", "after"] {
        for (words, session) in [
            ("محرك", "arabic"),
            ("البحث الخادم", "arabic"),
            ("الخا", "arabic"),
            // From the middle of what is written without a space, at either end, and one character alone.
            ("服务器", "chinese"),
            ("搜索引擎", "chinese"),
            ("修复 引擎", "chinese"),
            ("谢谢", "chinese"),
            ("修", "chinese"),
            ("検索エンジン", "japanese"),
            ("エンジン", "japanese"),
            ("直して", "japanese"),
            ("검색", "korean"),
            ("엔진", "korean"),
            ("ค้นหา", "thai"),
            ("เซิร์ฟเวอร์", "thai"),
        ] {
            let query = words.replace(' ', "+");
            assert_eq!(
                found(&api, &format!("q={query}")).await,
                [session],
                "{words}, {round}"
            );
        }
        // The same characters in another order are something else.
        for words in ["引擎搜索", "擎索", "ンジエン", "ثحبلا"] {
            let query = words.replace(' ', "+");
            assert!(
                found(&api, &format!("q={query}")).await.is_empty(),
                "{words}, {round}"
            );
        }
        indexed(&central).await;
    }
    central.stop().await;
}

async fn characters_within_words_are_found_by_reading(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (session, prompt) in [
        ("one", "Redeploying the Größenwahn service"),
        ("two", "What does unemployment mean?"),
    ] {
        post(
            &central,
            &bearer,
            &with_prompt("ada@example.com", session, prompt),
        )
        .await;
    }
    indexed(&central).await;
    assert!(found(&api, "q=ploy").await.is_empty(), "no word begins so");
    for (query, expected) in [
        ("text=ploy", &["one", "two"][..]),
        ("q=text:PLOY&limit=1", &["one", "two"]),
        ("q=text:%C3%B6%C3%9Fenw", &["one"]),
        ("q=text:%22ing+the+gr%22", &["one"]),
        // All of them, and beside words that the index knows.
        ("q=text:ploy+text:unem", &["two"]),
        ("q=service+text:ploy", &["one"]),
        ("q=text:ploy+-text:unem", &["one"]),
        ("q=text:ployx", &[]),
    ] {
        assert_eq!(found(&api, query).await, expected, "{query}");
    }
    let facets = api.get("events/facets?text=ploy").await;
    assert_eq!(facets["event_count"], 2, "{facets}");
    let environments = central.central.store.environments().await;
    let scope = environments.expect("the store reads")[0].scope;
    let viewer = central
        .central
        .create_api_key(Access::Environment(scope, Role::Viewer), "viewer")
        .await;
    let viewer = Api::new(&central.url, viewer.expect("the store writes").expose());
    for query in ["text=ploy", "q=text:ploy", "q=-text:ploy"] {
        let refused = viewer.request(&format!("events?{query}")).await;
        assert_eq!(
            refused.status(),
            403,
            "{query} would tell it letter by letter"
        );
    }
    central.stop().await;
}

async fn an_event_is_found_by_its_identity_before_and_after_it_is_indexed(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    let mut records = claude_session("ada@example.com", "one", 2);
    let foreign = "an-identity-of-the-client's-own";
    records[1]
        .attributes
        .insert("log.record.uid".to_owned(), foreign.into());
    post(&central, &bearer, &records).await;
    for _ in 0..2 {
        let events = api.list("events").await;
        assert_eq!(events[0]["id"], foreign);
        for event in &events {
            let id = event["id"].as_str().expect("an id");
            assert_eq!(api.get(&format!("events/{id}")).await, *event);
        }
        indexed(&central).await;
    }
    central.stop().await;
}

/// Sessions that began so many days ago.
fn aged(session: &str, days: i64) -> Vec<Record> {
    let mut records = claude_session("ada@example.com", session, 10);
    for record in &mut records {
        record.time_unix_ms -= days * 86_400_000;
    }
    records
}

async fn verify(central: &TestCentral) {
    let audit = central
        .central
        .store
        .verify(|_| ())
        .await
        .expect("the store reads");
    assert_eq!(audit.differences, 0, "{:?}", audit.told);
}

async fn what_is_too_old_goes_and_the_sums_stay(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (session, days) in [
        ("old", 40),
        ("straddling", 40),
        ("straddling", 1),
        ("new", 1),
    ] {
        post(&central, &bearer, &aged(session, days)).await;
    }
    indexed(&central).await;
    let store = &central.central.store;
    let environment = store
        .environments()
        .await
        .expect("the store reads")
        .remove(0);
    let keep = Retention {
        keep_seconds: Some(30 * 86_400),
        content_seconds: None,
    };
    store
        .set_retention(environment.scope, keep)
        .await
        .expect("the store writes");
    for expected in [20, 0] {
        let expired = store
            .expire(Timestamp::now(), &|| false)
            .await
            .expect("the store writes");
        assert_eq!(expired.events, expected);
    }
    assert_eq!(api.list("events").await.len(), 20);
    assert!(found(&api, "q=ticket&session=old").await.is_empty());
    let mut sessions = api.list("sessions").await;
    sessions.sort_by_key(|session| session["id"].to_string());
    let told: Vec<_> = sessions
        .iter()
        .map(|it| (&it["id"], &it["event_count"]))
        .collect();
    let (new, straddling) = (Value::from("new"), Value::from("straddling"));
    assert_eq!(told, [(&new, &10.into()), (&straddling, &20.into())]);
    // The agent did all of it, and is there still.
    assert_eq!(api.list("agents").await[0]["event_count"], 40);
    verify(&central).await;
    store.rebuild(|_| ()).await.expect("the store writes");
    assert_eq!(api.list("agents").await[0]["event_count"], 40);

    // What is sent again is counted as new, and goes again.
    let soon = Timestamp(Timestamp::now().0 + 40 * 86_400 * 1_000_000_000);
    store
        .expire(soon, &|| false)
        .await
        .expect("the store writes");
    for list in ["events", "sessions", "agents", "entities"] {
        assert!(api.list(list).await.is_empty(), "{list}");
    }
    verify(&central).await;
    central.stop().await;
}

async fn content_can_go_before_the_rest(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for (session, days) in [("old", 40), ("new", 1)] {
        let mut records = aged(session, days);
        // What a client of tomorrow may write: text of its own, in the body and beside it.
        records[3].body = "wholly unforeseen".to_owned();
        let text = "quite unexpected".into();
        records[3]
            .attributes
            .insert("something.new".to_owned(), text);
        post(&central, &bearer, &records).await;
    }
    indexed(&central).await;
    assert_eq!(found(&api, "q=Look+at+ticket").await.len(), 4);
    for words in ["q=unforeseen", "q=unexpected"] {
        assert_eq!(found(&api, words).await, ["new", "old"]);
    }
    let tools = api.list("entities?kind=mcp_tool").await;
    let store = &central.central.store;
    let environment = store
        .environments()
        .await
        .expect("the store reads")
        .remove(0);
    let keep = Retention {
        keep_seconds: None,
        content_seconds: Some(30 * 86_400),
    };
    store
        .set_retention(environment.scope, keep)
        .await
        .expect("the store writes");
    let expired = store
        .expire(Timestamp::now(), &|| false)
        .await
        .expect("the store writes");
    assert!(expired.contents > 0 && expired.events == 0, "{expired:?}");
    // The events are there, without their content, in the store and in the index.
    assert_eq!(found(&api, "q=Look+at+ticket").await, ["new", "new"]);
    let prompts = api.list("events?type=user_message&session=old").await;
    assert!(
        prompts.len() == 2
            && prompts
                .iter()
                .all(|it| it["attributes"]["prompt"]["state"] == "erased")
    );
    for words in ["q=unforeseen", "q=unexpected"] {
        assert_eq!(found(&api, words).await, ["new"]);
    }
    let unforeseen = async |session: &str| {
        let events = api.list(&format!("events?session={session}")).await;
        let with_text = events
            .into_iter()
            .filter(|it| it["attributes"].get("something.new").is_some());
        with_text
            .map(|it| {
                (
                    it["body"].clone(),
                    it["attributes"]["something.new"].clone(),
                )
            })
            .next()
    };
    let erased = serde_json::json!({"state": "erased"});
    assert_eq!(unforeseen("old").await, Some((erased.clone(), erased)));
    let whole = ("wholly unforeseen".into(), "quite unexpected".into());
    assert_eq!(unforeseen("new").await, Some(whole));
    // What was known from the content stays known.
    assert_eq!(
        api.list("events?tool=tickets:lookup_ticket&session=old")
            .await
            .len(),
        4
    );
    verify(&central).await;
    store.rebuild(|_| ()).await.expect("the store writes");
    assert_eq!(api.list("entities?kind=mcp_tool").await, tools);
    central.stop().await;
}

async fn a_sum_that_is_wrong_is_told_and_mended(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    post(&central, &bearer, &aged("one", 0)).await;
    let expected = central.api().await.list("sessions").await;
    let wrong = "UPDATE sessions SET tool_count = tool_count + 1";
    match &url {
        None => {
            let file = directory.path().join("fieldpost.db");
            let database = rusqlite::Connection::open(file).expect("a database");
            assert_eq!(database.execute(wrong, []), Ok(1));
        }
        Some(url) => {
            let client = postgres::connect(url).await;
            assert_eq!(client.execute(wrong, &[]).await.ok(), Some(1));
        }
    }
    let store = &central.central.store;
    for audit in [store.verify(|_| ()).await, store.rebuild(|_| ()).await] {
        let audit = audit.expect("the store reads");
        // One row that should not be so, and one that is missing.
        assert_eq!(audit.differences, 2, "{:?}", audit.told);
        assert!(
            audit.told.iter().all(|told| told.starts_with("sessions:")),
            "{:?}",
            audit.told
        );
    }
    verify(&central).await;
    assert_eq!(central.api().await.list("sessions").await, expected);
    central.stop().await;
}

async fn what_came_one_by_one_lies_together_in_the_end(kind: Kind) {
    const COUNT: usize = 40;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let api = central.api().await;
    for number in 0..COUNT {
        let mut records = with_prompt("ada@example.com", "one", &format!("step{number} of it"));
        records.truncate(1);
        post(&central, &bearer, &records).await;
    }
    let events = api.list("events").await;
    assert_eq!(events.len(), COUNT);
    indexed(&central).await;
    let sql = "SELECT count(*) FROM event_blocks";
    let blocks: i64 = match &url {
        None => rusqlite::Connection::open(directory.path().join("fieldpost.db"))
            .and_then(|database| database.query_row(sql, [], |row| row.get(0)))
            .expect("a database"),
        Some(url) => {
            let client = postgres::connect(url).await;
            client.query_one(sql, &[]).await.expect("it reads").get(0)
        }
    };
    assert!(blocks < COUNT as i64, "{blocks} blocks");
    assert_eq!(api.list("events").await, events);
    for number in [0, COUNT - 1] {
        let found = api.list(&format!("events?q=step{number}%20of")).await;
        assert_eq!(found.len(), 1);
    }
    assert_eq!(api.list("events?session=one&limit=7").await, events);
    verify(&central).await;
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_into_a_younger_server_goes_on_in_order() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = postgres::database();
    let location = || postgres_location(&url);
    let central = TestCentral::start_at(location(), directory.path()).await;
    let bearer = central.install().await.authorization_header;
    post(&central, &bearer, &aged("one", 0)).await;
    indexed(&central).await;
    central.stop().await;
    // As if a million transactions more had been behind the server that the dump came from.
    let client = postgres::connect(&url).await;
    client
        .batch_execute(
            "UPDATE events SET seq = seq + (1000000::bigint << 24);
             UPDATE event_blocks SET seq = seq + (1000000::bigint << 24);
             UPDATE event_text SET seq = seq + (1000000::bigint << 24);
             UPDATE store_state SET value = (value::bigint + (1000000::bigint << 24))::text
                 WHERE key = 'indexed';",
        )
        .await
        .expect("the server writes");

    let central = TestCentral::start_at(location(), directory.path()).await;
    post(&central, &bearer, &aged("two", 0)).await;
    indexed(&central).await;
    let api = central.api().await;
    assert_eq!(found(&api, "q=ticket&session=two").await.len(), 6);
    verify(&central).await;
    central.stop().await;
}

/// Runs `fieldpost central …` on the store in a data folder, and gives what it printed.
async fn central(data: &Path, arguments: &[&str]) -> String {
    let output = command()
        .arg("central")
        .args(arguments)
        .env("FIELDPOST_DATA_DIRECTORY", data)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("the binary starts");
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).expect("text")
}

async fn what_is_exported_and_imported_is_the_same(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let from = folder(directory.path(), "from");
    let source = TestCentral::start(&from).await;
    let bearer = source.install().await.authorization_header;
    for session in ["one", "two", "three"] {
        post(&source, &bearer, &aged(session, 3)).await;
    }
    let expected = source.api().await.list("events").await;
    source.stop().await;

    let exported = central(&from, &["export"]).await;
    assert_eq!(exported.lines().count(), expected.len());
    let file = directory.path().join("records.ndjson");
    std::fs::write(&file, exported).expect("the directory is writable");
    let target = TestCentral::start_on(kind, &folder(directory.path(), "to")).await;
    let token = directory.path().join("token");
    let header = target.install().await.authorization_header;
    fieldpost::secret::write_file(&token, &header).expect("the directory is writable");
    for _ in 0..2 {
        let to = format!("{}/v1/logs", target.url);
        let arguments = [
            "import",
            file.to_str().expect("text"),
            "--to",
            &to,
            "--token-file",
            token.to_str().expect("text"),
            "--json",
        ];
        let printed = central(&from, &arguments).await;
        let taken = format!(
            "{{\"records\":{},\"points\":0,\"spans\":0,\"rejected\":0}}\n",
            expected.len()
        );
        assert_eq!(printed, taken);
    }
    let bare = |mut events: Vec<Value>| {
        for event in &mut events {
            let fields = event.as_object_mut().expect("a row");
            fields.remove("received_at");
            fields.remove("agent_id");
        }
        events
    };
    assert_eq!(
        bare(target.api().await.list("events").await),
        bare(expected)
    );
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_past_what_is_too_large_and_says_what_was_rejected() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut config = Config {
        max_body: 64 << 10,
        ..Config::default()
    };
    config.ingest.max_record = 8 << 10;
    let data = folder(directory.path(), "to");
    let target = TestCentral::start_with(&data, config).await;
    let bearer = target.install().await.authorization_header;
    let token = directory.path().join("token");
    fieldpost::secret::write_file(&token, &bearer).expect("the directory is writable");
    // Together too much for one request; one is rejected by the answer, and one is a request too large by itself.
    let mut lines = String::new();
    for number in 0..40 {
        let mut records = claude_session("ada@example.com", &format!("s-{number}"), 1);
        let length = match number {
            7 => 9 << 10,
            21 => 80 << 10,
            _ => 4 << 10,
        };
        let prompt = "x".repeat(length).into();
        records[0].attributes.insert("prompt".to_owned(), prompt);
        lines.push_str(&format!("{}\n", request(&records)));
    }
    let file = directory.path().join("records.ndjson");
    std::fs::write(&file, lines).expect("the directory is writable");
    let output = command()
        .args(["central", "import", "--json", "--to"])
        .arg(format!("{}/v1/logs", target.url))
        .arg("--token-file")
        .arg(&token)
        .arg(&file)
        .output()
        .await
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (printed, said) = (text(output.stdout), text(output.stderr));
    let taken = "{\"records\":38,\"points\":0,\"spans\":0,\"rejected\":2}\n";
    assert_eq!(printed, taken, "{said}");
    assert!(
        !output.status.success() && said.contains("rejected 2 records"),
        "{said}"
    );
    assert!(said.contains("larger than 8192 bytes"), "{said}");
    assert_eq!(target.api().await.list("events").await.len(), 38);
    target.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_the_service_runs_is_a_data_folder() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = folder(directory.path(), "data");
    let source = TestCentral::start(&data).await;
    let bearer = source.install().await.authorization_header;
    post(&source, &bearer, &aged("one", 0)).await;
    let expected = source.api().await.list("events").await;
    let copy = directory.path().join("copy");
    let copy_text = copy.to_str().expect("text");
    let printed = central(&data, &["backup", copy_text, "--json"]).await;
    let printed: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(printed["bytes"].as_u64() > Some(10_000), "{printed}");
    post(&source, &bearer, &aged("two", 0)).await;
    source.stop().await;

    let restored = TestCentral::start(&copy).await;
    let api = restored.api().await;
    assert_eq!(api.list("events").await, expected);
    assert_eq!(found(&api, "q=ticket").await.len(), 6);
    // Keys went along: the old token is good here, and agents keep their ids.
    post(&restored, &bearer, &aged("three", 0)).await;
    assert_eq!(api.list("agents").await.len(), 1);
    restored.stop().await;
}
