//! Finds the value that belongs to a key, in any of the notations people and programs write.
//!
//! The engine sees a keyword such as `token` and asks here: is this part of a key, and what is its value?
//! Understood are assignments (`=`, `:=`, `?=`, `.=`, `+=`, `=>`), mappings (`:`), elements (`<key>value`),
//! arguments (`"KEY", "value"`), name and value pairs (`"name": "KEY", "value": "value"`), flags (`--key value`)
//! and a bare blank (`password value`, as .netrc has it).
//!
//! Every separator may be escaped; [`super::quotes`] tells where a value ends. Nothing is parsed or decoded, and a
//! cut-off document is as good as a whole one.
use std::ops::Range;

use super::quotes::{bare_value, quoted_value, run};
use super::signs::{
    GAP_REACH, Opening, WORDS_REACH, annotated, sign_at, skip_closing, skip_opening,
};

/// A key, and where its value stands.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// The key, with the words between it and the separator.
    pub(super) key: Range<usize>,
    /// The value without its quotes and without an authentication scheme before it.
    pub(super) value: Range<usize>,
    pub(super) separator: Separator,
    pub(super) quoted: bool,
    /// An authentication scheme such as `Bearer` stood before the value.
    pub(super) scheme: bool,
    /// The quote after the key, when the value stands bare: in JSON a placeholder needs the same quotes.
    pub(super) wrap: Option<Range<usize>>,
}

/// How sure the notation makes it that this is a key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    /// A sign such as `=` or `:`.
    Sign,
    /// A comma between quoted texts: an argument list, or any other list.
    Comma,
    /// A blank after a flag: `--token value`.
    Flag,
    /// A blank or a verb in running text: `password value`, `the token is value`.
    Blank,
}

/// How far a key reaches to the left and right of its keyword, in bytes.
const KEY_REACH: usize = 64;
/// The words that may stand before a credential in one value.
const SCHEMES: [&str; 10] = [
    "bearer ", "basic ", "token ", "ssws ", "apikey ", "api-key ", "key ", "digest ", "aivenv1 ",
    "token=",
];

/// Reads the pair around a keyword, if there is one.
pub(super) fn parse(text: &[u8], keyword: Range<usize>) -> Option<Pair> {
    let key = key_around(text, keyword.clone());
    if let Some(pair) = after_sign(text, &key, key.end) {
        return Some(pair);
    }
    if let Some(start) = named_value(text, key.end) {
        return after_sign(text, &key, start);
    }
    let mut end = key.end;
    let limit = text.len().min(key.end + WORDS_REACH);
    while matches!(text.get(end), Some(b' ' | b'\t')) {
        let word = end + run(text, end, limit, |b| matches!(b, b' ' | b'\t'));
        let word_end = word + run(text, word, limit, is_key_byte);
        if word_end == word || !text[word..word_end].iter().all(u8::is_ascii_alphabetic) {
            break;
        }
        if matches!(&text[word..word_end], b"is" | b"to" | b"was") {
            return after_blank(text, key.start..end, word_end, Separator::Blank);
        }
        end = word_end;
        if let Some(pair) = after_sign(text, &(key.start..end), end) {
            return Some(pair);
        }
    }
    if let Some(pair) = after_hyphen(text, &key, &keyword) {
        return Some(pair);
    }
    let flag = text[key.start] == b'-';
    after_blank(
        text,
        key.clone(),
        key.end,
        if flag {
            Separator::Flag
        } else {
            Separator::Blank
        },
    )
}

/// The whole identifier that the keyword is part of.
fn key_around(text: &[u8], keyword: Range<usize>) -> Range<usize> {
    let floor = keyword.start.saturating_sub(KEY_REACH);
    let mut start = keyword.start;
    while start > floor && is_key_byte(text[start - 1]) {
        start -= 1;
    }
    // `\nTOKEN`: the first letter belongs to the escape.
    if start > 0 && text[start - 1] == b'\\' && start < keyword.start {
        start += 1;
    }
    let limit = text.len().min(keyword.end + KEY_REACH);
    let mut end = keyword.end + run(text, keyword.end, limit, is_key_byte);
    // A sentence or a flag list may end with a sign that is no part of the key.
    while end > keyword.end && matches!(text[end - 1], b'.' | b'-') {
        end -= 1;
    }
    start..end
}

/// The value after `key`, when a separator sign follows at `from`.
fn after_sign(text: &[u8], key: &Range<usize>, from: usize) -> Option<Pair> {
    let limit = text.len().min(from + GAP_REACH);
    let closing = skip_closing(text, from, limit);
    let mut sign = sign_at(text, closing.end, closing.quote.is_some())?;
    if sign.colon {
        sign = annotated(text, &sign).unwrap_or(sign);
    }
    let opening = skip_opening(text, sign.end, sign.element);
    if let Some(start) = opening
        .quote
        .as_ref()
        .filter(|_| sign.comma)
        .and_then(|_| named_value(text, closing.end))
    {
        return after_sign(text, key, start);
    }
    if sign.comma && opening.quote.is_none() {
        return None;
    }
    let separator = if sign.comma && !is_argument(text, key.start) {
        Separator::Comma
    } else {
        Separator::Sign
    };
    let mut pair = value_at(text, key.start..from, &opening, separator)?;
    if opening.quote.is_none() && sign.colon {
        pair.wrap = closing.quote;
    }
    Some(pair)
}

/// `secret-value`, `access-key-value`: the key ends at the hyphen before a long last part.
fn after_hyphen(text: &[u8], key: &Range<usize>, keyword: &Range<usize>) -> Option<Pair> {
    if text.get(keyword.end) != Some(&b'-') {
        return None;
    }
    let value = bare_value(text, keyword.end + 1);
    (value.len() >= 20).then_some(Pair {
        key: key.start..keyword.end,
        value,
        separator: Separator::Blank,
        quoted: false,
        scheme: false,
        wrap: None,
    })
}

fn after_blank(text: &[u8], key: Range<usize>, from: usize, separator: Separator) -> Option<Pair> {
    let limit = text.len().min(from + GAP_REACH);
    let blank = run(text, from, limit, |b| matches!(b, b' ' | b'\t'));
    if blank == 0 {
        return None;
    }
    let opening = skip_opening(text, from + blank, false);
    // `login --token=value`: the next flag speaks for itself.
    let flag = opening.quote.is_none() && text.get(opening.end) == Some(&b'-');
    if flag {
        None
    } else {
        value_at(text, key, &opening, separator)
    }
}

/// `define('KEY', 'value')`: only a bracket stands before the key's quote.
fn is_argument(text: &[u8], key: usize) -> bool {
    let before = text[key.saturating_sub(16)..key].iter().rev();
    before
        .copied()
        .find(|b| !matches!(b, b' ' | b'"' | b'\'' | b'\\'))
        == Some(b'(')
}

fn value_at(
    text: &[u8],
    key: Range<usize>,
    opening: &Opening,
    separator: Separator,
) -> Option<Pair> {
    let mut value = match &opening.quote {
        // `"password=": 5`: the quote closed the string that the key stands in, and JSON goes on.
        Some(quote) if matches!(text.get(quote.end), Some(b':' | b',' | b'}' | b']')) => {
            return None;
        }
        Some(quote) => quoted_value(text, quote)?,
        None => bare_value(text, opening.end),
    };
    let mut scheme = false;
    if let Some(length) = scheme_length(&text[value.start..text.len().min(value.start + 16)]) {
        let start = value.start + length;
        value = if opening.quote.is_some() {
            start.min(value.end)..value.end
        } else {
            bare_value(text, start)
        };
        scheme = true;
    }
    (!value.is_empty()).then(|| Pair {
        key,
        value,
        separator,
        quoted: opening.quote.is_some(),
        scheme,
        wrap: None,
    })
}

/// The length of an authentication scheme and its blank, when the value begins with one.
pub(super) fn scheme_length(head: &[u8]) -> Option<usize> {
    SCHEMES
        .iter()
        .find(|scheme| {
            head.len() > scheme.len()
                && head[..scheme.len()].eq_ignore_ascii_case(scheme.as_bytes())
        })
        .map(|scheme| scheme.len())
}

/// `"name": "KEY", "value": "value"`: the end of the word `value`, when it follows the key that closely. A few other
/// attributes may stand between: `variable "KEY" { type = string, default = "value" }`.
fn named_value(text: &[u8], from: usize) -> Option<usize> {
    const NAMES: [&[u8]; 4] = [b"value", b"val", b"default", b"content"];
    const OTHERS: [&[u8]; 8] = [
        b"type",
        b"description",
        b"sensitive",
        b"kind",
        b"scope",
        b"target",
        b"encrypted",
        b"masked",
    ];
    let is_one_of =
        |word: &[u8], names: &[&[u8]]| names.iter().any(|name| word.eq_ignore_ascii_case(name));
    let mut from = from;
    for _ in 0..=MAX_OTHERS {
        let start = skip_between(text, from);
        let end = start + run(text, start, text.len().min(start + 16), is_key_byte);
        let word = &text[start..end];
        if start == from {
            return None;
        }
        if is_one_of(word, &NAMES) {
            return Some(end);
        }
        if !is_one_of(word, &OTHERS) {
            return None;
        }
        let limit = text.len().min(end + GAP_REACH);
        let closing = skip_closing(text, end, limit);
        let sign = sign_at(text, closing.end, closing.quote.is_some())?;
        let opening = skip_opening(text, sign.end, false);
        from = match &opening.quote {
            Some(quote) => quoted_value(text, quote)?.end,
            None => bare_value(text, opening.end).end,
        };
    }
    None
}

/// Attributes that may stand between a name and its value.
const MAX_OTHERS: usize = 3;

/// Skips what may stand between two entries.
fn skip_between(text: &[u8], from: usize) -> usize {
    let limit = text.len().min(from + GAP_REACH);
    let mut at = from;
    while at < limit {
        at += match text[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b',' | b'{' => 1,
            b'\\' => escape_length(text, at),
            _ => break,
        };
    }
    at
}

/// The length of the escape at a backslash: the run of backslashes, and the character it belongs to.
fn escape_length(text: &[u8], at: usize) -> usize {
    let slashes = run(text, at, text.len().min(at + 64), |b| b == b'\\');
    slashes
        + usize::from(matches!(
            text.get(at + slashes),
            Some(b'n' | b'r' | b't' | b'"' | b'\'')
        ))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}
