//! Stores a batch: inserts what is new, and adds to the derived tables what was inserted, in one
//! transaction. Whatever was stored before, by whichever request, adds nothing.

use rusqlite::{Connection, params};

use crate::central::materialize::{Deltas, NewEvent};
use crate::central::store::dictionary::Dictionaries;
use crate::central::store::event_row::EventKeys;
use crate::central::store::keys::uid_key;
use crate::central::store::{Ingest, NewSignal, Stored};

use super::{blocks, derived};

/// Stores one request's records.
pub(super) fn store(
    connection: &Connection,
    ingest: &Ingest,
    dictionaries: &Dictionaries,
) -> rusqlite::Result<Stored> {
    let mut stored = Stored::default();
    let mut deltas = Deltas::default();
    insert_events(connection, ingest, dictionaries, &mut stored, &mut deltas)?;
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

/// Inserts what is new, and the blocks with it; a block in which something is known is packed anew.
fn insert_events(
    connection: &Connection,
    ingest: &Ingest,
    dictionaries: &Dictionaries,
    stored: &mut Stored,
    deltas: &mut Deltas,
) -> rusqlite::Result<()> {
    if ingest.events.is_empty() {
        return Ok(());
    }
    let latest: i64 = connection
        .prepare_cached("SELECT seq FROM latest_seq")?
        .query_row([], |row| row.get(0))?;
    let mut seq = latest;
    let mut events = ingest.events.iter();
    for block in &ingest.blocks {
        let mut new = Vec::with_capacity(block.events);
        for (place, event) in events.by_ref().take(block.events).enumerate() {
            if insert_event(connection, ingest, event, seq + 1)? {
                seq += 1;
                new.push((place, seq));
                deltas.add(event);
            }
        }
        stored.new += new.len();
        stored.known += block.events - new.len();
        if new.len() == block.events {
            blocks::insert(connection, ingest.scope, seq, block)?;
        } else if let Some((seq, block)) = block.only(dictionaries, &new) {
            blocks::insert(connection, ingest.scope, seq, &block)?;
        }
    }
    if seq > latest {
        connection
            .prepare_cached("UPDATE latest_seq SET seq = ?")?
            .execute([seq])?;
    }
    Ok(())
}

/// Inserts an event under this `seq`; false when it is there already.
fn insert_event(
    connection: &Connection,
    ingest: &Ingest,
    event: &NewEvent,
    seq: i64,
) -> rusqlite::Result<bool> {
    let scope = ingest.scope;
    if event.facts.time.is_none() {
        let inserted = connection
            .prepare_cached(
                "INSERT INTO events_without_time VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                uid_key(&event.facts.uid),
                event.time.0
            ])?;
        if inserted == 0 {
            return Ok(false);
        }
    }
    let keys = EventKeys::of(event);
    let inserted = connection
        .prepare_cached(
            "INSERT INTO events (seq, tenant, environment, time, uid, activity, name, agent, session,
                 model, tool, is_mcp)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            seq,
            scope.tenant,
            scope.environment,
            event.time.0,
            keys.uid,
            keys.activity,
            keys.name,
            keys.agent,
            keys.session,
            keys.model,
            keys.tool,
            keys.is_mcp,
        ])?;
    Ok(inserted > 0)
}

fn insert_signal(
    connection: &Connection,
    ingest: &Ingest,
    signal: &NewSignal,
) -> rusqlite::Result<bool> {
    let (scope, time) = (ingest.scope, signal.time(ingest.received));
    let inserted = connection
        .prepare_cached(
            "INSERT INTO signals (tenant, environment, signal, uid, received, message, time, content_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            scope.tenant,
            scope.environment,
            signal.signal.word(),
            signal.uid,
            ingest.received.0,
            signal.message,
            time.0,
            signal.keys.has_content.then_some(time.0),
        ])?;
    if inserted == 0 {
        return Ok(false);
    }
    for trace in &signal.keys.traces {
        connection
            .prepare_cached(
                "INSERT INTO signal_traces (tenant, environment, trace, time, uid)
                 VALUES (?, ?, ?, ?, ?)",
            )?
            .execute(params![
                scope.tenant,
                scope.environment,
                trace,
                time.0,
                signal.uid
            ])?;
    }
    Ok(true)
}
