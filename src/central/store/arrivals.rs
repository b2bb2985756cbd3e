//! What arrived since a page was drawn, in the order of arrival: late records count like any other.

use super::query::Query;
use super::{Database, EventFilter, Sight, Store, StoreError, postgres};

/// Arrivals that one look reads at most.
const MAX_ARRIVALS: i64 = 1_000;

/// Arrivals that match a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// How many.
    pub count: usize,
    /// Hand this back to go on from here.
    pub position: i64,
}

impl Store {
    /// The place after everything that is stored now.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn arrived(&self) -> Result<i64, StoreError> {
        let bound = self.arrival_bound();
        let sql = format!(
            "SELECT coalesce(max(e.seq), CAST(0 AS bigint)) FROM events e WHERE true{bound}"
        );
        let mut rows = self.rows(Query::new(sql, [])).await?;
        rows.first_mut().map_or(Ok(0), |row| row.take(0))
    }

    /// What of a filter's events arrived after `position`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn arrivals(
        &self,
        sight: &Sight,
        filter: &EventFilter,
        position: i64,
    ) -> Result<Arrivals, StoreError> {
        let bound = self.arrival_bound();
        let sql =
            format!("SELECT e.seq FROM events e WHERE e.seq > $1{bound} ORDER BY e.seq LIMIT $2");
        let query = Query::new(sql, [position.into(), MAX_ARRIVALS.into()]);
        let Some(mut last) = self.rows(query).await?.pop() else {
            return Ok(Arrivals { count: 0, position });
        };
        let reached: i64 = last.take(0)?;
        let Some(search) = self.search(sight, filter).await? else {
            return Ok(Arrivals {
                count: 0,
                position: reached,
            });
        };
        let mut query = self.event_query(sight.scope);
        query.push(" AND e.seq > ").bind(position);
        query.push(" AND e.seq <= ").bind(reached);
        search.narrow(self.dialect(), &mut query);
        let events = self
            .stored_events(sight.scope, self.rows(query).await?)
            .await?;
        Ok(Arrivals {
            count: events.iter().filter(|event| search.matches(event)).count(),
            position: reached,
        })
    }

    /// Keeps away from what a transaction may still put before it.
    fn arrival_bound(&self) -> String {
        match &self.database {
            Database::Sqlite(_) => String::new(),
            Database::Postgres(_) => format!(" AND e.seq < {}", postgres::open_seq()),
        }
    }
}
