//! Records as they came, in the order in which they were stored.

use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};

use super::event_row::StoredEvent;
use super::query::Row;
use super::{Scope, Store, StoreError};

/// Records that are read at once.
const CHUNK: i64 = 1_000;

/// Some records, and where to go on.
pub struct Exported {
    /// The records, each with its resource and scope.
    pub records: Vec<ResourceLogs>,
    /// Hand this back to go on.
    pub next: i64,
}

impl Store {
    /// Some records of an environment that were stored after `after`, which begins at 0; none when all
    /// were given. A record that came while they are given is given, too.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn export(&self, scope: Scope, after: i64) -> Result<Exported, StoreError> {
        let mut next = after;
        loop {
            let rows = self.follow(next, CHUNK).await?;
            let is_last = rows.is_empty();
            let mut records = Vec::new();
            for mut row in rows {
                next = row.take(0)?;
                let (tenant, environment): (i64, i64) = (row.take(1)?, row.take(2)?);
                if (tenant, environment) == (scope.tenant, scope.environment) {
                    let event = StoredEvent::read(&self.dictionaries, Row(row.0.split_off(3)))?;
                    records.push(event.into_logs());
                }
            }
            if is_last || !records.is_empty() {
                return Ok(Exported { records, next });
            }
        }
    }
}

impl StoredEvent {
    /// The record as it came. One without a time gets that of its arrival, as observed: elsewhere it
    /// would get another one.
    fn into_logs(self) -> ResourceLogs {
        let mut record = self.whole.record;
        if self.facts.time.is_none() {
            record.observed_time_unix_nano = self.time.0.max(0).cast_unsigned();
        }
        ResourceLogs {
            resource: Some(self.whole.resource),
            scope_logs: vec![ScopeLogs {
                scope: self.whole.scope,
                log_records: vec![record],
                schema_url: String::new(),
            }],
            schema_url: String::new(),
        }
    }
}
