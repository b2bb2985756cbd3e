//! A text whose escaped characters are written plainly, and the way back to what stood there.
//!
//! Some encoders write `\/`, `\u002b` or `\u0022` where others write `/`, `+` or `\"`. Whoever searches need not know:
//! here such an escape becomes the character, or for quotes, backslashes and line breaks the short escape, with as many
//! backslashes as it has at that depth of strings in strings. An escape of depth `d` has `2^(d - 1)` backslashes of its
//! own; those before them belong to the text. Places inside an escape lead out of it, so that none is ever cut in two.
use std::{borrow::Cow, ops::Range};

use memchr::memchr;

/// A text without long escapes.
pub(super) struct Plain<'t> {
    text: Cow<'t, str>,
    /// In the order of the places.
    escapes: Vec<Escape>,
}

/// What was written otherwise.
struct Escape {
    original: Range<usize>,
    plain: Range<usize>,
}

impl<'t> Plain<'t> {
    /// Borrows the text when it has no such escapes.
    pub(super) fn of(original: &'t str) -> Self {
        let bytes = original.as_bytes();
        let mut text = String::new();
        let mut escapes = Vec::new();
        let mut copied = 0;
        let mut at = 0;
        while let Some(found) = memchr(b'\\', &bytes[at..]) {
            let start = at + found;
            let slashes = bytes[start..].iter().take_while(|b| **b == b'\\').count();
            at = start + slashes;
            let Some(escape) = escape(slashes, &bytes[at..]) else {
                continue;
            };
            let begin = at - escape.slashes;
            at += escape.length;
            text.push_str(&original[copied..begin]);
            let plain = text.len();
            text.extend(std::iter::repeat_n('\\', escape.plain_slashes));
            text.push(escape.character);
            escapes.push(Escape {
                original: begin..at,
                plain: plain..text.len(),
            });
            copied = at;
        }
        if escapes.is_empty() {
            return Self {
                text: Cow::Borrowed(original),
                escapes,
            };
        }
        text.push_str(&original[copied..]);
        Self {
            text: Cow::Owned(text),
            escapes,
        }
    }

    /// The text to search.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the text stands in the original; empty when it lies inside an escape.
    pub(super) fn original(&self, range: &Range<usize>) -> Range<usize> {
        let start = self.place(range.start, |escape| escape.original.end);
        let end = self.place(range.end, |escape| escape.original.start);
        start..end.max(start)
    }

    /// One place; `inside` says where a place inside an escape goes.
    fn place(&self, at: usize, inside: impl Fn(&Escape) -> usize) -> usize {
        let next = self
            .escapes
            .partition_point(|escape| escape.plain.end <= at);
        match (self.escapes.get(next), next.checked_sub(1)) {
            (Some(escape), _) if escape.plain.start < at => inside(escape),
            (_, None) => at,
            (_, Some(last)) => {
                let last = &self.escapes[last];
                at - last.plain.end + last.original.end
            }
        }
    }
}

/// An escape behind a run of backslashes.
struct Found {
    /// How many of them are its own.
    slashes: usize,
    /// Bytes after them.
    length: usize,
    plain_slashes: usize,
    character: char,
}

fn escape(slashes: usize, rest: &[u8]) -> Option<Found> {
    if rest.first() == Some(&b'/') {
        return Some(Found {
            slashes,
            length: 1,
            plain_slashes: 0,
            character: '/',
        });
    }
    let digits = rest.strip_prefix(b"u00")?.get(..2)?;
    let code = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    let own = 1 << slashes.trailing_zeros();
    let (plain_slashes, character) = match code {
        b'"' => (2 * own - 1, '"'),
        b'\\' => (2 * own - 1, '\\'),
        b'\n' => (own, 'n'),
        b'\r' => (own, 'r'),
        b'\t' => (own, 't'),
        b' '..=b'~' => (0, char::from(code)),
        _ => return None,
    };
    Some(Found {
        slashes: own,
        length: 5,
        plain_slashes,
        character,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_what_they_stand_for_at_any_depth() {
        let cases = [
            (r"a\/b\\\/c", "a/b/c"),
            (r"a\u002bd\u003D\n", r"a+d=\n"),
            (r"{\u0022a\u0022:1}", r#"{\"a\":1}"#),
            (r"{\\u0022a\\u0022:1}", r#"{\\\"a\\\":1}"#),
            (r"a\\\u0022", r#"a\\\""#),
            (r"a\u005cb\u000ac\\u000ad", r"a\\b\nc\\nd"),
            (r"\u00e9\u001b[0m\u12", r"\u00e9\u001b[0m\u12"),
        ];
        for (written, plain) in cases {
            assert_eq!(Plain::of(written).text(), plain, "{written}");
        }
    }

    #[test]
    fn places_lead_back_and_never_into_an_escape() {
        let text = r"{\u0022k\u0022:\u0022a\/b\u0022}";
        let plain = Plain::of(text);
        let value = plain.text().find("a/b").expect("it is there");
        assert_eq!(&text[plain.original(&(value..value + 3))], r"a\/b");
        // Between the backslash and the quote, on both sides: what stands between the escapes is meant.
        assert_eq!(&text[plain.original(&(value - 1..value + 4))], r"a\/b");
        assert!(plain.original(&(value - 1..value - 1)).is_empty());
        assert_eq!(plain.original(&(0..plain.text().len())), 0..text.len());
        assert_eq!(Plain::of("plain").original(&(1..3)), 1..3);
    }
}
