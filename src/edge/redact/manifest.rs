//! Kubernetes manifests of kind `Secret`: what stands under `data` is base64 of secrets, whatever its keys are called.
//!
//! YAML or JSON, whole or cut off, with line breaks raw or escaped at any depth. Read by hand: the kind may stand
//! before the data or after it.
use std::ops::Range;

use super::checksum::decode;
use super::quotes::run;

/// What begins the search.
pub(super) const KEYWORD: &str = "kind";
/// The type of what is found.
pub(super) const TYPE: &str = "kubernetes-secret";

/// How far from its kind the data of a manifest may stand, in bytes.
const REACH: usize = 16 * 1024;
/// The shortest base64 worth hiding.
const SHORTEST: usize = 8;
/// What such a value stands for is longer than a word such as `true`.
const SHORTEST_DECODED: usize = 5;
/// Keys of the manifest itself: the data ends before them.
const ENDS: [&[u8]; 7] = [
    b"kind",
    b"metadata",
    b"type",
    b"apiversion",
    b"stringdata",
    b"immutable",
    b"status",
];

/// A manifest of a secret.
pub(super) struct Manifest {
    /// Up to here everything was looked at.
    pub(super) end: usize,
    pub(super) values: Vec<Range<usize>>,
}

/// The manifest, if it is one of a secret, whose word `kind` is `keyword`; nothing before `from` is looked at.
pub(super) fn secret(text: &[u8], keyword: Range<usize>, from: usize) -> Option<Manifest> {
    let limit = text.len().min(keyword.end + 64);
    let gap = run(text, keyword.end, limit, |b| b" \t\"'\\:".contains(&b));
    let name = keyword.end + gap;
    let rest = text.get(name..name + 6)?;
    let alone = text
        .get(name + 6)
        .is_none_or(|b| !b.is_ascii_alphanumeric());
    if !text[keyword.end..name].contains(&b':') || !rest.eq_ignore_ascii_case(b"secret") || !alone {
        return None;
    }
    let start = from
        .max(keyword.start.saturating_sub(REACH))
        .min(keyword.start);
    let start = find_last(&text[start..keyword.start], b"---").map_or(start, |at| start + at);
    let end = text.len().min(name + REACH);
    let end = find(&text[name..end], b"---").map_or(end, |at| name + at);
    let mut values = Vec::new();
    let mut at = start;
    while let Some(data) = find(&text[at..end], b"data").map(|found| at + found) {
        at = data + 4;
        let part = data > 0 && {
            let before = text[data - 1];
            let escape = data > 1 && text[data - 2] == b'\\' && b"nrt".contains(&before);
            before.is_ascii_alphanumeric() && !escape
        };
        let gap = run(text, at, end.min(at + 16), |b| b" \t\"'\\".contains(&b));
        if !part && text.get(at + gap) == Some(&b':') {
            at = entries(text, at + gap + 1..end, &mut values);
        }
    }
    Some(Manifest { end, values })
}

/// Reads `key: base64` one after the other; returns where they end.
fn entries(text: &[u8], range: Range<usize>, values: &mut Vec<Range<usize>>) -> usize {
    let end = range.end;
    let mut at = range.start;
    loop {
        at = skip(text, at, end);
        if at < end && text[at] == b'#' {
            at += run(text, at, end, |b| b != b'\n' && b != b'\\');
            continue;
        }
        let key = at..at
            + run(text, at, end, |b| {
                b.is_ascii_alphanumeric() || b"._-".contains(&b)
            });
        let colon = key.end + run(text, key.end, end, |b| b" \t\"'\\".contains(&b));
        let ends = ENDS
            .iter()
            .any(|word| text[key.clone()].eq_ignore_ascii_case(word));
        if key.is_empty() || ends || colon >= end || text[colon] != b':' {
            return key.end.max(at);
        }
        let mut start = colon + 1 + run(text, colon + 1, end, |b| b" \t\"'|>\\".contains(&b));
        if text[colon + 1..start].iter().any(|b| b"|>".contains(b)) {
            // A block: the value stands in the next line.
            start += run(text, start, end, |b| b == b'-');
            start -= usize::from(text[start - 1] == b'\\');
            start = skip(text, start, end);
        }
        let length = run(text, start, end, |b| {
            b.is_ascii_alphanumeric() || b"+/".contains(&b)
        });
        let padding = run(text, start + length, end, |b| b == b'=');
        let value = start..start + length + padding;
        // Not a bare number of JSON.
        let number = |b: &u8| b.is_ascii_digit() || b"eE+".contains(b);
        if value.len() >= SHORTEST
            && value.len().is_multiple_of(4)
            && padding <= 2
            && !text[value.clone()].iter().all(number)
            && decode(&text[value.clone()])
                .is_none_or(|secret| secret.trim_ascii().len() >= SHORTEST_DECODED)
        {
            values.push(value.clone());
        }
        // Whatever else the line holds.
        at = value.end + run(text, value.end, end, |b| !b"\n\\,}".contains(&b));
        if at >= end || text[at] == b'}' {
            return at;
        }
    }
}

/// Skips blanks, line breaks, their escapes, and what JSON has between entries.
fn skip(text: &[u8], from: usize, end: usize) -> usize {
    let mut at = from;
    while at < end {
        match text[at] {
            b' ' | b'\t' | b'\n' | b'\r' | b'"' | b'\'' | b',' | b'{' => at += 1,
            b'\\' => {
                at += run(text, at, end, |b| b == b'\\');
                at += usize::from(matches!(text.get(at), Some(b'n' | b'r' | b't')));
            }
            _ => break,
        }
    }
    at.min(end)
}

fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, needle)
}

fn find_last(text: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::rfind(text, needle)
}
