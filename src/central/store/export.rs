//! Records as they came, in the order in which they were stored.

use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};

use super::event_row::StoredEvent;
use super::{Scope, Store, StoreError};

/// Blocks that are read at once.
const CHUNK: i64 = 16;

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
        let mut exported = Exported {
            records: Vec::new(),
            next: after,
        };
        loop {
            let blocks = self.follow(Some(scope), exported.next, CHUNK).await?;
            let is_last = blocks.is_empty();
            for block in blocks {
                for event in block.inflate(&self.dictionaries)?.events()? {
                    if event.seq > after {
                        exported
                            .records
                            .push(StoredEvent::read(&event)?.into_logs());
                    }
                }
                exported.next = block.seq;
            }
            if is_last || !exported.records.is_empty() {
                return Ok(exported);
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
