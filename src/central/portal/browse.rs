//! A list of the inventory, narrowed and sorted by what its address says: a text, one value of a facet, or all
//! but one. Inventories are small beside events: a list is read whole, and counted as it is; that of machines,
//! which can be many, is narrowed and counted by the database.

use crate::central::store::{Page, PageRequest, Scope, Store, StoreError};
use crate::words;

use super::filters::Chip;
use super::observability::FacetView;

use narrow::{chips, facets, view};

pub(super) use wish::Wish;

mod wish;
mod narrow;
#[cfg(test)]
mod tests;

/// Rows of a page.
const PAGE_ROWS: usize = 100;

/// Rows that are read from the store at once.
const CHUNK: u32 = 1_000;

/// Rows that a page looks through; an export looks through all.
const MAX_ROWS: usize = 10_000;

/// What a list is called, and what it can be narrowed and sorted by.
pub(super) struct Spec {
    /// Where it is.
    pub(super) path: String,
    /// Its name below `/exports`.
    pub(super) export: String,
    /// What the field for text looks through.
    pub(super) searches: &'static str,
    /// One row and several, in words.
    pub(super) nouns: (&'static str, &'static str),
    /// Facets: name in addresses, title.
    pub(super) facets: &'static [(&'static str, &'static str)],
}

/// What a list holds.
pub(super) trait Listed: Sized + Send {
    /// Which of several such lists.
    type Which: Copy + Send + Sync;
    /// A page of it, in the store's own order.
    fn page(
        from: From<'_, Self::Which>,
        page: PageRequest,
    ) -> impl Future<Output = Result<Page<Self>, StoreError>> + Send;
    /// Tells it from all others of the list.
    fn id(&self) -> &str;
    /// What the field for text looks through.
    fn texts(&self) -> Vec<&str>;
    /// Its value of a facet.
    fn facet(&self, name: &str) -> Option<String>;
    /// What it is sorted by in a column; `None` where there is no such order.
    fn measure(&self, column: &str) -> Option<Measure>;
}

/// Where a list is read from.
#[derive(Clone, Copy)]
pub(super) struct From<'a, W> {
    pub(super) store: &'a Store,
    pub(super) scope: Scope,
    pub(super) which: W,
}

/// What rows are sorted by.
#[derive(PartialEq, PartialOrd)]
pub(super) enum Measure {
    /// The least first.
    Number(f64),
    /// By the alphabet, capitals or not.
    Text(String),
}

impl Measure {
    pub(super) fn number(number: i64) -> Option<Measure> {
        Some(Measure::Number(number as f64))
    }

    pub(super) fn text(text: &str) -> Option<Measure> {
        Some(Measure::Text(text.to_lowercase()))
    }
}

/// What a page shows of a list.
pub(super) struct Selection<T> {
    /// The rows of the page.
    pub(super) rows: Vec<T>,
    pub(super) tools: Tools,
    /// Where the list goes on.
    pub(super) more: Option<String>,
}

/// What narrows a list, and takes it away.
pub(super) struct Tools {
    pub(super) path: String,
    pub(super) text: String,
    pub(super) searches: &'static str,
    /// What else the form keeps.
    pub(super) kept: Vec<(String, String)>,
    pub(super) chips: Vec<Chip>,
    pub(super) facets: Vec<FacetView>,
    pub(super) count: String,
    pub(super) export: String,
    /// What the export is of.
    pub(super) pairs: Vec<(String, String)>,
    /// One row, in words.
    pub(super) noun: &'static str,
    wish: Wish,
}

/// How the head of a column sorts.
pub(super) struct SortLink {
    pub(super) href: String,
    /// As `aria-sort` says it; none when the list is sorted by something else.
    pub(super) direction: Option<&'static str>,
}

/// Every row that a wish leaves, in its order; for an export.
pub(super) async fn all<T: Listed>(
    from: From<'_, T::Which>,
    wish: &Wish,
) -> Result<Vec<T>, StoreError> {
    let (mut rows, _) = whole::<T>(from, usize::MAX).await?;
    rows.retain(|row| wish.is_met_by(row));
    wish.sort(&mut rows);
    Ok(rows)
}

/// The page of a list that a wish asks for.
pub(super) async fn select<T: Listed>(
    from: From<'_, T::Which>,
    spec: &Spec,
    wish: Wish,
) -> Result<Selection<T>, StoreError> {
    let (rows, is_whole) = whole::<T>(from, MAX_ROWS).await?;
    Ok(Selection::of(spec, wish, rows, is_whole))
}

impl<T: Listed> Selection<T> {
    fn of(spec: &Spec, wish: Wish, mut rows: Vec<T>, is_whole: bool) -> Selection<T> {
        rows.retain(|row| wish.is_met_by(row));
        let facets = facets(spec, &wish, &rows);
        wish.sort(&mut rows);
        let mut count = words::plural(rows.len(), spec.nouns.0, spec.nouns.1);
        if !is_whole {
            count.push_str(&format!(
                " among the latest {}; an export looks through all",
                words::count(MAX_ROWS as i64)
            ));
        }
        let place = rows.iter().position(|row| row.id() == wish.after);
        let mut rows: Vec<T> = rows
            .into_iter()
            .skip(place.map_or(0, |it| it + 1))
            .collect();
        let has_more = rows.len() > PAGE_ROWS;
        rows.truncate(PAGE_ROWS);
        let more = rows.last().filter(|_| has_more).map(|last| {
            Wish {
                after: last.id().to_owned(),
                ..wish.clone()
            }
            .address(&spec.path)
        });
        Selection {
            rows,
            more,
            tools: Tools::new(spec, wish, facets, count),
        }
    }
}

/// The rows of a list, up to `limit`, and whether that is all.
async fn whole<T: Listed>(
    from: From<'_, T::Which>,
    limit: usize,
) -> Result<(Vec<T>, bool), StoreError> {
    let mut rows = Vec::new();
    let mut cursor = None;
    loop {
        let page = T::page(from, PageRequest::new(cursor, Some(CHUNK))).await?;
        rows.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() || rows.len() >= limit {
            return Ok((rows, cursor.is_none()));
        }
    }
}

impl Tools {
    /// What narrows a list that the database counts: so many rows, and the values of each facet.
    pub(super) fn counted<C: IntoIterator<Item = (String, i64)>>(
        spec: &Spec,
        wish: Wish,
        rows: i64,
        counts: impl IntoIterator<Item = C>,
    ) -> Tools {
        let facets = spec.facets.iter().zip(counts);
        let facets = facets.filter_map(|(facet, counts)| view(spec, &wish, *facet, counts, rows));
        let facets = facets.collect();
        let count = usize::try_from(rows).unwrap_or(0);
        let count = words::plural(count, spec.nouns.0, spec.nouns.1);
        Tools::new(spec, wish, facets, count)
    }

    fn new(spec: &Spec, wish: Wish, facets: Vec<FacetView>, count: String) -> Tools {
        Tools {
            path: spec.path.clone(),
            text: wish.text.clone(),
            searches: spec.searches,
            kept: wish
                .first_page()
                .pairs()
                .into_iter()
                .filter(|(key, _)| key != "text")
                .collect(),
            chips: chips(spec, &wish),
            facets,
            count,
            export: spec.export.clone(),
            pairs: wish.first_page().pairs(),
            noun: spec.nouns.0,
            wish,
        }
    }

    /// How the head of `column` sorts: the greatest first, and at a second click the least.
    pub(super) fn sorted_by(&self, column: &str) -> SortLink {
        let (descending, ascending) = (format!("-{column}"), column.to_owned());
        let (sort, direction) = match &self.wish.sort {
            now if *now == descending => (ascending, Some("descending")),
            now if *now == ascending => (descending, Some("ascending")),
            _ => (descending, None),
        };
        let sorted = Wish {
            sort,
            ..self.wish.first_page()
        };
        SortLink {
            href: sorted.address(&self.path),
            direction,
        }
    }

    /// The list's address, from its beginning.
    pub(super) fn address(&self) -> String {
        self.wish.first_page().address(&self.path)
    }

    /// Whether the list has an order that somebody asked for.
    pub(super) fn is_sorted(&self) -> bool {
        !self.wish.sort.is_empty()
    }

    /// Whether anything narrows the list.
    pub(super) fn is_narrowed(&self) -> bool {
        !self.chips.is_empty()
    }
}
