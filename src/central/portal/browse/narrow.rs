//! What a list of the inventory can be narrowed by, and is.

use std::cmp::Reverse;

use crate::central::portal::filters::Chip;
use crate::central::portal::inventory::singular;
use crate::central::portal::observability::{FacetLink, FacetView, hover};
use crate::central::portal::text::{Text, visible};
use crate::central::store::{EntityKind, Pick};
use crate::words;

use super::Spec;
use super::wish::Wish;

/// Values of a facet that are shown before "more".
const FACET_VALUES: usize = 8;

/// Values of all facets together, each of which has as many at most: a page stays small.
const MAX_VALUES: usize = 112;

/// The filters that are set, each with the address without it.
pub(super) fn chips(spec: &Spec, wish: &Wish) -> Vec<Chip> {
    let filters = without_each(wish).into_iter();
    filters
        .map(|(filter, without)| chip(spec, wish, filter, &without))
        .collect()
}

/// The text, or one of the picks.
pub(super) type Filter<'a> = Option<&'a Pick>;

/// What is asked for without each filter that is set.
pub(super) fn without_each(wish: &Wish) -> Vec<(Filter<'_>, Wish)> {
    let mut without = Vec::new();
    if !wish.text.is_empty() {
        let rest = Wish {
            text: String::new(),
            ..wish.first_page()
        };
        without.push((None, rest));
    }
    for pick in &wish.picks {
        let mut rest = wish.first_page();
        rest.picks.retain(|other| other != pick);
        without.push((Some(pick), rest));
    }
    without
}

/// A filter with the address without it.
pub(super) fn chip(spec: &Spec, wish: &Wish, filter: Filter<'_>, without: &Wish) -> Chip {
    let title_of = |pick: &Pick| spec.facets.iter().find(|(facet, _)| *facet == pick.facet);
    let (title, value) = match filter {
        None => ("Text", wish.text.as_str()),
        Some(pick) => (
            title_of(pick).map_or("", |(_, title)| title),
            label(pick.facet, &pick.value),
        ),
    };
    Chip {
        label: title.to_owned(),
        value: visible(value),
        is_excluded: filter.is_some_and(|pick| pick.is_excluded),
        without: without.address(&spec.path),
    }
}

/// A facet of a list of so many rows, unless no row has a value of it.
pub(super) fn view(
    spec: &Spec,
    wish: &Wish,
    (facet, title): (&'static str, &'static str),
    counts: impl IntoIterator<Item = (String, i64)>,
    of: i64,
) -> Option<FacetView> {
    let mut counts: Vec<(String, i64)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(*count));
    counts.truncate(MAX_VALUES / spec.facets.len().max(2));
    let links = counts
        .into_iter()
        .map(|(value, count)| facet_link(spec, wish, facet, value, count));
    facet_of(title, of, links.collect())
}

/// A facet of a list of so many rows, unless it has no value.
pub(in crate::central::portal) fn facet_of(
    title: &'static str,
    of: i64,
    mut values: Vec<FacetLink>,
) -> Option<FacetView> {
    let more = values.split_off(values.len().min(FACET_VALUES));
    let view = FacetView {
        title,
        of: words::count(of),
        is_sample: false,
        values,
        more,
        all: None,
    };
    (!view.values.is_empty()).then_some(view)
}

/// A value as people say it.
fn label<'a>(facet: &str, value: &'a str) -> &'a str {
    match (facet, EntityKind::from_slug(value)) {
        ("kind", Some(kind)) => singular(kind),
        // As the column says it.
        ("way", None) if value == "neither" => "link",
        _ => value,
    }
}

fn facet_link(
    spec: &Spec,
    wish: &Wish,
    facet: &'static str,
    value: String,
    count: i64,
) -> FacetLink {
    let pick = |is_excluded| Pick {
        facet,
        value: value.clone(),
        is_excluded,
    };
    FacetLink {
        label: Text::short(label(facet, &value)),
        hover: hover(&value, label(facet, &value)),
        term: None,
        count: words::count(count),
        only: wish.with(pick(false)).address(&spec.path),
        exclude: wish.with(pick(true)).address(&spec.path),
        chosen: wish.picks.contains(&pick(false)),
    }
}
