//! Looks after metrics and traces that are stored: what they are found by, and how long they are kept.

use crate::central::materialize::Deltas;
use crate::event::Timestamp;
use crate::otlp::Signal;

use super::ingest::signal_deltas;
use super::query::{Query, Value};
use super::signal_message::{SignalKeys, SignalMessage};
use super::{Database, Scope, Store, StoreError};

/// Messages that are read at once: each may be as large as a request.
const BITE: i64 = 100;

/// A message of metrics or traces that is to be deleted.
#[derive(Clone)]
pub(super) struct GoneSignal {
    pub(super) signal: String,
    pub(super) uid: String,
    pub(super) time: i64,
    pub(super) traces: Vec<i64>,
}

impl Store {
    /// Reads some of the messages that a version stored which did not note what they are found by; false when
    /// there are none.
    ///
    /// # Errors
    /// [`StoreError`]
    pub(super) async fn read_old_signals(&self) -> Result<bool, StoreError> {
        let sql = "SELECT tenant, environment, signal, uid, received, message FROM signals
            WHERE time IS NULL ORDER BY received LIMIT $1";
        let rows = self.rows(Query::new(sql, [BITE.into()])).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let mut statements = Vec::new();
        for mut row in rows {
            let scope = Scope {
                tenant: row.take(0)?,
                environment: row.take(1)?,
            };
            let (signal, uid): (String, String) = (row.take(2)?, row.take(3)?);
            let received: Timestamp = row.take(4)?;
            let message = self.inflate_signal(&row.take::<Vec<u8>>(5)?).await?;
            let keys = decode(&signal, &message)
                .map_or_else(SignalKeys::default, |mut message| message.keys());
            let time = keys.time.unwrap_or(received);
            for trace in keys.traces {
                let sql = "INSERT INTO signal_traces (tenant, environment, trace, time, uid)
                    VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
                let mut insert = Query::scoped(sql, scope);
                let key: [Value; 3] = [trace.into(), time.into(), uid.as_str().into()];
                insert.values.extend(key);
                statements.push(insert);
            }
            let sql = "UPDATE signals SET time = $3, content_at = $4
                WHERE tenant = $1 AND environment = $2 AND signal = $5 AND uid = $6";
            let mut update = Query::scoped(sql, scope);
            let content_at = keys.has_content.then_some(time);
            let values: [Value; 4] = [time.into(), content_at.into(), signal.into(), uid.into()];
            update.values.extend(values);
            statements.push(update);
        }
        self.write(statements).await?;
        Ok(true)
    }

    /// Deletes metrics and traces that came before `cut`; what metrics add stays.
    pub(super) async fn expire_signals(
        &self,
        scope: Scope,
        cut: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut expired = 0;
        loop {
            let sql = "SELECT signal, uid, coalesce(time, received), message FROM signals
                WHERE tenant = $1 AND environment = $2 AND received < $3 LIMIT $4";
            let mut query = Query::scoped(sql, scope);
            query.values.extend([cut.into(), BITE.into()]);
            let rows = self.rows(query).await?;
            if rows.is_empty() {
                return Ok(expired);
            }
            expired += rows.len() as u64;
            let mut deltas = Deltas::default();
            let mut gone = Vec::with_capacity(rows.len());
            for mut row in rows {
                let (signal, uid): (String, String) = (row.take(0)?, row.take(1)?);
                let time: i64 = row.take(2)?;
                let message = self.inflate_signal(&row.take::<Vec<u8>>(3)?).await?;
                let traces = decode(&signal, &message).map_or_else(Vec::new, |mut message| {
                    deltas.merge(signal_deltas(&message));
                    message.keys().traces
                });
                gone.push(GoneSignal {
                    signal,
                    uid,
                    time,
                    traces,
                });
            }
            match &self.database {
                Database::Sqlite(sqlite) => sqlite.retire_signals(scope, gone, deltas).await?,
                Database::Postgres(postgres) => {
                    postgres.retire_signals(scope, gone, deltas).await?
                }
            }
        }
    }

    /// Takes content out of some traces before `cut`; gives how many.
    pub(super) async fn expire_signal_content(
        &self,
        scope: Scope,
        cut: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "SELECT uid, message FROM signals
            WHERE tenant = $1 AND environment = $2 AND content_at < $3 AND signal = $4 LIMIT $5";
        let mut query = Query::scoped(sql, scope);
        let signal = Signal::Traces.word();
        let values: [Value; 3] = [cut.into(), signal.into(), BITE.into()];
        query.values.extend(values);
        let mut statements = Vec::new();
        for mut row in self.rows(query).await? {
            let uid: String = row.take(0)?;
            let message = self.inflate_signal(&row.take::<Vec<u8>>(1)?).await?;
            let Some(mut message) = SignalMessage::decode(Signal::Traces, &message) else {
                continue;
            };
            message.erase();
            let erased = self.dictionary().compressor().compress(&message.encode());
            let sql = "UPDATE signals SET message = $3, content_at = NULL
                WHERE tenant = $1 AND environment = $2 AND signal = $4 AND uid = $5";
            let mut update = Query::scoped(sql, scope);
            let values: [Value; 3] = [erased.into(), signal.into(), uid.into()];
            update.values.extend(values);
            statements.push(update);
        }
        let count = statements.len() as u64;
        self.write(statements).await?;
        Ok(count)
    }
}

/// A stored message of the signal with this word; `None` when it is none, as no version writes it.
fn decode(signal: &str, bytes: &[u8]) -> Option<SignalMessage> {
    let signal = Signal::ALL.into_iter().find(|it| it.word() == signal)?;
    SignalMessage::decode(signal, bytes)
}
