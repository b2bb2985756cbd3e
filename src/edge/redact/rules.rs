//! Rules as data: reads `rules.toml`, and refuses what cannot work, with the reason.
//!
//! A rule names the keywords at which it is tried and an expression that must match right there. What its first
//! capture group holds is cut, and nothing else. Two kinds:
//!
//! - `at = "token"` (the default): the expression begins at the keyword, or `back` bytes before it. The neighbors of
//!   the secret must not be letters or digits, unless `edges = "any"`.
//! - `at = "value"`: the keyword is part of a key, and the expression must match the key's whole value.
//!
//! [`super::expression`] tells what stands in an expression beside the usual.
//! `{+}` in an example is nothing: it keeps the example from looking like a secret to those who scan this source.
use std::{io, ops::Range, path::PathBuf};

use serde::Deserialize;

use super::checksum::Checksum;
use super::expression::{Expression, Fault};
use super::file::Place;
use super::filler::is_filler;
use super::grades::entropy;
use super::quotes::VALUE_REACH;

/// The rules that fieldpost brings along.
pub(super) const BUILTIN: &str = include_str!("rules.toml");

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named in the messages")]
pub enum RuleError {
    /// The built-in rules are not what this version reads.
    #[error("the built-in rules cannot be read: {0}")]
    Toml(#[from] toml::de::Error),
    /// A file of rules that is not there, or that may not be read.
    #[error("cannot read the rules in {path}: {source}; correct redact.rules or the file")]
    Unreadable { path: PathBuf, source: io::Error },
    /// A file of rules that is not TOML.
    #[error("{path}:{line}: the rules are not valid TOML: {reason}")]
    File {
        path: PathBuf,
        line: usize,
        reason: String,
    },
    /// An id by which nobody could call a rule.
    #[error("rule {rule:?}: an id has lower-case letters, digits and hyphens, 64 at most")]
    Id { rule: String },
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
}

/// A rule as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleText {
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
    /// Makes a find certain whatever its entropy; one that does not fit suppresses nothing.
    checksum: Option<Checksum>,
    /// The shape alone says too little: only the checksum makes it a find.
    #[serde(default)]
    doubtful: bool,
    /// Yields to any rule that knows the format.
    #[serde(default)]
    generic: bool,
    /// In force only where the configuration or its profile names it.
    #[serde(default)]
    off: bool,
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
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) kind: String,
    /// Where it stands, unless fieldpost brings it along.
    pub(super) source: Option<Place>,
    pub(super) at: At,
    pub(super) keywords: Vec<String>,
    pub(super) generic: bool,
    pub(super) off: bool,
    /// How far one try may look.
    max_len: usize,
    /// The expression goes on after a blank.
    crosses_blanks: bool,
    back: usize,
    min_entropy: f32,
    digit: bool,
    checksum: Option<Checksum>,
    doubtful: bool,
    edges: Edges,
    expression: Expression,
    examples: Vec<String>,
    non_examples: Vec<String>,
}

impl Rule {
    /// A rule whose expression is not compiled yet.
    pub(super) fn new(text: RuleText, source: Option<Place>) -> Result<Self, RuleError> {
        let rule = || text.id.clone();
        if !is_name(&text.id) {
            return Err(RuleError::Id { rule: rule() });
        }
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
        if !is_name(&kind) {
            return Err(RuleError::Type { rule: rule(), kind });
        }
        let reach = match text.at {
            At::Token => text.max_len,
            At::Value => text.max_len.max(VALUE_REACH),
        };
        let expression = Expression::new(text.regex, reach);
        Ok(Self {
            id: text.id,
            kind,
            source,
            at: text.at,
            keywords: text.keywords,
            generic: text.generic,
            off: text.off,
            max_len: text.max_len,
            crosses_blanks: expression.crosses_blanks(),
            back: text.back,
            min_entropy: text.min_entropy,
            digit: text.digit,
            checksum: text.checksum,
            doubtful: text.doubtful,
            edges: text.edges,
            expression,
            examples: text.examples,
            non_examples: text.non_examples,
        })
    }

    /// Compiles the expression, which waits for the first keyword otherwise.
    pub(super) fn compile(&self) -> Result<(), RuleError> {
        let rule = || self.id.clone();
        self.expression.compile().map_err(|fault| match fault {
            Fault::Syntax(reason) => RuleError::Expression {
                rule: rule(),
                reason,
            },
            Fault::NoGroup => RuleError::NoGroup { rule: rule() },
        })
    }

    /// What a try at a keyword that was found at `hit` looks at.
    pub(super) fn window(&self, text: &[u8], hit: usize) -> Option<Range<usize>> {
        let start = hit.checked_sub(self.back)?;
        let limit = text.len().min(start + self.max_len);
        let end = if self.crosses_blanks {
            limit
        } else {
            let blank = text[start..limit].iter().position(u8::is_ascii_whitespace);
            blank.map_or(limit, |length| start + length)
        };
        Some(start..end)
    }

    /// Tries the rule in its window; the span of the secret.
    pub(super) fn at_keyword(&self, text: &[u8], window: Range<usize>) -> Option<Range<usize>> {
        let secret = self.group(text, window)?;
        let stands_alone = self.edges == Edges::Any || has_edges(text, &secret);
        let masked = self.is_builtin() && is_masked(text, secret.end);
        (stands_alone && !masked).then_some(secret)
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
        let secret = self.expression.group(text, span)?;
        let bytes = &text[secret.clone()];
        let informative = || self.min_entropy <= 0.0 || entropy(bytes) >= self.min_entropy;
        let digit = || !self.digit || bytes.iter().any(u8::is_ascii_digit);
        let certain = || self.checksum.is_some_and(|checksum| checksum.fits(bytes));
        let likely = !self.doubtful && informative() && digit();
        let filler = || self.is_builtin() && is_filler(bytes);
        (!bytes.is_empty() && (likely || certain()) && !filler()).then_some(secret)
    }

    /// Others find what their expression says, and nothing is held against it.
    fn is_builtin(&self) -> bool {
        self.source.is_none()
    }

    /// Checks the rule on its own examples; `find` redacts a text and says which types were found in it.
    pub(super) fn check(
        &self,
        find: impl Fn(&str) -> Vec<(Range<usize>, String)>,
    ) -> Result<(), RuleError> {
        self.compile()?;
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

/// What can stand in a placeholder, and in the name of a counter.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

/// Whether the token goes on in a mask, as `xoxp-1-####` does: what is secret of it is hidden already.
fn is_masked(text: &[u8], end: usize) -> bool {
    text.get(end..end + 4)
        .is_some_and(|next| matches!(next, b"####" | b"****"))
}

fn has_edges(text: &[u8], secret: &Range<usize>) -> bool {
    begins(text, secret.start)
        && text
            .get(secret.end)
            .is_none_or(|&next| !is_word(next) && next != b'_')
}

/// Whether a token can begin at `start`: not inside a word, but right after an escape.
pub(super) fn begins(text: &[u8], start: usize) -> bool {
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
