//! What arrived since a page was drawn, in the order of arrival: late records count like any other.

use super::block::BlockEvent;
use super::query::Query;
use super::{Database, EventFilter, Sight, Store, StoreError, postgres};

/// Blocks that are read at once.
const PIECE: i64 = 32;

/// Times that one look reads as many, at most: a thousand small blocks, which hold an event each at least.
const MAX_PIECES: usize = 32;

/// Arrivals after which one look ends.
const MAX_ARRIVALS: usize = 1_000;

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
        let mut arrivals = Arrivals { count: 0, position };
        let mut blocks = self.follow(Some(sight.scope), position, PIECE).await?;
        if blocks.is_empty() {
            // The usual look, which need not find out what the filter's names stand for.
            return Ok(arrivals);
        }
        let search = self.search(sight, filter).await?;
        for _ in 0..MAX_PIECES {
            let Some(reached) = blocks.last().map(|block| block.seq) else {
                break;
            };
            arrivals.position = reached;
            if let Some(search) = &search {
                let keys = search.clone();
                let is_new =
                    move |event: &BlockEvent<'_>| event.seq > position && keys.may_match(event);
                let events = self.read_events(blocks, is_new).await?;
                let found = events.values().filter(|event| search.matches(event));
                arrivals.count += found.count();
            }
            if arrivals.count >= MAX_ARRIVALS {
                break;
            }
            blocks = self.follow(Some(sight.scope), reached, PIECE).await?;
        }
        Ok(arrivals)
    }
}
