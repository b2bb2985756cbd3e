//! How many rows a list has, and by what they can be told apart.

use std::collections::HashMap;

use crate::central::store::query::Query;
use crate::central::store::{Scope, Store, StoreError};
use crate::event::Timestamp;

use super::{Catalog, Cataloged, Criteria, Facet, Values};

/// Values of one facet that are counted at most: the most frequent.
const MAX_VALUES: i64 = 100;

/// How many rows criteria leave, and which values they have.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Rows.
    pub row_count: i64,
    /// The values of each facet of the catalog, in its order, the most frequent first.
    pub facets: Vec<Vec<(String, i64)>>,
}

impl Store {
    /// Counts what criteria leave of a list as it is at `now`.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn tally<T: Cataloged>(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Tally, StoreError> {
        let catalog = const { &T::CATALOG };
        let facets = catalog.facets.iter().enumerate();
        let single: Vec<(usize, &str)> = facets
            .filter_map(|(place, facet)| match facet.values {
                Values::One(of) => Some((place, of)),
                Values::Many { .. } => None,
            })
            .collect();
        let columns: Vec<&str> = single.iter().map(|(_, of)| *of).collect();
        let columns = columns.join(", ");
        let mut query = Query::scoped(format!("SELECT count(*), {columns} FROM "), scope);
        catalog.push(&mut query, criteria, now, "")?;
        query.push(&format!(" GROUP BY {columns}"));
        let mut row_count = 0;
        let mut counts: Vec<HashMap<String, i64>> = vec![HashMap::new(); catalog.facets.len()];
        for mut row in self.derived_rows(query).await? {
            let rows: i64 = row.take(0)?;
            row_count += rows;
            for (column, (place, _)) in single.iter().enumerate() {
                if let Some(value) = row.take::<Option<String>>(column + 1)? {
                    *counts[*place].entry(value).or_default() += rows;
                }
            }
        }
        for (place, facet) in catalog.facets.iter().enumerate() {
            if let Some(mut query) = catalog.count_many(facet, scope, criteria, now)? {
                query.bind(MAX_VALUES);
                for mut row in self.rows(query).await? {
                    counts[place].insert(row.take(0)?, row.take(1)?);
                }
            }
        }
        Ok(Tally {
            row_count,
            facets: counts.into_iter().map(most_frequent).collect(),
        })
    }
}

impl<T> Catalog<T> {
    /// Counts the values of a facet of which rows have any number, but for how many are wanted.
    fn count_many(
        &self,
        facet: &Facet,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Option<Query>, StoreError> {
        let Values::Many {
            table,
            belong,
            value,
        } = facet.values
        else {
            return Ok(None);
        };
        let rows = format!("count(DISTINCT {})", self.key[0]);
        let mut query = Query::scoped(format!("SELECT {value}, {rows} FROM "), scope);
        self.push(
            &mut query,
            criteria,
            now,
            &format!(" JOIN {table} v ON {belong}"),
        )?;
        query.push(&format!(
            " GROUP BY {value} ORDER BY {rows} DESC, {value} LIMIT "
        ));
        Ok(Some(query))
    }
}

/// The most frequent of a facet's values, by how many rows have them.
fn most_frequent(counts: HashMap<String, i64>) -> Vec<(String, i64)> {
    let mut counts: Vec<(String, i64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts.truncate(usize::try_from(MAX_VALUES).unwrap_or(usize::MAX));
    counts
}
