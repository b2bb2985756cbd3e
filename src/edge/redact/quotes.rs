//! Where a value ends: at the quote that closes it, or where unquoted text ends.
//!
//! The text may be JSON inside JSON, so that a quote is a run of backslashes and a quote character. A quote of level
//! `d` has `2^d - 1` backslashes of its own; backslashes that the text before it ends with add a multiple of
//! `2^(d + 1)`. So the level is the number of ones at the end of the binary count of backslashes ([`level_of`]). A
//! quote of a lower level ends the value too, because a string around it ends.
use std::ops::Range;

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
    let length = run(text, from, limit, |b| !ends(b));
    // A full stop or a colon at the end belongs to the sentence.
    let kept = text[from..from + length]
        .iter()
        .rposition(|b| !matches!(b, b'.' | b':'))
        .map_or(0, |last| last + 1);
    from..from + kept
}

/// How many bytes from `from` on satisfy `test`.
pub(super) fn run(text: &[u8], from: usize, limit: usize, test: impl Fn(u8) -> bool) -> usize {
    text.get(from..limit).map_or(0, |rest| {
        rest.iter().position(|&b| !test(b)).unwrap_or(rest.len())
    })
}
