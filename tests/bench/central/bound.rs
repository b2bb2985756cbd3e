//! What the databases take of the same rows without keys and without indexes, from one writer that does
//! nothing else: records as they come, and the columns that the store has beside them.

use std::path::Path;
use std::time::Instant;

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use rusqlite::Connection;
use tokio_postgres::NoTls;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::load::{EVENTS, Requests};

/// Events in the measurement.
const COUNT: usize = 200_000;

/// Rows in a transaction, which is synced.
const BATCH: usize = 1_000;

/// Events as bytes, a few thousand of them, used again and again.
fn events() -> Vec<(i64, Vec<u8>)> {
    let mut requests = Requests::new(2);
    let mut events = Vec::new();
    for _ in 0..10 {
        let encoded = requests.encoded(EVENTS);
        let logs = fieldpost::otlp::ExportLogsServiceRequest::decode(encoded.as_slice());
        let logs = logs.expect("it was just encoded");
        let scopes = logs
            .resource_logs
            .into_iter()
            .flat_map(|resource| resource.scope_logs);
        events.extend(
            scopes
                .flat_map(|scope| scope.log_records)
                .map(|record: LogRecord| (record.time_unix_nano as i64, record.encode_to_vec())),
        );
    }
    events
}

/// Rows a second into a table without a key of its own, a synced transaction for each thousand.
pub(crate) fn sqlite(folder: &Path) -> f64 {
    let events = events();
    let file = folder.join("bound.db");
    let mut connection = Connection::open(&file).expect("a database");
    connection
        .pragma_update(None, "journal_mode", "WAL")
        .expect("it writes");
    connection
        .pragma_update(None, "synchronous", "FULL")
        .expect("it writes");
    connection
        .execute_batch(
            "CREATE TABLE events (tenant INTEGER, environment INTEGER, time INTEGER, uid BLOB,
                 received INTEGER, activity INTEGER, name INTEGER, agent INTEGER, session INTEGER,
                 model INTEGER, tool TEXT, is_mcp INTEGER, record BLOB)",
        )
        .expect("it writes");
    let begun = Instant::now();
    for start in (0..COUNT).step_by(BATCH) {
        let transaction = connection.transaction().expect("it writes");
        for index in start..start + BATCH {
            let (time, record) = &events[index % events.len()];
            transaction
                .prepare_cached("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .and_then(|mut statement| {
                    let key = index as i64 * 7_919;
                    let uid = record[..16].to_vec();
                    statement.execute(rusqlite::params![
                        1, 1, time, uid, time, 4, key, key, key, key, "Bash", 0, record
                    ])
                })
                .expect("it writes");
        }
        transaction.commit().expect("it writes");
    }
    let rate = COUNT as f64 / begun.elapsed().as_secs_f64();
    drop(connection);
    std::fs::remove_file(file).expect("it is there");
    rate
}

/// The same by COPY.
pub(crate) async fn postgres(url: &str) -> f64 {
    let events = events();
    let (client, connection) = tokio_postgres::connect(url, NoTls)
        .await
        .expect("it listens");
    let connection = tokio::spawn(connection);
    client
        .batch_execute(
            "CREATE TABLE events (tenant bigint, environment bigint, time bigint, uid bytea,
                 received bigint, agent bigint, session bigint, tool text, record bytea)",
        )
        .await
        .expect("it writes");
    let begun = Instant::now();
    for start in (0..COUNT).step_by(BATCH) {
        let sink = client
            .copy_in("COPY events FROM STDIN BINARY")
            .await
            .expect("it writes");
        let types = [
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::BYTEA,
            Type::INT8,
            Type::INT8,
            Type::INT8,
            Type::TEXT,
            Type::BYTEA,
        ];
        let writer = BinaryCopyInWriter::new(sink, &types);
        let mut writer = std::pin::pin!(writer);
        for index in start..start + BATCH {
            let (time, record) = &events[index % events.len()];
            let (one, key, uid) = (1_i64, index as i64 * 7_919, &record[..16]);
            let row: [&(dyn ToSql + Sync); 9] =
                [&one, &one, time, &uid, time, &key, &key, &"Bash", record];
            writer.as_mut().write(&row).await.expect("it writes");
        }
        writer.finish().await.expect("it writes");
    }
    let rate = COUNT as f64 / begun.elapsed().as_secs_f64();
    client
        .batch_execute("DROP TABLE events")
        .await
        .expect("it writes");
    drop(client);
    connection.await.expect("it ends").expect("it ends well");
    rate
}
