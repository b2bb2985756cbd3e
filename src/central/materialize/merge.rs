//! The ways in which two parts of the truth become one, whatever the order: minima, maxima, sums, the
//! latest value, runs of numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::{Activity, Facts, Timestamp};

/// The first and the last time something was seen, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// A minimum.
    pub first: i64,
    /// A maximum.
    pub last: i64,
}

impl Seen {
    /// Seen once.
    pub(super) fn at(time: Timestamp) -> Seen {
        Seen {
            first: time.0,
            last: time.0,
        }
    }

    pub(super) fn merge(&mut self, other: Seen) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// The value of the latest event that has one; of two at one time, the greater.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Latest {
    /// Time of that event; -1 when there is none.
    pub at: i64,
    /// The value; empty when there is none.
    pub value: String,
}

impl Default for Latest {
    fn default() -> Latest {
        Latest {
            at: -1,
            value: String::new(),
        }
    }
}

impl Latest {
    pub(super) fn add(&mut self, time: Timestamp, value: Option<&String>) {
        if let Some(value) = value
            && (time.0, value) > (self.at, &self.value)
        {
            self.at = time.0;
            self.value.clone_from(value);
        }
    }

    pub(super) fn merge(&mut self, other: Latest) {
        if other > *self {
            *self = other;
        }
    }
}

/// Adds to a sum, which stays at its greatest when it is full, as it does in the store.
pub(super) fn add_to(sum: &mut i64, more: i64) {
    *sum = sum.saturating_add(more);
}

/// Sums over events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Events.
    pub events: i64,
    /// Tool results.
    pub tools: i64,
    /// Permissions refused.
    pub denied: i64,
    /// Failures.
    pub errors: i64,
    /// Model requests.
    pub requests: i64,
    /// Tokens sent, written, read from the cache, written to the cache.
    pub tokens: [i64; 4],
    /// Cost in millionths of a dollar.
    pub cost_micros: i64,
    /// Secrets taken out.
    pub redactions: i64,
}

impl Counts {
    /// What one event counts for.
    pub(super) fn of(facts: &Facts) -> Counts {
        let is_request = facts.name == "api_request";
        let tokens = [
            facts.input_tokens,
            facts.output_tokens,
            facts.cache_read_tokens,
            facts.cache_creation_tokens,
        ];
        Counts {
            events: 1,
            tools: i64::from(facts.activity == Activity::ToolInvocation),
            denied: i64::from(facts.is_denial()),
            errors: i64::from(facts.is_error()),
            requests: i64::from(is_request),
            tokens: tokens.map(|count| count.filter(|_| is_request).unwrap_or(0)),
            cost_micros: facts.cost_micros.unwrap_or(0),
            redactions: facts.redactions,
        }
    }

    pub(super) fn merge(&mut self, other: &Counts) {
        add_to(&mut self.events, other.events);
        add_to(&mut self.tools, other.tools);
        add_to(&mut self.denied, other.denied);
        add_to(&mut self.errors, other.errors);
        add_to(&mut self.requests, other.requests);
        for (sum, tokens) in self.tokens.iter_mut().zip(other.tokens) {
            add_to(sum, tokens);
        }
        add_to(&mut self.cost_micros, other.cost_micros);
        add_to(&mut self.redactions, other.redactions);
    }
}

/// A set of numbers as contiguous runs: first and last of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs(BTreeMap<i64, i64>);

impl Runs {
    /// The runs, in order; no two meet or touch.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|(first, last)| (*first, *last))
    }

    /// Whether there is no number in the set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the numbers from `first` to `last`, and unites the runs that meet or touch them.
    pub fn add(&mut self, mut first: i64, mut last: i64) {
        // The usual case: a number after the latest one.
        if let Some(mut entry) = self.0.last_entry()
            && *entry.key() <= first
            && first <= entry.get().saturating_add(1)
        {
            *entry.get_mut() = last.max(*entry.get());
            return;
        }
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back()
            && end >= first.saturating_sub(1)
        {
            first = first.min(start);
            last = last.max(end);
            self.0.remove(&start);
        }
        self.0.insert(first, last);
    }

    pub(super) fn merge(&mut self, other: &Runs) {
        for (first, last) in other.iter() {
            self.add(first, last);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]

        #[test]
        fn runs_are_the_set_of_their_numbers(added in proptest::collection::vec((0_i64..60, 0_i64..6), 0..40)) {
            let mut runs = Runs::default();
            let mut set = BTreeSet::new();
            for (first, more) in added {
                runs.add(first, first + more);
                set.extend(first..=first + more);
            }
            let numbers: BTreeSet<i64> = runs.iter().flat_map(|(first, last)| first..=last).collect();
            prop_assert_eq!(numbers, set);
            let pairs: Vec<_> = runs.iter().collect();
            prop_assert!(pairs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        }
    }
}
