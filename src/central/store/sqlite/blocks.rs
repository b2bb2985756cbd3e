//! Writes blocks of events.

use rusqlite::{Connection, params};

use crate::central::store::Scope;
use crate::central::store::block::NewBlock;
use crate::central::store::repack::BlockChange;

/// Stores a block under this name.
pub(super) fn insert(
    connection: &Connection,
    scope: Scope,
    seq: i64,
    block: &NewBlock,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO event_blocks (seq, tenant, environment, first_time, last_time, content_from,
                 event_count, contents, records)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            seq,
            scope.tenant,
            scope.environment,
            block.first_time,
            block.last_time,
            block.content_from,
            block.events as i64,
            block.contents,
            block.records,
        ])?;
    Ok(())
}

/// Does all changes, or fails: somebody else was here first.
pub(super) fn change(connection: &Connection, changes: &[BlockChange]) -> rusqlite::Result<()> {
    for change in changes {
        let old = &change.old;
        let removed = connection
            .prepare_cached(
                "DELETE FROM event_blocks WHERE seq = ? AND records = ? AND contents IS ?",
            )?
            .execute(params![old.seq, old.records, old.contents])?;
        if removed != 1 {
            return Err(rusqlite::Error::StatementChangedRows(removed));
        }
        if let Some(new) = &change.new {
            insert(connection, old.scope, old.seq, new)?;
        }
    }
    Ok(())
}
