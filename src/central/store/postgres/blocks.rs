//! Reads and writes blocks of events.

use std::borrow::Cow;

use deadpool_postgres::Transaction;

use crate::central::store::block::{NewBlock, StoredBlock};
use crate::central::store::query::Row;
use crate::central::store::repack::BlockChange;
use crate::central::store::{Scope, StoreError};

use super::Postgres;
use super::values::row;

impl Postgres {
    /// The blocks of events.
    pub(in crate::central::store) async fn blocks_of(
        &self,
        scope: Scope,
        seqs: Vec<i64>,
    ) -> Result<Vec<Row>, StoreError> {
        let sql = format!(
            "SELECT {} FROM event_blocks WHERE tenant = $1::bigint AND environment = $2::bigint
                 AND seq = ANY (ARRAY(
                     SELECT (SELECT b.seq FROM event_blocks b
                         WHERE b.tenant = $1::bigint AND b.environment = $2::bigint AND b.seq >= sought
                         ORDER BY b.seq LIMIT 1)
                     FROM unnest($3::bigint[]) AS sought))",
            StoredBlock::COLUMNS
        );
        let client = self.client().await?;
        let statement = client.prepare_cached(&sql).await?;
        let rows = client
            .query(&statement, &[&scope.tenant, &scope.environment, &seqs])
            .await?;
        rows.iter().map(row).collect()
    }

    /// Changes blocks, with what the text index says of those that it knows.
    pub(in crate::central::store) async fn change_blocks(
        &self,
        changes: Vec<BlockChange>,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        change(&transaction, &changes).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Stores blocks under their names.
pub(super) async fn insert(
    transaction: &Transaction<'_>,
    blocks: &[(Scope, i64, Cow<'_, NewBlock>)],
) -> Result<(), StoreError> {
    if blocks.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "INSERT INTO event_blocks (tenant, environment, seq, first_time, last_time, content_from,
                 event_count, contents, records)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::bigint[], $7::bigint[], $8::bytea[], $9::bytea[])",
        )
        .await?;
    let ints = |get: &dyn Fn(&NewBlock) -> i64| -> Vec<i64> {
        blocks.iter().map(|(_, _, block)| get(block)).collect()
    };
    let tenants: Vec<i64> = blocks.iter().map(|(scope, ..)| scope.tenant).collect();
    let environments: Vec<i64> = blocks.iter().map(|(scope, ..)| scope.environment).collect();
    let seqs: Vec<i64> = blocks.iter().map(|(_, seq, _)| *seq).collect();
    let content_from: Vec<Option<i64>> = blocks.iter().map(|(.., it)| it.content_from).collect();
    let contents: Vec<Option<&[u8]>> = blocks
        .iter()
        .map(|(.., it)| it.contents.as_deref())
        .collect();
    let records: Vec<&[u8]> = blocks
        .iter()
        .map(|(.., it)| it.records.as_slice())
        .collect();
    transaction
        .execute(
            &statement,
            &[
                &tenants,
                &environments,
                &seqs,
                &ints(&|block| block.first_time),
                &ints(&|block| block.last_time),
                &content_from,
                &ints(&|block| block.events as i64),
                &contents,
                &records,
            ],
        )
        .await?;
    Ok(())
}

/// Does all changes, or fails: somebody else was here first.
pub(super) async fn change(
    transaction: &Transaction<'_>,
    changes: &[BlockChange],
) -> Result<(), StoreError> {
    for change in changes {
        let old = &change.old;
        let (tenant, environment) = (old.scope.tenant, old.scope.environment);
        let delete = transaction
            .prepare_cached(
                "DELETE FROM event_blocks
                 WHERE tenant = $1::bigint AND environment = $2::bigint AND seq = $3
                     AND records = $4 AND contents IS NOT DISTINCT FROM $5",
            )
            .await?;
        let deleted = transaction
            .execute(
                &delete,
                &[&tenant, &environment, &old.seq, &old.records, &old.contents],
            )
            .await?;
        if deleted != 1 {
            let message = "a block was changed by somebody else meanwhile";
            return Err(StoreError::Unavailable(message.to_owned()));
        }
        change_words(transaction, change).await?;
    }
    let new: Vec<(Scope, i64, Cow<'_, NewBlock>)> = changes
        .iter()
        .filter_map(|change| {
            let new = change.new.as_ref()?;
            Some((change.old.scope, change.old.seq, Cow::Borrowed(new)))
        })
        .collect();
    insert(transaction, &new).await
}

async fn change_words(
    transaction: &Transaction<'_>,
    change: &BlockChange,
) -> Result<(), StoreError> {
    let scope = change.old.scope;
    let Some(document) = &change.document else {
        let delete = transaction
            .prepare_cached(
                "DELETE FROM event_text
                 WHERE tenant = $1::bigint AND environment = $2::bigint AND seq = $3",
            )
            .await?;
        transaction
            .execute(
                &delete,
                &[&scope.tenant, &scope.environment, &change.old.seq],
            )
            .await?;
        return Ok(());
    };
    let update = transaction
        .prepare_cached(
            "UPDATE event_text SET first_time = $4, last_time = $5, words = $6, ids = $7
             WHERE tenant = $1::bigint AND environment = $2::bigint AND seq = $3",
        )
        .await?;
    transaction
        .execute(
            &update,
            &[
                &scope.tenant,
                &scope.environment,
                &document.seq,
                &document.first_time,
                &document.last_time,
                &document.words,
                &document.ids,
            ],
        )
        .await?;
    Ok(())
}
