//! Counts of what was taken out: by type and rule, never what it was or how long.
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::engine::BUDGET_TYPE;

/// How many secrets were replaced, by type and by the rule that found them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hits {
    /// By type, and by rule within the type.
    counts: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Hits {
    /// Secrets of all types.
    pub fn total(&self) -> u64 {
        self.by_type().map(|(_, count)| count).sum()
    }

    /// Nothing was replaced.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Types and their counts, in the order of the types' names.
    pub fn by_type(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counts
            .iter()
            .map(|(kind, rules)| (kind.as_str(), rules.values().sum()))
    }

    /// Rules, their types and their counts, in the order of the types' names. What no rule finds goes by its type:
    /// `password` and `secret` by the words of keys, `private-key`, an attribute that was dropped by its marker, and
    /// `budget` for a text that cost too much work.
    pub fn by_rule(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.counts.iter().flat_map(|(kind, rules)| {
            rules
                .iter()
                .map(move |(rule, count)| (rule.as_str(), kind.as_str(), *count))
        })
    }

    /// Texts that were replaced whole because they cost too much work.
    pub fn over_budget(&self) -> u64 {
        let of_type = self.counts.get(BUDGET_TYPE);
        of_type.map_or(0, |rules| rules.values().sum())
    }

    /// Adds the counts of another text.
    pub fn merge(&mut self, other: &Hits) {
        for (rule, kind, count) in other.by_rule() {
            self.add_times(kind, rule, count);
        }
    }

    pub(super) fn add(&mut self, kind: &str, rule: &str) {
        self.add_times(kind, rule, 1);
    }

    fn add_times(&mut self, kind: &str, rule: &str, count: u64) {
        if !self.counts.contains_key(kind) {
            self.counts.insert(kind.to_owned(), BTreeMap::new());
        }
        let rules = self.counts.get_mut(kind).expect("it was just put there");
        match rules.get_mut(rule) {
            Some(sum) => *sum += count,
            None => drop(rules.insert(rule.to_owned(), count)),
        }
    }
}

/// The counts of a process, which outlive a change of rules. Only a text that held something touches them.
#[derive(Debug, Default)]
pub struct Tally(Mutex<Hits>);

impl Tally {
    /// What was taken out since the process began.
    pub fn snapshot(&self) -> Hits {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn add(&self, hits: &Hits) {
        // Counts are whole after a panic too: at worst some of `hits` are missing.
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sums.merge(hits);
    }
}
