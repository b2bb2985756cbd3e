//! From the text of a query to its terms.

use super::{MAX_QUERY, Qualifier, QueryError, Term};

/// Terms of one query at most.
const MAX_TERMS: usize = 40;

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

pub(super) fn check(terms: &[Term]) -> Result<(), QueryError> {
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
        Qualifier::Text => "ploy",
    }
}
