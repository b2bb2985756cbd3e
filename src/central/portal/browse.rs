//! A list of the inventory, narrowed and sorted by what its address says: a text, one value of a facet, or all
//! but one. By what, the list's catalog in the store says; the database narrows, counts and pages it.

use std::cmp::Reverse;

use crate::central::Central;
use crate::central::store::{Cataloged, Of, PageRequest, Pick, Scope, StoreError, Tally};
use crate::event::Timestamp;
use crate::words;

use super::filters::Chip;
use super::observability::FacetView;

use narrow::{chip, chips, view, without_each};

pub(super) use narrow::facet_of;
pub(super) use wish::Wish;

mod wish;
mod narrow;
#[cfg(test)]
mod tests;

/// Rows of a page.
const PAGE_ROWS: u32 = 100;

/// What a list is called, and what it can be narrowed and sorted by.
pub(super) struct Spec {
    /// Where it is.
    pub(super) path: String,
    /// Where it is taken away.
    pub(super) export: String,
    /// What the field for text looks through.
    pub(super) searches: &'static str,
    /// One row and several, in words.
    pub(super) nouns: (&'static str, &'static str),
    /// Facets: name in addresses, title.
    pub(super) facets: Vec<(&'static str, &'static str)>,
    /// The columns that sort it.
    pub(super) columns: Vec<&'static str>,
    /// What the list is of.
    pub(super) of: Of,
    /// What every row of it has.
    pub(super) fixed: Vec<Pick>,
    /// The order unless the address asks for another; empty for the catalog's own.
    pub(super) order: &'static str,
    /// Whether it is one of the inventory, which fills with what clients send, and can be saved as a view.
    pub(super) is_inventory: bool,
}

impl Spec {
    /// A list of what the environment has, with every facet of its catalog.
    pub(super) fn of<T: Cataloged>(
        path: String,
        export: String,
        nouns: (&'static str, &'static str),
    ) -> Spec {
        let catalog = const { &T::CATALOG };
        let facets = catalog.facets.iter();
        Spec {
            path,
            export,
            searches: catalog.searches,
            nouns,
            facets: facets.map(|facet| (facet.name, facet.title)).collect(),
            columns: catalog.columns().collect(),
            of: Of::Environment,
            fixed: Vec::new(),
            order: "",
            is_inventory: true,
        }
    }

    /// The facets but for one.
    pub(super) fn without(&self, facet: &str) -> Vec<(&'static str, &'static str)> {
        let others = self.facets.iter().filter(|(name, _)| *name != facet);
        others.copied().collect()
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
    /// Where the list has no row: its filters, each with how many rows there are without it.
    pub(super) loosened: Vec<(Chip, String)>,
    pub(super) export: String,
    /// Whether it can be saved as a view: a list of the inventory.
    pub(super) is_savable: bool,
    /// What the export is of.
    pub(super) pairs: Vec<(String, String)>,
    /// One row, in words.
    pub(super) noun: &'static str,
    /// The columns that sort it.
    columns: Vec<&'static str>,
    wish: Wish,
}

/// How the head of a column sorts.
pub(super) struct SortLink {
    pub(super) href: String,
    /// As `aria-sort` says it; none when the list is sorted by something else.
    pub(super) direction: Option<&'static str>,
}

/// The page of a list that a wish asks for.
pub(super) async fn select<T: Cataloged>(
    central: &Central,
    scope: Scope,
    spec: &Spec,
    wish: Wish,
) -> Result<Selection<T>, StoreError> {
    let (criteria, now) = (wish.criteria(spec), Timestamp::now());
    let page = PageRequest::new(Some(wish.after.clone()), Some(PAGE_ROWS));
    let (page, tally) = tokio::try_join!(
        central.store.list::<T>(scope, &criteria, now, page),
        central.store.tally::<T>(scope, &criteria, now),
    )?;
    let mut tools = Tools::tallied::<T>(spec, wish.clone(), tally);
    if page.items.is_empty() {
        tools.loosened = loosened::<T>(central, scope, spec, &wish, now).await?;
    }
    Ok(Selection {
        rows: page.items,
        more: page.next_cursor.map(|after| {
            Wish {
                after,
                ..wish.clone()
            }
            .address(&spec.path)
        }),
        tools,
    })
}

/// The filters of a list without a row, the one first without which there are most, with how many there are.
async fn loosened<T: Cataloged>(
    central: &Central,
    scope: Scope,
    spec: &Spec,
    wish: &Wish,
    now: Timestamp,
) -> Result<Vec<(Chip, String)>, StoreError> {
    let mut found = Vec::new();
    for (filter, without) in without_each(wish) {
        let criteria = without.criteria(spec);
        let rows = central.store.row_count::<T>(scope, &criteria, now).await?;
        found.push((rows, chip(spec, wish, filter, &without)));
    }
    found.sort_by_key(|(rows, _)| Reverse(*rows));
    let found = found.into_iter();
    Ok(found
        .map(|(rows, chip)| (chip, in_words(spec, rows)))
        .collect())
}

/// So many rows, in words.
fn in_words(spec: &Spec, rows: i64) -> String {
    let rows = usize::try_from(rows).unwrap_or(0);
    words::plural(rows, spec.nouns.0, spec.nouns.1)
}

impl Tools {
    /// What narrows a list that is counted.
    fn tallied<T: Cataloged>(spec: &Spec, wish: Wish, tally: Tally) -> Tools {
        let catalog = const { &T::CATALOG };
        let counted = catalog.facets.iter().zip(tally.facets);
        let mut counted: Vec<_> = counted.map(|(of, counts)| (of.name, counts)).collect();
        let counts = spec.facets.iter().map(|(name, _)| {
            let found = counted.iter_mut().find(|(of, _)| of == name);
            found.map_or_else(Vec::new, |(_, counts)| std::mem::take(counts))
        });
        let facets = spec.facets.iter().zip(counts);
        let facets =
            facets.filter_map(|(facet, counts)| view(spec, &wish, *facet, counts, tally.row_count));
        let facets = facets.collect();
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
            count: in_words(spec, tally.row_count),
            loosened: Vec::new(),
            export: spec.export.clone(),
            is_savable: spec.is_inventory,
            pairs: wish.first_page().pairs(),
            noun: spec.nouns.0,
            columns: spec.columns.clone(),
            wish,
        }
    }

    /// How the head of `column` sorts, where it does: the greatest first, and at a second click the least.
    pub(super) fn sorted_by(&self, column: &str) -> Option<SortLink> {
        if !self.columns.contains(&column) {
            return None;
        }
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
        Some(SortLink {
            href: sorted.address(&self.path),
            direction,
        })
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
