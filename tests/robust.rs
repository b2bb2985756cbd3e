//! One sender's records, one environment's data, one long task: none of them may stop the others.

use std::time::Duration;

use fieldpost::central::materialize::{Deltas, Latest, Seen, TokenUse};
use fieldpost::central::people::Actor;
use fieldpost::central::store::{Retention, Scope};
use fieldpost::event::Timestamp;
use fieldpost::otlp::{ExportMetricsServiceRequest, Request};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, metric,
    number_data_point,
};
use serde_json::json;

use crate::support::eventually;
use crate::support::fieldpost::{
    Kind, TestCentral, client, on_both_databases, postgres_location, started_beside,
};
use crate::support::postgres;
use crate::support::records::{Record, claude_session, request};

on_both_databases! {
    numbers_beyond_belief_stop_nobody,
    an_environment_that_cannot_expire_stops_no_other,
    what_a_migration_wants_counted_anew_is_counted_once,
    content_that_older_versions_left_among_the_records_goes_in_time,
}

/// The second environment, with a token of its own.
async fn second(central: &TestCentral) -> (Scope, String) {
    let made = central.central.create_environment("other", "default").await;
    let made = made.expect("the name is free");
    let installed = central
        .central
        .install(&made, "", &Actor::command_line())
        .await;
    let bearer = installed.expect("it installs").authorization_header;
    (made.scope, bearer)
}

async fn post(central: &TestCentral, bearer: &str, path: &str, kind: &str, body: Vec<u8>) {
    let answer = client()
        .post(format!("{}{path}", central.url))
        .header("authorization", bearer)
        .header("content-type", kind)
        .body(body)
        .send()
        .await
        .expect("the service answers");
    assert_eq!(answer.status(), 200);
}

async fn post_records(central: &TestCentral, bearer: &str, records: &[Record]) {
    central
        .post(bearer, "logs", request(records).to_string())
        .await;
}

/// Executes a statement in the database itself.
async fn execute(url: Option<&str>, directory: &std::path::Path, sql: &str) {
    match url {
        None => rusqlite::Connection::open(directory.join("fieldpost.db"))
            .and_then(|database| database.execute_batch(sql))
            .expect("it writes"),
        Some(url) => {
            let client = postgres::connect(url).await;
            client.batch_execute(sql).await.expect("it writes");
        }
    }
}

async fn differences(central: &TestCentral) -> Vec<String> {
    let audit = central.central.store.verify(|_| ()).await;
    audit.expect("the store reads").told
}

/// Lets a sender say everything as large as it can be said.
async fn boast(central: &TestCentral, bearer: &str) {
    for seq in [i64::MAX, i64::MIN, 0, i64::MAX - 1, i64::MIN + 1] {
        let mut records = claude_session("eve@example.com", "s", 4);
        for record in &mut records {
            record.attributes.extend(
                [
                    ("fieldpost.edge.id", json!("boaster")),
                    ("fieldpost.edge.seq", json!(seq)),
                    ("cost_usd", json!(1e300)),
                    ("output_tokens", json!(i64::MAX)),
                    ("duration_ms", json!(i64::MAX)),
                ]
                .map(|(key, value)| (key.to_owned(), value)),
            );
        }
        post_records(central, bearer, &records).await;
    }
    let point = |number: u64| NumberDataPoint {
        time_unix_nano: 1_795_348_800_000_000_000 + number,
        value: Some(number_data_point::Value::AsDouble(1e10)),
        ..NumberDataPoint::default()
    };
    let message = |points: std::ops::Range<u64>| ResourceMetrics {
        scope_metrics: vec![ScopeMetrics {
            metrics: vec![Metric {
                name: "claude_code.token.usage".to_owned(),
                data: Some(metric::Data::Sum(Sum {
                    data_points: points.map(point).collect(),
                    aggregation_temporality: AggregationTemporality::Delta.into(),
                    is_monotonic: true,
                })),
                ..Metric::default()
            }],
            ..ScopeMetrics::default()
        }],
        ..ResourceMetrics::default()
    };
    for points in [0..900, 900..1_800, 1_800..2_700] {
        let metrics = ExportMetricsServiceRequest {
            resource_metrics: vec![message(points)],
        };
        let body = Request::Metrics(metrics).encode();
        post(
            central,
            bearer,
            "/v1/metrics",
            "application/x-protobuf",
            body,
        )
        .await;
    }
}

async fn numbers_beyond_belief_stop_nobody(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let (_, boaster) = second(&central).await;
    boast(&central, &boaster).await;
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("ada@example.com", "s", 10);
    // The last hour that nanoseconds since 1970 can tell.
    records[9].time_unix_ms = i64::MAX / 1_000_000;
    post_records(&central, &bearer, &records).await;
    let api = central.api().await;
    assert_eq!(api.list("sessions").await[0]["event_count"], 10);
    assert!(api.list("machines").await.is_empty());
    assert_eq!(differences(&central).await, [""; 0]);
    let rebuilt = central.central.store.rebuild(|_| ()).await;
    assert_eq!(rebuilt.expect("the store writes").told, [""; 0]);
    assert_eq!(api.list("sessions").await[0]["event_count"], 10);
    let store = &central.central.store;
    for environment in store.environments().await.expect("the store reads") {
        let totals = store.metric_totals(environment.scope, None, None).await;
        let expected = usize::from(environment.tenant == "other");
        assert_eq!(totals.expect("sums are told").len(), expected);
    }
    central.stop().await;
}

async fn an_environment_that_cannot_expire_stops_no_other(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let store = &central.central.store;
    let first = store.environments().await.expect("the store reads")[0].scope;
    let (other, bearer_of_other) = second(&central).await;
    let bearer = central.install().await.authorization_header;
    for bearer in [&bearer, &bearer_of_other] {
        let mut records = claude_session("ada@example.com", "s", 10);
        for record in &mut records[..5] {
            record.time_unix_ms -= 40 * 86_400_000;
        }
        // Of a date at which a machine believes to be after its clock broke.
        records[9].time_unix_ms = i64::MAX / 1_000_000;
        post_records(&central, bearer, &records).await;
    }
    let keep = Retention {
        keep_seconds: Some(30 * 86_400),
        content_seconds: None,
    };
    for scope in [first, other] {
        store.set_retention(scope, keep).await.expect("it writes");
    }
    // What is kept of the first one's deleted events is damaged.
    let damage = format!(
        "INSERT INTO retired (tenant, environment, delta) VALUES ({}, {}, {})",
        first.tenant,
        first.environment,
        match kind {
            Kind::Sqlite => "x'ff'",
            Kind::Postgres => "'\\xff'",
        }
    );
    execute(url.as_deref(), directory.path(), &damage).await;
    let expired = store.expire(Timestamp::now(), &|| false).await;
    assert!(expired.is_err(), "the first one's is told");
    let left = async |scope| {
        let sessions = store.session(scope, "s").await.expect("the store reads");
        let sight = fieldpost::central::store::Sight::everything(scope);
        let events = store.session_events(&sight, "s").await;
        assert!(sessions.is_some());
        events.expect("the store reads").events.len()
    };
    assert_eq!(left(first).await, 10);
    assert_eq!(left(other).await, 5);
    let mended = "DELETE FROM retired WHERE delta = ".to_owned()
        + match kind {
            Kind::Sqlite => "x'ff'",
            Kind::Postgres => "'\\xff'",
        };
    execute(url.as_deref(), directory.path(), &mended).await;
    let expired = store.expire(Timestamp::now(), &|| false).await;
    assert_eq!(expired.expect("the store writes").events, 5);
    assert_eq!(differences(&central).await, [""; 0]);
    central.stop().await;
}

async fn what_a_migration_wants_counted_anew_is_counted_once(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    post_records(
        &central,
        &bearer,
        &claude_session("ada@example.com", "s", 5),
    )
    .await;
    let wish = "INSERT INTO store_state (key, value) VALUES ('rebuild', 'a test')";
    execute(url.as_deref(), directory.path(), wish).await;
    let rebuilt = central.central.store.rebuild(|_| ()).await;
    assert_eq!(rebuilt.expect("the store writes").events, 5);
    // A second wish would meet the first one, were it still there.
    execute(url.as_deref(), directory.path(), wish).await;
    central.stop().await;
}

async fn content_that_older_versions_left_among_the_records_goes_in_time(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(kind, directory.path()).await;
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let bearer = central.install().await.authorization_header;
    let mut records = claude_session("ada@example.com", "s", 1);
    records[0].time_unix_ms -= 40 * 86_400_000;
    post_records(&central, &bearer, &records).await;
    // As of a version that knew of no content in this block.
    let old = "UPDATE event_blocks SET content_from = NULL;
        INSERT INTO store_state (key, value) VALUES ('old_content', '0')";
    execute(url.as_deref(), directory.path(), old).await;
    let keep = Retention {
        keep_seconds: None,
        content_seconds: Some(30 * 86_400),
    };
    store.set_retention(scope, keep).await.expect("it writes");
    let location = url.as_deref().map_or_else(
        || kind.location(),
        crate::support::fieldpost::postgres_location,
    );
    central.stop().await;
    let central = TestCentral::start_at(location, directory.path()).await;
    let api = central.api().await;
    eventually("the content to be gone", async || {
        let events = api.list("events?session=s").await;
        let prompt = &events[0]["attributes"]["prompt"];
        (prompt["state"] == "erased").then_some(())
    })
    .await;
    central.stop().await;
}

/// What one delta of a token's use adds, as a row has it.
fn delta_of(token: &str) -> Vec<u8> {
    let seen = Seen { first: 1, last: 2 };
    let used = TokenUse {
        seen,
        requests: 1,
        address: Latest {
            at: 2,
            value: "::1".to_owned(),
        },
    };
    let deltas = Deltas {
        tokens: [(token.to_owned(), used)].into(),
        ..Deltas::default()
    };
    let mut bytes = postcard::to_stdvec(&deltas).expect("plain values");
    bytes.extend(postcard::to_stdvec(&deltas.reports).expect("plain values"));
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_folded_is_set_aside_and_told_and_the_rest_goes_on() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(Kind::Postgres, directory.path()).await;
    let url = url.expect("an address");
    let database = postgres::connect(&url).await;
    central.stop().await;
    // When the upkeep of its start is over, nobody rebuilds before this test does.
    let wish = "INSERT INTO store_state VALUES ('rebuild', 'a test')";
    execute(Some(url.as_str()), directory.path(), wish).await;
    let central = TestCentral::start_at(postgres_location(&url), directory.path()).await;
    let wants = "SELECT count(*) FROM store_state WHERE key = 'rebuild'";
    let wanted = async || {
        let wanted = database.query_one(wants, &[]).await.expect("it reads");
        wanted.get::<_, i64>(0)
    };
    eventually("the upkeep of the start", async || {
        (wanted().await == 0).then_some(())
    })
    .await;
    let bearer = central.install().await.authorization_header;
    let scope = central.central.store.environments().await;
    let scope = scope.expect("the store reads")[0].scope;
    let insert = "INSERT INTO deltas (tenant, environment, format, delta) VALUES ($1, $2, 1, $3)";
    // One that nobody can read, one that no text column takes, and a good one between them.
    let broken: [Vec<u8>; 3] = [vec![0xff; 9], delta_of("good"), delta_of("\0")];
    for delta in &broken {
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&scope.tenant, &scope.environment, delta];
        database.execute(insert, &values).await.expect("it writes");
    }
    post_records(
        &central,
        &bearer,
        &claude_session("ada@example.com", "s", 5),
    )
    .await;
    let api = central.api().await;
    assert_eq!(api.list("sessions").await[0]["event_count"], 5);
    let good = "SELECT count(*) FROM token_use WHERE token = 'good'";
    let good = database.query_one(good, &[]).await.expect("it reads");
    let good: i64 = good.get(0);
    assert_eq!(good, 1);
    let metrics = async || {
        let answer = client()
            .get(format!("{}/metrics", central.url))
            .send()
            .await;
        answer
            .expect("the service answers")
            .text()
            .await
            .expect("text")
    };
    let told = metrics().await;
    assert!(
        told.contains("fieldpost_central_unfolded_deltas 2\n"),
        "{told}"
    );
    // They are of the version before, which left out what only this one counts.
    assert_eq!(wanted().await, 1);
    let rebuilt = central.central.store.rebuild(|_| ()).await;
    assert_eq!(rebuilt.expect("the store writes").told, [""; 0]);
    let told = metrics().await;
    assert!(
        told.contains("fieldpost_central_unfolded_deltas 0\n"),
        "{told}"
    );
    assert_eq!(wanted().await, 0);
    central.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_answer_while_everything_is_recounted() {
    /// Of `postgres/fold.rs`: whoever recounts holds both.
    const LOCKS: [i64; 2] = [0x6669_656c_6470_0004, 0x6669_656c_6470_0002];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (url, central) = started_beside(Kind::Postgres, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let records = |session| claude_session("ada@example.com", session, 5);
    post_records(&central, &bearer, &records("one")).await;
    let api = central.api().await;
    assert_eq!(api.list("sessions").await.len(), 1);
    let recounting = postgres::connect(url.as_deref().expect("an address")).await;
    for lock in LOCKS {
        recounting
            .execute("SELECT pg_advisory_lock($1)", &[&lock])
            .await
            .expect("it locks");
    }
    post_records(&central, &bearer, &records("two")).await;
    let listed = tokio::time::timeout(Duration::from_secs(60), api.list("sessions")).await;
    assert_eq!(listed.expect("nobody waits").len(), 1, "what was folded");
    for lock in LOCKS {
        recounting
            .execute("SELECT pg_advisory_unlock($1)", &[&lock])
            .await
            .expect("it unlocks");
    }
    assert_eq!(api.list("sessions").await.len(), 2);
    assert_eq!(differences(&central).await, [""; 0]);
    central.stop().await;
}
