//! Personal data: what is found by its shape and its check digits, without regard to keys.
//!
//! Off unless switched on by kind. Driven by the bytes that every such item must hold (`@`, a run of digits, a colon
//! between hexadecimal digits), so that text without them costs next to nothing.
mod digits;
mod email;
mod phone;
mod address;

use std::{fmt, ops::Range, str::FromStr};

use serde::{Deserialize, Serialize};

use super::rules::begins;

/// A kind of personal data. Its name is what configuration and placeholders call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PiiKind {
    /// E-mail addresses.
    Email,
    /// Numbers of payment cards, with their check digit.
    Card,
    /// International bank account numbers, with their check digits.
    Iban,
    /// Telephone numbers with a country code, or written as in North America.
    Phone,
    /// US social security numbers, in the ranges that are given out.
    Ssn,
    /// IP addresses of either version, except those of the machine itself.
    Ip,
}

impl PiiKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Email,
        Self::Card,
        Self::Iban,
        Self::Phone,
        Self::Ssn,
        Self::Ip,
    ];

    /// `email`, `card`, `iban`, `phone`, `ssn` or `ip`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Phone => "phone",
            Self::Ssn => "ssn",
            Self::Ip => "ip",
        }
    }
}

impl fmt::Display for PiiKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// No kind of personal data has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of personal data; known are email, card, iban, phone, ssn and ip")]
pub struct UnknownPii(String);

impl FromStr for PiiKind {
    type Err = UnknownPii;

    fn from_str(name: &str) -> Result<Self, UnknownPii> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| UnknownPii(name.to_owned()))
    }
}

/// The kinds that are switched on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PiiKinds(u8);

impl PiiKinds {
    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn has(self, kind: PiiKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Calls `found` for each item; items of different kinds may overlap.
    pub(super) fn find(self, text: &[u8], mut found: impl FnMut(Item)) {
        if self.has(PiiKind::Email) {
            email::find(text, &mut found);
        }
        if self.has(PiiKind::Ip) {
            address::find_v6(text, &mut found);
        }
        let by_digits = [
            PiiKind::Card,
            PiiKind::Iban,
            PiiKind::Phone,
            PiiKind::Ssn,
            PiiKind::Ip,
        ];
        if by_digits.into_iter().any(|kind| self.has(kind)) {
            digits::find(text, |kind| self.has(kind), &mut found);
        }
    }
}

impl FromIterator<PiiKind> for PiiKinds {
    fn from_iter<I: IntoIterator<Item = PiiKind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | 1 << kind as u8))
    }
}

/// An item of personal data.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) kind: PiiKind,
    pub(super) range: Range<usize>,
    /// The quote to put around the placeholder, where a bare number of JSON stood.
    pub(super) wrap: Option<Range<usize>>,
}

impl Item {
    fn new(kind: PiiKind, range: Range<usize>) -> Self {
        Self {
            kind,
            range,
            wrap: None,
        }
    }
}

/// No letter, digit or underscore touches the range, escapes aside.
fn stands_alone(text: &[u8], range: &Range<usize>) -> bool {
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    begins(text, range.start)
        && !(range.start > 0 && text[range.start - 1] == b'_')
        && !text.get(range.end).is_some_and(word)
}

/// The bytes before `at`, as far back as a key and its separator reach, in lower case.
fn context(text: &[u8], at: usize) -> Vec<u8> {
    text[at.saturating_sub(24)..at].to_ascii_lowercase()
}

fn holds(text: &[u8], words: &[&str]) -> bool {
    words
        .iter()
        .any(|word| text.windows(word.len()).any(|w| w == word.as_bytes()))
}
