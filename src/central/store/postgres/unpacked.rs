//! What a migration leaves to the program.

use std::borrow::Cow;

use deadpool_postgres::Client;

use crate::central::store::StoreError;
use crate::central::store::dictionary::Dictionaries;
use crate::central::store::query::{Dialect, Row};
use crate::central::store::unpacked::{pack_rows, rows_sql};

use super::blocks;
use super::values::row;

/// How the old tables belong together.
const CONTENT: &str = "c.tenant = e.tenant AND c.environment = e.environment AND c.time = e.time
    AND c.uid = e.uid";

/// Packs the events of versions that kept each record in a row of its own. Nobody else migrates meanwhile.
pub(super) async fn pack_old_events(client: &mut Client) -> Result<(), StoreError> {
    let is_there = "SELECT to_regclass('unpacked_events') IS NOT NULL";
    if !client.query_one(is_there, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    let dictionaries = Dictionaries::of(Dialect::Postgres);
    let known = "SELECT id, dictionary FROM dictionaries ORDER BY made_at, id";
    let known = client.query(known, &[]).await?;
    dictionaries.add_rows(known.iter().map(row).collect::<Result<_, _>>()?)?;
    loop {
        let transaction = client.transaction().await?;
        let old = transaction.query(&rows_sql(CONTENT), &[]).await?;
        let old: Vec<Row> = old.iter().map(row).collect::<Result<_, _>>()?;
        let Some(last) = old.last() else {
            break;
        };
        let last: i64 = last.clone().take(0)?;
        let blocks = pack_rows(&dictionaries, old)?.into_iter();
        let blocks: Vec<_> = blocks
            .map(|(scope, seq, block)| (scope, seq, Cow::Owned(block)))
            .collect();
        blocks::insert(&transaction, &blocks).await?;
        let delete = "DELETE FROM unpacked_events WHERE seq <= $1";
        transaction.execute(delete, &[&last]).await?;
        transaction.commit().await?;
    }
    let drop = "DROP TABLE unpacked_content; DROP TABLE unpacked_events";
    client.batch_execute(drop).await?;
    Ok(())
}
