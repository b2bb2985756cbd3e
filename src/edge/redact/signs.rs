//! The signs between a key and its value, with what may stand around them: blanks, quotes, escapes, a type.
use std::ops::Range;

use super::quotes::{own_slashes, run};

/// How many bytes of further words may stand between the key and its separator.
pub(super) const WORDS_REACH: usize = 28;
/// How many bytes of blanks, quotes and escapes may stand on either side of a separator.
pub(super) const GAP_REACH: usize = 48;

/// What stood between a key and its separator.
pub(super) struct Closing {
    pub(super) end: usize,
    pub(super) quote: Option<Range<usize>>,
}

/// Skips what may close a key: blanks, one quote, a bracket.
pub(super) fn skip_closing(text: &[u8], from: usize, limit: usize) -> Closing {
    let mut closing = Closing {
        end: from,
        quote: None,
    };
    while closing.end < limit {
        match text[closing.end] {
            b' ' | b'\t' | b']' => closing.end += 1,
            b'"' | b'\'' | b'`' if closing.quote.is_none() => {
                closing.quote = Some(closing.end..closing.end + 1);
                closing.end += 1;
            }
            b'\\' if closing.quote.is_none() => {
                let slashes = run(text, closing.end, limit, |b| b == b'\\');
                let quote = closing.end + slashes;
                if !matches!(text.get(quote), Some(b'"' | b'\'' | b'`')) {
                    break;
                }
                // Backslashes beyond the quote's own belong to the key.
                closing.quote = Some(quote - own_slashes(slashes)..quote + 1);
                closing.end = quote + 1;
            }
            _ => break,
        }
    }
    closing
}

/// A separator.
pub(super) struct Sign {
    pub(super) end: usize,
    pub(super) colon: bool,
    pub(super) comma: bool,
    pub(super) element: bool,
}

/// The separator at `at`, if one stands there.
pub(super) fn sign_at(text: &[u8], at: usize, after_quote: bool) -> Option<Sign> {
    let rest = text.get(at..text.len().min(at + 8))?;
    let sign = |length: usize| {
        Some(Sign {
            end: at + length,
            colon: false,
            comma: false,
            element: false,
        })
    };
    match rest {
        [b':', b':', b':', b'=', ..] => sign(4),
        [b'=', b'=', b'=', ..]
        | [b':', b':', b'=', ..]
        | [b'|', b'|', b'=', ..]
        | [b'?', b'?', b'=', ..] => sign(3),
        [b'=', b'=' | b'>', ..]
        | [b':' | b'?' | b'.' | b'+', b'=', ..]
        | [b'|', b'|', ..]
        | [b'-', b'>', ..] => sign(2),
        [b'=', ..] => sign(1),
        [b':', b':', ..] => None,
        [b':', ..] => Some(Sign {
            end: at + 1,
            colon: true,
            comma: false,
            element: false,
        }),
        [b'>', ..] => Some(Sign {
            end: at + 1,
            colon: false,
            comma: false,
            element: true,
        }),
        [b',', ..] if after_quote => Some(Sign {
            end: at + 1,
            colon: false,
            comma: true,
            element: false,
        }),
        [b'%', b'3', b'D' | b'd' | b'A' | b'a', ..] => sign(3),
        [b'(', b'"' | b'\'', ..] => sign(1),
        _ => None,
    }
}

/// `key: String = value`: the sign after the type.
pub(super) fn annotated(text: &[u8], colon: &Sign) -> Option<Sign> {
    let limit = text.len().min(colon.end + WORDS_REACH);
    let mut at = colon.end + run(text, colon.end, limit, |b| b == b' ');
    at += run(text, at, limit, |b| {
        b.is_ascii_alphanumeric() || matches!(b, b'<' | b'>' | b'&' | b'_' | b'.')
    });
    at += run(text, at, limit, |b| b == b' ');
    match (text.get(at), text.get(at + 1)) {
        (Some(b'='), next) if next != Some(&b'=') => Some(Sign {
            end: at + 1,
            colon: false,
            comma: false,
            element: false,
        }),
        _ => None,
    }
}

/// What stood between a separator and a value.
pub(super) struct Opening {
    pub(super) end: usize,
    /// The opening quote with its backslashes.
    pub(super) quote: Option<Range<usize>>,
}

/// Skips what may stand before a value. A line break counts only before a quote and inside an element.
pub(super) fn skip_opening(text: &[u8], from: usize, element: bool) -> Opening {
    let limit = text.len().min(from + GAP_REACH);
    let mut at = from;
    let mut line_break = None;
    while at < limit {
        match text[at] {
            b' ' | b'\t' | b'(' | b'[' => at += 1,
            b'\n' | b'\r' => {
                line_break.get_or_insert(at);
                at += 1;
            }
            b'"' | b'\'' | b'`' => {
                return Opening {
                    end: at + 1,
                    quote: Some(at..at + 1),
                };
            }
            // Prefixed literals: r"", b"", f"", @"".
            b'r' | b'b' | b'f' | b'L' | b'@' if matches!(text.get(at + 1), Some(b'"' | b'\'')) => {
                at += 1
            }
            b'\\' => {
                let slashes = run(text, at, text.len().min(at + 64), |b| b == b'\\');
                match text.get(at + slashes) {
                    Some(b'"' | b'\'' | b'`') => {
                        let end = at + slashes + 1;
                        return Opening {
                            end,
                            quote: Some(at..end),
                        };
                    }
                    Some(b'n' | b'r') => {
                        line_break.get_or_insert(at);
                        at += slashes + 1;
                    }
                    Some(b't') => at += slashes + 1,
                    _ => break,
                }
            }
            _ => break,
        }
    }
    let end = match line_break {
        Some(at) if !element => at,
        _ => at,
    };
    Opening { end, quote: None }
}
