//! Where secrets were found in a text: puts the places in order and writes placeholders there.
//!
//! A place never begins or ends inside an escape or inside a character of several bytes, and never touches a
//! placeholder that stands there already.
use std::{cmp::Reverse, collections::BTreeSet, ops::Range};

use super::Hits;
use super::hash::{HASH_SIGN, HashKey, is_hash};

/// How every placeholder begins; the type and a bracket follow.
pub(super) const PLACEHOLDER: &str = "[REDACTED:";

/// The placeholder that begins at `start`, if one does: only a type that redaction itself writes makes one. Whoever
/// puts a secret of their own between such brackets has hidden nothing.
pub(super) fn placeholder_at(
    text: &str,
    start: usize,
    kinds: &BTreeSet<String>,
) -> Option<Range<usize>> {
    let inner = text[start..].strip_prefix(PLACEHOLDER)?;
    let length = inner.bytes().position(|byte| byte == b']')?;
    let kind = match inner[..length].split_once(HASH_SIGN) {
        Some((kind, hash)) if is_hash(hash) => kind,
        Some(_) => return None,
        None => &inner[..length],
    };
    kinds
        .contains(kind)
        .then(|| start..start + PLACEHOLDER.len() + length + 1)
}

/// Whether a text is one placeholder of this type.
pub(super) fn is_placeholder_of(kind: &str, text: &str) -> bool {
    let inner = text
        .strip_prefix(PLACEHOLDER)
        .and_then(|rest| rest.strip_suffix(']'));
    inner
        .and_then(|inner| inner.strip_prefix(kind))
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(HASH_SIGN).is_some_and(is_hash))
}

/// A secret found.
#[derive(Clone, Debug)]
pub(super) struct Span<'e> {
    pub(super) range: Range<usize>,
    pub(super) kind: &'e str,
    /// What found it: a rule's id, or the type where there is no rule.
    pub(super) rule: &'e str,
    pub(super) rank: Rank,
    /// How long the keyword was: of two formats that fit, the one with the longer keyword is meant.
    pub(super) weight: usize,
    /// The quote to put around the placeholder.
    pub(super) wrap: Option<Range<usize>>,
}

/// Who names an overlap: the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Format,
    KeyAndFormat,
    Context,
    Generic,
    Personal,
}

/// Puts spans in order, merges those that overlap, and drops what would touch a placeholder or split a character.
pub(super) fn settle<'e>(
    text: &str,
    mut spans: Vec<Span<'e>>,
    kinds: &BTreeSet<String>,
) -> Vec<Span<'e>> {
    if spans.is_empty() {
        return spans;
    }
    let placeholders: Vec<Range<usize>> = text
        .match_indices(PLACEHOLDER)
        .filter_map(|(start, _)| placeholder_at(text, start, kinds))
        .collect();
    spans.retain_mut(|span| {
        leave_escape(text, &mut span.range);
        // They stand in order: only the first that ends behind the span's start can touch it.
        let next = placeholders.partition_point(|p| p.end <= span.range.start);
        let touched = placeholders.get(next);
        !span.range.is_empty() && touched.is_none_or(|p| span.range.end <= p.start)
    });
    spans.sort_by_key(|span| (span.range.start, span.range.end));
    let mut merged: Vec<Span<'e>> = Vec::with_capacity(spans.len());
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.range.start < last.range.end => {
                if (span.rank, Reverse(span.weight)) < (last.rank, Reverse(last.weight)) {
                    (last.kind, last.rule) = (span.kind, span.rule);
                    (last.rank, last.weight) = (span.rank, span.weight);
                }
                last.range.end = last.range.end.max(span.range.end);
                last.wrap = last.wrap.take().or(span.wrap);
            }
            _ => merged.push(span),
        }
    }
    merged
}

/// Moves the start of a span out of an escape, and its ends out of characters.
fn leave_escape(text: &str, range: &mut Range<usize>) {
    let bytes = text.as_bytes();
    if range.start > 0 && bytes[range.start - 1] == b'\\' {
        while bytes.get(range.start) == Some(&b'\\') && range.start < range.end {
            range.start += 1;
        }
        // `\n` before `pm_…` could as well be `\` and `npm_…`: the letter stays, as part of the escape.
        range.start += match bytes.get(range.start) {
            Some(b'u') => 5,
            Some(letter) if b"nrtbf\"/".contains(letter) => 1,
            _ => 0,
        };
        range.start = range.start.min(range.end);
    }
    *range = whole_characters(text, range.clone());
}

/// The range widened to whole characters: expressions and windows count bytes.
pub(super) fn whole_characters(text: &str, mut range: Range<usize>) -> Range<usize> {
    while !text.is_char_boundary(range.start) {
        range.start -= 1;
    }
    while !text.is_char_boundary(range.end) {
        range.end += 1;
    }
    range
}

/// What stands in the place of a secret.
pub(super) fn placeholder(kind: &str, secret: &str, key: Option<&HashKey>) -> String {
    match key.and_then(|key| key.hash(kind, secret)) {
        Some(hash) => format!("{PLACEHOLDER}{kind}{HASH_SIGN}{hash}]"),
        None => format!("{PLACEHOLDER}{kind}]"),
    }
}

/// The text with placeholders in it, and where they stand.
pub(super) fn replace(
    text: &str,
    spans: &[Span<'_>],
    key: Option<&HashKey>,
    hits: &mut Hits,
) -> (String, Vec<Range<usize>>) {
    let mut places = Vec::with_capacity(spans.len());
    let mut result = String::with_capacity(text.len() + spans.len() * 8);
    let mut copied = 0;
    for span in spans {
        let quote = span.wrap.as_ref().map_or("", |wrap| &text[wrap.clone()]);
        result.push_str(&text[copied..span.range.start]);
        let start = result.len();
        result.push_str(quote);
        result.push_str(&placeholder(span.kind, &text[span.range.clone()], key));
        result.push_str(quote);
        places.push(start..result.len());
        copied = span.range.end;
        hits.add(span.kind, span.rule);
    }
    result.push_str(&text[copied..]);
    (result, places)
}
