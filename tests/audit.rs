//! The audit leaves nothing out: what is changed on the command line and by the API, with before and after.

use std::path::Path;

use fieldpost::central::store::{Access, AuditFilter, Audited, PageRequest, Role};
use fieldpost::event::Timestamp;
use reqwest::StatusCode;
use serde_json::{Map, Value, json};

use crate::support::api::Api;
use crate::support::fieldpost::{
    Kind, Service, TestCentral, client, folder, free_port, on_both_databases,
};
use crate::support::records::{Record, request};

on_both_databases! {
    a_machine_is_put_aside_and_taken_back,
}

/// A service as a process, with its command line.
async fn start(directory: &Path) -> (Service, u16) {
    let port = free_port();
    let data = folder(directory, "central");
    let config = format!(
        "[listen]\naddress = \"127.0.0.1:{port}\"\n[data]\ndirectory = \"{}\"\n",
        data.display()
    );
    (Service::start("central", &data, &config, port).await, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_on_the_command_line_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (service, port) = start(directory.path()).await;
    let key = service.run(&["api-key", "--name", "reads the audit"]).await;
    service
        .run(&["token", "install", "--name", "laptops", "--json"])
        .await;
    let tokens = service.run_json(&["token", "list", "--json"]).await;
    let token = tokens[0]["id"].as_str().expect("an id").to_owned();
    service
        .run(&["token", "rename", &token, "all laptops"])
        .await;
    service.run(&["token", "revoke", &token]).await;
    service.run(&["token", "delete", &token]).await;
    service.run(&["integration", "uninstall", "--yes"]).await;
    service
        .run(&["api-key", "--name", "short-lived", "--role", "viewer"])
        .await;
    let keys = service.run_json(&["api-key", "list", "--json"]).await;
    let keys = keys.as_array().expect("a list");
    let short = keys
        .iter()
        .find(|it| it["name"] == "short-lived")
        .expect("it was made");
    let short = short["id"].as_str().expect("an id").to_owned();
    service.run(&["api-key", "delete", &short]).await;
    service.run(&["key", "rotate"]).await;
    let signing = service.run_json(&["key", "list", "--json"]).await;
    let signing = signing.as_array().expect("a list");
    let old = signing
        .iter()
        .find(|it| it["current"] == false)
        .expect("the first one");
    let old = old["id"].as_str().expect("an id").to_owned();
    service.run(&["key", "retire", &old]).await;
    service.run(&["retention", "set", "--keep", "90d"]).await;
    service.run(&["tenant", "add", "--tenant", "other"]).await;
    service.run(&["tenant", "delete", "other", "--yes"]).await;
    service.run(&["environment", "rename", "production"]).await;
    let place = ["--environment", "production"];
    let user = async |arguments: &[&str]| {
        service.run(&[&["user"], arguments].concat()).await;
    };
    user(&[&["add", "ada@example.com", "--role", "admin"], &place[..]].concat()).await;
    user(&[&["role", "ada@example.com", "owner"], &place[..]].concat()).await;
    user(&["password", "ada@example.com"]).await;
    user(&["link", "ada@example.com"]).await;
    user(&["sign-out", "ada@example.com"]).await;
    user(&[&["remove", "ada@example.com"], &place[..]].concat()).await;
    service
        .run(&["api-key", "--role", "operator", "--name", "robots"])
        .await;

    let api = Api::new(&format!("http://127.0.0.1:{port}"), key.trim());
    let told = api.list("audit").await;
    let text = |entry: &Value, key: &str| entry[key].as_str().expect("a text").to_owned();
    assert!(told.iter().all(|it| text(it, "person") == "command line"));
    let mut told: Vec<[String; 4]> = told
        .iter()
        .map(|it| ["action", "object", "before", "after"].map(|key| text(it, key)))
        .collect();
    told.reverse();
    for action in ["person.added", "link.made"] {
        let first = told.remove(0);
        assert_eq!(first[..2], [action, "owner"], "by the first start");
    }
    let ada = "ada@example.com";
    let forever = "everything  forever\ncontent     forever";
    let limited = "everything  90d\ncontent     forever";
    // Of another tenant nothing is told here.
    let expected = [
        ["api_key.made", "reads the audit", "", "owner"],
        ["token.made", "laptops", "", ""],
        ["token.renamed", &token, "laptops", "all laptops"],
        ["token.revoked", &token, "", ""],
        ["token.deleted", &token, "all laptops", ""],
        ["integration.removed", "claude-cowork", "0 live tokens", ""],
        ["api_key.made", "short-lived", "", "viewer"],
        ["api_key.deleted", &short, "short-lived", ""],
        ["signing_key.rotated", "", "", ""],
        ["signing_key.retired", &old, "", ""],
        ["retention.changed", "", forever, limited],
        ["environment.renamed", "", "default", "production"],
        ["person.added", ada, "", "admin"],
        ["role.changed", ada, "admin", "owner"],
        ["password.changed", ada, "", ""],
        ["link.made", ada, "", ""],
        ["sign_out.everywhere", ada, "", ""],
        ["person.removed", ada, "owner", ""],
        ["api_key.made", "robots", "", "operator"],
    ];
    for (told, expected) in told.iter().zip(&expected) {
        assert_eq!(told, expected);
    }
    assert_eq!(told.len(), expected.len(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_operators_change_by_the_api_is_told_where_people_can_read_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start(directory.path()).await;
    let service = &central.central;
    let key = service.create_api_key(Access::Operator, "robots").await;
    let operator = Api::new(&central.url, key.expect("the store writes").expose());
    for (path, body) in [
        ("operator-keys", json!({"name": "more robots"})),
        ("tenants", json!({"name": "other", "environment": "eu"})),
    ] {
        let answer = operator.send(reqwest::Method::POST, path, &body).await;
        assert_eq!(answer.status(), StatusCode::CREATED, "{path}");
    }
    let told = audited(&central).await.remove(0);
    let told = (&*told.person, &*told.action, &*told.object);
    let change = "POST /operator-keys";
    assert_eq!(told, ("API key robots", "operator.change", change));
    let environments = service.store.environments().await;
    let other = environments.expect("the store reads")[1].scope;
    // By that name, as it stands there.
    let filter = AuditFilter {
        person: Some("API key robots".to_owned()),
        ..AuditFilter::default()
    };
    let page = PageRequest::default();
    let there = service.store.audited(other, None, &filter, page).await;
    let there = there.expect("the store reads").items;
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].action, "environment.made");
    central.stop().await;
}

/// What was done, the latest first.
async fn audited(central: &TestCentral) -> Vec<Audited> {
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let page = store
        .audited(scope, None, &AuditFilter::default(), PageRequest::default())
        .await;
    page.expect("the store reads").items
}

/// Lets a machine report.
async fn heartbeat_of(central: &TestCentral, machine: &str) {
    let attributes: Map<String, Value> = [
        ("event.name", json!("fieldpost.heartbeat")),
        ("fieldpost.edge.id", json!(machine)),
        ("fieldpost.edge.seq", json!(1)),
        ("queue.last_seq", json!(1)),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    let record = Record {
        time_unix_ms: Timestamp::now().0 / 1_000_000,
        body: "fieldpost.heartbeat".to_owned(),
        attributes,
    };
    let posted = client()
        .post(format!("{}/v1/logs", central.url))
        .header(
            "authorization",
            central.install().await.authorization_header,
        )
        .header("content-type", "application/json")
        .body(request(&[record]).to_string())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(posted.status(), StatusCode::OK);
}

async fn a_machine_is_put_aside_and_taken_back(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    heartbeat_of(&central, "laptop-7").await;
    let admin = central.sign_in(Role::Admin).await;
    let viewer = central.sign_in(Role::Viewer).await;
    let machine = "/t/default/default/inventory/machines/laptop-7";
    let decide = format!("{machine}/retire");
    assert!(!viewer.get(machine).await.body.contains("/retire"));
    assert_eq!(viewer.get(&decide).await.status, StatusCode::FORBIDDEN);
    let refused = viewer.post(&decide, &[("retired", "true")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);

    assert!(admin.get(machine).await.body.contains("Retire…"));
    assert!(admin.get(&decide).await.body.contains("Retire <bdi>"));
    let retired = admin.post(&decide, &[("retired", "true")]).await;
    assert_eq!(retired.header("location"), machine);
    let page = admin.get(machine).await.body;
    assert!(page.contains("retired, ") && page.contains("Restore…"));
    admin.post(&decide, &[("retired", "false")]).await;
    assert!(admin.get(machine).await.body.contains("reporting, "));
    let api = central.api().await;
    for change in ["retire", "restore"] {
        let answer = api.post(&format!("machines/laptop-7/{change}")).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    let told = audited(&central).await;
    let told: Vec<_> = told[..4]
        .iter()
        .map(|it| (&*it.action, &*it.object, &*it.before, &*it.after))
        .collect();
    let retired = ("machine.retired", "laptop-7", "reporting", "retired");
    let restored = ("machine.restored", "laptop-7", "retired", "");
    assert_eq!(told, [restored, retired, restored, retired]);
    let nothing = admin.post(
        "/t/default/default/inventory/machines/none/retire",
        &[("retired", "true")],
    );
    assert_eq!(nothing.await.status, StatusCode::NOT_FOUND);
    central.stop().await;
}
