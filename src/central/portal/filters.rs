//! The state of a list of events or sessions: read from the address, shown in a form and as chips, and
//! written into every link. Nothing in it is ever ignored: what cannot be read is said.
//!
//! One state has one address. Whatever way a filter comes (a field of the address, the query box, a facet),
//! it ends as a term of `q`, apart from activity type and times, which have fields of their own.

use crate::central::store::{EventFilter, Qualifier, QueryError, Term, query_of};
use crate::event::{Activity, Timestamp};

use super::address::with_query;
use super::failure::Failure;
use super::layout::Layout;
use super::text::visible;

pub(super) use choices::{Chip, Choice, title_of};
pub(super) use range::{Range, as_field, time};

mod range;
mod choices;

/// What an address says.
#[derive(Clone, Debug, Default)]
pub(super) struct Filters {
    /// The query as typed, or in its one form when it can be read.
    pub(super) q: String,
    pub(super) terms: Vec<Term>,
    /// Activity type, or an event's name.
    pub(super) kind: String,
    pub(super) range: Range,
    /// Where the page begins.
    pub(super) cursor: String,
    /// Whether the page ends at the cursor instead.
    pub(super) goes_newer: bool,
    /// The record that is open beside the list.
    pub(super) event: String,
    pub(super) tab: String,
    /// How the rows look, as far as the address says it.
    pub(super) layout: Layout,
    /// What is wrong with the address.
    pub(super) problem: Option<String>,
}

impl Filters {
    /// Reads the pairs of an address.
    ///
    /// # Errors
    /// When a field that can hold one value stands there twice.
    pub(super) fn read(pairs: Vec<(String, String)>) -> Result<Filters, Failure> {
        let mut filters = Filters::default();
        let mut typed = EventFilter::default();
        let (mut from, mut to) = (String::new(), String::new());
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in pairs {
            let value = value.trim().to_owned();
            if seen.contains(&key) {
                return Err(Failure::BadRequest(
                    "A filter in this address stands there twice or cannot be read.",
                ));
            }
            let field = match key.as_str() {
                "q" => &mut typed.q,
                "agent" => &mut typed.agent,
                "user" => &mut typed.user,
                "tool" => &mut typed.tool,
                "mcp" => &mut typed.mcp,
                "model" => &mut typed.model,
                "decision" => &mut typed.decision,
                "source" => &mut typed.source,
                "session" => &mut typed.session,
                "dir" => &mut typed.dir,
                "version" => &mut typed.version,
                "machine" => &mut typed.machine,
                "has" => &mut typed.has,
                "text" => &mut typed.text,
                _ => {
                    match key.as_str() {
                        "type" => filters.kind.clone_from(&value),
                        "range" => match Range::named(&value) {
                            Some(range) => filters.range = range,
                            None => filters.problem = Some(Range::unknown(&value)),
                        },
                        "from" => from.clone_from(&value),
                        "to" => to.clone_from(&value),
                        "cursor" => filters.cursor.clone_from(&value),
                        "newer" => filters.goes_newer = value == "1",
                        "event" => filters.event.clone_from(&value),
                        "tab" => filters.tab.clone_from(&value),
                        key if Layout::KEYS.contains(&key) => {
                            let read = filters.layout.read(key, &value);
                            filters.problem = read.err().or(filters.problem.take());
                        }
                        key => filters.problem = Some(no_filter(key)),
                    }
                    seen.push(key);
                    continue;
                }
            };
            *field = Some(value);
            seen.push(key);
        }
        filters.read_times(&from, &to);
        filters.read_terms(&typed);
        Ok(filters)
    }

    /// Everything of a range until now, by its name.
    pub(super) fn last(range: &str) -> Filters {
        Filters {
            range: Range::named(range).unwrap_or_default(),
            ..Filters::default()
        }
    }

    fn read_times(&mut self, from: &str, to: &str) {
        if from.is_empty() && to.is_empty() {
            return;
        }
        match (time("From", from), time("Until", to)) {
            (Ok(from), Ok(to)) => self.range = Range::Between(from, to),
            (Err(problem), _) | (_, Err(problem)) => self.problem = Some(problem),
        }
    }

    fn read_terms(&mut self, typed: &EventFilter) {
        match typed.terms() {
            Ok(terms) => {
                let mut terms = terms;
                // One activity type alone is the field's; more, or excluded ones, are terms.
                let is_type =
                    |term: &Term| term.qualifier == Some(Qualifier::Type) && !term.is_excluded;
                if self.kind.is_empty() && terms.iter().filter(|term| is_type(term)).count() == 1 {
                    let place = terms.iter().position(is_type).unwrap_or_default();
                    self.kind = terms.remove(place).value;
                }
                self.q = query_of(&terms);
                self.terms = terms;
            }
            Err(QueryError(problem)) => {
                self.q = typed.q.clone().unwrap_or_default();
                self.problem = Some(problem);
            }
        }
    }

    /// Whether sessions are listed instead of events.
    pub(super) fn wants_sessions(&self) -> bool {
        self.kind == Activity::Session.slug()
    }

    /// For the store, at the time `now`.
    pub(super) fn for_store(&self, now: Timestamp) -> EventFilter {
        let (from, to) = self.range.bounds(now);
        EventFilter {
            q: Some(self.q.clone()),
            kind: Some(self.kind.clone()).filter(|kind| !kind.is_empty()),
            from,
            to,
            ..EventFilter::default()
        }
    }

    /// This state with one more term, which takes the place of others of its kind when it must match.
    pub(super) fn with_term(&self, term: Term) -> Filters {
        let mut filters = self.first_page();
        filters.terms.retain(|other| {
            let is_opposite = other.qualifier == term.qualifier && other.value == term.value;
            let is_replaced = !term.is_excluded
                && !other.is_excluded
                && other.qualifier == term.qualifier
                && term.qualifier.is_some();
            !is_opposite && !is_replaced
        });
        let is_type = term.qualifier == Some(Qualifier::Type) && !term.is_excluded;
        if is_type {
            filters.kind = term.value;
        } else {
            filters.terms.push(term);
        }
        filters
    }

    /// This state between two times.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> Filters {
        Filters {
            range: Range::Between(Some(from), Some(to)),
            ..self.first_page()
        }
    }

    /// This state from the list's beginning, with no record open.
    pub(super) fn first_page(&self) -> Filters {
        Filters {
            cursor: String::new(),
            goes_newer: false,
            event: String::new(),
            tab: String::new(),
            ..self.clone()
        }
    }

    /// This state with a record open, on a tab of it.
    pub(super) fn opened(&self, event: &str, tab: &str) -> Filters {
        Filters {
            event: event.to_owned(),
            tab: tab.to_owned(),
            ..self.clone()
        }
    }

    /// The pairs that say this state.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let q = match self.problem {
            Some(_) => self.q.clone(),
            None => query_of(&self.terms),
        };
        let mut pairs = vec![("type", self.kind.clone()), ("q", q)];
        match &self.range {
            Range::All => {}
            Range::Live => pairs.push(("range", "live".to_owned())),
            Range::Last(name) => pairs.push(("range", (*name).to_owned())),
            Range::Between(from, to) => {
                let text =
                    |time: &Option<Timestamp>| time.map_or(String::new(), |it| it.to_string());
                pairs.push(("from", text(from)));
                pairs.push(("to", text(to)));
            }
        }
        pairs.extend(self.layout.pairs());
        pairs.push(("cursor", self.cursor.clone()));
        let newer = self.goes_newer && !self.cursor.is_empty();
        pairs.push(("newer", if newer { "1" } else { "" }.to_owned()));
        pairs.push(("event", self.event.clone()));
        pairs.push(("tab", self.tab.clone()));
        pairs.retain(|(_, value)| !value.is_empty());
        pairs
    }

    /// This state's address.
    pub(super) fn address(&self, path: &str) -> String {
        with_query(path, &self.pairs())
    }

    /// From and until as fields of kind datetime-local want them, in the page's zone.
    pub(super) fn field_times(&self) -> (String, String) {
        match self.range {
            Range::Between(from, to) => (as_field(from), as_field(to)),
            _ => (String::new(), String::new()),
        }
    }

    /// Without terms of one kind: the page has its own.
    pub(super) fn without(&self, qualifier: Qualifier) -> Filters {
        let mut filters = self.clone();
        filters
            .terms
            .retain(|other| other.qualifier != Some(qualifier));
        if filters.problem.is_none() {
            filters.q = query_of(&filters.terms);
        }
        filters
    }
}

/// What is said of a parameter that nobody knows: a list that leaves it out would look narrowed.
pub(super) fn no_filter(key: &str) -> String {
    format!(
        "“{}” is no filter of this list: remove it from the address.",
        visible(key)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Filters {
        let pairs = query
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Filters::read(pairs.collect()).expect("no field stands there twice")
    }

    #[test]
    fn one_state_has_one_address_whatever_way_it_came() {
        let by_field = read(&[("tool", "Bash"), ("type", "tool_invocation")]);
        let by_query = read(&[("q", "type:tool_invocation tool:Bash")]);
        let by_facet = Filters::default()
            .with_term(Term::new(Qualifier::Type, "tool_invocation"))
            .with_term(Term::new(Qualifier::Tool, "Read"))
            .with_term(Term::new(Qualifier::Tool, "Bash"));
        for filters in [by_field, by_query, by_facet] {
            assert_eq!(
                filters.address("/o"),
                "/o?type=tool_invocation&q=tool%3ABash"
            );
        }
    }

    #[test]
    fn times_are_those_of_the_zone_in_every_form() {
        for value in [
            "2026-11-22T14:03:00Z",
            "2026-11-22T14:03",
            "2026-11-22T14:03:00",
            "2026-11-22T15:03:00+01:00",
        ] {
            let (from, _) = read(&[("from", value)]).range.bounds(Timestamp(0));
            assert_eq!(from.expect(value).to_string(), "2026-11-22T14:03:00Z");
        }
        let problem = read(&[("from", "yesterday")]).problem.expect("a problem");
        assert!(problem.contains("From is no time"), "{problem}");
    }

    #[test]
    fn each_chip_leads_to_the_state_without_it() {
        let filters = read(&[
            ("type", "tool_invocation"),
            ("q", "\"a&b c\" -tool:Read"),
            ("range", "24h"),
        ]);
        let without: Vec<String> = filters
            .chips("/o")
            .into_iter()
            .map(|chip| chip.without)
            .collect();
        assert_eq!(without[0], "/o?q=%22a%26b%20c%22%20-tool%3ARead&range=24h");
        assert_eq!(
            without[1],
            "/o?type=tool_invocation&q=-tool%3ARead&range=24h"
        );
        assert_eq!(
            without[3],
            "/o?type=tool_invocation&q=%22a%26b%20c%22%20-tool%3ARead"
        );
    }

    #[test]
    fn what_is_no_parameter_or_no_value_of_one_is_said() {
        for (key, value, words) in [
            ("tol", "Bash", "“tol” is no filter"),
            ("range", "2h", "“2h” is no range"),
            ("columns", "color", "“color” is no column"),
            ("rows", "xl", "“xl” is nothing that rows="),
        ] {
            let problem = read(&[(key, value), ("wrap", "1")]).problem;
            let problem = problem.unwrap_or_default();
            assert!(problem.contains(words), "{key}={value}: {problem}");
        }
        let emptied = read(&[("range", ""), ("columns", ""), ("rows", ""), ("wrap", "")]);
        assert_eq!(emptied.problem, None);
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_was_typed() {
        let filters = read(&[("q", "toll:Bash")]);
        assert!(filters.problem.is_some());
        assert_eq!(filters.q, "toll:Bash");
    }
}
