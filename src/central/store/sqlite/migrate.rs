//! What a migration leaves to the program.

use rusqlite::Connection;

use crate::central::store::dictionary::Dictionaries;
use crate::central::store::query::{Dialect, Query};
use crate::central::store::unpacked::{pack_rows, rows_sql};

use super::{blocks, rows};

/// Packs the events of versions that kept each record in a row of its own.
pub(super) fn pack_old_events(connection: &mut Connection) -> anyhow::Result<()> {
    let is_there = "SELECT count(*) FROM sqlite_master WHERE name = 'unpacked_events'";
    if connection.query_row(is_there, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    let dictionaries = Dictionaries::of(Dialect::Sqlite);
    let known = Query::new(
        "SELECT id, dictionary FROM dictionaries ORDER BY made_at, id",
        [],
    );
    dictionaries.add_rows(rows(connection, &known)?)?;
    let next = Query::new(rows_sql("c.seq = e.seq"), []);
    loop {
        let transaction = connection.transaction()?;
        let old = rows(&transaction, &next)?;
        let Some(last) = old.last() else {
            break;
        };
        let last: i64 = last.clone().take(0)?;
        for (scope, seq, block) in pack_rows(&dictionaries, old)? {
            blocks::insert(&transaction, scope, seq, &block)?;
        }
        transaction.execute("DELETE FROM unpacked_content WHERE seq <= ?", [last])?;
        transaction.execute("DELETE FROM unpacked_events WHERE seq <= ?", [last])?;
        transaction.commit()?;
    }
    connection.execute_batch("DROP TABLE unpacked_content; DROP TABLE unpacked_events;")?;
    Ok(())
}
