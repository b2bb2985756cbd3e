//! Rules as data: reads `rules.toml`, compiles it, and refuses what cannot work, with the reason.
//!
//! A rule names the keywords at which it is tried and an expression that must match right there. What its first
//! capture group holds is cut, and nothing else. Two kinds:
//!
//! - `at = "token"` (the default): the expression begins at the keyword, or `back` bytes before it. The neighbors of
//!   the secret must not be letters or digits, unless `edges = "any"`.
//! - `at = "value"`: the keyword is part of a key, and the expression must match the key's whole value.
//!
//! `<quote>` in an expression stands for an optional quote and `<space>` for a blank, both at any depth of escapes.
//! `{+}` in an example is nothing: it keeps the example from looking like a secret to those who scan this source.
use std::ops::Range;

use regex_automata::{
    Anchored, Input,
    meta::{self, Regex},
    util::syntax,
};
use serde::Deserialize;

use super::values::{KeyWords, entropy};

/// The rules that fieldpost brings along.
pub(super) const BUILTIN: &str = include_str!("rules.toml");

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the messages")]
pub enum RuleError {
    /// The file is not TOML, or has keys that rules do not know.
    #[error("the rules are not valid TOML: {0}")]
    Toml(#[from] toml::de::Error),
    /// A rule without a keyword.
    #[error("rule {rule}: no keyword; without one it would be tried at every byte")]
    NoKeyword { rule: String },
    /// A keyword that would be found everywhere, or cannot be found without regard to case.
    #[error("rule {rule}: keyword {keyword:?} is shorter than two bytes or not ASCII")]
    Keyword { rule: String, keyword: String },
    /// An expression that does not compile.
    #[error("rule {rule}: {reason}")]
    Expression { rule: String, reason: String },
    /// An expression without a capture group.
    #[error("rule {rule}: the expression has no capture group, so nothing says what to cut")]
    NoGroup { rule: String },
    /// A type that could not stand in a placeholder.
    #[error("rule {rule}: type {kind:?} may hold only lower-case letters, digits and hyphens")]
    Type { rule: String, kind: String },
    /// A rule that does not find its own example, or cuts more than the secret.
    #[error(
        "rule {rule}: example {number} is not found, or a quote, backslash or blank would be cut with it"
    )]
    Example { rule: String, number: usize },
    /// A rule that nobody could check.
    #[error("rule {rule}: it needs an example and a counter-example")]
    Undocumented { rule: String },
    /// A rule that finds what it should leave alone.
    #[error("rule {rule}: counter-example {number} is found")]
    CounterExample { rule: String, number: usize },
    /// Too many keywords for one automaton.
    #[error("the keywords cannot be compiled: {0}")]
    Keywords(#[from] aho_corasick::BuildError),
}

/// A file of rules.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    #[serde(default)]
    pub(super) keys: KeyWords,
    #[serde(default)]
    rule: Vec<RuleText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    id: String,
    /// What the placeholder says; the id, unless given.
    r#type: Option<String>,
    #[serde(default)]
    at: At,
    keywords: Vec<String>,
    regex: String,
    #[serde(default)]
    back: usize,
    #[serde(default = "default_max_len")]
    max_len: usize,
    #[serde(default)]
    min_entropy: f32,
    #[serde(default)]
    digit: bool,
    #[serde(default)]
    edges: Edges,
    /// Yields to any rule that knows the format.
    #[serde(default)]
    generic: bool,
    #[serde(default)]
    examples: Vec<String>,
    #[serde(default)]
    non_examples: Vec<String>,
}

fn default_max_len() -> usize {
    512
}

/// Where the expression of a rule begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum At {
    #[default]
    Token,
    Value,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Edges {
    #[default]
    Word,
    Any,
}

/// A rule, ready to be tried.
/// Memory for the fastest kind of search, for each rule.
const ONE_PASS_BYTES: usize = 64 << 10;

#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) kind: String,
    pub(super) at: At,
    pub(super) keywords: Vec<String>,
    pub(super) generic: bool,
    /// How far one try may look.
    pub(super) max_len: usize,
    back: usize,
    min_entropy: f32,
    digit: bool,
    edges: Edges,
    regex: Regex,
    examples: Vec<String>,
    non_examples: Vec<String>,
}

impl RuleFile {
    pub(super) fn parse(text: &str) -> Result<Self, RuleError> {
        Ok(toml::from_str(text)?)
    }

    /// Compiles every rule; the first that cannot work is the error.
    pub(super) fn compile(self) -> Result<(KeyWords, Vec<Rule>), RuleError> {
        let rules = self
            .rule
            .into_iter()
            .map(Rule::compile)
            .collect::<Result<_, _>>()?;
        Ok((self.keys, rules))
    }
}

impl Rule {
    fn compile(text: RuleText) -> Result<Self, RuleError> {
        let rule = || text.id.clone();
        if text.keywords.is_empty() {
            return Err(RuleError::NoKeyword { rule: rule() });
        }
        if let Some(keyword) = text
            .keywords
            .iter()
            .find(|keyword| keyword.len() < 2 || !keyword.is_ascii())
        {
            return Err(RuleError::Keyword {
                rule: rule(),
                keyword: keyword.clone(),
            });
        }
        let kind = text.r#type.clone().unwrap_or_else(|| text.id.clone());
        if kind.is_empty()
            || !kind
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            return Err(RuleError::Type { rule: rule(), kind });
        }
        let expression = text
            .regex
            .replace("<quote>", r#"(?:\\*["'`])?"#)
            .replace("<space>", r"(?:\s|\\+[nrt])");
        let regex = Regex::builder()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(
                meta::Config::new()
                    .utf8_empty(false)
                    .nfa_size_limit(Some(4 << 20))
                    // A rule that counts to hundreds would take half a megabyte for it.
                    .onepass_size_limit(Some(ONE_PASS_BYTES)),
            )
            .build(&expression)
            .map_err(|error| RuleError::Expression {
                rule: rule(),
                reason: reason(&error),
            })?;
        if regex.captures_len() < 2 {
            return Err(RuleError::NoGroup { rule: rule() });
        }
        Ok(Self {
            id: text.id,
            kind,
            at: text.at,
            keywords: text.keywords,
            generic: text.generic,
            max_len: text.max_len,
            back: text.back,
            min_entropy: text.min_entropy,
            digit: text.digit,
            edges: text.edges,
            regex,
            examples: text.examples,
            non_examples: text.non_examples,
        })
    }

    /// Tries the rule at a keyword that was found at `hit`; the span of the secret.
    pub(super) fn at_keyword(&self, text: &[u8], hit: usize) -> Option<Range<usize>> {
        let start = hit.checked_sub(self.back)?;
        let span = start..text.len().min(start + self.max_len);
        let secret = self.group(text, span)?;
        (self.edges == Edges::Any || has_edges(text, &secret)).then_some(secret)
    }

    /// Whether the neighbor of the place where the secret would begin lets it begin there; cheap, to be asked first.
    pub(super) fn may_begin(&self, text: &[u8], hit: usize) -> bool {
        self.edges == Edges::Any
            || hit
                .checked_sub(self.back)
                .is_some_and(|start| begins(text, start))
    }

    /// Tries the rule on the whole value of a key.
    pub(super) fn at_value(&self, text: &[u8], value: Range<usize>) -> Option<Range<usize>> {
        let secret = self.group(text, value.clone())?;
        (secret.end == value.end || !is_word(text[secret.end])).then_some(secret)
    }

    fn group(&self, text: &[u8], span: Range<usize>) -> Option<Range<usize>> {
        let input = Input::new(text).span(span).anchored(Anchored::Yes);
        let mut captures = self.regex.create_captures();
        self.regex.search_captures(&input, &mut captures);
        let secret: Range<usize> = captures.get_group(1)?.into();
        let bytes = &text[secret.clone()];
        let informative = self.min_entropy <= 0.0 || entropy(bytes) >= self.min_entropy;
        (!bytes.is_empty() && informative && (!self.digit || bytes.iter().any(u8::is_ascii_digit)))
            .then_some(secret)
    }

    /// Checks the rule on its own examples; `find` redacts a text and says which types were found in it.
    pub(super) fn check(
        &self,
        find: impl Fn(&str) -> Vec<(Range<usize>, String)>,
    ) -> Result<(), RuleError> {
        if self.examples.is_empty() || self.non_examples.is_empty() {
            return Err(RuleError::Undocumented {
                rule: self.id.clone(),
            });
        }
        let plain = |example: &String| example.replace("{+}", "");
        let found = |text: &str| {
            find(text)
                .into_iter()
                .filter(|(_, kind)| *kind == self.kind)
                .map(|(span, _)| span)
                .collect::<Vec<_>>()
        };
        for (number, example) in self.examples.iter().map(plain).enumerate() {
            let clean = |span: &Range<usize>| {
                let bytes = example[span.clone()].as_bytes();
                let outside = |b: &u8| b"\"'`\\".contains(b) || b.is_ascii_whitespace();
                !bytes.first().is_none_or(outside) && !bytes.last().is_none_or(outside)
            };
            let spans = found(&example);
            if spans.is_empty() || !spans.iter().all(clean) {
                return Err(RuleError::Example {
                    rule: self.id.clone(),
                    number: number + 1,
                });
            }
        }
        for (number, example) in self.non_examples.iter().map(plain).enumerate() {
            if !found(&example).is_empty() {
                return Err(RuleError::CounterExample {
                    rule: self.id.clone(),
                    number: number + 1,
                });
            }
        }
        Ok(())
    }
}

/// The innermost reason; the outer ones only say that building failed.
fn reason(error: &meta::BuildError) -> String {
    match error.syntax_error() {
        Some(syntax) => syntax.to_string(),
        None => error.to_string(),
    }
}

fn has_edges(text: &[u8], secret: &Range<usize>) -> bool {
    begins(text, secret.start)
        && text
            .get(secret.end)
            .is_none_or(|&next| !is_word(next) && next != b'_')
}

/// Whether a token can begin at `start`: not inside a word, but right after an escape.
fn begins(text: &[u8], start: usize) -> bool {
    let Some(&previous) = start.checked_sub(1).and_then(|at| text.get(at)) else {
        return true;
    };
    if !is_word(previous) {
        return true;
    }
    let before = |length: usize| start.checked_sub(length).map(|from| &text[from..start]);
    let escape = before(2).is_some_and(|tail| tail[0] == b'\\' && b"nrtbf".contains(&tail[1]));
    let unicode = before(6).is_some_and(|tail| {
        tail.starts_with(b"\\u00") && tail[4..].iter().all(u8::is_ascii_hexdigit)
    });
    let percent = before(3)
        .is_some_and(|tail| tail[0] == b'%' && tail[1..].iter().all(u8::is_ascii_hexdigit));
    escape || unicode || percent
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}
