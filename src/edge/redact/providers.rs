//! Finds a random value soon after a provider's name, where no rule knows the provider's format and no sign makes
//! them key and value: `shodan API KEY …`, `urlscan-access-token-…`, `fastforex …`.
//!
//! Read by hand, word after word, no further than a line's worth. The names are data and stand in `rules.toml`.
use std::ops::Range;

use serde::Deserialize;

use super::filler::is_filler;
use super::forms::{is_mixed, is_uuid};
use super::grades::{entropy, is_token_after};
use super::values::KeyWords;

/// How far the value may stand behind the name, in bytes.
const REACH: usize = 56;
/// No token that nobody knows is longer.
const LONGEST: usize = 256;
/// Other words that may stand between.
const OTHER_WORDS: usize = 2;

/// The names, as `rules.toml` has them: lower case.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Providers {
    /// Names that mean nothing else, separated by blanks.
    names: String,
    /// Names that are words of English too: one of the hints must follow.
    words: String,
    /// Words that say that a secret follows.
    hints: Vec<String>,
}

/// How much a name says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Name {
    /// It is a provider.
    Provider,
    /// It may be any word.
    Word,
}

impl Providers {
    pub(super) fn keywords(&self) -> impl Iterator<Item = (&str, Name)> {
        let names = self.names.split_ascii_whitespace();
        let words = self.words.split_ascii_whitespace();
        names
            .map(|name| (name, Name::Provider))
            .chain(words.map(|word| (word, Name::Word)))
    }

    /// The value after the name that ends at `end`.
    pub(super) fn value_after(
        &self,
        text: &str,
        end: usize,
        name: Name,
        keys: &KeyWords,
    ) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        let limit = bytes.len().min(end + REACH);
        let mut at = end;
        let mut hinted = false;
        let mut others = 0;
        let mut sign = false;
        loop {
            let gap = gap(bytes, at, limit);
            let separators = &bytes[at..at + gap];
            sign = separators.contains(&b'=')
                || separators.contains(&b':')
                || (sign && !separators.contains(&b' '));
            at += gap;
            if at >= limit {
                return None;
            }
            let value = token(bytes, at);
            // `EXAMPLE.v2.…`: its parts are no secrets either.
            if is_mixed(&text[value.clone()]) && keys.holds_placeholder(&text[value.clone()]) {
                return None;
            }
            if value.len() >= 10
                && (gap > 0 || hinted)
                && self.is_secret(text, &value, hinted, name, sign, keys)
            {
                return Some(value);
            }
            let word = at..at
                + bytes[at..limit]
                    .iter()
                    .take_while(|b| b.is_ascii_alphabetic())
                    .count();
            match self.hint_length(&bytes[word.clone()]) {
                Some(length) => {
                    hinted = true;
                    at += length;
                }
                None if word.is_empty() || word.len() > 16 || gap == 0 && !hinted => return None,
                None => {
                    others += 1;
                    at = word.end;
                    if others > OTHER_WORDS || keys.describes(&text[word]) {
                        return None;
                    }
                }
            }
        }
    }

    fn is_secret(
        &self,
        text: &str,
        value: &Range<usize>,
        hinted: bool,
        name: Name,
        sign: bool,
        keys: &KeyWords,
    ) -> bool {
        let Some(secret) = text.get(value.clone()) else {
            return false;
        };
        let bytes = secret.as_bytes();
        // `name-value-1a2b3c…`: the words before the last part are looked at first.
        if self
            .hint_length(&bytes[..bytes.iter().take_while(|b| b.is_ascii_alphabetic()).count()])
            .is_some()
        {
            return false;
        }
        // A bare number of JSON could not become a placeholder without quotes.
        if keys.stands_for_another(secret, true) || secret.parse::<f64>().is_ok() {
            return false;
        }
        if is_filler(bytes) {
            return false;
        }
        if is_uuid(bytes) {
            return entropy(bytes) > 2.0 && (hinted || name == Name::Provider);
        }
        if hinted {
            return is_token_after(secret);
        }
        // A digest of that length is rather a commit or a checksum.
        let hex = bytes.iter().all(u8::is_ascii_hexdigit) && matches!(bytes.len(), 40 | 64);
        let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
        name == Name::Provider
            && bytes.len() >= 18
            && digits >= 3
            && digits < bytes.len()
            && (sign || !hex)
            && !bytes.contains(&b'/')
            && !bytes.contains(&b'.')
            && is_token_after(secret)
    }

    /// How much of a word is a hint: `secret`, and `SECRETKEY` step by step.
    fn hint_length(&self, word: &[u8]) -> Option<usize> {
        self.hints
            .iter()
            .filter(|hint| {
                word.len() >= hint.len() && word[..hint.len()].eq_ignore_ascii_case(hint.as_bytes())
            })
            .map(String::len)
            .max()
            .filter(|length| {
                let rest = &word[*length..];
                // `Keyboard` is no key.
                rest.is_empty() || self.hint_length(rest).is_some()
            })
    }
}

/// What may stand between words, escapes included.
fn gap(text: &[u8], from: usize, limit: usize) -> usize {
    let mut at = from;
    while at < limit {
        match text[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b':' | b'=' | b'>' | b'"' | b'\'' | b'`' | b','
            | b'(' | b'[' | b'|' | b'-' | b'_' | b'*' => at += 1,
            b'\\' => {
                let slashes = text[at..limit].iter().take_while(|b| **b == b'\\').count();
                at += slashes
                    + usize::from(matches!(
                        text.get(at + slashes),
                        Some(b'n' | b'r' | b't' | b'"' | b'\'')
                    ));
            }
            _ => break,
        }
    }
    at.min(limit) - from
}

fn token(text: &[u8], from: usize) -> Range<usize> {
    let limit = text.len().min(from + LONGEST);
    let length = text[from..limit]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || b"_-+/=.~".contains(b))
        .count();
    let kept = text[from..from + length]
        .iter()
        .rposition(|b| !b".-_".contains(b))
        .map_or(0, |last| last + 1);
    from..from + kept
}
