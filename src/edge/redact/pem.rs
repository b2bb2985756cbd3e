//! Private keys in PEM armor, whole or cut off, with line breaks raw or escaped at any depth.
//!
//! Read by hand with a forward cursor: a key is long, and an expression with a window would either miss its end or
//! look at the same bytes again at each of many headers.
use std::ops::Range;

/// What begins the search.
pub(super) const KEYWORD: &str = "private key";
/// The type of what is found.
pub(super) const TYPE: &str = "private-key";

/// No armor is longer: 16384-bit RSA takes about 13 KiB, escapes and headers included twice that.
const LONGEST: usize = 64 * 1024;
/// Dashes on either side of the label.
const DASHES: &[u8] = b"-----";

/// The body of the key whose header holds `keyword`; header and footer stay, to show what stood there.
pub(super) fn private_key(text: &[u8], keyword: Range<usize>) -> Option<Range<usize>> {
    let line_start = keyword.start.saturating_sub(48);
    let label = text[line_start..keyword.start]
        .windows(5)
        .rposition(|w| w == b"BEGIN")?;
    let label = &text[line_start + label..keyword.start];
    if !label
        .iter()
        .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b' ')
    {
        return None;
    }
    let block = text[keyword.end..].strip_prefix(b" BLOCK").map_or(0, |_| 6);
    let header_end = keyword.end + block;
    if !text[header_end..].starts_with(DASHES) {
        return None;
    }
    let start = skip_breaks(text, header_end + DASHES.len());
    let limit = text.len().min(start + LONGEST);
    let mut end = start;
    while end < limit && !text[end..].starts_with(DASHES) && is_body(text[end]) {
        end += 1;
    }
    let end = trim_breaks(text, start, end);
    (end >= start + 16).then_some(start..end)
}

/// Base64, line breaks and their escapes, and the headers of encrypted keys (`Proc-Type: 4,ENCRYPTED`).
fn is_body(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=\\ \t\r\n:,-.()_".contains(&byte)
}

/// The end of the line breaks, raw or escaped, that begin at `from`.
fn skip_breaks(text: &[u8], from: usize) -> usize {
    let mut at = from;
    loop {
        let slashes = text[at..].iter().take_while(|b| **b == b'\\').count();
        match text.get(at + slashes) {
            Some(b' ' | b'\t' | b'\r' | b'\n') if slashes == 0 => at += 1,
            Some(b'n' | b'r' | b't') if slashes > 0 => at += slashes + 1,
            _ => return at,
        }
    }
}

/// Moves the end back over line breaks and over a backslash that belongs to what follows.
fn trim_breaks(text: &[u8], start: usize, mut end: usize) -> usize {
    while end > start {
        let last = text[end - 1];
        let before = text[start..end - 1].last().copied();
        match last {
            b' ' | b'\t' | b'\r' | b'\n' | b'\\' => end -= 1,
            b'n' | b'r' | b't' if before == Some(b'\\') => end -= 2,
            _ => break,
        }
    }
    end
}
