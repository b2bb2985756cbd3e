//! What arrived since a page was drawn, in the order of arrival: late records count like any other.

use super::query::Query;
use super::{Database, EventFilter, Sight, Store, StoreError, postgres};

/// Blocks that one look reads at most.
const MAX_BLOCKS: i64 = 32;

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
        // Keeps away from what a transaction may still put before it.
        let bound = match &self.database {
            Database::Sqlite(_) => String::new(),
            Database::Postgres(_) => format!(" WHERE seq < {}", postgres::open_seq()),
        };
        // Of blocks, which bear the number of their last event: events have no index by it in PostgreSQL.
        let sql = format!("SELECT coalesce(max(seq), CAST(0 AS bigint)) FROM event_blocks{bound}");
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
        let blocks = self.follow(Some(sight.scope), position, MAX_BLOCKS).await?;
        let reached = blocks.last().map_or(position, |block| block.seq);
        let search = self.search(sight, filter).await?;
        let (Some(search), false) = (search, blocks.is_empty()) else {
            return Ok(Arrivals {
                count: 0,
                position: reached,
            });
        };
        let keys = search.clone();
        let events = self
            .read_events(blocks, move |event| {
                event.seq > position && keys.may_match(event)
            })
            .await?;
        Ok(Arrivals {
            count: events
                .values()
                .filter(|event| search.matches(event))
                .count(),
            position: reached,
        })
    }
}
