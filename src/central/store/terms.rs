//! What stands in the query box: words, `"phrases"`, and qualifiers such as `tool:Bash`, each with a
//! leading `-` to exclude. The fields of a filter are the same qualifiers by another way, so that a page's
//! address, its form and the API mean one thing.
//!
//! Of one qualifier, any value may match; of different qualifiers and of words, all must. What is excluded
//! never matches. An unknown qualifier is an error, not a word: a typing mistake must not look like an
//! empty list.

use std::fmt;

use super::EventFilter;

/// Terms of one query at most.
const MAX_TERMS: usize = 40;

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
    pub const ALL: [Qualifier; 13] = [
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
        }
    }

    fn from_word(word: &str) -> Option<Qualifier> {
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

/// Reads what was typed.
///
/// # Errors
/// [`QueryError`] for an unknown qualifier, one without a value, and for too much.
pub fn parse_query(query: &str) -> Result<Vec<Term>, QueryError> {
    if query.len() > MAX_QUERY {
        let words = format!("The query is longer than {MAX_QUERY} bytes: shorten it.");
        return Err(QueryError(words));
    }
    let mut terms = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let (term, after) = next_term(rest)?;
        terms.extend(term);
        rest = after.trim_start();
    }
    check(&terms)?;
    Ok(terms)
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

    fn fields(&self) -> [(Qualifier, &Option<String>); 13] {
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
        ]
    }
}

/// The next term of a text that does not begin with a space, and what follows it.
fn next_term(text: &str) -> Result<(Option<Term>, &str), QueryError> {
    let unsigned = text.strip_prefix('-');
    let is_excluded = unsigned.is_some_and(|rest| !rest.starts_with(char::is_whitespace))
        && unsigned.is_some_and(|rest| !rest.is_empty());
    let body = if is_excluded { &text[1..] } else { text };
    let (qualifier, body) = qualifier_of(body)?;
    let (value, after) = value_of(body);
    if let (Some(qualifier), true) = (qualifier, value.trim().is_empty()) {
        let word = qualifier.word();
        return Err(QueryError(format!(
            "“{word}:” needs a value right after the colon, such as {word}:{}",
            example(qualifier)
        )));
    }
    let term = (!value.trim().is_empty()).then(|| Term {
        qualifier,
        value: value.trim().to_owned(),
        is_excluded,
    });
    Ok((term, after))
}

/// The qualifier that a text begins with, and what follows its colon. A word and a colon that are no
/// qualifier are a mistake, unless they begin an address such as `https://…`.
fn qualifier_of(text: &str) -> Result<(Option<Qualifier>, &str), QueryError> {
    let Some((word, after)) = text.split_once(':') else {
        return Ok((None, text));
    };
    let is_word = word.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && word
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'));
    if !is_word || after.starts_with("//") {
        return Ok((None, text));
    }
    match Qualifier::from_word(&word.to_ascii_lowercase()) {
        Some(qualifier) => Ok((Some(qualifier), after)),
        None => {
            let known = Qualifier::ALL.map(|it| format!("{}:", it.word())).join(" ");
            Err(QueryError(format!(
                "“{word}:” is no qualifier. There are {known}. To search for it as text, put it in quotes."
            )))
        }
    }
}

/// A quoted or bare value, and what follows it. A quote that nobody closes goes to the end.
fn value_of(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(char::is_whitespace).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => match letters.clone().next() {
                Some((_, next @ ('"' | '\\'))) => {
                    letters.next();
                    value.push(next);
                }
                _ => value.push('\\'),
            },
            letter => value.push(letter),
        }
    }
    (value, "")
}

fn check(terms: &[Term]) -> Result<(), QueryError> {
    if terms.len() > MAX_TERMS {
        let words = format!("A query has {MAX_TERMS} terms at most: take some out.");
        return Err(QueryError(words));
    }
    for term in terms {
        match (term.qualifier, term.value.as_str()) {
            (Some(Qualifier::Has), value) if value != "prompt" => {
                let words = format!("“has:{value}” means nothing. There is has:prompt.");
                return Err(QueryError(words));
            }
            (Some(Qualifier::Decision), value) if !matches!(value, "accept" | "reject") => {
                let words = format!(
                    "“decision:{value}” means nothing. There are decision:accept and decision:reject."
                );
                return Err(QueryError(words));
            }
            _ => {}
        }
    }
    Ok(())
}

fn example(qualifier: Qualifier) -> &'static str {
    match qualifier {
        Qualifier::Agent => "Cowork/ana.silva",
        Qualifier::User => "ana.silva@example.com",
        Qualifier::Type => "tool_invocation",
        Qualifier::Tool => "Bash",
        Qualifier::Mcp => "jira",
        Qualifier::Model => "claude-opus-4-8",
        Qualifier::Decision => "reject",
        Qualifier::Source => "user_reject",
        Qualifier::Session => "its id",
        Qualifier::Dir => "\"/home/ana/a project\"",
        Qualifier::Version => "2.1.197",
        Qualifier::Machine => "laptop-7",
        Qualifier::Has => "prompt",
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
            values in proptest::collection::vec(("[^\\s].{0,20}", 0..14_usize, any::<bool>()), 0..6)
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
