//! Decides by key and value whether a pair holds a secret, when no rule knows the format of the value.
//!
//! A key is graded by its words (`apiKey`, `API_KEY` and `api-key` are two words each), a value by what it is made of.
//! The words are data and stand in `rules.toml`. Values that name something instead of being it (a variable, a call,
//! a path, an identifier, a placeholder) are no secrets, and neither is what reads like words of a language.
use std::collections::HashSet;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use super::forms::{is_code, is_mixed, is_path, is_pattern, is_slug, is_uuid, is_version};
use super::natural::{is_natural, naturalness};
use super::pairs::{self, Pair, Separator};
use super::quotes::{VALUE_REACH, unescaped};
use super::spans::PLACEHOLDER;

/// The words of keys, as `rules.toml` has them: lower case, without separators.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyWords {
    /// Keys of passwords: short values count, if they have a digit or a sign.
    password: HashSet<String>,
    /// Keys of tokens and keys: long random values count.
    secret: HashSet<String>,
    /// Words that only hint: the value must look more random.
    hint: HashSet<String>,
    /// Whole keys that are secret although their last word says otherwise.
    exact: HashSet<String>,
    /// A key with this last word names or describes something.
    describing: HashSet<String>,
    /// A key with this word anywhere is public.
    public: HashSet<String>,
    /// A key with this word anywhere, or two that make it, says itself that its value is no secret.
    denying: HashSet<String>,
    /// Words that label a password, or say something of it.
    label: HashSet<String>,
    /// A value that contains one of these stands for another one.
    placeholder: Vec<String>,
    /// All of them in one automaton, made when first used.
    #[serde(skip)]
    placeholders: OnceLock<AhoCorasick>,
    /// Values that begin so are identifiers or ciphertext.
    identifier: Vec<String>,
}

/// What a key promises about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Password,
    Secret,
    Hint,
}

/// What a pair holds, when it is a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Password,
    Secret,
}

impl KeyWords {
    /// Words that begin the search for a pair.
    pub(super) fn keywords(&self) -> impl Iterator<Item = &str> {
        self.password
            .iter()
            .chain(&self.secret)
            .chain(&self.hint)
            .chain(&self.exact)
            .map(String::as_str)
    }

    /// Grades a pair of `text`.
    pub(super) fn grade(&self, text: &str, pair: &Pair) -> Option<Found> {
        let key = text.get(pair.key.clone())?;
        let value = &*unescaped(text.get(pair.value.clone())?);
        // What a pass before this one wrote is looked at once per pass: the cheap test comes first.
        if value.len() < 5 || value.len() >= VALUE_REACH || value.starts_with(PLACEHOLDER) {
            return None;
        }
        let promise = self.promise(key)?;
        if self.stands_for_another(value, pair.quoted) {
            return None;
        }
        match (promise, pair.separator) {
            (Promise::Password, Separator::Blank | Separator::Comma) => {
                is_password(value, false) && is_mixed(value) && value.len() >= 8 && !is_slug(value)
            }
            (Promise::Password, _) => {
                is_password(value, pair.quoted)
                    || is_token(value, pair.quoted, Strictness::Secret)
                    || (pair.quoted && self.is_plain_password(value))
            }
            (Promise::Secret, Separator::Blank) if pair.scheme => {
                is_token(value, pair.quoted, Strictness::Scheme)
            }
            (_, Separator::Blank) => {
                value.len() >= 20
                    && is_mixed(value)
                    && is_token(value, pair.quoted, Strictness::Hint)
            }
            (Promise::Secret, _) if pair.scheme => is_token(value, pair.quoted, Strictness::Scheme),
            (Promise::Secret, _) => is_token(value, pair.quoted, Strictness::Secret),
            (Promise::Hint, _) => is_token(value, pair.quoted, Strictness::Hint),
        }
        .then_some(if promise == Promise::Password {
            Found::Password
        } else {
            Found::Secret
        })
    }

    /// Grades a value that has a key to itself, such as an attribute.
    pub(super) fn grade_whole(&self, key: &str, value: &str) -> Option<Found> {
        let start = pairs::scheme_length(value.as_bytes()).unwrap_or(0);
        let text = format!("{key}{value}");
        let pair = Pair {
            key: 0..key.len(),
            value: key.len() + start..text.len(),
            separator: Separator::Sign,
            quoted: true,
            scheme: start > 0,
            wrap: None,
        };
        self.grade(&text, &pair)
    }

    /// A word that says that what follows names or describes something, or is public.
    pub(super) fn describes(&self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        self.describing.contains(&word) || self.public.contains(&word)
    }

    pub(super) fn holds_placeholder(&self, value: &str) -> bool {
        let words = self.placeholders.get_or_init(|| {
            AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&self.placeholder)
                .expect("a few short words are not too many")
        });
        words.is_match(value)
    }

    fn promise(&self, key: &str) -> Option<Promise> {
        if self
            .exact
            .contains(&key.trim_start_matches('-').to_ascii_lowercase())
        {
            return Some(Promise::Secret);
        }
        let words = words_of(key);
        let last = words.last()?;
        let joined: Vec<String> = words.windows(2).map(|pair| pair.concat()).collect();
        let mut all = words.iter().chain(&joined);
        if self.describing.contains(last)
            || words.iter().any(|word| self.public.contains(word))
            || all.any(|word| self.denying.contains(word))
        {
            return None;
        }
        let holds =
            |set: &HashSet<String>| words.iter().chain(&joined).any(|word| ends_in(word, set));
        if holds(&self.password) {
            Some(Promise::Password)
        } else if holds(&self.secret) {
            Some(Promise::Secret)
        } else {
            holds(&self.hint).then_some(Promise::Hint)
        }
    }

    /// Words run together in small letters, in quotes after the key: a poor password, unless they are a label of it.
    fn is_plain_password(&self, value: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        value.len() >= 8
            && value.bytes().all(plain)
            && !value.split('_').any(|part| {
                self.label.contains(part)
                    || self.password.contains(part)
                    || self.secret.contains(part)
                    || self.describing.contains(part)
            })
    }

    /// A variable, a call, a mask, a path, an example.
    pub(super) fn stands_for_another(&self, value: &str, quoted: bool) -> bool {
        let unquoted = value.trim_matches(['\'', '"']);
        let bytes = if unquoted.is_empty() {
            value.as_bytes()
        } else {
            unquoted.as_bytes()
        };
        let first = bytes[0];
        let named = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let variable = first == b'$'
            && bytes
                .get(1)
                .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
            && (!quoted || bytes[1..].iter().all(named));
        let enclosed = matches!(
            (first, bytes[bytes.len() - 1]),
            (b'%', b'%') | (b'<', b'>') | (b'{', b'}') | (b'#', b'#') | (b'@', b'@')
        );
        variable
            || enclosed
            || bytes
                .windows(5)
                .any(|w| w.iter().all(|b| b.eq_ignore_ascii_case(&b'x')))
            || bytes.iter().all(|b| *b == first)
            || value.contains("://")
            || bytes.iter().any(u8::is_ascii_whitespace)
            || is_path(value)
            || self
                .identifier
                .iter()
                .any(|prefix| value.starts_with(prefix.as_str()))
            || self.holds_placeholder(value)
            || (!quoted && is_code(bytes))
            || is_pattern(value)
    }
}

/// The word is known, or ends in a known one that is long enough to stand without a separator.
fn ends_in(word: &str, known: &HashSet<String>) -> bool {
    const LONG: usize = 5;
    known.contains(word)
        || (1..word.len().saturating_sub(LONG - 1)).any(|start| known.contains(&word[start..]))
}

/// `apiKey2`, `API_KEY` → `api`, `key`. Digits end a word and are dropped.
fn words_of(key: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = 0u8;
    let bytes = key.as_bytes();
    for (at, &byte) in bytes.iter().enumerate() {
        if byte.is_ascii_alphabetic() {
            let camel = byte.is_ascii_uppercase()
                && (previous.is_ascii_lowercase()
                    || (previous.is_ascii_uppercase()
                        && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase)));
            match words.last_mut() {
                Some(word) if !camel && previous.is_ascii_alphabetic() => {
                    word.push(byte.to_ascii_lowercase() as char)
                }
                _ => words.push((byte.to_ascii_lowercase() as char).to_string()),
            }
        }
        previous = byte;
    }
    words
}

fn is_password(value: &str, quoted: bool) -> bool {
    let bytes = value.as_bytes();
    if bytes.len() > 128 || bytes.len() < 6 && !(quoted && bytes.len() >= 5) {
        return false;
    }
    let digit = bytes.iter().any(u8::is_ascii_digit);
    let letter = bytes.iter().any(u8::is_ascii_alphabetic);
    let sign = bytes.iter().any(|b| b"!@#$%^&*+=?~".contains(b)) || !value.is_ascii();
    if !digit && !sign {
        // Letters alone: only what no language would write.
        return bytes.len() >= 8
            && bytes.iter().all(u8::is_ascii_alphabetic)
            && naturalness(value) < 60;
    }
    letter || sign || bytes.len() >= 8 || quoted
}

/// How random a value must look.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// After an authentication scheme.
    Scheme,
    /// After a key that says it is a secret.
    Secret,
    /// After a key that only hints.
    Hint,
}

fn is_token(value: &str, quoted: bool, strictness: Strictness) -> bool {
    let bytes = value.as_bytes();
    let shortest = match strictness {
        Strictness::Scheme => 12,
        Strictness::Secret => 10,
        Strictness::Hint => 16,
    };
    let signs: &[u8] = if quoted {
        b"_/+=.~:-!@#$%^*?&()<>;|"
    } else {
        b"_/+=.~:-!@#$%^*?"
    };
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || signs.contains(b);
    if bytes.len() < shortest || !bytes.iter().all(alphabet) {
        return false;
    }
    if is_uuid(bytes) {
        return strictness != Strictness::Hint && entropy(bytes) > 2.0;
    }
    let digits = bytes.iter().filter(|b| b.is_ascii_digit()).count();
    let letters = bytes.iter().filter(|b| b.is_ascii_alphabetic()).count();
    if letters == 0
        || is_version(value)
        || (is_slug(value)
            && (strictness == Strictness::Hint
                || strictness == Strictness::Secret && bytes.len() < 16))
        || (digits == 0 && (bytes.len() < 20 || naturalness(value) >= 60))
        || is_natural(value)
    {
        return false;
    }
    let floor = match strictness {
        Strictness::Scheme => 2.5,
        Strictness::Secret if bytes.len() < 16 => 2.8,
        Strictness::Secret => 3.0,
        Strictness::Hint => 3.2,
    };
    entropy(bytes) >= floor
}

/// Whether a value looks random enough for a place where a token is expected, without a key of its own.
pub(super) fn is_token_after(value: &str) -> bool {
    is_mixed(value) && is_token(value, false, Strictness::Secret)
        || value.len() >= 20 && is_token(value, false, Strictness::Hint)
}

/// Bits of information per byte, as far as the value itself tells.
pub(super) fn entropy(bytes: &[u8]) -> f32 {
    let mut counts = [0u16; 256];
    for &byte in bytes {
        counts[usize::from(byte)] = counts[usize::from(byte)].saturating_add(1);
    }
    let length = bytes.len() as f32;
    counts
        .iter()
        .filter(|&&count| count > 0)
        .map(|&count| f32::from(count) / length)
        .map(|p| -p * p.log2())
        .sum()
}
