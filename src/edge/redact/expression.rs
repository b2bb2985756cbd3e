//! The expression of a rule: compiled when it is first needed, since most rules never meet their keyword.
//!
//! `<quote>` stands for an optional quote and `<space>` for a blank, both at any depth of escapes. A class that holds
//! `/`, `+` or `=` takes their escapes too.
use std::{ops::Range, sync::OnceLock};

use regex_automata::{
    Anchored, Input,
    meta::{self, Regex},
    util::syntax,
};

/// Memory that the searches of one expression may keep on each thread that runs them; it would be 2 MB, which a few
/// dozen rules in use make too much for a daemon.
const SEARCH_BYTES: usize = 256 << 10;

/// An expression, as it is written and as it is compiled.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    written: String,
    compiled: OnceLock<Regex>,
}

/// Why an expression cannot be used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It does not compile.
    Syntax(String),
    /// Nothing in it says what to cut.
    NoGroup,
}

impl Expression {
    /// Nothing is compiled yet.
    pub(super) fn new(written: String) -> Self {
        Self {
            written,
            compiled: OnceLock::new(),
        }
    }

    /// Compiles it now.
    pub(super) fn compile(&self) -> Result<(), Fault> {
        if self.compiled.get().is_none() {
            // Two threads that compile at once come to the same.
            let _ = self.compiled.set(compile(&self.written)?);
        }
        Ok(())
    }

    /// Whether it goes on after a blank; others end where their token does.
    pub(super) fn crosses_blanks(&self) -> bool {
        [" ", "[^", r"\s", "<space>"]
            .iter()
            .any(|sign| self.written.contains(sign))
    }

    /// The first group of a match that begins where `span` does.
    pub(super) fn group(&self, text: &[u8], span: Range<usize>) -> Option<Range<usize>> {
        let regex = self.compiled.get_or_init(|| {
            compile(&self.written)
                .expect("a test compiles the built-in rules, and loading those of the user's files")
        });
        let input = Input::new(text).span(span).anchored(Anchored::Yes);
        let mut captures = regex.create_captures();
        regex.search_captures(&input, &mut captures);
        captures.get_group(1).map(Into::into)
    }
}

fn compile(written: &str) -> Result<Regex, Fault> {
    let expression = tolerant(written)
        .replace("<quote>", r#"(?:\\*["'`])?"#)
        .replace("<space>", r"(?:\s|\\+[nrt])");
    let regex = Regex::builder()
        .syntax(syntax::Config::new().unicode(false).utf8(false))
        .configure(
            meta::Config::new()
                .utf8_empty(false)
                // It would serve only searches that are not anchored.
                .auto_prefilter(false)
                // Each takes long to build, and no rule runs often enough to gain by it.
                .onepass(false)
                .dfa(false)
                .hybrid_cache_capacity(SEARCH_BYTES)
                .nfa_size_limit(Some(4 << 20)),
        )
        .build(&expression)
        .map_err(|error| Fault::Syntax(reason(&error)))?;
    if regex.captures_len() < 2 {
        return Err(Fault::NoGroup);
    }
    Ok(regex)
}

/// The expression with each class that holds `/`, `+` or `=` taking their escapes too, as one character: some encoders
/// write `\/`, `\u002b` and `\u003d` for them, at any depth of strings.
fn tolerant(expression: &str) -> String {
    const ESCAPES: [(char, &str); 3] = [('/', "/|u002[fF]"), ('+', "u002[bB]"), ('=', "u003[dD]")];
    let mut result = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(start) = rest.find(['[', '\\']) {
        result.push_str(&rest[..start]);
        let token = &rest[start..];
        let class = token
            .starts_with('[')
            .then(|| token[1..].find(']'))
            .flatten();
        let length = class.map_or(2, |end| end + 2).min(token.len());
        let (class, after) = token.split_at_checked(length).unwrap_or((token, ""));
        let escapes: Vec<&str> = ESCAPES
            .iter()
            .filter(|(sign, _)| class[1..].contains(*sign))
            .map(|(_, escape)| *escape)
            .collect();
        // A class that excludes says where something ends; one with a backslash takes escapes already.
        if escapes.is_empty()
            || class.starts_with('\\')
            || class.starts_with("[^")
            || class.contains('\\')
        {
            result.push_str(class);
        } else {
            result.push_str(&format!(r"(?:{class}|\\+(?:{}))", escapes.join("|")));
        }
        rest = after;
    }
    result.push_str(rest);
    result
}

/// The innermost reason; the outer ones only say that building failed.
fn reason(error: &meta::BuildError) -> String {
    match error.syntax_error() {
        Some(syntax) => syntax.to_string(),
        None => error.to_string(),
    }
}
