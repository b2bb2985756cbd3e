//! Where a value ends: at the quote that closes it, or where unquoted text ends.
//!
//! The text may be JSON inside JSON, so that a quote is a run of backslashes and a quote character. A quote of level
//! `d` has `2^d - 1` backslashes of its own; backslashes that the text before it ends with add a multiple of
//! `2^(d + 1)`. So the level is the number of ones at the end of the binary count of backslashes ([`level_of`]). A
//! quote of a lower level ends the value too, because a string around it ends.
use std::{borrow::Cow, ops::Range};

/// A value that reaches this far is no password and no token.
pub(super) const VALUE_REACH: usize = 2048;

/// From the opening quote to the one that closes the same level.
pub(super) fn quoted_value(text: &[u8], opening: &Range<usize>) -> Option<Range<usize>> {
    let quote = text[opening.end - 1];
    let depth = opening.len() - 1;
    let limit = text.len().min(opening.end + VALUE_REACH);
    let mut at = opening.end;
    while at < limit {
        let slashes = run(text, at, text.len().min(at + VALUE_REACH), |b| b == b'\\');
        let Some(&next) = text.get(at + slashes) else {
            break;
        };
        match next {
            _ if next == quote && level_of(slashes) <= level_of(depth) => {
                // Backslashes beyond the quote's own belong to the value.
                return Some(opening.end..at + slashes - own_slashes(slashes));
            }
            // A double quote inside other quotes may end a JSON string around them.
            b'"' if next != quote => return Some(opening.end..at),
            // A line break: the quote was never closed, or this is no credential.
            b'\n' | b'\r' => return Some(opening.end..at),
            b'n' | b'r' if slashes > 0 && slashes <= depth.max(1) => {
                return Some(opening.end..at);
            }
            _ => {}
        }
        at += slashes + 1;
    }
    (limit == text.len()).then_some(opening.end..limit)
}

/// How many strings are around a quote with so many backslashes.
fn level_of(slashes: usize) -> u32 {
    slashes.trailing_ones()
}

/// How many of a quote's backslashes are its own, and not the end of the text before it.
pub(super) fn own_slashes(slashes: usize) -> usize {
    (1 << level_of(slashes).min(16)) - 1
}

/// An unquoted value ends where a shell, a URL, a list or a document would end it.
pub(super) fn bare_value(text: &[u8], from: usize) -> Range<usize> {
    let limit = text.len().min(from + VALUE_REACH);
    let ends = |b: u8| {
        b.is_ascii_whitespace()
            || matches!(
                b,
                b'"' | b'\''
                    | b'`'
                    | b'\\'
                    | b','
                    | b';'
                    | b'&'
                    | b'|'
                    | b'<'
                    | b'>'
                    | b')'
                    | b'}'
                    | b']'
            )
    };
    let mut length = run(text, from, limit, |b| !ends(b));
    while let Some(escape) = escaped_sign(&text[from + length..limit]) {
        length += escape;
        length += run(text, from + length, limit, |b| !ends(b));
    }
    // A full stop or a colon at the end belongs to the sentence.
    let kept = text[from..from + length]
        .iter()
        .rposition(|b| !matches!(b, b'.' | b':'))
        .map_or(0, |last| last + 1);
    from..from + kept
}

/// The length of `\/`, `\u002b`, `\u002f` or `\u003d` at the start: characters of tokens that some encoders escape.
pub(super) fn escaped_sign(text: &[u8]) -> Option<usize> {
    let slashes = run(text, 0, text.len().min(64), |b| b == b'\\');
    let rest = &text[slashes..];
    let unicode = || {
        let head = rest.get(..5)?;
        [b"u002b", b"u002f", b"u003d"]
            .iter()
            .any(|sign| head.eq_ignore_ascii_case(&sign[..]))
            .then_some(slashes + 5)
    };
    match rest.first() {
        _ if slashes == 0 => None,
        Some(b'/') => Some(slashes + 1),
        _ => unicode(),
    }
}

/// A value with such escapes resolved.
pub(super) fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find('\\') {
        result.push_str(&rest[..start]);
        let escape = escaped_sign(&rest.as_bytes()[start..]);
        let length = escape.unwrap_or(1);
        let sign = &rest[start..start + length];
        result.push_str(match sign.get(sign.len().saturating_sub(2)..) {
            _ if escape.is_none() => sign,
            Some("2b" | "2B") => "+",
            Some("3d" | "3D") => "=",
            _ => "/",
        });
        rest = &rest[start + length..];
    }
    result.push_str(rest);
    Cow::Owned(result)
}

/// How many bytes from `from` on satisfy `test`.
pub(super) fn run(text: &[u8], from: usize, limit: usize, test: impl Fn(u8) -> bool) -> usize {
    text.get(from..limit).map_or(0, |rest| {
        rest.iter().position(|&b| !test(b)).unwrap_or(rest.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_signs_in_tokens_are_resolved_and_others_are_not() {
        assert_eq!(
            unescaped(r"a\/b\\\/c\u002bd\u003D\n\u0026"),
            r"a/b/c+d=\n\u0026"
        );
        assert_eq!(bare_value(br"a\/b\u003d\u0026c", 0), 0..10);
        assert_eq!(escaped_sign(b"/"), None);
    }
}
