//! What a list can be narrowed by, with how many rows each value has.

use crate::central::portal::filters::{Filters, title_of};
use crate::central::portal::text::{Text, visible};
use crate::central::store::{FacetValue, Qualifier, Survey, Term};
use crate::words;

use super::values;

/// Values that the list can be narrowed by.
pub(in crate::central::portal) struct FacetView {
    pub(in crate::central::portal) title: &'static str,
    pub(in crate::central::portal) of: String,
    pub(in crate::central::portal) is_sample: bool,
    pub(in crate::central::portal) values: Vec<FacetLink>,
    pub(in crate::central::portal) more: Vec<FacetLink>,
    /// Where all values are, and are searched, when there are more than these.
    pub(in crate::central::portal) all: Option<String>,
}

/// One value, with the address of only it, and of all but it.
pub(in crate::central::portal) struct FacetLink {
    pub(in crate::central::portal) label: Text,
    /// The value as the query box takes it, where the label says something else.
    pub(in crate::central::portal) hover: Option<String>,
    /// What the query box takes, where it completes from this list.
    pub(in crate::central::portal) term: Option<String>,
    pub(in crate::central::portal) count: String,
    pub(in crate::central::portal) only: String,
    pub(in crate::central::portal) exclude: String,
    pub(in crate::central::portal) chosen: bool,
}

/// Values of a facet that stand beside the list.
const FACET_VALUES: usize = 10;

/// Characters of a value that the column shows whole, whatever they are.
const FITTING: usize = 18;

/// The facets of a list, without those that have no value.
pub(super) fn of(
    survey: &Survey,
    filters: &Filters,
    path: &str,
    of_one_agent: bool,
) -> Vec<FacetView> {
    let shown = survey.facets.iter().filter(|facet| {
        let is_own = of_one_agent && facet.qualifier == Qualifier::Agent;
        !is_own && !facet.values.is_empty()
    });
    let views = shown.map(|facet| {
        let has_more = facet.values.len() > FACET_VALUES;
        let values = facet.values.iter().take(FACET_VALUES);
        FacetView {
            title: title_of(facet.qualifier),
            of: words::count(facet.of as i64),
            is_sample: !survey.is_exact || facet.of < survey.count,
            values: values
                .map(|value| link(facet.qualifier, value, filters, path))
                .collect(),
            more: Vec::new(),
            all: has_more.then(|| values::address(facet.qualifier, filters, path)),
        }
    });
    views.collect()
}

/// One value of a facet.
pub(super) fn link(
    qualifier: Qualifier,
    value: &FacetValue,
    filters: &Filters,
    path: &str,
) -> FacetLink {
    let term = Term::new(qualifier, value.value.as_str());
    let is_kind = qualifier == Qualifier::Type && filters.kind == value.value;
    FacetLink {
        label: Text::short(&value.label),
        hover: hover(&value.label, &value.value),
        term: None,
        count: words::count(value.count as i64),
        chosen: filters.terms.contains(&term) || is_kind,
        only: filters.with_term(term.clone()).address(path),
        exclude: filters.with_term(term.excluded()).address(path),
    }
}

/// What is told of a value on hover: nothing where its label says the same and fits into the column.
pub(in crate::central::portal) fn hover(label: &str, value: &str) -> Option<String> {
    let fits = value.chars().count() <= FITTING;
    (label != value || !fits).then(|| visible(value))
}
