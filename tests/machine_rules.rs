//! By which rules machines are late or silent: changed by whoever may, told in the audit, and in force in
//! every replica at once.

use fieldpost::central::store::{AuditFilter, PageRequest, Role};
use fieldpost::event::Timestamp;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::api::Api;
use crate::support::fieldpost::{Kind, TestCentral, client, on_both_databases};
use crate::support::records::{Record, request};

on_both_databases! {
    rules_of_machines_are_in_force_in_every_replica_and_the_audit_tells,
    rules_that_cannot_be_followed_are_refused,
}

const MINUTE_NANOS: i64 = 60 * 1_000_000_000;
const DAY_NANOS: i64 = 24 * 60 * MINUTE_NANOS;

/// A machine whose latest heartbeat was then.
async fn heartbeat(central: &TestCentral, machine: &str, time: i64) {
    let attributes = [
        ("event.name", json!("fieldpost.heartbeat")),
        ("fieldpost.edge.id", json!(machine)),
        ("fieldpost.edge.seq", json!(1)),
        ("queue.last_seq", json!(1)),
    ];
    let record = Record {
        time_unix_ms: time / 1_000_000,
        body: "fieldpost.heartbeat".to_owned(),
        attributes: attributes
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
    };
    let bearer = central.install().await.authorization_header;
    let posted = client()
        .post(format!("{}/v1/logs", central.url))
        .header("authorization", bearer)
        .header("content-type", "application/json")
        .body(request(&[record]).to_string())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(posted.status(), StatusCode::OK);
}

/// Noon of a working day a good week ago.
fn working_day(now: Timestamp) -> i64 {
    let today = now.0.div_euclid(DAY_NANOS);
    // 1 January 1970 was a Thursday.
    let is_working_day = |day: &i64| (day + 3).rem_euclid(7) < 5;
    let day = (today - 12..=today - 8).find(is_working_day);
    day.expect("a week has working days") * DAY_NANOS + DAY_NANOS / 2
}

/// The states that a replica gives: in the list, and of each machine.
async fn states(api: &Api) -> Vec<(String, String)> {
    let text = |row: &Value, key: &str| row[key].as_str().expect("a text").to_owned();
    let mut states = Vec::new();
    for row in api.list("machines").await {
        let id = text(&row, "id");
        let one = api.get(&format!("machines/{id}")).await;
        assert_eq!(one["state"], row["state"], "{id}");
        states.push((id, text(&row, "state")));
    }
    states.sort();
    states
}

async fn rules_of_machines_are_in_force_in_every_replica_and_the_audit_tells(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let location = kind.location();
    let central = TestCentral::start_at(location.clone(), directory.path()).await;
    let other = TestCentral::start_at(location, directory.path()).await;
    let (api, api_of_other) = (central.api().await, other.api().await);
    let now = Timestamp::now();
    heartbeat(&central, "asleep", now.0 - 10 * MINUTE_NANOS).await;
    heartbeat(&central, "gone", working_day(now)).await;
    let told = async |expected: [&str; 2]| {
        let expected = [("asleep", expected[0]), ("gone", expected[1])]
            .map(|(id, state)| (id.to_owned(), state.to_owned()));
        assert_eq!(states(&api_of_other).await, expected);
        assert_eq!(states(&api).await, expected);
    };
    told(["late", "late"]).await;

    let change = json!({"late_after_seconds": 1200});
    let changed = api.send(Method::PUT, "machine-rules", &change).await;
    assert_eq!(changed.status(), StatusCode::OK);
    told(["reporting", "late"]).await;
    assert_eq!(
        api_of_other.get("machine-rules").await,
        json!({"late_after_seconds": 1200, "silent_after_days": 2, "usual_days": 5, "usual_of_days": 10})
    );

    let admin = central.sign_in(Role::Admin).await;
    let settings = "/t/default/default/settings/machines";
    assert!(admin.get(settings).await.body.contains("value=\"20\""));
    let form = [("late", "5"), ("silent", "3"), ("usual", "1"), ("of", "1")];
    let saved = admin.post(settings, &form).await;
    assert_eq!(saved.header("location"), settings);
    told(["late", "silent"]).await;
    let metrics = client()
        .get(format!("{}/metrics", other.url))
        .send()
        .await
        .expect("the service answers");
    let silent = "machines{tenant=\"default\",environment=\"default\",state=\"silent\"} 1";
    assert!(metrics.text().await.expect("text").contains(silent));

    let scope = central.central.store.environments().await;
    let scope = scope.expect("the store reads")[0].scope;
    let filter = AuditFilter::default();
    let page = PageRequest::default();
    let audited = central.central.store.audited(scope, None, &filter, page);
    let audited = audited.await.expect("the store reads").items.into_iter();
    let changes: Vec<[String; 2]> = audited
        .filter(|it| it.action == "machine_rules.changed")
        .map(|it| [it.before, it.after])
        .collect();
    let words = [
        "180 s, silent after 2 working days if there on 5 of 10",
        "1200 s, silent after 2 working days if there on 5 of 10",
        "300 s, silent after 3 working days if there on 1 of 1",
    ]
    .map(|rules| format!("late after {rules}"));
    let [first, second, third] = words;
    assert_eq!(changes, [[second.clone(), third], [first, second]]);
    central.stop().await;
    other.stop().await;
}

async fn rules_that_cannot_be_followed_are_refused(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let api = central.api().await;
    let before = api.get("machine-rules").await;
    for wrong in [
        json!({"late_after_seconds": 59}),
        json!({"late_after_seconds": 86_401}),
        json!({"silent_after_days": 0}),
        json!({"usual_days": 11}),
        json!({"usual_of_days": 4}),
        json!({"usual_of_days": 66, "usual_days": 1}),
        json!({"silent_after_hours": 3}),
    ] {
        let refused = api.send(Method::PUT, "machine-rules", &wrong).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let settings = "/t/default/default/settings/machines";
    let admin = central.sign_in(Role::Admin).await;
    let none = [("late", "0"), ("silent", "2"), ("usual", "5"), ("of", "10")];
    assert_eq!(
        admin.post(settings, &none).await.status,
        StatusCode::BAD_REQUEST
    );
    let viewer = central.sign_in(Role::Viewer).await;
    assert_eq!(viewer.get(settings).await.status, StatusCode::FORBIDDEN);
    let form = [("late", "5"), ("silent", "2"), ("usual", "5"), ("of", "10")];
    assert_eq!(
        viewer.post(settings, &form).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(api.get("machine-rules").await, before);
    central.stop().await;
}
