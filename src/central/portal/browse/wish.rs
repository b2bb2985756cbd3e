//! What an address asks of a list of the inventory.

use crate::central::portal::address::with_query;
use crate::central::portal::failure::Failure;

use crate::central::store::{Criteria, Pick};

use super::Spec;

/// What an address asks of a list.
#[derive(Clone, Debug, Default)]
pub(in crate::central::portal) struct Wish {
    pub(in crate::central::portal) text: String,
    pub(in crate::central::portal) picks: Vec<Pick>,
    /// A column; with a `-` before it, the greatest first.
    pub(in crate::central::portal) sort: String,
    /// The cursor of the page.
    pub(in crate::central::portal) after: String,
}

impl Wish {
    /// Reads the pairs of an address.
    ///
    /// # Errors
    /// When a field that can hold one value stands there twice, or the list has no such order.
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
        let column = wish.sort.strip_prefix('-').unwrap_or(&wish.sort);
        if !column.is_empty() && !spec.columns.contains(&column) {
            return Err(Failure::BadRequest(
                "The list cannot be sorted by what this address names.",
            ));
        }
        Ok(wish)
    }

    /// What the store is asked for a list with a catalog.
    pub(in crate::central::portal) fn criteria(&self, spec: &Spec) -> Criteria {
        Criteria {
            of: spec.of.clone(),
            text: self.text.clone(),
            picks: [&spec.fixed[..], &self.picks].concat(),
            sort: match self.sort.as_str() {
                "" => spec.order.to_owned(),
                sort => sort.to_owned(),
            },
        }
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
}
