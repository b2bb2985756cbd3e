//! Long runs of base64 that are no secrets: pictures, and the signatures of a model's thoughts.
//!
//! They stand after a word that says so (`data:image/png;base64,…`, `"type": "base64", "data": "…"`,
//! `"signature": "…"`; the words are data). Random as they are, keys and names of providers turn up in them by chance:
//! only tokens of known formats count there.
use std::ops::Range;

use super::quotes::run;

/// How far behind its word the run may begin, in bytes.
const REACH: usize = 96;
/// Shorter runs are searched like anything else: many a token is as long.
const SHORTEST: usize = 160;

/// The run behind the word that ends at `word_end`.
pub(super) fn blob_after(text: &[u8], word_end: usize) -> Option<Range<usize>> {
    let limit = text.len().min(word_end + REACH);
    let mut at = word_end;
    while at < limit {
        let length = run(text, at, text.len(), is_base64);
        if length >= SHORTEST {
            return Some(at..at + length);
        }
        at += length.max(1);
    }
    None
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=_-".contains(&byte)
}
