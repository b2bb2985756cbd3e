//! Recounts from one snapshot; a rebuild adds what came meanwhile while it holds the writer.

use rusqlite::Connection;

use crate::central::store::StoreError;
use crate::central::store::audit::{Audit, CHUNK, Counter, table_queries};
use crate::central::store::query::Query;

use super::values::row;
use super::{Sqlite, derived, rows};

impl Sqlite {
    /// Recounts everything; compares, or puts it in place.
    pub(in crate::central::store) async fn audit(
        &self,
        counter: Counter,
        rebuild: bool,
    ) -> Result<Audit, StoreError> {
        let (counter, after, audit) = self
            .readers
            .read(move |connection| {
                let snapshot = connection.unchecked_transaction()?;
                let result = count_and_compare(&snapshot, counter);
                snapshot.finish()?;
                result
            })
            .await?;
        if !rebuild {
            return Ok(audit);
        }
        // Copied, since the writer may do this twice.
        self.writer
            .write(move |transaction| replace(transaction, counter.clone(), after))
            .await?;
        Ok(audit)
    }
}

fn count_and_compare(
    connection: &Connection,
    mut counter: Counter,
) -> Result<(Counter, i64, Audit), StoreError> {
    let retired = Query::new("SELECT tenant, environment, delta FROM retired", []);
    for row in rows(connection, &retired)? {
        counter.add_retired(row)?;
    }
    let after = count(connection, &mut counter, 0)?;
    let with_events = counter.sums.clone();
    count_signals(connection, &mut counter)?;
    let mut audit = Audit {
        events: counter.events,
        ..Audit::default()
    };
    for (table, query) in table_queries() {
        audit.compare(table, rows(connection, &query)?, &counter.sums);
    }
    // Metrics have no order of arrival: a rebuild counts all of them while it holds the writer.
    counter.sums = with_events;
    Ok((counter, after, audit))
}

fn count_signals(connection: &Connection, counter: &mut Counter) -> Result<(), StoreError> {
    let mut statement = connection.prepare(Counter::SIGNALS)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(found) = rows.next()? {
        counter.add_signal(row(found, columns)?)?;
    }
    Ok(())
}

/// Counts the events after `seq`; gives the last one's.
fn count(connection: &Connection, counter: &mut Counter, mut seq: i64) -> Result<i64, StoreError> {
    let sql = format!(
        "SELECT {} FROM event_blocks WHERE seq > $1 ORDER BY seq LIMIT $2",
        Counter::COLUMNS
    );
    let after = seq;
    loop {
        let chunk = rows(
            connection,
            &Query::new(sql.as_str(), [seq.into(), CHUNK.into()]),
        )?;
        if chunk.is_empty() {
            return Ok(seq);
        }
        for row in chunk {
            seq = counter.add(row, after)?;
        }
    }
}

/// Puts the recount in the place of the derived tables. `after` is the last event that it holds.
fn replace(connection: &Connection, mut counter: Counter, after: i64) -> rusqlite::Result<()> {
    count(connection, &mut counter, after)
        .and_then(|_| count_signals(connection, &mut counter))
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    for (table, _) in table_queries() {
        connection.execute(&format!("DELETE FROM {table}"), [])?;
    }
    for (scope, deltas) in &counter.sums {
        derived::add(connection, *scope, deltas)?;
    }
    connection.execute("DELETE FROM store_state WHERE key = 'rebuild'", [])?;
    Ok(())
}
