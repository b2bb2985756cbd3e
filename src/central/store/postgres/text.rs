//! The text index: a table beside the events, parted like them, in the order of time.

use crate::central::store::event_row::{COLUMNS, Key};
use crate::central::store::keys::uid_key;
use crate::central::store::query::{Query, Row};
use crate::central::store::text::{Document, Sought, Syntax};
use crate::central::store::{Scope, StoreError};

use super::Postgres;

impl Postgres {
    /// The `seq` up to which every event is indexed.
    pub(in crate::central::store) async fn indexed_to(&self) -> Result<i64, StoreError> {
        let sql =
            "SELECT coalesce((SELECT value::bigint FROM store_state WHERE key = 'indexed'), 0)";
        let mut row = self.rows(Query::new(sql, [])).await?.pop();
        row.as_mut().map_or(Ok(0), |row| row.take(0))
    }

    /// Adds documents that follow `position`, unless another replica has done so.
    pub(in crate::central::store) async fn add_documents(
        &self,
        documents: Vec<Document>,
        position: i64,
    ) -> Result<(), StoreError> {
        let reached = documents.last().map_or(position, |last| last.seq);
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
        add(&transaction, &documents).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// Rows of the latest events that are what is sought.
    pub(in crate::central::store) async fn find_documents(
        &self,
        scope: Scope,
        sought: &Sought,
        times: (i64, i64),
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let expression = sought.expression(&Syntax {
            quote: '\'',
            and: " & ",
            or: " | ",
            goes_on: ":*",
        });
        let found = "SELECT tenant, environment, time, uid FROM event_text
            WHERE tenant = $1 AND environment = $2 AND words @@ ";
        let mut query = Query::scoped(format!("SELECT {COLUMNS} FROM ({found}"), scope);
        query
            .push("CAST(CAST(")
            .bind(expression)
            .push(" AS text) AS tsquery)");
        query.push(" AND time >= ").bind(times.0);
        query.push(" AND time <= ").bind(times.1);
        if let Some((time, uid)) = after {
            query.push(" AND time <= ").bind(*time);
            query.push(" AND (time, uid) < (").bind(*time);
            query.push(", ").bind(uid_key(uid)).push(")");
        }
        query
            .push(" ORDER BY time DESC, uid DESC LIMIT ")
            .bind(limit as i64);
        query.push(
            ") x JOIN events e USING (tenant, environment, time, uid)
             LEFT JOIN event_content c USING (tenant, environment, time, uid)
             ORDER BY e.time DESC, e.uid DESC",
        );
        self.rows(query).await
    }
}

/// Adds documents; those that are there take the new words.
pub(super) async fn add(
    transaction: &deadpool_postgres::Transaction<'_>,
    documents: &[Document],
) -> Result<(), StoreError> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO event_text (tenant, environment, time, uid, words)
             SELECT tenant, environment, time, uid, array_to_tsvector(string_to_array(words, ' '))
             FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::text[])
                 AS added (tenant, environment, time, uid, words)
             ON CONFLICT (tenant, environment, time, uid) DO UPDATE SET words = excluded.words",
        )
        .await?;
    let tenants: Vec<i64> = documents.iter().map(|it| it.scope.tenant).collect();
    let environments: Vec<i64> = documents.iter().map(|it| it.scope.environment).collect();
    let times: Vec<i64> = documents.iter().map(|it| it.time).collect();
    let uids: Vec<&[u8]> = documents.iter().map(|it| it.uid.as_slice()).collect();
    let words: Vec<&str> = documents.iter().map(|it| it.words.as_str()).collect();
    transaction
        .execute(
            &statement,
            &[&tenants, &environments, &times, &uids, &words],
        )
        .await?;
    Ok(())
}
