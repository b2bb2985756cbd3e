//! What an address asks of a list of the inventory.

use crate::central::portal::address::with_query;
use crate::central::portal::failure::Failure;

use super::{Listed, Spec};

/// What an address asks of a list.
#[derive(Clone, Debug, Default)]
pub(in crate::central::portal) struct Wish {
    pub(in crate::central::portal) text: String,
    pub(in crate::central::portal) picks: Vec<Pick>,
    /// A column; with a `-` before it, the greatest first.
    pub(in crate::central::portal) sort: String,
    /// The row after which the page begins, or a cursor.
    pub(in crate::central::portal) after: String,
}

/// A value of a facet that rows must have, or must not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::central::portal) struct Pick {
    pub(in crate::central::portal) facet: &'static str,
    pub(in crate::central::portal) value: String,
    pub(in crate::central::portal) is_excluded: bool,
}

impl Wish {
    /// Reads the pairs of an address.
    ///
    /// # Errors
    /// When a field that can hold one value stands there twice.
    pub(in crate::central::portal) fn read(
        spec: &Spec,
        pairs: Vec<(String, String)>,
    ) -> Result<Wish, Failure> {
        let mut wish = Wish::default();
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs {
            let value = value.trim().to_owned();
            if seen.contains(&key) {
                return Err(Failure::BadRequest(
                    "A filter in this address stands there twice or cannot be read.",
                ));
            }
            let (is_excluded, name) = match key.strip_prefix('-') {
                Some(name) => (true, name),
                None => (false, key.as_str()),
            };
            let known = spec.facets.iter().find(|(facet, _)| *facet == name);
            match (known, key.as_str()) {
                (Some((facet, _)), _) if !value.is_empty() => wish.picks.push(Pick {
                    facet,
                    value,
                    is_excluded,
                }),
                (_, "text") => wish.text = value,
                (_, "sort") => wish.sort = value,
                (_, "after") => wish.after = value,
                _ => {}
            }
            seen.push(key);
        }
        Ok(wish)
    }

    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let picks = self.picks.iter().map(|pick| {
            let sign = if pick.is_excluded { "-" } else { "" };
            (format!("{sign}{}", pick.facet), pick.value.clone())
        });
        let mut pairs = vec![("text".to_owned(), self.text.clone())];
        pairs.extend(picks);
        pairs.push(("sort".to_owned(), self.sort.clone()));
        pairs.push(("after".to_owned(), self.after.clone()));
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    pub(in crate::central::portal) fn address(&self, path: &str) -> String {
        with_query(path, &self.pairs())
    }

    pub(super) fn first_page(&self) -> Wish {
        Wish {
            after: String::new(),
            ..self.clone()
        }
    }

    pub(super) fn with(&self, pick: Pick) -> Wish {
        let mut wish = self.first_page();
        wish.picks.retain(|other| other.facet != pick.facet);
        wish.picks.push(pick);
        wish
    }

    pub(super) fn is_met_by<T: Listed>(&self, row: &T) -> bool {
        let wanted = self.text.to_lowercase();
        let has_text = wanted.is_empty()
            || row
                .texts()
                .iter()
                .any(|text| text.to_lowercase().contains(&wanted));
        let has_value = |pick: &Pick| {
            let value = row.facet(pick.facet).unwrap_or_default();
            (value == pick.value) != pick.is_excluded
        };
        has_text && self.picks.iter().all(has_value)
    }

    pub(super) fn sort<T: Listed>(&self, rows: &mut [T]) {
        let (column, greatest_first) = match self.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (self.sort.as_str(), false),
        };
        if column.is_empty() {
            return;
        }
        rows.sort_by(|one, other| {
            let order = one
                .measure(column)
                .partial_cmp(&other.measure(column))
                .unwrap_or(std::cmp::Ordering::Equal);
            if greatest_first {
                order.reverse()
            } else {
                order
            }
        });
    }
}
