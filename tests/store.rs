//! The store, on both databases: its form over versions, and what it must not stumble over.

use std::process::Stdio;

use fieldpost::central::store::{Location, Retention};
use fieldpost::event::Timestamp;
use fieldpost::otlp::{ExportLogsServiceRequest, Request};
use jiff::ToSpan;
use jiff::civil::Time;
use jiff::tz::Offset;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use refinery::Target;
use rusqlite::{Connection, params};

use crate::support::fieldpost::{
    Kind, TestCentral, client, command, on_both_databases, postgres_location,
};
use crate::support::{eventually, postgres};

on_both_databases! {
    texts_that_no_index_takes_are_stored_all_the_same,
}

fn record(time: u64, attributes: &[(&str, &str)]) -> LogRecord {
    LogRecord {
        time_unix_nano: time,
        attributes: attributes
            .iter()
            .map(|(key, value)| KeyValue {
                key: (*key).to_owned(),
                value: Some(AnyValue {
                    value: Some(Value::StringValue((*value).to_owned())),
                }),
                ..KeyValue::default()
            })
            .collect(),
        ..LogRecord::default()
    }
}

fn logs(records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            scope_logs: vec![ScopeLogs {
                log_records: records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

async fn post(central: &TestCentral, bearer: &str, logs: ExportLogsServiceRequest) {
    let answer = client()
        .post(&central.url)
        .header("authorization", bearer)
        .header("content-type", "application/x-protobuf")
        .body(Request::Logs(logs).encode())
        .send()
        .await
        .expect("the service answers");
    assert_eq!(answer.status(), 200);
}

async fn texts_that_no_index_takes_are_stored_all_the_same(kind: Kind) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_on(kind, directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let long = "/long".repeat(3_000);
    let keys = [
        "user.email",
        "user.id",
        "session.id",
        "prompt.id",
        "tool_name",
        "model",
        "workspace.host_paths",
        "service.name",
        "app.version",
        "fieldpost.edge.id",
        "host.name",
        "mcp_server.name",
        "mcp_tool.name",
    ];
    for text in ["a\0b", &long, &format!("{long}/other"), "a\u{fffd}b"] {
        let mut attributes: Vec<(&str, &str)> = keys.iter().map(|key| (*key, text)).collect();
        attributes.push(("event.name", "tool_result"));
        post(
            &central,
            &bearer,
            logs(vec![record(1_795_351_700, &attributes)]),
        )
        .await;
    }
    let api = central.api().await;
    assert_eq!(api.list("events").await.len(), 4);
    // Two long texts that begin alike stay two; NUL becomes the replacement character.
    let sessions = api.list("sessions").await;
    assert_eq!(sessions.len(), 3);
    for session in &sessions {
        let id = session["id"].as_str().expect("an id");
        assert!(id.len() <= 1_000 && !id.contains('\0'));
        let events = api
            .list(&format!(
                "events?session={}",
                id.replace('\u{fffd}', "%EF%BF%BD")
            ))
            .await;
        assert_eq!(session["event_count"], events.len());
    }
    central.stop().await;
}

mod sqlite_migrations {
    refinery::embed_migrations!("src/central/store/migrations/sqlite");
}

/// A record as the first version kept it: OTLP, compressed without a dictionary.
fn old_record(record: &LogRecord) -> Vec<u8> {
    use prost::Message;
    let whole = logs(vec![record.clone()]).resource_logs.remove(0);
    zstd::bulk::compress(&whole.encode_to_vec(), 3).expect("it compresses")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_the_first_version_goes_on_working() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut database = Connection::open(directory.path().join("fieldpost.db")).expect("a database");
    sqlite_migrations::migrations::runner()
        .set_target(Target::Version(2))
        .run(&mut database)
        .expect("the first version's form");
    database
        .execute_batch(
            "INSERT INTO tenants VALUES (1, 'tenant', 'default', 1);
             INSERT INTO environments VALUES (1, 1, 'environment', 'default', 1);
             INSERT INTO tokens VALUES (1, 1, 'old-token', 'claude-cowork', 'k1', 1, 9000000000000000000, NULL, 5, 6, 7, '192.0.2.1');
             INSERT INTO agents VALUES (1, 1, '0123456789abcdef', 'ada@example.com', 'Cowork/ada', 'ada@example.com',
                 1000, 2000, 2, 0, -1, '', -1, '');",
        )
        .expect("rows of the first version");
    let uid = "00112233445566778899aabbccddeeff";
    for (time, uid, has_own_time) in [(1_000, uid, true), (2_000, "a-foreign-id", false)] {
        let mut record = record(
            time,
            &[
                ("event.name", "user_prompt"),
                ("user.email", "ada@example.com"),
                ("session.id", "old-session"),
                ("log.record.uid", uid),
            ],
        );
        if !has_own_time {
            record.time_unix_nano = 0;
        }
        database
            .execute(
                "INSERT INTO events (tenant, environment, time, uid, has_own_time, received, name, activity,
                     agent, session, redactions, record)
                 VALUES (1, 1, ?, ?, ?, 3000, 'user_prompt', 'user_message', '0123456789abcdef', 'old-session', 0, ?)",
                params![time as i64, uid, has_own_time, old_record(&record)],
            )
            .expect("an event of the first version");
    }
    database.close().expect("it closes");

    let central = TestCentral::start(directory.path()).await;
    let api = central.api().await;
    let events = api.list("events").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event["id"].as_str(),
                event["agent_id"].as_str(),
                event["session_id"].as_str(),
            )
        })
        .collect();
    let expected = |id| (Some(id), Some("0123456789abcdef"), Some("old-session"));
    assert_eq!(told, [expected("a-foreign-id"), expected(uid)]);
    assert_eq!(api.list("events?session=old-session").await, events);
    assert_eq!(api.get(&format!("events/{uid}")).await, events[1]);
    let token = api.list("tokens").await.remove(0);
    assert_eq!(
        (&token["request_count"], &token["last_address"]),
        (&7.into(), &"192.0.2.1".into())
    );
    // What comes again is known, with a time of its own and without.
    let bearer = central.install().await.authorization_header;
    for (time, uid) in [(1_000, uid), (0, "a-foreign-id")] {
        let attributes = [("event.name", "user_prompt"), ("log.record.uid", uid)];
        post(&central, &bearer, logs(vec![record(time, &attributes)])).await;
    }
    assert_eq!(api.list("events").await, events);
    central.stop().await;
}

mod postgres_migrations {
    refinery::embed_migrations!("src/central/store/migrations/postgres");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_lay_in_postgresql_one_by_one_are_packed_and_known() {
    use prost::Message;
    let url = postgres::database();
    let mut client = postgres::connect(&url).await;
    migrate_to_before_blocks(&mut client).await;
    let words = |number: u64| format!("how does ledger {number} balance");
    for number in 1..=100 {
        let uid = format!("{number:032x}");
        let attributes = [("event.name", "user_prompt"), ("log.record.uid", &uid)];
        let prompt = logs(vec![record(number, &[("prompt", &words(number))])]);
        let content = opentelemetry_proto::tonic::common::v1::KeyValueList {
            values: prompt.resource_logs[0].scope_logs[0].log_records[0]
                .attributes
                .clone(),
        };
        let content = zstd::bulk::compress(&content.encode_to_vec(), 3).expect("it compresses");
        let time = number * 1_000_000_000;
        let key = u128::from(number).to_be_bytes().to_vec();
        client
            .execute(
                "INSERT INTO events (tenant, environment, time, received, seq, name, activity, uid, record)
                 VALUES (1, 1, $1, $1, $2, 1, 2, $3, $4)",
                &[
                    &(time as i64),
                    &(number as i64),
                    &key,
                    &old_record(&record(time, &attributes)),
                ],
            )
            .await
            .expect("an event of that form");
        client
            .execute(
                "INSERT INTO event_content (tenant, environment, time, uid, content)
                 VALUES (1, 1, $1, $2, $3)",
                &[&(time as i64), &key, &content],
            )
            .await
            .expect("its content");
    }

    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_at(postgres_location(&url), directory.path()).await;
    let api = central.api().await;
    let events = api.list("events").await;
    let told: Vec<_> = events
        .iter()
        .map(|event| event["attributes"]["prompt"].as_str().expect("its content"))
        .collect();
    let expected: Vec<String> = (1..=100).rev().map(words).collect();
    assert_eq!(told, expected);
    // What comes again is known.
    let bearer = central.install().await.authorization_header;
    let uid = format!("{:032x}", 7);
    let attributes = [("event.name", "user_prompt"), ("log.record.uid", &uid)];
    post(
        &central,
        &bearer,
        logs(vec![record(7_000_000_000, &attributes)]),
    )
    .await;
    assert_eq!(api.list("events").await, events);
    let old = "SELECT count(*) FROM pg_class WHERE relname LIKE 'unpacked%'";
    let left: i64 = client.query_one(old, &[]).await.expect("it reads").get(0);
    assert_eq!(left, 0);
    central.stop().await;
}

/// A replica of the version before blocks: stores batch after batch as that did, each in a transaction,
/// until the form of the tables is not its own any more. Gives the last number that it acknowledged, and
/// the one that it then could not store.
async fn store_as_before(url: String, replica: u64) -> (u64, u64) {
    let mut client = postgres::connect(&url).await;
    let statement = client
        .prepare(
            "INSERT INTO events (tenant, environment, time, received, seq, name, activity, uid, record)
             VALUES (1, 1, $1, $1, (pg_current_xact_id()::text::bigint << 24) | $2, 1, 2, $3, $4)
             ON CONFLICT DO NOTHING",
        )
        .await
        .expect("the form before blocks");
    for number in 1.. {
        let transaction = client.transaction().await.expect("the server answers");
        let (uid, key, time) = identity(replica, number);
        let attributes = [("event.name", "user_prompt"), ("log.record.uid", &uid)];
        let old = old_record(&record(time, &attributes));
        let inserted = transaction
            .execute(&statement, &[&(time as i64), &(number as i64), &key, &old])
            .await;
        if inserted.is_err() || transaction.commit().await.is_err() {
            return (number - 1, number);
        }
    }
    unreachable!("the numbers do not end")
}

/// The identity of a replica's record, as it is told and as it was kept, and its time.
fn identity(replica: u64, number: u64) -> (String, Vec<u8>, u64) {
    let key = u128::from(replica) << 64 | u128::from(number);
    let time = (replica << 32 | number) * 1_000;
    (format!("{key:032x}"), key.to_be_bytes().to_vec(), time)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_the_version_before_lose_nothing_while_the_next_one_migrates() {
    let url = postgres::database();
    let mut client = postgres::connect(&url).await;
    migrate_to_before_blocks(&mut client).await;
    let before: Vec<_> = (1..=3)
        .map(|replica| tokio::spawn(store_as_before(url.clone(), replica)))
        .collect();
    eventually("all of them to store", async || {
        let busy = "SELECT count(DISTINCT substr(uid, 1, 8)) FROM events HAVING count(*) > 100";
        let busy = client.query_opt(busy, &[]).await.expect("it reads");
        (busy?.get::<_, i64>(0) == 3).then_some(())
    })
    .await;

    let directory = tempfile::tempdir().expect("a temporary directory");
    let central = TestCentral::start_at(postgres_location(&url), directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let mut expected = 0;
    for (replica, task) in (1..).zip(before) {
        let (acknowledged, refused) = task.await.expect("the form changes");
        expected += acknowledged + 1;
        // What was refused is sent again, as an edge does, and the last that was acknowledged, too.
        for number in [acknowledged, refused] {
            let (uid, _, time) = identity(replica, number);
            let attributes = [("event.name", "user_prompt"), ("log.record.uid", &uid)];
            post(&central, &bearer, logs(vec![record(time, &attributes)])).await;
        }
    }
    let stored: i64 = client
        .query_one("SELECT count(*) FROM events", &[])
        .await
        .expect("it reads")
        .get(0);
    assert_eq!(stored as u64, expected);
    let audit = central.central.store.rebuild(|_| ()).await;
    assert_eq!(audit.expect("it reads").events, expected);
    central.stop().await;
}

/// Brings an empty database to the form before blocks, with one environment.
async fn migrate_to_before_blocks(client: &mut tokio_postgres::Client) {
    postgres_migrations::migrations::runner()
        .set_target(Target::Version(4))
        .run_async(client)
        .await
        .expect("the form before blocks");
    client
        .batch_execute(
            "INSERT INTO tenants (id, public_id, slug, created_at) OVERRIDING SYSTEM VALUE
                 VALUES (1, 'tenant', 'default', 1);
             INSERT INTO environments (id, tenant, public_id, slug, created_at) OVERRIDING SYSTEM VALUE
                 VALUES (1, 1, 'environment', 'default', 1);",
        )
        .await
        .expect("a tenant");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_a_newer_version_has_used_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().display().to_string();
    let url = postgres::database();
    let on_sqlite = vec![("FIELDPOST_DATA_DIRECTORY", data.as_str())];
    let on_postgres = [&on_sqlite[..], &[("FIELDPOST_DATABASE_URL", url.as_str())]].concat();
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
        VALUES (999, 'of_tomorrow', '2026-11-24T00:00:00Z', '1')";
    for variables in [&on_sqlite, &on_postgres] {
        let (done, _, errors) = central(&["migrate"], variables).await;
        assert!(done, "{errors}");
    }
    let file = directory.path().join("fieldpost.db");
    let sqlite = Connection::open(file).expect("the database");
    sqlite.execute(newer, []).expect("it writes");
    let client = postgres::connect(&url).await;
    client.execute(newer, &[]).await.expect("it writes");
    for variables in [&on_sqlite, &on_postgres] {
        for command in ["migrate", "run"] {
            let (done, _, errors) = central(&[command], variables).await;
            assert!(!done && errors.contains("a newer version"), "{errors}");
        }
    }
}

/// Runs `fieldpost central …` with these variables; gives its success, what it printed, and its errors.
async fn central(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String, String) {
    let output = command()
        .arg("central")
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .await
        .expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_migrated_from_the_shell_and_its_password_is_never_shown() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().display().to_string();
    let url = postgres::database();
    for variables in [
        vec![("FIELDPOST_DATA_DIRECTORY", data.as_str())],
        vec![
            ("FIELDPOST_DATA_DIRECTORY", data.as_str()),
            ("FIELDPOST_DATABASE_URL", url.as_str()),
        ],
    ] {
        let (done, first, errors) = central(&["migrate"], &variables).await;
        assert!(
            done && first.starts_with("applied V1__initial"),
            "{first}{errors}"
        );
        let (done, second, _) = central(&["migrate", "--json"], &variables).await;
        assert!(done && second == "[]\n", "{second}");
    }
    let unreachable = "postgres://somebody:hunter2-in-url@127.0.0.1:1/nothing";
    for (url, words) in [
        (unreachable, "check database.url"),
        ("postgres://a:hunter2-in-url@[/", "expected an address"),
    ] {
        let variables = [
            ("FIELDPOST_DATA_DIRECTORY", data.as_str()),
            ("FIELDPOST_DATABASE_URL", url),
            ("FIELDPOST_DATABASE_PASSWORD", "hunter2-in-variable"),
        ];
        let (done, output, errors) = central(&["migrate"], &variables).await;
        assert!(!done && errors.contains(words), "{errors}");
        assert!(
            !format!("{output}{errors}").contains("hunter2"),
            "{output}{errors}"
        );
    }
}

#[test]
fn without_an_address_the_store_is_in_the_data_directory() {
    let config = fieldpost::central::config::Config::parse("", &|_| None).expect("all defaults");
    assert!(matches!(config.database, Location::DataDirectory));
}

/// Midnight UTC of the first day of a month to come, in nanoseconds, and the month as parts are named.
fn month_ahead(months: i64) -> (i64, String) {
    let today = Offset::UTC.to_datetime(jiff::Timestamp::now()).date();
    let month = today.first_of_month().saturating_add(months.months());
    let midnight = Offset::UTC.to_timestamp(month.to_datetime(Time::midnight()));
    let nanos = midnight.map(|midnight| i64::try_from(midnight.as_nanosecond()));
    let nanos = nanos.expect("a time").expect("this century");
    (nanos, month.strftime("%Y_%m").to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_busy_service_the_month_to_come_is_parted_by_day() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = postgres::database();
    let location = || postgres_location(&url);
    let client = postgres::connect(&url).await;
    let kinds = async || {
        let rows = client
            .query(
                "SELECT c.relname::text, c.relkind::text, (SELECT count(*) FROM pg_inherits d
                     WHERE d.inhparent = c.oid)
                 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
                 WHERE i.inhparent = 'events'::regclass ORDER BY 1",
                &[],
            )
            .await;
        let rows = rows.expect("it reads");
        rows.iter()
            .map(|row| (row.get(0), row.get(1), row.get(2)))
            .collect::<Vec<(String, String, i64)>>()
    };
    let central = TestCentral::start_at(location(), directory.path()).await;
    let bearer = central.install().await.authorization_header;
    let (next, month) = month_ahead(1);
    let day = 86_400_000_000_000;
    // Of a clock that is wrong, in the month that is to be parted.
    let early = record(
        (next + 3 * day + 5).cast_unsigned(),
        &[("session.id", "early")],
    );
    post(&central, &bearer, logs(vec![early.clone()])).await;
    central.stop().await;
    let quiet = kinds().await;
    assert_eq!(quiet.len(), 7);
    assert!(
        quiet
            .iter()
            .all(|(_, kind, parts)| kind == "r" && *parts == 0)
    );

    client
        .batch_execute(
            "INSERT INTO rollups SELECT tenant, id, 86400,
                 (extract(epoch FROM now())::bigint / 86400 - 1) * 86400,
                 'all', '', 1000000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 FROM environments",
        )
        .await
        .expect("it writes");
    let name = format!("events_{month}");
    let is_last_day = next - Timestamp::now().0 <= day;
    for _ in 0..2 {
        let central = TestCentral::start_at(location(), directory.path()).await;
        let parted = kinds().await;
        let names = |of: &[(String, String, i64)]| -> Vec<String> {
            of.iter().map(|(name, ..)| name.clone()).collect()
        };
        assert_eq!(names(&parted), names(&quiet), "months are what they were");
        let days = (month_ahead(2).0 - next + 2 * 3_600_000_000_000) / day;
        for (part, kind, parts) in parted {
            let expected = match part == name && !is_last_day {
                true => ("p", days + 1),
                false => ("r", 0),
            };
            assert_eq!((kind.as_str(), parts), expected, "{part}");
        }
        // Without them PostgreSQL would take every tool for rare.
        let without_statistics = client
            .query(
                "SELECT relid::text FROM pg_partition_tree('events')
                 WHERE relid NOT IN (SELECT stxrelid FROM pg_statistic_ext)",
                &[],
            )
            .await
            .expect("it reads");
        assert!(without_statistics.is_empty(), "{without_statistics:?}");
        // What was there is there, once, whenever it is sent, and beside it what comes from now on.
        let late = record((next + 9 * day).cast_unsigned(), &[("session.id", "late")]);
        post(&central, &bearer, logs(vec![early.clone(), late])).await;
        let api = central.api().await;
        assert_eq!(api.list("events?session=early").await.len(), 1);
        assert_eq!(api.list("events").await.len(), 2);
        central.stop().await;
    }
    if is_last_day {
        return;
    }
    let holding = async |day: &str| {
        let sql = format!("SELECT count(*) FROM {name}_{day}");
        client
            .query_one(&sql, &[])
            .await
            .map(|row| row.get::<_, i64>(0))
            .ok()
    };
    assert_eq!(
        [holding("04").await, holding("10").await],
        [Some(1), Some(1)]
    );

    // Days that are over and empty go; what comes for them later has its place all the same.
    let central = TestCentral::start_at(location(), directory.path()).await;
    let store = &central.central.store;
    let scope = store.environments().await.expect("the store reads")[0].scope;
    let retention = Retention {
        keep_seconds: Some(86_400),
        content_seconds: None,
    };
    store
        .set_retention(scope, retention)
        .await
        .expect("the store writes");
    let expired = store.expire(Timestamp(next + 7 * day), &|| false).await;
    assert_eq!(expired.expect("the store writes").events, 1);
    for (day, expected) in [
        ("01", None),
        ("04", None),
        ("06", None),
        ("07", Some(0)),
        ("10", Some(1)),
    ] {
        assert_eq!(holding(day).await, expected, "{day}");
    }
    post(&central, &bearer, logs(vec![early])).await;
    assert_eq!(holding("other").await, Some(1));
    assert_eq!(central.api().await.list("events").await.len(), 2);
    central.stop().await;
}
