//! IP addresses.
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use super::{Item, PiiKind, context, holds, stands_alone};

/// Four numbers and the dots between them.
const LONGEST_V4: usize = 15;
const SHORTEST_V6: usize = 8;
const LONGEST_V6: usize = 45;

/// An address of version 4 that begins with this run of digits.
pub(super) fn v4(text: &[u8], run: Range<usize>) -> Option<Item> {
    if run.len() > 3 || text.get(run.end) != Some(&b'.') {
        return None;
    }
    let limit = text.len().min(run.start + LONGEST_V4 + 2);
    let length = text[run.start..limit]
        .iter()
        .take_while(|b| b.is_ascii_digit() || **b == b'.')
        .count();
    // A full stop after the address ends the sentence.
    let dotted = text[run.start..run.start + length].trim_suffix_dot();
    let range = run.start..run.start + dotted.len();
    let address: Ipv4Addr = std::str::from_utf8(dotted).ok()?.parse().ok()?;
    let before = &text[..run.start];
    let follows = text.get(range.end).copied().unwrap_or(b' ');
    let after = text.get(range.end + 1).copied().unwrap_or(b' ');
    let continues = matches!(follows, b'.' | b'-' | b'+') && after.is_ascii_alphabetic();
    let part = before.ends_with(b".") || before.ends_with(b"-") || continues;
    if !stands_alone(text, &range) || part || is_version(text, before, address) {
        return None;
    }
    let own = address.is_loopback() || address.octets()[0] == 0 || address.octets()[0] == 255;
    (!own).then(|| Item::new(PiiKind::Ip, range))
}

trait TrimDot {
    fn trim_suffix_dot(&self) -> &Self;
}

impl TrimDot for [u8] {
    fn trim_suffix_dot(&self) -> &Self {
        self.strip_suffix(b".").unwrap_or(self)
    }
}

/// `Chrome/130.0.0.0`, `version 1.2.3.4`, `pkg==1.2.3.4`
fn is_version(text: &[u8], before: &[u8], address: Ipv4Addr) -> bool {
    let product = before
        .strip_suffix(b"/")
        .is_some_and(|name| name.last().is_some_and(u8::is_ascii_alphanumeric))
        && address.octets()[2..] == [0, 0];
    let compared = [&b"=="[..], b">=", b"<=", b"~=", b"~", b"^"]
        .iter()
        .any(|sign| before.ends_with(sign));
    product
        || compared
        || holds(
            &context(text, before.len()),
            &["version", "release", "build"],
        )
}

/// Addresses of version 6, driven by the colons between hexadecimal digits.
pub(super) fn find_v6(text: &[u8], found: &mut impl FnMut(Item)) {
    let mut from = 0;
    while let Some(colon) = memchr::memchr(b':', &text[from..]).map(|at| from + at) {
        from = colon + 1;
        let next = text.get(colon + 1).copied().unwrap_or(b' ');
        if !(next.is_ascii_hexdigit() || next == b':') {
            continue;
        }
        let part = |b: &u8| b.is_ascii_hexdigit() || *b == b':';
        let floor = colon.saturating_sub(LONGEST_V6);
        let start = colon
            - text[floor..colon]
                .iter()
                .rev()
                .take_while(|b| b.is_ascii_hexdigit())
                .count();
        let limit = text.len().min(start + LONGEST_V6);
        let tail = |b: &u8| part(b) || *b == b'.';
        let length = text[start..limit].iter().take_while(|b| tail(b)).count();
        let mut end = start + length;
        while end > colon && matches!(text[end - 1], b'.') {
            end -= 1;
        }
        if text[..end].ends_with(b":") && !text[..end].ends_with(b"::") {
            end -= 1;
        }
        from = end.max(from);
        let range = start..end;
        let before = start.checked_sub(1).map(|at| text[at]);
        let digits = text[range.clone()].iter().filter(|b| b.is_ascii_digit());
        let plausible = range.len() >= SHORTEST_V6
            && digits.count() >= 2
            && before != Some(b':')
            && text[range.clone()].split(|b| *b == b':').count() >= 4;
        let address = plausible
            .then(|| std::str::from_utf8(&text[range.clone()]).ok()?.parse().ok())
            .flatten();
        let own = |address: Ipv6Addr| address.is_loopback() || address.is_unspecified();
        if address.is_some_and(|address| !own(address)) && stands_alone(text, &range) {
            found(Item::new(PiiKind::Ip, range));
        }
    }
}
