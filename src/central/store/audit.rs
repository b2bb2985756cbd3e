//! Recounts everything from the events: `verify` compares what it finds with the derived tables,
//! `rebuild` puts it in their place.
//!
//! What retention has deleted is not forgotten in the sums: what those events added is kept, retired, and
//! counts along.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::central::materialize::{Deltas, NewEvent, Shape};
use crate::otlp::Signal;

use super::block::{BlockError, StoredBlock};
use super::derived::{
    MACHINE_LOSSES, MACHINE_RANGES, MACHINE_STANDING, RunTable, TABLES, Table, rows, run_rows,
    used_by_rows,
};
use super::dictionary::Dictionaries;
use super::event_row::StoredEvent;
use super::ingest::signal_deltas;
use super::machine_standing::standing_rows;
use super::query::{Query, Row, Value};
use super::signal_message::SignalMessage;
use super::{Database, Scope, Store, StoreError};

/// Differences that are told for each table.
const MAX_TOLD: usize = 5;

/// The table that the database's triggers keep, of what uses what.
const USED_BY: &str = "used_by";

/// Blocks that a recount reads at once.
pub(super) const CHUNK: i64 = 64;

/// What each environment's events and retired events add up to.
pub(super) type Recount = BTreeMap<Scope, Deltas>;

/// What `verify` or `rebuild` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Events that were counted.
    pub events: u64,
    /// Rows of derived tables that were compared.
    pub rows: u64,
    /// Rows that are not as the events say.
    pub differences: u64,
    /// Some of them, in words.
    pub told: Vec<String>,
}

impl Store {
    /// Recounts everything from the events and compares it with the derived tables, as of one moment.
    /// `progress` hears how many events were counted so far.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn verify(&self, progress: Progress) -> Result<Audit, StoreError> {
        self.audit(false, progress).await
    }

    /// Makes the derived tables anew from the events; tells what was not as it should have been. Records
    /// can be stored meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rebuild(&self, progress: Progress) -> Result<Audit, StoreError> {
        self.audit(true, progress).await
    }

    async fn audit(&self, rebuild: bool, progress: Progress) -> Result<Audit, StoreError> {
        self.load_dictionaries().await?;
        let counter = Counter {
            dictionaries: self.dictionaries.clone(),
            progress,
            sums: Recount::new(),
            events: 0,
        };
        match &self.database {
            Database::Sqlite(sqlite) => sqlite.audit(counter, rebuild).await,
            Database::Postgres(postgres) => postgres.audit(counter, rebuild).await,
        }
    }
}

/// Hears how many events were counted so far.
pub type Progress = fn(u64);

/// Adds up events as they are read.
#[derive(Clone)]
pub(super) struct Counter {
    dictionaries: Dictionaries,
    progress: Progress,
    pub(super) sums: Recount,
    pub(super) events: u64,
}

impl Counter {
    /// Columns of the rows that [`Counter::add`] takes: those of a block, without the contents.
    pub(super) const COLUMNS: &'static str = "tenant, environment, seq, last_time, records, NULL";

    /// Adds the events of a block that come after `seq`; gives the block's own.
    pub(super) fn add(&mut self, row: Row, after: i64) -> Result<i64, StoreError> {
        let block = StoredBlock::read(row)?;
        let sums = self.sums.entry(block.scope).or_default();
        let inflated = block.inflate(&self.dictionaries)?;
        for event in inflated.events()? {
            if event.seq > after {
                sums.add(&StoredEvent::read(&event)?.into_new());
                self.events += 1;
                if self.events.is_multiple_of(10_000) {
                    (self.progress)(self.events);
                }
            }
        }
        Ok(block.seq)
    }

    /// What gives the rows that [`Counter::add_signal`] takes.
    pub(super) const SIGNALS: &'static str =
        "SELECT tenant, environment, message FROM signals WHERE signal = 'metrics'";

    /// Adds one message of metrics.
    pub(super) fn add_signal(&mut self, mut row: Row) -> Result<(), StoreError> {
        let scope = Scope {
            tenant: row.take(0)?,
            environment: row.take(1)?,
        };
        let message: Vec<u8> = row.take(2)?;
        let message = self.dictionaries.inflate(&message);
        let message = message.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let sums = self.sums.entry(scope).or_default();
        if let Some(message) = SignalMessage::decode(Signal::Metrics, &message) {
            sums.merge(signal_deltas(&message));
        }
        Ok(())
    }

    /// Adds what retired events add: rows of tenant, environment and delta.
    pub(super) fn add_retired(&mut self, mut row: Row) -> Result<(), StoreError> {
        let scope = Scope {
            tenant: row.take(0)?,
            environment: row.take(1)?,
        };
        let delta: Vec<u8> = row.take(2)?;
        self.sums
            .entry(scope)
            .or_default()
            .merge(decode_deltas(&delta)?);
        Ok(())
    }
}

/// Deltas as they are kept in a row.
pub(super) fn encode_deltas(deltas: &Deltas) -> Vec<u8> {
    let later = (
        &deltas.reports,
        &deltas.shapes,
        &deltas.metric_sessions,
        &deltas.agent_machines,
    );
    let mut bytes = postcard::to_stdvec(deltas).expect("deltas are plain values");
    bytes.extend(postcard::to_stdvec(&later).expect("these are plain values"));
    bytes
}

/// Deltas from a row. What older versions wrote ends before [`Deltas::reports`], before [`Deltas::shapes`], or
/// before [`Deltas::agent_machines`].
pub(super) fn decode_deltas(bytes: &[u8]) -> Result<Deltas, StoreError> {
    let unreadable =
        |error: postcard::Error| StoreError::Unavailable(BlockError(error.to_string()).to_string());
    let (mut deltas, rest) = postcard::take_from_bytes::<Deltas>(bytes).map_err(unreadable)?;
    if rest.is_empty() {
        return Ok(deltas);
    }
    let (reports, rest) = postcard::take_from_bytes(rest).map_err(unreadable)?;
    deltas.reports = reports;
    if rest.is_empty() {
        return Ok(deltas);
    }
    let (later, rest) = postcard::take_from_bytes(rest).map_err(unreadable)?;
    (deltas.shapes, deltas.metric_sessions) = later;
    if !rest.is_empty() {
        deltas.agent_machines = postcard::from_bytes(rest).map_err(unreadable)?;
    }
    Ok(deltas)
}

/// The queries that give all rows of the derived tables, with tenant and environment before them, and
/// what the tables are called.
pub(super) fn table_queries() -> Vec<(&'static str, Query)> {
    let of_table = |table: &'static Table| (table.name, table.names());
    let of_runs =
        |table: &'static RunTable| (table.name, format!("{}, first, last", table.key.join(", ")));
    let tables = TABLES.iter().chain([&MACHINE_STANDING]).map(of_table);
    let runs = [&MACHINE_RANGES, &MACHINE_LOSSES].into_iter().map(of_runs);
    // Last: whoever empties the others changes it.
    let used_by = "subject, name, agent_count, session_count".to_owned();
    tables
        .chain(runs)
        .chain([(USED_BY, used_by)])
        .map(|(name, columns)| {
            let sql = format!("SELECT tenant, environment, {columns} FROM {name}");
            (name, Query::new(sql, []))
        })
        .collect()
}

impl Audit {
    /// Compares the rows of one derived table with those that it should have.
    pub(super) fn compare(&mut self, table: &'static str, found: Vec<Row>, sums: &Recount) {
        let mut found: Vec<Vec<Value>> = found.into_iter().map(|row| row.0).collect();
        let mut expected = expected_rows(table, sums);
        self.rows += found.len() as u64;
        let order = |a: &Vec<Value>, b: &Vec<Value>| a.partial_cmp(b).unwrap_or(Ordering::Equal);
        found.sort_by(order);
        expected.sort_by(order);
        let (mut found, mut expected) = (found.iter().peekable(), expected.iter().peekable());
        loop {
            let (which, row) = match (found.peek(), expected.peek()) {
                (None, None) => return,
                (Some(_), None) => ("is there and should not be", found.next()),
                (None, Some(_)) => ("is missing", expected.next()),
                (Some(a), Some(b)) => match order(a, b) {
                    Ordering::Equal => {
                        found.next();
                        expected.next();
                        continue;
                    }
                    Ordering::Less => ("is there and should not be", found.next()),
                    Ordering::Greater => ("is missing", expected.next()),
                },
            };
            self.differences += 1;
            if self
                .told
                .iter()
                .filter(|told| told.starts_with(table))
                .count()
                < MAX_TOLD
            {
                self.told.push(format!(
                    "{table}: {:?} {which}",
                    row.expect("it was peeked at")
                ));
            }
        }
    }
}

fn expected_rows(table: &str, sums: &Recount) -> Vec<Vec<Value>> {
    let mut expected = Vec::new();
    for (scope, deltas) in sums {
        let scoped = [Value::from(scope.tenant), Value::from(scope.environment)];
        if table == USED_BY {
            let rows = used_by_rows(deltas).into_iter();
            expected.extend(rows.map(|row| [&scoped[..], &row].concat()));
        }
        if table == MACHINE_STANDING.name {
            let rows = standing_rows(deltas).into_iter();
            expected.extend(rows.map(|row| [&scoped[..], &row].concat()));
        }
        let of_table = rows(deltas).into_iter().filter(|(of, _)| of.name == table);
        for row in of_table.flat_map(|(_, rows)| rows) {
            expected.push([&scoped[..], &row].concat());
        }
        for (_, key, runs) in run_rows(deltas)
            .into_iter()
            .filter(|(of, ..)| of.name == table)
        {
            for (first, last) in runs.iter() {
                let run = [Value::from(first), Value::from(last)];
                expected.push([&scoped[..], &key, &run].concat());
            }
        }
    }
    expected
}

impl StoredEvent {
    /// The event as it was when it came, for what is counted.
    pub(super) fn into_new(self) -> NewEvent {
        let record = Shape::of(&self.whole.record.attributes);
        NewEvent {
            time: self.time,
            agent: self.agent,
            shape: record.with(Shape::of(&self.whole.resource.attributes)),
            facts: self.facts,
        }
    }
}
