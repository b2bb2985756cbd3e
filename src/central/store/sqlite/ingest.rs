//! Stores a batch: inserts what is new, and adds to the derived tables what was inserted, in one
//! transaction. Whatever was stored before, by whichever request, adds nothing.

use rusqlite::{Connection, params};

use crate::central::materialize::{Deltas, NewEvent};
use crate::central::store::event_row::EventKeys;
use crate::central::store::{Ingest, NewSignal, Stored};

use super::derived;

/// Stores one request's records.
pub(super) fn store(connection: &Connection, ingest: &Ingest) -> rusqlite::Result<Stored> {
    let mut stored = Stored::default();
    let mut deltas = Deltas::default();
    for event in &ingest.events {
        if insert_event(connection, ingest, event)? {
            deltas.add(event);
            stored.new += 1;
        } else {
            stored.known += 1;
        }
    }
    for signal in &ingest.signals {
        match insert_signal(connection, ingest, signal)? {
            true => {
                stored.new += 1;
                deltas.merge(signal.adds.clone());
            }
            false => stored.known += 1,
        }
    }
    deltas.add_use(&ingest.token_id, ingest.received, &ingest.address);
    derived::add(connection, ingest.scope, &deltas)?;
    Ok(stored)
}

/// Inserts an event; false when it is there already.
fn insert_event(
    connection: &Connection,
    ingest: &Ingest,
    event: &NewEvent,
) -> rusqlite::Result<bool> {
    let scope = ingest.scope;
    let keys = EventKeys::of(event);
    if event.facts.time.is_none() {
        let inserted = connection
            .prepare_cached(
                "INSERT INTO events_without_time VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                keys.uid,
                event.time.0
            ])?;
        if inserted == 0 {
            return Ok(false);
        }
    }
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events (tenant, environment, time, uid, received, activity, name, agent,
                 session, model, tool, is_mcp, record)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            scope.tenant,
            scope.environment,
            event.time.0,
            keys.uid,
            ingest.received.0,
            keys.activity,
            keys.name,
            keys.agent,
            keys.session,
            keys.model,
            keys.tool,
            keys.is_mcp,
            event.record,
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    if !event.content.is_empty() {
        connection
            .prepare_cached("INSERT INTO event_content (seq, content) VALUES (?, ?)")?
            .execute(params![connection.last_insert_rowid(), event.content])?;
    }
    Ok(true)
}

fn insert_signal(
    connection: &Connection,
    ingest: &Ingest,
    signal: &NewSignal,
) -> rusqlite::Result<bool> {
    let inserted = connection
        .prepare_cached(
            "INSERT INTO signals (tenant, environment, signal, uid, received, message)
             VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            ingest.scope.tenant,
            ingest.scope.environment,
            signal.signal.word(),
            signal.uid,
            ingest.received.0,
            signal.message,
        ])?;
    Ok(inserted > 0)
}
