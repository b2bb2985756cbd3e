//! Decides by key and value whether a pair holds a secret, when no rule knows the format of the value.
//!
//! A key is graded by its words (`apiKey`, `API_KEY` and `api-key` are two words each), a value by what it is made of.
//! The words are data and stand in `rules.toml`. Values that name something instead of being it (a variable, a call,
//! a path, an identifier, a placeholder) are no secrets, and neither is what reads like words of a language.
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use super::filler::is_filler;
use super::forms::{is_code, is_mixed, is_path, is_pattern, is_slug};
use super::grades::{Strictness, is_password, is_token};
use super::pairs::{self, Pair, Separator};
use super::quotes::VALUE_REACH;
use super::spans::PLACEHOLDER;
use super::words::Words;

/// The words of keys, as `rules.toml` has them: lower case, without separators.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lists {
    /// Keys of passwords: short values count, if they have a digit or a sign.
    password: Vec<String>,
    /// Keys of tokens and keys: long random values count.
    secret: Vec<String>,
    /// Words that only hint: the value must look more random.
    hint: Vec<String>,
    /// Whole keys that are secret although their last word says otherwise.
    exact: Vec<String>,
    /// A key with this last word names or describes something.
    describing: Vec<String>,
    /// A key with this word anywhere is public.
    public: Vec<String>,
    /// A key with this word anywhere, or two that make it, says itself that its value is no secret.
    denying: Vec<String>,
    /// Words that label a password, or say something of it.
    label: Vec<String>,
    /// A value that contains one of these stands for another one.
    placeholder: Vec<String>,
    /// Values that begin so are identifiers or ciphertext.
    identifier: Vec<String>,
    /// A long run of base64 after one of these is a picture or a signature.
    opaque: Vec<String>,
}

/// The words of keys, ready to be asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Lists")]
pub(super) struct KeyWords {
    /// In which lists a word stands.
    marks: HashMap<Box<[u8]>, u8, BuildHasherDefault<Fnv>>,
    exact: HashSet<String>,
    /// Words that begin the search for a pair.
    keywords: Vec<String>,
    placeholder: Vec<String>,
    /// All of them in one automaton, made when first used.
    placeholders: OnceLock<AhoCorasick>,
    identifier: Vec<String>,
    opaque: Vec<String>,
}

/// The lists of words, each a bit.
mod mark {
    pub(super) const PASSWORD: u8 = 1;
    pub(super) const SECRET: u8 = 2;
    pub(super) const HINT: u8 = 4;
    pub(super) const DESCRIBING: u8 = 8;
    pub(super) const PUBLIC: u8 = 16;
    pub(super) const DENYING: u8 = 32;
    pub(super) const LABEL: u8 = 64;
}

impl From<Lists> for KeyWords {
    fn from(lists: Lists) -> Self {
        let mut marks = HashMap::<Box<[u8]>, u8, _>::default();
        for (words, mark) in [
            (&lists.password, mark::PASSWORD),
            (&lists.secret, mark::SECRET),
            (&lists.hint, mark::HINT),
            (&lists.describing, mark::DESCRIBING),
            (&lists.public, mark::PUBLIC),
            (&lists.denying, mark::DENYING),
            (&lists.label, mark::LABEL),
        ] {
            for word in words {
                *marks.entry(word.as_bytes().into()).or_default() |= mark;
            }
        }
        let keywords = [
            lists.password,
            lists.secret,
            lists.hint,
            lists.exact.clone(),
        ];
        Self {
            marks,
            exact: lists.exact.into_iter().collect(),
            keywords: keywords.concat(),
            placeholder: lists.placeholder,
            placeholders: OnceLock::new(),
            identifier: lists.identifier,
            opaque: lists.opaque,
        }
    }
}

/// The hash of Fowler, Noll and Vo (FNV-1a): the words are short and ours, so that nobody can make them collide.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
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
        self.keywords.iter().map(String::as_str)
    }

    /// Words before runs of base64 that are no secrets.
    pub(super) fn opaque(&self) -> impl Iterator<Item = &str> {
        self.opaque.iter().map(String::as_str)
    }

    /// Grades a pair of `text`.
    pub(super) fn grade(&self, text: &str, pair: &Pair) -> Option<Found> {
        let key = text.get(pair.key.clone())?;
        let value = text.get(pair.value.clone())?;
        // What a pass before this one wrote is looked at once per pass: the cheap test comes first.
        if value.len() < 5 || value.len() >= VALUE_REACH || value.starts_with(PLACEHOLDER) {
            return None;
        }
        // `${PASSWORD:?must be set}`
        if !pair.quoted && value.starts_with('?') {
            return None;
        }
        let promise = self.promise(key)?;
        let may_be = match (promise, pair.separator) {
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
        };
        // Some passwords are runs; no token is.
        let filler = || promise != Promise::Password && is_filler(value.as_bytes());
        (may_be && !self.stands_for_another(value, pair.quoted) && !filler()).then_some(
            if promise == Promise::Password {
                Found::Password
            } else {
                Found::Secret
            },
        )
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
        self.marks_of(word.to_ascii_lowercase().as_bytes()) & (mark::DESCRIBING | mark::PUBLIC) != 0
    }

    fn marks_of(&self, word: &[u8]) -> u8 {
        self.marks.get(word).copied().unwrap_or(0)
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
        let name = key.trim_start_matches('-');
        if self.exact.contains(name)
            || name.bytes().any(|b| b.is_ascii_uppercase())
                && self.exact.contains(&name.to_ascii_lowercase())
        {
            return Some(Promise::Secret);
        }
        let words = Words::of(key);
        let last = self.marks_of(words.iter().last()?);
        let (mut marks, mut endings) = (0, 0);
        for word in words.iter() {
            let known = self.marks_of(word);
            marks |= known;
            endings |= self.endings(word) | known;
        }
        for word in words.joined() {
            let known = self.marks_of(word);
            marks |= known & mark::DENYING;
            endings |= self.endings(word) | known;
        }
        if last & mark::DESCRIBING != 0 || marks & (mark::PUBLIC | mark::DENYING) != 0 {
            None
        } else if endings & mark::PASSWORD != 0 {
            Some(Promise::Password)
        } else if endings & mark::SECRET != 0 {
            Some(Promise::Secret)
        } else {
            (endings & mark::HINT != 0).then_some(Promise::Hint)
        }
    }

    /// The marks of known words in which the word ends, and which are long enough to stand without a separator.
    fn endings(&self, word: &[u8]) -> u8 {
        const LONG: usize = 5;
        (1..word.len().saturating_sub(LONG - 1))
            .fold(0, |marks, start| marks | self.marks_of(&word[start..]))
    }

    /// Words run together in small letters, in quotes after the key: a poor password, unless they are a label of it.
    fn is_plain_password(&self, value: &str) -> bool {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        value.len() >= 8
            && value.bytes().all(plain)
            && !value.split('_').any(|part| {
                let told = mark::LABEL | mark::PASSWORD | mark::SECRET | mark::DESCRIBING;
                self.marks_of(part.as_bytes()) & told != 0
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
            || self.identifier.iter().any(|prefix| {
                prefix.as_bytes()[0] == value.as_bytes()[0] && value.starts_with(prefix.as_str())
            })
            || self.holds_placeholder(value)
            || (!quoted && is_code(bytes))
            || is_pattern(value)
            || self.names_a_secret(value)
    }

    /// `user:password@host`: the word in the place of one.
    fn names_a_secret(&self, value: &str) -> bool {
        const LONGEST: usize = 12;
        value.len() <= LONGEST
            && self.marks_of(value.to_ascii_lowercase().as_bytes())
                & (mark::PASSWORD | mark::SECRET)
                != 0
    }
}
