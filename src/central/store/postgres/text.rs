//! The text index: a table beside the blocks. Their words are kept as one text, of which an index has the
//! words: that takes half of what a column of words takes.

use crate::central::store::bloom;
use crate::central::store::query::Query;
use crate::central::store::repack::BlockChange;
use crate::central::store::text::{Document, Found, Sought, Syntax};
use crate::central::store::{Scope, StoreError};

use super::{Postgres, blocks};

impl Postgres {
    /// The `seq` up to which every event is indexed.
    pub(in crate::central::store) async fn indexed_to(&self) -> Result<i64, StoreError> {
        let sql =
            "SELECT coalesce((SELECT value::bigint FROM store_state WHERE key = 'indexed'), 0)";
        let mut row = self.rows(Query::new(sql, [])).await?.pop();
        row.as_mut().map_or(Ok(0), |row| row.take(0))
    }

    /// Adds documents that follow `position` and go to `reached`, and changes blocks on the way, unless
    /// another replica has done so.
    pub(in crate::central::store) async fn add_documents(
        &self,
        changes: Vec<BlockChange>,
        documents: Vec<Document>,
        position: i64,
        reached: i64,
    ) -> Result<(), StoreError> {
        let mut client = self.client().await?;
        let transaction = client.transaction().await?;
        transaction
            .execute(
                "INSERT INTO store_state (key, value) VALUES ('indexed', '0') ON CONFLICT DO NOTHING",
                &[],
            )
            .await?;
        let moved = transaction
            .execute(
                "UPDATE store_state SET value = $1 WHERE key = 'indexed' AND value = $2",
                &[&reached.to_string(), &position.to_string()],
            )
            .await?;
        if moved == 0 {
            return Ok(());
        }
        blocks::change(&transaction, &changes).await?;
        add(&transaction, &documents).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The latest blocks that have what is sought, after `after`.
    pub(in crate::central::store) async fn find_documents(
        &self,
        scope: Scope,
        sought: &Sought,
        times: (i64, i64),
        after: Option<(i64, i64)>,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        let with_words = Sought {
            id: None,
            ..sought.clone()
        };
        let expression = with_words.expression(&Syntax {
            quote: '\'',
            and: " & ",
            or: " | ",
            goes_on: ":*",
        });
        let of_scope = "SELECT last_time, seq, first_time FROM event_text
            WHERE tenant = $1 AND environment = $2";
        let mut query = Query::scoped(format!("SELECT last_time, seq FROM ({of_scope}"), scope);
        query
            .push(" AND array_to_tsvector(string_to_array(words, ' ')) @@ CAST(CAST(")
            .bind(expression)
            .push(" AS text) AS tsquery)");
        if let Some(id) = &sought.id {
            query.push(&format!(" UNION {of_scope}"));
            for hash in bloom::hashes(id) {
                query
                    .push(" AND get_bit(ids, CAST(")
                    .bind(hash.cast_signed());
                query.push(" AS bigint) % nullif(8 * length(ids), 0)) = 1");
            }
        }
        query.push(") found WHERE last_time >= ").bind(times.0);
        query.push(" AND first_time <= ").bind(times.1);
        if let Some((time, seq)) = after {
            query.push(" AND (last_time, seq) < (").bind(time);
            query.push(", ").bind(seq).push(")");
        }
        query
            .push(" ORDER BY last_time DESC, seq DESC LIMIT ")
            .bind(limit as i64);
        let rows = self.rows(query).await?.into_iter();
        rows.map(|mut row| {
            let place: (i64, i64) = (row.take(0)?, row.take(1)?);
            Ok(Found {
                seq: place.1,
                place,
                bound: place.0,
            })
        })
        .collect()
    }
}

/// Adds documents.
async fn add(
    transaction: &deadpool_postgres::Transaction<'_>,
    documents: &[Document],
) -> Result<(), StoreError> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO event_text (tenant, environment, seq, first_time, last_time, words, ids)
             SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[],
                 $6::text[], $7::bytea[])",
        )
        .await?;
    let ints = |get: &dyn Fn(&Document) -> i64| -> Vec<i64> { documents.iter().map(get).collect() };
    let ids: Vec<&[u8]> = documents.iter().map(|it| it.ids.as_slice()).collect();
    let words: Vec<&str> = documents.iter().map(|it| it.words.as_str()).collect();
    transaction
        .execute(
            &statement,
            &[
                &ints(&|it| it.scope.tenant),
                &ints(&|it| it.scope.environment),
                &ints(&|it| it.seq),
                &ints(&|it| it.first_time),
                &ints(&|it| it.last_time),
                &words,
                &ids,
            ],
        )
        .await?;
    Ok(())
}
