//! What stands in the query box: words, `"phrases"`, and qualifiers such as `tool:Bash`, each with a
//! leading `-` to exclude. The fields of a filter are the same qualifiers by another way, so that a page's
//! address, its form and the API mean one thing.
//!
//! Of one qualifier, any value may match; of different qualifiers, of words and of `text:`, all must. What is excluded
//! never matches. An unknown qualifier is an error, not a word: a typing mistake must not look like an
//! empty list.

mod parse;

use std::fmt;

pub use parse::parse_query;

use parse::check;

use super::EventFilter;

/// The longest query, in bytes.
pub const MAX_QUERY: usize = 2_000;

/// What a term can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Qualifier {
    /// An agent's id, name or e-mail.
    Agent,
    /// A person: an e-mail, or any identity that an agent's records carried.
    User,
    /// An activity type, or an event's name.
    Type,
    /// A tool or MCP tool, by name.
    Tool,
    /// An MCP server, by name.
    Mcp,
    /// A model, by name.
    Model,
    /// `accept` or `reject`.
    Decision,
    /// Who decided: `config`, `hook`, `user_reject`, …
    Source,
    /// `session.id`.
    Session,
    /// A working directory of the event's session.
    Dir,
    /// The client's version.
    Version,
    /// A machine, by host name or by its edge's id.
    Machine,
    /// `prompt`: events that carry a prompt's text.
    Has,
    /// Characters anywhere in the text, within words, too.
    Text,
}

/// One term of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it is about; `None` for text.
    pub qualifier: Option<Qualifier>,
    /// The value, without quotes.
    pub value: String,
    /// Whether events that match are left out.
    pub is_excluded: bool,
}

/// Why a query cannot be read, in words for whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QueryError(pub String);

impl Qualifier {
    /// All of them, in the order in which help names them.
    pub const ALL: [Qualifier; 14] = [
        Qualifier::Agent,
        Qualifier::User,
        Qualifier::Type,
        Qualifier::Tool,
        Qualifier::Mcp,
        Qualifier::Model,
        Qualifier::Decision,
        Qualifier::Source,
        Qualifier::Session,
        Qualifier::Dir,
        Qualifier::Version,
        Qualifier::Machine,
        Qualifier::Has,
        Qualifier::Text,
    ];

    /// The word before the colon, and the name of the parameter.
    pub fn word(self) -> &'static str {
        match self {
            Qualifier::Agent => "agent",
            Qualifier::User => "user",
            Qualifier::Type => "type",
            Qualifier::Tool => "tool",
            Qualifier::Mcp => "mcp",
            Qualifier::Model => "model",
            Qualifier::Decision => "decision",
            Qualifier::Source => "source",
            Qualifier::Session => "session",
            Qualifier::Dir => "dir",
            Qualifier::Version => "version",
            Qualifier::Machine => "machine",
            Qualifier::Has => "has",
            Qualifier::Text => "text",
        }
    }

    /// The qualifier of a word.
    pub fn from_word(word: &str) -> Option<Qualifier> {
        Qualifier::ALL.into_iter().find(|it| it.word() == word)
    }
}

impl Term {
    /// A term that must match.
    pub fn new(qualifier: Qualifier, value: impl Into<String>) -> Term {
        Term {
            qualifier: Some(qualifier),
            value: value.into(),
            is_excluded: false,
        }
    }

    /// The same term the other way round.
    #[must_use]
    pub fn excluded(self) -> Term {
        Term {
            is_excluded: true,
            ..self
        }
    }
}

impl fmt::Display for Term {
    /// As it is typed.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_excluded {
            formatter.write_str("-")?;
        }
        if let Some(qualifier) = self.qualifier {
            write!(formatter, "{}:", qualifier.word())?;
        }
        let is_text = self.qualifier.is_none();
        // A bare value that begins like an address would be read as text.
        let looks_like_more = match is_text {
            true => self.value.contains(':') || self.value.starts_with('-'),
            false => self.value.starts_with("//"),
        };
        let has_space = self.value.chars().any(char::is_whitespace);
        if looks_like_more || has_space || self.value.contains('"') || self.value.is_empty() {
            let escaped = self.value.replace('\\', "\\\\").replace('"', "\\\"");
            write!(formatter, "\"{escaped}\"")
        } else {
            formatter.write_str(&self.value)
        }
    }
}

/// Terms as one query that reads back as the same terms.
pub fn query_of(terms: &[Term]) -> String {
    let terms = terms.iter().map(ToString::to_string);
    terms.collect::<Vec<_>>().join(" ")
}

impl EventFilter {
    /// Everything that this filter asks for but its times, whether it stands in `q` or in a field of its own.
    ///
    /// # Errors
    /// [`QueryError`]
    pub fn terms(&self) -> Result<Vec<Term>, QueryError> {
        let mut terms = parse_query(self.q.as_deref().unwrap_or_default())?;
        for (qualifier, value) in self.fields() {
            let value = value.as_deref().map(str::trim).unwrap_or_default();
            let term = Term::new(qualifier, value);
            if !value.is_empty() && !terms.contains(&term) {
                terms.push(term);
            }
        }
        check(&terms)?;
        Ok(terms)
    }

    fn fields(&self) -> [(Qualifier, &Option<String>); 14] {
        [
            (Qualifier::Agent, &self.agent),
            (Qualifier::User, &self.user),
            (Qualifier::Type, &self.kind),
            (Qualifier::Tool, &self.tool),
            (Qualifier::Mcp, &self.mcp),
            (Qualifier::Model, &self.model),
            (Qualifier::Decision, &self.decision),
            (Qualifier::Source, &self.source),
            (Qualifier::Session, &self.session),
            (Qualifier::Dir, &self.dir),
            (Qualifier::Version, &self.version),
            (Qualifier::Machine, &self.machine),
            (Qualifier::Has, &self.has),
            (Qualifier::Text, &self.text),
        ]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: &str) -> Term {
        Term {
            qualifier: None,
            value: value.to_owned(),
            is_excluded: false,
        }
    }

    #[test]
    fn reads_words_phrases_qualifiers_and_exclusions() {
        let terms = parse_query("tool:Bash -type:error \"git push\" rm -\"-rf\" DIR:\"/a b\"");
        assert_eq!(
            terms.unwrap(),
            [
                Term::new(Qualifier::Tool, "Bash"),
                Term::new(Qualifier::Type, "error").excluded(),
                text("git push"),
                text("rm"),
                text("-rf").excluded(),
                Term::new(Qualifier::Dir, "/a b"),
            ]
        );
        assert_eq!(
            parse_query("- a -").unwrap(),
            [text("-"), text("a"), text("-")]
        );
        assert_eq!(
            parse_query("https://example.com/x 12:30 \"toll:Bash\"").unwrap(),
            [
                text("https://example.com/x"),
                text("12:30"),
                text("toll:Bash")
            ]
        );
        assert_eq!(
            parse_query("\"never closed").unwrap(),
            [text("never closed")]
        );
    }

    #[test]
    fn a_mistake_is_said_and_what_to_do() {
        let said = |query: &str| parse_query(query).unwrap_err().0;
        assert!(
            said("toll:Bash").contains("“toll:” is no qualifier. There are agent: user: type:")
        );
        assert!(said("tool: Bash").contains("needs a value right after the colon"));
        assert!(said("decision:deny").contains("decision:reject"));
        assert!(said("has:response").contains("has:prompt"));
        assert!(said(&"a ".repeat(41)).contains("40 terms"));
        assert!(said(&"a".repeat(2_001)).contains("shorten"));
    }

    #[test]
    fn fields_and_query_mean_the_same() {
        let filter = EventFilter {
            tool: Some(" Bash ".to_owned()),
            q: Some("tool:Bash rm".to_owned()),
            ..EventFilter::default()
        };
        let terms = filter.terms().unwrap();
        assert_eq!(terms, [Term::new(Qualifier::Tool, "Bash"), text("rm")]);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(
            values in proptest::collection::vec(("[^\\s].{0,20}", 0..15_usize, any::<bool>()), 0..6)
        ) {
            let terms: Vec<Term> = values
                .into_iter()
                .map(|(value, qualifier, is_excluded)| Term {
                    qualifier: Qualifier::ALL.get(qualifier).copied()
                        .filter(|it| !matches!(it, Qualifier::Has | Qualifier::Decision)),
                    value: value.trim().to_owned(),
                    is_excluded,
                })
                .filter(|term| !term.value.is_empty())
                .collect();
            prop_assert_eq!(parse_query(&query_of(&terms)).unwrap(), terms);
        }
    }
}
