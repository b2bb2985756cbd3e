//! The text index: a table beside the blocks. Their words are kept as one text, of which an index has the
//! words: that takes half of what a column of words takes.

use crate::central::store::StoreError;
use crate::central::store::block::SPAN_NANOS;
use crate::central::store::bloom;
use crate::central::store::query::{Query, Row};
use crate::central::store::repack::BlockChange;
use crate::central::store::text::{Document, Found, Sought, Syntax, Walk};

use super::{Postgres, blocks};

/// Blocks that are looked through for each that a page asks for, before the index is asked.
const LOOKED_THROUGH: usize = 16;

/// Blocks that are taken at least of those that the index finds: it finds all of them at each question.
const AHEAD: usize = 256;

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

    /// The next blocks of a walk. What is common is found soon among the latest blocks; only of what they
    /// have hardly any, the index says where it is: it knows no order, and gives all that it has.
    pub(in crate::central::store) async fn find_documents(
        &self,
        walk: &mut Walk,
        limit: usize,
    ) -> Result<Vec<Found>, StoreError> {
        if !walk.is_rare {
            let found = found(self.rows(latest_query(walk, limit)).await?)?;
            if found.len() == limit {
                return Ok(found);
            }
            walk.is_rare = true;
        }
        // Words lie apart from their rows, which the planner does not reckon with: it would rather read all
        // of them than ask the index.
        let limit = limit.max(AHEAD);
        let rows = self.rows_by_index(index_query(walk, limit)).await?;
        walk.is_done = rows.len() < limit;
        found(rows)
    }
}

fn found(rows: Vec<Row>) -> Result<Vec<Found>, StoreError> {
    rows.into_iter()
        .map(|mut row| {
            let place: (i64, i64) = (row.take(0)?, row.take(1)?);
            Ok(Found {
                seq: place.1,
                place,
                bound: place.0,
            })
        })
        .collect()
}

/// Looks through the next blocks of a walk, a few for each that is asked for.
fn latest_query(walk: &Walk, limit: usize) -> Query {
    let mut query = Query::scoped(
        "SELECT last_time, seq FROM (SELECT last_time, seq, words, ids FROM event_text",
        walk.scope,
    );
    push_place(walk, "", &mut query);
    query
        .push(" ORDER BY last_time DESC, seq DESC LIMIT ")
        .bind((limit * LOOKED_THROUGH) as i64);
    query.push(") latest WHERE (");
    push_words(walk, &mut query);
    if let Some(id) = &walk.sought.id {
        query.push(" OR ");
        push_id(id, &mut query);
    }
    query
        .push(") ORDER BY last_time DESC, seq DESC LIMIT ")
        .bind(limit as i64);
    query
}

/// Asks the index, and no other. An id is asked of every block, for which there is no index.
fn index_query(walk: &Walk, limit: usize) -> Query {
    let mut query = Query::scoped(
        "SELECT last_time, seq FROM (SELECT last_time, seq FROM event_text",
        walk.scope,
    );
    push_place(walk, " + 0", &mut query);
    query.push(" AND ");
    push_words(walk, &mut query);
    if let Some(id) = &walk.sought.id {
        query.push(" UNION SELECT last_time, seq FROM event_text");
        push_place(walk, " + 0", &mut query);
        query.push(" AND ");
        push_id(id, &mut query);
    }
    query
        .push(") found ORDER BY last_time DESC, seq DESC LIMIT ")
        .bind(limit as i64);
    query
}

/// The blocks that a walk has not reached yet. A column to which something is added is in no index.
fn push_place(walk: &Walk, added: &str, query: &mut Query) {
    query.push(&format!(
        " WHERE tenant{added} = $1 AND environment{added} = $2 AND last_time{added} >= "
    ));
    query.bind(walk.times.0).push(" AND first_time <= ");
    query.bind(walk.times.1);
    query.push(&format!(" AND last_time{added} <= "));
    query.bind(walk.times.1.saturating_add(SPAN_NANOS));
    if let Some((time, seq)) = walk.after {
        query.push(&format!(" AND (last_time{added}, seq) < ("));
        query.bind(time).push(", ").bind(seq).push(")");
    }
}

fn push_words(walk: &Walk, query: &mut Query) {
    let with_words = Sought {
        id: None,
        ..walk.sought.clone()
    };
    let syntax = Syntax {
        quote: '\'',
        and: " & ",
        or: " | ",
        goes_on: ":*",
    };
    query
        .push("array_to_tsvector(string_to_array(words, ' ')) @@ CAST(CAST(")
        .bind(with_words.expression(&syntax, &walk.beginning))
        .push(" AS text) AS tsquery)");
}

fn push_id(id: &str, query: &mut Query) {
    let hashes = bloom::hashes(id);
    for (number, hash) in hashes.enumerate() {
        query.push(if number > 0 { " AND " } else { "(" });
        query.push("get_bit(ids, CAST(").bind(hash.cast_signed());
        query.push(" AS bigint) % nullif(8 * length(ids), 0)) = 1");
    }
    query.push(")");
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
