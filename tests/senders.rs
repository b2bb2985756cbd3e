//! Who sends with a token: on its page, in the API and on the command line, before it is revoked; and what was
//! rejected of what they sent.

use std::path::Path;
use std::process::Output;

use fieldpost::central::store::{Retention, Role};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::fieldpost::{Kind, TestCentral, command, on_both_databases};
use crate::support::records::{claude_session, request};

on_both_databases! {
    a_token_says_who_falls_silent_without_it,
    rejected_records_are_told_where_somebody_looks,
}

const TOKENS: &str = "/t/default/default/integrations/claude-cowork";

/// Sends a session of five events, by an edge if one is named.
async fn sends(central: &TestCentral, bearer: &str, who: &str, session: &str, edge: Option<&str>) {
    let mut records = claude_session(&format!("{who}@example.com"), session, 5);
    for (seq, record) in (1..).zip(&mut records) {
        if let Some(edge) = edge {
            let attributes = &mut record.attributes;
            attributes.insert("fieldpost.edge.id".to_owned(), json!(edge));
            attributes.insert("host.name".to_owned(), json!(format!("{edge}-host")));
            attributes.insert("fieldpost.edge.seq".to_owned(), json!(seq));
        }
    }
    central
        .post(bearer, "logs", request(&records).to_string())
        .await;
}

async fn a_token_says_who_falls_silent_without_it(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let admin = central.sign_in(Role::Admin).await;
    let api = central.api().await;
    let made = admin
        .post(&format!("{TOKENS}/install"), &[("name", "old")])
        .await;
    let (_, bearer) = made
        .body
        .split_once("id=\"authorization\">")
        .expect("the header");
    let old = bearer.split('<').next().expect("a token").to_owned();
    let id = api.list("tokens").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    sends(&central, &old, "ada", "s-1", Some("edge-1")).await;
    sends(&central, &old, "joan", "s-2", None).await;
    let new = central.install().await.authorization_header;
    // Whoever sends with the new one does not need the old one any more.
    sends(&central, &new, "joan", "s-3", None).await;

    let token = api.get(&format!("tokens/{id}")).await;
    let by = token["created_by"].as_str().expect("a name");
    assert!(by.starts_with("admin-"), "{token}");
    assert_eq!(token["event_count_7d"], 10);
    assert_eq!(
        (&token["agent_count"], &token["machine_count"]),
        (&json!(2), &json!(1))
    );
    let depends = (&token["dependent_agents"], &token["dependent_machines"]);
    assert_eq!(depends, (&json!(1), &json!(1)), "{token}");
    let senders = token["senders"].as_array().expect("senders").iter();
    let mut senders: Vec<(&str, &str, bool)> = senders
        .map(|it| {
            let text = |key: &str| it[key].as_str().expect("a text");
            (text("kind"), text("name"), it["depends"] == true)
        })
        .collect();
    assert!(senders[0].2 && senders[1].2 && !senders[2].2, "{senders:?}");
    senders.sort_unstable();
    assert_eq!(
        senders,
        [
            ("agent", "Cowork/ada", true),
            ("agent", "Cowork/joan", false),
            ("machine", "edge-1-host", true),
        ]
    );
    assert_eq!(token["days"][0]["event_count"], 10);

    let list = admin.get(&format!("{TOKENS}/install")).await.body;
    assert!(
        list.contains("1 agent and 1 machine fall silent at once."),
        "{list}"
    );
    assert!(list.contains("1 agent falls silent at once."), "{list}");
    assert!(list.contains(by), "{list}");
    let page = admin.get(&format!("{TOKENS}/tokens/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);
    for said in ["Cowork/ada", "edge-1-host", "falls silent", "Revoke…"] {
        assert!(page.body.contains(said), "{said}: {}", page.body);
    }
    let missing = admin.get(&format!("{TOKENS}/tokens/none")).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    let viewer = central.sign_in(Role::Viewer).await;
    let page = viewer.get(&format!("{TOKENS}/tokens/{id}")).await;
    assert_eq!(page.status, StatusCode::OK);

    // A sender that has moved frees the old token: then nobody falls silent, and all are heard.
    sends(&central, &new, "ada", "s-4", Some("edge-1")).await;
    let token = api.get(&format!("tokens/{id}")).await;
    assert_eq!(
        (&token["dependent_agents"], &token["dependent_machines"]),
        (&json!(0), &json!(0))
    );
    let answer = api.post(&format!("tokens/{id}/revoke")).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    central.stop().await;
}

async fn fieldpost(data: &Path, arguments: &[&str]) -> Output {
    let output = command()
        .args(["central", "token"])
        .args(arguments)
        .env("FIELDPOST_DATA_DIRECTORY", data)
        .output();
    output.await.expect("the binary starts")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_asks_before_it_silences_anybody() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let bearer = central.install().await.authorization_header;
    sends(&central, &bearer, "ada", "s-1", Some("edge-1")).await;
    let api = central.api().await;
    let token = eventually("the use to be written", async || {
        let token = api.list("tokens").await.remove(0);
        (token["agent_count"] == 1).then_some(token)
    })
    .await;
    let id = token["id"].as_str().expect("an id");
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let listed = said(&fieldpost(directory.path(), &["list"]).await);
    for words in [
        "5 events in 7 days",
        "1 agent and 1 machine",
        "by command line",
    ] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let shown = said(&fieldpost(directory.path(), &["show", id]).await);
    assert!(
        shown.contains("agent    Cowork/ada") && shown.contains("falls silent"),
        "{shown}"
    );
    let refused = fieldpost(directory.path(), &["revoke", id]).await;
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        told.contains("1 agent and 1 machine would fall silent") && told.contains("--yes"),
        "{told}"
    );
    let revoked = fieldpost(directory.path(), &["revoke", id, "--yes"]).await;
    assert_eq!(said(&revoked).trim(), "revoked");
    central.stop().await;
}

async fn rejected_records_are_told_where_somebody_looks(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let retention = Retention {
        keep_seconds: Some(7 * 86_400),
        content_seconds: None,
    };
    store
        .set_retention(scope, retention)
        .await
        .expect("the store writes");
    let viewer = central.sign_in(Role::Viewer).await;
    let overview = async || viewer.get("/t/default/default/").await.body;
    assert!(
        overview()
            .await
            .contains("no record was rejected these days")
    );
    let mut records = claude_session("ada@example.com", "s", 5);
    for record in &mut records[..2] {
        record.time_unix_ms -= 30 * 86_400_000;
    }
    eventually("the new time to hold", async || {
        central
            .post(&bearer, "logs", request(&records).to_string())
            .await;
        let page = overview().await;
        page.contains("records rejected").then_some(())
    })
    .await;
    let page = overview().await;
    assert!(
        page.contains("older than the time for which records are kept"),
        "{page}"
    );
    let api = central.api().await;
    let id = api.list("tokens").await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let token: Value = api.get(&format!("tokens/{id}")).await;
    assert_eq!(token["rejected"][0]["reason"], "too_old");
    let page = viewer.get(&format!("{TOKENS}/tokens/{id}")).await.body;
    assert!(page.contains("older than the time for which records are kept"));
    central.stop().await;
}
