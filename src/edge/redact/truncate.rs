//! Cuts a text that is longer than the policy lets through, after its redaction, and says so at the cut.
//!
//! A cut splits no character, no escape and no placeholder. What was cut already is left as it is.
use std::collections::BTreeSet;

use super::spans::{PLACEHOLDER, placeholder_at};

/// The type under which cuts are counted.
pub(super) const TYPE: &str = "truncated";
/// How the mark at a cut begins; the number of bytes that are missing and a bracket follow.
const MARK: &str = "[TRUNCATED:";
/// `\u005c`, the longest escape.
const LONGEST_ESCAPE: usize = 6;

/// Leaves at most `keep` bytes and a mark; whether anything was cut.
pub(super) fn truncate(text: &mut String, keep: usize, kinds: &BTreeSet<String>) -> bool {
    if text.len() <= keep || is_cut(text, keep) {
        return false;
    }
    let mut end = text.floor_char_boundary(keep);
    let placeholder = text[..text.floor_char_boundary(end + PLACEHOLDER.len() - 1)]
        .rfind(PLACEHOLDER)
        .and_then(|start| placeholder_at(text, start, kinds));
    if let Some(whole) = placeholder.filter(|whole| whole.start < end && whole.end > end) {
        end = whole.start;
    }
    end = before_escape(text.as_bytes(), end);
    let missing = text.len() - end;
    text.truncate(end);
    text.push_str(&format!("{MARK}{missing}]"));
    true
}

/// Whether a mark ends the text, and no more than allowed stands before it.
fn is_cut(text: &str, keep: usize) -> bool {
    let Some((start, number)) = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once(MARK))
    else {
        return false;
    };
    start.len() <= keep && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())
}

/// The start of the escape that `end` would split, or `end`.
fn before_escape(text: &[u8], end: usize) -> usize {
    let Some(slash) = text[end.saturating_sub(LONGEST_ESCAPE)..end]
        .iter()
        .rposition(|b| *b == b'\\')
        .map(|at| end.saturating_sub(LONGEST_ESCAPE) + at)
    else {
        return end;
    };
    let length = if text.get(slash + 1) == Some(&b'u') {
        LONGEST_ESCAPE
    } else {
        2
    };
    if slash + length <= end {
        return end;
    }
    let slashes = text[..=slash]
        .iter()
        .rev()
        .take_while(|b| **b == b'\\')
        .count();
    slash + 1 - slashes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, keep: usize) -> String {
        let mut text = text.to_owned();
        truncate(&mut text, keep, &BTreeSet::from(["password".to_owned()]));
        text
    }

    #[test]
    fn what_is_cut_says_how_much_is_missing_and_stays_so() {
        assert_eq!(cut("0123456789", 10), "0123456789");
        let once = cut("0123456789", 4);
        assert_eq!(once, "0123[TRUNCATED:6]");
        assert_eq!(cut(&once, 4), once);
        assert_eq!(cut(&once, 3), "012[TRUNCATED:14]");
    }

    #[test]
    fn no_character_escape_or_placeholder_is_split() {
        assert_eq!(cut("aé", 2), "a[TRUNCATED:2]");
        assert_eq!(cut(r"ab\nc", 3), r"ab[TRUNCATED:3]");
        assert_eq!(cut(r"ab\\\nc", 5), r"ab[TRUNCATED:5]");
        assert_eq!(cut(r"ab\u00e9c", 6), r"ab[TRUNCATED:7]");
        assert_eq!(cut(r"ab\nc-d", 4), r"ab\n[TRUNCATED:3]");
        let text = "x=[REDACTED:password] and more";
        assert_eq!(cut(text, 5), "x=[TRUNCATED:28]");
        assert_eq!(cut(text, 20), "x=[TRUNCATED:28]");
        assert_eq!(cut(text, 21), "x=[REDACTED:password][TRUNCATED:9]");
    }
}
