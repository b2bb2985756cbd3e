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
        let mut tally = Counted::of(catalog);
        let (query, facets) = catalog.count_one(scope, criteria, now)?;
        for mut row in self.derived_rows(query).await? {
            let rows: i64 = row.take(0)?;
            tally.row_count += rows;
            for (column, facet) in (1..).zip(&facets) {
                if let Some(value) = row.take::<Option<String>>(column)? {
                    tally.add(*facet, value, rows);
                }
            }
        }
        if let Some((query, values)) = catalog.count_each(scope, criteria, now)? {
            for mut row in self.rows(query).await? {
                for (column, (facet, value)) in values.iter().enumerate() {
                    tally.add(*facet, (*value).to_owned(), row.take(column)?);
                }
            }
        }
        for (place, facet) in catalog.facets.iter().enumerate() {
            if let Some(query) = catalog.count_many(facet, scope, criteria, now)? {
                for mut row in self.rows(query).await? {
                    tally.add(place, row.take(0)?, row.take(1)?);
                }
            }
        }
        Ok(Tally {
            row_count: tally.row_count,
            facets: tally.facets.into_iter().map(most_frequent).collect(),
        })
    }
}

impl Store {
    /// How many rows criteria leave of a list as it is at `now`.
    ///
    /// # Errors
    /// As [`Store::list`].
    pub async fn row_count<T: Cataloged>(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut query = Query::scoped("SELECT count(*) FROM ", scope);
        const { &T::CATALOG }.push(&mut query, criteria, now, "")?;
        let row = self.derived_rows(query).await?.pop();
        row.map_or(Ok(0), |mut row| row.take(0))
    }
}

/// What was counted so far.
struct Counted {
    row_count: i64,
    /// The values of each facet.
    facets: Vec<HashMap<String, i64>>,
}

impl Counted {
    fn of<T>(catalog: &Catalog<T>) -> Counted {
        Counted {
            row_count: 0,
            facets: vec![HashMap::new(); catalog.facets.len()],
        }
    }

    /// Adds rows with a value of the facet at this place.
    fn add(&mut self, facet: usize, value: String, rows: i64) {
        if rows > 0 {
            *self.facets[facet].entry(value).or_default() += rows;
        }
    }
}

/// A facet by its place in the catalog, and one of its values.
type ValueAt = (usize, &'static str);

impl<T> Catalog<T> {
    /// Counts all rows, by the values of the facets of which each has one: these by their places.
    fn count_one(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<(Query, Vec<usize>), StoreError> {
        let facets = self.facets.iter().enumerate();
        let one = facets.filter_map(|(place, facet)| match facet.values {
            Values::One(of) => Some((place, of)),
            Values::Many { .. } | Values::Each(_) => None,
        });
        let (places, columns): (Vec<usize>, Vec<&str>) = one.unzip();
        let columns = columns.join(", ");
        let mut query = Query::scoped(format!("SELECT count(*), {columns} FROM "), scope);
        self.push(&mut query, criteria, now, "")?;
        query.push(&format!(" GROUP BY {columns}"));
        Ok((query, places))
    }

    /// Counts the rows of which something is so, for the facets that consist of that.
    fn count_each(
        &self,
        scope: Scope,
        criteria: &Criteria,
        now: Timestamp,
    ) -> Result<Option<(Query, Vec<ValueAt>)>, StoreError> {
        let (mut values, mut sums) = (Vec::new(), Vec::new());
        for (place, facet) in self.facets.iter().enumerate() {
            let Values::Each(conditions) = facet.values else {
                continue;
            };
            for (value, is_so) in facet.one_of.iter().zip(conditions) {
                values.push((place, *value));
                sums.push(format!(
                    "coalesce(sum(CASE WHEN {is_so} THEN 1 ELSE 0 END), 0)"
                ));
            }
        }
        if values.is_empty() {
            return Ok(None);
        }
        let mut query = Query::scoped(format!("SELECT {} FROM ", sums.join(", ")), scope);
        self.push(&mut query, criteria, now, "")?;
        Ok(Some((query, values)))
    }

    /// Counts the most frequent values of a facet of which rows have any number.
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
        query.bind(MAX_VALUES);
        Ok(Some(query))
    }
}

/// The most frequent of a facet's values, by how many rows have them.
pub(in crate::central::store) fn most_frequent(counts: HashMap<String, i64>) -> Vec<(String, i64)> {
    let mut counts: Vec<(String, i64)> = counts.into_iter().collect();
    counts.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    counts.truncate(usize::try_from(MAX_VALUES).unwrap_or(usize::MAX));
    counts
}
