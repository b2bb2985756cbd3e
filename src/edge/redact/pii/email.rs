//! E-mail addresses, also with `%40` for the sign in the middle.
use std::ops::Range;

use super::{Item, PiiKind};

/// The local part and a label of the domain are not longer.
const LONGEST_PART: usize = 64;
const LONGEST_DOMAIN: usize = 253;
/// These write for a program, not for a person.
const NOBODY: [&str; 7] = [
    "git",
    "noreply",
    "no-reply",
    "donotreply",
    "do-not-reply",
    "notifications",
    "mailer-daemon",
];
/// Names that end like a domain and are files or units.
const NO_DOMAINS: [&str; 33] = [
    "js", "mjs", "cjs", "ts", "jsx", "tsx", "json", "yaml", "yml", "toml", "lock", "html", "css",
    "scss", "svg", "png", "jpg", "jpeg", "gif", "webp", "ico", "txt", "log", "map", "jar", "whl",
    "tgz", "zip", "service", "socket", "timer", "target", "slice",
];

pub(super) fn find(text: &[u8], found: &mut impl FnMut(Item)) {
    let mut from = 0;
    while let Some(at) = memchr::memchr2(b'@', b'%', &text[from..]).map(|at| from + at) {
        from = at + 1;
        let sign = match text[at] {
            b'%' if !text[at..].starts_with(b"%40") => continue,
            b'%' => at..at + 3,
            _ => at..at + 1,
        };
        if let Some(range) = around(text, &sign) {
            from = range.end;
            found(Item::new(PiiKind::Email, range));
        }
    }
}

fn around(text: &[u8], sign: &Range<usize>) -> Option<Range<usize>> {
    let local = |b: &u8| b.is_ascii_alphanumeric() || b"._+-".contains(b) || *b >= 0x80;
    let floor = sign.start.saturating_sub(LONGEST_PART);
    let mut start = sign.start
        - text[floor..sign.start]
            .iter()
            .rev()
            .take_while(|b| local(b))
            .count();
    while start < sign.start && b".-+".contains(&text[start]) {
        start += 1;
    }
    // `https://someone@host`: a login.
    if start == sign.start || text[..start].ends_with(b"//") {
        return None;
    }
    let name = &text[start..sign.start];
    if NOBODY
        .iter()
        .any(|nobody| name.eq_ignore_ascii_case(nobody.as_bytes()))
    {
        return None;
    }
    let limit = text.len().min(sign.end + LONGEST_DOMAIN);
    let length = text[sign.end..limit]
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || b".-".contains(b) || **b >= 0x80)
        .count();
    let mut end = sign.end + length;
    while end > sign.end && b".-".contains(&text[end - 1]) {
        end -= 1;
    }
    is_domain(&text[sign.end..end]).then_some(start..end)
}

fn is_domain(domain: &[u8]) -> bool {
    let mut labels = domain.split(|b| *b == b'.');
    let Some(top) = labels.next_back() else {
        return false;
    };
    let label = |label: &[u8]| {
        !label.is_empty()
            && label.len() <= LONGEST_PART
            && label[0] != b'-'
            && label[label.len() - 1] != b'-'
    };
    let inner = domain.len() > top.len() && labels.all(label);
    let top_level = (2..=24).contains(&top.len())
        && (top.iter().all(u8::is_ascii_alphabetic) || top.starts_with(b"xn--"));
    // `icon@2x.png`, `getty@tty1.service`
    let file = NO_DOMAINS
        .iter()
        .any(|name| top.eq_ignore_ascii_case(name.as_bytes()));
    inner && top_level && !file
}
